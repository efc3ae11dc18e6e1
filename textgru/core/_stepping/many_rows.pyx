"""Where there are rows enough, threads share them and none waits for another: each takes its rows through all tokens.
Else they share the hidden units of each layer and the vocabulary, and wait for one another after each step of a layer.

A layer at a time, for the steps of a chunk together: first the input products, matrices of all rows and steps, then
step by step, for each block of 64 units: the recurrent products of all gates, and the cell. So what a block of a step
needs stays in the nearest cache, and the weights are read once for all rows.
"""

from cython cimport floating
from libc.string cimport memcpy

from textgru.core._products.products cimport TEXTGRU_PACKED_COLUMNS
from textgru.core._stepping.call cimport Call, take
from textgru.core._stepping.drawing cimport Drawing, draw_step
from textgru.core._stepping.panels cimport Left, left_bytes, left_of, multiply
from textgru.core._stepping.weights cimport FP64, LayerWeights, Weights
from textgru.core._support.team cimport team_rank, team_size, team_wait
from textgru.core._support.typed_kernels cimport MOST_STATES, cell_forward, cross_entropy

# What a thread works with.
cdef struct Thread:
    Call* call
    const Weights* w
    Py_ssize_t first, rows          # its rows
    Py_ssize_t width                # G * 64 * blocks
    Py_ssize_t block, last_block    # its hidden units
    Py_ssize_t output, last_output  # its blocks of the vocabulary
    Py_ssize_t share, shares        # which of those that have the same rows it is, and how many they are
    void* gates                     # (rows, G, 64)
    void* kept                      # (K, 64)
    void* inputs                    # (C rows, E)
    void* p                         # (V,): probabilities
    char* left                      # (C rows): rows made ready for a product
    float* step


cdef char* _lay_out(
    Thread* thread, const Weights* w, Py_ssize_t rows, Py_ssize_t steps, char* room,
) noexcept nogil:
    """The thread's scratch, from `room` on; its end."""
    thread.width = w.G * TEXTGRU_PACKED_COLUMNS * w.blocks
    thread.gates = take(&room, rows * w.G * TEXTGRU_PACKED_COLUMNS * w.item)
    thread.kept = take(&room, w.K * TEXTGRU_PACKED_COLUMNS * w.item)
    thread.inputs = take(&room, steps * rows * w.E * w.item if w.table == NULL else 0)
    thread.p = take(&room, w.V * w.item)
    thread.left = <char*>take(&room, left_bytes(w, steps * rows, max(w.E, w.H)))
    thread.step = <float*>take(&room, steps * rows * sizeof(float))
    return room


cdef Py_ssize_t many_rows_bytes(const Weights* w, Py_ssize_t rows, Py_ssize_t steps) noexcept nogil:
    cdef Thread thread
    return _lay_out(&thread, w, rows, steps, NULL) - <char*>NULL


