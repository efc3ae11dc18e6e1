"""Rows of a batch at many steps into the order of textgru.core._sequence.row_order.RowOrder, and back."""

import numpy as np

from cython.parallel cimport prange
from libc.stdint cimport uint8_t
from libc.string cimport memcpy

from textgru.core._support.threads cimport threads_for

from textgru.core._support.checks import check_apart, check_array, check_integer, check_output

BYTES = np.dtype(np.uint8)


def take_halves(array, rows, first) -> None:
    """rows (N, n) = array (T, B, n) in that order; n in bytes, uint8.

    The first half of the batch has `first` rows. Raises TypeError or ValueError on arrays that don't fit.
    """
    check_array("array", array, BYTES, ("T", "B", "n"))
    check_output("rows", rows, BYTES, (array.shape[0] * array.shape[1], array.shape[2]))
    check_apart("rows", rows, array=array)
    _halves(array, rows, check_integer("first", first, 0, array.shape[1]), False)


def put_halves(rows, array, first) -> None:
    """The way back."""
    check_output("array", array, BYTES, ("T", "B", "n"))
    check_array("rows", rows, BYTES, (array.shape[0] * array.shape[1], array.shape[2]))
    check_apart("rows", rows, array=array)
    _halves(array, rows, check_integer("first", first, 0, array.shape[1]), True)


def _halves(const uint8_t[:, :, ::1] array, const uint8_t[:, ::1] rows, Py_ssize_t first, bint back):
    _copy_halves(
        array.shape[0], array.shape[1], array.shape[2], first, <uint8_t*>&rows[0, 0], <uint8_t*>&array[0, 0, 0], back)


cdef void _copy_halves(
    Py_ssize_t T, Py_ssize_t B, Py_ssize_t n, Py_ssize_t first, uint8_t* rows, uint8_t* array, bint back,
) noexcept nogil:
    """A thread has a half, as in a recurrence."""
    cdef int threads = min(threads_for(<double>T * B * n), 2)
    cdef Py_ssize_t t, size
    cdef uint8_t* row
    cdef uint8_t* there
    cdef int half
    for half in prange(2, num_threads=threads, schedule="static", chunksize=1):
        for t in range(T):
            if half == 0:
                size, row, there = first * n, rows + t * first * n, array + t * B * n
            else:
                size, there = (B - first) * n, array + (t * B + first) * n
                row = rows + (T * first + (T - 1 - t) * (B - first)) * n
            if back:
                memcpy(there, row, size)
            else:
                memcpy(row, there, size)
