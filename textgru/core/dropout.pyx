"""Dropout whose mask is a function of a key and the position: nothing to keep, the same for any thread count."""

from cython cimport floating
from cython.parallel cimport prange
from libc.stdint cimport uint64_t

from textgru.core.simd cimport kernels
from textgru.core.threads cimport threads_for

cdef Py_ssize_t BLOCK = 4096


def dropout(floating[::1] x, double p, uint64_t key, Py_ssize_t period=0) -> None:
    """x (n,) *= 0 with probability p, else 1 / (1 - p), in place; the same key gives the same mask.

    Applied to an activation and, with the same key, to its gradient. With a `period`, every so many elements get the
    same mask again. Raises ValueError unless it divides n.
    """
    cdef Py_ssize_t n = x.shape[0]
    cdef Py_ssize_t masked = period if period else n
    cdef Py_ssize_t blocks = (masked + BLOCK - 1) // BLOCK
    cdef int threads = threads_for(4.0 * n)
    cdef Py_ssize_t task, start, size, repetitions
    if period < 0 or (period and n % period):
        raise ValueError(f"period: expected a divisor of {n}, got {period}")
    repetitions = n // masked if n else 0
    for task in prange(blocks * repetitions, num_threads=threads, schedule="static", nogil=True):
        start = task % blocks * BLOCK
        size = min(BLOCK, masked - start)
        if floating is float:
            kernels.f32.dropout(size, key, start, p, &x[task // blocks * masked + start])
        else:
            kernels.f64.dropout(size, key, start, p, &x[task // blocks * masked + start])
