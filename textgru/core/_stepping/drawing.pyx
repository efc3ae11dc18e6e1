from cython cimport floating
from libc.float cimport DBL_MAX, DBL_MIN, FLT_MAX, FLT_MIN
from libc.math cimport INFINITY, isfinite, log2
from libc.stdint cimport int32_t
from libc.string cimport memcpy

from textgru.core._stepping.call cimport take
from textgru.core._stepping.controls cimport Controls, History, Left, Scratch, apply, remember
from textgru.core._support.typed_kernels cimport boltzmann, cross_entropy, first_above, largest


cdef char* _lay_out(Scratch* scratch, const Controls* c, Py_ssize_t item, char* room) noexcept nogil:
    # A vector more: what is collected is stored by whole vectors.
    cdef Py_ssize_t size = (c.V + 16) * item
    scratch.x, scratch.key = take(&room, size), take(&room, size)
    scratch.keys, scratch.weights = take(&room, 2 * size), take(&room, 2 * size)
    scratch.lengths = <Py_ssize_t*>take(&room, 2 * c.dry_penalty_last_n * sizeof(Py_ssize_t))
    scratch.index = <int32_t*>take(&room, (c.V + 16) * sizeof(int32_t))
    return room


cdef Py_ssize_t controls_bytes(const Controls* c, Py_ssize_t item) noexcept nogil:
    cdef Scratch scratch
    return _lay_out(&scratch, c, item, NULL) - <char*>NULL


cdef Py_ssize_t draw(
    const Drawing* how, Py_ssize_t row, int rank, Py_ssize_t n, floating* logits, double u, floating* p,
) noexcept nogil:
    cdef double total
    cdef Py_ssize_t token, place
    cdef History* history
    cdef Left left
    if how.never >= 0:
        logits[how.never] = -INFINITY
    if how.controls == NULL:
        total = boltzmann(n, logits, _inverse(how.temperature, logits), p)
        return _first_above(n, p, total, u)
    history = how.rows + row
    total = _controlled(how, history, rank, n, logits, p, &left)
    place = _first_above(left.n, p, total, u)
    token = left.index[place] if place >= 0 and left.numbered else place
    if token >= 0:
        history.drawn += 1
        remember(how.controls, history, token)
        if how.controls.mirostat_tau > 0:
            history.mu -= how.controls.mirostat_eta * (-log2(p[place] / total) - how.controls.mirostat_tau)
    return token


cdef Py_ssize_t draw_step(
    const Drawing* how, Py_ssize_t i, Py_ssize_t B, Py_ssize_t row, int rank, Py_ssize_t n, floating* logits, double u,
    floating* p,
) noexcept nogil:
    cdef Py_ssize_t token
    cdef floating unwanted = 0
    if how.losses == NULL:
        return draw(how, row, rank, n, logits, u, p)
    if how.never >= 0:
        unwanted = logits[how.never]
    token = draw(how, row, rank, n, logits, u, p)
    if how.never >= 0:
        logits[how.never] = unwanted
    if token >= 0:
        how.losses[i * B + row] = cross_entropy(n, logits, token, 1, <floating*>NULL)
    return token


cdef void distribution(
    const Drawing* how, Py_ssize_t row, Py_ssize_t n, const floating* logits, double* out,
) noexcept nogil:
    cdef Py_ssize_t i
    cdef Left left
    cdef floating* p = <floating*>(how.scratch + how.scratch_bytes)
    cdef double total = _controlled(how, how.rows + row, 0, n, logits, p, &left)
    for i in range(n):
        out[i] = 0
    if 0 < total < INFINITY:
        for i in range(left.n):
            out[left.index[i] if left.numbered else i] = p[i] / total


cdef double _controlled(
    const Drawing* how, History* history, int rank, Py_ssize_t n, const floating* logits, floating* p, Left* left,
) noexcept nogil:
    """p, what the probability of each token that is left is in proportion to, and their sum."""
    cdef Scratch scratch
    cdef Py_ssize_t i
    cdef double scale
    cdef floating most
    cdef floating* x
    _lay_out(&scratch, how.controls, sizeof(floating), how.scratch + rank * how.scratch_bytes)
    x = <floating*>scratch.x
    memcpy(x, logits, n * sizeof(floating))
    left.index = scratch.index
    scale = apply(how.controls, history, &scratch, x, p, left)
    if scale > 0:
        return boltzmann(left.n, x, _inverse(1 / scale, x), p)
    if scale == 0 and isfinite(boltzmann(n, x, 1, p)):  # the likeliest alone
        most = largest(n, x)
        i = 0
        while x[i] < most:
            i += 1
        for j in range(n):
            p[j] = 0
        p[i] = 1
        return 1
    return 0


cdef inline double _inverse(double temperature, const floating* typed) noexcept nogil:
    """1 / temperature, as far as the numbers reach: one beyond is as good as one that is infinite or zero."""
    if floating is float:
        return min(max(1 / temperature, <double>FLT_MIN), <double>FLT_MAX)
    else:
        return min(max(1 / temperature, DBL_MIN), DBL_MAX)


cdef Py_ssize_t _first_above(Py_ssize_t n, const floating* p, double total, double u) noexcept nogil:
    """The first whose cumulative part of the total is above u."""
    cdef Py_ssize_t i
    if not 0 < total < INFINITY:
        return -1
    i = first_above(n, p, total * u)
    if i < n:
        return i
    for i in range(n - 1, -1, -1):  # rounding left the sum just below the target
        if p[i] > 0:
            return i
    return 0
