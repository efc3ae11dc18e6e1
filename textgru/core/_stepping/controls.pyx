"""In the order in which they apply: bias, penalties, DRY; then mirostat, or top-n-sigma, top-k, typical-p, top-p,
min-p; then temperature."""

from cython cimport floating
from libc.math cimport INFINITY, exp, isfinite, log, pow
from libc.string cimport memmove

from textgru.core._support.typed_kernels cimport (
    boltzmann, boltzmann_below, collect, cut, deviation, entropy, largest, mask, penalise, typicality)

# Below this temperature the likeliest token alone has any probability.
cdef double GREEDY = 1e-6
# A vocabulary that is sooner gone through than the last tokens.
cdef Py_ssize_t SMALL = 1024
# base ** length stays finite.
cdef double LARGEST_EXPONENT = 88.0


cdef void remember(const Controls* c, History* row, Py_ssize_t token) noexcept nogil:
    cdef Py_ssize_t leaving
    if row.kept == 0:
        return
    if row.length == 2 * row.kept:
        memmove(row.tokens, row.tokens + row.kept, row.kept * sizeof(Py_ssize_t))
        row.length = row.kept
    row.tokens[row.length] = token
    row.length += 1
    if row.counts != NULL:
        row.counts[token] += 1
        leaving = row.length - 1 - c.penalty_last_n
        if leaving >= 0:
            row.counts[row.tokens[leaving]] -= 1


cdef double apply(
    const Controls* c, History* row, Scratch* scratch, floating* x, floating* p, Left* left,
) noexcept nogil:
    cdef Py_ssize_t i
    cdef floating most
    left.n, left.numbered = c.V, False
    for i in range(c.bias_count):
        x[c.biased[i]] += <floating>c.bias[i]
    if c.eos >= 0 and row.drawn < c.min_tokens:
        x[c.eos] = -INFINITY
    if row.counts != NULL:
        _penalise(c, row, x)
    if row.repeats != NULL:
        _break_repetitions(c, row, x, scratch.lengths)
    most = largest(c.V, x)
    if not isfinite(most):
        return -1
    if c.temperature < GREEDY and c.dynatemp_range == 0:
        return 0
    if c.mirostat_tau > 0:
        return _mirostat(c, row, x, p)
    _truncate(c, scratch, x, p, most, left)
    return 1 / _temperature(c, x, p, left)


cdef void _penalise(const Controls* c, History* row, floating* x) noexcept nogil:
    """Repetition (Keskar et al. 2019, arXiv:1909.05858, section 4.1), presence and frequency penalties. A token's count
    is negative once its score was changed."""
    cdef Py_ssize_t i, token, count
    cdef Py_ssize_t first = max(row.length - c.penalty_last_n, <Py_ssize_t>0)
    if c.V <= SMALL:
        penalise(
            c.V, row.counts, <floating>c.repetition_penalty, <floating>c.frequency_penalty,
            <floating>c.presence_penalty, x)
        return
    for i in range(first, row.length):
        token = row.tokens[i]
        count = row.counts[token]
        if count <= 0:
            continue
        row.counts[token] = -<int32_t>count
        x[token] *= <floating>(1 / c.repetition_penalty if x[token] > 0 else c.repetition_penalty)
        x[token] -= <floating>(count * c.frequency_penalty + c.presence_penalty)
    for i in range(first, row.length):
        token = row.tokens[i]
        if row.counts[token] < 0:
            row.counts[token] = -row.counts[token]


cdef void _break_repetitions(const Controls* c, History* row, floating* x, Py_ssize_t* lengths) noexcept nogil:
    """DRY: the score of a token that would go on with a repetition of the last n tokens, n from the allowed length on,
    falls by multiplier * base ** (n - allowed length).

    `lengths` becomes, for each i, how many tokens before the last i are those before the end: the Z function of the
    tokens read backwards; after them come the tokens that are found.
    """
    cdef Py_ssize_t n = min(row.length, c.dry_penalty_last_n)
    cdef const Py_ssize_t* end = row.tokens + row.length - 1
    cdef Py_ssize_t most = n
    cdef Py_ssize_t left = 0
    cdef Py_ssize_t right = 0
    cdef Py_ssize_t found = 0
    cdef Py_ssize_t i, length, token
    if c.dry_breakers != NULL:
        for i in range(n):
            if c.dry_breakers[end[-i]]:
                most = i
                break
    if most < c.dry_allowed_length:
        return
    for i in range(1, n):
        if i >= right and end[-i] != end[0]:
            lengths[i] = 0
            continue
        length = min(right - i, lengths[i - left]) if i < right else 0
        while i + length < n and end[-length] == end[-i - length]:
            length += 1
        if i + length > right:
            left, right = i, i + length
        lengths[i] = length
        length = min(length, most)
        token = end[1 - i]  # what followed there
        if length >= c.dry_allowed_length and length > row.repeats[token]:
            if row.repeats[token] == 0:
                lengths[n + found] = token
                found += 1
            row.repeats[token] = <int32_t>length
    for i in range(n, n + found):
        token = lengths[i]
        x[token] -= <floating>(c.dry_multiplier * exp(min(
            (row.repeats[token] - c.dry_allowed_length) * log(c.dry_base), LARGEST_EXPONENT)))
        row.repeats[token] = 0


