from textgru.core._sequence.layer_pass cimport Pass, Rows

# A thread's share of packing the recurrent weights for a pass, which all threads then read.
cdef void pack_forward(Pass* p, int shard, int shards) noexcept nogil
cdef void pack_backward(Pass* p, int shard, int shards) noexcept nogil

# Units unit..end-1 of some rows through all steps; backward their gradients are added to `sums` where the pass `adds`.
cdef void forward_packed(Pass* p, Rows r, int shard, Py_ssize_t unit, Py_ssize_t end, float* scratch) noexcept nogil
cdef void backward_packed(Pass* p, Rows r, int shard, Py_ssize_t unit, Py_ssize_t end, float* scratch) noexcept nogil
