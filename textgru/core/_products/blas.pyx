"""Matrix products. The only file that knows the BLAS: OpenBLAS, with symbols of its own, always single-threaded
inside, because the threads are ours."""

from cython.parallel cimport prange

from textgru.core._support.threads cimport fixed_threads_for, threads_for

from textgru.core._support.checks import check_apart, check_array, check_floats, check_output, sizes

cdef extern from "cblas.h" nogil:
    enum CBLAS_ORDER:
        CblasRowMajor
    enum CBLAS_TRANSPOSE:
        CblasNoTrans
        CblasTrans
    void scipy_cblas_sgemm(
        CBLAS_ORDER, CBLAS_TRANSPOSE, CBLAS_TRANSPOSE, int, int, int,
        float, const float*, int, const float*, int, float, float*, int)
    void scipy_cblas_dgemm(
        CBLAS_ORDER, CBLAS_TRANSPOSE, CBLAS_TRANSPOSE, int, int, int,
        double, const double*, int, const double*, int, double, double*, int)
    void scipy_cblas_sgemv(
        CBLAS_ORDER, CBLAS_TRANSPOSE, int, int,
        float, const float*, int, const float*, int, float, float*, int)
    void scipy_cblas_dgemv(
        CBLAS_ORDER, CBLAS_TRANSPOSE, int, int,
        double, const double*, int, const double*, int, double, double*, int)
    void scipy_openblas_set_num_threads(int)
    const char* scipy_openblas_get_config()
    const char* scipy_openblas_get_corename()


# Columns of C that are multiplied at a time where the bits may not depend on the number of threads.
cdef Py_ssize_t COLUMNS = 512

# The BLAS counts in 32 bits.
cdef Py_ssize_t LARGEST = 2**31 - 1


cdef void gemm(
    bint trans_a, bint trans_b, Py_ssize_t m, Py_ssize_t n, Py_ssize_t k,
    floating alpha, const floating* a, Py_ssize_t lda, const floating* b, Py_ssize_t ldb,
    floating beta, floating* c, Py_ssize_t ldc,
) noexcept nogil:
    cdef CBLAS_TRANSPOSE op_a = CblasTrans if trans_a else CblasNoTrans
    cdef CBLAS_TRANSPOSE op_b = CblasTrans if trans_b else CblasNoTrans
    if m == 0 or n == 0:
        return
    if m == 1 and k > 0:
        # One row of C: c := alpha * op(B)^T a + beta * c, a product of a matrix and a vector.
        op_b = CblasNoTrans if trans_b else CblasTrans
        if floating is float:
            scipy_cblas_sgemv(
                CblasRowMajor, op_b, <int>(n if trans_b else k), <int>(k if trans_b else n),
                alpha, b, <int>ldb, a, <int>lda if trans_a else 1, beta, c, 1)
        else:
            scipy_cblas_dgemv(
                CblasRowMajor, op_b, <int>(n if trans_b else k), <int>(k if trans_b else n),
                alpha, b, <int>ldb, a, <int>lda if trans_a else 1, beta, c, 1)
        return
    if floating is float:
        scipy_cblas_sgemm(
            CblasRowMajor, op_a, op_b, <int>m, <int>n, <int>k,
            alpha, a, <int>lda, b, <int>ldb, beta, c, <int>ldc)
    else:
        scipy_cblas_dgemm(
            CblasRowMajor, op_a, op_b, <int>m, <int>n, <int>k,
            alpha, a, <int>lda, b, <int>ldb, beta, c, <int>ldc)


cdef void gemm_shared(
    bint trans_a, bint trans_b, Py_ssize_t m, Py_ssize_t n, Py_ssize_t k,
    floating alpha, const floating* a, Py_ssize_t lda, const floating* b, Py_ssize_t ldb,
    floating beta, floating* c, Py_ssize_t ldc,
) noexcept nogil:
    cdef int shards = <int>min(<Py_ssize_t>fixed_threads_for(<double>m * n * k), m)
    cdef int shard
    cdef Py_ssize_t first, last
    if shards <= 1:
        gemm(trans_a, trans_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
        return
    for shard in prange(shards, num_threads=shards, schedule="static", chunksize=1):
        first = m * shard // shards
        last = m * (shard + 1) // shards
        gemm(
            trans_a, trans_b, last - first, n, k,
            alpha, a + (first if trans_a else first * lda), lda, b, ldb, beta, c + first * ldc, ldc)


cdef void gemm_by_columns(
    bint trans_a, bint trans_b, Py_ssize_t m, Py_ssize_t n, Py_ssize_t k,
    floating alpha, const floating* a, Py_ssize_t lda, const floating* b, Py_ssize_t ldb,
    floating beta, floating* c, Py_ssize_t ldc,
) noexcept nogil:
    cdef Py_ssize_t blocks = (n + COLUMNS - 1) // COLUMNS if m > 1 else 1
    cdef int threads = <int>min(<Py_ssize_t>threads_for(<double>m * n * k), blocks)
    cdef Py_ssize_t block, first, width
    if blocks <= 1:
        gemm(trans_a, trans_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
        return
    for block in prange(blocks, num_threads=threads, schedule="static"):
        first = block * COLUMNS
        width = min(COLUMNS, n - first)
        gemm(
            trans_a, trans_b, m, width, k, alpha, a, lda, b + (first * ldb if trans_b else first), ldb,
            beta, c + first, ldc)


def multiply(a, b, c, *, transpose_a=False, transpose_b=False, accumulate=False) -> None:
    """c := op(a) op(b), or c += op(a) op(b) with `accumulate`; all of one dtype, C-contiguous.

    Raises TypeError or ValueError where types or shapes don't fit, or c shares memory with a or b.
    """
    dtype = check_floats("a", a, sizes(a, "m", "k"))
    check_array("b", b, dtype, sizes(b, "k", "n"))
    check_output("c", c, dtype, sizes(c, "m", "n"))
    check_apart("c", c, a=a, b=b)
    _multiply(a, b, c, transpose_a, transpose_b, accumulate)


def _multiply(
    const floating[:, ::1] a, const floating[:, ::1] b, floating[:, ::1] c,
    bint transpose_a, bint transpose_b, bint accumulate,
):
    cdef Py_ssize_t m = a.shape[1] if transpose_a else a.shape[0]
    cdef Py_ssize_t k = a.shape[0] if transpose_a else a.shape[1]
    cdef Py_ssize_t n = b.shape[0] if transpose_b else b.shape[1]
    if k != (b.shape[1] if transpose_b else b.shape[0]) or c.shape[0] != m or c.shape[1] != n:
        raise ValueError(
            f"shapes don't fit: op(a) is ({m}, {k}), b is ({b.shape[0]}, {b.shape[1]}), "
            f"c is ({c.shape[0]}, {c.shape[1]})")
    if max(m, n, k) > LARGEST:
        raise ValueError(f"shapes: expected sizes up to {LARGEST}, got {m}, {n} and {k}")
    if m == 0 or n == 0:
        return
    if k == 0:
        if not accumulate:
            c[:, :] = 0
        return
    with nogil:
        gemm_shared(
            transpose_a, transpose_b, m, n, k, <floating>1, &a[0, 0], a.shape[1], &b[0, 0], b.shape[1],
            <floating>(1 if accumulate else 0), &c[0, 0], n)


def blas_version() -> str:
    """OpenBLAS's own description of its build, and the CPU kernels that it chose."""
    config = scipy_openblas_get_config().decode("ascii", "replace").split()
    return " ".join(config[:2]) + ", kernels for " + scipy_openblas_get_corename().decode("ascii", "replace")


scipy_openblas_set_num_threads(1)
