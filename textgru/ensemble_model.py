"""Several trained models as one."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

from textgru.errors import InputError
from textgru.language_model import LanguageModel, load
from textgru.model.ensemble import Ensemble


class EnsembleModel(LanguageModel):
    """Several models with the same tokens as one, which predicts the mean of their probabilities.

        model = textgru.load_ensemble(["runs/a", "runs/b"])

    It writes and scores as a LanguageModel does, at the cost of all of them. What belongs to one network (embed, adapt,
    save, surprisals with dynamic) raises InputError. Raises InputError for models with other tokens.
    """

    def __init__(self, models: Sequence[LanguageModel]) -> None:
        if not models:
            raise InputError("models: give at least one")
        first = models[0]
        for model in models[1:]:
            if model.tokenizer.to_json() != first.tokenizer.to_json():
                raise InputError(
                    f"{_name(model)}: its tokens are not those of {_name(first)}: only models with the same tokenizer "
                    "can be averaged"
                )
        self.models = tuple(models)
        super().__init__(first.network, first.tokenizer, first.run, precision=first.precision)

    def packed(self) -> Any:
        """The weights of all, for sessions (textgru.model.ensemble.session_of)."""
        return Ensemble([model.packed() for model in self.models])

    def repack(self) -> None:
        """From now on the weights are what they are now."""
        for model in self.models:
            model.repack()

    def fingerprint(self) -> str:
        """The SHA-256 of those of all."""
        return hashlib.sha256("".join(model.fingerprint() for model in self.models).encode()).hexdigest()

    @property
    def calibrated_temperature(self) -> NoReturn:
        """Nobody has measured it."""
        raise InputError("temperature: auto isn't known of several models together; give a number")

    @property
    def reads_documents(self) -> bool:
        """Whether all of them have seen where documents end."""
        return all(model.reads_documents for model in self.models)

    def adapt(self, *_: Any, **__: Any) -> NoReturn:
        """Raises InputError."""
        raise InputError("several models can't adapt to a text; give one")

    def embed(self, *_: Any, **__: Any) -> NoReturn:
        """Raises InputError."""
        raise InputError("several models have no vectors of their own; give one")

    def save(self, *_: Any, **__: Any) -> NoReturn:
        """Raises InputError."""
        raise InputError("several models can't be saved as one; save each")

    def stream_surprisals(self, tokens: Any, *, top: int = 0, dynamic: bool = False) -> Iterator[Any]:
        """As LanguageModel.stream_surprisals."""
        if dynamic:
            raise InputError("the weights of several models can't follow a text; give one")
        return super().stream_surprisals(tokens, top=top)


def load_ensemble(runs: Sequence[str | Path], *, precision: str | None = None) -> LanguageModel:
    """The models in these run directories as one (EnsembleModel), or the only one; `precision` as in load. Raises
    InputError (a ValueError) where one can't be read, or has other tokens."""
    if isinstance(runs, (str, Path)):
        raise InputError(f"runs: expected several, got {runs!r}; give a list")
    models = [load(run, precision=precision) for run in runs]
    return models[0] if len(models) == 1 else EnsembleModel(models)


def _name(model: LanguageModel) -> str:
    return "a model" if model.run is None else str(model.run.path)
