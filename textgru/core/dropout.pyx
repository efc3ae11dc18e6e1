"""Dropout whose mask is a function of a key and the position: nothing to keep, the same for any thread count."""

from cython cimport floating
from cython.parallel cimport prange
from libc.stdint cimport uint64_t
from libc.string cimport memcpy

from textgru.core.simd cimport kernels
from textgru.core.threads cimport threads_for

cdef Py_ssize_t BLOCK = 4096


def dropout(
    floating[::1] x, double p, uint64_t key, Py_ssize_t period=0, Py_ssize_t start=0, const floating[::1] source=None,
) -> None:
    """x (n,) *= 0 with probability p, else 1 / (1 - p); the same key gives the same mask. In place, or with a `source`
    (n,) x becomes what is left of that.

    Applied to an activation and, with the same key, to its gradient. With a `period`, every so many elements get the
    same mask again. `start` is the position in the mask of the first element. Raises ValueError unless the period
    divides n and the source fits.
    """
    cdef Py_ssize_t n = x.shape[0]
    cdef Py_ssize_t masked = period if period else n
    cdef Py_ssize_t blocks = (masked + BLOCK - 1) // BLOCK
    cdef int threads = threads_for(4.0 * n)
    cdef Py_ssize_t task, first, size, repetitions, at
    cdef const floating* copied = NULL
    if period < 0 or (period and n % period):
        raise ValueError(f"period: expected a divisor of {n}, got {period}")
    if source is not None and source.shape[0] != n:
        raise ValueError(f"source: expected {n} elements, got {source.shape[0]}")
    if source is not None and n:
        copied = &source[0]
    repetitions = n // masked if n else 0
    for task in prange(blocks * repetitions, num_threads=threads, schedule="static", nogil=True):
        first = task % blocks * BLOCK
        size = min(BLOCK, masked - first)
        at = task // blocks * masked + first
        if copied != NULL:
            memcpy(&x[at], copied + at, size * sizeof(floating))
        if floating is float:
            kernels.f32.dropout(size, key, start + first, p, &x[at])
        else:
            kernels.f64.dropout(size, key, start + first, p, &x[at])
