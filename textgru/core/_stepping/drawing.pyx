from cython cimport floating
from libc.float cimport DBL_MAX, DBL_MIN, FLT_MAX, FLT_MIN
from libc.math cimport INFINITY

from textgru.core._support.typed_kernels cimport boltzmann


cdef Py_ssize_t draw(
    const Drawing* how, Py_ssize_t n, floating* logits, double u, floating* p,
) noexcept nogil:
    cdef Py_ssize_t i
    cdef Py_ssize_t last = 0
    cdef double total = 0
    cdef double target, scale
    # As far as the numbers reach: a temperature beyond is as good as one that is infinite or zero.
    if floating is float:
        scale = min(max(1 / how.temperature, <double>FLT_MIN), <double>FLT_MAX)
    else:
        scale = min(max(1 / how.temperature, DBL_MIN), DBL_MAX)
    if how.never >= 0:
        logits[how.never] = -INFINITY
    target = boltzmann(n, logits, scale, p)
    if not 0 < target < INFINITY:
        return -1
    target *= u
    for i in range(n):
        if p[i] > 0:
            last = i  # in case rounding leaves the sum just below the target
            total += p[i]
            if total > target:
                break
    return last
