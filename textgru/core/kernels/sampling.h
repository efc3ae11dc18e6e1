/* What sampling controls ask of a row of scores; for one REAL, included by kernels.c. What each computes: kernels.h. */

#define CANDIDATES 32

static void NAME(mask)(size_t n, const REAL *RESTRICT key, REAL least, REAL *RESTRICT x)
{
    SIMD
    for (size_t i = 0; i < n; i++)
        x[i] = key[i] < least ? -(REAL)INFINITY : x[i];
}

/* The weights of the elements with keys from `least` on, and how many they are. The sums of 256 stay exact enough in
 * REAL, and are added up in double. */
static double NAME(above)(size_t n, const REAL *RESTRICT key, const REAL *RESTRICT weight, REAL least, size_t *count)
{
    double sum = 0;
    size_t found = 0;
    for (size_t first = 0; first < n; first += 256) {
        const size_t size = n - first < 256 ? n - first : 256;
        const REAL *RESTRICT k = key + first;
        int32_t some = 0;
        SIMD_SUM(some)
        for (size_t i = 0; i < size; i++)
            some += k[i] >= least ? 1 : 0;
        found += (size_t)some;
        if (weight) {
            const REAL *RESTRICT w = weight + first;
            REAL part = 0;
            SIMD_SUM(part)
            for (size_t i = 0; i < size; i++)
                part += k[i] >= least ? w[i] : 0;
            sum += part;
        }
    }
    *count = found;
    return weight ? sum : (double)found;
}

/* Of two bounds, at the lower one enough weight is left, at the upper one too little. They are brought together until
 * few candidates are between them, which are taken one by one; or only equal ones, which are taken in their order. */
static size_t NAME(keep_largest)(size_t n, const REAL *RESTRICT key, const REAL *RESTRICT weight, double target,
                                 REAL *RESTRICT x)
{
    REAL low = (REAL)INFINITY, high = -(REAL)INFINITY;
    SIMD_MIN(low)
    for (size_t i = 0; i < n; i++)
        low = key[i] > -(REAL)INFINITY && key[i] < low ? key[i] : low;
    SIMD_MAX(high)
    for (size_t i = 0; i < n; i++)
        high = key[i] > high ? key[i] : high;
    size_t enough, few = 0, count = 0;
    double weight_of_few = 0;
    if (!(low <= high) || NAME(above)(n, key, weight, low, &enough) <= target)
        return 0;
    high = NEXT(high);
    while (enough - few > CANDIDATES) {
        const REAL middle = low / 2 + high / 2;
        if (!(middle > low && middle < high))
            break;
        const double sum = NAME(above)(n, key, weight, middle, &count);
        if (sum >= target)
            low = middle, enough = count;
        else
            high = middle, few = count, weight_of_few = sum;
    }
    if (enough - few > CANDIDATES) {
        size_t kept = few;
        for (size_t i = 0; i < n; i++) {
            if (key[i] >= high)
                continue;
            if (key[i] >= low && weight_of_few < target)
                weight_of_few += weight ? (double)weight[i] : 1, kept++;
            else
                x[i] = -(REAL)INFINITY;
        }
        return kept;
    }
    size_t candidates[CANDIDATES], taken = 0;
    REAL score[CANDIDATES];
    count = 0;
    for (size_t first = 0; first < n && count < enough - few; first += 64) {
        const size_t end = n - first < 64 ? n : first + 64;
        int32_t some = 0;
        SIMD_SUM(some)
        for (size_t i = first; i < end; i++)
            some += key[i] >= low && key[i] < high ? 1 : 0;
        for (size_t i = first; some && i < end; i++) {
            if (!(key[i] >= low && key[i] < high))
                continue;
            size_t at = count++;
            for (; at > 0 && key[candidates[at - 1]] < key[i]; at--)
                candidates[at] = candidates[at - 1];
            candidates[at] = i;
        }
    }
    for (; taken < count && weight_of_few < target; taken++) {
        weight_of_few += weight ? (double)weight[candidates[taken]] : 1;
        score[taken] = x[candidates[taken]];
    }
    NAME(mask)(n, key, high, x);
    for (size_t i = 0; i < taken; i++)
        x[candidates[i]] = score[i];
    return few + taken;
}

#undef CANDIDATES

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
    SIMD_SUM(sum)
    for (size_t i = 0; i < n; i++)
        sum += p[i] > 0 ? (double)p[i] * ((double)x[i] - largest) : 0;
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
