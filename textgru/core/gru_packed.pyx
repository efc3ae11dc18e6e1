"""The GRU over a sequence with products by our own kernels, in float32 or of bfloat16, their weights packed once."""

from libc.string cimport memcpy

from textgru.core.gru_pass cimport Pass, Rows, add_row, converted_of, scratch_of
from textgru.core.products cimport TEXTGRU_PACKED_COLUMNS, pack_share, units_of, whole_blocks
from textgru.core.simd cimport kernels, textgru_ahead
from textgru.core.team cimport team_wait


cdef inline Py_ssize_t _panel(Py_ssize_t unit, Py_ssize_t gate) noexcept nogil:
    """The first column, in W_hh.T as it is packed for the forward pass, of a gate's units from this one on, the first
    of a block: the blocks of the three gates stand together."""
    return 3 * unit + gate * TEXTGRU_PACKED_COLUMNS


cdef void pack_forward(Pass* p, int shard, int shards) noexcept nogil:
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


cdef void pack_backward(Pass* p, int shard, int shards) noexcept nogil:
    """The same of W_hh; or with the reset before the product of W_hh[2H:], then W_hh[:2H]."""
    cdef const float* w_hh = <const float*>p.w_hh
    cdef Py_ssize_t H = p.H
    if p.reset_after:
        pack_share(p.products, 3 * H, H, w_hh, H, 1, p.packed, shard, shards)
    else:
        pack_share(p.products, H, H, w_hh + 2 * H * H, H, 1, p.packed, shard, shards)
        pack_share(
            p.products, 2 * H, H, w_hh, H, 1, p.packed + whole_blocks(H) * units_of(p.products, H), shard, shards)


cdef void _fetch(textgru_ahead* ahead, const float* start, Py_ssize_t count, textgru_ahead* then) noexcept nogil:
    """`ahead` becomes so many numbers from `start` on, and then what `then` says."""
    ahead.start, ahead.row, ahead.rows, ahead.columns = <const char*>start, 64, count // 16 + 1, 1
    ahead.done, ahead.next = 0, then


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


cdef void forward_packed(Pass* p, Rows r, int shard, Py_ssize_t unit, Py_ssize_t end) noexcept nogil:
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
    cdef float* g = <float*>p.scratch + scratch_of(p, r.first, shard)
    cdef float* converted = p.converted + converted_of(p, r.first, units, shard)
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


cdef void backward_packed(Pass* p, Rows r, int half, int shard, Py_ssize_t unit, Py_ssize_t end) noexcept nogil:
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
    cdef float* d = <float*>p.scratch + scratch_of(p, r.first, shard)
    cdef float* drh = d + r.rows * H
    cdef textgru_ahead dy_ahead, h_ahead, gates_ahead
    cdef textgru_ahead* ahead
    for b in range(r.rows):
        memcpy(d + b * H + unit, dh + b * H + unit, (end - unit) * sizeof(float))
    for t in range(p.T - 1, -1, -1):
        dy = <const float*>p.dy + (r.at + t * r.step) * H
        h_prev = <const float*>p.h + (r.before + t * r.step) * H
        gates = <float*>p.gates + (r.at + t * r.step) * 4 * H
        converted = p.converted + converted_of(p, r.first, units, shard) + t % 2 * r.rows * units
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
                    add_row(p, half, r.at + t * r.step + b, 0, 4 * H, typed)
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
                    add_row(p, half, r.at + t * r.step + b, 0, 4 * H, typed)
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
