from cython cimport floating

from textgru.core.gru_pass cimport Pass, Rows

# Some rows through all steps. `typed` is NULL, and says which type all arrays are of.
cdef void forward_by_blas(Pass* p, Rows r, int shard, floating* typed) noexcept nogil

# The same backward.
cdef void backward_by_blas(Pass* p, Rows r, int shard, floating* typed) noexcept nogil
