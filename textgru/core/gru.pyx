"""The gated recurrent unit (Cho et al. 2014, arXiv:1406.1078): forward and backward.

T steps, B rows of a batch, H hidden units, N = T * B rows in the order of textgru.core.row_order.RowOrder: one half of
the batch, then the other, or a small batch as a whole. The rows of the batch are shared among threads; each thread
takes its rows through the whole sequence without waiting for another. Few rows are not shared, but the units: then the
threads wait for one another at each step.
"""

import numpy as np

from cython cimport floating
from cython.parallel cimport parallel
from libc.string cimport memcpy, memset

from textgru.core.blas cimport gemm
from textgru.core.products cimport (
    TEXTGRU_NEAR_BYTES, TEXTGRU_PACKED_COLUMNS, own_products, pack_share, units_of, whole_blocks
)
from textgru.core.shares cimport share_of_half
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
    void team_barrier()
    int TEAM_MOST

# A sequence of so many steps repays packing the recurrent weights for it.
cdef Py_ssize_t SHORTEST_PACKED = 8

# A table is small, and one for each half of the batch, where there are so many times as many rows.
cdef Py_ssize_t SMALL_TABLE = 16

# Threads share the units where there are no more rows than so many a thread, and enough units to be worth the waiting.
cdef Py_ssize_t MOST_ROWS_BY_UNITS = 4
cdef Py_ssize_t FEWEST_UNITS_SHARED = 256


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


cdef struct Rows:
    # Rows of the batch, neighbours in one half of it.
    Py_ssize_t rows
    Py_ssize_t first          # where they are in arrays (B, -)
    Py_ssize_t at             # where they are at step 0 in arrays (N, -)
    Py_ssize_t before         # where they are before step 0 in h
    Py_ssize_t step           # from one step to the next in both


cdef inline Rows _rows_of(
    Py_ssize_t T, Py_ssize_t B, Py_ssize_t first_half, int half, Py_ssize_t begin, Py_ssize_t end,
) noexcept nogil:
    """Those rows begin..end-1 of the batch that are in this half; maybe none."""
    cdef Rows r
    if half == 0:
        r.first, r.step = begin, first_half
        r.rows = min(end, first_half) - begin
        r.at = r.before = begin
    else:
        r.first, r.step = max(begin, first_half), first_half - B
        r.rows = end - r.first
        r.at = T * first_half - (T - 1) * r.step + r.first - first_half
        r.before = first_half + T * B + r.first - first_half
    return r


cdef struct Pass:
    # What a pass over a sequence reads and writes. Forward, all IN unless it says otherwise:
    bint reset_after
    Py_ssize_t T, B, H
    Py_ssize_t first_half     # rows of the batch in its first half
    const void* x             # (N, 3H), or with index (V, 3H): W_ih x + b_ih
    const Py_ssize_t* index   # (N,): which row of x; or NULL
    const void* w_hh          # (3H, H)
    const void* b_hh          # (3H,)
    void* h                   # IN/OUT (N + B, H): the states before step 0, those after each step
    bint keeps                # whether gates of all steps are kept
    void* gates               # OUT (N, 4H), or (B, 4H): the last step's
    # Backward: w_hh and h as above; gates IN/OUT (N, 4H): from the forward pass, then gradients before the activations
    const void* dy            # (N, H)
    void* dh                  # IN/OUT (B, H): dh_n; dh_0
    void* sums[2]             # OUT (4H,): the sum of the gradients, those from sums_from on; one for each half
    Py_ssize_t sums_from
    void* tables[2]           # OUT (V, 3H): the sums of dn, dr, dz by index; or NULL
    Py_ssize_t table_size     # their elements; or 0
    bint adds                 # whether the threads add up as they go: where each has a whole half
    void* scratch             # see _scratch
    # Where the products are our own, float32:
    const textgru_products* products
    team* threads
    bint by_units             # whether threads share the units, not the rows
    float* packed             # room for the recurrent weights: see _pack_forward, _pack_backward
    bint streams              # whether they stay in no near cache
    float* converted          # see _converted: where products convert their left side, one step's and the next one's


# What a thread writes at each step stands so many elements apart from what another does: else the CPU, which fetches
# ahead, takes the first lines of the neighbour's from it again and again.
cdef Py_ssize_t APART = 1024


