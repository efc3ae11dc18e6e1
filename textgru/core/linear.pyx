"""y = x W^T + b, and the sums that its bias needs."""

from cython cimport floating
from cython.parallel cimport prange
from libc.string cimport memcpy

from textgru.core.blas cimport gemm
from textgru.core.simd cimport kernels
from textgru.core.threads cimport threads_for


def affine(
    const floating[:, ::1] x, const floating[:, ::1] weight, const floating[::1] bias, floating[:, ::1] y,
) -> None:
    """y (N, O) = x (N, I) @ weight (O, I).T + bias (O,). Threads share the rows. The caller checks shapes."""
    cdef Py_ssize_t N = x.shape[0]
    cdef Py_ssize_t I = x.shape[1]
    cdef Py_ssize_t O = weight.shape[0]
    cdef int shards = <int>min(<Py_ssize_t>threads_for(<double>N * I * O), N)
    cdef int shard
    for shard in prange(shards, num_threads=shards, schedule="static", chunksize=1, nogil=True):
        _affine_rows(N * shard // shards, N * (shard + 1) // shards, I, O, &x[0, 0], &weight[0, 0], &bias[0], &y[0, 0])


cdef void _affine_rows(
    Py_ssize_t first, Py_ssize_t last, Py_ssize_t I, Py_ssize_t O,
    const floating* x, const floating* weight, const floating* bias, floating* y,
) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(first, last):
        memcpy(y + i * O, bias, O * sizeof(floating))
    gemm(False, True, last - first, O, I, <floating>1, x + first * I, I, weight, I, <floating>1, y + first * O, O)


def column_sums(const floating[:, ::1] x, floating[::1] sums, bint accumulate=False) -> None:
    """sums (C,) = the sum of the rows of x (N, C), added in the order of the rows. Threads share the columns."""
    cdef Py_ssize_t N = x.shape[0]
    cdef Py_ssize_t C = x.shape[1]
    cdef int shards = <int>min(<Py_ssize_t>threads_for(<double>N * C), C)
    cdef int shard
    if not accumulate:
        sums[:] = 0
    for shard in prange(shards, num_threads=shards, schedule="static", chunksize=1, nogil=True):
        _sum_columns(N, C, C * shard // shards, C * (shard + 1) // shards, &x[0, 0], &sums[0])


cdef void _sum_columns(
    Py_ssize_t N, Py_ssize_t C, Py_ssize_t first, Py_ssize_t last, const floating* x, floating* sums,
) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(N):
        if floating is float:
            kernels.f32.add(last - first, x + i * C + first, sums + first)
        else:
            kernels.f64.add(last - first, x + i * C + first, sums + first)
