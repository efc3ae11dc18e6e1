"""Sampling controls, as the compiled loop applies them."""

from cython cimport floating
from libc.stdint cimport int32_t

# The controls of all rows: what each means, and its value when it is off, is in sampler.pyx.
cdef struct Controls:
    Py_ssize_t V
    double temperature, dynatemp_range, dynatemp_exponent
    Py_ssize_t top_k
    double top_p, min_p, typical_p, top_n_sigma
    double repetition_penalty, presence_penalty, frequency_penalty
    Py_ssize_t penalty_last_n
    double dry_multiplier, dry_base
    Py_ssize_t dry_allowed_length, dry_penalty_last_n
    const char* dry_breakers        # (V,): whether a repetition ends at a token; or NULL
    double mirostat_tau, mirostat_eta
    const Py_ssize_t* biased        # (bias_count,): tokens whose scores are changed
    const double* bias              # (bias_count,): by how much, -infinity for those that are never drawn
    Py_ssize_t bias_count
    Py_ssize_t eos, min_tokens

# What a row remembers. The last `kept` tokens stand together, chronologically, at the end of the first `length`.
cdef struct History:
    Py_ssize_t* tokens              # room for two times `kept`
    Py_ssize_t kept, length
    int32_t* counts                 # (V,): in the last penalty_last_n; or NULL
    int32_t* repeats                # (V,): zeros; or NULL
    Py_ssize_t drawn
    double mu                       # mirostat's bound on the surprise, in bits

# A token was read.
cdef void remember(const Controls* c, History* row, Py_ssize_t token) noexcept nogil

# The tokens that are left: n scores, of the tokens 0, 1, ... unless they are `numbered`, by `index` (room for V).
cdef struct Left:
    Py_ssize_t n
    int32_t* index
    bint numbered

# What a thread needs for a row of V tokens: room for V + 16 numbers or indices each, for twice as many keys and
# weights, for 2 * dry_penalty_last_n lengths.
cdef struct Scratch:
    void* x
    void* key
    void* keys
    void* weights
    int32_t* index
    Py_ssize_t* lengths

# The scores x (V,) as they are drawn from: those that can't be drawn are -infinity, or not left. `p`: room for V
# numbers. Returns 1 / temperature; 0 for the likeliest token alone; -1 where nothing is left.
cdef double apply(
    const Controls* c, History* row, Scratch* scratch, floating* x, floating* p, Left* left) noexcept nogil
