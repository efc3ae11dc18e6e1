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

#define BOUNDS 3

/* What the keys from each of the bounds on weigh (1 each where weight is NULL); the bounds rise. */
static void NAME(weigh)(size_t n, const REAL *key, const REAL *weight, const REAL *bounds, double *sums)
{
    size_t i = 0;
    for (int b = 0; b < BOUNDS; b++)
        sums[b] = 0;
#ifdef COLLECT_16
    const __m512 one = _mm512_set1_ps(1);
    while (i + 16 <= n) { /* sums of 256 stay exact enough */
        __m512 parts[BOUNDS];
        for (int b = 0; b < BOUNDS; b++)
            parts[b] = _mm512_setzero_ps();
        for (int turn = 0; turn < 16 && i + 16 <= n; turn++, i += 16) {
            const __m512 keys = _mm512_loadu_ps(key + i), weights = weight ? _mm512_loadu_ps(weight + i) : one;
            for (int b = 0; b < BOUNDS; b++) {
                const __mmask16 some = _mm512_cmp_ps_mask(keys, _mm512_set1_ps(bounds[b]), _CMP_GE_OQ);
                parts[b] = _mm512_mask_add_ps(parts[b], some, parts[b], weights);
            }
        }
        for (int b = 0; b < BOUNDS; b++)
            sums[b] += (double)_mm512_reduce_add_ps(parts[b]);
    }
#endif
    for (int b = 0; b < BOUNDS; b++) {
        const REAL bound = bounds[b];
        double sum = 0;
        SIMD_SUM(sum)
        for (size_t j = i; j < n; j++)
            sum += key[j] >= bound ? (weight ? (double)weight[j] : 1) : 0;
        sums[b] += sum;
    }
}

/* The keys from `low` on and below `high`, with their weights, in their order: how many. OUT above: how many there are
 * from `high` on. */
static size_t NAME(between)(size_t n, const REAL *key, const REAL *weight, REAL low, REAL high, REAL *k, REAL *w,
                            size_t *above)
{
    size_t count = 0, beyond = 0, i = 0;
#ifdef COLLECT_16
    for (; i + 16 <= n; i += 16) {
        const __m512 keys = _mm512_loadu_ps(key + i);
        const __mmask16 from = _mm512_cmp_ps_mask(keys, _mm512_set1_ps(low), _CMP_GE_OQ);
        const __mmask16 over = _mm512_cmp_ps_mask(keys, _mm512_set1_ps(high), _CMP_GE_OQ);
        const __mmask16 some = from & (__mmask16)~over;
        beyond += (size_t)__builtin_popcount(over);
        if (!some)
            continue;
        _mm512_storeu_ps(k + count, _mm512_maskz_compress_ps(some, keys));
        if (weight)
            _mm512_storeu_ps(w + count, _mm512_maskz_compress_ps(some, _mm512_loadu_ps(weight + i)));
        count += (size_t)__builtin_popcount(some);
    }
#endif
    for (; i < n; i++) { /* without a branch that nothing could predict */
        const REAL one = key[i];
        const int over = one >= high;
        k[count] = one;
        if (weight)
            w[count] = weight[i];
        count += one >= low && !over;
        beyond += (size_t)over;
    }
    *above = beyond;
    return count;
}

/* Of two bounds, at the lower one enough weight is left, at the upper one too little. They are brought together, to a
 * quarter each time, and only what is between them is looked at, until few candidates are left, which are taken one by
 * one; or only equal ones, which are taken in their order. */
static size_t NAME(cut)(size_t n, const REAL *key, const REAL *weight, double target, REAL guess, REAL high, REAL *k,
                        REAL *w, REAL *least)
{
    const REAL *from = key, *from_weight = weight;
    REAL *to = k, *to_weight = w, low = guess;
    size_t left = n, taken = 0; /* between the bounds, or not looked at yet; from the upper one on */
    double sum = 0;             /* the weight of those from the upper one on */
    high = NEXT(high);
    int known = 0, guessed = guess > -(REAL)INFINITY && guess < high; /* whether enough is left at `low` */
    while (left > CANDIDATES || !known) {
        REAL bounds[BOUNDS];
        double sums[BOUNDS];
        if (!known && !guessed) {
            low = (REAL)INFINITY;
            SIMD_MIN(low)
            for (size_t i = 0; i < left; i++)
                low = from[i] > -(REAL)INFINITY && from[i] < low ? from[i] : low;
            *least = low < (REAL)INFINITY ? low : high;
            if (!(low < high) || (!weight && (double)taken + NAME(above)(left, from, low) <= target))
                return n;
            known = 1;
            continue;
        }
        const REAL middle = low / 2 + high / 2;
        if (known && !(middle > low && middle < high))
            break;
        bounds[0] = known ? low / 2 + middle / 2 : low;
        bounds[1] = known ? middle : low / 3 * 2 + high / 3;
        bounds[2] = known ? middle / 2 + high / 2 : low / 3 + high / 3 * 2;
        NAME(weigh)(left, from, from_weight, bounds, sums);
        REAL upper = high;
        double more = 0;
        for (int b = BOUNDS - 1; b >= 0 && sum + sums[b] < target; b--)
            upper = bounds[b], more = sums[b];
        if (upper > bounds[0]) {
            known = 1;
            for (int b = 0; b < BOUNDS && bounds[b] < upper; b++)
                low = bounds[b];
        } else if (!known) {
            low = -(REAL)INFINITY, guessed = 0;
        }
        if (known && !(upper > low)) /* sums that differ by rounding */
            break;
        size_t over;
        left = NAME(between)(left, from, from_weight, low, upper, to, to_weight, &over);
        high = upper, sum += more, taken += over;
        from = to, from_weight = weight ? to_weight : NULL;
        to = to == k ? k + n + 16 : k, to_weight = to_weight == w ? w + n + 16 : w;
    }
    *least = low;
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
#undef BOUNDS

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

/* By blocks, whose sums don't have to wait for one another. */
static size_t NAME(first_above)(size_t n, const REAL *p, double target)
{
    double sum = 0;
    for (size_t first = 0; first < n; first += 128) {
        const size_t end = n - first < 128 ? n : first + 128;
        double block = 0;
        SIMD_SUM(block)
        for (size_t i = first; i < end; i++)
            block += (double)p[i];
        if (sum + block > target) {
            for (size_t i = first; i < end; i++) {
                sum += (double)p[i];
                if (sum > target)
                    return i;
            }
        } else {
            sum += block;
        }
    }
    return n;
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
