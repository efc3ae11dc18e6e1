"""A tokenizer.json: read, checked before the tokenizers library gets it, and made ready to encode texts."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any

import tokenizers

from textgru.errors import InputError

MOST_TOKENS = 1 << 20  # ids that a vocabulary may have: four times those of the largest in use
MOST_IDS_A_TOKEN, SPARE_IDS = 4, 1024  # of a vocabulary with gaps: every id takes a row of the network
MOST_BYTES = 256_000_000
DEEPEST = 64  # objects and arrays in one another
MOST_GROWTH = 1000  # characters that a normalizer may make of one
LONGEST_INPUT = 1000  # characters of a word that WordPiece looks up; it takes the third power of them
ANY_TEXT = "Some text, 12\u00e9\u65e5\n"
LONGEST_MESSAGE = 200  # characters that are shown of what the library says

_quiet = threading.Lock()  # the standard error is that of the whole process


@contextlib.contextmanager
def library_errors(what: str) -> Iterator[None]:
    """Whatever the tokenizers library raises becomes an InputError of one line that starts with `what`. A panic of its
    Rust code is a BaseException."""
    try:
        yield
    except (InputError, MemoryError):
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise  # Ctrl-C and the like
        raise InputError(f"{what}: {shortened(str(error))}") from error


@contextlib.contextmanager
def _without_panic_messages() -> Iterator[None]:
    """The library's Rust code writes of a panic to the standard error by itself."""
    with _quiet:
        try:
            kept = os.dup(2)
        except OSError:  # there is no standard error
            yield
            return
        try:
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, 2)
            os.close(nothing)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def shortened(text: str, most: int = LONGEST_MESSAGE) -> str:
    """The text as one line of at most `most` characters."""
    line = " ".join(text[: 4 * most].split())
    return line if len(line) <= most else line[: most - 3] + "..."


def read_text(path: str | Path) -> str:
    """The text of a tokenizer.json. Raises InputError if it can't be read, or is too large."""
    try:
        with Path(path).open("rb") as file:
            data = file.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise InputError(f"{path}: no tokenizer.json: it has more than {MOST_BYTES // 10**6} MB")
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: can't be read as a tokenizer.json: it isn't UTF-8 text") from error
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: can't be read as a tokenizer.json: {reason}") from error


def parse(text: str) -> tuple[tokenizers.Tokenizer, dict[str, Any]]:
    """The library's tokenizer and the settings in the text of a tokenizer.json.

    What would change what a text is encoded to is off: truncation, padding, and dropout; special tokens in a text are
    text. Raises InputError for what can't be used.
    """
    settings = _settings(text.removeprefix("\ufeff"))
    _check_ids(settings)
    _check_sizes(settings)
    with library_errors("not a tokenizer.json that the tokenizers library can read"), _without_panic_messages():
        backend = tokenizers.Tokenizer.from_str(text.removeprefix("\ufeff"))
        with contextlib.suppress(Exception):  # an unknown word may well be in it; a panic is no Exception
            backend.encode(ANY_TEXT)
        backend.no_truncation()
        backend.no_padding()
        backend.encode_special_tokens = True
        if settings["model"].get("dropout") is not None:
            backend.model.dropout = None
            settings["model"]["dropout"] = None
        settings["model"]["type"] = type(backend.model).__name__  # old files leave it out
        ids = list(backend.get_vocab(with_added_tokens=True).values())
    if not ids:
        raise InputError("tokenizer: its vocabulary is empty")
    if len(set(ids)) < len(ids):
        raise InputError("tokenizer: two of its tokens have the same id")
    _check_range(max(ids), len(ids))
    return backend, settings


def encode_batch(backend: tokenizers.Tokenizer, texts: list[str]) -> list[tokenizers.Encoding]:
    """What the library makes of the texts, without added tokens. Raises InputError where it fails."""
    with library_errors("tokenizer: it can't encode this text"):
        return list(backend.encode_batch(texts, add_special_tokens=False))


