"""One token at a time through an embedding, a GRU stack and an output layer, for sampling: no allocation, no Python
object inside, weights packed once in the order in which a step reads them, as they are or as 8-bit integers.

Threads share the hidden units of each layer and the vocabulary of the output, and wait for one another after each. The
product W_hh h for the next token doesn't need to know it, so it is made as soon as h is known: from the same integers
as the product of the layer above, and while other threads finish the output. Every other token goes through the weights
backwards, which finds the last ones still in the cache.
"""

from time import perf_counter

import numpy as np

from cython cimport floating
from cython.parallel cimport parallel
from libc.float cimport DBL_MAX, DBL_MIN, FLT_MAX, FLT_MIN
from libc.math cimport INFINITY
from libc.stdint cimport int8_t, int32_t, uint8_t, uintptr_t
from libc.string cimport memcpy

from textgru.core._products.products cimport TEXTGRU_PACKED_COLUMNS, whole_blocks
from textgru.core._support.simd cimport kernels
from textgru.core._support.typed_kernels cimport cell_forward
from textgru.core._support.team cimport (
    TEAM_MOST, team, team_arrive, team_await, team_begin, team_rank, team_size, team_wait
)
from textgru.core._support.threads cimport thread_count

from textgru.core._support import aligned
from textgru.core._support.checks import check_array, check_integer, check_number, own_index, sizes
from textgru.core.gru import GRU
from textgru.core.layers import Linear
from textgru.core._products.packing import pack, pack_int8
from textgru.core._support.threads import wait_seconds

PRECISIONS = ("fp32", "int8")
NOTHING_TO_DRAW = "logits: expected finite scores to draw from; are the weights finite?"

# A step of so many bytes of weights is never shared among threads, one of so many always. Between, it is where the time
# that it saves, at so many bytes a second, is more than that for waiting: after each layer and the output, three times
# what a wait alone takes, for what the threads then read of one another. How long that is, is measured again after so
# many seconds: on a virtual machine it changes.
cdef Py_ssize_t LARGEST_ALONE = 50_000
cdef Py_ssize_t SMALLEST_SHARED = 2_000_000
cdef double BYTES_A_SECOND = 9e10
cdef double WAITS = 3
cdef double MEASURED_AGAIN = 0.25

# The first layer's input products are made for the whole vocabulary beforehand where that is small.
cdef Py_ssize_t LARGEST_TABLE = 1024

# Rows (in whole blocks of 64) of weights of n columns. All fields are addresses or as wide as one.
cdef struct Matrix:
    const void* packed        # floats, or integers with scale and offset: textgru.core._products.packing; NULL: no such matrix
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

# What a thread of a step works with.
cdef struct Thread:
    team* together
    Py_ssize_t padded               # H in whole blocks
    Py_ssize_t first, last, units   # its hidden units, in whole blocks and those that there are
    Py_ssize_t first_output, last_output
    bint backward                   # whether this token goes through the weights backwards
    Py_ssize_t parity               # which of the two buffers the states after this token go to
    void* recurrent                 # (L, 3, padded): W_hh h of its units for this token
    void* projected                 # (3, padded): W_ih x + b_ih
    void* gates                     # (4, padded)
    void* p                         # (V,): probabilities
    uint8_t* q                      # a vector's integers


