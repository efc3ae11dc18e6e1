"""A layer over a sequence with products by our own kernels, in float32 or of bfloat16, their weights packed once."""

from libc.string cimport memcpy

from textgru.core._products.products cimport TEXTGRU_PACKED_COLUMNS, pack_share, units_of, whole_blocks
from textgru.core._sequence.layer_pass cimport (
    Pass, Rows, add_row, at_step, before_step, converted_of, move, rows_at, states_at
)
from textgru.core._support.simd cimport textgru_ahead
from textgru.core._support.team cimport team_wait
from textgru.core._support.typed_kernels cimport MOST_STATES, cell_backward, cell_forward


cdef inline Py_ssize_t _panel(Pass* p, Py_ssize_t unit, Py_ssize_t gate) noexcept nogil:
    """The first column, in W_hh.T as it is packed for the forward pass, of a gate's units from this one on, the first
    of a block: the blocks of all gates stand together."""
    return p.G * unit + gate * TEXTGRU_PACKED_COLUMNS


cdef void pack_forward(Pass* p, int shard, int shards) noexcept nogil:
    """A thread's share of packing W_hh.T: see _panel."""
    cdef const float* w_hh = <const float*>p.w_hh
    cdef Py_ssize_t blocks = whole_blocks(p.H) // TEXTGRU_PACKED_COLUMNS
    cdef Py_ssize_t block, gate, unit
    for block in range(blocks * shard // shards, blocks * (shard + 1) // shards):
        unit = block * TEXTGRU_PACKED_COLUMNS
        for gate in range(p.G):
            p.products.pack(
                p.H, min(p.H - unit, <Py_ssize_t>TEXTGRU_PACKED_COLUMNS), w_hh + (gate * p.H + unit) * p.H, 1, p.H,
                p.packed + _panel(p, unit, gate) * units_of(p.products, p.H))


cdef void pack_backward(Pass* p, int shard, int shards) noexcept nogil:
    """The same of W_hh."""
    pack_share(p.products, p.G * p.H, p.H, <const float*>p.w_hh, p.H, 1, p.packed, shard, shards)


cdef textgru_ahead* _fetch(
    textgru_ahead* ahead, const void* start, Py_ssize_t count, textgru_ahead* then,
) noexcept nogil:
    """`ahead`: to fetch this many numbers from `start` on, and then what `then` says."""
    ahead.start, ahead.row, ahead.rows, ahead.columns = <const char*>start, 64, count // 16 + 1, 1
    ahead.done, ahead.next = 0, then
    return ahead


cdef void forward_packed(Pass* p, Rows r, int shard, Py_ssize_t unit, Py_ssize_t end, float* g) noexcept nogil:
    cdef Py_ssize_t t, b, row, gate, at, block, first, count, rows, following
    cdef Py_ssize_t H = p.H
    cdef Py_ssize_t width = p.G * H
    cdef Py_ssize_t units = units_of(p.products, H)
    cdef bint converts = p.products.unit_k > 1
    cdef const float* x = <const float*>p.x
    cdef const float* b_hh = <const float*>p.b_hh
    cdef const float* left
    cdef Py_ssize_t left_row = units if converts else H
    cdef float* h_prev = <float*>p.states[0] + before_step(p, r, 0) * H
    cdef float* before[MOST_STATES]
    cdef float* after[MOST_STATES]
    cdef float* kept
    cdef float* converted = p.converted + converted_of(p, r.first, units, shard)
    cdef textgru_ahead x_ahead, kept_ahead
    cdef textgru_ahead* ahead
    if converts:
        p.products.convert(rows_at(p, r, 0), end - unit, h_prev + unit, H, converted + unit // p.products.unit_k, units)
        if p.by_units:
            team_wait(p.threads)
    for t in range(p.T):
        rows = rows_at(p, r, t)
        if rows == 0:
            break
        following = rows_at(p, r, t + 1) if t + 1 < p.T else 0
        at = at_step(p, r, t)
        h_prev = <float*>p.states[0] + before_step(p, r, t) * H
        kept = <float*>p.kept + (at if p.keeps else r.first) * p.K * H
        left = converted + t % 2 * r.rows * units if converts else h_prev
        ahead = NULL
        if following and not p.by_units:  # meanwhile the next step's numbers come nearer
            if p.index == NULL:
                ahead = _fetch(&x_ahead, x + at_step(p, r, t + 1) * width, following * width, NULL)
            if p.keeps:
                ahead = _fetch(
                    &kept_ahead, <float*>p.kept + at_step(p, r, t + 1) * p.K * H, following * p.K * H, ahead)
        for block in range(whole_blocks(end - unit) // TEXTGRU_PACKED_COLUMNS):
            first = unit + block * TEXTGRU_PACKED_COLUMNS
            count = min(end - first, <Py_ssize_t>TEXTGRU_PACKED_COLUMNS)
            for gate in range(p.G):
                p.products.multiply(
                    rows, count, H, left, left_row, p.packed + _panel(p, first, gate) * units, NULL, 0,
                    g + gate * TEXTGRU_PACKED_COLUMNS, p.G * TEXTGRU_PACKED_COLUMNS, p.streams, ahead)
            states_at(p, before_step(p, r, t), before)
            states_at(p, before_step(p, r, t + 1), after)
            move(before, p.S, first)
            move(after, p.S, first)
            for b in range(rows):
                row = p.index[at + b] if p.index != NULL else at + b
                cell_forward(
                    p.cell, count, H, x + row * width + first, g + b * p.G * TEXTGRU_PACKED_COLUMNS,
                    TEXTGRU_PACKED_COLUMNS, b_hh + first, before, kept + b * p.K * H + first, after)
                move(before, p.S, H)
                move(after, p.S, H)
        if converts:
            p.products.convert(
                rows, end - unit, <float*>p.states[0] + before_step(p, r, t + 1) * H + unit, H,
                converted + (t + 1) % 2 * r.rows * units + unit // p.products.unit_k, units)
        if p.by_units:
            team_wait(p.threads)


cdef void backward_packed(Pass* p, Rows r, int shard, Py_ssize_t unit, Py_ssize_t end, float* scratch) noexcept nogil:
    cdef Py_ssize_t t, b, s, gate, at, rows, earlier
    cdef Py_ssize_t H = p.H
    cdef Py_ssize_t k = p.G * H
    cdef Py_ssize_t size = r.rows * H
    cdef Py_ssize_t units = units_of(p.products, k)
    cdef bint converts = p.products.unit_k > 1
    cdef Py_ssize_t left_row = units if converts else p.K * H
    cdef const float* dy
    cdef const float* left
    cdef float* kept
    cdef float* converted
    cdef float* before[MOST_STATES]
    cdef float* after[MOST_STATES]
    cdef float* d[MOST_STATES]
    cdef float* sums = <float*>p.sums[r.half]
    cdef textgru_ahead dy_ahead, kept_ahead
    cdef textgru_ahead states_ahead[MOST_STATES]
    cdef textgru_ahead* ahead
    for s in range(p.S):
        for b in range(r.rows):
            memcpy(
                scratch + s * size + b * H + unit, <float*>p.d_states[s] + (r.first + b) * H + unit,
                (end - unit) * sizeof(float))
    for t in range(p.T - 1, -1, -1):
        rows = rows_at(p, r, t)
        if rows == 0:
            continue
        at = at_step(p, r, t)
        dy = <const float*>p.dy + at * H
        kept = <float*>p.kept + at * p.K * H
        converted = p.converted + converted_of(p, r.first, units, shard) + t % 2 * r.rows * units
        states_at(p, before_step(p, r, t), before)
        states_at(p, before_step(p, r, t + 1), after)
        ahead = NULL
        if t > 0 and not p.by_units:  # while products run, the numbers of the step before come nearer
            earlier = rows_at(p, r, t - 1)
            at = at_step(p, r, t - 1)
            ahead = _fetch(&dy_ahead, <const float*>p.dy + at * H, earlier * H, NULL)
            for s in range(p.S):
                ahead = _fetch(
                    &states_ahead[s], <float*>p.states[s] + before_step(p, r, t - 1) * H, earlier * H, ahead)
            ahead = _fetch(&kept_ahead, <float*>p.kept + at * p.K * H, earlier * p.K * H, ahead)
            at = at_step(p, r, t)
        for s in range(p.S):
            d[s] = scratch + s * size + unit
        move(before, p.S, unit)
        move(after, p.S, unit)
        for b in range(rows):
            cell_backward(p.cell, end - unit, H, dy + b * H + unit, before, after, kept + b * p.K * H + unit, d)
            move(before, p.S, H)
            move(after, p.S, H)
            move(d, p.S, H)
            if p.adds:
                add_row(p, r.half, at + b, 0, p.K * H, sums)
        # dh += the gradients of W_hh h_prev @ W_hh
        left = kept + p.recurrent_from * H
        if converts and end - unit == H:
            p.products.convert(rows, k, left, p.K * H, converted, units)
        elif converts:
            for gate in range(p.G):
                p.products.convert(
                    rows, end - unit, left + gate * H + unit, p.K * H,
                    converted + (gate * H + unit) // p.products.unit_k, units)
        if converts:
            left = converted
        if p.by_units:
            team_wait(p.threads)
        p.products.multiply(
            rows, end - unit, k, left, left_row, p.packed + unit * units, scratch + unit, H, scratch + unit, H,
            p.streams, ahead)
    for s in range(p.S):
        for b in range(r.rows):
            memcpy(
                <float*>p.d_states[s] + (r.first + b) * H + unit, scratch + s * size + b * H + unit,
                (end - unit) * sizeof(float))
    if p.by_units:  # the other half of the batch is converted into the same room
        team_wait(p.threads)
