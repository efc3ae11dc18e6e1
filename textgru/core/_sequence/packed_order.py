"""The order of rows of a batch of which each has a length of its own."""

from __future__ import annotations

import numpy as np

from textgru.core._sequence.row_order import RowOrder
from textgru.core._support.dropout import dropout


class PackedOrder(RowOrder):
    """As RowOrder, where row b of the batch has lengths[b] steps of the T: N rows are the sum of the lengths.

    Step by step, the longest row of the batch first, so that those that have a step t stand together (as a
    PackedSequence of PyTorch): from `offsets`[t] to `offsets`[t + 1]. `backwards`: each row's last step comes first.
    Arrays (T, B, ...) are zero after a row's end.
    """

    offsets: np.ndarray
    _fixed = RowOrder._fixed | {"offsets"}

    def __init__(self, steps: int, lengths: np.ndarray, *, backwards: bool = False) -> None:
        super().__init__(steps, len(lengths))
        del self.__dict__["whole"], self.__dict__["first"], self.__dict__["rows"], self.__dict__["middle"]
        self.whole, self.first = False, self.batch
        self.sorted = np.argsort(-lengths, kind="stable")  # which row of the batch stands where
        self.sorted_lengths = lengths[self.sorted]
        counts = (self.sorted_lengths > np.arange(steps)[:, None]).sum(1)  # (T,)
        self.offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.intp)
        self.rows = self.middle = int(self.offsets[-1])
        step = np.repeat(np.arange(steps), counts)  # (N,)
        self.row = np.arange(self.rows) - self.offsets[step]  # (N,): which of the sorted rows
        there = self.sorted_lengths[self.row] - 1 - step if backwards else step
        self.source = (there * self.batch + self.sorted[self.row]).astype(np.intp)  # (N,): where it is in (T B, ...)
        # Where the state before it is, in states (N + B, H) that begin with those before the first step.
        self.previous = np.where(step > 0, self.batch + self.offsets[step - 1], 0) + self.row

    def take(self, array: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        flat = array.reshape(self.steps * self.batch, *array.shape[2:])
        return np.take(flat, self.source, axis=0, out=out, mode="clip")

    def put(self, rows: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        if out is None:
            out = np.zeros((self.steps, self.batch, *rows.shape[1:]), rows.dtype)
        else:
            out[...] = 0
        out.reshape(self.steps * self.batch, *rows.shape[1:])[self.source] = rows
        return out

    def begin(self, h: np.ndarray, h_0: np.ndarray | None) -> None:
        h[: self.batch] = 0 if h_0 is None else h_0[self.sorted]

    def before(self, h: np.ndarray) -> list[tuple[slice, np.ndarray]]:
        return [(slice(self.rows), np.take(h, self.previous, axis=0))]

    def last(self, rows: np.ndarray, out: np.ndarray) -> None:
        out[self.sorted] = rows[self.offsets[self.sorted_lengths - 1] + np.arange(self.batch)]

    def rows_of_batch(self, array: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(array[:, self.sorted])

    def batch_of_rows(self, array: np.ndarray) -> np.ndarray:
        out = np.empty_like(array)
        out[:, self.sorted] = array
        return out

    def drop(
        self, rows: np.ndarray, p: float, key: int, *, variational: bool, source: np.ndarray | None = None
    ) -> None:
        if not variational:
            super().drop(rows, p, key, variational=False, source=source)
            return
        mask = np.ones((self.batch, rows.shape[1]), rows.dtype)
        dropout(mask.reshape(-1), p, key)
        np.multiply(rows if source is None else source, mask[self.row], out=rows)