cdef class TokenStep:
    """A network (embedding weight (V, E), GRU, Linear of H to V) that reads one token at a time.

    `state` (L, H) and `logits` (V,), the scores of the next token, are arrays that a step writes; the state may be set.
    The weights are those at the time it is made: later changes don't reach it. `precision` "int8" takes all weights but
    biases and a first layer's table as 8-bit integers, and the vectors that they multiply at each step.
    Raises ValueError for another precision or layers that don't fit, TypeError for int8 of a float64 network and for
    what are no such layers. It can't be copied.
    """

    cdef readonly object state
    cdef readonly object logits
    cdef readonly str precision
    cdef readonly Py_ssize_t nbytes     # of the weights that a step reads
    cdef readonly int threads           # how many the last call used
    cdef double wait                    # seconds, when it was measured last
    cdef double measured                # when that was; 0 before
    cdef bint ready                     # whether it was made to the end
    cdef bint single
    cdef bint quantized
    cdef Py_ssize_t vocab, hidden, layers, inputs
    cdef Py_ssize_t padded              # H in whole blocks
    cdef list kept                      # the arrays that the pointers below point into
    cdef LayerWeights* weights
    cdef Matrix output
    cdef void* state_start
    cdef void* next_start               # (2, L, H): the states after the token, and after the one before
    cdef void* logits_start
    cdef const void* table              # (V, 3, H in whole blocks): W_ih e + b_ih of the first layer; or the embedding
    cdef object scratch                 # a row of bytes for each thread
    cdef Py_ssize_t scratch_bytes

    def __init__(self, embedding, gru, output, *, precision="fp32"):
        self.ready = False
        if not isinstance(gru, GRU):
            raise TypeError(f"gru: expected a textgru.core.GRU, got {type(gru).__name__}")
        if not isinstance(output, Linear):
            raise TypeError(f"output: expected a textgru.core.Linear, got {type(output).__name__}")
        if not gru.reset_after:
            raise ValueError("gru: expected reset_after=True; one with reset_after=False can't be stepped")
        H, dtype = gru.hidden_size, gru.dtype
        if not isinstance(precision, str) or precision not in PRECISIONS:
            raise ValueError(f"precision: expected one of {', '.join(PRECISIONS)}, got {precision!r}")
        if precision == "int8" and dtype != np.float32:
            raise TypeError(f"precision: int8 needs float32 parameters, these are {dtype}")
        check_array("embedding", embedding, dtype, ("vocabulary", gru.input_size))
        self.vocab, self.hidden, self.layers, self.inputs = embedding.shape[0], H, gru.num_layers, gru.input_size
        check_array("output", output.parameters["weight"], dtype, (self.vocab, H))
        if "bias" in output.parameters:
            check_array("output", output.parameters["bias"], dtype, (self.vocab,))
        for name, array in gru.parameters.items():
            columns = (gru.input_size if name == "weight_ih_l0" else H,) if name.startswith("weight") else ()
            check_array(f"gru, {name}", array, dtype, (3 * H, *columns))
        self.precision, self.quantized = precision, precision == "int8"
        self.single = dtype == np.float32
        self.kept, self.padded = [], whole_blocks(self.hidden)
        self.state = aligned.zeros((self.layers, H), dtype)
        logits = aligned.zeros(whole_blocks(self.vocab), dtype)
        self.logits = logits[: self.vocab]
        self.state_start, self.logits_start = <void*>self._keep(self.state), <void*>self._keep(logits)
        self.next_start = <void*>self._keep(aligned.zeros((2, self.layers, H), dtype))
        parameters, none = gru.parameters, aligned.zeros(3 * H, dtype)
        has_table = self.vocab <= LARGEST_TABLE
        if has_table:
            table = aligned.zeros((self.vocab, 3, self.padded), dtype)
            rows = table.reshape(self.vocab, -1) if H == self.padded else np.empty((self.vocab, 3 * H), dtype)
            gru._products(False).multiply(
                embedding, parameters["weight_ih_l0"].T, rows, bias=parameters.get("bias_ih_l0", none))
            if H != self.padded:
                table[:, :, :H] = rows.reshape(self.vocab, 3, H)
        else:
            table = aligned.copy(embedding)
        self.table = <void*>self._keep(table)
        weights = aligned.zeros((self.layers, sizeof(LayerWeights)), np.uint8)
        self.weights = <LayerWeights*><void*>self._keep(weights)
        self.nbytes, self.threads, self.measured = 0, 1, 0
        for layer in range(self.layers):
            if layer or not has_table:
                self._pack(
                    &self.weights[layer].ih, _by_gate(parameters[f"weight_ih_l{layer}"], self.padded),
                    _by_gate(parameters.get(f"bias_ih_l{layer}", none), self.padded))
            zeros = aligned.zeros(3 * self.padded, dtype)
            self._pack(&self.weights[layer].hh, _by_gate(parameters[f"weight_hh_l{layer}"], self.padded), zeros)
            b_hh = _by_gate(parameters.get(f"bias_hh_l{layer}", none), self.padded)
            self.weights[layer].b_hh = <void*>self._keep(aligned.copy(b_hh))
        bias = aligned.zeros(whole_blocks(self.vocab), dtype)
        if "bias" in output.parameters:
            bias[: self.vocab] = output.parameters["bias"]
        self._pack(&self.output, output.parameters["weight"], bias)
        # See Thread.
        size = ((3 * self.layers + 7) * self.padded + self.vocab) * dtype.itemsize + max(self.inputs, self.hidden) + 4
        self.scratch_bytes = -(-size // 64) * 64
        self.scratch = aligned.zeros((1, self.scratch_bytes), np.uint8)
        self.ready = True

    def __reduce__(self):
        raise TypeError("a TokenStep can't be copied or pickled: make another from the same layers")

    cdef uintptr_t _keep(self, array):
        self.kept.append(array)
        return array.ctypes.data

    cdef _pack(self, Matrix* matrix, weight, bias):
        """The matrix of this weight (rows, n); bias in whole blocks of rows."""
        matrix.n = weight.shape[1]
        matrix.bias = <void*>self._keep(aligned.copy(bias))
        if self.quantized:
            packed, scale, offset = pack_int8(weight)
            matrix.scale, matrix.offset = <float*><void*>self._keep(scale), <int32_t*><void*>self._keep(offset)
        else:
            packed = pack(np.ascontiguousarray(weight))
        self.nbytes += packed.nbytes
        matrix.packed = <void*>self._keep(packed)

    def step(self, token) -> None:
        """Reads a token: the state moves on, the logits are those after it. Raises IndexError outside 0..V-1."""
        cdef Py_ssize_t read_token = self._check("token", token, 0)
        cdef int threads = self._threads()
        cdef uint8_t[:, ::1] scratch = self.scratch
        cdef team together
        team_begin(&together)
        with nogil:
            if threads == 1:
                _one_step(self, &together, read_token, &scratch[0, 0])
            else:
                with parallel(num_threads=threads):
                    _one_step(self, &together, read_token, &scratch[0, 0])

    def generate(self, token, u, temperature, never=-1):
        """Reads a token, draws the next one and reads it, and so on: len(u) new tokens, (len(u),) intp.

        Each is drawn as by `draw` with the next of the numbers u (n,) float64, in [0, 1); the last one is not read. The
        token `never`, unless it is -1, is not drawn. Raises IndexError for a token outside 0..V-1, and as `draw`.
        """
        cdef Py_ssize_t read_token = self._check("token", token, 0)
        cdef Py_ssize_t never_drawn = self._check("never", never, -1)
        cdef double divisor = check_number("temperature", temperature, above=0.0)
        check_array("u", u, np.dtype(np.float64), sizes(u, "n"))
        numbers, tokens = np.array(u), np.empty(len(u), np.intp)
        if not ((numbers >= 0) & (numbers < 1)).all():
            raise ValueError("u: expected numbers from 0 to below 1")
        cdef const double[::1] drawn = numbers
        cdef Py_ssize_t[::1] out = tokens
        cdef int threads = self._threads()
        cdef uint8_t[:, ::1] scratch = self.scratch
        cdef team together
        cdef bint failed = False
        team_begin(&together)
        if drawn.shape[0] == 0:
            return tokens
        with nogil:
            if threads == 1:
                _generate(
                    self, &together, read_token, drawn.shape[0], &drawn[0], divisor, never_drawn, &out[0],
                    &scratch[0, 0], &failed)
            else:
                with parallel(num_threads=threads):
                    _generate(
                        self, &together, read_token, drawn.shape[0], &drawn[0], divisor, never_drawn, &out[0],
                        &scratch[0, 0], &failed)
        if failed:
            raise ValueError(NOTHING_TO_DRAW)
        return tokens

    def losses(self, tokens, targets):
        """Reads tokens (n,) intp; the negative log-likelihood of each target (n,) after its token, in nats, float64.

        Raises IndexError, TypeError or ValueError for arrays that don't fit.
        """
        self._check("tokens", 0, 0)
        tokens = own_index("tokens", tokens, sizes(tokens, "n"), self.vocab)
        targets = own_index("targets", targets, (len(tokens),), self.vocab)
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
                        self, &together, read.shape[0], &read[0], &wanted[0], &out[0], &scratch[0, 0])
        return result

    def draw(self, temperature, u) -> int:
        """A token drawn from softmax(logits / temperature): the first whose cumulative probability is above u.

        `temperature` finite and above 0, u in [0, 1). Raises ValueError for others, and where the logits make no
        distribution: with NaN or infinity among them, or nothing else than -infinity.
        """
        self._check("u", 0, 0)
        cdef uint8_t[:, ::1] scratch = self.scratch
        cdef Py_ssize_t token = _draw_token(
            self, check_number("temperature", temperature, above=0.0), check_number("u", u, 0.0, 1.0), &scratch[0, 0])
        if token < 0:
            raise ValueError(NOTHING_TO_DRAW)
        return token

    cdef Py_ssize_t _check(self, name, token, low) except? -2:
        """The token, an integer from `low` to V - 1."""
        if not self.ready:
            raise RuntimeError("this TokenStep was not made: call TokenStep(embedding, gru, output)")
        token = check_integer(name, token, -2**62, 2**62)
        if not low <= token < self.vocab:
            raise IndexError(f"{name}: expected {low} to {self.vocab - 1}, got {token}")
        return token

    cdef int _threads(self) except -1:
        """The threads to use, with scratch for all of them."""
        cdef int threads = 1
        cdef double saved, now
        if self.nbytes > LARGEST_ALONE:
            threads = <int>min(<Py_ssize_t>min(thread_count(), TEAM_MOST), self.padded // TEXTGRU_PACKED_COLUMNS)
        if threads > 1 and self.nbytes < SMALLEST_SHARED:
            now = perf_counter()
            if self.measured == 0 or now > self.measured + MEASURED_AGAIN:
                self.wait, self.measured = wait_seconds(3, 50), now
            saved = self.nbytes * (1 - 1.0 / threads) / BYTES_A_SECOND
            if saved < WAITS * self.wait * (self.layers + 1):
                threads = 1
        if self.scratch.shape[0] < threads:
            self.scratch = aligned.zeros((threads, self.scratch_bytes), np.uint8)
        self.threads = threads
        return threads


def _by_gate(rows, padded):
    """(3H, ...) as (3 * padded, ...): each gate's H rows filled up with zeros. May be `rows` itself."""
    H = len(rows) // 3
    if H == padded:
        return rows
    result = aligned.zeros((3, padded, *rows.shape[1:]), rows.dtype)
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
    const Matrix* matrix, Py_ssize_t first, Py_ssize_t last, Vector vector, bint backward, floating* y,
) noexcept nogil:
    """y[first:last] = b + W x; first and last are whole blocks."""
    cdef Py_ssize_t blocks = (last - first) // TEXTGRU_PACKED_COLUMNS
    cdef Py_ssize_t quads = (matrix.n + 3) // 4
    cdef Py_ssize_t i, row
    for i in range(blocks):
        row = first + (blocks - 1 - i if backward else i) * TEXTGRU_PACKED_COLUMNS
        if floating is double:
            kernels.f64.matvec_packed(
                1, matrix.n, <const double*>matrix.packed + row * matrix.n, <const double*>matrix.bias + row,
                <const double*>vector.x, y + row)
        elif matrix.scale == NULL:
            kernels.f32.matvec_packed(
                1, matrix.n, <const float*>matrix.packed + row * matrix.n, <const float*>matrix.bias + row,
                <const float*>vector.x, y + row)
        else:
            kernels.int8.matvec(
                1, quads, <const int8_t*>matrix.packed + row * quads * 4, matrix.scale + row,
                matrix.offset + row, <const float*>matrix.bias + row, vector.q, vector.step, y + row)


