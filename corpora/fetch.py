"""Downloads a corpus: to a temporary file, checked, and renamed into place only when everything is right."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import secrets
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from textgru.errors import InputError, TextgruError, shown

from .catalogue import Corpus, get, path

BLOCK_BYTES = 1 << 16

# Called with the bytes received so far and the bytes to expect in all, None where neither side knows them.
Progress = Callable[[int, int | None], object]


def fetch(
    corpus: str | Corpus,
    directory: str | os.PathLike[str] = ".",
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
    timeout: float = 30.0,
) -> Path:
    """Puts a corpus, given by name or as an entry of the catalogue, into a folder; the path of the text.

    The included corpus is copied, every other one downloaded. `timeout` is how many seconds the server may stay silent.
    Whatever fails or interrupts it (an exception from `progress` too), no partial file is left and a file that was
    there stays as it was.

    Raises InputError for an unknown name, a folder that is missing or can't be written, and a file that is there
    already (unless `overwrite`); TextgruError for what goes wrong on the way: no connection, an HTTP status, a download
    of the wrong size or with the wrong hash, a broken .zip, a full disk.
    """
    entry = corpus if isinstance(corpus, Corpus) else get(corpus)
    if not isinstance(directory, (str, os.PathLike)) or not str(directory):
        raise InputError(f'directory: expected the name of a folder, "." for the current one, got {directory!r}')
    folder = Path(directory)
    target = folder / entry.file
    report = progress or (lambda done, total: None)
    with contextlib.ExitStack() as stack:
        try:
            _check_target(folder, target, overwrite)
            file = stack.enter_context(_temporary(target))
        except OSError as error:
            raise InputError(f"{shown(folder)}: can't be written: {error.strerror}; choose another folder") from error
        try:
            if entry.url is None:
                _copy(path(entry.name), file, report)
            else:
                _download(entry, entry.url, file, report, timeout)
            if entry.member is not None:
                archive, file = file, stack.enter_context(_temporary(target))
                _extract(archive, entry.member, file, entry.name)
            file.close()
            _check_target(folder, target, overwrite)
            Path(file.name).replace(target)
        except OSError as error:
            raise TextgruError(f"{shown(target)}: can't be written: {error.strerror or error}") from error
    return target


def _check_target(folder: Path, target: Path, overwrite: bool) -> None:
    """Raises InputError unless the text may be put there."""
    if not folder.exists():
        raise InputError(f"{shown(folder)}: no such folder; create it first")
    if not folder.is_dir():
        raise InputError(f"{shown(folder)}: is not a folder; choose one to put the file in")
    if target.is_dir():
        raise InputError(f"{shown(target)}: is a folder; choose another folder to put the file in")
    if target.exists() and not overwrite:
        raise InputError(
            f"{shown(target)}: exists already; overwrite it (--overwrite) or choose another folder (--out)"
        )


@contextlib.contextmanager
def _temporary(target: Path) -> Iterator[BinaryIO]:
    """A new file beside the target, so that it can be renamed to it; removed at the end if it hasn't been."""
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        file = part.open("x+b")
        try:
            yield file
        finally:
            with contextlib.suppress(OSError):  # on a full disk close fails as the write before it did
                file.close()
    finally:
        part.unlink(missing_ok=True)


def _copy(source: Path, file: BinaryIO, report: Progress) -> None:
    total = source.stat().st_size
    done = 0
    report(0, total)
    with source.open("rb") as text:
        while block := text.read(BLOCK_BYTES):
            file.write(block)
            done += len(block)
            report(done, total)


def _download(entry: Corpus, url: str, file: BinaryIO, report: Progress, timeout: float) -> None:
    """The bytes at the address to the file; raises TextgruError unless they are the bytes the entry describes."""
    digest = hashlib.sha256()
    done = 0
    if not url.startswith(("https://", "http://")):
        raise InputError(f"{entry.name}: {url} is not an http or https address")
    with contextlib.ExitStack() as stack:
        with _network(entry.name, url):
            request = urllib.request.Request(url, headers={"User-Agent": "textgru"})
            response = stack.enter_context(urllib.request.urlopen(request, timeout=timeout))
        announced: int | None = response.length
        total = announced if entry.size is None else entry.size
        if announced is not None and announced != total:
            raise TextgruError(f"{entry.name}: wrong size: expected {total:,} bytes, {url} offers {announced:,}")
        report(0, total)
        while True:
            with _network(entry.name, url):
                block = response.read(BLOCK_BYTES)
            if not block:
                break
            done += len(block)
            if total is not None and done > total:
                raise TextgruError(f"{entry.name}: wrong size: expected {total:,} bytes, {url} sends more")
            digest.update(block)
            file.write(block)
            report(done, total)
    file.flush()
    if not done or (total is not None and done != total):
        expected = f"{total:,}" if total else "some"
        raise TextgruError(f"{entry.name}: wrong size: expected {expected} bytes, got {done:,} from {url}; try again")
    if entry.sha256 is not None and digest.hexdigest() != entry.sha256:
        raise TextgruError(f"{entry.name}: wrong SHA-256: expected {entry.sha256}, got {digest.hexdigest()} from {url}")


@contextlib.contextmanager
def _network(name: str, url: str) -> Iterator[None]:
    """Turns whatever a connection raises into a TextgruError of one line."""
    try:
        yield
    except urllib.error.HTTPError as error:
        error.close()
        status = f"{error.code} ({_one_line(error.reason)})"
        raise TextgruError(f"{name}: {url} answers with HTTP status {status}") from error
    except urllib.error.URLError as error:
        raise TextgruError(f"{name}: can't connect to {url}: {_one_line(error.reason)}") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise TextgruError(f"{name}: the connection to {url} broke: {_one_line(error)}; try again") from error


def _one_line(reason: object) -> str:
    return " ".join(str(reason).split()) or type(reason).__name__


def _extract(archive: BinaryIO, member: str, file: BinaryIO, name: str) -> None:
    """One member of a .zip to the file, block by block; its name in the archive is never used as a path."""
    for block in _member(archive, member, name):
        file.write(block)


def _member(archive: BinaryIO, member: str, name: str) -> Iterator[bytes]:
    try:
        with zipfile.ZipFile(archive) as unzipped:
            if member not in unzipped.namelist():
                raise TextgruError(f"{name}: the downloaded .zip has no {member} in it")
            with unzipped.open(member) as text:
                while block := text.read(BLOCK_BYTES):
                    yield block
    except TextgruError:
        raise
    except Exception as error:  # a damaged archive makes zipfile and the decompressors raise a dozen kinds
        raise TextgruError(f"{name}: the downloaded .zip is broken: {_one_line(error)}") from error
