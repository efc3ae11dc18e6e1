"""Weights laid out for a product with a single row: the 64 numbers that are used together stand together."""

import numpy as np

from cython cimport floating
from cython.parallel cimport prange
from libc.stdint cimport int8_t, int32_t
from libc.string cimport memcpy

from textgru.core._products.products cimport TEXTGRU_PACKED_COLUMNS, whole_blocks
from textgru.core._support.simd cimport kernels
from textgru.core._support.threads cimport threads_for

from textgru.core._support import aligned
from textgru.core._support.checks import check_apart, check_array, check_floats, check_output


def pack(matrix) -> np.ndarray:
    """A matrix (rows, n) as (blocks, n, 64): the rows of a block side by side, the last block filled up with zeros."""
    check_floats("matrix", matrix, ("rows", "n"))
    rows, n = matrix.shape
    packed = aligned.empty((whole_blocks(rows) // TEXTGRU_PACKED_COLUMNS, n, TEXTGRU_PACKED_COLUMNS), matrix.dtype)
    pack_into(matrix, packed)
    return packed


def pack_into(matrix, packed) -> None:
    """As pack, into an array. Raises TypeError or ValueError on arrays that don't fit."""
    dtype = check_floats("matrix", matrix, ("rows", "n"))
    rows, n = matrix.shape
    check_output(
        "packed", packed, dtype, (whole_blocks(rows) // TEXTGRU_PACKED_COLUMNS, n, TEXTGRU_PACKED_COLUMNS))
    check_apart("packed", packed, matrix=matrix)
    _pack_into(matrix, packed)


def _pack_into(const floating[:, ::1] matrix, floating[:, :, ::1] packed):
    cdef Py_ssize_t blocks = packed.shape[0]
    cdef Py_ssize_t n = matrix.shape[1]
    cdef int threads = threads_for(<double>matrix.shape[0] * n)
    cdef Py_ssize_t block, first, rows
    for block in prange(blocks, num_threads=threads, schedule="static", nogil=True):
        first = block * TEXTGRU_PACKED_COLUMNS
        rows = min(<Py_ssize_t>TEXTGRU_PACKED_COLUMNS, matrix.shape[0] - first)
        if floating is float:  # the right side of a product with the transposed matrix
            kernels.products_f32.pack(n, rows, &matrix[first, 0], 1, n, &packed[block, 0, 0])
        else:
            _pack_block(matrix, &packed[block, 0, 0], first, rows)


cdef void _pack_block(const double[:, ::1] matrix, double* packed, Py_ssize_t first, Py_ssize_t rows) noexcept nogil:
    cdef Py_ssize_t n = matrix.shape[1]
    cdef Py_ssize_t start, i, j
    for start in range(0, n, 16):  # a cache line of each row at a time
        for j in range(TEXTGRU_PACKED_COLUMNS):
            for i in range(start, min(start + 16, n)):
                packed[i * TEXTGRU_PACKED_COLUMNS + j] = matrix[first + j, i] if j < rows else 0


def pack_int8(matrix):
    """A matrix (rows, n) float32 as 8-bit integers (quantize_rows), packed, with the scale of
    each row, float32, and -128 times the sum of each row, int32, both (64 * blocks,).

    The integers are (blocks, ceil(n / 4), 64, 4): four neighbours of each of 64 rows together, zeros added.
    Raises TypeError or ValueError for what is no such matrix.
    """
    check_array("matrix", matrix, np.dtype(np.float32), ("rows", "n"))
    return _pack_int8(matrix)


cdef _pack_int8(const float[:, ::1] matrix):
    cdef Py_ssize_t rows = matrix.shape[0]
    cdef Py_ssize_t n = matrix.shape[1]
    cdef Py_ssize_t padded = whole_blocks(rows)
    cdef Py_ssize_t blocks = padded // TEXTGRU_PACKED_COLUMNS
    cdef Py_ssize_t quads = (n + 3) // 4
    packed = aligned.zeros((blocks, quads, TEXTGRU_PACKED_COLUMNS, 4), np.int8)
    scales, offsets = aligned.zeros(padded, np.float32), aligned.zeros(padded, np.int32)
    cdef int8_t[:, ::1] integers = aligned.zeros((rows, quads * 4), np.int8)
    cdef int8_t[:, :, :, ::1] packed_view = packed
    cdef float[::1] scale = scales
    cdef int32_t[::1] offset = offsets
    cdef int threads = threads_for(4.0 * rows * n)
    cdef Py_ssize_t block
    for block in prange(blocks, num_threads=threads, schedule="static", nogil=True):
        _pack_int8_block(
            matrix, block * TEXTGRU_PACKED_COLUMNS, integers, &packed_view[block, 0, 0, 0], scale, offset)
    return packed, scales, offsets


cdef void _pack_int8_block(
    const float[:, ::1] matrix, Py_ssize_t first, int8_t[:, ::1] integers, int8_t* packed, float[::1] scale,
    int32_t[::1] offset,
) noexcept nogil:
    cdef Py_ssize_t n = matrix.shape[1]
    cdef Py_ssize_t rows = min(<Py_ssize_t>TEXTGRU_PACKED_COLUMNS, matrix.shape[0] - first)
    cdef Py_ssize_t start, i, j
    cdef int32_t total
    for j in range(rows):
        scale[first + j] = kernels.int8.quantize_row(n, &matrix[first + j, 0], &integers[first + j, 0], &total)
        offset[first + j] = -128 * total
    for start in range(0, n, 64):  # a cache line of each row at a time
        for j in range(rows):
            for i in range(start, min(start + 64, n), 4):
                memcpy(packed + (i // 4 * TEXTGRU_PACKED_COLUMNS + j) * 4, &integers[first + j, i], 4)
