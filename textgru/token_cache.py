"""Encoded texts that are kept from one training to the next, and found by what is in the files, never by their dates.

    KEY/tokens.bin       the ids; runs have hard links to it, so nobody ever writes into it
    KEY/tokenizer.json
    KEY/facts.json       sizes and counts, by which a damaged entry is noticed

Entries are put together beside their place and renamed into it. A cache that can't be read or written is no error:
then nothing is found, and nothing kept.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from textgru.core import get_num_threads
from textgru.errors import InputError

FOLDER, LIMIT = "TEXTGRU_CACHE", "TEXTGRU_CACHE_LIMIT"  # environment variables
DEFAULT_LIMIT = 10.0  # GB
TOKENS, TOKENIZER, FACTS = "tokens.bin", "tokenizer.json", "facts.json"
UNFINISHED = ".new-"
ABANDONED_AFTER = 3600.0  # seconds
BLOCK_BYTES = 1 << 22


class TokenCache:
    """The entries in a folder, of at most `limit` bytes together."""

    def __init__(self, folder: Path, limit: float) -> None:
        self.folder = folder
        self.limit = limit

    @staticmethod
    def of_user() -> TokenCache:
        """In $TEXTGRU_CACHE, or else where the system keeps caches; at most $TEXTGRU_CACHE_LIMIT gigabytes (10).

        Raises InputError for a limit that is no number.
        """
        limit = os.environ.get(LIMIT) or str(DEFAULT_LIMIT)
        try:
            return TokenCache(_user_folder(), float(limit) * 1e9)
        except ValueError as error:
            raise InputError(f"{LIMIT}: expected a number of gigabytes, got {limit!r}") from error

    def take(self, key: str, tokens: Path) -> tuple[str, dict[str, Any]] | None:
        """Puts the ids of an entry into the file `tokens`, as a hard link where that goes. Returns its
        tokenizer.json and facts.

        None if there is no such entry. A damaged one is removed.
        """
        entry = self.folder / key
        try:
            facts = json.loads((entry / FACTS).read_bytes())
            tokenizer = (entry / TOKENIZER).read_bytes()
            _link_or_copy(entry / TOKENS, tokens)
            if tokens.stat().st_size == facts["bytes"] and hashlib.sha256(tokenizer).hexdigest() == facts[TOKENIZER]:
                with contextlib.suppress(OSError):
                    os.utime(entry)  # used now
                return tokenizer.decode(), facts
        except (OSError, ValueError, KeyError, TypeError):
            pass
        self.remove(key, tokens)
        return None

    def keep(self, key: str, tokens: Path, tokenizer: str, facts: Mapping[str, Any]) -> None:
        """Makes an entry of a file of ids, which mustn't be written to any more, and removes those that were used least
        recently where there are too many."""
        with contextlib.suppress(OSError):
            size = tokens.stat().st_size
            if size > self.limit:
                return
            self.folder.mkdir(parents=True, exist_ok=True)
            new = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=self.folder))
            try:
                _link_or_copy(tokens, new / TOKENS)
                _write(new / TOKENIZER, tokenizer.encode())
                facts = {**facts, "bytes": size, TOKENIZER: hashlib.sha256(tokenizer.encode()).hexdigest()}
                _write(new / FACTS, json.dumps(facts).encode())
                new.rename(self.folder / key)  # fails if another process has made it meanwhile
            finally:
                shutil.rmtree(new, ignore_errors=True)
            self._make_room()

    def remove(self, key: str, *others: Path) -> None:
        """Removes an entry if it is there, which is gone at once for everybody else, and other files."""
        for other in others:
            other.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            if (self.folder / key).exists():
                aside = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=self.folder))
                (self.folder / key).rename(aside / key)
                shutil.rmtree(aside, ignore_errors=True)

    def _make_room(self) -> None:
        """Removes the entries that were used least recently while there is too much, and what killed processes left."""
        entries = [(path.stat().st_mtime, path) for path in self.folder.iterdir() if path.is_dir()]
        total = 0
        for used, path in sorted(entries, reverse=True):
            if path.name.startswith(UNFINISHED):
                if time.time() - used > ABANDONED_AFTER:
                    shutil.rmtree(path, ignore_errors=True)
                continue
            total += sum(file.stat().st_size for file in path.iterdir())
            if total > self.limit:
                self.remove(path.name)


def hash_files(paths: Sequence[Path], on_read: Callable[[int], None]) -> list[str]:
    """The SHA-256 of every file, several at once. `on_read` is called, from any thread, with the bytes that were read.

    Raises OSError."""
    with ThreadPoolExecutor(get_num_threads()) as pool:
        return list(pool.map(partial(_hash_file, on_read=on_read), paths))


def _hash_file(path: Path, on_read: Callable[[int], None]) -> str:
    digest, block = hashlib.sha256(), bytearray(BLOCK_BYTES)
    with path.open("rb", buffering=0) as file:
        while size := file.readinto(block):
            digest.update(memoryview(block)[:size])
            on_read(size)
    return digest.hexdigest()


def _user_folder() -> Path:
    if folder := os.environ.get(FOLDER):
        return Path(folder)
    if folder := os.environ.get("XDG_CACHE_HOME"):
        return Path(folder, "textgru")
    home = Path(os.path.expanduser("~"))  # noqa: PTH111 (Path.home() raises where there is none)
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "textgru"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home, "textgru", "cache")
    return home / ".cache" / "textgru"


def _link_or_copy(source: Path, target: Path) -> None:
    """A hard link where the file system has them; raises OSError where there is nothing to link to or no room."""
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        try:
            shutil.copyfile(source, target)
            _flush(target)
        except OSError:
            target.unlink(missing_ok=True)
            raise


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    _flush(path)


def _flush(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())
