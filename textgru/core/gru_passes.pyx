"""The gated recurrent unit (Cho et al. 2014, arXiv:1406.1078) over a sequence: forward and backward.

T steps, B rows of a batch, H hidden units, N = T * B rows in the order of textgru.core.row_order.RowOrder: one half of
the batch, then the other, or a small batch as a whole. The rows of the batch are shared among threads; each thread
takes its rows through the whole sequence without waiting for another. Few rows are not shared, but the units: then the
threads wait for one another at each step.
"""

import numpy as np

from cython cimport floating
from cython.parallel cimport parallel
from libc.string cimport memset

from textgru.core.gru_blas cimport backward_by_blas, forward_by_blas
from textgru.core.gru_packed cimport backward_packed, forward_packed, pack_backward, pack_forward
from textgru.core.gru_pass cimport APART, Pass, Rows, add_row, rows_of, scratch_of
from textgru.core.products cimport (
    TEXTGRU_NEAR_BYTES, TEXTGRU_PACKED_COLUMNS, Products, units_of, whole_blocks
)
from textgru.core.shares cimport share_of_half
from textgru.core.simd cimport kernels
from textgru.core.team cimport TEAM_MOST, team, team_barrier, team_begin, team_rank, team_size
from textgru.core.threads cimport threads_for

from textgru.core.checks import check_array, check_floats, check_index, check_integer, check_output
from textgru.core.row_order import RowOrder
from textgru.core.workspace import Workspace

# Threads share the units where there are no more rows than so many a thread, and enough units to be worth the waiting.
cdef Py_ssize_t MOST_ROWS_BY_UNITS = 4
cdef Py_ssize_t FEWEST_UNITS_SHARED = 256


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
        r = rows_of(p.T, p.B, p.first_half, half, begin, end)
        if r.rows <= 0:
            continue
        if p.products != NULL and forward:
            forward_packed(p, r, shard, unit, unit_end)
        elif p.products != NULL:
            backward_packed(p, r, half, shard, unit, unit_end)
        elif forward:
            forward_by_blas(p, r, shard, typed)
        else:
            backward_by_blas(p, r, shard, typed)


cdef void _add_all(Pass* p, int shard, int shards, floating* typed) noexcept nogil:
    """A thread's part of the sums, in the order in which threads add up as they go; threads share the columns."""
    cdef Py_ssize_t columns = 4 * p.H
    cdef Py_ssize_t t, b, begin, end
    cdef Rows r
    cdef int half
    for half in range(2):
        r = rows_of(p.T, p.B, p.first_half, half, 0, p.B)
        begin, end = share_of_half(columns, half, shard, shards), share_of_half(columns, half, shard + 1, shards)
        if r.rows <= 0 or begin >= end:
            continue
        for t in range(p.T - 1, -1, -1):
            for b in range(r.rows):
                add_row(p, half, r.at + t * r.step + b, begin, end, typed)


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
        pack_forward(p, shard, shards)
    elif p.products != NULL:
        pack_backward(p, shard, shards)
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


cdef _shared(Pass* p, bint forward, Products products, work, floating* typed):
    """The pass, shared among threads."""
    cdef int threads = threads_for(3.0 * p.T * p.B * p.H * p.H)
    cdef Py_ssize_t weights
    cdef team together
    cdef float[::1] packed, converted
    cdef floating[::1] scratch
    room = products.room
    p.products, p.by_units = NULL, False
    if floating is float:
        p.products = products.own_for(p.T * p.B)
        if p.products == NULL and products.own() != NULL:
            threads = 1  # few rows get the same bits for any number of threads, as many do by our own products
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
    scratch = work.get("scratch", scratch_of(p, p.B, threads))
    p.scratch = &scratch[0]
    p.adds = p.products != NULL and not p.by_units and threads <= (1 if p.first_half == p.B else 2)
    with nogil:
        if threads == 1:
            _whole_pass(p, forward, 0, 1, typed)
        else:
            with parallel(num_threads=threads):
                _whole_pass(p, forward, team_rank(), team_size(), typed)


