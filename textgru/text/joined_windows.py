"""Long texts to ids by a tokenizer of which nothing is known: in windows that overlap, joined where their tokens agree.

What a tokenizer makes of a place depends on what is near it, and on where the text that it gets begins and ends (it
puts a mark before it, or cuts blanks off). So two windows give other tokens at their edges and the same ones between:
there they are joined, to the ids of the whole text, in bounded memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import NamedTuple

import numpy as np
import tokenizers

from textgru.text.word_encoder import WORD_END

WINDOW = 1 << 16  # characters from the start of a window to that of the next one, up to twice that
OVERLAP = 1024  # characters, up to twice that
SIDE_BY_SIDE = 8  # windows that the library gets at once
SHIFTS = 32  # places before its start from which a window is tried that does not agree
LARGEST = 16  # windows that may be needed for a single token

Encode = Callable[[list[str]], "list[tokenizers.Encoding]"]


class _Tokens(NamedTuple):
    """Of a text that starts at `start` of the whole text."""

    text: str
    start: int
    ids: np.ndarray  # (n,) intp
    spans: np.ndarray  # (n, 2) intp: the part of the whole text that each stands for, in characters

    def from_(self, first: int) -> _Tokens:
        return self._replace(ids=self.ids[first:], spans=self.spans[first:])

    def ending_by(self, place: int) -> int:
        """How many tokens, from the first on, end there or before."""
        later = self.spans[:, 1] > place
        return int(later.argmax()) if later.any() else len(later)


def fits_one_window(text: str) -> bool:
    return len(text) <= 2 * (WINDOW + OVERLAP)


def encode_windows(encode: Encode, blocks: Iterable[str]) -> Iterator[np.ndarray]:
    """The ids (n,) intp of the text that comes in blocks, part by part; `encode` is the library's encode_batch.

    They depend on the text, not on how it comes in blocks. Where windows don't agree whatever is tried (a tokenizer
    whose tokens have thousands of characters), they are joined between two tokens of the first.
    """
    windows = _windows(blocks)
    held: _Tokens | None = None
    while batch := list(islice(windows, SIDE_BY_SIDE)):
        for (text, start), encoding in zip(batch, encode([text for text, _ in batch]), strict=True):
            tokens = _tokens(text, start, encoding)
            if held is None:
                held = tokens
            else:
                ids, held = _join(encode, held, tokens)
                yield ids
    if held is not None:
        yield held.ids


def _windows(blocks: Iterable[str]) -> Iterator[tuple[str, int]]:
    """Texts that overlap, each with its start in the whole: the same ones however the text comes in blocks."""
    waiting: list[str] = []
    size = reached = 0
    for block in blocks:
        waiting.append(block)
        size += len(block)
        if size > 2 * (WINDOW + OVERLAP):
            text, start = "".join(waiting), 0
            while len(text) - start > 2 * (WINDOW + OVERLAP):
                end = _word_end(text, start, WINDOW)
                yield text[start : _word_end(text, end, OVERLAP)], reached + start
                start = end
            waiting, size = [text[start:]], len(text) - start
            reached += start
    if size:
        yield "".join(waiting), reached


def _word_end(text: str, start: int, length: int) -> int:
    """The first end of a word at least `length` characters after `start`, or twice as far if there is none."""
    found = WORD_END.search(text, start + length - 1, start + 2 * length)
    return start + 2 * length if found is None else found.end()


def _tokens(text: str, start: int, encoding: tokenizers.Encoding) -> _Tokens:
    spans = np.array(encoding.offsets, np.intp).reshape(-1, 2) + start
    return _Tokens(text, start, np.array(encoding.ids, np.intp), spans)


def _join(encode: Encode, left: _Tokens, right: _Tokens) -> tuple[np.ndarray, _Tokens]:
    """The ids of what comes before the place where two windows agree, and the tokens of the right one from there on."""
    border, end = right.start, right.start + len(right.text)
    whole = left.text[: border - left.start] + right.text

    def encode_from(start: int, end: int) -> _Tokens:
        text = whole[start - left.start : end - left.start]
        return _tokens(text, start, encode([text])[0])

    if (found := _agreement(left, right, border)) is not None:
        return left.ids[: found[0]], right.from_(found[1])
    for start in range(border - 1, max(left.start, border - SHIFTS - 1), -1):
        if _agreement(left, encode_from(start, border + OVERLAP), border) is not None:
            moved = encode_from(start, end)
            if (found := _agreement(left, moved, border)) is not None:
                return left.ids[: found[0]], moved.from_(found[1])
    before = left.ending_by(border)
    start = int(left.spans[before, 0]) if before < len(left.ids) else border
    if start > left.start:
        return left.ids[:before], encode_from(min(start, border), end)
    if end - left.start <= LARGEST * WINDOW:
        return left.ids[:0], encode_from(left.start, end)
    return encode_from(left.start, border).ids, right


def _agreement(left: _Tokens, right: _Tokens, border: int) -> tuple[int, int] | None:
    """How many tokens to take of the left window and how many to skip of the right one.

    None unless the windows have the same tokens from soon after the border to the middle of their overlap.
    """
    soon, middle = border + OVERLAP // 4, border + OVERLAP // 2
    lefts, rights = left.ending_by(middle), right.ending_by(middle)
    most = min(lefts, rights)
    same = (left.ids[lefts - most : lefts] == right.ids[rights - most : rights]) & (
        left.spans[lefts - most : lefts] == right.spans[rights - most : rights]
    ).all(axis=1)
    run = most if same.all() else int(same[::-1].argmin())
    lefts, rights = lefts - run, rights - run
    if (lefts and left.spans[lefts - 1, 1] > soon) or (rights and right.spans[rights - 1, 1] > soon):
        return None
    if lefts + run < len(left.ids) and left.spans[lefts + run, 0] < border:
        return None  # a token that reaches from before the border beyond the middle
    return lefts, rights
