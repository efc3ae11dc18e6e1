"""Tasks that need a memory of a known length. Each gives a batch: inputs (T, B, I), targets, and where they count."""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np

SYMBOLS, COPIED = 8, 5  # of the copy task: how many kinds, how many are to be kept


class Batch(NamedTuple):
    """`classes` (T, B) intp, -100 where nothing is asked; or `numbers` (B,), asked after the last step."""

    x: np.ndarray
    classes: np.ndarray | None
    numbers: np.ndarray | None


def adding(length: int, batch: int, rng: np.random.Generator) -> Batch:
    """Two of the numbers are marked; their sum is asked at the end (Hochreiter and Schmidhuber 1997, section 5.4). The
    first mark stands in the first half."""
    x = np.zeros((length, batch, 2), np.float32)
    x[:, :, 0] = rng.random((length, batch))
    rows = np.arange(batch)
    first, second = rng.integers(0, length // 2, batch), rng.integers(length // 2, length, batch)
    x[first, rows, 1] = x[second, rows, 1] = 1
    return Batch(x, None, x[first, rows, 0] + x[second, rows, 0])


def copy(length: int, batch: int, rng: np.random.Generator) -> Batch:
    """Five symbols, `length` blanks, a mark; then the symbols are asked (Arjovsky et al. 2016, arXiv:1511.06464,
    section 4.1)."""
    symbols = rng.integers(0, SYMBOLS, (COPIED, batch))
    steps = 2 * COPIED + length
    ids = np.full((steps, batch), SYMBOLS, np.intp)
    ids[:COPIED], ids[-COPIED] = symbols, SYMBOLS + 1
    classes = np.full((steps, batch), -100, np.intp)
    classes[-COPIED:] = symbols
    return Batch(np.eye(SYMBOLS + 2, dtype=np.float32)[ids], classes, None)


class Quotes:
    """In real text: is a quotation open here? Asked `length` characters after a mark, with no other between; the marks
    before it are hidden. What tells are the characters beside the mark, and a little how people speak."""

    def __init__(self, text: str) -> None:
        text = re.sub(r"\s+", " ", text)
        characters = sorted({*text})
        number = {c: i for i, c in enumerate(characters)}
        self.width = len(characters)
        self._ids = np.array([number[c] for c in text], np.intp)
        marks = np.flatnonzero(self._ids == number['"'])
        self._opens = np.zeros(len(text), bool)
        self._opens[marks[::2]] = True
        self._marks = marks

    def batch(self, length: int, batch: int, rng: np.random.Generator) -> Batch:
        """Pieces that begin 20 characters before a mark. Both kinds of places are equally likely."""
        before = 20
        gaps = np.diff(np.append(self._marks, len(self._ids)))
        fits = self._marks[(gaps > length) & (self._marks >= before)]
        opening, closing = fits[self._opens[fits]], fits[~self._opens[fits]]
        if not len(opening) or not len(closing):
            raise ValueError(f"the text has no quotation of {length} characters")
        kinds = rng.integers(0, 2, batch)
        at = np.where(kinds == 1, rng.choice(opening, batch), rng.choice(closing, batch))
        steps = before + length + 1
        x = np.eye(self.width, dtype=np.float32)[self._ids[at - before + np.arange(steps)[:, None]]]
        # The marks before are hidden: they would tell which kind comes next.
        hidden = x[:before]
        quote = self._ids[self._marks[0]]
        hidden[hidden[:, :, quote] == 1] = 0
        classes = np.full((steps, batch), -100, np.intp)
        classes[-1] = kinds
        return Batch(x, classes, None)
