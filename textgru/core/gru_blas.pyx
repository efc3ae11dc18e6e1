"""The GRU over a sequence with products by the BLAS."""

from cython cimport floating
from libc.string cimport memcpy

from textgru.core.blas cimport gemm
from textgru.core.gru_pass cimport Pass, Rows, scratch_of
from textgru.core.simd cimport kernels


cdef inline void _forward_row(
    bint reset_after, Py_ssize_t H, const floating* x, const floating* g, const floating* b, const floating* h_prev,
    floating* gates, floating* h,
) noexcept nogil:
    if reset_after:
        if floating is float:
            kernels.f32.gru_forward(H, H, x, g, H, b, h_prev, gates, h)
        else:
            kernels.f64.gru_forward(H, H, x, g, H, b, h_prev, gates, h)
    elif floating is float:
        kernels.f32.gru_before_output(H, H, x, g, b, h_prev, gates, h)
    else:
        kernels.f64.gru_before_output(H, H, x, g, b, h_prev, gates, h)


cdef void forward_by_blas(Pass* p, Rows r, int shard, floating* typed) noexcept nogil:
    """Some rows through all steps, products by the BLAS. `typed` is NULL, and says which type all arrays are of."""
    cdef Py_ssize_t t, b, row, at
    cdef Py_ssize_t H = p.H
    cdef const floating* x = <const floating*>p.x
    cdef const floating* w_hh = <const floating*>p.w_hh
    cdef const floating* b_hh = <const floating*>p.b_hh
    cdef floating* g = <floating*>p.scratch + scratch_of(p, r.first, shard)
    cdef floating* h_prev
    cdef floating* gate
    for t in range(p.T):
        at = r.at + t * r.step
        h_prev = <floating*>p.h + (r.before + t * r.step) * H
        gate = <floating*>p.gates + (at if p.keeps else r.first) * 4 * H
        if p.reset_after:
            # product = h_prev @ W_hh.T
            gemm(False, True, r.rows, 3 * H, H, <floating>1, h_prev, H, w_hh, H, <floating>0, g, 3 * H)
        else:
            # product[:, :2H] = h_prev @ W_hh[:2H].T, then product[:, 2H:] = (r * h_prev) @ W_hh[2H:].T
            gemm(False, True, r.rows, 2 * H, H, <floating>1, h_prev, H, w_hh, H, <floating>0, g, 3 * H)
            for b in range(r.rows):
                row = p.index[at + b] if p.index != NULL else at + b
                if floating is float:
                    kernels.f32.gru_before_reset(
                        H, H, x + row * 3 * H, g + b * 3 * H, b_hh, h_prev + b * H, gate + b * 4 * H)
                else:
                    kernels.f64.gru_before_reset(
                        H, H, x + row * 3 * H, g + b * 3 * H, b_hh, h_prev + b * H, gate + b * 4 * H)
            gemm(
                False, True, r.rows, H, H, <floating>1, gate + 3 * H, 4 * H, w_hh + 2 * H * H, H,
                <floating>0, g + 2 * H, 3 * H)
        for b in range(r.rows):
            row = p.index[at + b] if p.index != NULL else at + b
            _forward_row(
                p.reset_after, H, x + row * 3 * H, g + b * 3 * H + (0 if p.reset_after else 2 * H), b_hh,
                h_prev + b * H, gate + b * 4 * H, h_prev + (r.step + b) * H)


cdef void backward_by_blas(Pass* p, Rows r, int shard, floating* typed) noexcept nogil:
    """Some rows through all steps, backward, products by the BLAS."""
    cdef Py_ssize_t t, b
    cdef Py_ssize_t H = p.H
    cdef const floating* w_hh = <const floating*>p.w_hh
    cdef const floating* dy
    cdef const floating* h_prev
    cdef floating* gate
    cdef floating* dh = <floating*>p.dh + r.first * H
    cdef floating* d = <floating*>p.scratch + scratch_of(p, r.first, shard)
    cdef floating* drh = d + r.rows * H
    memcpy(d, dh, r.rows * H * sizeof(floating))
    for t in range(p.T - 1, -1, -1):
        dy = <const floating*>p.dy + (r.at + t * r.step) * H
        h_prev = <const floating*>p.h + (r.before + t * r.step) * H
        gate = <floating*>p.gates + (r.at + t * r.step) * 4 * H
        if p.reset_after:
            for b in range(r.rows):
                if floating is float:
                    kernels.f32.gru_backward(H, H, dy + b * H, h_prev + b * H, gate + b * 4 * H, d + b * H)
                else:
                    kernels.f64.gru_backward(H, H, dy + b * H, h_prev + b * H, gate + b * 4 * H, d + b * H)
            # dh += [dr, dz, dn * r] @ W_hh
            gemm(False, False, r.rows, H, 3 * H, <floating>1, gate + H, 4 * H, w_hh, H, <floating>1, d, H)
            continue
        for b in range(r.rows):
            if floating is float:
                kernels.f32.gru_before_backward(H, H, dy + b * H, h_prev + b * H, gate + b * 4 * H, d + b * H)
            else:
                kernels.f64.gru_before_backward(H, H, dy + b * H, h_prev + b * H, gate + b * 4 * H, d + b * H)
        # d(r * h_prev) = dn @ W_hh[2H:]
        gemm(False, False, r.rows, H, H, <floating>1, gate, 4 * H, w_hh + 2 * H * H, H, <floating>0, drh, H)
        for b in range(r.rows):
            if floating is float:
                kernels.f32.gru_before_backward_reset(H, H, drh + b * H, h_prev + b * H, gate + b * 4 * H, d + b * H)
            else:
                kernels.f64.gru_before_backward_reset(H, H, drh + b * H, h_prev + b * H, gate + b * 4 * H, d + b * H)
        # dh += [dr, dz] @ W_hh[:2H]
        gemm(False, False, r.rows, H, 2 * H, <floating>1, gate + H, 4 * H, w_hh, H, <floating>1, d, H)
    memcpy(dh, d, r.rows * H * sizeof(floating))
