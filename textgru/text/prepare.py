"""From text files to a tokenizer and a corpus of token ids: encoded now, or taken from what was encoded before."""

from __future__ import annotations

import codecs
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import tokenizers

from textgru.errors import InputError, shown
from textgru.text.cache import TokenCache, hash_files
from textgru.text.corpus import Corpus
from textgru.text.file_search import status
from textgru.text.files import packing, read_blocks
from textgru.text.spooling import SpooledFile
from textgru.text.tokenizer import DEFAULT_VOCABULARY, END_OF_TEXT, KINDS, Tokenizer

FORMAT = 2  # of the ids in the cache: another one for every change of what a text is encoded to

OnProgress = Callable[[str, int, int], None]  # what is being done, bytes done, bytes in all


@dataclass(frozen=True)
class EncodedText:
    """A tokenizer, the ids of a text, and whether they were taken from the cache."""

    tokenizer: Tokenizer
    corpus: Corpus
    encoded_before: bool


def encode_text(
    paths: Sequence[Path | SpooledFile],
    tokenizer: str | Tokenizer,
    target: Path,
    *,
    vocab_size: int | None = None,
    encoding: str = "utf-8",
    val_fraction: float | None = None,
    separate_documents: bool = False,
    cache: TokenCache | None = None,
    on_progress: OnProgress | None = None,
) -> EncodedText:
    """Encodes the files to the file `target`, or puts what the cache has there: it must never be written to.

    `tokenizer`: one, or the kind of a new one, or the path of a tokenizer.json; `vocab_size`: of a new bpe tokenizer;
    `val_fraction`: see Corpus.encode; `separate_documents`: a token follows each file, the tokenizer's own or, in a new
    one, <|endoftext|>. `on_progress(what, done, total)` is called with the bytes of the files. Raises InputError.
    """
    named = tokenizer if isinstance(tokenizer, str) and tokenizer not in KINDS else ""
    if named and (named.endswith(".json") or status(Path(named)) is not None):
        if vocab_size is not None:
            raise InputError("vocab_size: only a new bpe tokenizer has one to set")
        tokenizer = Tokenizer.load(named)
    if separate_documents and isinstance(tokenizer, Tokenizer) and tokenizer.eos_id is None:
        raise InputError(
            f"separate_documents: the tokenizer has no token {END_OF_TEXT} to put between documents; "
            "take one that has it, or a new one (char, byte or bpe)"
        )
    meter = _Meter(paths, on_progress)
    before: list[str] = []  # the hashes of the files when the cache is asked
    key = ""
    if cache is not None:
        before = hash_files(paths, meter.start("reading"))
        key = _key(before, paths, tokenizer, vocab_size, encoding, separate_documents)
        if (found := _find(cache, key, tokenizer, target, val_fraction)) is not None:
            return found
    learned: list[list[str]] = []  # and in each pass that the tokenizer learns from

    def blocks() -> Iterator[str]:
        learned.append([])
        return read_blocks(paths, encoding, on_read, learned[-1].append)

    if not isinstance(tokenizer, Tokenizer):
        on_read = meter.start("tokenizer", passes=2 if tokenizer == "bpe" else 1)
        tokenizer = Tokenizer.train(
            tokenizer, blocks, vocab_size=vocab_size, eos=separate_documents, on_learning=meter.waiting("tokenizer")
        )
    encoded: list[str] = []  # and when they are encoded
    corpus = Corpus.encode(
        tokenizer, paths, target, encoding=encoding, val_fraction=val_fraction,
        separate_documents=separate_documents, on_read=meter.start("encoding"), on_hash=encoded.append,
    )  # fmt: skip
    _check_unchanged(paths, [*learned, encoded])
    if cache is not None and encoded == before:
        cache.keep(key, target, tokenizer.to_json(), {"characters": corpus.characters, "sha256": corpus.sha256})
    return EncodedText(tokenizer, corpus, False)


def _find(
    cache: TokenCache, key: str, tokenizer: str | Tokenizer, target: Path, val_fraction: float | None
) -> EncodedText | None:
    """What the cache has of this name. None if that is nothing, or damaged, which is removed."""
    found = cache.take(key, target)
    if found is None:
        return None
    json_text, facts = found
    try:
        if not isinstance(tokenizer, Tokenizer):
            tokenizer = Tokenizer.from_json(json_text)
        corpus = Corpus.open(
            tokenizer, target, characters=int(facts["characters"]), val_fraction=val_fraction,
            sha256=str(facts["sha256"]),
        )  # fmt: skip
    except (InputError, KeyError, TypeError, ValueError):
        cache.remove(key, target)
        return None
    return EncodedText(tokenizer, corpus, True)


def _check_unchanged(paths: Sequence[Path | SpooledFile], passes: Sequence[Sequence[str]]) -> None:
    """Raises InputError unless every pass, given as the hashes of the files, read the same bytes."""
    for read in passes:
        for path, once, again in zip(paths, read, passes[-1], strict=False):  # a pass may end before the last file
            if once != again:
                raise InputError(f"{shown(path)}: changed while it was read; start again when it is complete")


class _Meter:
    """Adds up the bytes that were read and tells the callback."""

    def __init__(self, paths: Sequence[Path | SpooledFile], on_progress: OnProgress | None) -> None:
        self._on_progress, self._lock = on_progress, Lock()
        self._size = sum(map(_size, paths)) if on_progress is not None else 0

    def start(self, what: str, passes: int = 1) -> Callable[[int], None]:
        """A function to call with the number of bytes that were just read; all files are read `passes` times."""
        done = 0

        def read(size: int) -> None:
            nonlocal done
            if self._on_progress is not None:
                with self._lock:
                    done += size
                    self._on_progress(what, done // passes, self._size)

        return read

    def waiting(self, what: str) -> Callable[[], None]:
        """What to call while something goes on after the files are read."""

        def wait() -> None:
            if self._on_progress is not None:
                with self._lock:
                    self._on_progress(what, self._size, self._size)

        return wait


def _size(path: Path | SpooledFile) -> int:
    there = status(Path(path))
    return 0 if there is None else there.st_size


def _key(
    hashes: Sequence[str],
    paths: Sequence[Path | SpooledFile],
    tokenizer: str | Tokenizer,
    vocab_size: int | None,
    encoding: str,
    separate_documents: bool,
) -> str:
    """The name of all that the ids depend on."""
    wanted: dict[str, Any]
    if isinstance(tokenizer, Tokenizer):
        wanted = {"json": hashlib.sha256(tokenizer.to_json().encode()).hexdigest()}
    else:
        wanted = {"kind": tokenizer, "vocab_size": DEFAULT_VOCABULARY if vocab_size is None else vocab_size}
    facts = [
        FORMAT, list(zip(hashes, map(packing, paths), strict=True)), codecs.lookup(encoding).name, wanted,
        separate_documents, tokenizers.__version__,
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()