cdef double _mirostat(const Controls* c, History* row, floating* x, floating* p) noexcept nogil:
    """Mirostat 2 (Basu et al. 2021, arXiv:2007.14966, algorithm 2): tokens of more surprise than mu are left out."""
    cdef double scale = 1 / max(c.temperature, GREEDY)
    cdef double total = boltzmann(c.V, x, scale, p)
    # The likeliest token stays: its number is 1.
    mask(c.V, p, <floating>min(total * pow(2, -row.mu), 1.0), x)
    return scale


cdef void _truncate(
    const Controls* c, Scratch* scratch, floating* x, floating* p, floating most, Left* left,
) noexcept nogil:
    cdef floating* key = <floating*>scratch.key
    cdef double total, expected, rare
    cdef floating guess
    if c.top_n_sigma > 0:
        _keep(x, <floating>(most - c.top_n_sigma * deviation(c.V, x)), left)
    if 0 < c.top_k < left.n:
        _keep_largest(scratch, x, <floating*>NULL, <floating*>NULL, c.top_k, -INFINITY, most, left)
    if c.typical_p < 1:
        total = boltzmann_below(left.n, x, most, 1, p)
        # The surprise of a token, less the expected one (Meister et al. 2022, arXiv:2202.00666). Those of more than
        # `rare` have less than the part left out, all together; below the expected one there are few.
        expected, rare = entropy(left.n, x, most, p, total), log(left.n / (1 - c.typical_p))
        typicality(left.n, x, <floating>(expected - most - log(total)), key)
        guess = <floating>min(expected - rare, -0.5)
        _keep_largest(scratch, key, x, p, c.typical_p * total, guess, 0, left)
        most = largest(left.n, x)
    if c.top_p < 1:
        total = boltzmann_below(left.n, x, most, 1, p)
        # Tokens of more surprise than this have less than the part left out, all together.
        guess = <floating>(most - log(left.n / (1 - c.top_p)))
        _keep_largest(scratch, x, <floating*>NULL, p, c.top_p * total, guess, most, left)
    if c.min_p > 0:
        _keep(x, <floating>(most + log(c.min_p)), left)


cdef void _keep(floating* x, floating least, Left* left) noexcept nogil:
    """Only the scores from `least` on."""
    left.n = collect(left.n, least, x, <floating*>NULL, <floating*>NULL, left.index, left.numbered)
    left.numbered = True


cdef void _keep_largest(
    Scratch* scratch, floating* key, floating* x, const floating* weight, double target, floating guess,
    floating high, Left* left,
) noexcept nogil:
    """Only the fewest with the largest keys whose weights add up to the target: see cut. The keys are the scores, or
    else x are."""
    cdef floating least
    cdef Py_ssize_t i, extra, to
    cdef Py_ssize_t wanted = cut(
        left.n, key, weight, target, guess, high, <floating*>scratch.keys, <floating*>scratch.weights, &least)
    left.n = collect(left.n, least, key, x, <floating*>NULL, left.index, left.numbered)
    left.numbered = True
    extra = left.n - wanted  # the last ones of equal keys
    if extra <= 0:
        return
    i = left.n
    while extra > 0 and i > 0:
        i -= 1
        if key[i] == least:
            extra -= 1
            for to in range(i, left.n - 1):
                key[to], left.index[to] = key[to + 1], left.index[to + 1]
                if x != NULL:
                    x[to] = x[to + 1]
            left.n -= 1


cdef double _temperature(const Controls* c, const floating* x, floating* p, const Left* all) noexcept nogil:
    """Between temperature -+ range, by how far the entropy is from none to that of equal scores (Zhu et al. 2024,
    arXiv:2309.02772, by entropy as llama.cpp does it)."""
    cdef double low, high, share, total
    cdef Py_ssize_t i
    cdef Py_ssize_t n = all.n
    cdef Py_ssize_t left = n
    if c.dynatemp_range == 0:
        return c.temperature
    if not all.numbered and (c.bias_count or c.eos >= 0):
        for i in range(n):
            left -= x[i] == -INFINITY
    low, high = max(c.temperature - c.dynatemp_range, GREEDY), c.temperature + c.dynatemp_range
    if left < 2:
        return high
    total = boltzmann(n, x, 1, p)
    share = min(max(entropy(n, x, largest(n, x), p, total) / log(<double>left), 0.0), 1.0)
    return max(low + (high - low) * pow(share, c.dynatemp_exponent), GREEDY)
