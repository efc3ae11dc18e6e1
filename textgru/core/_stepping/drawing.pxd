"""A token drawn from scores."""

from cython cimport floating

from textgru.core._stepping.controls cimport Controls, History

# How tokens are drawn: the same for all rows and steps of a call.
cdef struct Drawing:
    double temperature
    Py_ssize_t never          # a token that is not drawn, or -1
    const Controls* controls  # or NULL: then the above alone
    History* rows             # (B,)
    char* scratch             # (threads, scratch_bytes)
    Py_ssize_t scratch_bytes
    double* losses            # (n, B): the negative log-likelihood of what is drawn, by the scores alone; or NULL

# The bytes of scratch of a thread.
cdef Py_ssize_t controls_bytes(const Controls* c, Py_ssize_t item) noexcept nogil

# A token for a row, from softmax(its scores (n,) / temperature), or as the controls say: the first whose cumulative
# probability is above u. `p`: room for n numbers, `rank`: the calling thread's. -1 where there is nothing to draw. The
# score of `never` becomes that of what can't be, unless there are losses.
cdef Py_ssize_t draw(
    const Drawing* how, Py_ssize_t row, int rank, Py_ssize_t n, floating* logits, double u, floating* p
) noexcept nogil

# The same as the row's token of step i of B rows, with its loss where they are wanted.
cdef Py_ssize_t draw_step(
    const Drawing* how, Py_ssize_t i, Py_ssize_t B, Py_ssize_t row, int rank, Py_ssize_t n, floating* logits, double u,
    floating* p
) noexcept nogil

# The probabilities (n,) that it is drawn with; they are zero where there is nothing to draw.
cdef void distribution(
    const Drawing* how, Py_ssize_t row, Py_ssize_t n, const floating* logits, double* out
) noexcept nogil
