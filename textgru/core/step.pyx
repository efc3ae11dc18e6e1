"""One token at a time through an embedding, a GRU stack and an output layer, for sampling: no allocation, no Python
object inside, weights packed once in the order in which a step reads them."""

import numpy as np

from cython cimport floating
from cython.parallel cimport prange
from libc.stdint cimport uintptr_t
from libc.string cimport memcpy

from textgru.core.products cimport TEXTGRU_PACKED_COLUMNS, whole_blocks
from textgru.core.simd cimport kernels
from textgru.core.threads cimport thread_count

from textgru.core.checks import check_array
from textgru.core.packing import pack
from textgru.core.products import Products

# A product of one row is shared among threads from so many bytes of weights on: below, a CPU's own cache feeds it.
cdef double SMALLEST_SHARED_BYTES = 768e3

# The first layer's input products are made for the whole vocabulary beforehand where that is small.
cdef Py_ssize_t LARGEST_TABLE = 1024

cdef struct LayerWeights:
    const void* w_ih      # packed (3H, I); NULL in the first layer where its products are in the table
    const void* b_ih
    const void* w_hh      # packed (3H, H); (2H, H) with the reset before the product
    const void* w_hn      # packed (H, H), with the reset before the product
    const void* b_hh      # (3H,)


cdef void _product(
    const void* packed, const void* b, const floating* x, floating* y, Py_ssize_t rows, Py_ssize_t n,
) noexcept nogil:
    """y = b + W x; y and b have room for whole blocks."""
    cdef Py_ssize_t blocks = whole_blocks(rows) // TEXTGRU_PACKED_COLUMNS
    cdef int shards = 1
    cdef int shard
    if <double>rows * n * sizeof(floating) >= SMALLEST_SHARED_BYTES:
        shards = <int>min(<Py_ssize_t>thread_count(), blocks)
    if shards == 1:
        _product_blocks(0, blocks, <const floating*>packed, <const floating*>b, x, y, n)
        return
    for shard in prange(shards, num_threads=shards, schedule="static", chunksize=1):
        _product_blocks(
            blocks * shard // shards, blocks * (shard + 1) // shards,
            <const floating*>packed, <const floating*>b, x, y, n)


cdef void _product_blocks(
    Py_ssize_t first, Py_ssize_t last, const floating* packed, const floating* b, const floating* x, floating* y,
    Py_ssize_t n,
) noexcept nogil:
    cdef Py_ssize_t offset = first * TEXTGRU_PACKED_COLUMNS
    if floating is float:
        kernels.f32.matvec_packed(last - first, n, packed + offset * n, b + offset, x, y + offset)
    else:
        kernels.f64.matvec_packed(last - first, n, packed + offset * n, b + offset, x, y + offset)


cdef class TokenStep:
    """A network (embedding weight (V, E), GRU, Linear of H to V) that reads one token at a time.

    `state` (L, H) and `logits` (V,), the scores of the next token, are arrays that `step` writes; the state may be set.
    The weights are those at the time it is made: later changes don't reach it.
    """

    cdef readonly object state
    cdef readonly object logits
    cdef bint single
    cdef bint reset_after
    cdef Py_ssize_t vocab, hidden, layers
    cdef list kept                # the arrays that the pointers below point into
    cdef LayerWeights* weights
    cdef void* state_start
    cdef void* logits_start
    cdef void* scratch            # probabilities (V)
    cdef void* buffers            # 3 x (3H, padded), gates (4H), h (H)
    cdef const void* table        # (V, 3H): W_ih e + b_ih of the first layer; or the embedding (V, E)
    cdef Py_ssize_t inputs        # E
    cdef const void* zeros
    cdef const void* w_out
    cdef const void* b_out

    def __init__(self, embedding, gru, output):
        H, dtype = gru.hidden_size, gru.dtype
        check_array("embedding", embedding, dtype, ("vocabulary", gru.input_size))
        self.vocab, self.hidden, self.layers = embedding.shape[0], H, gru.num_layers
        check_array("output", output.parameters["weight"], dtype, (self.vocab, H))
        self.single = dtype == np.float32
        self.reset_after = gru.reset_after
        self.kept = []
        padded, padded_vocab = whole_blocks(3 * self.hidden), whole_blocks(self.vocab)
        self.state = np.zeros((self.layers, H), dtype)
        logits = np.zeros(padded_vocab, dtype)
        self.logits = logits[: self.vocab]
        self.state_start, self.logits_start = <void*>self._keep(self.state), <void*>self._keep(logits)
        self.scratch = <void*>self._keep(np.zeros(self.vocab, dtype))
        self.buffers = <void*>self._keep(np.zeros(3 * padded + 5 * H, dtype))
        self.zeros = <void*>self._keep(np.zeros(padded, dtype))
        biases = {name: array for name, array in gru.parameters.items() if name.startswith("bias")}
        none = np.zeros(3 * H, dtype)
        self.inputs = gru.input_size
        table = embedding.copy()
        if self.vocab <= LARGEST_TABLE:
            table = np.empty((self.vocab, 3 * H), dtype)
            weight = gru.parameters["weight_ih_l0"]
            Products().multiply(embedding, weight.T, table, bias=biases.get("bias_ih_l0", none))
        self.table = <void*>self._keep(table)
        addresses = np.zeros((self.layers, 5), np.uintp)
        for layer in range(self.layers):
            w_hh = gru.parameters[f"weight_hh_l{layer}"]
            if layer or self.vocab > LARGEST_TABLE:
                addresses[layer, 0] = self._keep(pack(gru.parameters[f"weight_ih_l{layer}"]))
                addresses[layer, 1] = self._keep(_padded(biases.get(f"bias_ih_l{layer}", none), padded))
            if self.reset_after:
                addresses[layer, 2] = self._keep(pack(w_hh))
            else:
                addresses[layer, 2] = self._keep(pack(w_hh[: 2 * H]))
                addresses[layer, 3] = self._keep(pack(w_hh[2 * H :]))
            addresses[layer, 4] = self._keep(biases.get(f"bias_hh_l{layer}", none).copy())
        self.weights = <LayerWeights*><void*>self._keep(addresses)
        self.w_out = <void*>self._keep(pack(output.parameters["weight"]))
        bias = output.parameters.get("bias", np.zeros(self.vocab, dtype))
        self.b_out = <void*>self._keep(_padded(bias, padded_vocab))

    cdef uintptr_t _keep(self, array):
        self.kept.append(array)
        return array.ctypes.data

    def step(self, Py_ssize_t token) -> None:
        """Reads a token: the state moves on, the logits are those after it. Raises IndexError outside 0..V-1."""
        if token < 0 or token >= self.vocab:
            raise IndexError(f"token: expected 0 to {self.vocab - 1}, got {token}")
        with nogil:
            if self.single:
                _step(self, token, <float*>self.buffers)
            else:
                _step(self, token, <double*>self.buffers)

    def draw(self, double temperature, double u) -> int:
        """A token drawn from softmax(logits / temperature): the first whose cumulative probability is above u.

        `temperature` above 0, u in [0, 1).
        """
        if self.single:
            return _draw(<float*>self.logits_start, <float*>self.scratch, self.vocab, temperature, u)
        return _draw(<double*>self.logits_start, <double*>self.scratch, self.vocab, temperature, u)


