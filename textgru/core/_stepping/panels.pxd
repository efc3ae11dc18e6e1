"""Products with a matrix in panels, and rows made ready for them."""

from cython cimport floating

from textgru.core._stepping.weights cimport Matrix, Weights

# Rows as products read them: as they are, as pairs of bfloat16, or as integers.
cdef struct Left:
    const char* rows
    Py_ssize_t row            # elements from one to the next: numbers, pairs, or integers
    const float* step         # of each row's integers

# The bytes that `rows` rows of n numbers take when they are made ready.
cdef Py_ssize_t left_bytes(const Weights* w, Py_ssize_t rows, Py_ssize_t n) noexcept nogil

# x (rows, n) made ready, x_row numbers apart; `room` of left_bytes, `step` (rows,).
cdef Left left_of(
    const Weights* w, Py_ssize_t rows, Py_ssize_t n, const floating* x, Py_ssize_t x_row, char* room, float* step
) noexcept nogil

# y (rows, panels * 64), y_row apart, = bias + x W.T for some panels from `first` on. A row's bits don't depend on the
# others.
cdef void multiply(
    const Weights* w, const Matrix* matrix, Py_ssize_t first, Py_ssize_t panels, Left left, Py_ssize_t rows,
    floating* y, Py_ssize_t y_row
) noexcept nogil
