"""How good a network's predictions of a text are: loss, accuracy, calibration, in bounded memory for any length."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from textgru.analysis.calibration import Calibration
from textgru.analysis.evaluate import STREAMS, WINDOW, Score
from textgru.analysis.reader import Reader
from textgru.core import softmax_cross_entropy
from textgru.distributed.ranks import Ranks
from textgru.model.config import LOGITS_BYTES
from textgru.model.ensemble import Packed
from textgru.model.network import Network

SHORTEST_PART = 32_768  # tokens of a text that is read by one stream
CONTEXT = 2048  # tokens before its part that a stream reads first: by then its state is as if it had read them all
TOP = 5


class Quality(NamedTuple):
    """How well `score.tokens` tokens were predicted. `accuracy` is the share of those that were the likeliest token,
    `top5_accuracy` of those among the five likeliest; `calibration_error` that of Calibration."""

    score: Score
    accuracy: float
    top5_accuracy: float
    calibration_error: float


class Compared(NamedTuple):
    """Scores held against what came: `losses` in nats, how many other tokens were at least as likely (`rank`), and the
    probability of the likeliest token (`confidence`); (n,) each."""

    losses: np.ndarray
    rank: np.ndarray
    confidence: np.ndarray


def compare(logits: np.ndarray, targets: np.ndarray) -> Compared:
    """Of logits (n, V) float32 or float64 and the tokens that came, targets (n,) intp."""
    losses = softmax_cross_entropy(logits, targets)
    own = logits[np.arange(len(targets)), targets][:, None]
    rank = logits.shape[1] - 1 - np.count_nonzero(logits < own, axis=1)
    ahead = logits.max(axis=1).astype(np.float64) - own[:, 0]
    return Compared(losses, rank, np.exp(ahead - losses))


def measure(
    network: Network | Packed,
    tokens: np.ndarray,
    *,
    streams: int = STREAMS,
    on_progress: Callable[[int, int], None] | None = None,
) -> Quality:
    """Predicts every token (n,) but the first, given those before it; n must be at least 2.

    A long text is read in up to `streams` parts side by side, of at least SHORTEST_PART tokens; each but the first
    begins with the CONTEXT tokens before its part, which don't count there. So the loss is that of one walk
    through the text, which streams=1 is, but for what a network remembers over more than CONTEXT tokens.
    `on_progress` is called with the tokens predicted so far and all that there are. Raises ValueError for fewer than
    two tokens.
    """
    return counted(network, tokens, streams=streams, on_progress=on_progress).quality()


def counted(
    network: Network | Packed,
    tokens: np.ndarray,
    *,
    streams: int = STREAMS,
    on_progress: Callable[[int, int], None] | None = None,
    ranks: Ranks | None = None,
) -> Counts:
    """What is counted for `measure`; of this rank's share of the parts, if there are `ranks`."""
    targets = len(tokens) - 1
    if targets < 1:
        raise ValueError(f"tokens: expected at least 2, got {len(tokens)}")
    rows = max(1, min(streams, targets // SHORTEST_PART))
    context = CONTEXT if rows > 1 else 0
    part = (targets - context) // rows  # of each row but the first, which has the context as well
    mine = range(rows)[(ranks or Ranks()).share(rows)]
    counts = Counts()
    if not mine:
        return counts
    vocab, item = (network.config if isinstance(network, Network) else network).vocab_size, network.dtype.itemsize
    steps = max(1, min(WINDOW, LOGITS_BYTES // (vocab * item)) // len(mine))
    reader = Reader(network, len(mine))
    for begin, end in ((0, context), (context, context + part)):
        for first in range(begin, end, steps):
            last = min(first + steps, end)
            window = np.stack([tokens[row * part + first : row * part + last + 1] for row in mine], axis=1)
            counts.add(reader, window.astype(np.intp), len(mine) if last > context else int(mine[0] == 0))
            if on_progress is not None:
                on_progress(counts.tokens, targets)
    rest = tokens[rows * part + context :].astype(np.intp)  # fewer targets than rows: they follow the last part
    if len(rest) > 1 and rows - 1 in mine:
        counts.add(reader.last_row(), rest[:, None], 1)
    return counts


class Counts:
    """What adds up, window by window."""

    def __init__(self) -> None:
        self.tokens = self.right = self.in_top = 0
        self.loss = 0.0
        self.calibration = Calibration()

    def add(self, reader: Reader, window: np.ndarray, rows: int) -> None:
        """The reader reads tokens (T + 1, B), of which the first `rows` streams count."""
        scores = reader.scores(window[:-1])[:, :rows]
        if not rows:
            return
        targets = np.ascontiguousarray(window[1:, :rows]).reshape(-1)
        found = compare(np.ascontiguousarray(scores).reshape(len(targets), -1), targets)
        right = found.rank == 0
        self.tokens += len(targets)
        self.loss += float(found.losses.sum())
        self.right += int(np.count_nonzero(right))
        self.in_top += int(np.count_nonzero(found.rank < TOP))
        self.calibration.add(found.confidence, right)

    def add_counts(self, other: Counts) -> None:
        """What was counted elsewhere."""
        self.tokens += other.tokens
        self.loss += other.loss
        self.right += other.right
        self.in_top += other.in_top
        self.calibration.add_counts(other.calibration)

    def quality(self) -> Quality:
        """Of all that was counted, at least one token."""
        score = Score(self.loss / self.tokens, self.tokens)
        return Quality(score, self.right / self.tokens, self.in_top / self.tokens, self.calibration.error)