def _settings(text: str) -> dict[str, Any]:
    if len(text) > MOST_BYTES:
        raise InputError(f"not a tokenizer.json: it has more than {MOST_BYTES // 10**6} million characters")
    try:
        settings = json.loads(text, object_pairs_hook=_object)
    except RecursionError as error:
        raise InputError("not a tokenizer.json: it is nested too deeply") from error
    except ValueError as error:
        raise InputError(f"not a tokenizer.json: {shortened(str(error))}") from error
    if not isinstance(settings, dict) or not isinstance(settings.get("model"), dict):
        raise InputError('not a tokenizer.json: expected an object with a "model"')
    level: list[Any] = [settings]
    depth = 0
    while level:
        depth += 1
        if depth > DEEPEST:
            raise InputError("not a tokenizer.json: it is nested too deeply")
        inner = (item.values() if isinstance(item, dict) else item for item in level)
        level = [value for values in inner for value in values if isinstance(value, (dict, list))]
    return settings


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON. Which of two values of a name counts is up to the reader, and there are two readers."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in found if names.count(name) > 1)
        raise ValueError(f"{twice!a} stands twice in it")
    return found


def _check_ids(settings: dict[str, Any]) -> None:
    """Raises InputError for ids that would take much memory, or are none. The library checks the rest."""
    vocabulary, added = settings["model"].get("vocab"), settings.get("added_tokens")
    if isinstance(vocabulary, dict):
        ids = list(vocabulary.values())
        if any(type(i) is not int or i < 0 for i in ids):
            token = next(token for token, i in vocabulary.items() if type(i) is not int or i < 0)
            got = shortened(json.dumps(vocabulary[token]), 40)
            raise InputError(f"tokenizer: expected an id of 0 or more for {_named(token)}, got {got}")
        if len(set(ids)) < len(ids):
            raise InputError("tokenizer: two tokens of its vocabulary have the same id")
        if ids:
            _check_range(max(ids), len(ids) + (len(added) if isinstance(added, list) else 0))
    elif isinstance(vocabulary, list):
        _check_range(len(vocabulary) - 1, len(vocabulary))
    if isinstance(added, list):
        _check_range(len(added) - 1, len(added))


def _check_range(highest: int, count: int) -> None:
    if highest >= MOST_TOKENS:
        raise InputError(f"tokenizer: ids go up to {MOST_TOKENS - 1:,} here, and one of its tokens has {highest:,}")
    if highest >= MOST_IDS_A_TOKEN * count + SPARE_IDS:
        raise InputError(f"tokenizer: an id of {highest:,} is too high for {count:,} tokens; number them from 0 on")


def _growth(part: Any) -> float:
    """How many characters the replacements in a normalizer, or in parts of one, may make of each, one after another."""
    if isinstance(part, list):
        return prod(_growth(one) for one in part)
    if not isinstance(part, dict):
        return 1.0
    content = part.get("content") if part.get("type") == "Replace" else None
    return max(1.0, float(len(content)) if isinstance(content, str) else 1.0) * _growth(part.get("normalizers"))


def _check_sizes(settings: dict[str, Any]) -> None:
    """Raises InputError for what the library would panic at, take too long for, or all memory."""
    try:
        growth = _growth(settings.get("normalizer"))
    except RecursionError as error:
        raise InputError("tokenizer: its normalizers are nested too deeply") from error
    if growth > MOST_GROWTH:
        raise InputError(f"tokenizer: its normalizer may make more than {MOST_GROWTH:,} characters of one")
    model = settings["model"]
    longest = model.get("max_input_chars_per_word")
    if isinstance(longest, int) and longest > LONGEST_INPUT:
        raise InputError(f"tokenizer: max_input_chars_per_word: expected at most {LONGEST_INPUT:,}; 100 is usual")
    prefix, merges = model.get("continuing_subword_prefix"), model.get("merges")
    if isinstance(prefix, str) and prefix and isinstance(merges, list):
        for merge in merges:
            parts = merge.split(" ") if isinstance(merge, str) else merge
            second = parts[1] if isinstance(parts, list) and len(parts) > 1 else None
            if isinstance(second, str) and not second.startswith(prefix):
                raise InputError(
                    f"tokenizer: continuing_subword_prefix is {_named(prefix)}, "
                    f"but the second part of a merge doesn't begin with it: {_named(second)}"
                )


def _named(text: str) -> str:
    return ascii(shortened(text, 40))
