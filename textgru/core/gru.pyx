"""The gated recurrent unit (Cho et al. 2014, arXiv:1406.1078): forward and backward.

Inside: time-major arrays, T steps, B rows of a batch, H hidden units, N = T * B. The rows are shared among threads;
each thread takes its rows through the whole sequence without waiting for another. Few rows are not shared, but the
units: then the threads wait for one another at each step.
"""

import numpy as np

from cython cimport floating
from cython.parallel cimport parallel, prange

from textgru.core.blas cimport gemm
from textgru.core.products cimport TEXTGRU_PACKED_COLUMNS, own_products, pack_shared, units_of, whole_blocks
from textgru.core.simd cimport kernels, textgru_ahead, textgru_products
from textgru.core.threads cimport threads_for

from textgru.core.lookup import scatter_add
from textgru.core.recurrent import Recurrent
from textgru.core.sums import column_sums

cdef extern from "team.h" nogil:
    ctypedef struct team:
        pass
    void team_begin(team* t)
    int team_size()
    int team_rank()
    void team_wait(team* t)
    int TEAM_MOST

# A sequence of so many steps repays packing the recurrent weights for it.
cdef Py_ssize_t SHORTEST_PACKED = 8

# Threads share the units where there are no more rows than so many a thread, and enough units to be worth the waiting.
cdef Py_ssize_t MOST_ROWS_BY_UNITS = 4
cdef Py_ssize_t FEWEST_UNITS_SHARED = 256


cdef inline void _forward_row(
    bint reset_after, Py_ssize_t H, const floating* x, const floating* g, const floating* b, const floating* h_prev,
    floating* gates, floating* h,
) noexcept nogil:
    if reset_after:
        if floating is float:
            kernels.f32.gru_forward(H, H, x, g, b, h_prev, gates, h)
        else:
            kernels.f64.gru_forward(H, H, x, g, b, h_prev, gates, h)
    elif floating is float:
        kernels.f32.gru_before_output(H, H, x, g, b, h_prev, gates, h)
    else:
        kernels.f64.gru_before_output(H, H, x, g, b, h_prev, gates, h)


