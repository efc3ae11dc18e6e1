"""Matrix products, our own with packed inputs or the BLAS's: float32, its inputs rounded to bfloat16, or float64."""

import numpy as np

from cython.parallel cimport prange

from textgru.core._products.blas cimport gemm_by_columns, gemm_shared
from textgru.core._products.choice cimport OF_THE_PROCESS, PACKED, own_products, product_choice
from textgru.core._products.overlaps cimport may_overlap
from textgru.core._support.halves cimport share_of_half
from textgru.core._support.simd cimport kernels as tables, textgru_products
from textgru.core._support.threads cimport threads_for

from textgru.core._products.choice import PRODUCT_KERNELS, check_precision, name_of
from textgru.core._support.arrays import is_matrix, share_memory
from textgru.core._support.checks import LARGEST_SIZE, check_array
from textgru.core._support.workspace import Workspace

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))

# A product of fewer rows doesn't repay packing the right side for it.
cdef Py_ssize_t FEWEST_PACKED_ROWS = 8

# Threads share the rows of the left side where each has this many or more; below, the columns of the right side.
cdef Py_ssize_t SHARED_ROWS = 48

# A transposed left side of this many columns or more: a sum over rows, made of two sums (see RowOrder).
cdef Py_ssize_t FEWEST_SUMMED = 256

cdef struct Product:
    # c = start + a b: element (i, j) of a (m, k) at i * a_row + j * a_column, of b (k, n) at i * b_row + j * b_column
    const textgru_products* products
    Py_ssize_t m, n, k
    const float* a
    Py_ssize_t a_row, a_column
    const float* b
    Py_ssize_t b_row, b_column
    const float* start        # or NULL; start_row 0 for the same row everywhere
    Py_ssize_t start_row
    float* c
    Py_ssize_t c_row
    float* packed             # room for b


cdef Product _product(
    const textgru_products* products, const float[:, :] a, const float[:, :] b, float[:, :] c,
) except *:
    cdef Product p
    p.products, p.m, p.n, p.k = products, a.shape[0], b.shape[1], a.shape[1]
    p.a = p.b = p.start = p.c = p.packed = NULL
    p.a_row = p.a_column = p.b_row = p.b_column = p.start_row = p.c_row = 0
    _check_shapes(p.m, p.k, p.n, b.shape[0], c.shape[0], c.shape[1])
    if p.m and p.n and p.k:
        p.a, p.a_row, p.a_column = &a[0, 0], _stride(a, 0), _stride(a, 1)
        p.b, p.b_row, p.b_column = &b[0, 0], _stride(b, 0), _stride(b, 1)
        p.c, p.c_row = &c[0, 0], _row_stride(c)
    return p


