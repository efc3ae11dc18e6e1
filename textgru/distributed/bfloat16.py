"""Numbers of half the bytes, to be sent: the upper 16 bits of a float32."""

from __future__ import annotations

import numpy as np


def to_bfloat16(values: np.ndarray) -> np.ndarray:
    """values (n,) float32 as (n,) uint16, rounded to nearest, ties to even. NaN becomes NaN or infinity."""
    bits: np.ndarray = values.view(np.uint32)
    rounded: np.ndarray = bits >> np.uint32(16)
    rounded &= np.uint32(1)
    rounded += np.uint32(0x7FFF)
    rounded += bits
    rounded >>= np.uint32(16)
    return rounded.astype(np.uint16)


def from_bfloat16(halves: np.ndarray) -> np.ndarray:
    """(n,) uint16 as (n,) float32."""
    bits = halves.astype(np.uint32)
    bits <<= np.uint32(16)
    return bits.view(np.float32)
