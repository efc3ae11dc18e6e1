from textgru.core._support.simd cimport textgru_products

cdef extern from "kernels.h":
    const int TEXTGRU_PACKED_COLUMNS
    const int TEXTGRU_NEAR_BYTES

# The units along k of a matrix packed by these products, and the columns of as many blocks as hold `columns`.
cdef inline Py_ssize_t units_of(const textgru_products* products, Py_ssize_t k) noexcept nogil:
    return (k + products.unit_k - 1) // products.unit_k

cdef inline Py_ssize_t whole_blocks(Py_ssize_t columns) noexcept nogil:
    return (columns + TEXTGRU_PACKED_COLUMNS - 1) // TEXTGRU_PACKED_COLUMNS * TEXTGRU_PACKED_COLUMNS

cdef class Products:
    cdef readonly str precision
    cdef readonly object kernels
    cdef readonly object room
    cdef bint bf16
    cdef int choice     # of kernels: see choice.pxd

    # Our own products, or NULL where the BLAS is to be used.
    cdef const textgru_products* own(self) noexcept nogil

    # The same for a product of `rows` rows: few of them don't repay packing the right side.
    cdef const textgru_products* own_for(self, Py_ssize_t rows) noexcept nogil

    cdef _single(self, const float[:, :] a, const float[:, :] b, float[:, :] c, bias, bint accumulate)
    cdef _single_sum(
        self, const float[:, :] a, const float[:, :] b, const float[:, :] second_a, const float[:, :] second_b,
        float[:, :] c, bint accumulate)

# One thread's share of the blocks that pack makes.
cdef void pack_share(
    const textgru_products* products, Py_ssize_t k, Py_ssize_t n, const float* b, Py_ssize_t b_row, Py_ssize_t b_column,
    float* packed, int shard, int shards) noexcept nogil
