"""Training batches of token ids."""

from __future__ import annotations

import numpy as np

from textgru.errors import InputError


class Batches:
    """Endless training batches: B rows, each a stream of its own through a part of the text, T steps a batch.

    An epoch walks every stream to its end; the hidden state is good from batch to batch within it. Each epoch starts
    at another offset below T, so that the same places are cut differently. `offset` and `next_step` say where the next
    batch is. `rows`: those of the batch that are wanted; which text they have doesn't depend on it.
    """

    def __init__(
        self,
        tokens: np.ndarray,
        batch_size: int,
        seq_length: int,
        rng: np.random.Generator,
        rows: slice | None = None,
    ) -> None:
        self._tokens = tokens
        self._rng = rng
        self._rows = range(batch_size)[rows or slice(None)]
        self.batch_size = batch_size
        self.seq_length = seq_length
        self.steps_per_epoch = (len(tokens) - 1) // batch_size // seq_length
        self.offset = 0
        self.next_step = 0  # of the epoch; 0: an epoch starts, at an offset that is still to be drawn
        if self.steps_per_epoch < 1:
            needed = batch_size * seq_length + 1
            raise InputError(
                f"too little text: {len(tokens):,} tokens for training, one batch needs {needed:,} "
                f"(--batch-size {batch_size} x --seq-length {seq_length} + 1); "
                "give more text, or a smaller --batch-size or --seq-length"
            )

    def go_on_at(self, offset: int, next_step: int) -> None:
        """The next batch is this step of an epoch at this offset. Raises ValueError if there is no such batch."""
        per_row = (len(self._tokens) - 1 - offset) // self.batch_size
        if not (0 <= offset < self.seq_length and 0 <= next_step < max(1, per_row // self.seq_length)):
            raise ValueError(f"offset {offset}, next_step {next_step}: no place in this text")
        self.offset, self.next_step = offset, next_step

    def __iter__(self) -> Batches:
        return self

    def __next__(self) -> tuple[bool, np.ndarray, np.ndarray]:
        seq, batch, step = self.seq_length, self.batch_size, self.next_step
        if step == 0:
            spare = len(self._tokens) - 1 - self.steps_per_epoch * seq * batch
            self.offset = int(self._rng.integers(0, min(seq, spare + 1)))
        per_row = (len(self._tokens) - 1 - self.offset) // batch
        window = np.empty((seq + 1, len(self._rows)), np.intp)
        for column, row in enumerate(self._rows):
            first = self.offset + row * per_row + step * seq
            window[:, column] = self._tokens[first : first + seq + 1]
        self.next_step = step + 1 if step + 1 < per_row // seq else 0
        return step == 0, window[:-1], window[1:]
