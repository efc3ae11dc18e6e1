"""Sums of the columns of a matrix: the gradient of a bias."""

from cython cimport floating
from cython.parallel cimport prange
from libc.stdlib cimport calloc, free

from textgru.core._support.halves cimport share_of_half
from textgru.core._support.threads cimport threads_for
from textgru.core._support.typed_kernels cimport add

from textgru.core._support.checks import check_apart, check_floats, check_output, check_rows, sizes


def column_sums(x, sums, accumulate=False) -> None:
    """sums (C,) = the sum of the rows of x (N, C). The rows have to be contiguous, not x itself.

    They are added up as two halves, so that two threads have one each (see RowOrder); threads share the columns of
    both. Raises TypeError or ValueError on arrays that don't fit or share memory.
    """
    dtype = check_floats("sums", sums, sizes(sums, "C"))
    check_output("sums", sums, dtype, sums.shape)
    check_rows("x", x, dtype, (sizes(x, "N", "C")[0], sums.size))
    check_apart("sums", sums, x=x)
    _column_sums(x, sums, accumulate)


def _column_sums(const floating[:, :] x, floating[::1] sums, bint accumulate):
    cdef Py_ssize_t N = x.shape[0]
    cdef Py_ssize_t C = x.shape[1]
    cdef int shards = <int>min(<Py_ssize_t>threads_for(4.0 * N * C), C)
    cdef int shard, half
    cdef Py_ssize_t stride = x.strides[0] // <Py_ssize_t>sizeof(floating)
    cdef Py_ssize_t first, last
    cdef floating* second
    if not N or not C:
        if not accumulate:
            sums[:] = 0
        return
    second = <floating*>calloc(C, sizeof(floating))
    if second == NULL:
        raise MemoryError(f"column_sums: no room for {C} sums")
    if not accumulate:
        sums[:] = 0
    for shard in prange(shards, num_threads=shards, schedule="static", chunksize=1, nogil=True):
        for half in range(2):
            first, last = share_of_half(C, half, shard, shards), share_of_half(C, half, shard + 1, shards)
            if first < last:
                _sum_columns(
                    N * half // 2, N * (half + 1) // 2, stride, last - first, &x[0, first],
                    second + first if half else &sums[first])
    add(C, second, &sums[0])
    free(second)


cdef void _sum_columns(
    Py_ssize_t begin, Py_ssize_t end, Py_ssize_t stride, Py_ssize_t columns, const floating* x, floating* sums,
) noexcept nogil:
    """Of rows begin..end-1."""
    cdef Py_ssize_t i
    for i in range(begin, end):
        add(columns, x + i * stride, sums)