cdef void _forward_shard(
    bint reset_after, Py_ssize_t T, Py_ssize_t B, Py_ssize_t H, Py_ssize_t first, Py_ssize_t last,
    const floating* x,        # IN (N, 3H), or with index (V, 3H): W_ih x + b_ih
    const Py_ssize_t* index,  # IN (T, B): the row of x for each step and row; or NULL
    const floating* w_hh,     # IN (3H, H)
    const floating* b_hh,     # IN (3H,)
    floating* h,              # IN h[0], OUT h[1:]: (T + 1, B, H)
    floating* gates,          # OUT (T, B, 4H), or (1, B, 4H) with gate_step 0: the last step's
    Py_ssize_t gate_step,     # elements from one step's gates to the next
    floating* product,        # scratch (B, 3H)
) noexcept nogil:
    """Rows first..last-1 through all steps, products by the BLAS."""
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
            gemm(False, True, rows, 3 * H, H, <floating>1, h_prev, H, w_hh, H, <floating>0, g, 3 * H)
        else:
            # product[:, :2H] = h_prev @ W_hh[:2H].T, then product[:, 2H:] = (r * h_prev) @ W_hh[2H:].T
            gemm(False, True, rows, 2 * H, H, <floating>1, h_prev, H, w_hh, H, <floating>0, g, 3 * H)
            for b in range(rows):
                row = index[t * B + first + b] if index != NULL else t * B + first + b
                if floating is float:
                    kernels.f32.gru_before_reset(
                        H, H, x + row * 3 * H, g + b * 3 * H, b_hh, h_prev + b * H, gate + b * 4 * H)
                else:
                    kernels.f64.gru_before_reset(
                        H, H, x + row * 3 * H, g + b * 3 * H, b_hh, h_prev + b * H, gate + b * 4 * H)
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
    const floating* h,        # IN (T + 1, B, H)
    floating* gates,          # IN/OUT (T, B, 4H): from the forward pass; gradients before the activations
    floating* dh,             # IN/OUT (B, H): dh_n; dh_0
    floating* product,        # scratch (B, H)
) noexcept nogil:
    """Rows first..last-1 through all steps, backward, products by the BLAS."""
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
                        H, H, dy + (t * B + first + b) * H, h_prev + b * H, gate + b * 4 * H, d + b * H)
                else:
                    kernels.f64.gru_backward(
                        H, H, dy + (t * B + first + b) * H, h_prev + b * H, gate + b * 4 * H, d + b * H)
            # dh += [dr, dz, dn * r] @ W_hh
            gemm(False, False, rows, H, 3 * H, <floating>1, gate + H, 4 * H, w_hh, H, <floating>1, d, H)
            continue
        for b in range(rows):
            if floating is float:
                kernels.f32.gru_before_backward(
                    H, H, dy + (t * B + first + b) * H, h_prev + b * H, gate + b * 4 * H, d + b * H)
            else:
                kernels.f64.gru_before_backward(
                    H, H, dy + (t * B + first + b) * H, h_prev + b * H, gate + b * 4 * H, d + b * H)
        # d(r * h_prev) = dn @ W_hh[2H:]
        gemm(False, False, rows, H, H, <floating>1, gate, 4 * H, w_hh + 2 * H * H, H, <floating>0, drh, H)
        for b in range(rows):
            if floating is float:
                kernels.f32.gru_before_backward_reset(H, H, drh + b * H, h_prev + b * H, gate + b * 4 * H, d + b * H)
            else:
                kernels.f64.gru_before_backward_reset(H, H, drh + b * H, h_prev + b * H, gate + b * 4 * H, d + b * H)
        # dh += [dr, dz] @ W_hh[:2H]
        gemm(False, False, rows, H, 2 * H, <floating>1, gate + H, 4 * H, w_hh, H, <floating>1, d, H)


cdef struct Pass:
    # A pass over a sequence whose products are our own, float32. Arrays as in _forward_shard and _backward_shard.
    const textgru_products* products
    team* threads
    bint reset_after
    bint by_units             # whether threads share the units, not the rows
    Py_ssize_t T, B, H
    const float* x
    const Py_ssize_t* index
    const float* b_hh
    float* h
    float* gates
    Py_ssize_t gate_step
    float* product
    const float* dy
    float* dh
    const float* packed       # the recurrent weights: see _pack_forward, _pack_backward
    float* converted          # (2, B, units): where products convert their left side, one step's and the next one's


cdef void _share(Pass* p, Py_ssize_t* first, Py_ssize_t* last, Py_ssize_t* unit, Py_ssize_t* end) noexcept nogil:
    """The rows and units of the calling thread."""
    cdef Py_ssize_t size = team_size()
    cdef Py_ssize_t rank = team_rank()
    cdef Py_ssize_t blocks = p.H // TEXTGRU_PACKED_COLUMNS
    first[0], last[0], unit[0], end[0] = 0, p.B, 0, p.H
    if p.by_units:
        unit[0] = blocks * rank // size * TEXTGRU_PACKED_COLUMNS
        end[0] = blocks * (rank + 1) // size * TEXTGRU_PACKED_COLUMNS
    else:
        first[0] = p.B * rank // size
        last[0] = p.B * (rank + 1) // size


cdef void _fetch(textgru_ahead* ahead, const float* start, Py_ssize_t count, textgru_ahead* then) noexcept nogil:
    """`ahead` becomes so many numbers from `start` on, and then what `then` says."""
    ahead.start, ahead.row, ahead.rows, ahead.columns = <const char*>start, 64, count // 16 + 1, 1
    ahead.done, ahead.next = 0, then


