"""The gated recurrent unit (Cho et al. 2014, arXiv:1406.1078): forward, backward, one step.

Inside: time-major arrays, T steps, B rows of a batch, H hidden units, N = T * B. The rows are shared among threads;
each thread takes its rows through the whole sequence without waiting for another.
"""

import numpy as np

from cython cimport floating
from cython.parallel cimport prange

from textgru.core.blas cimport gemm, gemm_shared
from textgru.core.packing cimport TEXTGRU_PACKED_ROWS
from textgru.core.simd cimport kernels
from textgru.core.threads cimport threads_for

from textgru.core.packing import pack_columns_into, pack_into
from textgru.core.recurrent import Recurrent

# A sequence of so many steps repays packing the recurrent weights for it.
cdef Py_ssize_t SHORTEST_PACKED = 8


cdef inline void _forward_row(
    bint reset_after, Py_ssize_t H, const floating* x, const floating* g, const floating* b, const floating* h_prev,
    floating* gates, floating* h,
) noexcept nogil:
    if reset_after:
        if floating is float:
            kernels.f32.gru_forward(H, x, g, b, h_prev, gates, h)
        else:
            kernels.f64.gru_forward(H, x, g, b, h_prev, gates, h)
    elif floating is float:
        kernels.f32.gru_before_output(H, x, g, b, h_prev, gates, h)
    else:
        kernels.f64.gru_before_output(H, x, g, b, h_prev, gates, h)