cdef void _gate_rows(
    const Thread* thread, const Matrix* matrix, Py_ssize_t gates, Vector vector, floating* y,
) noexcept nogil:
    """The calling thread's units of the first so many gates: y (3, H in whole blocks) = b + W x."""
    cdef Py_ssize_t i, start
    for i in range(gates):
        start = (gates - 1 - i if thread.backward else i) * thread.padded
        _rows[floating](matrix, start + thread.first, start + thread.last, vector, thread.backward, y)


cdef Thread _thread(TokenStep self, team* together, uint8_t* scratch) noexcept nogil:
    """The calling thread, with W_hh h of its units in `recurrent`."""
    cdef Thread thread
    cdef Py_ssize_t rank = team_rank()
    cdef Py_ssize_t size = team_size()
    cdef Py_ssize_t blocks = self.padded // TEXTGRU_PACKED_COLUMNS
    cdef Py_ssize_t outputs = whole_blocks(self.vocab) // TEXTGRU_PACKED_COLUMNS
    cdef Py_ssize_t item = sizeof(float) if self.single else sizeof(double)
    cdef uint8_t* start = scratch + rank * self.scratch_bytes
    thread.together, thread.padded, thread.backward, thread.parity = together, self.padded, False, 0
    thread.first = blocks * rank // size * TEXTGRU_PACKED_COLUMNS
    thread.last = blocks * (rank + 1) // size * TEXTGRU_PACKED_COLUMNS
    thread.units = max(min(thread.last, self.hidden) - thread.first, 0)
    thread.first_output = outputs * rank // size * TEXTGRU_PACKED_COLUMNS
    thread.last_output = outputs * (rank + 1) // size * TEXTGRU_PACKED_COLUMNS
    thread.recurrent = start
    thread.projected = start + self.layers * 3 * self.padded * item
    thread.gates = <uint8_t*>thread.projected + 3 * self.padded * item
    thread.p = <uint8_t*>thread.gates + 4 * self.padded * item
    thread.q = <uint8_t*>thread.p + self.vocab * item
    if self.single:
        _recurrent_of_state[float](self, &thread, <float*>self.state_start)
    else:
        _recurrent_of_state[double](self, &thread, <double*>self.state_start)
    return thread


