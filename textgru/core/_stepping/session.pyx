"""Rows of tokens read and drawn with packed weights: the checks, the buffers, the threads."""

import numpy as np

from cython.parallel cimport parallel
from libc.stdint cimport uintptr_t

from textgru.core._products.products cimport TEXTGRU_PACKED_COLUMNS, whole_blocks
from textgru.core._stepping.call cimport Call
from textgru.core._stepping.drawing cimport Drawing, draw
from textgru.core._stepping.many_rows cimport generate_rows, losses_of_rows, many_rows_bytes, read_rows
from textgru.core._stepping.one_row cimport generate_one_row, one_row_bytes, step_one_row
from textgru.core._stepping.packed_network cimport PackedNetwork
from textgru.core._stepping.sampler cimport Sampler
from textgru.core._stepping.sharing cimport Sharing
from textgru.core._stepping.weights cimport FP64, Weights
from textgru.core._support.team cimport team, team_begin

from textgru.core._stepping.state_bytes import state_from_bytes, state_to_bytes
from textgru.core._support import aligned
from textgru.core._support.checks import (
    check_array, check_integer, check_memory, check_number, check_size, own_index, sizes
)

NOTHING_TO_DRAW = "logits: expected finite scores to draw from; are the weights finite?"
BUSY = "this Session is computing in another thread: a session is used by one thread at a time"

# Rows times steps that are read at a time where all tokens are known, and bytes of their scores for losses.
cdef Py_ssize_t ROWS_AT_A_TIME = 256
cdef Py_ssize_t SCORED_BYTES = 1 << 20


