from textgru.core._stepping.controls cimport Controls, History
from textgru.core._stepping.drawing cimport Drawing


cdef class Sampler:
    cdef readonly Py_ssize_t vocab_size
    cdef readonly Py_ssize_t rows
    cdef Controls controls
    cdef History* history     # (B,)
    cdef dict buffers

    cdef void* _keep(self, name, array) except? NULL

    # Fills in what drawing needs, with scratch for this many threads and numbers of `item` bytes.
    cdef _prepare(self, Drawing* how, int threads, Py_ssize_t item)
