"""Dropout whose mask is a function of a key and the position: nothing to keep, the same for any thread count."""

from cython cimport floating
from cython.parallel cimport prange
from libc.stdint cimport uint64_t
from libc.string cimport memcpy

from textgru.core._support.threads cimport threads_for
from textgru.core._support.typed_kernels cimport drop

from textgru.core._support.checks import (
    check_apart, check_array, check_floats, check_integer, check_output, check_probability, sizes
)

cdef Py_ssize_t BLOCK = 4096


def dropout(x, p, key, period=0, start=0, source=None) -> None:
    """x (n,) *= 0 with probability p, else 1 / (1 - p); the same key, 0 to 2**64 - 1, gives the same mask. In place, or
    with a `source` (n,) x becomes what is left of that.

    Applied to an activation and, with the same key, to its gradient. With a `period`, the
    mask begins anew after that many elements. `start` is the position in the mask of the first element. Raises
    ValueError unless 0 <= p < 1, the period divides n, and the source fits and is no part of x.
    """
    dtype = check_floats("x", x, sizes(x, "n"))
    check_output("x", x, dtype, x.shape)
    p, key = check_probability("p", p), check_integer("key", key, 0, 2**64 - 1)
    period, start = check_integer("period", period, 0, 2**62), check_integer("start", start, 0, 2**62)
    if period and x.size % period:
        raise ValueError(f"period: expected a divisor of {x.size}, got {period}")
    if source is not None:
        check_array("source", source, dtype, x.shape)
        check_apart("source", source, x=x)
    _dropout(x, p, key, period, start, source)


def _dropout(
    floating[::1] x, double p, uint64_t key, Py_ssize_t period, Py_ssize_t start, const floating[::1] source,
):
    cdef Py_ssize_t n = x.shape[0]
    cdef Py_ssize_t masked = period if period else n
    cdef Py_ssize_t blocks = (masked + BLOCK - 1) // BLOCK
    cdef int threads = threads_for(4.0 * n)
    cdef Py_ssize_t task, first, size, repetitions, at
    cdef const floating* copied = NULL
    if n == 0:
        return
    if source is not None:
        copied = &source[0]
    repetitions = n // masked
    for task in prange(blocks * repetitions, num_threads=threads, schedule="static", nogil=True):
        first = task % blocks * BLOCK
        size = min(BLOCK, masked - first)
        at = task // blocks * masked + first
        if copied != NULL:
            memcpy(&x[at], copied + at, size * sizeof(floating))
        drop(size, key, start + first, p, &x[at])