cdef void _forward_shard(
    bint reset_after, Py_ssize_t T, Py_ssize_t B, Py_ssize_t H, Py_ssize_t first, Py_ssize_t last,
    const floating* x,        # IN (N, 3H), or with index (V, 3H): W_ih x + b_ih
    const Py_ssize_t* index,  # IN (T, B): the row of x for each step and row; or NULL
    const floating* w_hh,     # IN (3H, H)
    const floating* packed,   # IN w_hh packed, or NULL: then the product is the BLAS's
    const floating* b_hh,     # IN (3H,)
    floating* h,              # IN h[0], OUT h[1:]: (T + 1, B, H)
    floating* gates,          # OUT (T, B, 4H), or (1, B, 4H) with gate_step 0: the last step's
    Py_ssize_t gate_step,     # elements from one step's gates to the next
    floating* product,        # scratch (B, 3H)
) noexcept nogil:
    """Rows first..last-1 through all steps."""
    cdef Py_ssize_t t, b, row
    cdef Py_ssize_t rows = last - first
    cdef floating* h_prev
    cdef floating* gate
    cdef floating* g = product + first * 3 * H
    for t in range(T):
        h_prev = h + (t * B + first) * H
        gate = gates + t * gate_step + first * 4 * H
        if reset_after:
            # product = h_prev @ W_hh.T
            if floating is float and packed != NULL:
                kernels.gemm_packed(rows, 3 * H // TEXTGRU_PACKED_ROWS, H, h_prev, H, packed, g, 3 * H, False)
            else:
                gemm(False, True, rows, 3 * H, H, <floating>1, h_prev, H, w_hh, H, <floating>0, g, 3 * H)
        else:
            # product[:, :2H] = h_prev @ W_hh[:2H].T, then product[:, 2H:] = (r * h_prev) @ W_hh[2H:].T
            gemm(False, True, rows, 2 * H, H, <floating>1, h_prev, H, w_hh, H, <floating>0, g, 3 * H)
            for b in range(rows):
                row = index[t * B + first + b] if index != NULL else t * B + first + b
                if floating is float:
                    kernels.f32.gru_before_reset(
                        H, x + row * 3 * H, g + b * 3 * H, b_hh, h_prev + b * H, gate + b * 4 * H)
                else:
                    kernels.f64.gru_before_reset(
                        H, x + row * 3 * H, g + b * 3 * H, b_hh, h_prev + b * H, gate + b * 4 * H)
            gemm(
                False, True, rows, H, H, <floating>1, gate + 3 * H, 4 * H, w_hh + 2 * H * H, H,
                <floating>0, g + 2 * H, 3 * H)
        for b in range(rows):
            row = index[t * B + first + b] if index != NULL else t * B + first + b
            _forward_row(
                reset_after, H, x + row * 3 * H, g + b * 3 * H + (0 if reset_after else 2 * H), b_hh,
                h_prev + b * H, gate + b * 4 * H, h_prev + (B + b) * H)


cdef void _backward_shard(
    bint reset_after, Py_ssize_t T, Py_ssize_t B, Py_ssize_t H, Py_ssize_t first, Py_ssize_t last,
    const floating* dy,       # IN (T, B, H)
    const floating* w_hh,     # IN (3H, H)
    const floating* packed,   # IN the transpose of w_hh packed, or NULL: then the product is the BLAS's
    const floating* h,        # IN (T + 1, B, H)
    floating* gates,          # IN/OUT (T, B, 4H): from the forward pass; gradients before the activations
    floating* dh,             # IN/OUT (B, H): dh_n; dh_0
    floating* product,        # scratch (B, H)
) noexcept nogil:
    """Rows first..last-1 through all steps, backward."""
    cdef Py_ssize_t t, b
    cdef Py_ssize_t rows = last - first
    cdef const floating* h_prev
    cdef floating* gate
    cdef floating* d = dh + first * H
    cdef floating* drh = product + first * H
    for t in range(T - 1, -1, -1):
        h_prev = h + (t * B + first) * H
        gate = gates + (t * B + first) * 4 * H
        if reset_after:
            for b in range(rows):
                if floating is float:
                    kernels.f32.gru_backward(
                        H, dy + (t * B + first + b) * H, h_prev + b * H, gate + b * 4 * H, d + b * H)
                else:
                    kernels.f64.gru_backward(
                        H, dy + (t * B + first + b) * H, h_prev + b * H, gate + b * 4 * H, d + b * H)
            # dh += [dr, dz, dn * r] @ W_hh
            if floating is float and packed != NULL:
                kernels.gemm_packed(rows, H // TEXTGRU_PACKED_ROWS, 3 * H, gate + H, 4 * H, packed, d, H, True)
            else:
                gemm(False, False, rows, H, 3 * H, <floating>1, gate + H, 4 * H, w_hh, H, <floating>1, d, H)
            continue
        for b in range(rows):
            if floating is float:
                kernels.f32.gru_before_backward(
                    H, dy + (t * B + first + b) * H, h_prev + b * H, gate + b * 4 * H, d + b * H)
            else:
                kernels.f64.gru_before_backward(
                    H, dy + (t * B + first + b) * H, h_prev + b * H, gate + b * 4 * H, d + b * H)
        # d(r * h_prev) = dn @ W_hh[2H:]
        gemm(False, False, rows, H, H, <floating>1, gate, 4 * H, w_hh + 2 * H * H, H, <floating>0, drh, H)
        for b in range(rows):
            if floating is float:
                kernels.f32.gru_before_backward_reset(H, drh + b * H, h_prev + b * H, gate + b * 4 * H, d + b * H)
            else:
                kernels.f64.gru_before_backward_reset(H, drh + b * H, h_prev + b * H, gate + b * 4 * H, d + b * H)
        # dh += [dr, dz] @ W_hh[:2H]
        gemm(False, False, rows, H, 2 * H, <floating>1, gate + H, 4 * H, w_hh, H, <floating>1, d, H)


cdef int _shards(Py_ssize_t T, Py_ssize_t B, Py_ssize_t H) noexcept nogil:
    return <int>min(<Py_ssize_t>threads_for(3.0 * T * B * H * H), B)


def _forward(
    bint reset_after, const floating[:, ::1] x, index, const floating[:, ::1] w_hh, const floating[::1] b_hh,
    floating[:, :, ::1] h, floating[:, :, ::1] gates, floating[:, ::1] product, packed_array,
):
    """h[1:] and the gates from h[0]; gates of one step only means that none are kept. Shapes: _forward_shard."""
    cdef floating[:, :, ::1] packed_view
    cdef floating* packed = NULL
    cdef Py_ssize_t T = h.shape[0] - 1
    cdef Py_ssize_t B = h.shape[1]
    cdef Py_ssize_t H = h.shape[2]
    cdef Py_ssize_t gate_step = B * 4 * H if gates.shape[0] == T else 0
    cdef const Py_ssize_t[:, ::1] index_view
    cdef const Py_ssize_t* index_start = NULL
    cdef int shards = _shards(T, B, H)
    cdef int shard
    if index is not None:
        index_view = index
        index_start = &index_view[0, 0]
    if packed_array is not None:
        pack_into(w_hh, packed_array)
        packed_view = packed_array
        packed = &packed_view[0, 0, 0]
    for shard in prange(shards, num_threads=shards, schedule="static", chunksize=1, nogil=True):
        _forward_shard(
            reset_after, T, B, H, B * shard // shards, B * (shard + 1) // shards, &x[0, 0], index_start,
            &w_hh[0, 0], packed, &b_hh[0], &h[0, 0, 0], &gates[0, 0, 0], gate_step, &product[0, 0])


def _backward(
    bint reset_after, const floating[:, :, ::1] dy, const floating[:, ::1] w_hh, const floating[:, :, ::1] h,
    floating[:, :, ::1] gates, floating[:, ::1] dh, floating[:, ::1] product, floating[:, ::1] dw_hh, packed_array,
):
    """The gates become gradients, dh (in dh_n) dh_0, and dw_hh the gradient of W_hh. Shapes: _backward_shard."""
    cdef floating[:, :, ::1] packed_view
    cdef floating* packed = NULL
    cdef Py_ssize_t T = h.shape[0] - 1
    cdef Py_ssize_t B = h.shape[1]
    cdef Py_ssize_t H = h.shape[2]
    cdef Py_ssize_t N = T * B
    cdef int shards = _shards(T, B, H)
    cdef int shard
    cdef floating* gate = &gates[0, 0, 0]
    if packed_array is not None:
        pack_columns_into(w_hh, packed_array)
        packed_view = packed_array
        packed = &packed_view[0, 0, 0]
    for shard in prange(shards, num_threads=shards, schedule="static", chunksize=1, nogil=True):
        _backward_shard(
            reset_after, T, B, H, B * shard // shards, B * (shard + 1) // shards, &dy[0, 0, 0],
            &w_hh[0, 0], packed, &h[0, 0, 0], gate, &dh[0, 0], &product[0, 0])
    with nogil:
        if reset_after:
            # dW_hh = [dr, dz, dn * r].T @ h_prev
            gemm_shared(
                True, False, 3 * H, H, N, <floating>1, gate + H, 4 * H, &h[0, 0, 0], H, <floating>0, &dw_hh[0, 0], H)
        else:
            # dW_hh[:2H] = [dr, dz].T @ h_prev, dW_hh[2H:] = dn.T @ (r * h_prev)
            gemm_shared(
                True, False, 2 * H, H, N, <floating>1, gate + H, 4 * H, &h[0, 0, 0], H, <floating>0, &dw_hh[0, 0], H)
            gemm_shared(
                True, False, H, H, N, <floating>1, gate, 4 * H, gate + 3 * H, 4 * H, <floating>0, &dw_hh[2 * H, 0], H)


def _input_gradients(
    const floating[:, ::1] gates, const floating[:, ::1] x, const floating[:, ::1] w_ih, floating[:, ::1] dw_ih,
    dx,
):
    """From the gate gradients (N, 4H): dw_ih (3H, I) of the product with x (N, I), and dx (N, I) unless it is None."""
    cdef Py_ssize_t N = gates.shape[0]
    cdef Py_ssize_t H = gates.shape[1] // 4
    cdef Py_ssize_t I = x.shape[1]
    cdef const floating* gate = &gates[0, 0]
    cdef floating[:, ::1] dx_view
    with nogil:
        # dW_ih[:2H] = [dr, dz].T @ x, dW_ih[2H:] = dn.T @ x
        gemm_shared(True, False, 2 * H, I, N, <floating>1, gate + H, 4 * H, &x[0, 0], I, <floating>0, &dw_ih[0, 0], I)
        gemm_shared(True, False, H, I, N, <floating>1, gate, 4 * H, &x[0, 0], I, <floating>0, &dw_ih[2 * H, 0], I)
    if dx is not None:
        dx_view = dx
        with nogil:
            # dx = [dr, dz] @ W_ih[:2H] + dn @ W_ih[2H:]
            gemm_shared(
                False, False, N, I, 2 * H, <floating>1, gate + H, 4 * H, &w_ih[0, 0], I, <floating>0, &dx_view[0, 0], I)
            gemm_shared(
                False, False, N, I, H, <floating>1, gate, 4 * H, &w_ih[2 * H, 0], I, <floating>1, &dx_view[0, 0], I)


def _scatter_gradients(const floating[:, ::1] gates, const Py_ssize_t[:, ::1] index, floating[:, ::1] dtable):
    """dtable (V, 3H) = the gate gradients (N, 4H) of each row added up where index (T, B) says, in (r, z, n) order.

    Threads share the columns, so that every sum is made in the order of the rows.
    """
    cdef Py_ssize_t N = gates.shape[0]
    cdef Py_ssize_t H = gates.shape[1] // 4
    cdef int shards = <int>min(<Py_ssize_t>threads_for(3.0 * N * H), H)
    cdef int shard
    cdef const Py_ssize_t* rows = &index[0, 0]
    dtable[:, :] = 0
    for shard in prange(shards, num_threads=shards, schedule="static", chunksize=1, nogil=True):
        _scatter_columns(N, H, H * shard // shards, H * (shard + 1) // shards, &gates[0, 0], rows, &dtable[0, 0])


cdef void _scatter_columns(
    Py_ssize_t N, Py_ssize_t H, Py_ssize_t first, Py_ssize_t last,
    const floating* gates, const Py_ssize_t* rows, floating* dtable,
) noexcept nogil:
    cdef Py_ssize_t i, gate
    cdef const floating* source
    cdef floating* target
    for i in range(N):
        for gate in range(3):
            source = gates + (i * 4 + (gate + 1) % 3) * H + first
            target = dtable + (rows[i] * 3 + gate) * H + first
            if floating is float:
                kernels.f32.add(last - first, source, target)
            else:
                kernels.f64.add(last - first, source, target)


class GRU(Recurrent):
    """A stack of GRU layers. With `reset_after` (the default, the same as PyTorch's nn.GRU and cuDNN):

        r_t = sigmoid(W_ir x_t + b_ir + W_hr h_{t-1} + b_hr)            reset gate
        z_t = sigmoid(W_iz x_t + b_iz + W_hz h_{t-1} + b_hz)            update gate
        n_t = tanh(W_in x_t + b_in + r_t * (W_hn h_{t-1} + b_hn))       candidate (current memory content)
        h_t = (1 - z_t) * n_t + z_t * h_{t-1}                           hidden state

    With reset_after=False, as in Cho et al. 2014 (arXiv:1406.1078, equations 5-8):

        n_t = tanh(W_in x_t + b_in + W_hn (r_t * h_{t-1}) + b_hn)

    `parameters` and `gradients`: weight_ih_l0 (3H, I), weight_hh_l0 (3H, H), bias_ih_l0 (3H,), bias_hh_l0 (3H,), and
    so on for l1, ...; gate order r, z, n. The other arguments and the methods: textgru.core.recurrent.Recurrent.
    """

    weight_blocks = 3
    saved_blocks = 4

    def __init__(
        self, input_size, hidden_size, num_layers=1, *, bias=True, reset_after=True, dropout=0.0, dtype=np.float32,
        seed=None,
    ):
        self.reset_after = bool(reset_after)
        super().__init__(
            input_size, hidden_size, num_layers, bias=bias, dropout=dropout, dtype=dtype, seed=seed)

    def _forward_layer(self, projected, index, w_hh, b_hh, h, saved, scratch):
        packed = self._packed(len(h) - 1, 3 * self.hidden_size, self.hidden_size)
        _forward(self.reset_after, projected, index, w_hh, b_hh, h, saved, scratch, packed)

    def _backward_layer(self, dy, w_hh, h, saved, dh, scratch, dw_hh):
        packed = self._packed(len(dy), self.hidden_size, 3 * self.hidden_size)
        _backward(self.reset_after, dy, w_hh, h, saved, dh, scratch, dw_hh, packed)

    def _packed(self, steps, rows, n):
        """Room for the recurrent weights, packed, where our own product is used: for whole blocks, and a sequence long
        enough to be worth the packing. Else None."""
        own = kernels.gemm_packed != NULL and self.dtype == np.float32 and self.reset_after
        if not own or steps < SHORTEST_PACKED or self.hidden_size % TEXTGRU_PACKED_ROWS:
            return None
        return self._workspace.get("packed", rows // TEXTGRU_PACKED_ROWS, n, TEXTGRU_PACKED_ROWS)

    def _input_gradients(self, saved, x, w_ih, dw_ih, dx):
        _input_gradients(saved, x, w_ih, dw_ih, dx)

    def _table_gradients(self, saved, index, dprojected):
        _scatter_gradients(saved, index, dprojected)

    def _bias_gradients(self, sums, db_ih, db_hh):
        H = self.hidden_size
        db_ih[: 2 * H] = sums[H : 3 * H]
        db_ih[2 * H :] = sums[:H]
        db_hh[: 2 * H] = sums[H : 3 * H]
        db_hh[2 * H :] = sums[3 * H :] if self.reset_after else sums[:H]
