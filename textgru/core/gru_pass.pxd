"""What the passes of the GRU over a sequence share: textgru.core.gru_passes."""

from cython cimport floating

from textgru.core.products cimport TEXTGRU_PACKED_COLUMNS
from textgru.core.simd cimport kernels, textgru_products
from textgru.core.team cimport team

# What a thread writes at each step stands so many elements apart from what another does: else the CPU, which fetches
# ahead, takes the first lines of the neighbour's from it again and again.
cdef enum:
    APART = 1024


cdef struct Rows:
    # Rows of the batch, neighbours in one half of it.
    Py_ssize_t rows
    Py_ssize_t first          # where they are in arrays (B, -)
    Py_ssize_t at             # where they are at step 0 in arrays (N, -)
    Py_ssize_t before         # where they are before step 0 in h
    Py_ssize_t step           # from one step to the next in both


cdef inline Rows rows_of(
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
    void* scratch             # see scratch_of
    # Where the products are our own, float32:
    const textgru_products* products
    team* threads
    bint by_units             # whether threads share the units, not the rows
    float* packed             # room for the recurrent weights: see pack_forward, pack_backward
    bint streams              # whether they stay in no near cache
    float* converted          # see converted_of: where products convert their left side, one step's and the next one's


cdef inline Py_ssize_t scratch_of(Pass* p, Py_ssize_t row, int shard) noexcept nogil:
    """Where a thread's scratch begins, 4H numbers or those of 4 blocks of units for each of its rows from `row` on; or
    for all, with units shared."""
    return 4 * max(p.H, <Py_ssize_t>TEXTGRU_PACKED_COLUMNS) * (row + (p.B * shard if p.by_units else 0)) + APART * shard


cdef inline Py_ssize_t converted_of(Pass* p, Py_ssize_t row, Py_ssize_t units, int shard) noexcept nogil:
    """Where two times so many units for each of a thread's rows begin; with units shared, all threads have the same."""
    return 0 if p.by_units else 2 * units * row + APART * shard


cdef inline void add_row(
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
