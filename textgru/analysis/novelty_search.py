"""What some texts have in common with a far longer one that goes by in blocks: n-grams, and the longest passage.

A hash of every window of n characters of the long text is looked up among those of the texts; where it is one of them,
the characters are compared. An n-gram that was found once is not looked for again, so that nearly all the work is
hashing: time in proportion to the long text, memory to the texts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

BLOCK = 1 << 15  # characters of the long text that are searched at a time: their hashes stay in a near cache
SLOTS_EACH = 16  # of the table that sorts out most windows, for each n-gram
FEWEST_SLOTS = 1 << 12
COMPARED = 1 << 20  # characters that are compared at a time
BORDER = 0x110000  # stands between two texts; no character

_RANDOM = np.random.default_rng(5)
# One for each doubling of a window's length. Modulo 4 they are 3: m - 1 has one factor of 2, so that sums of products
# of such differences, modulo 2^64, lose a bit a doubling and not all of them.
_MULTIPLIERS = _RANDOM.integers(0, 1 << 64, 64, np.uint64) | np.uint64(3)
_MIX = np.uint64(0x9E3779B97F4A7C15)


def code_points(text: str) -> np.ndarray:
    """The characters (n,) uint32 of a text."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


class WindowHashes:
    """Hashes, uint64, of all windows of any length in characters (n,)."""

    def __init__(self, points: np.ndarray) -> None:
        first = (points + np.uint64(1)) * _MIX
        first ^= first >> np.uint64(29)
        first *= _MIX
        self._doubled = [first]  # of windows of 1, 2, 4, ... characters

    def of_length(self, length: int) -> np.ndarray:
        """One for each window, (n - length + 1,); empty where there is none."""
        level = length.bit_length() - 1
        while len(self._doubled) <= level:
            half, below = 1 << (len(self._doubled) - 1), self._doubled[-1]
            self._doubled.append(_both(below, half, len(self._doubled)))
        rest = length - (1 << level)
        # A window of 7 is what two of 4 that overlap say.
        return _both(self._doubled[level], rest, 32 + level) if rest else self._doubled[level]


def _both(hashes: np.ndarray, apart: int, number: int) -> np.ndarray:
    """Hashes of what every window and the one `apart` after it are together."""
    both: np.ndarray = hashes[: max(len(hashes) - apart, 0)] * _MULTIPLIERS[number]
    both += hashes[apart:]
    return both


