"""Some rows, through steps of which all tokens are known, or one after another."""

from textgru.core._stepping.call cimport Call
from textgru.core._stepping.drawing cimport Drawing
from textgru.core._stepping.weights cimport Weights

# The bytes of a thread's scratch for this many rows and steps at a time.
cdef Py_ssize_t many_rows_bytes(const Weights* w, Py_ssize_t rows, Py_ssize_t steps) noexcept nogil

# The calling thread's part, of all of a region: reads tokens (T, B), T from 1 up; the scores are those after the last.
cdef void read_rows(Call* call, Py_ssize_t T, const Py_ssize_t* tokens) noexcept nogil

# The same, and the negative log-likelihood out (T, B) of targets (T, B).
cdef void losses_of_rows(
    Call* call, Py_ssize_t T, const Py_ssize_t* tokens, const Py_ssize_t* targets, double* out
) noexcept nogil

# Reads call.tokens and draws with u (n, B), n times, but doesn't read the last ones: out (n, B). `failed` where there
# is nothing to draw.
cdef void generate_rows(
    Call* call, Py_ssize_t n, const double* u, const Drawing* how, Py_ssize_t* out, bint* failed
) noexcept nogil
