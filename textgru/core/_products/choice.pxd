from textgru.core._support.simd cimport textgru_products

# What multiplies float32 matrices.
cdef enum:
    OF_THE_PROCESS = -1   # what is set for the process: one of the others
    AUTO = 0
    PACKED = 1
    BLAS = 2

# The choice, that of the process where it says so.
cdef int product_choice(int choice) noexcept nogil

# Our own products of this precision, or NULL where the BLAS is to be used.
cdef const textgru_products* own_products(bint bf16, int choice) noexcept nogil
