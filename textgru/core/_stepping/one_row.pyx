"""Threads share the hidden units of each layer and the vocabulary of the output, and wait for one another after each.
The product W_hh h for the next token doesn't need to know it, so it is made as soon as h is known: from the same
integers as the product of the layer above, and while other threads finish the output. Every other token goes through
the weights backwards, which finds the last ones still in the cache.
"""

from cython cimport floating
from libc.string cimport memcpy

from textgru.core._products.products cimport TEXTGRU_PACKED_COLUMNS
from textgru.core._stepping.call cimport Call, take
from textgru.core._stepping.drawing cimport Drawing, draw_step
from textgru.core._stepping.panels cimport Left, left_bytes, left_of, multiply
from textgru.core._stepping.weights cimport FP64, Matrix, Weights
from textgru.core._support.team cimport team_arrive, team_await, team_rank, team_size, team_wait
from textgru.core._support.typed_kernels cimport MOST_STATES, cell_forward

# What a thread works with.
cdef struct Thread:
    Call* call
    const Weights* w
    Py_ssize_t width                # G * 64 * blocks
    Py_ssize_t block, last_block    # its hidden units
    Py_ssize_t output, last_output  # its blocks of the vocabulary
    bint backward                   # whether this token goes through the weights backwards
    Py_ssize_t parity               # which of the two buffers the states after this token go to
    void* recurrent                 # (L, blocks, G, 64): W_hh h of its units for this token
    void* projected                 # (blocks, G, 64): W_ih x + b_ih
    void* kept                      # (K, 64)
    void* p                         # (V,): probabilities
    char* left
    float step


cdef char* _lay_out(Thread* thread, const Weights* w, char* room) noexcept nogil:
    """The thread's scratch, from `room` on; its end."""
    thread.width = w.G * TEXTGRU_PACKED_COLUMNS * w.blocks
    thread.recurrent = take(&room, w.L * thread.width * w.item)
    thread.projected = take(&room, thread.width * w.item)
    thread.kept = take(&room, w.K * TEXTGRU_PACKED_COLUMNS * w.item)
    thread.p = take(&room, w.V * w.item)
    thread.left = <char*>take(&room, left_bytes(w, 1, max(w.E, w.H)))
    return room


cdef Py_ssize_t one_row_bytes(const Weights* w) noexcept nogil:
    cdef Thread thread
    return _lay_out(&thread, w, NULL) - <char*>NULL


cdef void _begin(Thread* thread, Call* call) noexcept nogil:
    """The calling thread."""
    cdef const Weights* w = call.w
    cdef Py_ssize_t rank = team_rank()
    cdef Py_ssize_t size = team_size()
    thread.call, thread.w, thread.backward, thread.parity = call, w, False, 0
    thread.block, thread.last_block = w.blocks * rank // size, w.blocks * (rank + 1) // size
    thread.output, thread.last_output = w.output_blocks * rank // size, w.output_blocks * (rank + 1) // size
    _lay_out(thread, w, call.scratch + rank * call.scratch_bytes)


cdef void _panels(
    const Thread* thread, const Matrix* matrix, Py_ssize_t first, Py_ssize_t last, Left left, floating* y,
) noexcept nogil:
    """y = b + W x for these panels, in this token's direction."""
    cdef Py_ssize_t panel
    if thread.backward:
        for panel in range(last - 1, first - 1, -1):
            multiply(thread.w, matrix, panel, 1, left, 1, y + panel * TEXTGRU_PACKED_COLUMNS, 0)
    else:
        multiply(thread.w, matrix, first, last - first, left, 1, y + first * TEXTGRU_PACKED_COLUMNS, 0)


cdef void _gates(const Thread* thread, const Matrix* matrix, Left left, floating* y) noexcept nogil:
    """The same of the thread's units: y (blocks, G, 64)."""
    _panels(thread, matrix, thread.w.G * thread.block, thread.w.G * thread.last_block, left, y)


cdef void _recurrent_of_state(Thread* thread, const floating* h) noexcept nogil:
    """W_hh h of the state that a call begins with."""
    cdef const Weights* w = thread.w
    cdef Py_ssize_t layer
    for layer in range(w.L):
        _gates(
            thread, &w.layers[layer].hh, left_of(w, 1, w.H, h + layer * w.H, w.H, thread.left, &thread.step),
            <floating*>thread.recurrent + layer * thread.width)


