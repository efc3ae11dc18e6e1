"""A recurrent layer over a sequence, forward and backward, for all cells.

T steps, B rows of a batch, H hidden units, N = T * B rows in the order of textgru.core._sequence.row_order.RowOrder:
one half of the batch, then the other, or a small batch as a whole. The rows of the batch are shared among threads; each
thread takes its rows through the whole sequence without waiting for another. Few rows are not shared, but the units:
then the threads wait for one another at each step.
"""

from cython cimport floating
from cython.parallel cimport parallel
from libc.string cimport memset

from textgru.core._products.products cimport (
    TEXTGRU_NEAR_BYTES, TEXTGRU_PACKED_COLUMNS, Products, units_of, whole_blocks
)
from textgru.core._sequence.by_blas cimport backward_by_blas, forward_by_blas
from textgru.core._sequence.layer_pass cimport APART, Pass, Rows, add_row, at_step, rows_at, rows_of, scratch_of
from textgru.core._sequence.packed cimport backward_packed, forward_packed, pack_backward, pack_forward
from textgru.core._sequence.reset_before cimport backward_reset_before, forward_reset_before
from textgru.core._support.cell cimport Cell
from textgru.core._support.halves cimport share_of_half
from textgru.core._support.team cimport TEAM_MOST, team, team_barrier, team_begin, team_rank, team_size
from textgru.core._support.threads cimport fixed_threads_for, threads_for
from textgru.core._support.typed_kernels cimport add

# Threads share the units where each has no more rows than this, and there are units enough to be worth the waiting.
cdef Py_ssize_t MOST_ROWS_BY_UNITS = 4
cdef Py_ssize_t FEWEST_UNITS_SHARED = 256

# With the reset before the product, the BLAS gets this many rows at a time: its bits depend on how many they are, and
# so don't depend on the number of threads.
cdef Py_ssize_t ROWS_AT_A_TIME = 16


def forward(layer, Products products not None, work) -> None:
    """The states after all steps, from those before; `layer`: a LayerForward."""
    _forward(layer, layer.x, layer.w_hh, layer.b_hh, layer.kept, products, work)


def backward(layer, Products products not None, work) -> None:
    """The gradients; `layer`: a LayerBackward."""
    _backward(layer, layer.dy, layer.w_hh, layer.kept, layer.sums, products, work)


cdef void _describe(Pass* p, layer):
    """What both passes need to know."""
    cdef const Py_ssize_t[::1] offsets
    cdef Cell cell = layer.cell
    order = layer.order
    p.cell, p.G, p.K, p.S, p.recurrent_from = (
        cell.kernel, cell.gate_count, cell.kept, cell.state_count, cell.recurrent_from)
    p.reset_before = layer.reset_before
    p.T, p.B, p.first_half = order.steps, order.batch, order.first
    p.offsets = NULL
    if order.offsets is not None:
        offsets = order.offsets
        p.offsets = &offsets[0]


def _forward(
    layer, const floating[:, ::1] x, const floating[:, ::1] w_hh, const floating[::1] b_hh, floating[:, ::1] kept,
    Products products, work,
):
    cdef const Py_ssize_t[::1] index
    cdef floating[:, ::1] state
    cdef Py_ssize_t s
    cdef Pass p
    _describe(&p, layer)
    p.H, p.x, p.w_hh, p.b_hh, p.kept = w_hh.shape[1], &x[0, 0], &w_hh[0, 0], &b_hh[0], &kept[0, 0]
    p.keeps = kept.shape[0] == layer.order.rows
    for s in range(p.S):
        state = layer.states[s]
        p.states[s] = &state[0, 0]
    p.index = NULL
    if layer.index is not None:
        index = layer.index
        p.index = &index[0]
    _shared(&p, True, products, work, <floating*>p.states[0])


def _backward(
    layer, const floating[:, ::1] dy, const floating[:, ::1] w_hh, floating[:, ::1] kept, floating[::1] sums,
    Products products, work,
):
    cdef const Py_ssize_t[::1] index
    cdef floating[:, ::1] array
    cdef floating[::1] second
    cdef Py_ssize_t s
    cdef Pass p
    _describe(&p, layer)
    p.H, p.dy, p.w_hh, p.kept, p.keeps = w_hh.shape[1], &dy[0, 0], &w_hh[0, 0], &kept[0, 0], True
    for s in range(p.S):
        array = layer.states[s]
        p.states[s] = &array[0, 0]
        array = layer.d_states[s]
        p.d_states[s] = &array[0, 0]
    p.index, p.tables[0], p.table_size = NULL, NULL, 0
    if layer.table is not None:
        index, array = layer.index, layer.table
        p.index, p.tables[0], p.table_size = &index[0], &array[0, 0], array.size
    second = work.get("second", APART + p.K * p.H + p.table_size)
    p.sums[0], p.sums[1], p.sums_from = &sums[0], &second[APART], layer.sums_from
    p.tables[1] = &second[0] + APART + p.K * p.H if p.table_size else NULL
    _shared(&p, False, products, work, &sums[0])


