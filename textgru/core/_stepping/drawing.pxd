"""A token drawn from scores."""

from cython cimport floating

# How tokens are drawn: the same for all rows and steps of a call.
cdef struct Drawing:
    double temperature
    Py_ssize_t never          # a token that is not drawn, or -1

# A token drawn from softmax(logits (n,) / temperature): the first whose cumulative probability is above u. `p`: room
# for n numbers. -1 where there is nothing to draw. The score of `never` becomes that of what can't be.
cdef Py_ssize_t draw(
    const Drawing* how, Py_ssize_t n, floating* logits, double u, floating* p
) noexcept nogil
