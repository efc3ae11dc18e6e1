"""From text files to a tokenizer and a corpus of token ids: encoded now, or taken from what was encoded before."""

from __future__ import annotations

import codecs
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import tokenizers

from textgru.corpus import Corpus
from textgru.errors import InputError
from textgru.text_files import read_blocks
from textgru.token_cache import TokenCache, hash_files
from textgru.tokenizer import DEFAULT_VOCABULARY, END_OF_TEXT, KINDS, Tokenizer

FORMAT = 2  # of the ids in the cache: another one for every change of what a text is encoded to

OnProgress = Callable[[str, int, int], None]  # what is being done, bytes done, bytes in all


@dataclass(frozen=True)
class EncodedText:
    """A tokenizer, the ids of a text, and whether they were taken from the cache."""

    tokenizer: Tokenizer
    corpus: Corpus
    encoded_before: bool


def encode_text(
    paths: Sequence[Path],
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
    if named.endswith(".json") or (named and Path(named).exists()):
        if vocab_size is not None:
            raise InputError("vocab_size: only a new bpe tokenizer has one to set")
        tokenizer = Tokenizer.load(named)
    if separate_documents and isinstance(tokenizer, Tokenizer) and tokenizer.eos_id is None:
        raise InputError(
            f"separate_documents: the tokenizer has no token {END_OF_TEXT} to put between documents; "
            "take one that has it, or a new one (char, byte or bpe)"
        )
    meter = _Meter(paths, on_progress)
    key = _key(paths, tokenizer, vocab_size, encoding, separate_documents, meter) if cache is not None else None
    if cache is not None and key is not None and (found := cache.take(key, target)) is not None:
        try:
            known = Tokenizer.from_json(found[0])
            corpus = Corpus.open(known, target, characters=int(found[1]["characters"]), val_fraction=val_fraction)
            return EncodedText(tokenizer if isinstance(tokenizer, Tokenizer) else known, corpus, True)
        except (InputError, KeyError, TypeError, ValueError):
            cache.remove(key, target)
    if not isinstance(tokenizer, Tokenizer):
        on_read = meter.start("tokenizer", passes=2 if tokenizer == "bpe" else 1)
        tokenizer = Tokenizer.train(
            tokenizer, lambda: read_blocks(paths, encoding, on_read), vocab_size=vocab_size, eos=separate_documents,
            on_learning=meter.waiting("tokenizer"),
        )  # fmt: skip
    corpus = Corpus.encode(
        tokenizer, paths, target, encoding=encoding, val_fraction=val_fraction,
        separate_documents=separate_documents, on_read=meter.start("encoding"),
    )  # fmt: skip
    if cache is not None and key is not None:
        cache.keep(key, target, tokenizer.to_json(), {"characters": corpus.characters})
    return EncodedText(tokenizer, corpus, False)


class _Meter:
    """Adds up the bytes that were read and tells the callback."""

    def __init__(self, paths: Sequence[Path], on_progress: OnProgress | None) -> None:
        self._on_progress, self._lock = on_progress, Lock()
        self._size = sum(path.stat().st_size for path in paths) if on_progress is not None else 0

    def start(self, what: str, passes: int = 1) -> Callable[[int], None]:
        """What to call with the bytes that were just read, the files being read so many times."""
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


def _key(
    paths: Sequence[Path],
    tokenizer: str | Tokenizer,
    vocab_size: int | None,
    encoding: str,
    separate_documents: bool,
    meter: _Meter,
) -> str:
    """The name of all that the ids depend on."""
    wanted: dict[str, Any]
    if isinstance(tokenizer, Tokenizer):
        wanted = {"json": hashlib.sha256(tokenizer.to_json().encode()).hexdigest()}
    else:
        wanted = {"kind": tokenizer, "vocab_size": DEFAULT_VOCABULARY if vocab_size is None else vocab_size}
    try:
        hashes = hash_files(paths, meter.start("reading"))
    except OSError as error:
        raise InputError(f"{error.filename}: can't be read: {error.strerror}") from error
    packed = [path.suffix if path.suffix in (".gz", ".zst") else "" for path in paths]
    facts = [
        FORMAT, list(zip(hashes, packed, strict=True)), codecs.lookup(encoding).name, wanted, separate_documents,
        tokenizers.__version__,
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()