cdef void _forward_own(Pass* p) noexcept nogil:
    """The calling thread's part of a forward pass."""
    cdef Py_ssize_t first, last, unit, end, t, b, row, gate, rows
    cdef Py_ssize_t B = p.B
    cdef Py_ssize_t H = p.H
    cdef Py_ssize_t units = units_of(p.products, H)
    cdef Py_ssize_t weights = whole_blocks(H) * units
    cdef bint converts = p.products.unit_k > 1
    cdef const float* left
    cdef Py_ssize_t left_row = units if converts else H
    cdef float* h_prev
    cdef float* gates
    cdef float* g
    cdef textgru_ahead x_ahead, gates_ahead
    cdef textgru_ahead* ahead
    _share(p, &first, &last, &unit, &end)
    rows = last - first
    g = p.product + first * 3 * H
    if converts:
        p.products.convert(
            rows, end - unit, p.h + first * H + unit, H, p.converted + first * units + unit // p.products.unit_k, units)
        if p.by_units:
            team_wait(p.threads)
    for t in range(p.T):
        h_prev = p.h + (t * B + first) * H
        gates = p.gates + t * p.gate_step + first * 4 * H
        left = p.converted + (t % 2 * B + first) * units if converts else h_prev
        ahead = NULL
        if t + 1 < p.T and not p.by_units:  # meanwhile the next step's numbers come nearer
            if p.index == NULL:
                _fetch(&x_ahead, p.x + ((t + 1) * B + first) * 3 * H, rows * 3 * H, NULL)
                ahead = &x_ahead
            if p.gate_step != 0:
                _fetch(&gates_ahead, gates + p.gate_step, rows * 4 * H, ahead)
                ahead = &gates_ahead
        for gate in range(3 if p.reset_after else 2):
            p.products.multiply(
                rows, end - unit, H, left, left_row, p.packed + gate * weights + unit * units, NULL, 0,
                g + gate * H + unit, 3 * H, ahead)
        if not p.reset_after:
            for b in range(rows):
                row = p.index[t * B + first + b] if p.index != NULL else t * B + first + b
                kernels.f32.gru_before_reset(
                    H, H, p.x + row * 3 * H, g + b * 3 * H, p.b_hh, h_prev + b * H, gates + b * 4 * H)
            left = gates + 3 * H
            if converts:
                p.products.convert(rows, H, gates + 3 * H, 4 * H, p.converted + (t % 2 * B + first) * units, units)
                left = p.converted + (t % 2 * B + first) * units
            p.products.multiply(
                rows, H, H, left, left_row if converts else 4 * H, p.packed + 2 * weights, NULL, 0, g + 2 * H, 3 * H,
                ahead)
        for b in range(rows):
            row = p.index[t * B + first + b] if p.index != NULL else t * B + first + b
            if p.reset_after:
                kernels.f32.gru_forward(
                    end - unit, H, p.x + row * 3 * H + unit, g + b * 3 * H + unit, p.b_hh + unit, h_prev + b * H + unit,
                    gates + b * 4 * H + unit, h_prev + (B + b) * H + unit)
            else:
                kernels.f32.gru_before_output(
                    H, H, p.x + row * 3 * H, g + b * 3 * H + 2 * H, p.b_hh, h_prev + b * H, gates + b * 4 * H,
                    h_prev + (B + b) * H)
        if converts:
            p.products.convert(
                rows, end - unit, h_prev + B * H + unit, H,
                p.converted + ((t + 1) % 2 * B + first) * units + unit // p.products.unit_k, units)
        if p.by_units:
            team_wait(p.threads)


cdef void _backward_own(Pass* p) noexcept nogil:
    """The calling thread's part of a backward pass."""
    cdef Py_ssize_t first, last, unit, end, t, b, gate, rows, k
    cdef Py_ssize_t B = p.B
    cdef Py_ssize_t H = p.H
    cdef Py_ssize_t units = units_of(p.products, 3 * H)
    cdef Py_ssize_t weights_n = whole_blocks(H) * units_of(p.products, H)
    cdef bint converts = p.products.unit_k > 1
    cdef Py_ssize_t left_row = units if converts else 4 * H
    cdef const float* h_prev
    cdef const float* left
    cdef float* gates
    cdef float* converted
    cdef float* d
    cdef float* drh
    cdef textgru_ahead dy_ahead, h_ahead, gates_ahead
    cdef textgru_ahead* ahead
    _share(p, &first, &last, &unit, &end)
    rows = last - first
    d = p.dh + first * H
    drh = p.product + first * H
    for t in range(p.T - 1, -1, -1):
        h_prev = p.h + (t * B + first) * H
        gates = p.gates + (t * B + first) * 4 * H
        converted = p.converted + (t % 2 * B + first) * units
        ahead = NULL
        if t > 0 and not p.by_units:  # while products run, the numbers of the step before come nearer
            _fetch(&dy_ahead, p.dy + ((t - 1) * B + first) * H, rows * H, NULL)
            _fetch(&h_ahead, h_prev - B * H, rows * H, &dy_ahead)
            _fetch(&gates_ahead, gates - B * 4 * H, rows * 4 * H, &h_ahead)
            ahead = &gates_ahead
        if p.reset_after:
            for b in range(rows):
                kernels.f32.gru_backward(
                    end - unit, H, p.dy + (t * B + first + b) * H + unit, h_prev + b * H + unit,
                    gates + b * 4 * H + unit, d + b * H + unit)
            k = 3 * H
        else:
            for b in range(rows):
                kernels.f32.gru_before_backward(
                    H, H, p.dy + (t * B + first + b) * H, h_prev + b * H, gates + b * 4 * H, d + b * H)
            # d(r * h_prev) = dn @ W_hh[2H:]
            left = gates
            if converts:
                p.products.convert(rows, H, gates, 4 * H, converted, units)
                left = converted
            p.products.multiply(rows, H, H, left, left_row, p.packed, NULL, 0, drh, H, ahead)
            for b in range(rows):
                kernels.f32.gru_before_backward_reset(H, H, drh + b * H, h_prev + b * H, gates + b * 4 * H, d + b * H)
            k = 2 * H
        # dh += [dr, dz, dn * r] @ W_hh, or [dr, dz] @ W_hh[:2H]
        left = gates + H
        if converts and end - unit == H:
            p.products.convert(rows, k, gates + H, 4 * H, converted, units)
        elif converts:
            for gate in range(3):
                p.products.convert(
                    rows, end - unit, gates + (gate + 1) * H + unit, 4 * H,
                    converted + (gate * H + unit) // p.products.unit_k, units)
        if converts:
            left = converted
        if p.by_units:
            team_wait(p.threads)
        p.products.multiply(
            rows, end - unit, k, left, left_row,
            p.packed + (0 if p.reset_after else weights_n) + unit * units_of(p.products, k), d + unit, H, d + unit, H,
            ahead)


cdef void _pack_forward(Pass* p, const float* w_hh, float* packed) noexcept nogil:
    """Each gate's part of W_hh.T."""
    cdef Py_ssize_t gate
    cdef Py_ssize_t weights = whole_blocks(p.H) * units_of(p.products, p.H)
    for gate in range(3):
        pack_shared(p.products, p.H, p.H, w_hh + gate * p.H * p.H, 1, p.H, packed + gate * weights)


cdef void _pack_backward(Pass* p, const float* w_hh, float* packed) noexcept nogil:
    """W_hh; or with the reset before the product W_hh[2H:], then W_hh[:2H]."""
    cdef Py_ssize_t H = p.H
    if p.reset_after:
        pack_shared(p.products, 3 * H, H, w_hh, H, 1, packed)
    else:
        pack_shared(p.products, H, H, w_hh + 2 * H * H, H, 1, packed)
        pack_shared(
            p.products, 2 * H, H, w_hh, H, 1, packed + whole_blocks(H) * units_of(p.products, H))


cdef bint _by_units(Pass* p, int threads) noexcept nogil:
    """Whether threads share the units: where there are few rows, and blocks of units for all threads."""
    return (
        1 < threads <= min(TEAM_MOST, p.H // TEXTGRU_PACKED_COLUMNS) and p.H % TEXTGRU_PACKED_COLUMNS == 0
        and p.H >= FEWEST_UNITS_SHARED and p.B <= MOST_ROWS_BY_UNITS * threads and p.reset_after)


cdef int _shards(Py_ssize_t T, Py_ssize_t B, Py_ssize_t H) noexcept nogil:
    return <int>min(<Py_ssize_t>threads_for(3.0 * T * B * H * H), B)


def _forward(
    bint reset_after, const floating[:, ::1] x, index, const floating[:, ::1] w_hh, const floating[::1] b_hh,
    floating[:, :, ::1] h, floating[:, :, ::1] gates, floating[:, ::1] product, bint bf16, room,
):
    """h[1:] and the gates from h[0]; gates of one step only means that none are kept. Shapes: _forward_shard."""
    cdef Py_ssize_t T = h.shape[0] - 1
    cdef Py_ssize_t B = h.shape[1]
    cdef Py_ssize_t H = h.shape[2]
    cdef Py_ssize_t gate_step = B * 4 * H if gates.shape[0] == T else 0
    cdef const Py_ssize_t[:, ::1] index_view
    cdef const Py_ssize_t* index_start = NULL
    cdef int shards = _shards(T, B, H)
    cdef int threads = threads_for(3.0 * T * B * H * H)
    cdef int shard
    cdef Pass p
    cdef team together
    cdef float[::1] packed, converted
    if index is not None:
        index_view = index
        index_start = &index_view[0, 0]
    if floating is float:
        p.products = own_products(bf16)
        if p.products != NULL and (bf16 or T >= SHORTEST_PACKED):
            p.reset_after, p.T, p.B, p.H, p.index, p.gate_step = reset_after, T, B, H, index_start, gate_step
            p.x, p.b_hh, p.h, p.gates, p.product = &x[0, 0], &b_hh[0], &h[0, 0, 0], &gates[0, 0, 0], &product[0, 0]
            packed = room.get("recurrent", 3 * whole_blocks(H) * units_of(p.products, H))
            converted = room.get("converted", 2 * B * units_of(p.products, H))
            p.packed, p.converted = &packed[0], &converted[0]
            p.by_units = _by_units(&p, threads)
            p.threads = &together
            team_begin(&together)
            if not p.by_units:
                threads = shards
            with nogil:
                _pack_forward(&p, &w_hh[0, 0], &packed[0])
                with parallel(num_threads=threads):
                    _forward_own(&p)
            return
    for shard in prange(shards, num_threads=shards, schedule="static", chunksize=1, nogil=True):
        _forward_shard(
            reset_after, T, B, H, B * shard // shards, B * (shard + 1) // shards, &x[0, 0], index_start,
            &w_hh[0, 0], &b_hh[0], &h[0, 0, 0], &gates[0, 0, 0], gate_step, &product[0, 0])


def _backward(
    bint reset_after, const floating[:, :, ::1] dy, const floating[:, ::1] w_hh, const floating[:, :, ::1] h,
    floating[:, :, ::1] gates, floating[:, ::1] dh, floating[:, ::1] product, bint bf16, room,
):
    """The gates become gradients, dh (in dh_n) dh_0. Shapes: _backward_shard."""
    cdef Py_ssize_t T = h.shape[0] - 1
    cdef Py_ssize_t B = h.shape[1]
    cdef Py_ssize_t H = h.shape[2]
    cdef int shards = _shards(T, B, H)
    cdef int threads = threads_for(3.0 * T * B * H * H)
    cdef int shard
    cdef Pass p
    cdef team together
    cdef float[::1] packed, converted
    if floating is float:
        p.products = own_products(bf16)
        if p.products != NULL and (bf16 or T >= SHORTEST_PACKED):
            p.reset_after, p.T, p.B, p.H, p.h = reset_after, T, B, H, <float*>&h[0, 0, 0]
            p.gates, p.product, p.dy, p.dh = &gates[0, 0, 0], &product[0, 0], &dy[0, 0, 0], &dh[0, 0]
            packed = room.get("recurrent", 2 * whole_blocks(H) * units_of(p.products, 2 * H))
            converted = room.get("converted", 2 * B * units_of(p.products, 3 * H))
            p.packed, p.converted = &packed[0], &converted[0]
            p.by_units = _by_units(&p, threads)
            p.threads = &together
            team_begin(&together)
            if not p.by_units:
                threads = shards
            with nogil:
                _pack_backward(&p, &w_hh[0, 0], &packed[0])
                with parallel(num_threads=threads):
                    _backward_own(&p)
            return
    for shard in prange(shards, num_threads=shards, schedule="static", chunksize=1, nogil=True):
        _backward_shard(
            reset_after, T, B, H, B * shard // shards, B * (shard + 1) // shards, &dy[0, 0, 0],
            &w_hh[0, 0], &h[0, 0, 0], &gates[0, 0, 0], &dh[0, 0], &product[0, 0])


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
        self, input_size, hidden_size, num_layers=1, *, bias=True, reset_after=True, dropout=0.0,
        variational_dropout=False, precision="fp32", dtype=np.float32, seed=None,
    ):
        self.reset_after = bool(reset_after)
        super().__init__(
            input_size, hidden_size, num_layers, bias=bias, dropout=dropout,
            variational_dropout=variational_dropout, precision=precision, dtype=dtype, seed=seed)

    def _forward_layer(self, products, projected, index, w_hh, b_hh, h, saved, scratch):
        _forward(
            self.reset_after, projected, index, w_hh, b_hh, h, saved, scratch, products.precision == "bf16",
            products.room)

    def _backward_layer(self, products, dy, w_hh, h, saved, dh, scratch, dw_hh):
        H = self.hidden_size
        _backward(
            self.reset_after, dy, w_hh, h, saved, dh, scratch, products.precision == "bf16", products.room)
        gates, h_prev = saved.reshape(-1, 4 * H), h[:-1].reshape(-1, H)
        if self.reset_after:
            products.multiply(gates[:, H:].T, h_prev, dw_hh)  # [dr, dz, dn * r].T @ h_prev
        else:
            products.multiply(gates[:, H : 3 * H].T, h_prev, dw_hh[: 2 * H])  # [dr, dz].T @ h_prev
            products.multiply(gates[:, :H].T, gates[:, 3 * H :], dw_hh[2 * H :])  # dn.T @ (r * h_prev)

    def _input_gradients(self, products, saved, x, w_ih, dw_ih, dx):
        H = self.hidden_size
        rolled = self._workspace.get("rolled", 3 * H, x.shape[1])
        # In the order n, r, z of the gate gradients: [dn, dr, dz].T @ x
        products.multiply(saved[:, : 3 * H].T, x, rolled)
        dw_ih[2 * H :], dw_ih[: 2 * H] = rolled[:H], rolled[H:]
        if dx is not None:
            rolled[:H], rolled[H:] = w_ih[2 * H :], w_ih[: 2 * H]
            products.multiply(saved[:, : 3 * H], rolled, dx)

    def _table_gradients(self, saved, index, dtable):
        H, flat = self.hidden_size, index.reshape(-1)
        dtable[...] = 0
        scatter_add(flat, saved[:, H : 3 * H], dtable[:, : 2 * H])  # dr, dz
        scatter_add(flat, saved[:, :H], dtable[:, 2 * H :])  # dn

    def _bias_gradients(self, saved, dtable, db_ih, db_hh):
        H = self.hidden_size
        sums = self._workspace.get("sums", 3 * H)
        if dtable is None:
            column_sums(saved[:, : 3 * H], sums)
            db_ih[: 2 * H], db_ih[2 * H :] = sums[H:], sums[:H]
        else:
            column_sums(dtable, db_ih)
        db_hh[...] = db_ih
        if self.reset_after:
            column_sums(saved[:, 3 * H :], db_hh[2 * H :])