def forward(
    bint reset_after, order, x, index, w_hh, b_hh, h, gates, Products products not None, work,
):
    """The states and gates of all steps from the states before; gates of one step only mean that none are kept.

    Raises TypeError, ValueError or IndexError where an array doesn't fit.
    """
    dtype, hidden = _weights(order, w_hh, work)
    keeps = isinstance(gates, np.ndarray) and gates.shape[:1] == (order.rows,)
    check_array("x", x, dtype, (order.rows if index is None else "V", 3 * hidden))
    check_array("b_hh", b_hh, dtype, (3 * hidden,))
    check_output("h", h, dtype, (order.rows + order.batch, hidden))
    check_output("gates", gates, dtype, (order.rows if keeps else order.batch, 4 * hidden))
    if index is not None:
        check_index("index", index, (order.rows,), x.shape[0])
    _forward(reset_after, order, x, index, w_hh, b_hh, h, gates, keeps, products, work)


def _forward(
    bint reset_after, order, const floating[:, ::1] x, index, const floating[:, ::1] w_hh, const floating[::1] b_hh,
    floating[:, ::1] h, floating[:, ::1] gates, bint keeps, Products products, work,
):
    cdef const Py_ssize_t[::1] index_view
    cdef Pass p
    p.reset_after, p.T, p.B, p.H, p.first_half = reset_after, order.steps, order.batch, h.shape[1], order.first
    p.x, p.w_hh, p.b_hh, p.h = &x[0, 0], &w_hh[0, 0], &b_hh[0], &h[0, 0]
    p.gates, p.keeps = &gates[0, 0], keeps
    p.index = NULL
    if index is not None:
        index_view = index
        p.index = &index_view[0]
    _shared[floating](&p, True, products, work, NULL)


def backward(
    bint reset_after, order, dy, w_hh, h, gates, dh, sums, sums_from, index, table, Products products not None, work,
):
    """The gates become gradients, dh (in dh_n) dh_0, sums[sums_from:] and table (V, 3H), or None, their sums.

    Raises TypeError, ValueError or IndexError where an array doesn't fit.
    """
    dtype, hidden = _weights(order, w_hh, work)
    check_array("dy", dy, dtype, (order.rows, hidden))
    check_array("h", h, dtype, (order.rows + order.batch, hidden))
    check_output("gates", gates, dtype, (order.rows, 4 * hidden))
    check_output("dh", dh, dtype, (order.batch, hidden))
    check_output("sums", sums, dtype, (4 * hidden,))
    sums_from = check_integer("sums_from", sums_from, 0, 4 * hidden)
    if table is not None:
        check_output("table", table, dtype, ("V", 3 * hidden))
        check_index("index", index, (order.rows,), table.shape[0])
    _backward(reset_after, order, dy, w_hh, h, gates, dh, sums, sums_from, index, table, products, work)


def _weights(order, w_hh, work):
    """The dtype and H of recurrent weights (3H, H); raises TypeError or ValueError unless they, the order and the
    workspace are such."""
    if not isinstance(order, RowOrder):
        raise TypeError(f"order: expected a RowOrder, got {type(order).__name__}")
    if not isinstance(work, Workspace):
        raise TypeError(f"work: expected a Workspace, got {type(work).__name__}")
    dtype = check_floats("w_hh", w_hh, ("3H", "H"))
    check_array("w_hh", w_hh, dtype, (3 * w_hh.shape[1], w_hh.shape[1]))
    return dtype, w_hh.shape[1]


def _backward(
    bint reset_after, order, const floating[:, ::1] dy, const floating[:, ::1] w_hh, const floating[:, ::1] h,
    floating[:, ::1] gates, floating[:, ::1] dh, floating[::1] sums, Py_ssize_t sums_from, index, table,
    Products products, work,
):
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
    _shared[floating](&p, False, products, work, NULL)