cdef void _cell(Thread* thread, Py_ssize_t layer, const floating* x, floating* g) noexcept nogil:
    """The thread's units of a layer: states from x and g (blocks, G, 64)."""
    cdef const Weights* w = thread.w
    cdef floating* before[MOST_STATES]
    cdef floating* after[MOST_STATES]
    cdef Py_ssize_t block, s, unit, at
    for block in range(thread.block, thread.last_block):
        unit = block * TEXTGRU_PACKED_COLUMNS
        at = w.G * unit
        for s in range(w.S):
            before[s] = <floating*>thread.call.states[s] + layer * w.H + unit
            after[s] = <floating*>thread.call.after[thread.parity][s] + layer * w.H + unit
        cell_forward(
            w.cell, min(w.H - unit, <Py_ssize_t>TEXTGRU_PACKED_COLUMNS), TEXTGRU_PACKED_COLUMNS, x + at, g + at,
            TEXTGRU_PACKED_COLUMNS, <const floating*>w.layers[layer].b_hh + at, before, <floating*>thread.kept, after)


cdef void _step(Thread* thread, Py_ssize_t token, bint more, floating* logits) noexcept nogil:
    """The calling thread's part of a step. Where `more` follow, W_hh h is made ready for the next one."""
    cdef Call* call = thread.call
    cdef const Weights* w = thread.w
    cdef Py_ssize_t first = thread.block * TEXTGRU_PACKED_COLUMNS
    cdef Py_ssize_t units = min(thread.last_block * TEXTGRU_PACKED_COLUMNS, w.H) - first
    cdef Py_ssize_t layer, s
    cdef floating* projected = <floating*>thread.projected
    cdef floating* g = NULL
    cdef const floating* x
    cdef const floating* h
    cdef Left left
    if w.table != NULL:
        x = <const floating*>w.table + token * thread.width
    else:
        x = <const floating*>w.embedding + token * w.E
        _gates(thread, &w.layers[0].ih, left_of(w, 1, w.E, x, w.E, thread.left, &thread.step), projected)
        x = projected
    for layer in range(w.L):
        g = <floating*>thread.recurrent + layer * thread.width
        _cell(thread, layer, x, g)
        team_wait(call.together)
        for s in range(w.S):
            if units > 0:
                memcpy(
                    <floating*>call.states[s] + layer * w.H + first,
                    <floating*>call.after[thread.parity][s] + layer * w.H + first, units * sizeof(floating))
        h = <const floating*>call.after[thread.parity][0] + layer * w.H
        left = left_of(w, 1, w.H, h, w.H, thread.left, &thread.step)
        if layer + 1 < w.L:
            _gates(thread, &w.layers[layer + 1].ih, left, projected)
            x = projected
            if more:
                _gates(thread, &w.layers[layer].hh, left, g)
    _panels(thread, &w.output, thread.output, thread.last_output, left, logits)
    team_arrive(call.together)
    if more:
        _gates(thread, &w.layers[w.L - 1].hh, left, g)
    team_await(call.together)
    thread.parity, thread.backward = 1 - thread.parity, not thread.backward


cdef void step_one_row(Call* call, Py_ssize_t token) noexcept nogil:
    cdef Thread thread
    _begin(&thread, call)
    if call.w.kind == FP64:
        _recurrent_of_state(&thread, <double*>call.states[0])
        _step(&thread, token, False, <double*>call.logits)
    else:
        _recurrent_of_state(&thread, <float*>call.states[0])
        _step(&thread, token, False, <float*>call.logits)


cdef void generate_one_row(
    Call* call, Py_ssize_t token, Py_ssize_t n, const double* u, const Drawing* how, Py_ssize_t* out, bint* failed,
) noexcept nogil:
    if call.w.kind == FP64:
        _generate(call, token, n, u, how, out, failed, <double*>call.logits)
    else:
        _generate(call, token, n, u, how, out, failed, <float*>call.logits)


cdef void _generate(
    Call* call, Py_ssize_t token, Py_ssize_t n, const double* u, const Drawing* how, Py_ssize_t* out, bint* failed,
    floating* logits,
) noexcept nogil:
    """Every thread draws for itself, the same token; or one for all: with controls, which remember what was drawn, or
    losses. Where there is nothing to draw they go on together to the end."""
    cdef Thread thread
    cdef Py_ssize_t i
    cdef int rank = team_rank()
    cdef bint by_one = how.controls != NULL or how.losses != NULL
    _begin(&thread, call)
    _recurrent_of_state(&thread, <floating*>call.states[0])
    for i in range(n):
        _step(&thread, token, i + 1 < n, logits)
        if not by_one or rank == 0:
            token = draw_step(how, i, 1, 0, rank, call.w.V, logits, u[i], <floating*>thread.p)
        if rank == 0:
            out[i] = token
            if token < 0:
                failed[0] = True
        if by_one:
            team_wait(call.together)
            token = out[i]
        token = max(token, <Py_ssize_t>0)
