from textgru.core._stepping.weights cimport Matrix, Weights


cdef class PackedNetwork:
    cdef readonly str precision
    cdef readonly str cell
    cdef readonly object dtype
    cdef readonly Py_ssize_t nbytes
    cdef readonly Py_ssize_t vocab_size
    cdef readonly Py_ssize_t hidden_size
    cdef readonly Py_ssize_t num_layers
    cdef readonly tuple states
    cdef Weights weights
    cdef list kept            # the arrays that the pointers in it point into

    cdef void* _keep(self, array)
    cdef _pack(self, Matrix* matrix, weight, gates, bias)
