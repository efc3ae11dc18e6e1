"""What the checks ask of an array, compiled: a training step asks it a hundred times."""

import numpy as np

cimport numpy as cnp
from libc.stdint cimport uintptr_t

cnp.import_array()

MEMMAP = np.memmap


cdef inline bint _plain(array):
    """Subclasses may mean something else by an element (a mask), by a shape (numpy.matrix) or even by dtype."""
    return cnp.PyArray_CheckExact(array) or type(array) is MEMMAP


def is_plain(array) -> bool:
    """Whether it is a numpy array or a numpy.memmap, and of no other subclass."""
    return _plain(array)


def fits(array, dtype, tuple shape) -> bool:
    """Whether it is a plain, aligned, C-contiguous array of this dtype and shape; a string in the shape is any size
    from 1 up."""
    return _plain(array) and cnp.PyArray_IS_C_CONTIGUOUS(array) and _fits(array, dtype, shape)


def rows_fit(array, dtype, tuple shape) -> bool:
    """The same of a matrix whose rows have to be contiguous, but may be parts of longer ones."""
    cdef Py_ssize_t size = dtype.itemsize
    if not _plain(array) or not _fits(array, dtype, shape):
        return False
    return (cnp.PyArray_STRIDES(array)[1] == size or cnp.PyArray_DIMS(array)[1] <= 1) and (
        cnp.PyArray_STRIDES(array)[0] % size == 0)


cdef bint _fits(array, dtype, tuple shape) except -1:
    cdef Py_ssize_t i
    cdef cnp.npy_intp* sizes
    if not cnp.PyArray_ISALIGNED(array):
        return False
    if cnp.PyArray_NDIM(array) != len(shape) or not _is_dtype(array, dtype):
        return False
    sizes = cnp.PyArray_DIMS(array)
    for i in range(len(shape)):
        wanted = shape[i]
        if isinstance(wanted, str):
            if sizes[i] < 1:
                return False
        elif sizes[i] != wanted:
            return False
    return True


def is_matrix(array, dtype) -> bool:
    """Whether it is a plain, aligned array of this dtype with two dimensions."""
    return (
        _plain(array) and cnp.PyArray_NDIM(array) == 2 and cnp.PyArray_ISALIGNED(array) and _is_dtype(array, dtype))


cdef inline bint _is_dtype(array, dtype):
    descr = <object>cnp.PyArray_DESCR(array)
    return descr is dtype or descr == dtype


def least_and_most(array) -> tuple[int, int]:
    """Of the elements of an array that fits numpy.intp and is not empty."""
    cdef const Py_ssize_t* x = <const Py_ssize_t*>cnp.PyArray_DATA(array)
    cdef Py_ssize_t low = x[0]
    cdef Py_ssize_t high = x[0]
    cdef Py_ssize_t i
    for i in range(cnp.PyArray_SIZE(array)):
        low, high = min(low, x[i]), max(high, x[i])
    return low, high


def share_memory(x, y) -> bool:
    """Whether the ranges of addresses of two arrays overlap, as in numpy.may_share_memory."""
    cdef uintptr_t first, second
    if not (cnp.PyArray_IS_C_CONTIGUOUS(x) and cnp.PyArray_IS_C_CONTIGUOUS(y)):
        return np.may_share_memory(x, y)
    first, second = <uintptr_t>cnp.PyArray_DATA(x), <uintptr_t>cnp.PyArray_DATA(y)
    return first < second + cnp.PyArray_NBYTES(y) and second < first + cnp.PyArray_NBYTES(x)
