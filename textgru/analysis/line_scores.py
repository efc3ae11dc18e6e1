"""One score a line: many short texts, read side by side, each as if it were alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import exp, inf, log
from typing import NamedTuple

import numpy as np

from textgru.model.ensemble import Packed, session_of
from textgru.text.tokenizer import Tokenizer

ROWS = 128  # lines side by side, at most
STEPS = 256  # tokens of each that are read in one call
NEAR = 8  # tokens: lines side by side are at most half as long again and this much longer than the shortest of them


class LineScore(NamedTuple):
    """A line's probability: `log_prob` is its natural logarithm, of `tokens` tokens that are `characters` characters,
    both with the end of the line; `unknown` of the tokens are unknown to the model."""

    log_prob: float
    tokens: int
    characters: int
    unknown: int

    @property
    def bits_per_char(self) -> float:
        """-log2 of the probability, for each character; NaN for none."""
        return -self.log_prob / log(2) / self.characters if self.characters else float("nan")

    @property
    def perplexity(self) -> float:
        """exp(-log_prob / tokens), infinite where that overflows; NaN for no tokens."""
        if not self.tokens:
            return float("nan")
        loss = -self.log_prob / self.tokens
        return exp(loss) if not loss >= 700 else inf


class LineScorer:
    """Scores lines as textgru.LanguageModel.score_lines says. `from_eos`: the model knows how documents begin."""

    def __init__(self, packed: Packed, tokenizer: Tokenizer, *, from_eos: bool) -> None:
        self._packed, self._tokenizer = packed, tokenizer
        line_end = tokenizer.encode("\n")
        self._start = line_end if len(line_end) else np.zeros(1, np.intp)
        if from_eos and tokenizer.eos_id is not None:
            self._start = np.array([tokenizer.eos_id], np.intp)
        self._end = "\n" if len(line_end) and tokenizer.unk_id not in line_end else ""

    def score(self, lines: Sequence[str]) -> list[LineScore]:
        """The scores of lines, in their order."""
        texts = [line + self._end for line in lines]
        ids = [self._tokenizer.encode(text) for text in texts]
        lengths = np.array([len(line) for line in ids], np.intp)
        losses = np.zeros(len(ids))
        for batch in _side_by_side(lengths):
            losses[batch] = self._losses([ids[i] for i in batch])
        unknown = self._tokenizer.unk_id
        return [
            LineScore(
                0.0 - float(loss),
                len(line),
                len(text),
                0 if unknown is None else int(np.count_nonzero(line == unknown)),
            )
            for loss, line, text in zip(losses, ids, texts, strict=True)
        ]

    def _losses(self, ids: list[np.ndarray]) -> np.ndarray:
        """The negative log-likelihood (B,) in nats of lines of these ids, each after the start."""
        rows, longest = len(ids), max(map(len, ids))
        session, total = session_of(self._packed, rows), np.zeros(rows)
        session.read(np.repeat(self._start[:-1, None], rows, axis=1))
        last = np.full((1, rows), self._start[-1])
        for first in range(0, longest, STEPS):
            parts = [line[first : first + STEPS] for line in ids]
            targets = np.zeros((max(map(len, parts)), rows), np.intp)
            for row, part in enumerate(parts):
                targets[: len(part), row] = part
            losses = session.losses(np.concatenate([last, targets[:-1]]), targets)
            for row, (part, own) in enumerate(zip(parts, np.ascontiguousarray(losses.T), strict=True)):
                total[row] += own[: len(part)].sum()
            last = targets[-1:]
        return total


def _side_by_side(lengths: np.ndarray) -> Iterator[np.ndarray]:
    """The numbers of lines that are read together: those of about the same length, the longest last; none that have no
    tokens."""
    order = np.argsort(lengths, kind="stable")
    order = order[np.count_nonzero(lengths == 0) :]
    first = 0
    while first < len(order):
        longest = 1.5 * lengths[order[first]] + NEAR
        last = first + int(np.searchsorted(lengths[order[first : first + ROWS]], longest, side="right"))
        yield order[first:last]
        first = last
