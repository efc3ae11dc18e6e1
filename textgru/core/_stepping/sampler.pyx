"""How tokens are drawn from scores: all sampling controls, and what they remember of each row."""

import numpy as np

from cython cimport floating
from libc.stdint cimport int32_t, uintptr_t

from textgru.core._stepping.controls cimport History, remember
from textgru.core._stepping.drawing cimport Drawing, controls_bytes, distribution, draw

from textgru.core._support import aligned
from textgru.core._support.checks import (
    check_array, check_floats, check_integer, check_memory, check_number, check_size, own_index, sizes
)

NOTHING_LEFT = "logits: the controls leave nothing to draw from, or the scores are not finite"
LONGEST = 1 << 20  # tokens that are looked back


cdef class Sampler:
    """Sampling controls for the rows of a session; they apply in this order, to scores x (V,) of each row:

    1. `logit_bias` (token -> number) is added; `banned` tokens can't be drawn, nor `eos` until `min_tokens` were.
    2. Of the last `penalty_last_n` tokens: `repetition_penalty` divides positive scores and multiplies negative ones
       (Keskar et al. 2019, arXiv:1909.05858, section 4.1); `presence_penalty`, and `frequency_penalty` times how often
       a token is among them, are subtracted (as in OpenAI's API).
    3. DRY: a token that would go on with a repetition of n >= `dry_allowed_length` tokens loses `dry_multiplier` *
       `dry_base` ** (n - dry_allowed_length); looked for in the last `dry_penalty_last_n` tokens, and not beyond one of
       the `dry_breakers`.
    4. `top_n_sigma`: only scores within that many standard deviations of the largest (Tang et al. 2024,
       arXiv:2411.07641).
    5. `top_k`: only the k likeliest tokens.
    6. `typical_p`: only the tokens whose surprise is nearest the expected one, up to this probability (Meister et al.
       2022, arXiv:2202.00666).
    7. `top_p`: only the likeliest tokens, up to this probability (Holtzman et al. 2020, arXiv:1904.09751).
    8. `min_p`: only tokens at least this part as likely as the likeliest (Nguyen et al. 2024, arXiv:2407.01082).
    9. `temperature` divides; 0: the likeliest token. With `dynatemp_range` it is from temperature - range, where the
       entropy is 0, to temperature + range, where it is that of n equal scores: by (entropy / log n) **
       dynatemp_exponent.

    With `mirostat_tau` (in bits) above 0, Mirostat 2 (Basu et al. 2021, arXiv:2007.14966) takes the place of 4 to 8,
    after a fixed temperature: tokens of more surprise than a bound are left out, which follows the surprise with the
    rate `mirostat_eta`.

    These are off: temperature 1, dynatemp_range 0, top_k 0, top_p 1, min_p 0, typical_p 1, top_n_sigma 0,
    repetition_penalty 1, presence_penalty 0, frequency_penalty 0, dry_multiplier 0, mirostat_tau 0.
    Raises TypeError or ValueError for what can't be, IndexError for tokens outside 0..V-1. It can't be copied.
    """

    def __cinit__(
        self, vocab_size, rows=1, *, temperature=1.0, dynatemp_range=0.0, dynatemp_exponent=1.0, top_k=0, top_p=1.0,
        min_p=0.0, typical_p=1.0, top_n_sigma=0.0, repetition_penalty=1.0, presence_penalty=0.0, frequency_penalty=0.0,
        penalty_last_n=64, dry_multiplier=0.0, dry_base=1.75, dry_allowed_length=2, dry_penalty_last_n=1024,
        dry_breakers=(), mirostat_tau=0.0, mirostat_eta=0.1, logit_bias=None, banned=(), eos=-1, min_tokens=0,
    ):
        c = &self.controls
        self.vocab_size, self.rows, self.buffers = check_size("vocab_size", vocab_size), check_size("rows", rows), {}
        c.V = self.vocab_size
        c.temperature = check_number("temperature", temperature, 0.0)
        c.dynatemp_range = check_number("dynatemp_range", dynatemp_range, 0.0)
        c.dynatemp_exponent = check_number("dynatemp_exponent", dynatemp_exponent, above=0.0)
        c.top_k = check_integer("top_k", top_k, 0, 2**62)
        c.top_p, c.typical_p = _part("top_p", top_p), _part("typical_p", typical_p)
        c.min_p = check_number("min_p", min_p, 0.0, 1.0)
        c.top_n_sigma = check_number("top_n_sigma", top_n_sigma, 0.0)
        c.repetition_penalty = check_number("repetition_penalty", repetition_penalty, above=0.0)
        c.presence_penalty = check_number("presence_penalty", presence_penalty)
        c.frequency_penalty = check_number("frequency_penalty", frequency_penalty)
        c.penalty_last_n = check_integer("penalty_last_n", penalty_last_n, 0, LONGEST)
        c.dry_multiplier = check_number("dry_multiplier", dry_multiplier, 0.0)
        c.dry_base = check_number("dry_base", dry_base, 1.0)
        c.dry_allowed_length = check_integer("dry_allowed_length", dry_allowed_length, 1, LONGEST)
        c.dry_penalty_last_n = check_integer("dry_penalty_last_n", dry_penalty_last_n, 0, LONGEST)
        c.mirostat_tau = check_number("mirostat_tau", mirostat_tau, 0.0)
        c.mirostat_eta = check_number("mirostat_eta", mirostat_eta, 0.0)
        c.eos = self._tokens("eos", [eos])[0] if eos != -1 else -1
        c.min_tokens = check_integer("min_tokens", min_tokens, 0, 2**62)
        self._bias({} if logit_bias is None else logit_bias, banned)
        self._remember(dry_breakers)

    def __reduce__(self):
        raise TypeError("a Sampler can't be copied or pickled: make another")

    def _tokens(self, name, tokens):
        """A list of token ids, checked."""
        if isinstance(tokens, (str, bytes)) or not hasattr(tokens, "__iter__"):
            raise TypeError(f"{name}: expected tokens, got {type(tokens).__name__}")
        tokens = [check_integer(name, token, -2**62, 2**62) for token in tokens]
        for token in tokens:
            if not 0 <= token < self.vocab_size:
                raise IndexError(f"{name}: expected 0 to {self.vocab_size - 1}, got {token}")
        return tokens

    def _bias(self, logit_bias, banned):
        if not hasattr(logit_bias, "items"):
            raise TypeError(f"logit_bias: expected a mapping of tokens to numbers, got {type(logit_bias).__name__}")
        bias = {}
        for token, value in logit_bias.items():
            (token,) = self._tokens("logit_bias", [token])
            bias[token] = check_number("logit_bias", value)
        bias |= dict.fromkeys(self._tokens("banned", banned), -np.inf)
        tokens, values = np.array(list(bias), np.intp), np.array(list(bias.values()), np.float64)
        self.controls.bias_count = len(bias)
        self.controls.biased = <const Py_ssize_t*>self._keep("biased", tokens)
        self.controls.bias = <const double*>self._keep("bias", values)

    def _remember(self, breakers):
        """Room for what each row remembers."""
        c = &self.controls
        cdef Py_ssize_t B = self.rows
        cdef Py_ssize_t b
        cdef History* row
        breakers = self._tokens("dry_breakers", breakers)
        penalises = c.penalty_last_n > 0 and (
            c.repetition_penalty != 1 or c.presence_penalty != 0 or c.frequency_penalty != 0)
        if c.dry_multiplier == 0:
            c.dry_penalty_last_n = 0
        dry = c.dry_penalty_last_n > 0
        cdef Py_ssize_t kept = max(c.penalty_last_n if penalises else 0, c.dry_penalty_last_n)
        check_memory("rows", B * (2 * kept * 8 + 4 * c.V * (penalises + dry)))
        tokens = np.zeros((B, 2 * kept), np.intp)
        counts = np.zeros((B if penalises else 0, c.V), np.int32)
        repeats = np.zeros((B if dry else 0, c.V), np.int32)
        self._keep("tokens", tokens), self._keep("counts", counts), self._keep("repeats", repeats)
        self.history = <History*>self._keep("history", aligned.zeros((B, sizeof(History)), np.uint8))
        c.dry_breakers = NULL
        if breakers:
            marks = np.zeros(c.V, np.int8)
            marks[breakers] = 1
            c.dry_breakers = <const char*>self._keep("breakers", marks)
        for b in range(B):
            row = &self.history[b]
            row.tokens, row.kept, row.length = <Py_ssize_t*>_start(tokens) + b * 2 * kept, kept, 0
            row.counts = <int32_t*>_start(counts) + b * c.V if penalises else NULL
            row.repeats = <int32_t*>_start(repeats) + b * c.V if dry else NULL
            row.drawn, row.mu = 0, 2 * c.mirostat_tau

    def read(self, tokens) -> None:
        """Each row has read tokens (T, B) intp, which a session read: the prompt, for the penalties. For one row (T,)
        as well. Raises TypeError, ValueError or IndexError for what doesn't fit."""
        flat = self.rows == 1 and isinstance(tokens, np.ndarray) and tokens.ndim == 1
        shape = sizes(tokens, "T") if flat else (sizes(tokens, "T", "B")[0], self.rows)
        cdef const Py_ssize_t[:, ::1] read = own_index("tokens", tokens, shape, self.vocab_size).reshape(-1, self.rows)
        cdef Py_ssize_t t, b
        for t in range(read.shape[0]):
            for b in range(self.rows):
                remember(&self.controls, &self.history[b], read[t, b])

    def reorder(self, rows) -> None:
        """Row i becomes what row rows[i] was; rows (B,) intp. Raises TypeError, ValueError or IndexError for others."""
        rows = own_index("rows", rows, (self.rows,), self.rows)
        cdef const Py_ssize_t[::1] order = rows
        cdef Py_ssize_t b
        for name in ("tokens", "counts"):
            if len(self.buffers[name]):
                self.buffers[name][...] = self.buffers[name][rows]
        before = [(self.history[b].length, self.history[b].drawn, self.history[b].mu) for b in range(self.rows)]
        for b in range(self.rows):
            self.history[b].length, self.history[b].drawn, self.history[b].mu = before[order[b]]

    def memory(self) -> list:
        """What each row remembers, for `recall` of a sampler with the same controls: its last tokens (n,) intp, as many
        as are looked back; how many were drawn; and Mirostat's bound, in bits."""
        cdef Py_ssize_t b, length
        found = []
        for b in range(self.rows):
            length = self.history[b].length
            tokens = self.buffers["tokens"][b, max(0, length - self.history[b].kept) : length].copy()
            found.append((tokens, self.history[b].drawn, self.history[b].mu))
        return found

    def recall(self, memories) -> None:
        """Row b remembers what memories[b] says, which `memory` gave, and nothing else. Raises TypeError, ValueError or
        IndexError for others."""
        cdef const Py_ssize_t[::1] read
        cdef Py_ssize_t b, t
        if not isinstance(memories, (list, tuple)) or len(memories) != self.rows:
            raise ValueError(f"memories: expected a list of {self.rows}, one for each row")
        checked = []
        for tokens, drawn, mu in memories:
            checked.append((
                own_index("memories", tokens, sizes(tokens, "T"), self.vocab_size),
                check_integer("memories", drawn, 0, 2**62), check_number("memories", mu)))
        for b in range(self.rows):
            read, drawn, mu = checked[b]
            row = &self.history[b]
            row.length, row.drawn, row.mu = 0, drawn, mu
            if row.counts != NULL:
                self.buffers["counts"][b] = 0
            for t in range(read.shape[0]):
                remember(&self.controls, row, read[t])

    def probabilities(self, logits) -> np.ndarray:
        """What each row's next token would be drawn with, (B, V) float64, from scores (B, V), float32 or float64.

        Raises TypeError or ValueError for what is no such array, ValueError where nothing can be drawn.
        """
        check_floats("logits", logits, (self.rows, self.vocab_size))
        result = np.empty(logits.shape)
        _distributions(self, logits, result)
        if not result.any(axis=1).all():
            raise ValueError(NOTHING_LEFT)
        return result

    def draw(self, logits, u) -> np.ndarray:
        """For each row a token (B,) intp, drawn from scores (B, V), float32 or float64, and taken note of: the first
        whose cumulative probability is above its number in u (B,) float64, in [0, 1).

        Raises TypeError or ValueError for what is no such array, ValueError where a row has nothing to draw; it is then
        unknown which rows took note of a token.
        """
        check_floats("logits", logits, (self.rows, self.vocab_size))
        check_array("u", u, np.dtype(np.float64), (self.rows,))
        numbers = np.array(u)
        if not ((numbers >= 0) & (numbers < 1)).all():
            raise ValueError("u: expected numbers from 0 to below 1")
        drawn = np.empty(self.rows, np.intp)
        _draw_rows(self, np.array(logits), numbers, drawn)
        if (drawn < 0).any():
            raise ValueError(NOTHING_LEFT)
        return drawn

    cdef _prepare(self, Drawing* how, int threads, Py_ssize_t item):
        how.controls, how.rows = &self.controls, self.history
        how.scratch_bytes = controls_bytes(&self.controls, item)
        had = self.buffers.get("scratch")
        if had is None or had.size < threads * how.scratch_bytes:
            self._keep("scratch", aligned.zeros(threads * how.scratch_bytes, np.uint8))
        how.scratch = <char*>_start(self.buffers["scratch"])

    cdef void* _keep(self, name, array) except? NULL:
        self.buffers[name] = array
        return _start(array)


def _distributions(Sampler sampler, const floating[:, ::1] logits, double[:, ::1] out):
    cdef Drawing how
    cdef Py_ssize_t b
    sampler._prepare(&how, 2, sizeof(floating))  # the second one's is room for the probabilities
    how.never = -1
    for b in range(sampler.rows):
        distribution(&how, b, sampler.vocab_size, &logits[b, 0], &out[b, 0])


def _draw_rows(Sampler sampler, floating[:, ::1] logits, const double[::1] u, Py_ssize_t[::1] out):
    cdef Drawing how
    cdef Py_ssize_t b
    sampler._prepare(&how, 2, sizeof(floating))  # the second one's is room for the probabilities
    how.never = -1
    for b in range(sampler.rows):
        out[b] = draw(
            &how, b, 0, sampler.vocab_size, &logits[b, 0], u[b], <floating*>(how.scratch + how.scratch_bytes))


cdef void* _start(array) except? NULL:
    return <void*><uintptr_t>array.ctypes.data


def _part(name, value):
    value = check_number(name, value, above=0.0)
    if value > 1:
        raise ValueError(f"{name}: expected a number above 0, up to 1, got {value}")
    return value
