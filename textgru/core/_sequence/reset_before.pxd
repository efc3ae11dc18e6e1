from cython cimport floating

from textgru.core._sequence.layer_pass cimport Pass, Rows

# As forward_by_blas and backward_by_blas, for a GRU whose reset comes before the product (Cho et al. 2014).
cdef void forward_reset_before(Pass* p, Rows r, floating* scratch) noexcept nogil
cdef void backward_reset_before(Pass* p, Rows r, floating* scratch) noexcept nogil
