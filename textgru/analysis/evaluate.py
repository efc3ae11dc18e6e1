"""How well a network predicts a text: mean negative log-likelihood, with the state carried through the whole of it."""

from __future__ import annotations

from collections.abc import Callable
from math import exp, inf, log
from typing import NamedTuple

import numpy as np

from textgru.analysis.reader import Reader
from textgru.distributed.ranks import Ranks
from textgru.model.ensemble import Packed
from textgru.model.network import Network

STREAMS = 32
SHORTEST_STREAM = 1000  # tokens; a stream starts without context, so that few and long ones are fairer
WINDOW = 4096  # tokens, of all streams together, that are read in one call


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

    def bits_per_byte(self, tokens: int, nbytes: int) -> float:
        """The same for each of the `nbytes` bytes that the whole text has in UTF-8."""
        return self.bits_per_char(tokens, nbytes)


def evaluate(
    network: Network | Packed,
    tokens: np.ndarray,
    *,
    streams: int = STREAMS,
    precision: str = "fp32",
    on_progress: Callable[[int, int], None] | None = None,
    ranks: Ranks | None = None,
) -> Score:
    """Scores every token (n,) but the first, given those before it; n must be at least 2.

    A long text is cut into up to `streams` contiguous streams that are read side by side; each carries its state from
    its start to its end. streams=1 is exact, and slower. `precision` "bf16" or "int8" takes the weights as sampling in
    that precision does; those of a PackedNetwork are in its own, and such a one may be used in several threads at once.
    `on_progress` is called with the tokens scored so far and all that there are. `ranks` share the streams.
    Raises ValueError for fewer than two tokens.
    """
    targets = len(tokens) - 1
    if targets < 1:
        raise ValueError(f"tokens: expected at least 2, got {len(tokens)}")
    if isinstance(network, Network) and precision != "fp32":
        network = network.pack(precision)
    rows = max(1, min(streams, targets // SHORTEST_STREAM))
    per_row = targets // rows
    ranks = ranks or Ranks()
    mine = range(rows)[ranks.share(rows)]
    total = 0.0
    steps = max(1, WINDOW // rows)
    reader = Reader(network, max(1, len(mine)))
    for first in range(0, per_row if mine else 0, steps):
        last = min(first + steps, per_row)
        window = np.stack([tokens[row * per_row + first : row * per_row + last + 1] for row in mine], axis=1).astype(
            np.intp
        )
        total += float(reader.losses(window).sum())
        if on_progress is not None:
            on_progress(last * rows, targets)
    rest = tokens[rows * per_row :].astype(np.intp)  # fewer than `rows` targets remain: they follow the last stream
    if len(rest) > 1 and rows - 1 in mine:
        total += float(reader.last_row().losses(rest[:, None]).sum())
    return Score(ranks.add([total])[0] / targets, targets)