cdef inline Py_ssize_t _scratch(Pass* p, Py_ssize_t row, int shard) noexcept nogil:
    """Where a thread's scratch begins, 4H numbers or those of 4 blocks of units for each of its rows from `row` on; or
    for all, with units shared."""
    return 4 * max(p.H, <Py_ssize_t>TEXTGRU_PACKED_COLUMNS) * (row + (p.B * shard if p.by_units else 0)) + APART * shard


cdef inline Py_ssize_t _converted(Pass* p, Py_ssize_t row, Py_ssize_t units, int shard) noexcept nogil:
    """Where two times so many units for each of a thread's rows begin; with units shared, all threads have the same."""
    return 0 if p.by_units else 2 * units * row + APART * shard


cdef void _forward_blas(Pass* p, Rows r, int shard, floating* typed) noexcept nogil:
    """Some rows through all steps, products by the BLAS. `typed` is NULL, and says which type all arrays are of."""
    cdef Py_ssize_t t, b, row, at
    cdef Py_ssize_t H = p.H
    cdef const floating* x = <const floating*>p.x
    cdef const floating* w_hh = <const floating*>p.w_hh
    cdef const floating* b_hh = <const floating*>p.b_hh
    cdef floating* g = <floating*>p.scratch + _scratch(p, r.first, shard)
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


cdef void _backward_blas(Pass* p, Rows r, int shard, floating* typed) noexcept nogil:
    """Some rows through all steps, backward, products by the BLAS."""
    cdef Py_ssize_t t, b
    cdef Py_ssize_t H = p.H
    cdef const floating* w_hh = <const floating*>p.w_hh
    cdef const floating* dy
    cdef const floating* h_prev
    cdef floating* gate
    cdef floating* dh = <floating*>p.dh + r.first * H
    cdef floating* d = <floating*>p.scratch + _scratch(p, r.first, shard)
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


cdef void _fetch(textgru_ahead* ahead, const float* start, Py_ssize_t count, textgru_ahead* then) noexcept nogil:
    """`ahead` becomes so many numbers from `start` on, and then what `then` says."""
    ahead.start, ahead.row, ahead.rows, ahead.columns = <const char*>start, 64, count // 16 + 1, 1
    ahead.done, ahead.next = 0, then


cdef inline Py_ssize_t _panel(Py_ssize_t unit, Py_ssize_t gate) noexcept nogil:
    """The first column, in W_hh.T as it is packed for the forward pass, of a gate's units from this one on, the first
    of a block: the blocks of the three gates stand together."""
    return 3 * unit + gate * TEXTGRU_PACKED_COLUMNS


