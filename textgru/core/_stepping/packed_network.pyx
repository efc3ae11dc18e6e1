"""The weights of a network, packed once for all sessions."""

import numpy as np

from libc.stdint cimport int32_t, uintptr_t

from textgru.core._products.products cimport TEXTGRU_NEAR_BYTES, TEXTGRU_PACKED_COLUMNS, whole_blocks
from textgru.core._stepping.weights cimport BF16, FP32, FP64, INT8, LayerWeights, Matrix
from textgru.core._support.cell cimport Cell

from textgru.core._products.packing import pack, pack_bf16, pack_int8
from textgru.core._products.products import Products
from textgru.core._support import aligned
from textgru.core._support.checks import check_array
from textgru.core.layers import Linear
from textgru.core.recurrent import Recurrent

PRECISIONS = ("fp32", "bf16", "int8")

# The first layer's input products are made for the whole vocabulary beforehand where that is small.
cdef Py_ssize_t LARGEST_TABLE = 1024


cdef class PackedNetwork:
    """A network (embedding weight (V, E), GRU, LSTM or RNN, Linear of H to V) packed for sessions.

    Nothing of it changes once it is made: any number of sessions in any number of threads share one. The weights are
    those of the time it is made; later changes of the layers don't reach it. `precision`: "fp32" takes them as they
    are (also of a float64 network), "bf16" as bfloat16, "int8" as 8-bit integers. What bf16 or int8 weights multiply is
    rounded alike at each step; biases stay as they are, and so do the first layer's input products where the vocabulary
    is small. `nbytes`: of the weights that a token is multiplied with. `states`: what the arrays of a state are.

    Raises ValueError for another precision, layers that don't fit and a GRU with reset_after=False; TypeError for bf16
    and int8 of a float64 network and for what are no such layers. It can't be copied.
    """

    def __cinit__(self, embedding, recurrent, output, *, precision="fp32"):
        if not isinstance(recurrent, Recurrent):
            raise TypeError(f"recurrent: expected a GRU, LSTM or RNN of textgru.core, got {type(recurrent).__name__}")
        if not isinstance(output, Linear):
            raise TypeError(f"output: expected a textgru.core.Linear, got {type(output).__name__}")
        if recurrent._reset_before:
            raise ValueError("recurrent: expected reset_after=True; a GRU with reset_after=False can't be stepped")
        if not isinstance(precision, str) or precision not in PRECISIONS:
            raise ValueError(f"precision: expected one of {', '.join(PRECISIONS)}, got {precision!r}")
        if recurrent._parts:
            raise ValueError("recurrent: expected a stack without bidirectional, residual and layer_norm")
        dtype = recurrent.dtype
        if precision != "fp32" and dtype != np.float32:
            raise TypeError(f"precision: {precision} needs float32 parameters, these are {dtype}")
        _check_layers(embedding, recurrent, output)
        cdef Cell cell = recurrent.cell
        cdef Py_ssize_t H = recurrent.hidden_size
        cdef Py_ssize_t L = recurrent.num_layers
        self.precision, self.cell, self.dtype, self.states = precision, cell.name, dtype, cell.states
        self.vocab_size, self.hidden_size, self.num_layers = embedding.shape[0], H, L
        self.nbytes, self.kept = 0, []
        w = &self.weights
        w.kind = FP64 if dtype == np.float64 else {"fp32": FP32, "bf16": BF16, "int8": INT8}[precision]
        w.cell, w.G, w.K, w.S = cell.kernel, cell.gate_count, cell.kept, cell.state_count
        w.V, w.E, w.L, w.H = self.vocab_size, recurrent.input_size, L, H
        w.blocks = whole_blocks(H) // TEXTGRU_PACKED_COLUMNS
        w.output_blocks = whole_blocks(w.V) // TEXTGRU_PACKED_COLUMNS
        w.item = dtype.itemsize
        cdef size_t room = sizeof(LayerWeights)
        w.layers = <LayerWeights*>self._keep(aligned.zeros((L, room), np.uint8))
        parameters, none = recurrent.parameters, np.zeros(w.G * H, dtype)
        cdef Py_ssize_t layer
        w.table = w.embedding = NULL
        for layer in range(L):
            b_ih, b_hh = (parameters.get(f"bias_{which}_l{layer}", none) for which in ("ih", "hh"))
            if layer == 0 and w.V <= LARGEST_TABLE:
                w.table = self._keep(_table(embedding, parameters["weight_ih_l0"], b_ih, w.G))
            else:
                self._pack(&w.layers[layer].ih, parameters[f"weight_ih_l{layer}"], w.G, b_ih)
            self._pack(&w.layers[layer].hh, parameters[f"weight_hh_l{layer}"], w.G, none)
            w.layers[layer].b_hh = self._keep(_by_block(b_hh[None], w.G))
        if w.table == NULL:
            w.embedding = self._keep(aligned.copy(embedding))
        self._pack(
            &w.output, output.parameters["weight"], 1, output.parameters.get("bias", np.zeros(w.V, dtype)))

    def __reduce__(self):
        raise TypeError("a PackedNetwork can't be copied or pickled: make another from the same layers")

    cdef void* _keep(self, array):
        self.kept.append(array)
        return <void*><uintptr_t>array.ctypes.data

    cdef _pack(self, Matrix* matrix, weight, gates, bias):
        """The matrix of this weight (rows, n), bias (rows,)."""
        matrix.n = weight.shape[1]
        matrix.bias = self._keep(_by_block(bias[None], gates))
        matrix.scale, matrix.offset = NULL, NULL
        if self.precision == "int8":
            packed, scale, offset = pack_int8(weight, gates)
            matrix.scale, matrix.offset = <float*>self._keep(scale), <int32_t*>self._keep(offset)
        else:
            packed = (pack_bf16 if self.precision == "bf16" else pack)(weight, gates)
        self.nbytes += packed.nbytes
        matrix.packed, matrix.panel = <char*>self._keep(packed), packed.nbytes // len(packed)
        matrix.streams = packed.nbytes > TEXTGRU_NEAR_BYTES


