"""One token at a time through an embedding, a GRU stack and an output layer, for sampling: no allocation, no Python
object inside, weights packed once in the order in which a step reads them, as they are or as 8-bit integers.

Threads share the hidden units of each layer and the vocabulary of the output, and wait for one another after each.
"""

import numpy as np

from cython cimport floating
from cython.parallel cimport parallel
from libc.math cimport INFINITY
from libc.stdint cimport int8_t, int32_t, uint8_t, uintptr_t
from libc.string cimport memcpy

from textgru.core.products cimport TEXTGRU_PACKED_COLUMNS, whole_blocks
from textgru.core.simd cimport kernels
from textgru.core.threads cimport thread_count

from textgru.core.checks import check_array, check_index
from textgru.core.packing import pack, pack_int8
from textgru.core.products import Products
from textgru.core.quantization import quantize_rows

cdef extern from "team.h" nogil:
    ctypedef struct team:
        pass
    void team_begin(team* t)
    int team_size()
    int team_rank()
    void team_wait(team* t)

PRECISIONS = ("fp32", "int8")

# A step is shared among threads from so many bytes of weights on: below, the waiting costs more than it saves.
cdef Py_ssize_t SMALLEST_SHARED_BYTES = 100_000

# The first layer's input products are made for the whole vocabulary beforehand where that is small.
cdef Py_ssize_t LARGEST_TABLE = 1024

# Rows (in whole blocks of 64) of weights of n columns. All fields are addresses or as wide as one.
cdef struct Matrix:
    const void* packed        # floats, or integers with scale and offset: textgru.core.packing; NULL: no such matrix
    const float* scale        # (rows,)
    const int32_t* offset     # (rows,)
    const void* bias          # (rows,)
    Py_ssize_t n

cdef struct LayerWeights:
    Matrix ih                 # each gate's H rows in whole blocks; absent where the first layer has a table
    Matrix hh
    const void* b_hh          # (3, H in whole blocks)

# What a product with one vector reads: the vector, and where the weights are integers its own integers.
cdef struct Vector:
    const void* x
    const uint8_t* q
    float step


