"""A trained model in a program's hands: generate, stream, perplexity."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from textgru.analysis.evaluate import Score, evaluate
from textgru.core import PackedNetwork
from textgru.errors import InputError, percent
from textgru.generation.generate import stream
from textgru.generation.sampling import Sampling
from textgru.model.network import Network
from textgru.paths import given_path
from textgru.runs.metrics import training_seconds
from textgru.runs.run import Run, network_settings
from textgru.runs.writer import NewRun
from textgru.text.files import normalise
from textgru.text.tokenizer import Tokenizer
from textgru.typed import Range, check_fields

PRECISIONS = ("fp32", "bf16", "int8")
STORED_PRECISIONS = ("fp32", "int8")


@dataclass(frozen=True)
class _Wanted:
    """What is asked of `stream` besides the sampling."""

    prompt: str
    length: Annotated[int, Range(0, 10**12)]

    def __post_init__(self) -> None:
        check_fields(self)


class LanguageModel:
    """A network and its tokenizer.

        model = textgru.load("runs/demo")
        print(model.generate("Once", length=300, seed=1))

    `run` is the run that it came from, or None. `precision` "int8" generates and scores with weights as 8-bit
    integers, "bf16" as bfloat16: faster, the loss within a thousandth or so (docs/precision.md). `generate`, `stream`,
    `score` and `perplexity` may be called from several threads at once. They work with weights that are packed at
    their first use: after a change of the network's weights call `repack`.
    """

    def __init__(
        self, network: Network, tokenizer: Tokenizer, run: Run | None = None, *, precision: str = "fp32"
    ) -> None:
        _check_precision(precision)
        self.network = network
        self.tokenizer = tokenizer
        self.run = run
        self.precision = precision
        self._packed: dict[str, PackedNetwork] = {}  # by precision
        self._packing = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        """A copy packs its own weights."""
        return {name: value for name, value in self.__dict__.items() if name not in ("_packed", "_packing")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _packed={}, _packing=threading.Lock())

    def packed(self) -> PackedNetwork:
        """The network's weights in the model's precision, for sessions (textgru.core.Session); packed once."""
        _check_precision(self.precision)
        with self._packing:
            if self.precision not in self._packed:
                self._packed[self.precision] = self.network.pack(self.precision)
            return self._packed[self.precision]

    def repack(self) -> None:
        """From now on the weights are what they are now. Texts that are being streamed go on with those before."""
        with self._packing:
            self._packed = {}

    def generate(
        self,
        prompt: str = "",
        *,
        length: int = 500,
        temperature: float = 0.8,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int | np.random.Generator | None = None,
    ) -> str:
        """The prompt and up to `length` new tokens after it. Arguments: stream."""
        pieces = self.stream(prompt, length=length, temperature=temperature, top_k=top_k, top_p=top_p, seed=seed)
        return prompt + "".join(pieces)

    def stream(
        self,
        prompt: str = "",
        *,
        length: int = 500,
        temperature: float = 0.8,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int | np.random.Generator | None = None,
    ) -> Iterator[str]:
        """Yields the new text after the prompt piece by piece, without the prompt, whose line ends are read as those of
        the training's text were (textgru.text.files.normalise).

        `length` new tokens, fewer where the model ends a document (separate_documents); without a prompt such a model
        starts one. `temperature` 0 takes the likeliest token each time; `top_k` and `top_p` keep only the likeliest
        (textgru.generation.sampling.Sampling). The same `seed` gives the same text.

        Raises InputError (a ValueError) for values that can't be.
        """
        wanted = _Wanted(prompt, length)
        sampling = Sampling(temperature, top_k, top_p)
        try:
            rng = np.random.default_rng(seed)
        except (TypeError, ValueError) as error:
            raise InputError(f"seed: expected an integer from 0 up, a Generator or None, got {seed!r}") from error
        return stream(
            self.packed(), self.tokenizer, normalise(prompt), wanted.length, sampling, rng,
            from_eos=self._reads_documents,
        )  # fmt: skip

    @property
    def _reads_documents(self) -> bool:
        """Whether the network has seen where documents end."""
        if self.run is None:
            return True
        corpus = self.run.record.corpus
        return corpus is not None and corpus.separate_documents

    def score(self, text: str) -> Score:
        """The loss of a text, in nats a token, each token given those before it; the first is given.

        Warns (UserWarning) where tokens are unknown to the model: their loss says little.

        Raises InputError (a ValueError) for a text of fewer than two tokens.
        """
        tokens = self.tokenizer.encode(normalise(text))
        if len(tokens) < 2:
            raise InputError(f"text: expected at least 2 tokens, got {len(tokens)}; give a longer one")
        score = evaluate(self.packed(), tokens, streams=1)
        unknown = 0.0 if self.tokenizer.unk_id is None else float(np.mean(tokens == self.tokenizer.unk_id))
        if unknown:
            warnings.warn(f"{percent(unknown)} of the text's tokens are unknown to the model", stacklevel=2)
        return score

    def perplexity(self, text: str) -> float:
        """exp of the mean negative log-likelihood a token: 1 is certain, vocab_size is guessing. See score."""
        return self.score(text).perplexity

    def save(self, out: str | Path, *, precision: str = "fp32", overwrite: bool = False) -> None:
        """Saves the model as a run directory `out`; in "int8" it takes a quarter of the space.

        Settings and scores are those of the run that it came from. Raises InputError (a ValueError) where `out` can't
        be written, or holds a run and `overwrite` is false.
        """
        _check_precision(precision, STORED_PRECISIONS)
        if not isinstance(overwrite, bool):
            raise InputError(f"overwrite: expected true or false, got {overwrite!r}")
        config: dict[str, Any] = {"network": network_settings(self.network.config)}
        config["tokenizer"] = {"kind": self.tokenizer.kind}
        if self.run is not None:
            config |= {name: value for name, value in self.run.config.items() if name != "format_version"}
            if (seconds := training_seconds(self.run)) is not None:
                config["seconds"] = seconds
        config["weights"] = {"precision": precision}
        scores = dict(self.run.scores) if self.run is not None else {}
        scores.pop("seconds", None)
        with NewRun(given_path("out", out), overwrite=overwrite) as writer:
            writer.write_settings(config, self.tokenizer)
            writer.save_weights(self.network, scores, precision=precision)


def load(run: str | Path, *, precision: str | None = None) -> LanguageModel:
    """The model in a run directory. Raises InputError (a ValueError) if there is none or it can't be read.

    `precision` "fp32", "bf16" or "int8": see LanguageModel; by default that in which the weights are stored.
    """
    found = Run.read(run)
    return LanguageModel(
        found.load_network(), found.tokenizer, found, precision=found.precision if precision is None else precision
    )


def _check_precision(precision: object, allowed: tuple[str, ...] = PRECISIONS) -> None:
    if not isinstance(precision, str) or precision not in allowed:
        raise InputError(f"precision: expected {' or '.join(allowed)}, got {precision!r}")
