"""Encoded texts that are kept from one training to the next, and found by what is in the files, never by their dates.

    KEY/tokens.bin       the ids; runs have hard links to it, so nobody ever writes into it
    KEY/tokenizer.json
    KEY/facts.json       sizes and counts, by which a damaged entry is noticed

Entries are put together beside their place and renamed into it. What isn't an entry by its name and by all that is in
it is somebody else's and stays. A cache that can't be read or written is no error: then nothing is found or kept.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from textgru.atomic_files import link_or_copy
from textgru.core import get_num_threads
from textgru.errors import InputError, shown
from textgru.text.file_hash import hash_file
from textgru.text.spooling import SpooledFile

FOLDER, LIMIT = "TEXTGRU_CACHE", "TEXTGRU_CACHE_LIMIT"  # environment variables
DEFAULT_LIMIT = 10.0  # GB
TOKENS, TOKENIZER, FACTS = "tokens.bin", "tokenizer.json", "facts.json"
UNFINISHED = ".new-"
ABANDONED_AFTER = 3600.0  # seconds
_ENTRY, _UNFINISHED = re.compile("[0-9a-f]{64}"), re.compile(re.escape(UNFINISHED) + "[a-z0-9_]+")


class TokenCache:
    """The entries in a folder, of at most `limit` bytes together."""

    def __init__(self, folder: Path, limit: float) -> None:
        self.folder = folder
        self.limit = limit

    @staticmethod
    def of_user() -> TokenCache | None:
        """In $TEXTGRU_CACHE, or else where the system keeps caches; at most $TEXTGRU_CACHE_LIMIT gigabytes (10).

        None where the user has no place for it. Raises InputError for a limit that is no number from 0 up.
        """
        text = os.environ.get(LIMIT) or str(DEFAULT_LIMIT)
        try:
            limit = float(text)
        except ValueError:
            limit = -1.0
        if not limit >= 0:
            raise InputError(f"{LIMIT}: expected a number of gigabytes, got {text!r}; give one from 0 up")
        folder = _user_folder()
        return None if folder is None else TokenCache(folder, limit * 1e9)

    def take(self, key: str, tokens: Path) -> tuple[str, dict[str, Any]] | None:
        """Puts the ids of an entry into the file `tokens`, as a hard link where that goes. Returns its
        tokenizer.json and facts.

        None if there is no such entry. A damaged one is removed.
        """
        entry = self.folder / key
        try:
            if not _is_entry(entry):
                return None
            facts = json.loads((entry / FACTS).read_bytes())
            tokenizer = (entry / TOKENIZER).read_bytes()
            link_or_copy(entry / TOKENS, tokens)
            if tokens.stat().st_size == facts["bytes"] and hashlib.sha256(tokenizer).hexdigest() == facts[TOKENIZER]:
                with contextlib.suppress(OSError):
                    os.utime(entry)  # used now
                return tokenizer.decode(), facts
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
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
                link_or_copy(tokens, new / TOKENS)
                _write(new / TOKENIZER, tokenizer.encode())
                facts = {**facts, "bytes": size, TOKENIZER: hashlib.sha256(tokenizer.encode()).hexdigest()}
                _write(new / FACTS, json.dumps(facts).encode())
                new.rename(self.folder / key)  # fails if another process has made it meanwhile
            finally:
                _discard(new)
            self._make_room()

    def remove(self, key: str, *others: Path) -> None:
        """Removes an entry if it is there, which is gone at once for everybody else, and other files."""
        for other in others:
            other.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            if _is_entry(self.folder / key):
                aside = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=self.folder))
                try:
                    (self.folder / key).rename(aside / key)
                finally:
                    _discard(aside)

    def _make_room(self) -> None:
        """Removes the entries that were used least recently while there is too much, and what killed processes left."""
        entries = []
        for path in self.folder.iterdir():
            with contextlib.suppress(OSError):  # another process may be removing it
                used = path.stat().st_mtime
                if _is_entry(path):
                    entries.append((used, path.name, sum(file.stat().st_size for file in path.iterdir())))
                elif _is_unfinished(path) and time.time() - used > ABANDONED_AFTER:
                    _discard(path)
        total = 0
        for _, name, size in sorted(entries, reverse=True):
            total += size
            if total > self.limit:
                self.remove(name)


def _is_entry(path: Path) -> bool:
    """Whether a folder is an entry of a cache: by its name, and by what is in it, all of which is an entry's."""
    return _ENTRY.fullmatch(path.name) is not None and _has_only_ours(path)


def _is_unfinished(path: Path) -> bool:
    """Whether a folder is an entry that is being put together, or removed."""
    if _UNFINISHED.fullmatch(path.name) is None or path.is_symlink():
        return False
    return _has_only_ours(path) or all(_is_entry(inside) for inside in path.iterdir())


def _has_only_ours(folder: Path) -> bool:
    """Whether it is a folder, not a link to one, with files of an entry in it and nothing else."""
    if folder.is_symlink() or not folder.is_dir():
        return False
    with os.scandir(folder) as files:
        ours = [file.name in (TOKENS, TOKENIZER, FACTS) and file.is_file(follow_symlinks=False) for file in files]
    return bool(ours) and all(ours)


def _discard(unfinished: Path) -> None:
    """Removes an unfinished entry, or one that was put aside in it; what isn't ours stays, and the folders it is in."""
    with contextlib.suppress(OSError):
        for folder in (*filter(_is_entry, unfinished.iterdir()), unfinished):
            for name in (TOKENS, TOKENIZER, FACTS):
                (folder / name).unlink(missing_ok=True)
            folder.rmdir()


def hash_files(paths: Sequence[Path | SpooledFile], on_read: Callable[[int], None]) -> list[str]:
    """The SHA-256 of every file, several at once. `on_read` is called, from any thread, with the bytes that were read.

    Raises InputError for one that can't be read."""

    def hash_one(path: Path | SpooledFile) -> str:
        try:
            return hash_file(Path(path), on_read)
        except OSError as error:
            raise InputError(f"{shown(path)}: can't be read: {error.strerror}") from error

    with ThreadPoolExecutor(get_num_threads()) as pool:
        return list(pool.map(hash_one, paths))


def _user_folder() -> Path | None:
    """Where the cache is; None for a user without a home."""
    if folder := os.environ.get(FOLDER):
        return _expanded(folder)
    cache = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if cache.is_absolute():  # by that standard, any other is to be ignored
        return cache / "textgru"
    home = _expanded("~")
    if home is None or not home.is_absolute():
        return None
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "textgru"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home, "textgru", "cache")
    return home / ".cache" / "textgru"


def _expanded(folder: str) -> Path | None:
    """The folder, ~ being the user's home; None where there is no such home."""
    path = Path(os.path.expanduser(folder))  # noqa: PTH111 (Path.expanduser raises where there is none)
    return None if path.parts and path.parts[0].startswith("~") else path


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    _flush(path)


def _flush(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())
