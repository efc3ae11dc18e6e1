"""Numbers of half the bytes, to be sent: the upper 16 bits of a float32."""

from __future__ import annotations

import sys

import numpy as np

UPPER = slice(1 if sys.byteorder == "little" else 0, None, 2)
HALF = np.uint32(0x8000)  # of the last place that is kept


class Bfloat16:
    """Rounds and adds up arrays of at most `n` numbers. It has room of its own, because new pages take longer than the
    work."""

    def __init__(self, n: int) -> None:
        self._room = np.empty(n, np.uint32)

    def round(self, values: np.ndarray, out: np.ndarray) -> None:
        """out (n,) uint16 = values (n,) float32, rounded to nearest, ties away from zero; what is not finite stays so,
        but for NaNs whose bits are nearly all ones, which no processor makes."""
        rounded = self._room[: len(values)]
        np.add(values.view(np.uint32), HALF, out=rounded)
        out[...] = rounded.view(np.uint16)[UPPER]

    def widen(self, halves: np.ndarray, out: np.ndarray) -> None:
        """out (n,) float32 = halves (n,) uint16."""
        bits = out.view(np.uint16)
        bits[...] = 0
        bits[UPPER] = halves

    def add_up(self, parts: np.ndarray) -> np.ndarray:
        """The sum (n,) float32 of parts (N, n) uint16, in their order."""
        total = np.empty(parts.shape[1], np.float32)
        self.widen(parts[0], total)
        one = self._room[: len(total)].view(np.float32)
        for part in parts[1:]:
            self.widen(part, one)
            total += one
        return total