def _check_layers(embedding, recurrent, output):
    """What their own checks can't see: that they fit one another, and arrays that were changed where they stand."""
    H, dtype = recurrent.hidden_size, recurrent.dtype
    check_array("embedding", embedding, dtype, ("vocabulary", recurrent.input_size))
    check_array("output", output.parameters["weight"], dtype, (embedding.shape[0], H))
    if "bias" in output.parameters:
        check_array("output", output.parameters["bias"], dtype, (embedding.shape[0],))
    for name, array in recurrent.parameters.items():
        columns = (recurrent.input_size if name == "weight_ih_l0" else H,) if name.startswith("weight") else ()
        check_array(f"recurrent, {name}", array, dtype, (len(recurrent.cell.gates) * H, *columns))


def _by_block(rows, gates):
    """(n, G H) as (n, blocks, G, 64): see weights.pxd."""
    n, H = len(rows), rows.shape[1] // gates
    columns = TEXTGRU_PACKED_COLUMNS
    blocks = -(-H // columns)
    result = aligned.zeros((n, blocks, gates, columns), rows.dtype)
    by_gate = rows.reshape(n, gates, H)
    whole = H // columns * columns
    result[:, : H // columns] = by_gate[:, :, :whole].reshape(n, gates, -1, columns).transpose(0, 2, 1, 3)
    if whole < H:
        result[:, -1, :, : H - whole] = by_gate[:, :, whole:]
    return result


def _table(embedding, w_ih, b_ih, gates):
    """W_ih e + b_ih of all tokens, (V, blocks, G, 64); the same bits for any number of threads."""
    rows = np.empty((len(embedding), len(w_ih)), embedding.dtype)
    Products(kernels="packed").multiply(embedding, w_ih.T, rows, bias=b_ih)
    return _by_block(rows, gates)
