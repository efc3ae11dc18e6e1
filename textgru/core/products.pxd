from textgru.core.simd cimport textgru_products

cdef extern from "kernels.h":
    const int TEXTGRU_PACKED_COLUMNS
    const int TEXTGRU_NEAR_BYTES

# The units along k of a matrix packed by these products, and the columns of as many blocks as hold `columns`.
cdef inline Py_ssize_t units_of(const textgru_products* products, Py_ssize_t k) noexcept nogil:
    return (k + products.unit_k - 1) // products.unit_k

cdef inline Py_ssize_t whole_blocks(Py_ssize_t columns) noexcept nogil:
    return (columns + TEXTGRU_PACKED_COLUMNS - 1) // TEXTGRU_PACKED_COLUMNS * TEXTGRU_PACKED_COLUMNS

# Our own products at this precision, or NULL where the BLAS is to be used.
cdef const textgru_products* own_products(bint bf16) noexcept nogil

# One thread's share of the blocks that pack makes.
cdef void pack_share(
    const textgru_products* products, Py_ssize_t k, Py_ssize_t n, const float* b, Py_ssize_t b_row, Py_ssize_t b_column,
    float* packed, int shard, int shards) noexcept nogil
