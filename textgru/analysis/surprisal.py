"""How surprising each token of a text is, in bits, given those before it; and what was likelier. In constant memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from math import log
from typing import Protocol

import numpy as np

from textgru.generation.likeliest import likeliest
from textgru.model.config import LOGITS_BYTES
from textgru.model.ensemble import AnySession, Packed, session_of
from textgru.text.tokenizer import Tokenizer

WINDOW = 4096  # tokens that are read in one call
LEVELS = (1, 2, 4, 6, 8, 12)  # bits from which a token is shown in the next colour
LINE_END = "\u21b5"  # in front of a line end that has a colour, which nobody would see


@dataclass(frozen=True, eq=False)
class Surprisals:
    """Of n tokens, one after the other: `tokens` (n,) intp; `bits` (n,) float64, -log2 of each one's probability given
    all those before it, NaN for the first token of a text, which is given; `texts`, what each adds to the text: ""
    where a character isn't whole yet.

    `likeliest` (n, top) intp are the likeliest tokens at each place, the likeliest first, and `probabilities` (n, top)
    float64 theirs; both have no columns unless they were asked for. At the first token they are 0 and NaN.
    """

    tokens: np.ndarray
    bits: np.ndarray
    texts: list[str]
    likeliest: np.ndarray
    probabilities: np.ndarray

    def __len__(self) -> int:
        return len(self.tokens)


def surprisals(
    packed: Packed, tokenizer: Tokenizer, tokens: Iterable[np.ndarray], *, top: int = 0
) -> Iterator[Surprisals]:
    """Reads a text that comes as arrays (n,) of ids, and yields the same tokens in order, a window at a time."""
    top = min(top, packed.vocab_size)
    return in_windows(_SessionReader(packed), tokenizer, _cut(tokens, _window(packed, top)), top)


class WindowReader(Protocol):
    """What reads a text window by window."""

    def read(self, tokens: np.ndarray, targets: np.ndarray, top: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Reads tokens (n,) intp: the losses (n,) in nats of targets (n,), what follows each of them; and the `top`
        likeliest tokens in their places, (n, top) intp, with their probabilities (n, top)."""


def in_windows(
    reader: WindowReader, tokenizer: Tokenizer, windows: Iterable[np.ndarray], top: int
) -> Iterator[Surprisals]:
    """What a reader finds of a text that comes as windows (n,) intp, n at least 1."""
    decoder = tokenizer.decoder()
    before: np.ndarray | None = None  # the last token that has not been read
    for window in windows:
        begun = before is not None
        read = window[:-1] if before is None else np.concatenate([before, window[:-1]])
        targets = window if begun else window[1:]
        bits, likeliest, probabilities = _empty(len(window), top)
        of_targets = slice(0 if begun else 1, None)
        losses, likeliest[of_targets], probabilities[of_targets] = reader.read(read, targets, top)
        bits[of_targets] = losses / log(2)
        yield Surprisals(window, bits, [decoder.feed(token) for token in window.tolist()], likeliest, probabilities)
        before = window[-1:]


def read_part(
    packed: Packed, context: np.ndarray, tokens: np.ndarray, targets: np.ndarray, top: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """As WindowReader.read, of a part of a text that is read by itself, after the tokens of `context` (n,) intp."""
    top = min(top, packed.vocab_size)
    reader, size = _SessionReader(packed), _window(packed, top)
    reader.skip(context)
    windows = [slice(first, first + size) for first in range(0, len(tokens), size)]
    found = [reader.read(tokens[window], targets[window], top) for window in windows]
    losses, likeliest, probabilities = zip(_empty(0, top), *found, strict=True)
    return np.concatenate(losses), np.concatenate(likeliest), np.concatenate(probabilities)


class _SessionReader:
    def __init__(self, packed: Packed) -> None:
        self._session = session_of(packed)

    def skip(self, tokens: np.ndarray) -> None:
        """Reads tokens (n,) that nobody asks about."""
        self._session.read(tokens)

    def read(self, tokens: np.ndarray, targets: np.ndarray, top: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        if not top:
            return self._session.losses(tokens, targets), *_empty(len(tokens), 0)[1:]
        return of_scores(_scores(self._session, tokens), targets, top)


def level(bits: float) -> int:
    """Which colour these bits have, from 0, none, to len(LEVELS); 0 for NaN."""
    return sum(bits >= least for least in LEVELS)


def level_names() -> list[str]:
    """The bits of each level, in words: "below 1", "1 to 2", ..."""
    between = [f"{low} to {high}" for low, high in pairwise(LEVELS)]
    return [f"below {LEVELS[0]}", *between, f"from {LEVELS[-1]}"]


def joined(parts: Iterable[Surprisals], top: int) -> Surprisals:
    """One after the other; `top` is how many columns there are where there are no parts."""
    found = list(parts)
    if not found:
        return Surprisals(np.empty(0, np.intp), np.empty(0), [], *_empty(0, top)[1:])
    return Surprisals(
        np.concatenate([part.tokens for part in found]),
        np.concatenate([part.bits for part in found]),
        [text for part in found for text in part.texts],
        np.concatenate([part.likeliest for part in found]),
        np.concatenate([part.probabilities for part in found]),
    )


def _cut(arrays: Iterable[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """Arrays as intp, none longer than `size`, none empty."""
    for array in arrays:
        for first in range(0, len(array), size):
            yield array[first : first + size].astype(np.intp)


def _window(packed: Packed, top: int) -> int:
    """How many tokens are read in one call."""
    return max(1, min(WINDOW, LOGITS_BYTES // (packed.vocab_size * packed.dtype.itemsize))) if top else WINDOW


def _empty(n: int, top: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return np.full(n, np.nan), np.zeros((n, top), np.intp), np.full((n, top), np.nan)


def _scores(session: AnySession, tokens: np.ndarray) -> np.ndarray:
    """The scores (n, V) after each of tokens (n,)."""
    scores = np.empty((len(tokens), session.packed.vocab_size), session.packed.dtype)
    for out, token in zip(scores, tokens.tolist(), strict=True):
        session.step(token)
        out[...] = session.logits[0]
    return scores


def of_scores(logits: np.ndarray, targets: np.ndarray, top: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """As WindowReader.read, for scores (n, V)."""
    tokens, logs, of_all = likeliest(logits, top)
    return of_all - logits[np.arange(len(targets)), targets], tokens, np.exp(logs)
