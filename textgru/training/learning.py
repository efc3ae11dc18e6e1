"""Incremental learning: a trained network learns another text without forgetting what it knew."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np

from textgru.analysis.dynamic import follower_of
from textgru.analysis.evaluate import evaluate
from textgru.core import AdamW, gradient_norm
from textgru.errors import InputError, TextgruError
from textgru.model.network import Network
from textgru.training.batches import Batches
from textgru.training.random_streams import stream
from textgru.typed import Help, Range, check_fields

MEASURED = 8192  # tokens by which forgetting is measured
CHECKS = 10  # of it, in all
HALVINGS = 6  # of the way back
WARMUP = 10  # steps
GRAD_CLIP = 1.0
BETAS, EPS, DECAY = (0.9, 0.99), 1e-8, 0.0
HELD_OUT, SHORTEST_HELD_OUT = 0.1, 1000  # of the new text: a part, if it has as many tokens


@dataclass(frozen=True)
class LearnSettings:
    """How a network learns another text. Raises InputError for values that can't be.

    Each step reads `batch_size` sequences of `seq_length` tokens of the new text, and as many of what it knew already:
    text that it wrote itself before (`rehearsal` tokens; Robins 1995, pseudorehearsal), or one that is given. The
    learning rate rises over 10 steps and falls to zero.
    """

    epochs: Annotated[float, Range(0, 1e4, above=True), Help("Passes over the new text.", "How long")] = 4.0
    learning_rate: Annotated[
        float, Range(0, above=True), Help("Highest learning rate.", "Learning", spelled=("--lr",))
    ] = 1e-3
    forget: Annotated[
        float,
        Range(0),
        Help("End before more than X nats a token are forgotten of what it knew.", "Learning", metavar="X"),
    ] = 0.1
    rehearsal: Annotated[
        int,
        Range(4096, 1 << 24),
        Help("Tokens that the model writes first, to be read beside the new text.", "Learning"),
    ] = 65_536
    batch_size: Annotated[
        int, Range(1, 1 << 12), Help("Sequences of the new text a step; fewer for a short one.", "Learning")
    ] = 16
    seq_length: Annotated[int, Range(1, 1 << 16), Help("Tokens a sequence.", "Learning")] = 64
    seed: Annotated[int, Range(0, 2**63 - 1), Help("Same seed, same model.", "Machine", spelled=("-s",))] = 0

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class Learned:
    """`network`, which has learned; nats a token: `before` and `after` of the new text's last tenth, or of all of it
    where it is short (`held_out` false); `forgotten`, by how much the loss of what it knew has grown. `steps` were
    made of `planned`, or are about what the weights were moved by: fewer where it would have forgotten too much."""

    network: Network
    before: float
    after: float
    held_out: bool
    forgotten: float
    steps: int
    planned: int


def learn(
    network: Network,
    tokens: np.ndarray,
    known: np.ndarray,
    settings: LearnSettings,
    *,
    on_progress: Callable[[int, int], None] | None = None,
) -> Learned:
    """A copy of a network that has learned tokens (n,), without forgetting `known` (m,), of which the last MEASURED
    tokens, or a quarter, are only measured. `on_progress` is called with the steps made and all that are planned.

    Raises InputError for too little text, TextgruError where the loss is no longer finite.
    """
    held = int(HELD_OUT * len(tokens)) if HELD_OUT * len(tokens) >= SHORTEST_HELD_OUT else 0
    learned, judged = (tokens[:-held], tokens[-held:]) if held else (tokens, tokens)
    measured = min(MEASURED, len(known) // 4)
    kept, measured_on = known[:-measured], known[-measured:]
    copy, settings = follower_of(network), _fitting(settings, min(len(learned), len(kept)))
    before, knew = _loss(copy, judged), _loss(copy, measured_on)
    rows, length, seed = settings.batch_size, settings.seq_length, settings.seed
    batches = [
        Batches(learned, rows, length, stream(seed, "batches")), Batches(kept, rows, length, stream(seed, "rehearsal")),
    ]  # fmt: skip
    planned = max(1, round(settings.epochs * batches[0].steps_per_epoch))
    optimizer = AdamW(copy.parameters, settings.learning_rate, BETAS, EPS, DECAY)
    state = copy.initial_state(2 * rows)
    good, steps, forgotten = copy.parameters.values.copy(), 0, 0.0
    for step in range(planned):
        parts = [next(each) for each in batches]
        for number, (starts, _, _) in enumerate(parts):
            if starts:
                for array in state:
                    array[:, number * rows : (number + 1) * rows] = 0
        read, targets = (np.ascontiguousarray(np.hstack([part[i] for part in parts])) for i in (1, 2))
        loss, state = copy.loss_and_grad(read, targets, state)
        norm = gradient_norm(copy.parameters)
        if not (np.isfinite(loss) and np.isfinite(norm)):
            raise _diverged(step)
        rate = settings.learning_rate * min((step + 1) / WARMUP, 1 - step / planned)
        optimizer.step(lr=rate, gradient_scale=min(1.0, GRAD_CLIP / max(norm, 1e-12)))
        if on_progress is not None:
            on_progress(step + 1, planned)
        if (step + 1) * CHECKS // planned > step * CHECKS // planned or step + 1 == planned:
            now = _loss(copy, measured_on) - knew
            if not np.isfinite(now):
                raise _diverged(step)
            if now > settings.forget:
                part, forgotten = _back(copy, good, lambda: _loss(copy, measured_on) - knew, settings.forget, forgotten)
                steps += round(part * (step + 1 - steps))
                break
            good[...] = copy.parameters.values
            steps, forgotten = step + 1, now
    return Learned(copy, before, _loss(copy, judged), bool(held), forgotten, steps, planned)


def _fitting(settings: LearnSettings, tokens: int) -> LearnSettings:
    """The same with as many rows, and tokens a row, as so many tokens fill. Raises InputError for fewer than two."""
    if tokens < 2:
        raise InputError("too little text to learn from; give at least two tokens")
    seq_length = min(settings.seq_length, tokens - 1)
    return replace(settings, seq_length=seq_length, batch_size=min(settings.batch_size, (tokens - 1) // seq_length))


def _back(
    network: Network, good: np.ndarray, forgotten: Callable[[], float], limit: float, at_good: float
) -> tuple[float, float]:
    """Moves the weights back towards `good`, until no more than the limit is forgotten: how far from there they are,
    from 0 to 1, and what is forgotten then. What lies between two such weights does about as well as they do
    (Wortsman et al. 2022, arXiv:2109.01903)."""
    values, bad = network.parameters.values, network.parameters.values.copy()
    best, low, high = at_good, 0.0, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        values[...] = good + middle * (bad - good)
        now = forgotten()
        if now <= limit:
            low, best = middle, now
        else:
            high = middle
    values[...] = good + low * (bad - good)
    return low, best


def _diverged(step: int) -> TextgruError:
    return TextgruError(f"step {step + 1}: the loss is no longer finite; try a lower --learning-rate")


def _loss(network: Network, tokens: np.ndarray) -> float:
    return evaluate(network, tokens).loss
