from textgru.core._stepping.weights cimport Weights


cdef class Sharing:
    cdef double wait          # seconds, when it was measured last
    cdef double measured      # when that was; 0 before

    cdef int threads(
        self, const Weights* w, Py_ssize_t nbytes, Py_ssize_t rows, Py_ssize_t steps, bint* by_units) except -1
    cdef int _by_units(self, const Weights* w, Py_ssize_t nbytes, Py_ssize_t rows) except -1
