"""A training shared among ranks: rank 0 leads, with the run directory and the screen; the others follow."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from textgru.distributed.ranks import Ranks
from textgru.errors import InputError
from textgru.model.network import Network
from textgru.text.corpus import Corpus
from textgru.training.defaults import Settings
from textgru.training.trainer import Trainer


@dataclass(frozen=True)
class _Shared:
    """What the others need to train as rank 0 does."""

    settings: Settings
    corpus: Corpus  # without its tokens
    encoded: Path
    dtype: np.dtype
    train_tokens: int
    validation_tokens: int
    arrays: dict[str, np.ndarray]
    facts: dict[str, Any]


def lead(ranks: Ranks, settings: Settings, corpus: Corpus, encoded: Path, trainer: Trainer) -> None:
    """Tells the other ranks what is trained, and where it stands. `encoded`: the file with the corpus' tokens.

    Raises InputError if one of them can't take part.
    """
    nothing, encoded = corpus.train[:0], encoded.resolve()
    arrays, facts = trainer.state()
    ranks.told(
        _Shared(
            settings,
            replace(corpus, train=nothing, validation=nothing),
            encoded,
            corpus.train.dtype,
            len(corpus.train),
            len(corpus.validation),
            arrays,
            facts,
        )
    )
    with ranks.file(encoded):
        _check_ready(ranks, None)


def follow(ranks: Ranks, on_ready: Callable[[Trainer], None]) -> int:
    """What a rank other than 0 does; returns the exit code where rank 0 has nothing to train. `on_ready` is called with
    the trainer before it begins. Raises TextgruError as rank 0 does, or for a failure here."""
    shared: object = ranks.told(None)
    if not isinstance(shared, _Shared):
        return shared if isinstance(shared, int) else 1
    problem = trainer = None
    with contextlib.ExitStack() as stack:
        try:
            encoded = stack.enter_context(ranks.file(shared.encoded))
            trainer = _trainer(ranks, shared, np.memmap(encoded, shared.dtype, "r"))
        except (OSError, MemoryError, ValueError) as error:
            problem = str(error) or type(error).__name__
        _check_ready(ranks, problem)
        assert trainer is not None
        on_ready(trainer)
        for _ in trainer.events():
            pass
        ranks.told(None)  # that rank 0 has written all
    return 0


def _trainer(ranks: Ranks, shared: _Shared, tokens: np.ndarray) -> Trainer:
    config, count = shared.settings.training, shared.train_tokens
    if len(tokens) != count + shared.validation_tokens:
        raise InputError(f"{shared.encoded}: not the text that rank 0 has")
    network = Network(shared.settings.network, precision=config.precision)
    if config.deterministic:
        network.use_product_kernels("packed")
    trainer = Trainer(
        network, replace(shared.corpus, train=tokens[:count], validation=tokens[count:]), config,
        save=lambda _: None, checkpoint=lambda: None, rng=np.random.default_rng(), ranks=ranks,
    )  # fmt: skip
    trainer.restore(shared.arrays, shared.facts)
    return trainer


def _check_ready(ranks: Ranks, problem: str | None) -> None:
    """Raises InputError on all ranks if one of them has a problem."""
    problems = [told for told in ranks.gather_all(problem and f"{ranks}: {problem}") if told]
    if problems:
        raise InputError(problems[0])
