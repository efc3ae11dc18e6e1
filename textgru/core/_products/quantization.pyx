"""Weights as 8-bit integers: each row of a matrix has a scale of its own, symmetric about zero."""

import numpy as np

from cython.parallel cimport prange
from libc.stdint cimport int8_t, int32_t

from textgru.core._support.simd cimport kernels
from textgru.core._support.threads cimport threads_for

from textgru.core._support.checks import check_array, sizes


def quantize_rows(matrix):
    """Integers (rows, n) int8 and scales (rows,) float32 with integers * scales[:, None] ~ matrix (rows, n) float32.

    The largest magnitude of a row becomes 127, so the error is at most half of its 127th part. Quantising what
    dequantize_rows gives returns the same integers. A row with a number that is not finite has the scale NaN. Raises
    TypeError or ValueError for what is no such matrix.
    """
    check_array("matrix", matrix, np.dtype(np.float32), sizes(matrix, "rows", "n"))
    return _quantize_rows(matrix)


cdef _quantize_rows(const float[:, ::1] matrix):
    integers = np.empty((matrix.shape[0], matrix.shape[1]), np.int8)
    scales = np.empty(matrix.shape[0], np.float32)
    cdef int8_t[:, ::1] integers_view = integers
    cdef float[::1] scales_view = scales
    cdef int threads = threads_for(4.0 * matrix.shape[0] * matrix.shape[1])
    cdef Py_ssize_t n = matrix.shape[1]
    cdef int32_t[::1] sums = np.empty(matrix.shape[0], np.int32)
    cdef Py_ssize_t row
    if integers.size:
        for row in prange(matrix.shape[0], num_threads=threads, schedule="static", nogil=True):
            scales_view[row] = kernels.int8.quantize_row(n, &matrix[row, 0], &integers_view[row, 0], &sums[row])
    return integers, scales


def dequantize_rows(integers, scales) -> np.ndarray:
    """The matrix (rows, n) float32 that integers (rows, n) int8 and scales (rows,) float32 stand for.

    Raises TypeError or ValueError on arrays that don't fit.
    """
    shape = sizes(integers, "rows", "n")
    check_array("integers", integers, np.dtype(np.int8), shape)
    check_array("scales", scales, np.dtype(np.float32), shape[:1])
    return integers.astype(np.float32) * scales[:, None]
