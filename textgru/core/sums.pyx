"""Sums of the columns of a matrix: the gradient of a bias."""

from cython cimport floating
from cython.parallel cimport prange

from textgru.core.simd cimport kernels
from textgru.core.threads cimport threads_for


def column_sums(const floating[:, :] x, floating[::1] sums, bint accumulate=False) -> None:
    """sums (C,) = the sum of the rows of x (N, C), added in the order of the rows. Threads share the columns.

    The rows of x have to be contiguous, not x itself.
    """
    cdef Py_ssize_t N = x.shape[0]
    cdef Py_ssize_t C = x.shape[1]
    cdef int shards = <int>min(<Py_ssize_t>threads_for(<double>N * C), C)
    cdef int shard
    cdef Py_ssize_t stride = x.strides[0] // <Py_ssize_t>sizeof(floating)
    if x.strides[1] != <Py_ssize_t>sizeof(floating) and C > 1:
        raise ValueError("x: expected contiguous rows")
    if not accumulate:
        sums[:] = 0
    for shard in prange(shards, num_threads=shards, schedule="static", chunksize=1, nogil=True):
        _sum_columns(N, stride, C * shard // shards, C * (shard + 1) // shards, &x[0, 0], &sums[0])


cdef void _sum_columns(
    Py_ssize_t N, Py_ssize_t stride, Py_ssize_t first, Py_ssize_t last, const floating* x, floating* sums,
) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(N):
        if floating is float:
            kernels.f32.add(last - first, x + i * stride + first, sums + first)
        else:
            kernels.f64.add(last - first, x + i * stride + first, sums + first)
