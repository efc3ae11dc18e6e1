"""The files in folders and of patterns. What is hidden (a name that starts with a dot) is left out, links to folders
aren't followed below the one that was named, and what can't be read is an error, never left out."""

from __future__ import annotations

import fnmatch
import glob
import os
from collections.abc import Iterator
from pathlib import Path
from stat import S_ISDIR, S_ISREG

from textgru.errors import InputError, shown

TEXT_SUFFIXES = (".txt", ".txt.gz", ".txt.zst")  # of the files that a folder stands for, in small or capital letters
MOST_LOOKED_AT = 1_000_000  # names in folders
_OF_THE_SYSTEM = ("/", "/proc", "/sys", "/dev")


def status(path: Path) -> os.stat_result | None:
    """What os.stat says of a file, links followed; None where there is none. Raises InputError where that can't be told
    or no file can have such a name."""
    try:
        return path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise InputError(f"{shown(path)}: can't be read: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"{shown(path)}: no file can have this name: {error}") from error


def is_pattern(name: str) -> bool:
    """Whether there is a *, ? or [ in it."""
    return glob.has_magic(name)


def texts_in(folder: Path) -> list[Path]:
    """The text files in a folder and below, in the order of their names. Raises InputError if there is none, or
    something can't be read."""
    found = []
    for entry in _Search(folder).below(folder):
        if entry.name.lower().endswith(TEXT_SUFFIXES):
            path = Path(entry)
            if (there := status(path)) is None:
                raise InputError(f"{shown(path)}: a link to what isn't there; mend or remove it")
            if S_ISREG(there.st_mode):
                found.append(path)
    if not found:
        raise InputError(f"{shown(folder)}: no text file ({', '.join(TEXT_SUFFIXES)}) in it; name the files")
    return sorted(found)


def matching(pattern: str) -> list[Path]:
    """The files that a pattern (*, ?, [], **) matches, in the order of their names; a hidden one only where the pattern
    has the dot. Raises InputError if there is none, or something can't be read."""
    parts = Path(pattern).parts
    plain = next(i for i, part in enumerate(parts) if glob.has_magic(part))
    start = Path(*parts[:plain])
    found = set(_Search(start).matches(start, parts[plain:]))
    files = sorted(path for path in found if (there := status(path)) is not None and S_ISREG(there.st_mode))
    if not files:
        raise InputError(f"{shown(pattern)}: matches no file")
    return files


class _Search:
    """A walk through folders that gives up after MOST_LOOKED_AT names."""

    def __init__(self, start: Path) -> None:
        self._start, self._looked_at = start, 0

    def below(self, folder: Path) -> Iterator[os.DirEntry[str]]:
        """What isn't hidden in a folder and in those below it. Raises InputError for the whole of a system."""
        if str(folder.resolve()) in _OF_THE_SYSTEM:
            raise InputError(f"{shown(folder)}: a folder of the system, not of texts; name the folder that they are in")
        waiting = [folder]
        while waiting:
            for entry in self._entries(waiting.pop()):
                if not entry.name.startswith("."):
                    yield entry
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(Path(entry))

    def matches(self, folder: Path, parts: tuple[str, ...]) -> Iterator[Path]:
        """What matches the parts of a pattern in a folder: one a level of folders, ** any number of levels."""
        part, rest = parts[0], parts[1:]
        if (there := status(folder)) is None or not S_ISDIR(there.st_mode):
            return
        if part == "**" and rest:
            yield from self.matches(folder, rest)
            for entry in self.below(folder):
                if entry.is_dir(follow_symlinks=False):
                    yield from self.matches(Path(entry), rest)
            return
        if part == "**":
            found = [Path(entry) for entry in self.below(folder)]
        elif glob.has_magic(part):
            names = [entry.name for entry in self._entries(folder)]
            found = [folder / name for name in fnmatch.filter(names, part) if part[0] == "." or name[0] != "."]
        else:
            found = [folder / part]
        for path in found:
            if rest:
                yield from self.matches(path, rest)
            else:
                yield path

    def _entries(self, folder: Path) -> Iterator[os.DirEntry[str]]:
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    self._looked_at += 1
                    if self._looked_at > MOST_LOOKED_AT:
                        raise InputError(
                            f"{shown(self._start)}: more than {MOST_LOOKED_AT:,} files in it; "
                            "name the folder of the texts"
                        )
                    yield entry
        except OSError as error:
            raise InputError(f"{shown(folder)}: can't be read: {error.strerror}") from error