cdef void _begin(Thread* thread, Call* call) noexcept nogil:
    """The calling thread."""
    cdef const Weights* w = call.w
    cdef Py_ssize_t rank = team_rank()
    cdef Py_ssize_t size = team_size()
    thread.call, thread.w, thread.first, thread.rows, thread.share, thread.shares = call, w, 0, call.rows, rank, size
    if not call.by_units:
        thread.first = call.rows * rank // size
        thread.rows = call.rows * (rank + 1) // size - thread.first
        thread.share, thread.shares = 0, 1
    thread.block, thread.last_block = (
        w.blocks * thread.share // thread.shares, w.blocks * (thread.share + 1) // thread.shares)
    thread.output, thread.last_output = (
        w.output_blocks * thread.share // thread.shares, w.output_blocks * (thread.share + 1) // thread.shares)
    _lay_out(thread, w, call.rows, call.steps, call.scratch + rank * call.scratch_bytes)


cdef inline void _wait(Thread* thread) noexcept nogil:
    """For those that have the same rows."""
    if thread.shares > 1:
        team_wait(thread.call.together)


cdef inline floating* _after(
    Thread* thread, Py_ssize_t layer, Py_ssize_t s, Py_ssize_t t, floating* typed,
) noexcept nogil:
    """State s of its rows (rows, H) after step t of a layer. `typed` is there for its type."""
    cdef Py_ssize_t row = thread.call.steps * thread.first + t * thread.rows
    return <floating*>thread.call.after[layer % 2][s] + row * thread.w.H


cdef inline floating* _state(Thread* thread, Py_ssize_t layer, Py_ssize_t s, floating* typed) noexcept nogil:
    """State s of its rows (rows, H) before the first step."""
    return <floating*>thread.call.states[s] + (layer * thread.call.rows + thread.first) * thread.w.H


cdef void _read(Thread* thread, Py_ssize_t steps, const Py_ssize_t* tokens, floating* typed) noexcept nogil:
    """The states after some steps, at most C, of tokens (steps, B); those of the last layer after each are in `after`.
    `typed` is there for its type."""
    cdef const Weights* w = thread.w
    cdef Py_ssize_t layer, s, b
    cdef Py_ssize_t first = thread.block * TEXTGRU_PACKED_COLUMNS
    cdef Py_ssize_t units = min(thread.last_block * TEXTGRU_PACKED_COLUMNS, w.H) - first
    for layer in range(w.L):
        if layer:
            _project(thread, layer, steps * thread.rows, _after(thread, layer - 1, 0, 0, typed), w.H)
        elif w.table == NULL:
            _take_inputs(thread, steps, tokens, <floating*>thread.inputs)
            _project(thread, 0, steps * thread.rows, <floating*>thread.inputs, w.E)
        _steps_of_layer(thread, layer, steps, tokens, typed)
        for s in range(w.S):
            for b in range(thread.rows if units > 0 else 0):
                memcpy(
                    _state(thread, layer, s, typed) + b * w.H + first,
                    _after(thread, layer, s, steps - 1, typed) + b * w.H + first, units * sizeof(floating))


cdef void _take_inputs(
    Thread* thread, Py_ssize_t steps, const Py_ssize_t* tokens, floating* inputs,
) noexcept nogil:
    cdef Py_ssize_t E = thread.w.E
    cdef Py_ssize_t t, b
    for t in range(steps):
        for b in range(thread.rows):
            memcpy(
                inputs + (t * thread.rows + b) * E,
                <const floating*>thread.w.embedding + tokens[t * thread.call.rows + thread.first + b] * E,
                E * sizeof(floating))


cdef floating* _projected(Thread* thread, floating* typed) noexcept nogil:
    """Room for W_ih x + b_ih of its rows, (C rows, blocks, G, 64). `typed` is there for its type."""
    return <floating*>thread.call.projected + thread.call.steps * thread.first * thread.width


cdef void _project(
    Thread* thread, Py_ssize_t layer, Py_ssize_t rows, const floating* x, Py_ssize_t n,
) noexcept nogil:
    """W_ih x + b_ih of its units, for x (rows, n)."""
    cdef const Weights* w = thread.w
    cdef Py_ssize_t panel = thread.block * w.G
    multiply(
        w, &w.layers[layer].ih, panel, thread.last_block * w.G - panel,
        left_of(w, rows, n, x, n, thread.left, thread.step), rows,
        _projected(thread, <floating*>x) + panel * TEXTGRU_PACKED_COLUMNS, thread.width)


cdef void _steps_of_layer(
    Thread* thread, Py_ssize_t layer, Py_ssize_t steps, const Py_ssize_t* tokens, floating* typed,
) noexcept nogil:
    cdef const Weights* w = thread.w
    cdef const LayerWeights* weights = &w.layers[layer]
    cdef Py_ssize_t t, b, s, block, unit, at, count, row
    cdef bint looked_up = layer == 0 and w.table != NULL
    cdef Py_ssize_t gates_row = w.G * TEXTGRU_PACKED_COLUMNS
    cdef const floating* x = <const floating*>w.table if looked_up else _projected(thread, typed)
    cdef floating* gates = <floating*>thread.gates
    cdef floating* before[MOST_STATES]
    cdef floating* after[MOST_STATES]
    cdef Left left
    for t in range(steps):
        for s in range(w.S):
            before[s] = _after(thread, layer, s, t - 1, typed) if t else _state(thread, layer, s, typed)
            after[s] = _after(thread, layer, s, t, typed)
        left = left_of(w, thread.rows, w.H, before[0], w.H, thread.left, thread.step)
        for s in range(w.S):
            before[s] += thread.block * TEXTGRU_PACKED_COLUMNS
            after[s] += thread.block * TEXTGRU_PACKED_COLUMNS
        for block in range(thread.block, thread.last_block):
            unit = block * TEXTGRU_PACKED_COLUMNS
            at, count = unit * w.G, min(w.H - unit, <Py_ssize_t>TEXTGRU_PACKED_COLUMNS)
            multiply(w, &weights.hh, block * w.G, w.G, left, thread.rows, gates, gates_row)
            for b in range(thread.rows):
                row = tokens[t * thread.call.rows + thread.first + b] if looked_up else t * thread.rows + b
                cell_forward(
                    w.cell, count, TEXTGRU_PACKED_COLUMNS, x + row * thread.width + at, gates + b * gates_row,
                    TEXTGRU_PACKED_COLUMNS, <const floating*>weights.b_hh + at, before, <floating*>thread.kept, after)
                for s in range(w.S):
                    before[s] += w.H
                    after[s] += w.H
            for s in range(w.S):  # to the first row of the next block
                before[s] += TEXTGRU_PACKED_COLUMNS - thread.rows * w.H
                after[s] += TEXTGRU_PACKED_COLUMNS - thread.rows * w.H
        _wait(thread)


cdef void _score(
    Thread* thread, Py_ssize_t rows, const floating* h, floating* logits,
) noexcept nogil:
    """Its part of the scores (rows, V in whole blocks) of states h (rows, H)."""
    cdef const Weights* w = thread.w
    multiply(
        w, &w.output, thread.output, thread.last_output - thread.output,
        left_of(w, rows, w.H, h, w.H, thread.left, thread.step), rows,
        logits + thread.output * TEXTGRU_PACKED_COLUMNS, w.output_blocks * TEXTGRU_PACKED_COLUMNS)


cdef floating* _logits(Thread* thread, floating* typed) noexcept nogil:
    """The scores of its rows. `typed` is there for its type."""
    return <floating*>thread.call.logits + thread.first * thread.w.output_blocks * TEXTGRU_PACKED_COLUMNS


cdef void read_rows(Call* call, Py_ssize_t T, const Py_ssize_t* tokens) noexcept nogil:
    if call.w.kind == FP64:
        _read_all(call, T, tokens, NULL, NULL, <double*>call.logits)
    else:
        _read_all(call, T, tokens, NULL, NULL, <float*>call.logits)


cdef void losses_of_rows(
    Call* call, Py_ssize_t T, const Py_ssize_t* tokens, const Py_ssize_t* targets, double* out,
) noexcept nogil:
    if call.w.kind == FP64:
        _read_all(call, T, tokens, targets, out, <double*>call.logits)
    else:
        _read_all(call, T, tokens, targets, out, <float*>call.logits)


cdef void _read_all(
    Call* call, Py_ssize_t T, const Py_ssize_t* tokens, const Py_ssize_t* targets, double* out, floating* typed,
) noexcept nogil:
    """Reads tokens (T, B) in chunks; losses where there are targets (T, B); the scores after the last."""
    cdef Thread thread
    cdef Py_ssize_t t = 0
    cdef Py_ssize_t steps = 0
    _begin(&thread, call)
    while t < T:
        steps = min(call.steps, T - t)
        _read(&thread, steps, tokens + t * call.rows, typed)
        if targets != NULL:
            _losses(&thread, steps, targets + t * call.rows, out + t * call.rows, typed)
        else:
            _wait(&thread)  # the next chunk reads the states that others have just written
        t += steps
    _score(&thread, thread.rows, _after(&thread, call.w.L - 1, 0, steps - 1, typed), _logits(&thread, typed))


cdef void _losses(
    Thread* thread, Py_ssize_t steps, const Py_ssize_t* targets, double* out, floating* typed,
) noexcept nogil:
    """Of the states after these steps, for targets (steps, B): out (steps, B). Those that have the same rows share
    them."""
    cdef const Weights* w = thread.w
    cdef Call* call = thread.call
    cdef Py_ssize_t row_size = w.output_blocks * TEXTGRU_PACKED_COLUMNS
    cdef const floating* h = _after(thread, w.L - 1, 0, 0, typed)
    cdef floating* scored = <floating*>call.scored
    cdef Py_ssize_t first = 0
    cdef Py_ssize_t i, rows, at
    if thread.shares == 1:
        scored += team_rank() * call.scored_rows * row_size
    while first < steps * thread.rows:
        rows = min(call.scored_rows, steps * thread.rows - first)
        _score(thread, rows, h + first * w.H, scored)
        _wait(thread)
        for i in range(rows * thread.share // thread.shares, rows * (thread.share + 1) // thread.shares):
            at = (first + i) // thread.rows * call.rows + thread.first + (first + i) % thread.rows
            out[at] = cross_entropy(w.V, scored + i * row_size, targets[at], 1, <floating*>NULL)
        _wait(thread)
        first += rows


cdef void generate_rows(
    Call* call, Py_ssize_t n, const double* u, const Drawing* how, Py_ssize_t* out, bint* failed,
) noexcept nogil:
    if call.w.kind == FP64:
        _generate(call, n, u, how, out, failed, <double*>call.logits)
    else:
        _generate(call, n, u, how, out, failed, <float*>call.logits)


cdef void _generate(
    Call* call, Py_ssize_t n, const double* u, const Drawing* how, Py_ssize_t* out, bint* failed, floating* typed,
) noexcept nogil:
    """Those that have the same rows share them for drawing. Where there is nothing to draw they go on to the end."""
    cdef const Weights* w = call.w
    cdef Py_ssize_t row_size = w.output_blocks * TEXTGRU_PACKED_COLUMNS
    cdef Py_ssize_t i, b, token
    cdef Thread thread
    _begin(&thread, call)
    for i in range(n):
        _read(&thread, 1, call.tokens, typed)
        _score(&thread, thread.rows, _after(&thread, w.L - 1, 0, 0, typed), _logits(&thread, typed))
        _wait(&thread)
        for b in range(
            thread.first + thread.rows * thread.share // thread.shares,
            thread.first + thread.rows * (thread.share + 1) // thread.shares,
        ):
            token = draw_step(
                how, i, call.rows, b, team_rank(), w.V, <floating*>call.logits + b * row_size, u[i * call.rows + b],
                <floating*>thread.p)
            out[i * call.rows + b] = token
            if token < 0:
                failed[0] = True
            call.tokens[b] = max(token, <Py_ssize_t>0)
        _wait(&thread)