cdef void _gate_product(
    Pass* p, Py_ssize_t rows, Py_ssize_t gate, const float* left, Py_ssize_t left_row, float* g, textgru_ahead* ahead,
) noexcept nogil:
    """g (rows, H) of (rows, 3H) = left W_hh.T of one gate."""
    cdef Py_ssize_t unit, block
    for block in range(whole_blocks(p.H) // TEXTGRU_PACKED_COLUMNS):
        unit = block * TEXTGRU_PACKED_COLUMNS
        p.products.multiply(
            rows, min(p.H - unit, <Py_ssize_t>TEXTGRU_PACKED_COLUMNS), p.H, left, left_row,
            p.packed + _panel(unit, gate) * units_of(p.products, p.H), NULL, 0, g + unit, 3 * p.H, p.streams, ahead)


cdef void _forward_own(Pass* p, Rows r, int shard, Py_ssize_t unit, Py_ssize_t end) noexcept nogil:
    """Units unit..end-1 of some rows through all steps, products by our own kernels."""
    cdef Py_ssize_t t, b, row, gate, at, block, first, count
    cdef Py_ssize_t H = p.H
    cdef Py_ssize_t units = units_of(p.products, H)
    cdef bint converts = p.products.unit_k > 1
    cdef const float* x = <const float*>p.x
    cdef const float* b_hh = <const float*>p.b_hh
    cdef const float* left
    cdef Py_ssize_t left_row = units if converts else H
    cdef float* h_prev = <float*>p.h + r.before * H
    cdef float* h
    cdef float* gates
    cdef float* g = <float*>p.scratch + _scratch(p, r.first, shard)
    cdef float* converted = p.converted + _converted(p, r.first, units, shard)
    cdef textgru_ahead x_ahead, gates_ahead
    cdef textgru_ahead* ahead
    if converts:
        p.products.convert(r.rows, end - unit, h_prev + unit, H, converted + unit // p.products.unit_k, units)
        if p.by_units:
            team_wait(p.threads)
    for t in range(p.T):
        at = r.at + t * r.step
        h_prev = <float*>p.h + (r.before + t * r.step) * H
        h = h_prev + r.step * H
        gates = <float*>p.gates + (at if p.keeps else r.first) * 4 * H
        left = converted + t % 2 * r.rows * units if converts else h_prev
        ahead = NULL
        if t + 1 < p.T and not p.by_units:  # meanwhile the next step's numbers come nearer
            if p.index == NULL:
                _fetch(&x_ahead, x + (at + r.step) * 3 * H, r.rows * 3 * H, NULL)
                ahead = &x_ahead
            if p.keeps:
                _fetch(&gates_ahead, gates + r.step * 4 * H, r.rows * 4 * H, ahead)
                ahead = &gates_ahead
        if p.reset_after:
            for block in range(whole_blocks(end - unit) // TEXTGRU_PACKED_COLUMNS):
                first = unit + block * TEXTGRU_PACKED_COLUMNS
                count = min(end - first, <Py_ssize_t>TEXTGRU_PACKED_COLUMNS)
                for gate in range(3):
                    p.products.multiply(
                        r.rows, count, H, left, left_row, p.packed + _panel(first, gate) * units, NULL, 0,
                        g + gate * TEXTGRU_PACKED_COLUMNS, 3 * TEXTGRU_PACKED_COLUMNS, p.streams, ahead)
                for b in range(r.rows):
                    row = p.index[at + b] if p.index != NULL else at + b
                    kernels.f32.gru_forward(
                        count, H, x + row * 3 * H + first, g + b * 3 * TEXTGRU_PACKED_COLUMNS, TEXTGRU_PACKED_COLUMNS,
                        b_hh + first, h_prev + b * H + first, gates + b * 4 * H + first, h + b * H + first)
        else:
            for gate in range(2):
                _gate_product(p, r.rows, gate, left, left_row, g + gate * H, ahead)
            for b in range(r.rows):
                row = p.index[at + b] if p.index != NULL else at + b
                kernels.f32.gru_before_reset(
                    H, H, x + row * 3 * H, g + b * 3 * H, b_hh, h_prev + b * H, gates + b * 4 * H)
            left = gates + 3 * H
            if converts:
                p.products.convert(r.rows, H, gates + 3 * H, 4 * H, converted + t % 2 * r.rows * units, units)
                left = converted + t % 2 * r.rows * units
            _gate_product(p, r.rows, 2, left, left_row if converts else 4 * H, g + 2 * H, ahead)
            for b in range(r.rows):
                row = p.index[at + b] if p.index != NULL else at + b
                kernels.f32.gru_before_output(
                    H, H, x + row * 3 * H, g + b * 3 * H + 2 * H, b_hh, h_prev + b * H, gates + b * 4 * H, h + b * H)
        if converts:
            p.products.convert(
                r.rows, end - unit, h + unit, H, converted + (t + 1) % 2 * r.rows * units + unit // p.products.unit_k,
                units)
        if p.by_units:
            team_wait(p.threads)


cdef inline void _add_row(
    Pass* p, int half, Py_ssize_t row, Py_ssize_t begin, Py_ssize_t end, floating* typed,
) noexcept nogil:
    """Columns begin..end-1 of a row of gradients are added to the sums of its half."""
    cdef Py_ssize_t H = p.H
    cdef const floating* gradient = <const floating*>p.gates + row * 4 * H
    cdef floating* sums = <floating*>p.sums[half]
    cdef floating* table
    cdef Py_ssize_t first = max(begin, p.sums_from)
    if first < end:
        if floating is float:
            kernels.f32.add(end - first, gradient + first, sums + first)
        else:
            kernels.f64.add(end - first, gradient + first, sums + first)
    if p.tables[half] != NULL and begin < 3 * H:
        table = <floating*>p.tables[half] + p.index[row] * 3 * H
        if floating is float:
            kernels.f32.add(min(end, 3 * H) - begin, gradient + begin, table + begin)
        else:
            kernels.f64.add(min(end, 3 * H) - begin, gradient + begin, table + begin)


cdef void _add_all(Pass* p, int shard, int shards, floating* typed) noexcept nogil:
    """A thread's part of the sums, in the order in which threads add up as they go; threads share the columns."""
    cdef Py_ssize_t columns = 4 * p.H
    cdef Py_ssize_t t, b, begin, end
    cdef Rows r
    cdef int half
    for half in range(2):
        r = _rows_of(p.T, p.B, p.first_half, half, 0, p.B)
        begin, end = share_of_half(columns, half, shard, shards), share_of_half(columns, half, shard + 1, shards)
        if r.rows <= 0 or begin >= end:
            continue
        for t in range(p.T - 1, -1, -1):
            for b in range(r.rows):
                _add_row(p, half, r.at + t * r.step + b, begin, end, typed)


cdef void _backward_own(Pass* p, Rows r, int half, int shard, Py_ssize_t unit, Py_ssize_t end) noexcept nogil:
    """The same backward."""
    cdef float* typed = NULL
    cdef Py_ssize_t t, b, gate, k
    cdef Py_ssize_t H = p.H
    cdef Py_ssize_t units = units_of(p.products, 3 * H)
    cdef Py_ssize_t weights_n = whole_blocks(H) * units_of(p.products, H)
    cdef bint converts = p.products.unit_k > 1
    cdef Py_ssize_t left_row = units if converts else 4 * H
    cdef const float* dy
    cdef const float* h_prev
    cdef const float* left
    cdef float* gates
    cdef float* converted
    cdef float* dh = <float*>p.dh + r.first * H
    cdef float* d = <float*>p.scratch + _scratch(p, r.first, shard)
    cdef float* drh = d + r.rows * H
    cdef textgru_ahead dy_ahead, h_ahead, gates_ahead
    cdef textgru_ahead* ahead
    for b in range(r.rows):
        memcpy(d + b * H + unit, dh + b * H + unit, (end - unit) * sizeof(float))
    for t in range(p.T - 1, -1, -1):
        dy = <const float*>p.dy + (r.at + t * r.step) * H
        h_prev = <const float*>p.h + (r.before + t * r.step) * H
        gates = <float*>p.gates + (r.at + t * r.step) * 4 * H
        converted = p.converted + _converted(p, r.first, units, shard) + t % 2 * r.rows * units
        ahead = NULL
        if t > 0 and not p.by_units:  # while products run, the numbers of the step before come nearer
            _fetch(&dy_ahead, dy - r.step * H, r.rows * H, NULL)
            _fetch(&h_ahead, h_prev - r.step * H, r.rows * H, &dy_ahead)
            _fetch(&gates_ahead, gates - r.step * 4 * H, r.rows * 4 * H, &h_ahead)
            ahead = &gates_ahead
        if p.reset_after:
            for b in range(r.rows):
                kernels.f32.gru_backward(
                    end - unit, H, dy + b * H + unit, h_prev + b * H + unit, gates + b * 4 * H + unit, d + b * H + unit)
                if p.adds:
                    _add_row(p, half, r.at + t * r.step + b, 0, 4 * H, typed)
            k = 3 * H
        else:
            for b in range(r.rows):
                kernels.f32.gru_before_backward(H, H, dy + b * H, h_prev + b * H, gates + b * 4 * H, d + b * H)
            # d(r * h_prev) = dn @ W_hh[2H:]
            left = gates
            if converts:
                p.products.convert(r.rows, H, gates, 4 * H, converted, units)
                left = converted
            p.products.multiply(r.rows, H, H, left, left_row, p.packed, NULL, 0, drh, H, p.streams, ahead)
            for b in range(r.rows):
                kernels.f32.gru_before_backward_reset(H, H, drh + b * H, h_prev + b * H, gates + b * 4 * H, d + b * H)
                if p.adds:
                    _add_row(p, half, r.at + t * r.step + b, 0, 4 * H, typed)
            k = 2 * H
        # dh += [dr, dz, dn * r] @ W_hh, or [dr, dz] @ W_hh[:2H]
        left = gates + H
        if converts and end - unit == H:
            p.products.convert(r.rows, k, gates + H, 4 * H, converted, units)
        elif converts:
            for gate in range(3):
                p.products.convert(
                    r.rows, end - unit, gates + (gate + 1) * H + unit, 4 * H,
                    converted + (gate * H + unit) // p.products.unit_k, units)
        if converts:
            left = converted
        if p.by_units:
            team_wait(p.threads)
        p.products.multiply(
            r.rows, end - unit, k, left, left_row,
            p.packed + (0 if p.reset_after else weights_n) + unit * units_of(p.products, k), d + unit, H, d + unit, H,
            p.streams, ahead)
    for b in range(r.rows):
        memcpy(dh + b * H + unit, d + b * H + unit, (end - unit) * sizeof(float))
    if p.by_units:  # the other half of the batch is converted into the same room
        team_wait(p.threads)


cdef void _run(Pass* p, bint forward, int shard, int shards, floating* typed) noexcept nogil:
    """A thread's part of a pass: some rows of the batch, or some units of all rows."""
    cdef Py_ssize_t blocks = p.H // TEXTGRU_PACKED_COLUMNS
    cdef Py_ssize_t begin, end, unit, unit_end
    cdef Rows r
    cdef int half
    begin, end, unit, unit_end = 0, p.B, 0, p.H
    if p.by_units:
        unit = blocks * shard // shards * TEXTGRU_PACKED_COLUMNS
        unit_end = blocks * (shard + 1) // shards * TEXTGRU_PACKED_COLUMNS
    else:
        begin, end = p.B * shard // shards, p.B * (shard + 1) // shards
    for half in range(2):
        r = _rows_of(p.T, p.B, p.first_half, half, begin, end)
        if r.rows <= 0:
            continue
        if p.products != NULL and forward:
            _forward_own(p, r, shard, unit, unit_end)
        elif p.products != NULL:
            _backward_own(p, r, half, shard, unit, unit_end)
        elif forward:
            _forward_blas(p, r, shard, typed)
        else:
            _backward_blas(p, r, shard, typed)


cdef void _pack_forward(Pass* p, int shard, int shards) noexcept nogil:
    """A thread's share of packing W_hh.T: see _panel."""
    cdef const float* w_hh = <const float*>p.w_hh
    cdef Py_ssize_t blocks = whole_blocks(p.H) // TEXTGRU_PACKED_COLUMNS
    cdef Py_ssize_t block, gate, unit
    for block in range(blocks * shard // shards, blocks * (shard + 1) // shards):
        unit = block * TEXTGRU_PACKED_COLUMNS
        for gate in range(3):
            p.products.pack(
                p.H, min(p.H - unit, <Py_ssize_t>TEXTGRU_PACKED_COLUMNS), w_hh + (gate * p.H + unit) * p.H, 1, p.H,
                p.packed + _panel(unit, gate) * units_of(p.products, p.H))


cdef void _pack_backward(Pass* p, int shard, int shards) noexcept nogil:
    """The same of W_hh; or with the reset before the product of W_hh[2H:], then W_hh[:2H]."""
    cdef const float* w_hh = <const float*>p.w_hh
    cdef Py_ssize_t H = p.H
    if p.reset_after:
        pack_share(p.products, 3 * H, H, w_hh, H, 1, p.packed, shard, shards)
    else:
        pack_share(p.products, H, H, w_hh + 2 * H * H, H, 1, p.packed, shard, shards)
        pack_share(
            p.products, 2 * H, H, w_hh, H, 1, p.packed + whole_blocks(H) * units_of(p.products, H), shard, shards)


cdef void _zero_sums(Pass* p, int shard, int shards, floating* typed) noexcept nogil:
    """A thread's share of both halves' sums; that of two threads is where each adds up."""
    cdef int half
    for half in range(2):
        _zero_share(4 * p.H, half, <floating*>p.sums[half], shard, shards)
        _zero_share(p.table_size, half, <floating*>p.tables[half], shard, shards)


cdef inline void _zero_share(Py_ssize_t n, int half, floating* x, int shard, int shards) noexcept nogil:
    cdef Py_ssize_t begin = share_of_half(n, half, shard, shards)
    cdef Py_ssize_t end = share_of_half(n, half, shard + 1, shards)
    if begin < end:
        memset(x + begin, 0, (end - begin) * sizeof(floating))


cdef void _add_halves(Pass* p, int shard, int shards, floating* typed) noexcept nogil:
    """A thread's share of adding the second half's sums to the first's."""
    _add_share(4 * p.H, <const floating*>p.sums[1], <floating*>p.sums[0], shard, shards)
    _add_share(p.table_size, <const floating*>p.tables[1], <floating*>p.tables[0], shard, shards)


cdef inline void _add_share(
    Py_ssize_t n, const floating* x, floating* y, int shard, int shards,
) noexcept nogil:
    cdef Py_ssize_t begin = n * shard // shards
    cdef Py_ssize_t end = n * (shard + 1) // shards
    if begin < end:
        if floating is float:
            kernels.f32.add(end - begin, x + begin, y + begin)
        else:
            kernels.f64.add(end - begin, x + begin, y + begin)


cdef void _whole_pass(Pass* p, bint forward, int shard, int shards, floating* typed) noexcept nogil:
    """A thread's part of a pass and of what is done before and after it."""
    if p.products != NULL and forward:
        _pack_forward(p, shard, shards)
    elif p.products != NULL:
        _pack_backward(p, shard, shards)
    if not forward:
        _zero_sums(p, shard, shards, typed)
    team_barrier()
    _run(p, forward, shard, shards, typed)
    if not forward:
        team_barrier()
        if not p.adds:
            _add_all(p, shard, shards, typed)
            team_barrier()
        _add_halves(p, shard, shards, typed)


cdef bint _by_units(Pass* p, int threads) noexcept nogil:
    """Whether threads share the units: where there are few rows, and blocks of units for all threads."""
    return (
        1 < threads <= min(TEAM_MOST, p.H // TEXTGRU_PACKED_COLUMNS) and p.H % TEXTGRU_PACKED_COLUMNS == 0
        and p.H >= FEWEST_UNITS_SHARED and p.B <= MOST_ROWS_BY_UNITS * threads and p.reset_after)


cdef _shared(Pass* p, bint forward, bint bf16, work, room, floating* typed):
    """The pass, shared among threads."""
    cdef int threads = threads_for(3.0 * p.T * p.B * p.H * p.H)
    cdef Py_ssize_t weights
    cdef team together
    cdef float[::1] packed, converted
    cdef floating[::1] scratch
    p.products, p.by_units = NULL, False
    if floating is float:
        if bf16 or p.T >= SHORTEST_PACKED:
            p.products = own_products(bf16)
    if p.products != NULL:
        weights = 3 * whole_blocks(p.H) * units_of(p.products, p.H)
        packed = room.get("recurrent", weights)
        p.streams = weights * sizeof(float) > TEXTGRU_NEAR_BYTES
        converted = room.get(
            "converted", 2 * p.B * units_of(p.products, p.H if forward else 3 * p.H) + APART * threads)
        p.packed, p.converted = &packed[0], &converted[0]
        p.by_units = _by_units(p, threads)
        p.threads = &together
        team_begin(&together)
    if not p.by_units:
        threads = <int>min(<Py_ssize_t>threads, p.B)
    scratch = work.get("scratch", _scratch(p, p.B, threads))
    p.scratch = &scratch[0]
    p.adds = p.products != NULL and not p.by_units and threads <= (1 if p.first_half == p.B else 2)
    with nogil:
        if threads == 1:
            _whole_pass(p, forward, 0, 1, typed)
        else:
            with parallel(num_threads=threads):
                _whole_pass(p, forward, team_rank(), team_size(), typed)


def _forward(
    bint reset_after, order, const floating[:, ::1] x, index, const floating[:, ::1] w_hh, const floating[::1] b_hh,
    floating[:, ::1] h, floating[:, ::1] gates, bint bf16, work, room,
):
    """The states and gates of all steps from the states before; gates of one step only mean that none are kept."""
    cdef const Py_ssize_t[::1] index_view
    cdef Pass p
    p.reset_after, p.T, p.B, p.H, p.first_half = reset_after, order.steps, order.batch, h.shape[1], order.first
    p.x, p.w_hh, p.b_hh, p.h = &x[0, 0], &w_hh[0, 0], &b_hh[0], &h[0, 0]
    p.gates, p.keeps = &gates[0, 0], gates.shape[0] == p.T * p.B
    p.index = NULL
    if index is not None:
        index_view = index
        p.index = &index_view[0]
    _shared[floating](&p, True, bf16, work, room, NULL)


def _backward(
    bint reset_after, order, const floating[:, ::1] dy, const floating[:, ::1] w_hh, const floating[:, ::1] h,
    floating[:, ::1] gates, floating[:, ::1] dh, floating[::1] sums, Py_ssize_t sums_from, index, table, bint bf16,
    work, room,
):
    """The gates become gradients, dh (in dh_n) dh_0, sums[sums_from:] and table (V, 3H), or None, their sums."""
    cdef const Py_ssize_t[::1] index_view
    cdef floating[:, ::1] table_view
    cdef floating[::1] second
    cdef Pass p
    p.reset_after, p.T, p.B, p.H, p.first_half = reset_after, order.steps, order.batch, h.shape[1], order.first
    p.dy, p.w_hh, p.h, p.keeps = &dy[0, 0], &w_hh[0, 0], <void*>&h[0, 0], True
    p.gates, p.dh = &gates[0, 0], &dh[0, 0]
    p.tables[0], p.table_size = NULL, 0
    if table is not None:
        index_view, table_view = index, table
        p.index, p.tables[0], p.table_size = &index_view[0], &table_view[0, 0], table_view.size
    second = work.get("second", APART + 4 * p.H + p.table_size)
    p.sums[0], p.sums[1], p.sums_from = &sums[0], &second[APART], sums_from
    p.tables[1] = &second[0] + APART + 4 * p.H if p.table_size else NULL
    _shared[floating](&p, False, bf16, work, room, NULL)


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

    def _forward_layer(self, products, work, order, projected, index, w_hh, b_hh, h, saved):
        _forward(
            self.reset_after, order, projected, index, w_hh, b_hh, h, saved, products.precision == "bf16", work,
            products.room)

    def _backward_layer(self, products, work, order, dy, w_hh, h, saved, dh, dw_hh, db_ih, db_hh, index, dtable):
        H = self.hidden_size
        sums, small = work.get("sums", 4 * H), dtable is not None and SMALL_TABLE * len(dtable) <= order.rows
        _backward(
            self.reset_after, order, dy, w_hh, h, saved, dh, sums, 3 * H if dtable is not None else 0, index,
            dtable if small else None, products.precision == "bf16", work, products.room)
        if dtable is not None and not small:
            dtable[...] = 0
            scatter_add(index, saved[:, : 3 * H], dtable)
        if dtable is not None:  # the same sum, of fewer rows
            column_sums(dtable, sums[: 3 * H])
        if db_ih is not None:
            db_ih[: 2 * H], db_ih[2 * H :] = sums[H : 3 * H], sums[:H]
            db_hh[...] = db_ih
            if self.reset_after:
                db_hh[2 * H :] = sums[3 * H :]
        before = order.before(h)
        if self.reset_after:
            # [dr, dz, dn * r].T @ h_prev
            products.multiply_sum([(saved[rows, H:].T, h_prev) for rows, h_prev in before], dw_hh)
        else:
            # [dr, dz].T @ h_prev
            products.multiply_sum([(saved[rows, H : 3 * H].T, h_prev) for rows, h_prev in before], dw_hh[: 2 * H])
            products.multiply(saved[:, :H].T, saved[:, 3 * H :], dw_hh[2 * H :])  # dn.T @ (r * h_prev)

    def _input_gradients(self, products, saved, x, w_ih, dw_ih, dx):
        H = self.hidden_size
        rolled = self._workspace.get("rolled", 3 * H, x.shape[1])
        # In the order n, r, z of the gate gradients: [dn, dr, dz].T @ x
        products.multiply(saved[:, : 3 * H].T, x, rolled)
        dw_ih[2 * H :], dw_ih[: 2 * H] = rolled[:H], rolled[H:]
        if dx is not None:
            rolled[:H], rolled[H:] = w_ih[2 * H :], w_ih[: 2 * H]
            products.multiply(saved[:, : 3 * H], rolled, dx)
