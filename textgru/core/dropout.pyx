"""Dropout whose mask is a function of a key and the position: nothing to keep, the same for any thread count."""

from cython cimport floating
from cython.parallel cimport prange
from libc.stdint cimport uint64_t

from textgru.core.simd cimport kernels
from textgru.core.threads cimport threads_for

cdef Py_ssize_t BLOCK = 4096


def dropout(floating[::1] x, double p, uint64_t key) -> None:
    """x (n,) *= 0 with probability p, else 1 / (1 - p), in place; the same key gives the same mask.

    Applied to an activation and, with the same key, to its gradient.
    """
    cdef Py_ssize_t n = x.shape[0]
    cdef Py_ssize_t blocks = (n + BLOCK - 1) // BLOCK
    cdef int threads = threads_for(4.0 * n)
    cdef Py_ssize_t block, size
    for block in prange(blocks, num_threads=threads, schedule="static", nogil=True):
        size = min(BLOCK, n - block * BLOCK)
        if floating is float:
            kernels.f32.dropout(size, key, block * BLOCK, p, &x[block * BLOCK])
        else:
            kernels.f64.dropout(size, key, block * BLOCK, p, &x[block * BLOCK])
