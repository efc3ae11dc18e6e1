"""What there is to train on: the entries of catalogue.json, the included corpus first."""

from __future__ import annotations

import difflib
import functools
import json
from dataclasses import dataclass
from pathlib import Path

from textgru.errors import InputError, TextgruError, shown

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Corpus:
    """A text to train on, and what is known for certain about its download; what isn't is None and not checked."""

    name: str
    title: str
    description: str
    language: str  # ISO 639-1
    licence: str
    file: str  # what the text is called on disk, without a folder
    url: str | None = None  # None: comes with textgru
    size: int | None = None  # of the downloaded file, in bytes
    sha256: str | None = None  # of the downloaded file, 64 hexadecimal digits
    member: str | None = None  # the text's name inside the downloaded .zip; None: the download is the text

    @property
    def included(self) -> bool:
        """Whether it comes with textgru, so that nothing is downloaded."""
        return self.url is None


@functools.cache
def _entries() -> dict[str, Corpus]:
    corpora = [Corpus(**entry) for entry in json.loads((FOLDER / "catalogue.json").read_text("utf-8"))]
    return {corpus.name: corpus for corpus in corpora}


def catalogue() -> list[Corpus]:
    """Every corpus there is to fetch, the included one first."""
    return list(_entries().values())


def get(name: str) -> Corpus:
    """The corpus of this name. Raises InputError for a name that isn't in the catalogue; it suggests similar ones."""
    if not isinstance(name, str):
        raise InputError(f"corpus: expected a name, got {name!r}")
    if name in _entries():
        return _entries()[name]
    similar = difflib.get_close_matches(name.casefold(), _entries(), cutoff=0.5)
    hint = f"did you mean {' or '.join(similar)}? " if similar else ""
    raise InputError(f"{shown(name)}: no corpus of that name; {hint}'textgru corpora list' shows all")


def path(name: str) -> Path:
    """Where the included corpus of this name is installed.

    Raises InputError for a name that isn't in the catalogue or has to be downloaded, and TextgruError if the file is
    missing from the installation.
    """
    corpus = get(name)
    if not corpus.included:
        raise InputError(f"{name}: does not come with textgru; download it with 'textgru corpora fetch {name}'")
    file = FOLDER / corpus.file
    if not file.is_file():
        raise TextgruError(f"{file}: missing from this installation; install textgru again")
    return file
