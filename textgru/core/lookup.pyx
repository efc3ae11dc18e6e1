"""Rows of a table by their number, and the gradient's way back; rows of a batch in the order of RowOrder, and back."""

import numpy as np

from cython cimport floating
from cython.parallel cimport prange
from libc.stdint cimport uint8_t
from libc.string cimport memcpy

from textgru.core.simd cimport kernels
from textgru.core.threads cimport threads_for

# A table is small where there are so many times as many rows.
cdef Py_ssize_t SMALL_TABLE = 16


def gather(const floating[:, ::1] table, const Py_ssize_t[::1] index, floating[:, ::1] rows) -> None:
    """rows[i] = table[index[i]]: table (V, E), index (N,), rows (N, E). The caller checks shapes and indices."""
    cdef Py_ssize_t N = index.shape[0]
    cdef Py_ssize_t E = table.shape[1]
    cdef int threads = threads_for(4.0 * N * E)
    cdef Py_ssize_t i
    for i in prange(N, num_threads=threads, schedule="static", nogil=True):
        memcpy(&rows[i, 0], &table[index[i], 0], E * sizeof(floating))


def scatter_add(const Py_ssize_t[::1] index, const floating[:, :] rows, floating[:, :] table) -> None:
    """table[index[i]] += rows[i]; shapes as in gather. Rows and table may be neighbouring columns of larger arrays.

    Threads share the columns. A small table's sums are made of two, one over each half of the rows, so that two threads
    have one each (see textgru.core.row_order).
    """
    cdef Py_ssize_t N = index.shape[0]
    cdef Py_ssize_t V = table.shape[0]
    cdef Py_ssize_t E = table.shape[1]
    cdef int halves = 2 if SMALL_TABLE * V <= N else 1
    cdef int shards = <int>min(<Py_ssize_t>threads_for(4.0 * N * E), E)
    cdef int shard, half
    cdef Py_ssize_t first, last, i
    cdef Py_ssize_t row = rows.strides[0] // <Py_ssize_t>sizeof(floating)
    cdef Py_ssize_t table_row = table.strides[0] // <Py_ssize_t>sizeof(floating)
    cdef floating[:, ::1] second = np.zeros((V if halves == 2 else 0, E), np.asarray(table).dtype)
    for shard in prange(shards, num_threads=shards, schedule="static", chunksize=1, nogil=True):
        for half in range(halves):
            first = max(halves * E * shard // shards - half * E, 0)
            last = min(halves * E * (shard + 1) // shards - half * E, E)
            if first < last:
                _scatter_columns(
                    N * half // halves, N * (half + 1) // halves, last - first, &index[0], &rows[0, first], row,
                    &second[0, first] if half else &table[0, first], E if half else table_row)
    for i in prange(second.shape[0], num_threads=shards, schedule="static", nogil=True):
        if floating is float:
            kernels.f32.add(E, &second[i, 0], &table[i, 0])
        else:
            kernels.f64.add(E, &second[i, 0], &table[i, 0])


cdef void _scatter_columns(
    Py_ssize_t begin, Py_ssize_t end, Py_ssize_t columns, const Py_ssize_t* index, const floating* rows,
    Py_ssize_t row, floating* table, Py_ssize_t table_row,
) noexcept nogil:
    """Of rows begin..end-1."""
    cdef Py_ssize_t i
    for i in range(begin, end):
        if floating is float:
            kernels.f32.add(columns, rows + i * row, table + index[i] * table_row)
        else:
            kernels.f64.add(columns, rows + i * row, table + index[i] * table_row)


def take_halves(const uint8_t[:, :, ::1] array, uint8_t[:, ::1] rows, Py_ssize_t first) -> None:
    """rows (N, n) = array (T, B, n) in the order of textgru.core.row_order.RowOrder; n in bytes.

    The first half of the batch has `first` rows.
    """
    if array.shape[2]:
        _copy_halves(
            array.shape[0], array.shape[1], array.shape[2], first, &rows[0, 0], <uint8_t*>&array[0, 0, 0], False)


def put_halves(const uint8_t[:, ::1] rows, uint8_t[:, :, ::1] array, Py_ssize_t first) -> None:
    """The way back."""
    if array.shape[2]:
        _copy_halves(
            array.shape[0], array.shape[1], array.shape[2], first, <uint8_t*>&rows[0, 0], &array[0, 0, 0], True)


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
