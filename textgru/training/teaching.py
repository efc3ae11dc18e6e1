"""Teachers: trained networks whose predictions another one learns (Hinton et al. 2015, arXiv:1503.02531)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from textgru.errors import InputError, shown
from textgru.language_model import LanguageModel, load
from textgru.model.network import Network
from textgru.paths import given_path, shown_path
from textgru.runs.records import TeacherRecord
from textgru.text.tokenizer import Tokenizer


class Teachers:
    """Networks that read the batches of a training as it does, stream by stream. What they teach is the mean of their
    probabilities, in float32."""

    def __init__(self, networks: Sequence[Network], rows: int) -> None:
        self._networks = list(networks)
        self._states = [network.initial_state(rows) for network in networks]

    def begin(self) -> None:
        """An epoch starts: all streams begin anew."""
        for array in self.arrays().values():
            array[...] = 0

    def probabilities(self, tokens: np.ndarray) -> np.ndarray:
        """Of each token after tokens (T, B) intp: (T, B, V)."""
        total: np.ndarray | None = None
        for number, network in enumerate(self._networks):
            scores, self._states[number] = network.scores(tokens, self._states[number])
            scores -= scores.max(axis=-1, keepdims=True)
            np.exp(scores, out=scores)
            scores /= scores.sum(axis=-1, keepdims=True) * np.float32(len(self._networks))
            total = scores if total is None else np.add(total, scores, out=total)
        assert total is not None
        return total

    def arrays(self) -> dict[str, np.ndarray]:
        """Where they stand, by name, for a checkpoint."""
        return {
            f"teacher_{number}_{part}": array
            for number, state in enumerate(self._states)
            for part, array in enumerate(state)
        }


def load_teachers(runs: Sequence[str | Path]) -> list[LanguageModel]:
    """The models of runs. Raises InputError where one can't be read, or has other tokens than the first."""
    if isinstance(runs, (str, Path)):
        runs = [runs]
    models = [load(given_path("teachers", run)) for run in runs]
    for model in models:
        if model.tokenizer.to_json() != models[0].tokenizer.to_json():
            assert model.run is not None
            raise InputError(f"{shown(model.run.path)}: its tokens are not those of the first teacher")
    return models


def tokenizer_of(models: Sequence[LanguageModel], wanted: Any, vocab_size: int | None) -> Tokenizer:
    """The teachers'. Raises InputError where another one is wanted."""
    if wanted is not None or vocab_size is not None:
        raise InputError("tokenizer: who has teachers has their tokenizer; leave it out")
    return models[0].tokenizer


def records_of(models: Sequence[LanguageModel]) -> list[dict[str, str]]:
    """What config.json says of them."""
    return [{"run": shown_path(model.run.path), "sha256": model.fingerprint()} for model in models if model.run]


def same_teachers(records: Sequence[TeacherRecord]) -> list[LanguageModel]:
    """Those of a training that goes on. Raises InputError where they aren't there or are others now."""
    models = load_teachers([record.run for record in records])
    for model, record in zip(models, records, strict=True):
        if model.fingerprint() != record.sha256:
            raise InputError(f"{record.run}: is another model than the one that this training learns from")
    return models
