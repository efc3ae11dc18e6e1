from cython cimport floating
from libc.stdint cimport int8_t, uint8_t

from textgru.core._products.products cimport TEXTGRU_PACKED_COLUMNS, units_of
from textgru.core._stepping.weights cimport BF16, FP32, INT8, Matrix, Weights
from textgru.core._support.simd cimport kernels, textgru_products


cdef inline Py_ssize_t _quads(Py_ssize_t n) noexcept nogil:
    return (n + 3) // 4


cdef Py_ssize_t left_bytes(const Weights* w, Py_ssize_t rows, Py_ssize_t n) noexcept nogil:
    if w.kind == BF16:
        return rows * units_of(&kernels.products_bf16, n) * sizeof(float)
    if w.kind == INT8:
        return rows * _quads(n) * 4
    return 0


cdef Left left_of(
    const Weights* w, Py_ssize_t rows, Py_ssize_t n, const floating* x, Py_ssize_t x_row, char* room, float* step,
) noexcept nogil:
    cdef Left left
    cdef Py_ssize_t i
    left.rows, left.row, left.step = <const char*>x, x_row, step
    if w.kind == BF16:
        left.rows, left.row = room, units_of(&kernels.products_bf16, n)
        kernels.products_bf16.convert(rows, n, <const float*>x, x_row, room, left.row)
    elif w.kind == INT8:
        left.rows, left.row = room, 4 * _quads(n)
        for i in range(rows):
            step[i] = kernels.int8.quantize(n, <const float*>x + i * x_row, <uint8_t*>room + i * left.row)
    return left


cdef void multiply(
    const Weights* w, const Matrix* matrix, Py_ssize_t first, Py_ssize_t panels, Left left, Py_ssize_t rows,
    floating* y, Py_ssize_t y_row,
) noexcept nogil:
    cdef const char* packed = matrix.packed + first * matrix.panel
    cdef Py_ssize_t row = first * TEXTGRU_PACKED_COLUMNS
    cdef const floating* bias = <const floating*>matrix.bias + row
    cdef const textgru_products* products
    cdef Py_ssize_t panel, i
    if floating is double:
        for panel in range(panels):
            for i in range(rows):
                kernels.f64.matvec_packed(
                    1, matrix.n, <const double*>(packed + panel * matrix.panel), bias + panel * TEXTGRU_PACKED_COLUMNS,
                    <const double*>left.rows + i * left.row, y + i * y_row + panel * TEXTGRU_PACKED_COLUMNS)
    elif w.kind == INT8 and rows == 1:
        kernels.int8.matvec(
            panels, _quads(matrix.n), <const int8_t*>packed, matrix.scale + row, matrix.offset + row, bias,
            <const uint8_t*>left.rows, left.step[0], y)
    elif w.kind == INT8:
        kernels.int8.multiply(
            rows, panels, _quads(matrix.n), <const int8_t*>packed, matrix.scale + row, matrix.offset + row, bias,
            <const uint8_t*>left.rows, left.row, left.step, y, y_row)
    elif w.kind == FP32 and rows == 1:
        kernels.f32.matvec_packed(panels, matrix.n, <const float*>packed, bias, <const float*>left.rows, y)
    else:
        products = &kernels.products_bf16 if w.kind == BF16 else &kernels.products_f32
        products.multiply(
            rows, panels * TEXTGRU_PACKED_COLUMNS, matrix.n, left.rows, left.row, packed, bias, 0, y, y_row,
            matrix.streams, NULL)
