"""Rows of a table by their number, and the gradient's way back."""

from cython cimport floating
from cython.parallel cimport prange
from libc.string cimport memcpy

from textgru.core._support.threads cimport threads_for
from textgru.core._support.typed_kernels cimport add

from textgru.core._support.checks import check_apart, check_floats, check_index, check_output, check_rows


def gather(table, index, rows) -> None:
    """rows[i] = table[index[i]]: table (V, E), index (N,) intp, rows (N, E).

    Raises TypeError, ValueError or IndexError on arrays that don't fit or, rows and the others, share memory.
    """
    dtype = check_floats("table", table, ("V", "E"))
    check_index("index", index, ("N",), table.shape[0])
    check_output("rows", rows, dtype, (index.size, table.shape[1]))
    check_apart("rows", rows, table=table, index=index)
    _gather(table, index, rows)


def _gather(const floating[:, ::1] table, const Py_ssize_t[::1] index, floating[:, ::1] rows):
    cdef Py_ssize_t N = index.shape[0]
    cdef Py_ssize_t E = table.shape[1]
    cdef int threads = threads_for(4.0 * N * E)
    cdef Py_ssize_t i
    for i in prange(N, num_threads=threads, schedule="static", nogil=True):
        memcpy(&rows[i, 0], &table[index[i], 0], E * sizeof(floating))


def scatter_add(index, rows, table) -> None:
    """table[index[i]] += rows[i], in the order of i; shapes, and what is raised, as in gather.

    Threads share the columns. The rows may be neighbouring columns of a larger array.
    """
    dtype = check_floats("table", table, ("V", "E"))
    check_output("table", table, dtype, table.shape)
    check_index("index", index, ("N",), table.shape[0])
    check_rows("rows", rows, dtype, (index.size, table.shape[1]))
    check_apart("table", table, rows=rows, index=index)
    _scatter_add(index, rows, table)


def _scatter_add(const Py_ssize_t[::1] index, const floating[:, :] rows, floating[:, ::1] table):
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
        add(last - first, rows + i * row + first, table + index[i] * E + first)
