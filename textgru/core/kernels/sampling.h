/* What sampling controls ask of a row of scores; for one REAL, included by kernels.c. What each computes: kernels.h. */

#define CANDIDATES 16

static void NAME(mask)(size_t n, const REAL *RESTRICT key, REAL least, REAL *RESTRICT x)
{
    SIMD
    for (size_t i = 0; i < n; i++)
        x[i] = key[i] < least ? -(REAL)INFINITY : x[i];
}

/* How many keys there are from `least` on. */
static double NAME(above)(size_t n, const REAL *key, REAL least)
{
    double sum = 0;
    SIMD_SUM(sum)
    for (size_t i = 0; i < n; i++)
        sum += key[i] >= least ? 1 : 0;
    return sum;
}

/* The keys from `bound` on, or those below it, with their weights, in their order: how many. OUT sum: what they
 * weigh. */
static size_t NAME(part)(size_t n, const REAL *key, const REAL *weight, REAL bound, int below, REAL *k, REAL *w,
                         double *sum)
{
    size_t count = 0, i = 0;
    *sum = 0;
#ifdef COLLECT_16
    while (i + 16 <= n) {
        __m512 part = _mm512_setzero_ps();
        for (int turn = 0; turn < 16 && i + 16 <= n; turn++, i += 16) {
            const __m512 keys = _mm512_loadu_ps(key + i), weights = _mm512_loadu_ps(weight ? weight + i : key + i);
            __mmask16 some = _mm512_cmp_ps_mask(keys, _mm512_set1_ps(bound), _CMP_GE_OQ);
            some = below ? (__mmask16)~some : some;
            _mm512_storeu_ps(k + count, _mm512_maskz_compress_ps(some, keys));
            if (weight) {
                _mm512_storeu_ps(w + count, _mm512_maskz_compress_ps(some, weights));
                part = _mm512_mask_add_ps(part, some, part, weights);
            }
            count += (size_t)__builtin_popcount(some);
        }
        *sum += (double)_mm512_reduce_add_ps(part);
    }
#endif
    for (; i < n; i++) { /* without a branch that nothing could predict */
        const REAL one = key[i];
        const int stays = below ? !(one >= bound) : one >= bound;
        k[count] = one;
        if (weight) {
            *sum += stays ? (double)weight[i] : 0;
            w[count] = weight[i];
        }
        count += stays;
    }
    if (!weight)
        *sum = (double)count;
    return count;
}

/* Of two bounds, at the lower one enough weight is left, at the upper one too little. They are brought together, and only
 * what is between them is looked at, until few candidates are left, which are taken one by one; or only equal ones, which
 * are taken in their order. */
static size_t NAME(cut)(size_t n, const REAL *key, const REAL *weight, double target, REAL guess, REAL high, REAL *k,
                        REAL *w, REAL *least)
{
    const REAL *from = key, *from_weight = weight;
    REAL *to = k, *to_weight = w, low = (REAL)INFINITY;
    size_t left = n, taken = 0; /* between the bounds, or not looked at yet; from the upper one on */
    double sum = 0, more;       /* their weight */
    int known = 0;
    high = NEXT(high);
    if (guess > -(REAL)INFINITY && guess < high) {
        left = NAME(part)(n, key, weight, guess, 0, to, to_weight, &more);
        known = more >= target;
        if (known) {
            low = guess;
        } else {
            high = guess, sum = more, taken = left;
            left = NAME(part)(n, key, weight, guess, 1, to, to_weight, &more);
        }
        from = to, from_weight = weight ? to_weight : NULL;
        to = k + n + 16, to_weight = w + n + 16;
    }
    if (!known) {
        SIMD_MIN(low)
        for (size_t i = 0; i < left; i++)
            low = from[i] > -(REAL)INFINITY && from[i] < low ? from[i] : low;
        *least = low < (REAL)INFINITY ? low : high;
        if (!(low < high) || (!weight && (double)taken + NAME(above)(left, from, low) <= target))
            return n;
    }
    *least = low;
    while (left > CANDIDATES) {
        const REAL middle = low / 2 + high / 2;
        if (!(middle > low && middle < high))
            break;
        size_t some = NAME(part)(left, from, from_weight, middle, 0, to, to_weight, &more);
        if (sum + more >= target) {
            low = middle;
        } else {
            high = middle, sum += more, taken += some;
            some = NAME(part)(left, from, from_weight, middle, 1, to, to_weight, &more);
        }
        left = some, from = to, from_weight = weight ? to_weight : NULL;
        to = to == k ? k + n + 16 : k, to_weight = to_weight == w ? w + n + 16 : w;
    }
    if (left > CANDIDATES) { /* equal ones, and in the first round what can't be drawn */
        for (size_t i = 0; i < left && sum < target; i++)
            if (from[i] >= low)
                sum += weight ? (double)from_weight[i] : 1, taken++;
        *least = low;
        return taken;
    }
    REAL keys[CANDIDATES];
    for (size_t i = 0; i < CANDIDATES; i++)
        keys[i] = i < left ? from[i] : -(REAL)INFINITY;
    for (size_t i = 0; i < left && sum < target; i++) {
        REAL most = -(REAL)INFINITY;
        SIMD_MAX(most)
        for (size_t j = 0; j < CANDIDATES; j++)
            most = keys[j] > most ? keys[j] : most;
        size_t at = 0;
        while (at + 1 < CANDIDATES && keys[at] < most)
            at++;
        if (!(most > -(REAL)INFINITY))
            break;
        keys[at] = -(REAL)INFINITY;
        sum += weight ? (double)from_weight[at] : 1;
        taken++, *least = most;
    }
    return taken;
}

