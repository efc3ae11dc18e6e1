"""Weights laid out for stepping: panels of 64 rows, in which the numbers that are used together stand together.

A matrix of G gates, H rows each, becomes ceil(H / 64) blocks of G panels: the same 64 units of each gate side by side,
the last block filled up with zeros.
"""

import numpy as np

from cython.parallel cimport prange
from libc.stdint cimport int8_t, int32_t
from libc.string cimport memcpy

from textgru.core._products.products cimport TEXTGRU_PACKED_COLUMNS, whole_blocks
from textgru.core._support.simd cimport kernels
from textgru.core._support.threads cimport threads_for

from textgru.core._support import aligned
from textgru.core._support.checks import check_array, check_floats, check_integer


# Where a panel's rows are in the matrix.
cdef struct Panel:
    Py_ssize_t first
    Py_ssize_t rows


cdef inline Panel _panel(Py_ssize_t number, Py_ssize_t gates, Py_ssize_t units) noexcept nogil:
    cdef Panel panel
    cdef Py_ssize_t unit = number // gates * TEXTGRU_PACKED_COLUMNS
    panel.first = number % gates * units + unit
    panel.rows = min(units - unit, <Py_ssize_t>TEXTGRU_PACKED_COLUMNS)
    return panel


def _panels(matrix, gates) -> int:
    """How many panels. Raises TypeError or ValueError for gates that don't fit."""
    if len(matrix) % check_integer("gates", gates, 1, len(matrix)):
        raise ValueError(f"gates: expected a divisor of {len(matrix)} rows, got {gates}")
    return gates * whole_blocks(len(matrix) // gates) // TEXTGRU_PACKED_COLUMNS


def pack(matrix, gates=1) -> np.ndarray:
    """A matrix (rows, n), float32 or float64, as panels (P, n, 64). Raises TypeError or ValueError for another one."""
    dtype = check_floats("matrix", matrix, ("rows", "n"))
    packed = aligned.empty((_panels(matrix, gates), matrix.shape[1], TEXTGRU_PACKED_COLUMNS), dtype)
    if dtype == np.float32:
        _pack_single(matrix, gates, packed, False)
    else:
        _pack_double(matrix, gates, packed)
    return packed


def pack_bf16(matrix, gates=1) -> np.ndarray:
    """A matrix (rows, n) float32 as pairs of bfloat16, neighbours along n, in panels (P, ceil(n / 2), 64) uint32.

    Raises TypeError or ValueError for what is no such matrix.
    """
    check_array("matrix", matrix, np.dtype(np.float32), ("rows", "n"))
    packed = aligned.empty((_panels(matrix, gates), -(-matrix.shape[1] // 2), TEXTGRU_PACKED_COLUMNS), np.uint32)
    _pack_single(matrix, gates, packed.view(np.float32), True)
    return packed


cdef _pack_single(const float[:, ::1] matrix, Py_ssize_t gates, float[:, :, ::1] packed, bint bf16):
    """The panels are the right side of a product with the transposed matrix."""
    cdef Py_ssize_t n = matrix.shape[1]
    cdef Py_ssize_t units = matrix.shape[0] // gates
    cdef int threads = threads_for(<double>matrix.shape[0] * n)
    cdef Py_ssize_t number
    for number in prange(packed.shape[0], num_threads=threads, schedule="static", nogil=True):
        _pack_panel(matrix, _panel(number, gates, units), &packed[number, 0, 0], bf16)


cdef void _pack_panel(const float[:, ::1] matrix, Panel panel, float* packed, bint bf16) noexcept nogil:
    cdef Py_ssize_t n = matrix.shape[1]
    if bf16:
        kernels.products_bf16.pack(n, panel.rows, &matrix[panel.first, 0], 1, n, packed)
    else:
        kernels.products_f32.pack(n, panel.rows, &matrix[panel.first, 0], 1, n, packed)


cdef _pack_double(const double[:, ::1] matrix, Py_ssize_t gates, double[:, :, ::1] packed):
    cdef Py_ssize_t n = matrix.shape[1]
    cdef Py_ssize_t units = matrix.shape[0] // gates
    cdef int threads = threads_for(<double>matrix.shape[0] * n)
    cdef Py_ssize_t number
    for number in prange(packed.shape[0], num_threads=threads, schedule="static", nogil=True):
        _pack_double_panel(matrix, _panel(number, gates, units), &packed[number, 0, 0])


cdef void _pack_double_panel(const double[:, ::1] matrix, Panel panel, double* packed) noexcept nogil:
    cdef Py_ssize_t n = matrix.shape[1]
    cdef Py_ssize_t start, i, j
    for start in range(0, n, 16):  # a cache line of each row at a time
        for j in range(TEXTGRU_PACKED_COLUMNS):
            for i in range(start, min(start + 16, n)):
                packed[i * TEXTGRU_PACKED_COLUMNS + j] = matrix[panel.first + j, i] if j < panel.rows else 0


def pack_int8(matrix, gates=1):
    """A matrix (rows, n) float32 as 8-bit integers (textgru.core._products.quantization.quantize_rows) in panels, with
    the scale of each row, float32, and -128 times the sum of each row, int32, both (64 * P,).

    The integers are (P, ceil(n / 4), 64, 4): four neighbours of each of 64 rows together, zeros added.
    Raises TypeError or ValueError for what is no such matrix.
    """
    check_array("matrix", matrix, np.dtype(np.float32), ("rows", "n"))
    return _pack_int8(matrix, gates, _panels(matrix, gates))


cdef _pack_int8(const float[:, ::1] matrix, Py_ssize_t gates, Py_ssize_t panels):
    cdef Py_ssize_t n = matrix.shape[1]
    cdef Py_ssize_t units = matrix.shape[0] // gates
    cdef Py_ssize_t quads = (n + 3) // 4
    packed = aligned.zeros((panels, quads, TEXTGRU_PACKED_COLUMNS, 4), np.int8)
    rows = panels * TEXTGRU_PACKED_COLUMNS
    scales, offsets = aligned.zeros(rows, np.float32), aligned.zeros(rows, np.int32)
    cdef int8_t[:, ::1] integers = aligned.zeros((matrix.shape[0], quads * 4), np.int8)
    cdef int8_t[:, :, :, ::1] packed_view = packed
    cdef float[::1] scale = scales
    cdef int32_t[::1] offset = offsets
    cdef int threads = threads_for(4.0 * matrix.shape[0] * n)
    cdef Py_ssize_t number
    for number in prange(panels, num_threads=threads, schedule="static", nogil=True):
        _pack_int8_panel(
            matrix, _panel(number, gates, units), integers, &packed_view[number, 0, 0, 0],
            &scale[number * TEXTGRU_PACKED_COLUMNS], &offset[number * TEXTGRU_PACKED_COLUMNS])
    return packed, scales, offsets


cdef void _pack_int8_panel(
    const float[:, ::1] matrix, Panel panel, int8_t[:, ::1] integers, int8_t* packed, float* scale, int32_t* offset,
) noexcept nogil:
    cdef Py_ssize_t n = matrix.shape[1]
    cdef Py_ssize_t start, i, j
    cdef int32_t total
    for j in range(panel.rows):
        scale[j] = kernels.int8.quantize_row(n, &matrix[panel.first + j, 0], &integers[panel.first + j, 0], &total)
        offset[j] = -128 * total
    for start in range(0, n, 64):  # a cache line of each row at a time
        for j in range(panel.rows):
            for i in range(start, min(start + 64, n), 4):
                memcpy(packed + (i // 4 * TEXTGRU_PACKED_COLUMNS + j) * 4, &integers[panel.first + j, i], 4)
