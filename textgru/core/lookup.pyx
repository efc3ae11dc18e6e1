"""Rows of a table by their number, and the gradient's way back."""

from cython cimport floating
from cython.parallel cimport prange
from libc.string cimport memcpy

from textgru.core.simd cimport kernels
from textgru.core.threads cimport threads_for


def gather(const floating[:, ::1] table, const Py_ssize_t[::1] index, floating[:, ::1] rows) -> None:
    """rows[i] = table[index[i]]: table (V, E), index (N,), rows (N, E). The caller checks shapes and indices."""
    cdef Py_ssize_t N = index.shape[0]
    cdef Py_ssize_t E = table.shape[1]
    cdef int threads = threads_for(4.0 * N * E)
    cdef Py_ssize_t i
    for i in prange(N, num_threads=threads, schedule="static", nogil=True):
        memcpy(&rows[i, 0], &table[index[i], 0], E * sizeof(floating))


def scatter_add(const Py_ssize_t[::1] index, const floating[:, :] rows, floating[:, ::1] table) -> None:
    """table[index[i]] += rows[i], in the order of i; shapes as in gather. Threads share the columns.

    The rows may be neighbouring columns of a larger array.
    """
    cdef Py_ssize_t N = index.shape[0]
    cdef Py_ssize_t E = table.shape[1]
    cdef Py_ssize_t row = rows.strides[0] // <Py_ssize_t>sizeof(floating)
    cdef int shards = <int>min(<Py_ssize_t>threads_for(4.0 * N * E), E)
    cdef int shard
    for shard in prange(shards, num_threads=shards, schedule="static", chunksize=1, nogil=True):
        _scatter_columns(
            N, E, E * shard // shards, E * (shard + 1) // shards, &index[0], &rows[0, 0], row, &table[0, 0])


cdef void _scatter_columns(
    Py_ssize_t N, Py_ssize_t E, Py_ssize_t first, Py_ssize_t last, const Py_ssize_t* index,
    const floating* rows, Py_ssize_t row, floating* table,
) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(N):
        if floating is float:
            kernels.f32.add(last - first, rows + i * row + first, table + index[i] * E + first)
        else:
            kernels.f64.add(last - first, rows + i * row + first, table + index[i] * E + first)