cdef void _recurrent_of_state(TokenStep self, Thread* thread, const floating* h) noexcept nogil:
    cdef Py_ssize_t layer
    cdef Vector vector
    for layer in range(self.layers):
        vector = _vector(self.quantized, h + layer * self.hidden, self.hidden, thread.q)
        _gate_rows[floating](
            thread, &self.weights[layer].hh, 3, vector,
            <floating*>thread.recurrent + layer * 3 * thread.padded)


cdef void _step(TokenStep self, Thread* thread, Py_ssize_t token, bint more, Py_ssize_t never=-1) noexcept nogil:
    """The calling thread's part of a step. Where `more` follow, W_hh h is made ready for the next one.

    The score of `never` becomes that of what can't be.
    """
    if self.single:
        _step_of[float](self, thread, token, more, never, <float*>self.logits_start)
    else:
        _step_of[double](self, thread, token, more, never, <double*>self.logits_start)


cdef void _step_of(
    TokenStep self, Thread* thread, Py_ssize_t token, bint more, Py_ssize_t never, floating* logits,
) noexcept nogil:
    cdef Py_ssize_t H = self.hidden
    cdef Py_ssize_t padded = self.padded
    cdef Py_ssize_t first = thread.first
    cdef Py_ssize_t layer
    cdef floating* gates = <floating*>thread.gates + first
    cdef floating* projected = <floating*>thread.projected
    cdef floating* before[2]
    cdef floating* after[2]
    cdef floating* g = NULL
    cdef floating* h
    cdef floating* h_next
    cdef const floating* x = <const floating*>self.table + token * 3 * padded
    cdef const floating* b_hh
    cdef Vector vector
    if self.weights[0].ih.packed != NULL:
        x = <const floating*>self.table + token * self.inputs
        _gate_rows[floating](
            thread, &self.weights[0].ih, 3, _vector(self.quantized, x, self.inputs, thread.q), projected)
        x = projected
    for layer in range(self.layers):
        h = <floating*>self.state_start + layer * H
        h_next = <floating*>self.next_start + (thread.parity * self.layers + layer) * H
        g = <floating*>thread.recurrent + layer * 3 * padded
        b_hh = <const floating*>self.weights[layer].b_hh + first
        before[0], after[0] = h + first, h_next + first
        cell_forward(
            0, thread.units, padded, x + first, g + first, padded, b_hh, before, gates, after)
        team_wait(thread.together)
        memcpy(h + first, h_next + first, thread.units * sizeof(floating))
        vector = _vector(self.quantized, h_next, H, thread.q)
        if layer + 1 < self.layers:
            _gate_rows[floating](thread, &self.weights[layer + 1].ih, 3, vector, projected)
            x = projected
            if more:
                _gate_rows[floating](thread, &self.weights[layer].hh, 3, vector, g)
    _rows[floating](&self.output, thread.first_output, thread.last_output, vector, thread.backward, logits)
    if thread.first_output <= never < thread.last_output:
        logits[never] = -INFINITY
    team_arrive(thread.together)
    if more:
        _gate_rows[floating](thread, &self.weights[self.layers - 1].hh, 3, vector, g)
    team_await(thread.together)
    thread.parity, thread.backward = 1 - thread.parity, not thread.backward


