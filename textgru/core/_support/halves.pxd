# Two sums of n rows or columns each are shared among threads one after the other, as if they were one of 2 n: two
# threads have one each. Where the part of sum number `half` begins that is this shard's; it ends where the next
# shard's does.
cdef inline Py_ssize_t share_of_half(Py_ssize_t n, int half, int shard, int shards) noexcept nogil:
    return min(max(2 * n * shard // shards - half * n, 0), n)