cdef class Products:
    """Products of matrices at one precision, with the room that packed matrices need.

    `precision` "fp32" takes float32 (or float64) inputs as they are; "bf16" rounds float32 inputs to bfloat16, to
    nearest, ties to even, and adds the products up in float32. `kernels` is what multiplies float32 matrices, "auto",
    "packed" or "blas" as in set_product_kernels, whatever is set for the process; None: what is set for the process.
    With "packed" the bits are the same for any number of threads. An object must not be used by two threads at once.
    A copy has room of its own.
    """

    def __init__(self, precision="fp32", kernels=None):
        self.precision = check_precision(precision)
        self.kernels = None if kernels is None else name_of("kernels", kernels, PRODUCT_KERNELS)
        self.bf16 = self.precision == "bf16"
        self.choice = OF_THE_PROCESS if kernels is None else PRODUCT_KERNELS.index(kernels)
        self.room = Workspace(np.dtype(np.float32))

    def __reduce__(self):
        return Products, (self.precision, self.kernels)

    cdef const textgru_products* own(self) noexcept nogil:
        return own_products(self.bf16, self.choice)

    cdef const textgru_products* own_for(self, Py_ssize_t rows) noexcept nogil:
        if self.bf16 or rows >= FEWEST_PACKED_ROWS or product_choice(self.choice) == PACKED:
            return self.own()
        return NULL

    def multiply(self, a, b, c, *, bias=None, bint accumulate=False) -> None:
        """c = a b, + bias where given, + c with `accumulate`; a (m, k), b (k, n), c (m, n), bias (n,) of one dtype.

        a and b may be transposed or parts of a larger array; c's rows must be contiguous, and no part of a, b or bias.
        Raises ValueError where the shapes don't fit or memory is shared, TypeError for other types or bf16 of float64.
        """
        _check_matrices(a, b, c, bias)
        if c.dtype.itemsize == 4:
            self._single(a, b, c, bias, accumulate)
        elif not self.bf16:
            _multiply_blas[double](a, b, c, bias, accumulate, False)
        else:
            raise TypeError(f"bf16 products are of float32 arrays, got {c.dtype}")

    def multiply_sum(self, pairs, c) -> None:
        """c = the sum of a b over one or two pairs (a, b), of two threads one each; the rest as in multiply."""
        if len(pairs) not in (1, 2):
            raise ValueError(f"pairs: expected one or two, got {len(pairs)}")
        for a, b in pairs:
            _check_matrices(a, b, c, None)
        (first_a, first_b), *others = pairs
        own = c.dtype.itemsize == 4 and self.own() != NULL
        if own and others and c.size and first_a.size and others[0][0].size:
            _check_overlap[float](first_a, first_b, c)
            _check_overlap[float](others[0][0], others[0][1], c)
            self._single_sum(first_a, first_b, others[0][0], others[0][1], c, False)
            return
        self.multiply(first_a, first_b, c)
        for a, b in others:
            self.multiply(a, b, c, accumulate=True)

    cdef _single(self, const float[:, :] a, const float[:, :] b, float[:, :] c, bias, bint accumulate):
        cdef Py_ssize_t m = a.shape[0]
        cdef Py_ssize_t k = a.shape[1]
        cdef Py_ssize_t n = b.shape[1]
        cdef const textgru_products* products = self.own_for(m)
        cdef const float[::1] bias_view
        cdef float[::1] packed
        cdef Product p
        if products == NULL or k == 0:
            # Few rows get the same bits for any number of threads, as those do that our own products multiply.
            _multiply_blas[float](a, b, c, bias, accumulate, self.own() != NULL)
            return
        p = _product(products, a, b, c)
        _check_overlap[float](a, b, c)
        if m == 0 or n == 0:
            return
        if bias is not None:
            bias_view = bias
            if accumulate:
                _add_rows(bias_view, c)
            p.start = &bias_view[0]
        elif k >= FEWEST_SUMMED and p.a_column != 1 and p.b_column == 1:
            self._single_sum(a[:, : k // 2], b[: k // 2], a[:, k // 2 :], b[k // 2 :], c, accumulate)
            return
        if accumulate:
            p.start, p.start_row = p.c, p.c_row
        packed = self.room.get("packed", whole_blocks(n) * units_of(products, k))
        p.packed = &packed[0]
        _multiply_packed(&p)

    cdef _single_sum(
        self, const float[:, :] a, const float[:, :] b, const float[:, :] second_a, const float[:, :] second_b,
        float[:, :] c, bint accumulate,
    ):
        """c = a b + second_a second_b, + c with `accumulate`; none of them empty."""
        cdef const textgru_products* products = self.own()
        cdef float[:, ::1] beside = self.room.get("beside", c.shape[0], c.shape[1])
        cdef Product both[2]
        cdef float[::1] packed, second_packed
        both[0], both[1] = _product(products, a, b, c), _product(products, second_a, second_b, beside)
        if accumulate:
            both[0].start, both[0].start_row = both[0].c, both[0].c_row
        packed = self.room.get("packed", whole_blocks(both[0].n) * units_of(products, both[0].k))
        second_packed = self.room.get("second_packed", whole_blocks(both[1].n) * units_of(products, both[1].k))
        both[0].packed, both[1].packed = &packed[0], &second_packed[0]
        _multiply_both(both)


cdef void pack_share(
    const textgru_products* products, Py_ssize_t k, Py_ssize_t n, const float* b, Py_ssize_t b_row, Py_ssize_t b_column,
    float* packed, int shard, int shards,
) noexcept nogil:
    cdef Py_ssize_t blocks = whole_blocks(n) // TEXTGRU_PACKED_COLUMNS
    cdef Py_ssize_t first = blocks * shard // shards * TEXTGRU_PACKED_COLUMNS
    cdef Py_ssize_t last = min(blocks * (shard + 1) // shards * TEXTGRU_PACKED_COLUMNS, n)
    if first < last:
        products.pack(
            k, last - first, b + first * b_column, b_row, b_column, packed + first * units_of(products, k))


cdef void _some_rows(Product* p, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    """Rows first..last-1 of c; b is packed."""
    p.products.gemm(
        last - first, p.n, p.k, p.a + first * p.a_row, p.a_row, p.a_column, p.packed,
        p.start + first * p.start_row if p.start != NULL else NULL, p.start_row, p.c + first * p.c_row, p.c_row)


cdef void _pack_columns(Product* p, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    """Blocks first..last-1 of b."""
    cdef Py_ssize_t column = first * TEXTGRU_PACKED_COLUMNS
    p.products.pack(
        p.k, min(last * TEXTGRU_PACKED_COLUMNS, p.n) - column, p.b + column * p.b_column, p.b_row, p.b_column,
        p.packed + column * units_of(p.products, p.k))


cdef void _multiply_packed(Product* p) noexcept nogil:
    """Threads share the rows; or where these are few, the columns."""
    cdef Py_ssize_t blocks = whole_blocks(p.n) // TEXTGRU_PACKED_COLUMNS
    cdef int threads = threads_for(<double>p.m * p.n * p.k)
    cdef bint by_rows = threads > 1 and p.m >= SHARED_ROWS * threads
    cdef Py_ssize_t first, last
    cdef int shard
    for shard in prange(threads, num_threads=threads, schedule="static", chunksize=1):
        first, last = blocks * shard // threads, blocks * (shard + 1) // threads
        if first < last:
            _pack_columns(p, first, last)
            if not by_rows:
                _some_columns(p, first * TEXTGRU_PACKED_COLUMNS, min(last * TEXTGRU_PACKED_COLUMNS, p.n))
    if by_rows:
        for shard in prange(threads, num_threads=threads, schedule="static", chunksize=1):
            _some_rows(p, p.m * shard // threads, p.m * (shard + 1) // threads)


cdef void _some_columns(Product* p, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    """Columns first..last-1 of c, `first` that of a block; they are packed."""
    p.products.gemm(
        p.m, last - first, p.k, p.a, p.a_row, p.a_column, p.packed + first * units_of(p.products, p.k),
        p.start + first if p.start != NULL else NULL, p.start_row, p.c + first, p.c_row)


cdef void _multiply_both(Product* both) noexcept nogil:
    """The first product's c becomes the sum of both, the second's (m, n) is scratch. Threads share the rows of both as
    if they were those of one matrix: two have one product each."""
    cdef Py_ssize_t m = both[0].m
    cdef Py_ssize_t n = both[0].n
    cdef Py_ssize_t blocks = whole_blocks(n) // TEXTGRU_PACKED_COLUMNS
    cdef int threads = threads_for(<double>m * n * (both[0].k + both[1].k))
    cdef Py_ssize_t first, last, row
    cdef int shard, i
    for shard in prange(threads, num_threads=threads, schedule="static", chunksize=1):
        for i in range(2):
            first, last = share_of_half(blocks, i, shard, threads), share_of_half(blocks, i, shard + 1, threads)
            if first < last:
                _pack_columns(&both[i], first, last)
    for shard in prange(threads, num_threads=threads, schedule="static", chunksize=1):
        for i in range(2):
            first, last = share_of_half(m, i, shard, threads), share_of_half(m, i, shard + 1, threads)
            if first < last:
                _some_rows(&both[i], first, last)
    for row in prange(m, num_threads=threads, schedule="static"):
        tables.f32.add(n, both[1].c + row * both[1].c_row, both[0].c + row * both[0].c_row)


ctypedef fused real:
    float
    double


cdef _multiply_blas(const real[:, :] a, const real[:, :] b, real[:, :] c, bias, bint accumulate, bint by_columns):
    cdef Py_ssize_t m = a.shape[0]
    cdef Py_ssize_t k = a.shape[1]
    cdef Py_ssize_t n = b.shape[1]
    cdef const real[::1] bias_view
    cdef Py_ssize_t a_row, a_column, b_row, b_column, c_row
    cdef bint add
    _check_shapes(m, k, n, b.shape[0], c.shape[0], c.shape[1])
    _check_overlap[real](a, b, c)
    if m == 0 or n == 0:
        return
    if bias is not None:
        bias_view = bias
        if not accumulate:
            c[:, :] = 0
        _add_rows(bias_view, c)
    elif k == 0 and not accumulate:
        c[:, :] = 0
    if k == 0:
        return
    a_row, a_column, b_row, b_column = _stride(a, 0), _stride(a, 1), _stride(b, 0), _stride(b, 1)
    c_row = _row_stride(c)
    if max(m, n, k, a_row, a_column, b_row, b_column, c_row) > LARGEST_SIZE:
        raise ValueError(f"shapes: expected sizes up to {LARGEST_SIZE}, got {m}, {n} and {k}")
    add = accumulate or bias is not None
    with nogil:
        if by_columns:
            gemm_by_columns(
                a_column != 1, b_column != 1, m, n, k, <real>1, &a[0, 0], a_row if a_column == 1 else a_column,
                &b[0, 0], b_row if b_column == 1 else b_column, <real>(1 if add else 0), &c[0, 0], c_row)
        else:
            gemm_shared(
                a_column != 1, b_column != 1, m, n, k, <real>1, &a[0, 0], a_row if a_column == 1 else a_column,
                &b[0, 0], b_row if b_column == 1 else b_column, <real>(1 if add else 0), &c[0, 0], c_row)


cdef _add_rows(const real[::1] row, real[:, :] c):
    cdef Py_ssize_t i, j
    for i in range(c.shape[0]):
        for j in range(c.shape[1]):
            c[i, j] += row[j]


cdef _check_shapes(
    Py_ssize_t m, Py_ssize_t k, Py_ssize_t n, Py_ssize_t b_rows, Py_ssize_t c_rows, Py_ssize_t c_columns,
):
    if b_rows != k or c_rows != m or c_columns != n:
        raise ValueError(f"shapes don't fit: a is ({m}, {k}), b is ({b_rows}, {n}), c is ({c_rows}, {c_columns})")


def _check_matrices(a, b, c, bias):
    """That they are plain arrays of one dtype, c a matrix that may be written to, bias a row for it, no part of it."""
    dtype = FLOATS[is_matrix(c, FLOATS[1])]
    for name, array in (("c", c), ("a", a), ("b", b)):
        if not is_matrix(array, dtype):
            check_array(name, array, dtype, ("rows", "columns"))
            raise ValueError(f"{name}: expected an aligned matrix")
    if not c.flags.writeable:
        raise ValueError("c: expected a writable array, this is read-only")
    if bias is not None:
        if isinstance(bias, np.ndarray) and bias.ndim == 1 and bias.size != c.shape[1]:
            raise ValueError(f"bias: expected {c.shape[1]} elements, got {bias.size}")
        check_array("bias", bias, dtype, (c.shape[1],))
        if share_memory(bias, c) and np.shares_memory(bias, c):
            raise ValueError("c: expected an array apart from bias, but they share memory")


cdef _check_overlap(const real[:, :] a, const real[:, :] b, real[:, :] c):
    """That c is no part of the others: by addresses, and element by element where those are mixed."""
    if may_overlap(a, c) and np.shares_memory(np.asarray(a), np.asarray(c)):
        raise ValueError("c: expected an array apart from a, but they share memory")
    if may_overlap(b, c) and np.shares_memory(np.asarray(b), np.asarray(c)):
        raise ValueError("c: expected an array apart from b, but they share memory")


cdef Py_ssize_t _stride(const real[:, :] x, int axis) except -1:
    """In elements, one of the two being 1; the stride of a dimension of one element says nothing, and is put right."""
    cdef Py_ssize_t row = x.strides[0] // <Py_ssize_t>sizeof(real)
    cdef Py_ssize_t column = x.strides[1] // <Py_ssize_t>sizeof(real)
    cdef bint whole = (
        (x.shape[0] <= 1 or x.strides[0] % <Py_ssize_t>sizeof(real) == 0)
        and (x.shape[1] <= 1 or x.strides[1] % <Py_ssize_t>sizeof(real) == 0))
    if x.shape[1] <= 1:
        row, column = (row if x.shape[0] > 1 else 1), 1
    elif x.shape[0] <= 1:
        row = x.shape[1] if column == 1 else 1
    if row < 1 or column < 1 or not ((column == 1 and row >= x.shape[1]) or (row == 1 and column >= x.shape[0])):
        whole = False
    if not whole:
        raise ValueError("expected a matrix whose rows or columns are contiguous")
    return column if axis else row


cdef Py_ssize_t _row_stride(real[:, :] c) except -1:
    cdef Py_ssize_t row = c.strides[0] // <Py_ssize_t>sizeof(real) if c.shape[0] > 1 else max(c.shape[1], 1)
    if (
        (c.shape[1] > 1 and c.strides[1] != <Py_ssize_t>sizeof(real)) or row < c.shape[1]
        or (c.shape[0] > 1 and c.strides[0] % <Py_ssize_t>sizeof(real))
    ):
        raise ValueError("c: expected contiguous rows")
    return row