cdef void _one_step(TokenStep self, team* together, Py_ssize_t token, uint8_t* scratch) noexcept nogil:
    cdef Thread thread = _thread(self, together, scratch)
    _step(self, &thread, token, False)


cdef void _generate(
    TokenStep self, team* together, Py_ssize_t token, Py_ssize_t n, const double* u, double temperature,
    Py_ssize_t never, Py_ssize_t* out, uint8_t* scratch, bint* failed,
) noexcept nogil:
    """Every thread draws for itself, the same token. Where there is nothing to draw they go on together to the end."""
    cdef Thread thread = _thread(self, together, scratch)
    cdef Py_ssize_t i
    for i in range(n):
        _step(self, &thread, token, i + 1 < n, never)
        token = _draw_token(self, temperature, u[i], thread.p)
        if team_rank() == 0:
            out[i] = token
            if token < 0:
                failed[0] = True
        token = max(token, <Py_ssize_t>0)


cdef void _losses(
    TokenStep self, team* together, Py_ssize_t n, const Py_ssize_t* tokens, const Py_ssize_t* targets, double* out,
    uint8_t* scratch,
) noexcept nogil:
    cdef Thread thread = _thread(self, together, scratch)
    cdef Py_ssize_t i
    for i in range(n):
        _step(self, &thread, tokens[i], i + 1 < n)
        if team_rank() == 0:
            if self.single:
                out[i] = kernels.f32.cross_entropy(self.vocab, <float*>self.logits_start, targets[i], 1, NULL)
            else:
                out[i] = kernels.f64.cross_entropy(self.vocab, <double*>self.logits_start, targets[i], 1, NULL)


