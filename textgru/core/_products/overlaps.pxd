"""Whether matrices may share memory: the ranges of their addresses, as numpy.may_share_memory compares them."""

from cython cimport floating
from libc.stdint cimport uintptr_t


cdef inline bint may_overlap(const floating[:, :] x, const floating[:, :] y) noexcept nogil:
    if not x.shape[0] or not x.shape[1] or not y.shape[0] or not y.shape[1]:
        return False
    return _low(x) < _high(y) and _low(y) < _high(x)


cdef inline uintptr_t _low(const floating[:, :] x) noexcept nogil:
    return <uintptr_t>&x[0, 0] + (
        min(x.strides[0] * (x.shape[0] - 1), <Py_ssize_t>0) + min(x.strides[1] * (x.shape[1] - 1), <Py_ssize_t>0))


cdef inline uintptr_t _high(const floating[:, :] x) noexcept nogil:
    return <uintptr_t>&x[0, 0] + sizeof(floating) + (
        max(x.strides[0] * (x.shape[0] - 1), <Py_ssize_t>0) + max(x.strides[1] * (x.shape[1] - 1), <Py_ssize_t>0))
