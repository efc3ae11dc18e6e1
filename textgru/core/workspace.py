"""Buffers that are allocated once and used again, so that a steady-state training step allocates nothing."""

from __future__ import annotations

from math import prod

import numpy as np

from textgru.core import aligned


class Workspace:
    """Named buffers of one dtype. A buffer grows when more is asked of it and never shrinks."""

    def __init__(self, dtype: np.dtype) -> None:
        self._dtype = dtype
        self._buffers: dict[str, np.ndarray] = {}

    def get(self, name: str, *shape: int) -> np.ndarray:
        """The buffer `name` as a C-contiguous array of `shape`, at a cache line, with what its last user left in it."""
        size = prod(shape)
        buffer = self._buffers.get(name)
        if buffer is None or buffer.size < size:
            buffer = self._buffers[name] = aligned.empty(size, self._dtype)
        return buffer[:size].reshape(shape)

    @property
    def nbytes(self) -> int:
        """The memory that all buffers take, in bytes."""
        return sum(buffer.nbytes for buffer in self._buffers.values())