cdef class TokenStep:
    """A network (embedding weight (V, E), GRU, Linear of H to V) that reads one token at a time.

    `state` (L, H) and `logits` (V,), the scores of the next token, are arrays that a step writes; the state may be set.
    The weights are those at the time it is made: later changes don't reach it. `precision` "int8" takes all weights but
    biases and a first layer's table as 8-bit integers, and the vectors that they multiply at each step.
    Raises ValueError for another precision, TypeError for int8 of a float64 network.
    """

    cdef readonly object state
    cdef readonly object logits
    cdef readonly str precision
    cdef readonly Py_ssize_t nbytes     # of the weights that a step reads
    cdef bint single
    cdef bint quantized
    cdef bint reset_after
    cdef Py_ssize_t vocab, hidden, layers, inputs
    cdef Py_ssize_t padded              # H in whole blocks
    cdef list kept                      # the arrays that the pointers below point into
    cdef LayerWeights* weights
    cdef Matrix output
    cdef void* state_start
    cdef void* next_start               # (L, H): the states after the token
    cdef void* reset_start              # (H,): r * h, with the reset before the product
    cdef void* logits_start
    cdef const void* table              # (V, 3, H in whole blocks): W_ih e + b_ih of the first layer; or the embedding
    cdef object scratch                 # a row of bytes for each thread
    cdef Py_ssize_t scratch_bytes

    def __init__(self, embedding, gru, output, *, precision="fp32"):
        H, dtype = gru.hidden_size, gru.dtype
        if precision not in PRECISIONS:
            raise ValueError(f"precision: expected one of {', '.join(PRECISIONS)}, got {precision!r}")
        if precision == "int8" and dtype != np.float32:
            raise TypeError(f"precision: int8 needs float32 parameters, these are {dtype}")
        check_array("embedding", embedding, dtype, ("vocabulary", gru.input_size))
        self.vocab, self.hidden, self.layers, self.inputs = embedding.shape[0], H, gru.num_layers, gru.input_size
        check_array("output", output.parameters["weight"], dtype, (self.vocab, H))
        self.precision, self.quantized = precision, precision == "int8"
        self.single, self.reset_after = dtype == np.float32, gru.reset_after
        self.kept, self.padded = [], whole_blocks(self.hidden)
        self.state = np.zeros((self.layers, H), dtype)
        logits = np.zeros(whole_blocks(self.vocab), dtype)
        self.logits = logits[: self.vocab]
        self.state_start, self.logits_start = <void*>self._keep(self.state), <void*>self._keep(logits)
        self.next_start = <void*>self._keep(np.zeros((self.layers, H), dtype))
        self.reset_start = <void*>self._keep(np.zeros(H, dtype))
        parameters, none = gru.parameters, np.zeros(3 * H, dtype)
        has_table = self.vocab <= LARGEST_TABLE
        table = embedding.copy()
        if has_table:
            rows = np.empty((self.vocab, 3 * H), dtype)
            Products().multiply(embedding, parameters["weight_ih_l0"].T, rows, bias=parameters.get("bias_ih_l0", none))
            table = _by_gate(rows.T, self.padded).T.copy()
        self.table = <void*>self._keep(table)
        weights = np.zeros((self.layers, sizeof(LayerWeights)), np.uint8)
        self.weights = <LayerWeights*><void*>self._keep(weights)
        self.nbytes = 0
        for layer in range(self.layers):
            if layer or not has_table:
                self._pack(
                    &self.weights[layer].ih, _by_gate(parameters[f"weight_ih_l{layer}"], self.padded),
                    _by_gate(parameters.get(f"bias_ih_l{layer}", none), self.padded))
            zeros = np.zeros(3 * self.padded, dtype)
            self._pack(&self.weights[layer].hh, _by_gate(parameters[f"weight_hh_l{layer}"], self.padded), zeros)
            b_hh = _by_gate(parameters.get(f"bias_hh_l{layer}", none), self.padded)
            self.weights[layer].b_hh = <void*>self._keep(b_hh)
        bias = np.zeros(whole_blocks(self.vocab), dtype)
        if "bias" in output.parameters:
            bias[: self.vocab] = output.parameters["bias"]
        self._pack(&self.output, output.parameters["weight"], bias)
        # Gates of a step (3 + 3 + 4 times H), probabilities, and a vector's integers.
        size = (10 * self.padded + self.vocab) * dtype.itemsize + max(self.inputs, self.hidden) + 4
        self.scratch_bytes = -(-size // 64) * 64
        self.scratch = np.zeros((1, self.scratch_bytes), np.uint8)

    cdef uintptr_t _keep(self, array):
        self.kept.append(array)
        return array.ctypes.data

    cdef _pack(self, Matrix* matrix, weight, bias):
        """The matrix of this weight (rows, n); bias in whole blocks of rows."""
        matrix.n = weight.shape[1]
        matrix.bias = <void*>self._keep(bias)
        if self.quantized:
            integers, scales = quantize_rows(weight)
            offset, scale = np.zeros(len(bias), np.int32), np.zeros(len(bias), np.float32)
            offset[: len(weight)], scale[: len(weight)] = -128 * integers.sum(axis=1, dtype=np.int32), scales
            matrix.scale, matrix.offset = <float*><void*>self._keep(scale), <int32_t*><void*>self._keep(offset)
            packed = pack_int8(integers)
        else:
            packed = pack(np.ascontiguousarray(weight))
        self.nbytes += packed.nbytes
        matrix.packed = <void*>self._keep(packed)

    def step(self, Py_ssize_t token) -> None:
        """Reads a token: the state moves on, the logits are those after it. Raises IndexError outside 0..V-1."""
        self._check(token)
        cdef int threads = self._threads()
        cdef uint8_t[:, ::1] scratch = self.scratch
        cdef team together
        team_begin(&together)
        with nogil:
            if threads == 1:
                _step(self, &together, token, &scratch[0, 0])
            else:
                with parallel(num_threads=threads):
                    _step(self, &together, token, &scratch[0, 0] + team_rank() * self.scratch_bytes)

    def generate(self, Py_ssize_t token, const double[::1] u, double temperature, Py_ssize_t never=-1):
        """Reads a token, draws the next one and reads it, and so on: len(u) new tokens, (len(u),) intp.

        Each is drawn as by `draw` with the next of the numbers u, in [0, 1); the last one is not read. The token
        `never`, unless it is -1, is not drawn. Raises IndexError for a token outside 0..V-1.
        """
        self._check(token)
        if not -1 <= never < self.vocab:
            raise IndexError(f"never: expected -1 to {self.vocab - 1}, got {never}")
        tokens = np.empty(u.shape[0], np.intp)
        cdef Py_ssize_t[::1] out = tokens
        cdef int threads = self._threads()
        cdef uint8_t[:, ::1] scratch = self.scratch
        cdef team together
        team_begin(&together)
        if u.shape[0] == 0:
            return tokens
        with nogil:
            if threads == 1:
                _generate(self, &together, token, u.shape[0], &u[0], temperature, never, &out[0], &scratch[0, 0])
            else:
                with parallel(num_threads=threads):
                    _generate(
                        self, &together, token, u.shape[0], &u[0], temperature, never, &out[0],
                        &scratch[0, 0] + team_rank() * self.scratch_bytes)
        return tokens

    def losses(self, tokens, targets):
        """Reads tokens (n,) intp; the negative log-likelihood of each target (n,) after its token, in nats, float64.

        Raises IndexError, TypeError or ValueError for arrays that don't fit.
        """
        check_index("tokens", tokens, ("n",), self.vocab)
        check_index("targets", targets, (len(tokens),), self.vocab)
        result = np.empty(len(tokens))
        cdef const Py_ssize_t[::1] read = tokens
        cdef const Py_ssize_t[::1] wanted = targets
        cdef double[::1] out = result
        cdef int threads = self._threads()
        cdef uint8_t[:, ::1] scratch = self.scratch
        cdef team together
        team_begin(&together)
        if len(tokens) == 0:
            return result
        with nogil:
            if threads == 1:
                _losses(self, &together, read.shape[0], &read[0], &wanted[0], &out[0], &scratch[0, 0])
            else:
                with parallel(num_threads=threads):
                    _losses(
                        self, &together, read.shape[0], &read[0], &wanted[0], &out[0],
                        &scratch[0, 0] + team_rank() * self.scratch_bytes)
        return result

    def draw(self, double temperature, double u) -> int:
        """A token drawn from softmax(logits / temperature): the first whose cumulative probability is above u.

        `temperature` above 0, u in [0, 1).
        """
        cdef uint8_t[:, ::1] scratch = self.scratch
        return _draw_token(self, temperature, u, &scratch[0, 0])

    cdef int _check(self, Py_ssize_t token) except -1:
        if token < 0 or token >= self.vocab:
            raise IndexError(f"token: expected 0 to {self.vocab - 1}, got {token}")
        return 0

    cdef int _threads(self) except -1:
        """The threads to use, with scratch for all of them."""
        cdef int threads = 1
        if self.nbytes >= SMALLEST_SHARED_BYTES:
            threads = <int>min(<Py_ssize_t>thread_count(), self.padded // TEXTGRU_PACKED_COLUMNS)
        if self.scratch.shape[0] < threads:
            self.scratch = np.zeros((threads, self.scratch_bytes), np.uint8)
        return threads


def _by_gate(rows, padded):
    """(3H, ...) as (3 * padded, ...): each gate's H rows filled up with zeros."""
    H = len(rows) // 3
    result = np.zeros((3, padded, *rows.shape[1:]), rows.dtype)
    result[:, :H] = rows.reshape(3, H, *rows.shape[1:])
    return result.reshape(3 * padded, *rows.shape[1:])


cdef Vector _vector(bint quantized, const void* x, Py_ssize_t n, uint8_t* q) noexcept nogil:
    """What a product with x (n,) reads; its integers go to q."""
    cdef Vector vector
    vector.x, vector.q, vector.step = x, q, 1
    if quantized:
        vector.step = kernels.int8.quantize(n, <const float*>x, q)
    return vector


cdef void _rows(
    const Matrix* matrix, Py_ssize_t first, Py_ssize_t last, Vector vector, floating* y,
) noexcept nogil:
    """y[first:last] = b + W x; first and last are whole blocks."""
    cdef Py_ssize_t blocks = (last - first) // TEXTGRU_PACKED_COLUMNS
    cdef Py_ssize_t quads = (matrix.n + 3) // 4
    if blocks <= 0:
        return
    if floating is double:
        kernels.f64.matvec_packed(
            blocks, matrix.n, <const double*>matrix.packed + first * matrix.n, <const double*>matrix.bias + first,
            <const double*>vector.x, y + first)
    elif matrix.scale == NULL:
        kernels.f32.matvec_packed(
            blocks, matrix.n, <const float*>matrix.packed + first * matrix.n, <const float*>matrix.bias + first,
            <const float*>vector.x, y + first)
    else:
        kernels.int8.matvec(
            blocks, quads, <const int8_t*>matrix.packed + first * quads * 4, matrix.scale + first,
            matrix.offset + first, <const float*>matrix.bias + first, vector.q, vector.step, y + first)


cdef void _step(
    TokenStep self, team* together, Py_ssize_t token, uint8_t* scratch, Py_ssize_t never=-1,
) noexcept nogil:
    """The calling thread's part of a step; the score of `never` becomes that of what can't be."""
    if self.single:
        _step_of[float](self, together, token, <float*>scratch, never)
    else:
        _step_of[double](self, together, token, <double*>scratch, never)


cdef void _step_of(
    TokenStep self, team* together, Py_ssize_t token, floating* projected, Py_ssize_t never,
) noexcept nogil:
    """`projected` is the start of the thread's scratch."""
    cdef Py_ssize_t H = self.hidden
    cdef Py_ssize_t padded = self.padded
    cdef Py_ssize_t rank = team_rank()
    cdef Py_ssize_t size = team_size()
    cdef Py_ssize_t blocks = padded // TEXTGRU_PACKED_COLUMNS
    cdef Py_ssize_t first = blocks * rank // size * TEXTGRU_PACKED_COLUMNS
    cdef Py_ssize_t last = blocks * (rank + 1) // size * TEXTGRU_PACKED_COLUMNS
    cdef Py_ssize_t units = min(last, H) - first
    cdef floating* g = projected + 3 * padded
    cdef floating* gates = g + 3 * padded
    cdef uint8_t* q = <uint8_t*>(gates + 4 * padded + self.vocab)
    cdef floating* h
    cdef floating* h_next
    cdef floating* reset = <floating*>self.reset_start
    cdef const floating* x
    cdef const floating* b_hh
    cdef const floating* below = <const floating*>self.table + token * self.inputs
    cdef Py_ssize_t inputs = self.inputs
    cdef Py_ssize_t layer, gate
    cdef LayerWeights* weights
    cdef Vector vector
    for layer in range(self.layers):
        weights = self.weights + layer
        h = <floating*>self.state_start + layer * H
        h_next = <floating*>self.next_start + layer * H
        b_hh = <const floating*>weights.b_hh
        x = <const floating*>self.table + token * 3 * padded
        if weights.ih.packed != NULL:
            vector = _vector(self.quantized, below, inputs, q)
            for gate in range(3):
                _rows[floating](&weights.ih, gate * padded + first, gate * padded + last, vector, projected)
            x = projected
        vector = _vector(self.quantized, h, H, q)
        for gate in range(3 if self.reset_after else 2):
            _rows[floating](&weights.hh, gate * padded + first, gate * padded + last, vector, g)
        if self.reset_after:
            if units > 0:
                if floating is float:
                    kernels.f32.gru_forward(
                        units, padded, x + first, g + first, b_hh + first, h + first, gates + first, h_next + first)
                else:
                    kernels.f64.gru_forward(
                        units, padded, x + first, g + first, b_hh + first, h + first, gates + first, h_next + first)
        else:
            if units > 0:
                if floating is float:
                    kernels.f32.gru_before_reset(
                        units, padded, x + first, g + first, b_hh + first, h + first, gates + first)
                else:
                    kernels.f64.gru_before_reset(
                        units, padded, x + first, g + first, b_hh + first, h + first, gates + first)
                memcpy(reset + first, gates + 3 * padded + first, units * sizeof(floating))
            team_wait(together)
            vector = _vector(self.quantized, reset, H, q)
            _rows[floating](&weights.hh, 2 * padded + first, 2 * padded + last, vector, g)
            if units > 0:
                if floating is float:
                    kernels.f32.gru_before_output(
                        units, padded, x + first, g + 2 * padded + first, b_hh + first, h + first, gates + first,
                        h_next + first)
                else:
                    kernels.f64.gru_before_output(
                        units, padded, x + first, g + 2 * padded + first, b_hh + first, h + first, gates + first,
                        h_next + first)
        team_wait(together)
        if units > 0:
            memcpy(h + first, h_next + first, units * sizeof(floating))
        below = h_next
        inputs = H
    blocks = whole_blocks(self.vocab) // TEXTGRU_PACKED_COLUMNS
    first = blocks * rank // size * TEXTGRU_PACKED_COLUMNS
    last = blocks * (rank + 1) // size * TEXTGRU_PACKED_COLUMNS
    vector = _vector(self.quantized, below, H, q)
    _rows[floating](&self.output, first, last, vector, <floating*>self.logits_start)
    if first <= never < last:
        (<floating*>self.logits_start)[never] = -INFINITY
    team_wait(together)


cdef void _generate(
    TokenStep self, team* together, Py_ssize_t token, Py_ssize_t n, const double* u, double temperature,
    Py_ssize_t never, Py_ssize_t* out, uint8_t* scratch,
) noexcept nogil:
    """Every thread draws for itself, the same token."""
    cdef Py_ssize_t i
    for i in range(n):
        _step(self, together, token, scratch, never)
        token = _draw_token(self, temperature, u[i], scratch)
        if team_rank() == 0:
            out[i] = token


cdef void _losses(
    TokenStep self, team* together, Py_ssize_t n, const Py_ssize_t* tokens, const Py_ssize_t* targets, double* out,
    uint8_t* scratch,
) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        _step(self, together, tokens[i], scratch)
        if team_rank() == 0:
            if self.single:
                out[i] = kernels.f32.cross_entropy(self.vocab, <float*>self.logits_start, targets[i], 1, NULL)
            else:
                out[i] = kernels.f64.cross_entropy(self.vocab, <double*>self.logits_start, targets[i], 1, NULL)


cdef Py_ssize_t _draw_token(TokenStep self, double temperature, double u, uint8_t* scratch) noexcept nogil:
    if self.single:
        return _draw[float](
            <float*>self.logits_start, <float*>scratch + 10 * self.padded, self.vocab, temperature, u)
    return _draw[double](
        <double*>self.logits_start, <double*>scratch + 10 * self.padded, self.vocab, temperature, u)


cdef Py_ssize_t _draw(
    const floating* logits, floating* p, Py_ssize_t n, double temperature, double u,
) noexcept nogil:
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