class Wanted:
    """The n-grams of the texts: which ones there are, and which have not been found yet."""

    def __init__(self, points: np.ndarray, hashes: WindowHashes, n: int) -> None:
        """`points`: the texts (characters,) with a BORDER after each; `hashes`: those of its windows."""
        self.n, self._points = n, points
        borders = np.concatenate([[0], np.cumsum(points == BORDER)])
        starts = np.flatnonzero(borders[n:] == borders[:-n]) if len(points) >= n else np.zeros(0, np.intp)
        keys, first, which = np.unique(hashes.of_length(n)[starts], return_index=True, return_inverse=True)
        self.starts, self._which = starts.astype(np.int32), which.astype(np.int32)  # of all n-grams
        self._found = np.zeros(len(keys), bool)  # of those that differ
        self._keys, self._first, self._numbers = keys, self.starts[first], np.arange(len(keys), dtype=np.int32)
        slots = max(FEWEST_SLOTS, 1 << (SLOTS_EACH * len(keys)).bit_length())
        self._shift = np.uint64(64 - (slots.bit_length() - 1))
        self._table = np.zeros(slots, bool)
        self._table[keys >> self._shift] = True

    @property
    def none_left(self) -> bool:
        return not len(self._keys)

    def found(self) -> np.ndarray:
        """For each of `starts`, whether its n-gram was found."""
        return self._found[self._which]

    def look(
        self, block: np.ndarray, keys: np.ndarray, begin: int, *, one: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """The windows of a block (characters,) that are n-grams not found yet, one for each: where it starts in the
        block, and in the texts. `keys`: the hashes of its windows from `begin` on. `one`: some of them are enough."""
        slots = (keys >> self._shift).view(np.intp)
        may_be = np.flatnonzero(np.take(self._table, slots, mode="clip"))
        if not len(may_be):
            return may_be, may_be
        at = np.searchsorted(self._keys, keys[may_be])
        at[at == len(self._keys)] = 0
        same = self._keys[at] == keys[may_be]
        at, which = np.unique(at[same], return_index=True)
        there, here = begin + may_be[same][which], self._first[at]
        in_block, in_texts = sliding_window_view(block, self.n), sliding_window_view(self._points, self.n)
        equal = np.zeros(len(there), bool)
        for first in range(0, len(there), rows := max(1, COMPARED // self.n)):
            part = slice(first, first + rows)
            equal[part] = (in_block[there[part]] == in_texts[here[part]]).all(axis=1)
            if one and equal.any():
                break
        return there[equal], here[equal]

    def mark(self, here: np.ndarray) -> None:
        """The n-grams that start there in the texts, each the first of its kind, are found."""
        done = np.isin(self._first, here)
        self._found[self._numbers[done]] = True
        self._keys, self._first, self._numbers = self._keys[~done], self._first[~done], self._numbers[~done]
        self._table[:] = False
        self._table[self._keys >> self._shift] = True


class Search:
    """Looks for what texts have in common with a long text. Give it that with `feed`, then read the results.

    `sizes`: the lengths of the n-grams, from 1 up. Results: `wanted`, one for each size; `length`, that of the longest
    passage in common, `start`, where it is in the texts (`points`), and `place`, in the long text, in characters.
    """

    def __init__(self, texts: Sequence[str], sizes: Sequence[int]) -> None:
        border = np.array([BORDER], np.uint32)
        self.points = np.concatenate([part for text in texts for part in (code_points(text), border)])
        self._hashes = WindowHashes(self.points)
        self.wanted = [Wanted(self.points, self._hashes, n) for n in sizes]
        self.length = self.start = self.place = 0
        self._longer = Wanted(self.points, self._hashes, 1)  # passages longer than the longest so far
        self._before = np.zeros(0, np.uint32)  # the end of what was searched, where a passage may have begun
        self._waiting: list[np.ndarray] = []
        self._waiting_size = 0
        self.characters = 0  # of the long text

    def feed(self, block: str) -> None:
        """What comes next in the long text."""
        points = code_points(block)
        while len(points):
            room = max(BLOCK, len(self._before)) - self._waiting_size
            self._waiting.append(points[:room])
            self._waiting_size += len(self._waiting[-1])
            if room <= len(points):
                self._search()
            points = points[room:]

    def end_document(self) -> None:
        """Nothing reaches over this place; also at the very end."""
        self._search()
        self._before = self._before[:0]

    def _search(self) -> None:
        block = np.concatenate([self._before, *self._waiting])
        hashes = WindowHashes(block)
        for wanted in self.wanted:
            begin = max(0, len(self._before) - wanted.n + 1)
            if not wanted.none_left and len(keys := hashes.of_length(wanted.n)[begin:]):
                _, here = wanted.look(block, keys, begin)
                if len(here):
                    wanted.mark(here)
        self._search_longest(block, hashes)
        self.characters += self._waiting_size
        self._waiting, self._waiting_size = [], 0
        keep = max([self.length, *(wanted.n - 1 for wanted in self.wanted)])
        self._before = block[len(block) - keep :] if keep < len(block) else block

    def _search_longest(self, block: np.ndarray, hashes: WindowHashes) -> None:
        """What is in common up to the end of this block, and longer than before, begins in it: of `length` characters
        or fewer before its new part were in common at its start, and that many are kept."""
        before = len(self._before)
        while not self._longer.none_left:
            n = self._longer.n
            begin = max(0, before - n + 1)
            keys = hashes.of_length(n)[begin:]
            there, here = self._longer.look(block, keys, begin, one=True) if len(keys) else (keys, keys)
            if not len(there):
                return
            at, start = int(there[0]), int(here[0])
            back = _same(block[:at][::-1], self.points[:start][::-1])
            self.length = back + n + _same(block[at + n :], self.points[start + n :])
            self.start, self.place = start - back, self.characters - before + at - back
            self._longer = Wanted(self.points, self._hashes, self.length + 1)


def _same(one: np.ndarray, other: np.ndarray) -> int:
    """How many characters at the start of both are the same."""
    most = min(len(one), len(other))
    differ = one[:most] != other[:most]
    return int(differ.argmax()) if differ.any() else most
