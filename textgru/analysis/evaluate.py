"""How well a network predicts a text: mean negative log-likelihood, with the state carried through the whole of it."""

from __future__ import annotations

from collections.abc import Callable
from math import exp, inf, log
from typing import NamedTuple

import numpy as np

from textgru.model.network import Network

STREAMS = 32
SHORTEST_STREAM = 1000  # tokens; a stream starts without context, so that few and long ones are fairer
WINDOW = 4096  # tokens, of all streams together, that are read in one call
AT_A_TIME = 65_536  # tokens that are read one after another in one call


class Score(NamedTuple):
    """The result of an evaluation: `loss` in nats a token, over `tokens` predicted tokens."""

    loss: float
    tokens: int

    @property
    def perplexity(self) -> float:
        """exp(loss); infinite where that overflows."""
        return exp(self.loss) if self.loss < 700 else inf

    def bits_per_char(self, tokens: int, characters: int) -> float:
        """The loss in bits a character: what a token costs on average, times the tokens of a character.

        `tokens` (the first included) and `characters` are those of the whole text.
        """
        return self.loss / log(2) * tokens / max(characters, 1)


def evaluate(
    network: Network,
    tokens: np.ndarray,
    *,
    streams: int = STREAMS,
    precision: str = "fp32",
    on_progress: Callable[[int, int], None] | None = None,
) -> Score:
    """Scores every token (n,) but the first, given those before it; n must be at least 2.

    A long text is cut into up to `streams` contiguous streams that are read side by side; each carries its state from
    its start to its end. streams=1 is exact, and slower. `precision` "int8" takes the weights as 8-bit integers, as
    sampling in int8 does, and reads the text as one stream. `on_progress` is called with the tokens scored so far and
    all that there are. Raises ValueError for fewer than two tokens.
    """
    targets = len(tokens) - 1
    if targets < 1:
        raise ValueError(f"tokens: expected at least 2, got {len(tokens)}")
    if precision != "fp32":
        step, total = network.token_step(network.initial_state(1), precision=precision), 0.0
        for first in range(0, targets, AT_A_TIME):
            read = tokens[first : first + AT_A_TIME + 1].astype(np.intp)
            total += float(step.losses(read[:-1], read[1:]).sum())
            if on_progress is not None:
                on_progress(first + len(read) - 1, targets)
        return Score(total / targets, targets)
    rows = max(1, min(streams, targets // SHORTEST_STREAM))
    per_row = targets // rows
    state = network.initial_state(rows)
    total = 0.0
    steps = max(1, WINDOW // rows)
    for first in range(0, per_row, steps):
        last = min(first + steps, per_row)
        window = np.stack(
            [tokens[row * per_row + first : row * per_row + last + 1] for row in range(rows)], axis=1
        ).astype(np.intp)
        losses, state = network.losses(np.ascontiguousarray(window[:-1]), np.ascontiguousarray(window[1:]), state)
        total += float(losses.sum())
        if on_progress is not None:
            on_progress(last * rows, targets)
    rest = tokens[rows * per_row :].astype(np.intp)  # fewer than `rows` targets remain: they follow the last stream
    if len(rest) > 1:
        last_state = tuple(np.ascontiguousarray(array[:, -1:]) for array in state)
        losses, _ = network.losses(rest[:-1, None].copy(), rest[1:, None].copy(), last_state)
        total += float(losses.sum())
    return Score(total / targets, targets)
