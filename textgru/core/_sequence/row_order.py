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

    `place` (first, all): these are rows of a larger batch, from the first on, of that many in all, whose masks they
    have.
    """

    _fixed = frozenset({"steps", "batch", "whole", "first", "rows", "middle", "place"})

    place: tuple[int, int] | None = None
    offsets: np.ndarray | None = None  # where rows have lengths of their own: PackedOrder

    def __init__(self, steps: int, batch: int, place: tuple[int, int] | None = None) -> None:
        self.steps, self.batch = steps, batch = check_size("steps", steps), check_size("batch", batch)
        self.whole = batch < 2 * SMALLEST_HALF
        self.first = first = batch if self.whole else batch // 2  # rows of the batch in the first half
        self.rows, self.middle = steps * batch, steps * first
        self.place = None if place == (0, batch) else place

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
        if self.place is not None:
            self._drop_as_part(rows, p, key, variational, source)
            return
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

    def _drop_as_part(self, rows: np.ndarray, p: float, key: int, variational: bool, source: np.ndarray | None) -> None:
        """The same where these are rows of a larger batch: piece by piece, as its rows stand in a mask of all."""
        assert self.place is not None
        offset, batch = self.place
        all_rows, width = RowOrder(self.steps, batch), rows.shape[1]
        if source is not None:
            rows[...] = source
        parts = zip(self._halves(rows), (0, self.first), (self.first, self.batch), strict=True)
        for half, begin, end in parts:
            for first, last in (
                (offset + begin, min(offset + end, all_rows.first)),
                (max(offset + begin, all_rows.first), offset + end),
            ):
                if first >= last:
                    continue
                for step in range(self.steps):
                    piece = half[step, first - offset - begin : last - offset - begin].reshape(-1)
                    at = first if variational else all_rows.position(step, first)
                    dropout(piece, p, key, 0, at * width)

    def position(self, step: int, row: int) -> int:
        """Where a row of the batch stands at a step."""
        if row < self.first:
            return step * self.first + row
        second = self.batch - self.first
        return self.middle + (self.steps - 1 - step) * second + row - self.first

    def _bytes(self, array: np.ndarray) -> np.ndarray:
        """array (T, B, ...) as bytes (T, B, n)."""
        return np.ascontiguousarray(array).reshape(self.steps, self.batch, -1).view(np.uint8)

    def _halves(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Views (T, rows of the half, ...), both from the first step on."""
        first = rows[: self.middle].reshape(self.steps, self.first, *rows.shape[1:])
        second = rows[self.middle :].reshape(self.steps, self.batch - self.first, *rows.shape[1:])
        return first, second[::-1]
