"""Arrays that start at a cache line. Numpy's own start at any 16 bytes, and then most vector loads touch two lines."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np
from numpy.typing import DTypeLike

CACHE_LINE = 64  # bytes


def empty(shape: int | tuple[int, ...], dtype: DTypeLike) -> np.ndarray:
    """As np.empty, C-contiguous, its first element at a multiple of 64 bytes."""
    return _aligned(np.empty, shape, dtype)


def zeros(shape: int | tuple[int, ...], dtype: DTypeLike) -> np.ndarray:
    """As np.zeros, C-contiguous, its first element at a multiple of 64 bytes."""
    return _aligned(np.zeros, shape, dtype)


def copy(array: np.ndarray) -> np.ndarray:
    """A C-contiguous copy, its first element at a multiple of 64 bytes."""
    result = empty(array.shape, array.dtype)
    result[...] = array
    return result


def _aligned(allocate: Callable[..., np.ndarray], shape: int | tuple[int, ...], dtype: DTypeLike) -> np.ndarray:
    shape = (shape,) if isinstance(shape, int) else shape
    if any(size < 0 for size in shape):
        raise ValueError(f"shape: expected sizes from 0 up, got {shape}")
    size = prod(shape) * np.dtype(dtype).itemsize
    room = allocate(size + CACHE_LINE, np.uint8)
    start = -room.ctypes.data % CACHE_LINE
    return room[start : start + size].view(dtype).reshape(shape)