cdef _shared(Pass* p, bint forward, Products products, work, floating* typed):
    """The pass, shared among threads. `typed`: one of its arrays."""
    cdef double operations = <double>p.G * _all_rows(p) * p.H * p.H
    cdef int threads = fixed_threads_for(operations)
    cdef Py_ssize_t weights
    cdef team together
    cdef float[::1] packed, converted
    cdef floating[::1] scratch
    room = products.room
    p.products, p.by_units = NULL, False
    if floating is float:
        if not p.reset_before:
            p.products = products.own_for(_all_rows(p))
            if p.products == NULL and products.own() != NULL:
                threads = 1  # few rows get the same bits for any number of threads, as many do by our own products
    if p.products != NULL:
        threads = threads_for(operations)
        weights = p.G * whole_blocks(p.H) * units_of(p.products, p.H)
        packed = room.get("recurrent", weights)
        p.streams = weights * sizeof(float) > TEXTGRU_NEAR_BYTES
        converted = room.get(
            "converted", 2 * p.B * units_of(p.products, p.H if forward else p.G * p.H) + APART * threads)
        p.packed, p.converted = &packed[0], &converted[0]
        p.by_units = _by_units(p, threads)
        p.threads = &together
        team_begin(&together)
    if not p.by_units:
        threads = <int>min(<Py_ssize_t>threads, p.B)
    scratch = work.get("scratch", scratch_of(p, p.B, threads))
    p.adds = p.products != NULL and not p.by_units and threads <= (1 if p.first_half == p.B else 2)
    with nogil:
        if threads == 1:
            _whole_pass(p, forward, 0, 1, &scratch[0])
        else:
            with parallel(num_threads=threads):
                _whole_pass(p, forward, team_rank(), team_size(), &scratch[0])


cdef inline Py_ssize_t _all_rows(Pass* p) noexcept nogil:
    """N."""
    return p.T * p.B if p.offsets == NULL else p.offsets[p.T]


cdef Py_ssize_t _row_of_share(Pass* p, int shard, int shards) noexcept nogil:
    """The first row of the batch of a thread's share. Rows of several lengths are shared by their steps: the longest
    come first."""
    cdef Py_ssize_t wanted, t, b, steps
    if p.offsets == NULL or shard == shards:
        return p.B * shard // shards
    wanted, steps, t = p.offsets[p.T] * shard // shards, 0, p.T
    for b in range(p.B):
        if steps >= wanted:
            return b
        while t > 0 and p.offsets[t] - p.offsets[t - 1] <= b:
            t -= 1
        steps += t
    return p.B


