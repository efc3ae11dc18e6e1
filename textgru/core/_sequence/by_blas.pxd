from cython cimport floating

from textgru.core._sequence.layer_pass cimport Pass, Rows

# Some rows through all steps, and backward; `scratch` is the thread's.
cdef void forward_by_blas(Pass* p, Rows r, floating* scratch) noexcept nogil
cdef void backward_by_blas(Pass* p, Rows r, floating* scratch) noexcept nogil
