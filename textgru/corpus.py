"""Token ids on disk, and training batches."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from textgru.errors import InputError
from textgru.text_files import read_blocks
from textgru.tokenizer import Tokenizer

# Without a fraction of the user's own, no more than this is held out: enough for a steady figure, quick to evaluate.
MOST_HELD_OUT = 200_000
HELD_OUT_FRACTION = 0.1


@dataclass(frozen=True)
class Corpus:
    """Token ids for training and, from the end of the text, for validation. Both are 1-D and may be memory-mapped."""

    train: np.ndarray
    validation: np.ndarray
    characters: int  # of the whole text
    validation_characters: int

    @staticmethod
    def encode(
        tokenizer: Tokenizer,
        paths: Sequence[Path],
        target: Path,
        *,
        encoding: str = "utf-8",
        val_fraction: float | None = None,
    ) -> Corpus:
        """Encodes the files to the file `target` (uint8, uint16 or uint32) and maps it into memory.

        `val_fraction` of the tokens, from the end, are for validation; not given, a tenth but at most 200,000.
        Raises InputError for files that can't be read or have no text.
        """
        dtype = _id_type(tokenizer)
        characters = tokens = 0

        def counted() -> Iterator[str]:
            nonlocal characters
            for block in read_blocks(paths, encoding):
                characters += len(block)
                yield block

        with target.open("wb") as file:
            for ids in tokenizer.encode_blocks(counted()):
                file.write(ids.astype(dtype).tobytes())
                tokens += len(ids)
            file.flush()
            os.fsync(file.fileno())
        if not tokens:
            raise InputError(f"{', '.join(map(str, paths))}: no text in it; give a file with some text")
        ids = np.memmap(target, dtype, "r")
        if val_fraction is None:
            held_out = min(int(tokens * HELD_OUT_FRACTION), MOST_HELD_OUT)
        else:
            held_out = int(tokens * val_fraction)
        validation = ids[tokens - held_out :]
        return Corpus(ids[: tokens - held_out], validation, characters, tokenizer.count_characters(validation))

    @staticmethod
    def open(tokenizer: Tokenizer, encoded: Path, *, held_out: int, characters: int) -> Corpus:
        """What `encode` left in the file `encoded`; held_out tokens from the end are for validation.

        Raises InputError if the file isn't there or its tokens are not the tokenizer's.
        """
        try:
            ids = np.memmap(encoded, _id_type(tokenizer), "r")
        except (OSError, ValueError) as error:
            raise InputError(f"{encoded}: can't be read: {error}") from error
        if not 0 <= held_out < len(ids) or int(ids.max()) >= tokenizer.vocab_size:
            raise InputError(f"{encoded}: damaged: not the tokens of this run")
        validation = ids[len(ids) - held_out :]
        return Corpus(ids[: len(ids) - held_out], validation, characters, tokenizer.count_characters(validation))


def _id_type(tokenizer: Tokenizer) -> type[np.unsignedinteger]:
    return next(d for d in (np.uint8, np.uint16, np.uint32) if tokenizer.vocab_size - 1 <= np.iinfo(d).max)


class Batches:
    """Endless training batches: B rows, each a stream of its own through a part of the text, T steps a batch.

    An epoch walks every stream to its end; the hidden state is good from batch to batch within it. Each epoch starts
    at another offset below T, so that the same places are cut differently. `offset` and `next_step` say where the next
    batch is, and may be set.
    """

    def __init__(self, tokens: np.ndarray, batch_size: int, seq_length: int, rng: np.random.Generator) -> None:
        self._tokens = tokens
        self._rng = rng
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

    def __iter__(self) -> Iterator[tuple[bool, np.ndarray, np.ndarray]]:
        """Yields (whether an epoch starts here, tokens (T, B), targets (T, B)), both intp."""
        seq, batch = self.seq_length, self.batch_size
        window = np.empty((seq + 1, batch), np.intp)
        while True:
            step = self.next_step
            if step == 0:
                spare = len(self._tokens) - 1 - self.steps_per_epoch * seq * batch
                self.offset = int(self._rng.integers(0, min(seq, spare + 1)))
            per_row = (len(self._tokens) - 1 - self.offset) // batch
            for row in range(batch):
                first = self.offset + row * per_row + step * seq
                window[:, row] = self._tokens[first : first + seq + 1]
            self.next_step = step + 1 if step + 1 < per_row // seq else 0
            yield step == 0, window[:-1].copy(), window[1:].copy()