#undef CANDIDATES

static size_t NAME(collect)(size_t n, REAL least, REAL *key, REAL *x, REAL *weight, int32_t *index, int numbered)
{
    size_t count = 0, i = 0;
#ifdef COLLECT_16
    for (; i + 16 <= n; i += 16) { /* what is read is further on than what is written */
        const __m512 keys = _mm512_loadu_ps(key + i);
        const __mmask16 some = _mm512_cmp_ps_mask(keys, _mm512_set1_ps(least), _CMP_NLT_UQ);
        if (!some)
            continue;
        const __m512i from = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        const __m512i numbers =
            numbered ? _mm512_loadu_si512(index + i) : _mm512_add_epi32(from, _mm512_set1_epi32((int32_t)i));
        const __m512 xs = _mm512_loadu_ps(x ? x + i : key + i), weights = _mm512_loadu_ps(weight ? weight + i : key + i);
        _mm512_storeu_ps(key + count, _mm512_maskz_compress_ps(some, keys));
        _mm512_storeu_si512(index + count, _mm512_maskz_compress_epi32(some, numbers));
        if (x)
            _mm512_storeu_ps(x + count, _mm512_maskz_compress_ps(some, xs));
        if (weight)
            _mm512_storeu_ps(weight + count, _mm512_maskz_compress_ps(some, weights));
        count += (size_t)__builtin_popcount(some);
    }
#endif
    for (; i < n; i++) { /* without a branch that nothing could predict */
        const REAL one = key[i];
        index[count] = numbered ? index[i] : (int32_t)i;
        key[count] = one;
        if (x)
            x[count] = x[i];
        if (weight)
            weight[count] = weight[i];
        count += !(one < least); /* NaN stays, and is noticed */
    }
    return count;
}

static void NAME(penalise)(size_t n, const int32_t *RESTRICT count, REAL repetition, REAL frequency, REAL presence,
                           REAL *RESTRICT x)
{
    const REAL inverse = 1 / repetition;
    SIMD
    for (size_t i = 0; i < n; i++) {
        const REAL scaled = x[i] * (x[i] > 0 ? inverse : repetition);
        const REAL less = (REAL)count[i] * frequency + presence;
        x[i] = count[i] > 0 ? scaled - less : x[i];
    }
}

static double NAME(deviation)(size_t n, const REAL *RESTRICT x)
{
    double sum = 0, squares = 0, count = 0;
    SIMD_SUM(sum)
    for (size_t i = 0; i < n; i++)
        sum += x[i] > -(REAL)INFINITY ? (double)x[i] : 0;
    SIMD_SUM(count)
    for (size_t i = 0; i < n; i++)
        count += x[i] > -(REAL)INFINITY;
    const double mean = sum / count;
    SIMD_SUM(squares)
    for (size_t i = 0; i < n; i++) {
        const double difference = x[i] > -(REAL)INFINITY ? (double)x[i] - mean : 0;
        squares += difference * difference;
    }
    return sqrt(squares / count);
}

static double NAME(entropy)(size_t n, const REAL *RESTRICT x, REAL largest, const REAL *RESTRICT p, double total)
{
    double sum = 0;
    for (size_t first = 0; first < n; first += 256) { /* sums of 256 stay exact enough in REAL */
        const size_t end = n - first < 256 ? n : first + 256;
        REAL part = 0;
        SIMD_SUM(part)
        for (size_t i = first; i < end; i++)
            part += p[i] > 0 ? p[i] * (x[i] - largest) : 0;
        sum += part;
    }
    return log(total) - sum / total;
}

static void NAME(typicality)(size_t n, const REAL *RESTRICT x, REAL shift, REAL *RESTRICT key)
{
    SIMD
    for (size_t i = 0; i < n; i++) {
        const REAL difference = x[i] + shift;
        key[i] = difference < 0 ? difference : -difference;
    }
}
