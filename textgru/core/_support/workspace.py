"""Buffers that are allocated once and used again, so that a steady-state training step allocates nothing."""

from __future__ import annotations

from math import prod

import numpy as np

from textgru.core._support import aligned
from textgru.core._support.arrays import share_memory

MOST_ARRAYS = 1000  # that are kept for the next time


class Workspace:
    """Named buffers of one dtype. A buffer grows when more is asked of it and never shrinks."""

    def __init__(self, dtype: np.dtype) -> None:
        self._dtype = dtype
        self._buffers: dict[str, np.ndarray] = {}
        self._arrays: dict[tuple[str, tuple[int, ...]], np.ndarray] = {}

    def __reduce__(self) -> tuple[type[Workspace], tuple[np.dtype]]:
        """A copy starts empty."""
        return Workspace, (self._dtype,)

    def holds(self, array: np.ndarray) -> bool:
        """Whether the array shares memory with one of the buffers."""
        return any(share_memory(array, buffer) for buffer in self._buffers.values())

    def get(self, name: str, *shape: int) -> np.ndarray:
        """The buffer `name` as a C-contiguous array of `shape`, at a cache line, with what its last user left in it."""
        array = self._arrays.get((name, shape))
        if array is None:
            array = self._arrays[name, shape] = self._part(name, shape)
        return array

    def _part(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """Of a buffer that may have to grow first."""
        size = prod(shape)
        buffer = self._buffers.get(name)
        grows = buffer is None or buffer.size < size
        if grows or len(self._arrays) >= MOST_ARRAYS:
            self._arrays.clear()  # those of the smaller buffer would keep it
        if buffer is None or grows:
            buffer = self._buffers[name] = aligned.empty(size, self._dtype)
        return buffer[:size].reshape(shape)

    @property
    def nbytes(self) -> int:
        """The memory that all buffers take, in bytes."""
        return sum(buffer.nbytes for buffer in self._buffers.values())
