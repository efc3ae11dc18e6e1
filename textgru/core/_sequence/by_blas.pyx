"""A layer over a sequence with products by the BLAS."""

from cython cimport floating
from libc.string cimport memcpy

from textgru.core._products.blas cimport gemm
from textgru.core._sequence.layer_pass cimport Pass, Rows, at_step, before_step, move, rows_at, states_at
from textgru.core._support.typed_kernels cimport MOST_STATES, cell_backward, cell_forward


cdef void forward_by_blas(Pass* p, Rows r, floating* g) noexcept nogil:
    cdef Py_ssize_t t, b, row, at, rows
    cdef Py_ssize_t H = p.H
    cdef Py_ssize_t width = p.G * H
    cdef const floating* x = <const floating*>p.x
    cdef const floating* b_hh = <const floating*>p.b_hh
    cdef floating* kept
    cdef floating* before[MOST_STATES]
    cdef floating* after[MOST_STATES]
    for t in range(p.T):
        rows = rows_at(p, r, t)
        if rows == 0:
            break
        at = at_step(p, r, t)
        states_at(p, before_step(p, r, t), before)
        states_at(p, before_step(p, r, t + 1), after)
        kept = <floating*>p.kept + (at if p.keeps else r.first) * p.K * H
        # g = h_prev @ W_hh.T
        gemm(
            False, True, rows, width, H, <floating>1, before[0], H, <const floating*>p.w_hh, H, <floating>0, g, width)
        for b in range(rows):
            row = p.index[at + b] if p.index != NULL else at + b
            cell_forward(
                p.cell, H, H, x + row * width, g + b * width, H, b_hh, before, kept + b * p.K * H, after)
            move(before, p.S, H)
            move(after, p.S, H)


cdef void backward_by_blas(Pass* p, Rows r, floating* scratch) noexcept nogil:
    cdef Py_ssize_t t, b, s, at, rows
    cdef Py_ssize_t H = p.H
    cdef Py_ssize_t size = r.rows * H
    cdef const floating* dy
    cdef floating* kept
    cdef floating* before[MOST_STATES]
    cdef floating* after[MOST_STATES]
    cdef floating* d[MOST_STATES]
    for s in range(p.S):
        memcpy(scratch + s * size, <floating*>p.d_states[s] + r.first * H, size * sizeof(floating))
    for t in range(p.T - 1, -1, -1):
        rows = rows_at(p, r, t)
        if rows == 0:
            continue
        at = at_step(p, r, t)
        dy = <const floating*>p.dy + at * H
        kept = <floating*>p.kept + at * p.K * H
        states_at(p, before_step(p, r, t), before)
        states_at(p, before_step(p, r, t + 1), after)
        for s in range(p.S):
            d[s] = scratch + s * size
        for b in range(rows):
            cell_backward(p.cell, H, H, dy + b * H, before, after, kept + b * p.K * H, d)
            move(before, p.S, H)
            move(after, p.S, H)
            move(d, p.S, H)
        # dh += the gradients of W_hh h_prev @ W_hh
        gemm(
            False, False, rows, H, p.G * H, <floating>1, kept + p.recurrent_from * H, p.K * H,
            <const floating*>p.w_hh, H, <floating>1, scratch, H)
    for s in range(p.S):
        memcpy(<floating*>p.d_states[s] + r.first * H, scratch + s * size, size * sizeof(floating))