cdef class Session:
    """The state of some rows (texts) that a PackedNetwork reads and writes side by side.

    B = `rows`, V tokens, L layers, H hidden units. `logits` (B, V): the scores of each row's next token, which the
    methods write. What a row reads and draws doesn't depend, to the bit, on which or how many other rows there are, nor
    on the number of threads. A session is used by one thread at a time: another that comes while it computes gets a
    RuntimeError. Sessions of one PackedNetwork can be used at the same time. Where there is one row, an integer is as
    good as an array (1,), and (n,) as (n, 1). It can't be copied; `state` can be handed to another session.

    Raises TypeError or ValueError for what can't be, MemoryError for more rows than the memory holds.
    """

    cdef readonly PackedNetwork packed
    cdef readonly Py_ssize_t rows
    cdef readonly object logits
    cdef readonly int threads           # how many the last call used
    cdef Sharing sharing
    cdef bint busy
    cdef Call call
    cdef tuple states                   # (L, B, H) each
    cdef object tokens                  # (B,)
    cdef dict buffers                   # name -> array: what Call points into
    cdef bint scores                    # whether there is room for losses

    def __cinit__(self, packed, rows=1):
        if not isinstance(packed, PackedNetwork):
            raise TypeError(f"packed: expected a PackedNetwork, got {type(packed).__name__}")
        self.packed, self.rows = packed, check_size("rows", rows)
        cdef const Weights* w = &self.packed.weights
        dtype = self.packed.dtype
        width, scores = whole_blocks(w.H) * w.G, whole_blocks(w.V)
        check_memory("rows", self.rows * w.item * ((w.L + 2) * w.S * w.H + 3 * width + scores))
        self.states = tuple(aligned.zeros((w.L, self.rows, w.H), dtype) for _ in range(w.S))
        logits = aligned.zeros((self.rows, scores), dtype)
        self.logits = logits[:, : w.V]
        self.tokens, self.buffers = np.zeros(self.rows, np.intp), {"logits": logits}
        self.call.w, self.call.rows = w, self.rows
        for s in range(w.S):
            self.call.states[s] = _start(self.states[s])
        self.call.logits, self.call.tokens = _start(logits), <Py_ssize_t*>_start(self.tokens)
        self.sharing, self.threads, self.busy = Sharing(), 1, False
        self._reserve(1, 1, False)

    def __reduce__(self):
        raise TypeError("a Session can't be copied or pickled: make another and give it this one's state")

    @property
    def state(self):
        """A tuple of arrays (L, B, H), one for each of the cell's states: copies. Can be set to such a tuple; the
        scores stay what they are until a token is read. Raises TypeError or ValueError for what doesn't fit."""
        with _Busy(self):
            return tuple(state.copy() for state in self.states)

    @state.setter
    def state(self, arrays):
        if not isinstance(arrays, (tuple, list)) or len(arrays) != len(self.states):
            raise TypeError(f"state: expected a tuple of {len(self.states)} arrays, got {type(arrays).__name__}")
        for array, state in zip(arrays, self.states):
            check_array("state", array, self.packed.dtype, state.shape)
        with _Busy(self):
            for array, state in zip(arrays, self.states):
                state[...] = array

    def save_state(self) -> bytes:
        """The state as bytes, in the safetensors format, for load_state of a session like this one."""
        return state_to_bytes(self.packed.cell, self.packed.states, self.state)

    def load_state(self, data) -> None:
        """Sets the state to one that save_state gave. Raises TypeError for what are no bytes, ValueError for damaged
        ones and for the state of another cell, of other sizes or dtype."""
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError(f"data: expected bytes, got {type(data).__name__}")
        self.state = state_from_bytes(
            bytes(data), self.packed.cell, self.packed.states, self.states[0].shape, self.packed.dtype)

    def reorder(self, rows) -> None:
        """Row i becomes what row rows[i] was, its state and its scores; rows (B,) intp, some maybe more than once.

        Raises TypeError, ValueError or IndexError for what is no such array.
        """
        rows = own_index("rows", rows, (self.rows,), self.rows)
        with _Busy(self):
            for state in self.states:
                state[...] = state[:, rows]
            self.logits[...] = self.logits[rows]

    def step(self, tokens) -> None:
        """Each row reads a token: tokens (B,) intp. The state moves on, the logits are those after it.

        Raises IndexError outside 0..V-1, TypeError or ValueError on an array that doesn't fit.
        """
        if self.rows == 1 and not isinstance(tokens, np.ndarray):
            self._read_one(self._token("tokens", tokens, 0))
            return
        self._read(own_index("tokens", tokens, (self.rows,), self.packed.vocab_size)[None])

    def read(self, tokens) -> None:
        """Each row reads tokens (T, B) intp: the same as T steps, faster. Nothing for T = 0. Raises as step."""
        self._read(self._index("tokens", tokens))

    def losses(self, tokens, targets):
        """Each row reads tokens (T, B) intp; the negative log-likelihood (T, B) of each of the targets (T, B) after its
        token, in nats, float64. Raises as step."""
        shape = tokens.shape if isinstance(tokens, np.ndarray) else ()
        read, wanted = self._index("tokens", tokens), self._index("targets", targets)
        if len(wanted) != len(read):
            raise ValueError(f"targets: expected {len(read)} steps, got {len(wanted)}")
        result = np.empty(wanted.shape)
        if len(read):
            self._read(read, wanted, result)
        return result.reshape(shape)

    def generate(self, tokens, u, temperature=1.0, never=-1, *, sampler=None, return_losses=False):
        """Each row reads a token, draws the next one and reads it, and so on: len(u) new tokens, (n, B) intp.

        tokens (B,) intp. Each is drawn as by `draw` with its number in u (n, B) float64, in [0, 1); the last ones are
        not read. The token `never`, unless it is -1, is not drawn. With a `sampler`, a Sampler of as many rows, its
        controls apply in place of the temperature, and it takes note of what is drawn. With `return_losses` a tuple:
        those, and the negative log-likelihood (n, B) of each in the softmax of all scores, whatever the controls, in
        nats, float64. Raises as step and draw; the
        state is then that of rows which have read rubbish.
        """
        cdef Drawing how
        how.never = self._token("never", never, -1)
        how.temperature = check_number("temperature", temperature, above=0.0)
        how.controls, how.losses = NULL, NULL
        if sampler is not None:
            self._check_sampler(sampler)
        flat = self.rows == 1 and isinstance(u, np.ndarray) and u.ndim == 1
        if self.rows == 1 and not isinstance(tokens, np.ndarray):
            tokens = np.array([self._token("tokens", tokens, 0)])
        tokens = own_index("tokens", tokens, (self.rows,), self.packed.vocab_size)
        check_array("u", u, np.dtype(np.float64), sizes(u, "n") if flat else (*sizes(u, "n", "B")[:1], self.rows))
        numbers = np.array(u)
        if not ((numbers >= 0) & (numbers < 1)).all():
            raise ValueError("u: expected numbers from 0 to below 1")
        drawn = np.empty(numbers.shape, np.intp)
        losses = np.empty(numbers.shape)
        if return_losses:
            how.losses = <double*>_start(losses)
        if numbers.size and self._generate(
                tokens, numbers.reshape(-1, self.rows), drawn.reshape(-1, self.rows), how, sampler):
            raise ValueError(NOTHING_TO_DRAW)
        return (drawn, losses) if return_losses else drawn

    def draw(self, temperature, u):
        """For each row a token (B,) intp, drawn from softmax(its logits / temperature): the first whose cumulative
        probability is above its number in u (B,) float64.

        `temperature` finite and above 0, u in [0, 1). Raises ValueError for others, and where the logits make no
        distribution: with NaN or infinity among them, or nothing else than -infinity.
        """
        cdef Drawing how
        how.temperature, how.never = check_number("temperature", temperature, above=0.0), -1
        how.controls, how.losses = NULL, NULL
        flat = self.rows == 1 and not isinstance(u, np.ndarray)
        numbers = np.array([check_number("u", u, 0.0, 1.0)]) if flat else u
        check_array("u", numbers, np.dtype(np.float64), (self.rows,))
        numbers = np.array(numbers)
        if not ((numbers >= 0) & (numbers < 1)).all():
            raise ValueError("u: expected numbers from 0 to below 1")
        drawn = np.empty(self.rows, np.intp)
        self._draw(how, numbers, drawn)
        return int(drawn[0]) if flat else drawn

    cdef Py_ssize_t _token(self, name, token, low) except? -2:
        """The token, an integer from `low` to V - 1."""
        token = check_integer(name, token, -2**62, 2**62)
        if not low <= token < self.packed.vocab_size:
            raise IndexError(f"{name}: expected {low} to {self.packed.vocab_size - 1}, got {token}")
        return token

    cdef _index(self, name, tokens):
        """A copy (T, B) of tokens, checked."""
        if self.rows == 1 and isinstance(tokens, np.ndarray) and tokens.ndim == 1:
            return own_index(name, tokens, sizes(tokens, "T"), self.packed.vocab_size).reshape(-1, 1)
        steps = sizes(tokens, "T", "B")[0]
        return own_index(name, tokens, (steps, self.rows), self.packed.vocab_size)

    cdef _read_one(self, Py_ssize_t token):
        cdef team together
        cdef int threads
        with _Busy(self):
            threads = self._share(&together, 1, 1, False)
            with nogil:
                if threads == 1:
                    step_one_row(&self.call, token)
                else:
                    with parallel(num_threads=threads):
                        step_one_row(&self.call, token)

    cdef _read(self, tokens, targets=None, losses=None):
        """tokens and targets (T, B), losses (T, B) to write to."""
        cdef const Py_ssize_t[:, ::1] read = tokens
        cdef const Py_ssize_t[:, ::1] wanted = tokens if targets is None else targets
        cdef double[:, ::1] out = losses
        cdef bint scores = targets is not None
        cdef Py_ssize_t T = read.shape[0]
        cdef team together
        cdef int threads
        if T == 0:
            return
        if T == 1 and self.rows == 1 and not scores:
            self._read_one(read[0, 0])
            return
        with _Busy(self):
            threads = self._share(&together, T, min(T, max(1, ROWS_AT_A_TIME // self.rows)), scores)
            with nogil:
                if threads == 1:
                    _read_part(&self.call, T, &read[0, 0], &wanted[0, 0], &out[0, 0] if scores else NULL)
                else:
                    with parallel(num_threads=threads):
                        _read_part(&self.call, T, &read[0, 0], &wanted[0, 0], &out[0, 0] if scores else NULL)

    def _check_sampler(self, sampler):
        if not isinstance(sampler, Sampler):
            raise TypeError(f"sampler: expected a Sampler, got {type(sampler).__name__}")
        if (sampler.rows, sampler.vocab_size) != (self.rows, self.packed.vocab_size):
            raise ValueError(
                f"sampler: expected one of {self.rows} rows and {self.packed.vocab_size} tokens, got {sampler.rows} "
                f"and {sampler.vocab_size}")

    cdef bint _generate(
        self, tokens, const double[:, ::1] u, Py_ssize_t[:, ::1] out, Drawing how, Sampler sampler,
    ) except -1:
        """Whether there was nothing to draw."""
        cdef Py_ssize_t n = u.shape[0]
        cdef Py_ssize_t token = tokens[0]
        cdef team together
        cdef int threads
        cdef bint failed = False
        with _Busy(self):
            self.tokens[...] = tokens
            threads = self._share(&together, n, 1, False)
            if sampler is not None:
                sampler._prepare(&how, threads, self.call.w.item)
            with nogil:
                if threads == 1:
                    _generate_part(&self.call, token, n, &u[0, 0], &how, &out[0, 0], &failed)
                else:
                    with parallel(num_threads=threads):
                        _generate_part(&self.call, token, n, &u[0, 0], &how, &out[0, 0], &failed)
        return failed

    cdef _draw(self, Drawing how, const double[::1] u, Py_ssize_t[::1] out):
        cdef Py_ssize_t row_size = self.call.w.output_blocks * TEXTGRU_PACKED_COLUMNS
        cdef Py_ssize_t b
        cdef bint failed = False
        with _Busy(self), nogil:
            for b in range(self.rows):
                if self.call.w.kind == FP64:
                    out[b] = draw(
                        &how, b, 0, self.call.w.V, <double*>self.call.logits + b * row_size, u[b],
                        <double*>self.call.scratch)
                else:
                    out[b] = draw(
                        &how, b, 0, self.call.w.V, <float*>self.call.logits + b * row_size, u[b],
                        <float*>self.call.scratch)
                failed = failed or out[b] < 0
        if failed:
            raise ValueError(NOTHING_TO_DRAW)

    cdef int _share(self, team* together, Py_ssize_t steps, Py_ssize_t at_a_time, bint scores) except -1:
        """How many threads a call of this many steps uses, with room for all of them, and what they share."""
        cdef int threads = self.sharing.threads(
            self.call.w, self.packed.nbytes, self.rows, steps, &self.call.by_units)
        self._reserve(at_a_time, threads, scores)
        self.call.together = together
        team_begin(together)
        self.threads = threads
        return threads

    cdef _reserve(self, Py_ssize_t steps, int threads, bint scores):
        """Room for reading `steps` steps at a time with `threads` threads. All of it, or as before with MemoryError."""
        cdef const Weights* w = self.call.w
        cdef Py_ssize_t s, rows, width, row, scored_rows, scratch_bytes
        cdef int half
        if steps <= self.call.steps and threads <= len(self.buffers["scratch"]) and (self.scores or not scores):
            return
        steps, scores = max(steps, self.call.steps), scores or self.scores
        rows, width, row = self.rows * steps, w.blocks * w.G * TEXTGRU_PACKED_COLUMNS, whole_blocks(w.V)
        scratch_bytes = many_rows_bytes(w, self.rows, steps)
        if self.rows == 1:
            scratch_bytes = max(scratch_bytes, one_row_bytes(w))
        scored_rows = max(<Py_ssize_t>1, min(rows, SCORED_BYTES // (row * w.item))) if scores else 0
        projected = w.L > 1 or w.table == NULL
        dtype = self.packed.dtype
        buffers = {
            "after": self._at_least("after", (2, w.S, max(rows, w.L), w.H), dtype),
            "projected": self._at_least("projected", (rows if projected else 0, width), dtype),
            "scratch": self._at_least("scratch", (threads, scratch_bytes), np.dtype(np.uint8)),
            "scored": self._at_least("scored", (threads, scored_rows, row), dtype),
        }
        self.buffers.update(buffers)
        for half in range(2):
            for s in range(w.S):
                self.call.after[half][s] = _start(buffers["after"][half, s])
        self.call.projected, self.call.scored = _start(buffers["projected"]), _start(buffers["scored"])
        self.call.scratch, self.call.scratch_bytes = <char*>_start(buffers["scratch"]), scratch_bytes
        self.call.steps, self.call.scored_rows, self.scores = steps, scored_rows, scores

    cdef _at_least(self, name, shape, dtype):
        """The buffer of this name, or a larger one of at least this shape."""
        had = self.buffers.get(name)
        if had is None:
            return aligned.zeros(shape, dtype)
        shape = tuple(map(max, zip(shape, had.shape)))
        return had if shape == had.shape else aligned.zeros(shape, dtype)


cdef class _Busy:
    """While a session computes. Raises RuntimeError where it does so already."""

    cdef Session session

    def __cinit__(self, Session session):
        self.session = session

    def __enter__(self):
        if self.session.busy:
            raise RuntimeError(BUSY)
        self.session.busy = True

    def __exit__(self, *_):
        self.session.busy = False


cdef void* _start(array) except? NULL:
    return <void*><uintptr_t>array.ctypes.data


cdef void _read_part(
    Call* call, Py_ssize_t T, const Py_ssize_t* tokens, const Py_ssize_t* targets, double* out,
) noexcept nogil:
    """Losses where there is room for them."""
    if out == NULL:
        read_rows(call, T, tokens)
    else:
        losses_of_rows(call, T, tokens, targets, out)


cdef void _generate_part(
    Call* call, Py_ssize_t token, Py_ssize_t n, const double* u, const Drawing* how, Py_ssize_t* out, bint* failed,
) noexcept nogil:
    if call.rows == 1:
        generate_one_row(call, token, n, u, how, out, failed)
    else:
        generate_rows(call, n, u, how, out, failed)
