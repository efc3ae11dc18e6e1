"""A recurrent cell as the machinery sees it: a description, and two kernels for a row (kernels/kernels.h)."""

from textgru.core._support.simd cimport TEXTGRU_CELLS
from textgru.core._support.typed_kernels cimport MOST_STATES

# In the order of kernels.h.
NAMES = ("gru", "lstm", "rnn")
assert len(NAMES) == TEXTGRU_CELLS


cdef class Cell:
    """What a cell is made of.

    `gates`: what its gates are called, in the order of the rows of its weights, H rows each. `states`: the arrays of
    its state, (B, H) each; the first is h, its output. `kept`: how many blocks of H numbers a row and step keeps for
    the backward pass, which writes gradients over them, those before the activations: from block `recurrent_from` on
    they are of W_hh h + b_hh, gate by gate; the first ones are of W_ih x + b_ih, block i that of gate i - input_roll,
    counted around.
    """

    def __init__(self, name, *, gates, states, kept, recurrent_from=0, input_roll=0):
        self.name, self.gates, self.states = name, gates, states
        self.kept, self.recurrent_from, self.input_roll = kept, recurrent_from, input_roll
        self.kernel, self.gate_count, self.state_count = NAMES.index(name), len(gates), len(states)
        if not self.gate_count + recurrent_from <= kept or not 0 < self.state_count <= MOST_STATES:
            raise ValueError(f"{name}: gates, kept blocks and states don't fit")

    def __reduce__(self):
        return _cell, (self.name, self.gates, self.states, self.kept, self.recurrent_from, self.input_roll)


def _cell(name, gates, states, kept, recurrent_from, input_roll):
    return Cell(name, gates=gates, states=states, kept=kept, recurrent_from=recurrent_from, input_roll=input_roll)