def _padded(vector, size):
    padded = np.zeros(size, vector.dtype)
    padded[: len(vector)] = vector
    return padded


cdef void _step(TokenStep self, Py_ssize_t token, floating* buffers) noexcept nogil:
    cdef Py_ssize_t H = self.hidden
    cdef Py_ssize_t padded = whole_blocks(3 * H)
    cdef floating* projected = buffers
    cdef floating* g = buffers + padded
    cdef floating* g_n = buffers + 2 * padded
    cdef floating* gates = buffers + 3 * padded
    cdef floating* h_next = gates + 4 * H
    cdef floating* h = <floating*>self.state_start
    cdef const floating* x = <const floating*>self.table + token * 3 * H
    cdef const floating* below = <const floating*>self.table + token * self.inputs
    cdef Py_ssize_t inputs = self.inputs
    cdef const floating* b_hh
    cdef LayerWeights* weights
    cdef Py_ssize_t layer
    for layer in range(self.layers):
        weights = self.weights + layer
        b_hh = <const floating*>weights.b_hh
        if weights.w_ih != NULL:
            _product(weights.w_ih, weights.b_ih, below, projected, 3 * H, inputs)
            x = projected
        if self.reset_after:
            _product(weights.w_hh, self.zeros, h, g, 3 * H, H)
            if floating is float:
                kernels.f32.gru_forward(H, H, x, g, b_hh, h, gates, h_next)
            else:
                kernels.f64.gru_forward(H, H, x, g, b_hh, h, gates, h_next)
        else:
            _product(weights.w_hh, self.zeros, h, g, 2 * H, H)
            if floating is float:
                kernels.f32.gru_before_reset(H, x, g, b_hh, h, gates)
            else:
                kernels.f64.gru_before_reset(H, x, g, b_hh, h, gates)
            _product(weights.w_hn, self.zeros, gates + 3 * H, g_n, H, H)
            if floating is float:
                kernels.f32.gru_before_output(H, x, g_n, b_hh, h, gates, h_next)
            else:
                kernels.f64.gru_before_output(H, x, g_n, b_hh, h, gates, h_next)
        memcpy(h, h_next, H * sizeof(floating))
        below = h
        inputs = H
        h += H
    _product(self.w_out, self.b_out, h - H, <floating*>self.logits_start, self.vocab, H)


cdef Py_ssize_t _draw(const floating* logits, floating* p, Py_ssize_t n, double temperature, double u) noexcept nogil:
    cdef Py_ssize_t i
    cdef Py_ssize_t last = 0
    cdef double target
    cdef double total = 0
    if floating is float:
        target = u * kernels.f32.boltzmann(n, logits, 1 / temperature, p)
    else:
        target = u * kernels.f64.boltzmann(n, logits, 1 / temperature, p)
    for i in range(n):
        if p[i] > 0:
            last = i  # in case rounding leaves the sum just below the target
            total += p[i]
            if total > target:
                break
    return last
