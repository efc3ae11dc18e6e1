"""One row, one token at a time."""

from textgru.core._stepping.call cimport Call
from textgru.core._stepping.drawing cimport Drawing
from textgru.core._stepping.weights cimport Weights

# The bytes of scratch of a thread.
cdef Py_ssize_t one_row_bytes(const Weights* w) noexcept nogil

# The calling thread's part, of all of a region: reads a token, the scores are those after it.
cdef void step_one_row(Call* call, Py_ssize_t token) noexcept nogil

# The same for n tokens out (n,): each is drawn, all but the last one read. `failed` where there is nothing to draw.
cdef void generate_one_row(
    Call* call, Py_ssize_t token, Py_ssize_t n, const double* u, const Drawing* how, Py_ssize_t* out, bint* failed
) noexcept nogil
