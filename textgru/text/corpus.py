"""Token ids on disk."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from textgru.errors import InputError, StorageError, shown
from textgru.text.file_hash import Hash, hash_file
from textgru.text.files import read_blocks
from textgru.text.spooling import SpooledFile
from textgru.text.tokenizer import Tokenizer

# Without a fraction of the user's own, no more than this is held out: enough for a steady figure, quick to evaluate.
MOST_HELD_OUT = 200_000
HELD_OUT_FRACTION = 0.1
AT_A_TIME = 1 << 20  # tokens whose characters are counted in one go
PARTS, LOOKED_AT = 256, 4096  # encoded text that is opened again is checked in 256 places, 4,096 tokens in each


@dataclass(frozen=True)
class Corpus:
    """Token ids for training and, from the end of the text, for validation. Both are 1-D and may be memory-mapped."""

    train: np.ndarray
    validation: np.ndarray
    characters: int  # of the whole text
    validation_characters: int
    sha256: str | None = None  # of the file of ids, where it is known

    @staticmethod
    def encode(
        tokenizer: Tokenizer,
        paths: Sequence[Path | SpooledFile],
        target: Path,
        *,
        encoding: str = "utf-8",
        val_fraction: float | None = None,
        separate_documents: bool = False,
        on_read: Callable[[int], None] | None = None,
        on_hash: Callable[[str], None] | None = None,
        on_text: Callable[[str], None] | None = None,
    ) -> Corpus:
        """Encodes the files to the file `target` (of the tokenizer's id_type) and maps it into memory.

        `val_fraction` of the tokens, from the end, are for validation; not given, a tenth but at most 200,000.
        `separate_documents`: the tokenizer's end of a document follows each file. `on_read`, `on_hash`: see
        read_blocks; `on_text` is called with each block of the text.
        Raises InputError for files that can't be read or have no text, StorageError if there is no room for the ids.
        """
        characters = 0

        def counted(paths: Sequence[Path | SpooledFile]) -> Iterator[str]:
            nonlocal characters
            for block in read_blocks(paths, encoding, on_read, on_hash):
                characters += len(block)
                if on_text is not None:
                    on_text(block)
                yield block

        end = np.array([tokenizer.eos_id], tokenizer.id_type) if separate_documents else None
        written = Hash()
        target.unlink(missing_ok=True)  # it may be a link to what others use
        try:
            with target.open("wb") as file:
                for document in [paths] if end is None else [[path] for path in paths]:
                    for ids in tokenizer.encode_blocks(counted(document)):
                        written.update(ids.data)
                        file.write(ids.data)
                    if end is not None:
                        written.update(end.data)
                        file.write(end.data)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise StorageError(
                f"{shown(target.parent)}: the encoded text, {target.name}: can't be written: {error.strerror}"
            ) from error
        if not characters:
            raise InputError(f"{', '.join(map(shown, paths))}: no text in it; give a file with some text")
        corpus = Corpus.open(tokenizer, target, characters=characters, val_fraction=val_fraction)
        return replace(corpus, sha256=written.hexdigest())

    @staticmethod
    def open(
        tokenizer: Tokenizer,
        encoded: Path,
        *,
        characters: int,
        held_out: int | None = None,
        val_fraction: float | None = None,
        tokens: int | None = None,
        sha256: str | None = None,
    ) -> Corpus:
        """What `encode` left in the file `encoded`; `held_out` tokens from the end are for validation, or as many as
        `val_fraction` says. `tokens` is how many there are in all and `sha256` the hash of the file, as far as known.

        Raises InputError if the file isn't there, or isn't what it was by its size and hash; or if its tokens are not
        the tokenizer's, as far as a look at parts of it tells; the network looks at every token that it reads.
        """
        item_size = np.dtype(tokenizer.id_type).itemsize
        try:
            size = encoded.stat().st_size
            if size == 0 or size % item_size or (tokens is not None and size != item_size * tokens):
                wanted = f"some, {item_size} for each token" if tokens is None else f"{item_size * tokens:,}"
                raise InputError(f"{shown(encoded)}: damaged: {size:,} bytes, expected {wanted}")
            if sha256 is not None and hash_file(encoded) != sha256:
                raise InputError(f"{shown(encoded)}: damaged: its bytes are not those that were written")
            ids = np.memmap(encoded, tokenizer.id_type, "r")
        except OSError as error:
            raise InputError(f"{shown(encoded)}: can't be read: {error.strerror}") from error
        count = len(ids)
        if held_out is None and val_fraction is not None:
            held_out = int(count * val_fraction)
        elif held_out is None:
            held_out = min(int(count * HELD_OUT_FRACTION), MOST_HELD_OUT)
        if not 0 <= held_out < count or _largest(encoded, ids) >= tokenizer.vocab_size:
            raise InputError(f"{shown(encoded)}: damaged: not the tokens of this run")
        validation = ids[count - held_out :]
        counts = (tokenizer.count_characters(validation[i : i + AT_A_TIME]) for i in range(0, held_out, AT_A_TIME))
        return Corpus(ids[: count - held_out], validation, characters, sum(counts), sha256)

    def share(self, token: int | None) -> float:
        """The part of all tokens, 0 to 1, that are this one; 0 for None."""
        if token is None:
            return 0.0
        parts = [
            part[i : i + AT_A_TIME] for part in (self.train, self.validation) for i in range(0, len(part), AT_A_TIME)
        ]
        return sum(int(np.count_nonzero(part == token)) for part in parts) / (len(self.train) + len(self.validation))


def _largest(encoded: Path, ids: np.ndarray) -> int:
    """The largest id in parts of the file that is mapped as `ids`. Reading them leaves less in memory than looking at
    the map, which brings much of what is around them."""
    largest = 0
    with encoded.open("rb") as file:
        for first in range(0, len(ids), max(LOOKED_AT, len(ids) // PARTS)):
            file.seek(first * ids.itemsize)
            part = np.frombuffer(file.read(min(LOOKED_AT, len(ids) - first) * ids.itemsize), ids.dtype)
            largest = max(largest, int(part.max()))
    return largest
