"""What the passes of a layer over a sequence share: textgru.core._sequence.driver."""

from cython cimport floating

from textgru.core._products.products cimport TEXTGRU_PACKED_COLUMNS
from textgru.core._support.simd cimport textgru_products
from textgru.core._support.team cimport team
from textgru.core._support.typed_kernels cimport MOST_STATES, add

# What a thread writes at each step stands this many elements apart from what another does: else the CPU, which fetches
# ahead, takes the first lines of the neighbour's from it again and again.
cdef enum:
    APART = 1024

# The blocks of H numbers that a row needs of a thread's scratch: the product of each gate, or the gradient of each
# array of the state.
cdef enum:
    MOST_GATES = 4


cdef struct Rows:
    # Rows of the batch, neighbours in one half of it.
    int half
    Py_ssize_t rows
    Py_ssize_t first          # where they are in arrays (B, -)
    Py_ssize_t at             # where they are at step 0 in arrays (N, -)
    Py_ssize_t before         # where they are before step 0 in the states
    Py_ssize_t step           # from one step to the next in both


cdef inline Rows rows_of(
    Py_ssize_t T, Py_ssize_t B, Py_ssize_t first_half, int half, Py_ssize_t begin, Py_ssize_t end,
) noexcept nogil:
    """Those rows begin..end-1 of the batch that are in this half; maybe none."""
    cdef Rows r
    r.half = half
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
    # What a pass over a sequence reads and writes. The cell has G gates, K blocks kept, S arrays of state.
    int cell                  # its kernels' place in the tables
    Py_ssize_t G, K, S
    Py_ssize_t recurrent_from
    bint reset_before         # a GRU whose reset comes before the product: by BLAS only
    Py_ssize_t T, B, H
    Py_ssize_t first_half     # rows of the batch in its first half
    const Py_ssize_t* offsets  # (T + 1,): where each step's rows begin, of rows that end one after another; or NULL
    # Forward, all IN unless it says otherwise:
    const void* x             # (N, G H), or with index (V, G H): W_ih x + b_ih
    const Py_ssize_t* index   # (N,): which row of x; or NULL
    const void* w_hh          # (G H, H)
    const void* b_hh          # (G H,)
    void* states[MOST_STATES]     # IN/OUT (N + B, H): those before step 0, those after each step
    bint keeps                # whether the blocks of all steps are kept
    void* kept                # OUT (N, K H), or (B, K H): the last step's
    # Backward: w_hh and states as above; kept IN/OUT (N, K H): from the forward pass, then gradients
    const void* dy            # (N, H)
    void* d_states[MOST_STATES]   # IN/OUT (B, H): the gradients of the last states; of the first ones
    void* sums[2]             # OUT (K H,): the sum of the gradients, those from sums_from on; one for each half
    Py_ssize_t sums_from
    void* tables[2]           # OUT (V, G H): the sums of the gradients of x by index; or NULL
    Py_ssize_t table_size     # their elements; or 0
    bint adds                 # whether the threads add up as they go: where each has a whole half
    # Where the products are our own, float32:
    const textgru_products* products
    team* threads
    bint by_units             # whether threads share the units, not the rows
    float* packed             # room for the recurrent weights: see pack_forward, pack_backward
    bint streams              # whether they stay in no near cache
    float* converted          # see converted_of: where products convert their left side, one step's and the next one's


cdef inline Py_ssize_t rows_at(Pass* p, Rows r, Py_ssize_t t) noexcept nogil:
    """How many of these rows have a step t: the first ones."""
    if p.offsets == NULL:
        return r.rows
    return max(0, min(r.rows, p.offsets[t + 1] - p.offsets[t] - r.first))


cdef inline Py_ssize_t at_step(Pass* p, Rows r, Py_ssize_t t) noexcept nogil:
    """Where the rows of step t are in arrays (N, -)."""
    return r.at + t * r.step if p.offsets == NULL else p.offsets[t] + r.first


cdef inline Py_ssize_t before_step(Pass* p, Rows r, Py_ssize_t t) noexcept nogil:
    """Where they are before step t in the states; after it, for t + 1."""
    if p.offsets == NULL:
        return r.before + t * r.step
    return r.first + (p.B + p.offsets[t - 1] if t else 0)


cdef inline Py_ssize_t scratch_of(Pass* p, Py_ssize_t row, int shard) noexcept nogil:
    """Where a thread's scratch begins, MOST_GATES blocks of H numbers, or of those of a block of units, for each of its
    rows from `row` on; or for all, with units shared."""
    return MOST_GATES * max(p.H, <Py_ssize_t>TEXTGRU_PACKED_COLUMNS) * (row + (p.B * shard if p.by_units else 0)) + (
        APART * shard)


cdef inline Py_ssize_t converted_of(Pass* p, Py_ssize_t row, Py_ssize_t units, int shard) noexcept nogil:
    """Where two times this many units for each of a thread's rows begin; with units shared, all threads have the
    same."""
    return 0 if p.by_units else 2 * units * row + APART * shard


cdef inline void states_at(Pass* p, Py_ssize_t row, floating** states) noexcept nogil:
    """Where row number `row` of each state is."""
    cdef Py_ssize_t s
    for s in range(p.S):
        states[s] = <floating*>p.states[s] + row * p.H


cdef inline void move(floating** states, Py_ssize_t count, Py_ssize_t elements) noexcept nogil:
    cdef Py_ssize_t s
    for s in range(count):
        states[s] += elements


cdef inline void add_row(
    Pass* p, int half, Py_ssize_t row, Py_ssize_t begin, Py_ssize_t end, floating* sums,
) noexcept nogil:
    """Columns begin..end-1 of a row of gradients are added to the sums of its half."""
    cdef Py_ssize_t width = p.G * p.H
    cdef const floating* gradient = <const floating*>p.kept + row * p.K * p.H
    cdef Py_ssize_t first = max(begin, p.sums_from)
    if first < end:
        add(end - first, gradient + first, sums + first)
    if p.tables[half] != NULL and begin < width:
        add(min(end, width) - begin, gradient + begin, <floating*>p.tables[half] + p.index[row] * width + begin)
