"""The order in which the core keeps the rows of a batch at many steps."""

from __future__ import annotations

import numpy as np

from textgru.core._sequence.row_copies import put_halves, take_halves
from textgru.core._support.checks import check_size
from textgru.core._support.dropout import dropout
from textgru.core._support.fixed import Fixed

SMALLEST_HALF = 16  # rows of a batch


class RowOrder(Fixed):
    """T steps of B rows of a batch as N = T * B rows one after another: first those of one half of the batch, step by
    step, then those of the other half, from the last step back to the first. Batches of fewer than 32 rows stay whole.

    So each of two threads has a part of every array for itself, from one end to the middle, and CPUs with caches of
    their own pass nothing to each other; interleaved step by step, each would fetch lines of the other's ahead. More
    threads share the halves. The second half runs backwards so that the states before the first step can stand at both
    ends of all states, and these be one matrix: `before`.
    """

    _fixed = frozenset({"steps", "batch", "whole", "first", "rows", "middle"})

    offsets: np.ndarray | None = None  # where rows have lengths of their own: PackedOrder

    def __init__(self, steps: int, batch: int) -> None:
        self.steps, self.batch = steps, batch = check_size("steps", steps), check_size("batch", batch)
        self.whole = batch < 2 * SMALLEST_HALF
        self.first = first = batch if self.whole else batch // 2  # rows of the batch in the first half
        self.rows, self.middle = steps * batch, steps * first

    def take(self, array: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """array (T, B, ...) as rows (N, ...): a view of a whole batch, or else in `out` (C-contiguous), if given."""
        if self.whole:
            return array.reshape(self.rows, *array.shape[2:])
        if out is None:
            out = np.empty((self.rows, *array.shape[2:]), array.dtype)
        take_halves(self._bytes(array), out.reshape(self.rows, -1).view(np.uint8), self.first)
        return out

    def put(self, rows: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Rows (N, ...) as an array (T, B, ...): a view of a whole batch, or else in `out` (C-contiguous), if given."""
        if self.whole:
            return rows.reshape(self.steps, self.batch, *rows.shape[1:])
        if out is None:
            out = np.empty((self.steps, self.batch, *rows.shape[1:]), rows.dtype)
        put_halves(np.ascontiguousarray(rows).reshape(self.rows, -1).view(np.uint8), self._bytes(out), self.first)
        return out

    def states(self, h: np.ndarray) -> np.ndarray:
        """The part of h (N + B, H) that are the states after each step: rows (N, H)."""
        return h[self.first : self.first + self.rows]

    def begin(self, h: np.ndarray, h_0: np.ndarray | None) -> None:
        """Puts the states before the first step, h_0 (B, H) or zeros, into h (N + B, H)."""
        first, second = h[: self.first], h[self.first + self.rows :]
        if h_0 is None:
            first[...] = second[...] = 0
        else:
            first[...], second[...] = h_0[: self.first], h_0[self.first :]

    def before(self, h: np.ndarray) -> list[tuple[slice, np.ndarray]]:
        """For each half its rows, and the states (of h) before the step of each of them."""
        if self.whole:
            return [(slice(self.rows), h[: self.rows])]
        return [
            (slice(self.middle), h[: self.middle]),
            (slice(self.middle, self.rows), h[self.middle + self.batch :]),
        ]

    def last(self, rows: np.ndarray, out: np.ndarray) -> None:
        """out (B, ...) = those of the rows (N, ...) that are the last step's."""
        first, second = self._halves(rows)
        out[: self.first], out[self.first :] = first[-1], second[-1]

    def rows_of_batch(self, array: np.ndarray) -> np.ndarray:
        """array (L, B, H), a row of the batch after the other, as the rows stand at the first step."""
        return array

    def batch_of_rows(self, array: np.ndarray) -> np.ndarray:
        """The way back."""
        return array

    def drop(
        self, rows: np.ndarray, p: float, key: int, *, variational: bool, source: np.ndarray | None = None
    ) -> None:
        """Dropout of rows (N, n), in place or from `source`; where `variational`, with one mask for all steps."""
        width = rows.shape[1]
        if not variational:
            dropout(rows.reshape(-1), p, key, source=None if source is None else source.reshape(-1))
            return
        for begin, end, first, last in (
            (0, self.middle, 0, self.first),
            (self.middle, self.rows, self.first, self.batch),
        ):
            flat = rows[begin:end].reshape(-1)
            from_rows = None if source is None else source[begin:end].reshape(-1)
            dropout(flat, p, key, (last - first) * width, first * width, from_rows)

    def _bytes(self, array: np.ndarray) -> np.ndarray:
        """array (T, B, ...) as bytes (T, B, n)."""
        return np.ascontiguousarray(array).reshape(self.steps, self.batch, -1).view(np.uint8)

    def _halves(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Views (T, rows of the half, ...), both from the first step on."""
        first = rows[: self.middle].reshape(self.steps, self.first, *rows.shape[1:])
        second = rows[self.middle :].reshape(self.steps, self.batch - self.first, *rows.shape[1:])
        return first, second[::-1]