cdef Py_ssize_t _draw_token(TokenStep self, double temperature, double u, void* p) noexcept nogil:
    """`p`: room for V probabilities. -1 where there is nothing to draw."""
    if self.single:
        return _draw[float](<float*>self.logits_start, <float*>p, self.vocab, temperature, u)
    return _draw[double](<double*>self.logits_start, <double*>p, self.vocab, temperature, u)


cdef Py_ssize_t _draw(
    const floating* logits, floating* p, Py_ssize_t n, double temperature, double u,
) noexcept nogil:
    cdef Py_ssize_t i
    cdef Py_ssize_t last = 0
    cdef double total = 0
    cdef double target, scale
    # As far as the numbers reach: a temperature beyond is as good as one that is infinite or zero.
    if floating is float:
        scale = min(max(1 / temperature, <double>FLT_MIN), <double>FLT_MAX)
        target = kernels.f32.boltzmann(n, logits, scale, p)
    else:
        scale = min(max(1 / temperature, DBL_MIN), DBL_MAX)
        target = kernels.f64.boltzmann(n, logits, scale, p)
    if not 0 < target < INFINITY:
        return -1
    target *= u
    for i in range(n):
        if p[i] > 0:
            last = i  # in case rounding leaves the sum just below the target
            total += p[i]
            if total > target:
                break
    return last
