from cython cimport floating

# C := alpha * op(A) op(B) + beta * C, row-major; op(A) is (m, k), op(B) is (k, n), C is (m, n); op transposes where
# trans_ is true; ld_ is the distance between rows in elements.
cdef void gemm(
    bint trans_a, bint trans_b, Py_ssize_t m, Py_ssize_t n, Py_ssize_t k,
    floating alpha, const floating* a, Py_ssize_t lda, const floating* b, Py_ssize_t ldb,
    floating beta, floating* c, Py_ssize_t ldc,
) noexcept nogil

# The same with the rows of C shared among the core's threads. Not to be called inside a parallel region.
cdef void gemm_shared(
    bint trans_a, bint trans_b, Py_ssize_t m, Py_ssize_t n, Py_ssize_t k,
    floating alpha, const floating* a, Py_ssize_t lda, const floating* b, Py_ssize_t ldb,
    floating beta, floating* c, Py_ssize_t ldc,
) noexcept nogil

# The same with blocks of columns of C shared among the threads, the same blocks for any number of them: and so the same
# bits. For a C of few rows.
cdef void gemm_by_columns(
    bint trans_a, bint trans_b, Py_ssize_t m, Py_ssize_t n, Py_ssize_t k,
    floating alpha, const floating* a, Py_ssize_t lda, const floating* b, Py_ssize_t ldb,
    floating beta, floating* c, Py_ssize_t ldc,
) noexcept nogil