cdef bint _by_units(Pass* p, int threads) noexcept nogil:
    """Whether threads share the units: where there are few rows, and blocks of units for all threads."""
    return (
        p.offsets == NULL and 1 < threads <= min(TEAM_MOST, p.H // TEXTGRU_PACKED_COLUMNS)
        and p.H % TEXTGRU_PACKED_COLUMNS == 0
        and p.H >= FEWEST_UNITS_SHARED and p.B <= MOST_ROWS_BY_UNITS * threads)


cdef void _whole_pass(Pass* p, bint forward, int shard, int shards, floating* scratch) noexcept nogil:
    """A thread's part of a pass and of what is done before and after it."""
    if p.products != NULL and forward:
        pack_forward(p, shard, shards)
    elif p.products != NULL:
        pack_backward(p, shard, shards)
    if not forward:
        _zero_sums(p, shard, shards, <floating*>p.sums[0])
    team_barrier()
    _run(p, forward, shard, shards, scratch)
    if not forward:
        team_barrier()
        if not p.adds:
            _add_all(p, shard, shards, <floating*>p.sums[0])
            team_barrier()
        _add_halves(p, shard, shards, <floating*>p.sums[0])


cdef void _run(Pass* p, bint forward, int shard, int shards, floating* scratch) noexcept nogil:
    """A thread's part of a pass: some rows of the batch, or some units of all rows."""
    cdef Py_ssize_t blocks = p.H // TEXTGRU_PACKED_COLUMNS
    cdef Py_ssize_t groups = (p.B + ROWS_AT_A_TIME - 1) // ROWS_AT_A_TIME
    cdef Py_ssize_t group
    if p.by_units:
        _run_rows(
            p, forward, shard, 0, p.B, blocks * shard // shards * TEXTGRU_PACKED_COLUMNS,
            blocks * (shard + 1) // shards * TEXTGRU_PACKED_COLUMNS, scratch)
    elif p.reset_before:
        for group in range(groups * shard // shards, groups * (shard + 1) // shards):
            _run_rows(
                p, forward, shard, group * ROWS_AT_A_TIME, min((group + 1) * ROWS_AT_A_TIME, p.B), 0, p.H, scratch)
    else:
        _run_rows(
            p, forward, shard, _row_of_share(p, shard, shards), _row_of_share(p, shard + 1, shards), 0, p.H,
            scratch)


cdef void _run_rows(
    Pass* p, bint forward, int shard, Py_ssize_t begin, Py_ssize_t end, Py_ssize_t unit, Py_ssize_t unit_end,
    floating* scratch,
) noexcept nogil:
    """Units unit..unit_end-1 of rows begin..end-1 of the batch."""
    cdef floating* mine
    cdef Rows r
    cdef int half
    for half in range(2):
        r = rows_of(p.T, p.B, p.first_half, half, begin, end)
        if r.rows <= 0:
            continue
        mine = scratch + scratch_of(p, r.first, shard)
        if p.products != NULL and forward:
            forward_packed(p, r, shard, unit, unit_end, <float*>mine)
        elif p.products != NULL:
            backward_packed(p, r, shard, unit, unit_end, <float*>mine)
        elif p.reset_before and forward:
            forward_reset_before(p, r, mine)
        elif p.reset_before:
            backward_reset_before(p, r, mine)
        elif forward:
            forward_by_blas(p, r, mine)
        else:
            backward_by_blas(p, r, mine)


cdef void _add_all(Pass* p, int shard, int shards, floating* first_sums) noexcept nogil:
    """A thread's part of the sums, in the order in which threads add up as they go; threads share the columns."""
    cdef Py_ssize_t columns = p.K * p.H
    cdef Py_ssize_t t, b, begin, end
    cdef floating* sums
    cdef Rows r
    cdef int half
    for half in range(2):
        r = rows_of(p.T, p.B, p.first_half, half, 0, p.B)
        begin, end = share_of_half(columns, half, shard, shards), share_of_half(columns, half, shard + 1, shards)
        if r.rows <= 0 or begin >= end:
            continue
        sums = <floating*>p.sums[1] if half else first_sums
        for t in range(p.T - 1, -1, -1):
            for b in range(rows_at(p, r, t)):
                add_row(p, half, at_step(p, r, t) + b, begin, end, sums)


cdef void _zero_sums(Pass* p, int shard, int shards, floating* first_sums) noexcept nogil:
    """A thread's share of both halves' sums; that of two threads is where each adds up."""
    cdef int half
    for half in range(2):
        _zero_share(p.K * p.H, half, <floating*>p.sums[1] if half else first_sums, shard, shards)
        _zero_share(p.table_size, half, <floating*>p.tables[half], shard, shards)


cdef inline void _zero_share(Py_ssize_t n, int half, floating* x, int shard, int shards) noexcept nogil:
    cdef Py_ssize_t begin = share_of_half(n, half, shard, shards)
    cdef Py_ssize_t end = share_of_half(n, half, shard + 1, shards)
    if begin < end:
        memset(x + begin, 0, (end - begin) * sizeof(floating))


cdef void _add_halves(Pass* p, int shard, int shards, floating* first_sums) noexcept nogil:
    """A thread's share of adding the second half's sums to the first's."""
    _add_share(p.K * p.H, <const floating*>p.sums[1], first_sums, shard, shards)
    _add_share(p.table_size, <const floating*>p.tables[1], <floating*>p.tables[0], shard, shards)


cdef inline void _add_share(
    Py_ssize_t n, const floating* x, floating* y, int shard, int shards,
) noexcept nogil:
    cdef Py_ssize_t begin = n * shard // shards
    cdef Py_ssize_t end = n * (shard + 1) // shards
    if begin < end:
        add(end - begin, x + begin, y + begin)
