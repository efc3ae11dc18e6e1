"""The GRU of Cho et al. 2014 (arXiv:1406.1078) over a sequence: its reset comes before the product, so that a step
needs two, one after the other. Products by the BLAS."""

from cython cimport floating
from libc.string cimport memcpy

from textgru.core._products.blas cimport gemm
from textgru.core._sequence.layer_pass cimport Pass, Rows, at_step, before_step, rows_at
from textgru.core._support.typed_kernels cimport (
    gru_before_backward, gru_before_backward_reset, gru_before_output, gru_before_reset
)


cdef void forward_reset_before(Pass* p, Rows r, floating* g) noexcept nogil:
    cdef Py_ssize_t t, b, row, at, rows
    cdef Py_ssize_t H = p.H
    cdef const floating* x = <const floating*>p.x
    cdef const floating* w_hh = <const floating*>p.w_hh
    cdef const floating* b_hh = <const floating*>p.b_hh
    cdef floating* h_prev
    cdef floating* h
    cdef floating* gates
    for t in range(p.T):
        rows = rows_at(p, r, t)
        if rows == 0:
            break
        at = at_step(p, r, t)
        h_prev = <floating*>p.states[0] + before_step(p, r, t) * H
        h = <floating*>p.states[0] + before_step(p, r, t + 1) * H
        gates = <floating*>p.kept + (at if p.keeps else r.first) * 4 * H
        # g[:, :2H] = h_prev @ W_hh[:2H].T, then g[:, 2H:] = (r * h_prev) @ W_hh[2H:].T
        gemm(False, True, rows, 2 * H, H, <floating>1, h_prev, H, w_hh, H, <floating>0, g, 3 * H)
        for b in range(rows):
            row = p.index[at + b] if p.index != NULL else at + b
            gru_before_reset(H, x + row * 3 * H, g + b * 3 * H, b_hh, h_prev + b * H, gates + b * 4 * H)
        gemm(
            False, True, rows, H, H, <floating>1, gates + 3 * H, 4 * H, w_hh + 2 * H * H, H, <floating>0, g + 2 * H,
            3 * H)
        for b in range(rows):
            row = p.index[at + b] if p.index != NULL else at + b
            gru_before_output(
                H, x + row * 3 * H, g + b * 3 * H + 2 * H, b_hh, h_prev + b * H, gates + b * 4 * H,
                h + b * H)


cdef void backward_reset_before(Pass* p, Rows r, floating* d) noexcept nogil:
    cdef Py_ssize_t t, b, at, rows
    cdef Py_ssize_t H = p.H
    cdef const floating* w_hh = <const floating*>p.w_hh
    cdef const floating* dy
    cdef const floating* h_prev
    cdef floating* gates
    cdef floating* dh = <floating*>p.d_states[0] + r.first * H
    cdef floating* drh = d + r.rows * H
    memcpy(d, dh, r.rows * H * sizeof(floating))
    for t in range(p.T - 1, -1, -1):
        rows = rows_at(p, r, t)
        if rows == 0:
            continue
        at = at_step(p, r, t)
        dy = <const floating*>p.dy + at * H
        h_prev = <const floating*>p.states[0] + before_step(p, r, t) * H
        gates = <floating*>p.kept + at * 4 * H
        for b in range(rows):
            gru_before_backward(H, dy + b * H, h_prev + b * H, gates + b * 4 * H, d + b * H)
        # d(r * h_prev) = dn @ W_hh[2H:]
        gemm(False, False, rows, H, H, <floating>1, gates, 4 * H, w_hh + 2 * H * H, H, <floating>0, drh, H)
        for b in range(rows):
            gru_before_backward_reset(H, drh + b * H, h_prev + b * H, gates + b * 4 * H, d + b * H)
        # dh += [dr, dz] @ W_hh[:2H]
        gemm(False, False, rows, H, 2 * H, <floating>1, gates + H, 4 * H, w_hh, H, <floating>1, d, H)
    memcpy(dh, d, r.rows * H * sizeof(floating))
