"""Weights laid out for a product with a single row: the 64 numbers that are used together stand together."""

import numpy as np

from cython cimport floating
from cython.parallel cimport prange
from libc.stdint cimport int8_t
from libc.string cimport memcpy

from textgru.core.products cimport TEXTGRU_PACKED_COLUMNS, whole_blocks
from textgru.core.threads cimport threads_for


def pack(matrix) -> np.ndarray:
    """A matrix (rows, n) as (blocks, n, 64): the rows of a block side by side, the last block filled up with zeros."""
    rows, n = matrix.shape
    packed = np.empty((whole_blocks(rows) // TEXTGRU_PACKED_COLUMNS, n, TEXTGRU_PACKED_COLUMNS), matrix.dtype)
    pack_into(matrix, packed)
    return packed


def pack_into(const floating[:, ::1] matrix, floating[:, :, ::1] packed) -> None:
    """As pack, into an array."""
    cdef Py_ssize_t blocks = packed.shape[0]
    cdef int threads = threads_for(<double>matrix.shape[0] * matrix.shape[1])
    cdef Py_ssize_t block
    for block in prange(blocks, num_threads=threads, schedule="static", nogil=True):
        _pack_block(matrix, &packed[block, 0, 0], block * TEXTGRU_PACKED_COLUMNS)


cdef void _pack_block(const floating[:, ::1] matrix, floating* packed, Py_ssize_t first) noexcept nogil:
    cdef Py_ssize_t n = matrix.shape[1]
    cdef Py_ssize_t rows = min(<Py_ssize_t>TEXTGRU_PACKED_COLUMNS, matrix.shape[0] - first)
    cdef Py_ssize_t start, i, j
    for start in range(0, n, 16):  # a cache line of each row at a time
        for j in range(TEXTGRU_PACKED_COLUMNS):
            for i in range(start, min(start + 16, n)):
                packed[i * TEXTGRU_PACKED_COLUMNS + j] = matrix[first + j, i] if j < rows else 0


def pack_int8(integers) -> np.ndarray:
    """Integers (rows, n) as (blocks, ceil(n / 4), 64, 4): four neighbours of each of 64 rows together, zeros added."""
    rows, n = integers.shape
    packed = np.zeros((whole_blocks(rows) // TEXTGRU_PACKED_COLUMNS, -(-n // 4), TEXTGRU_PACKED_COLUMNS, 4), np.int8)
    if integers.size:
        _pack_int8(integers, packed)
    return packed


def _pack_int8(const int8_t[:, ::1] integers, int8_t[:, :, :, ::1] packed):
    cdef Py_ssize_t rows = integers.shape[0]
    cdef Py_ssize_t n = integers.shape[1]
    cdef int threads = threads_for(<double>rows * n)
    cdef Py_ssize_t row, i
    for row in prange(rows, num_threads=threads, schedule="static", nogil=True):
        for i in range(0, n, 4):
            memcpy(
                &packed[row // TEXTGRU_PACKED_COLUMNS, i // 4, row % TEXTGRU_PACKED_COLUMNS, 0], &integers[row, i],
                min(<Py_ssize_t>4, n - i))
