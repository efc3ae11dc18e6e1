"""What the threads of one call of a session share, and how a thread's scratch is laid out."""

from textgru.core._stepping.weights cimport Weights
from textgru.core._support.team cimport team
from textgru.core._support.typed_kernels cimport MOST_STATES

cdef struct Call:
    const Weights* w
    team* together
    bint by_units                # whether threads share the units and wait for one another, or each has its own rows
    Py_ssize_t rows              # B
    Py_ssize_t steps             # the most that are read at a time: C
    void* states[MOST_STATES]    # (L, B, H)
    void* after[2][MOST_STATES]  # (C or L, B, H): states after each step; the next layer's go to the other one
    void* projected              # (C B, blocks, G, 64)
    void* logits                 # (B, output_blocks, 64)
    void* scored                 # (threads, scored_rows, output_blocks, 64): scores for losses
    Py_ssize_t scored_rows
    Py_ssize_t* tokens           # (B,): those to read next
    char* scratch                # (threads, scratch_bytes)
    Py_ssize_t scratch_bytes


cdef inline void* take(char** room, Py_ssize_t bytes) noexcept nogil:
    """The next part of some room, in whole cache lines."""
    cdef void* part = room[0]
    room[0] += (bytes + 63) // 64 * 64
    return part
