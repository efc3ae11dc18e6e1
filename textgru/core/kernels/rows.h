/* The kernels for one REAL; included by kernels.c for float and for double. What each computes: kernels.h. */

static void NAME(exp)(size_t n, const REAL *RESTRICT x, REAL *RESTRICT y)
{
    SIMD
    for (size_t i = 0; i < n; i++)
        y[i] = EXP(x[i]);
}

static void NAME(sigmoid)(size_t n, const REAL *RESTRICT x, REAL *RESTRICT y)
{
    SIMD
    for (size_t i = 0; i < n; i++)
        y[i] = SIGMOID(x[i]);
}

static void NAME(tanh)(size_t n, const REAL *RESTRICT x, REAL *RESTRICT y)
{
    SIMD
    for (size_t i = 0; i < n; i++)
        y[i] = TANH(x[i]);
}

static void NAME(add)(size_t n, const REAL *RESTRICT x, REAL *RESTRICT y)
{
    SIMD
    for (size_t i = 0; i < n; i++)
        y[i] += x[i];
}

static double NAME(sum_squares)(size_t n, const REAL *RESTRICT x)
{
    double sum = 0;
    SIMD_SUM(sum)
    for (size_t i = 0; i < n; i++)
        sum += (double)x[i] * x[i];
    return sum;
}

static void NAME(dropout)(size_t n, uint64_t key, uint64_t start, double p, REAL *RESTRICT x)
{
    const uint32_t low = (uint32_t)key, high = (uint32_t)(key >> 32);
    const uint32_t threshold = (uint32_t)(p * 4294967296.0);
    const REAL scale = (REAL)(1.0 / (1.0 - p));
    const uint32_t first = (uint32_t)start, block = mix((uint32_t)(start >> 32) ^ high);
    SIMD
    for (size_t i = 0; i < n; i++) {
        uint32_t u = mix(mix((first + (uint32_t)i) ^ low) + block);
        x[i] = u < threshold ? (REAL)0 : x[i] * scale;
    }
}

static void NAME(gru_forward)(size_t units, size_t H, const REAL *RESTRICT x, const REAL *RESTRICT g, size_t g_gate,
                              const REAL *RESTRICT b, REAL *const *before, REAL *RESTRICT gates, REAL *const *after)
{
    const REAL *RESTRICT h_prev = before[0];
    REAL *RESTRICT h = after[0];
    SIMD
    for (size_t i = 0; i < units; i++) {
        REAL r = SIGMOID(x[i] + g[i] + b[i]);
        REAL z = SIGMOID(x[H + i] + g[g_gate + i] + b[H + i]);
        REAL product = g[2 * g_gate + i] + b[2 * H + i];
        REAL n = TANH(x[2 * H + i] + r * product);
        gates[i] = n;
        gates[H + i] = r;
        gates[2 * H + i] = z;
        gates[3 * H + i] = product;
        h[i] = n + z * (h_prev[i] - n);
    }
}

static void NAME(gru_backward)(size_t units, size_t H, const REAL *RESTRICT dy, REAL *const *before,
                               REAL *const *after, REAL *RESTRICT gates, REAL *const *d_state)
{
    const REAL *RESTRICT h_prev = before[0];
    REAL *RESTRICT dh = d_state[0];
    (void)after;
    SIMD
    for (size_t i = 0; i < units; i++) {
        REAL n = gates[i], r = gates[H + i], z = gates[2 * H + i], product = gates[3 * H + i];
        REAL d = dh[i] + dy[i];
        REAL dn = d * (1 - z) * (1 - n * n);
        gates[i] = dn;
        gates[H + i] = dn * product * r * (1 - r);
        gates[2 * H + i] = d * (h_prev[i] - n) * z * (1 - z);
        gates[3 * H + i] = dn * r;
        dh[i] = d * z;
    }
}

static void NAME(lstm_forward)(size_t units, size_t H, const REAL *RESTRICT x, const REAL *RESTRICT p, size_t p_gate,
                               const REAL *RESTRICT b, REAL *const *before, REAL *RESTRICT gates, REAL *const *after)
{
    const REAL *RESTRICT c_prev = before[1];
    REAL *RESTRICT h = after[0], *RESTRICT c = after[1];
    SIMD
    for (size_t j = 0; j < units; j++) {
        REAL i = SIGMOID(x[j] + p[j] + b[j]);
        REAL f = SIGMOID(x[H + j] + p[p_gate + j] + b[H + j]);
        REAL g = TANH(x[2 * H + j] + p[2 * p_gate + j] + b[2 * H + j]);
        REAL o = SIGMOID(x[3 * H + j] + p[3 * p_gate + j] + b[3 * H + j]);
        REAL cell = f * c_prev[j] + i * g;
        gates[j] = i;
        gates[H + j] = f;
        gates[2 * H + j] = g;
        gates[3 * H + j] = o;
        c[j] = cell;
        h[j] = o * TANH(cell);
    }
}

static void NAME(lstm_backward)(size_t units, size_t H, const REAL *RESTRICT dy, REAL *const *before,
                                REAL *const *after, REAL *RESTRICT gates, REAL *const *d_state)
{
    const REAL *RESTRICT c_prev = before[1], *RESTRICT c = after[1];
    REAL *RESTRICT dh = d_state[0], *RESTRICT dc = d_state[1];
    SIMD
    for (size_t j = 0; j < units; j++) {
        REAL i = gates[j], f = gates[H + j], g = gates[2 * H + j], o = gates[3 * H + j];
        REAL d = dh[j] + dy[j], squashed = TANH(c[j]);
        REAL cell = dc[j] + d * o * (1 - squashed * squashed);
        gates[j] = cell * g * i * (1 - i);
        gates[H + j] = cell * c_prev[j] * f * (1 - f);
        gates[2 * H + j] = cell * i * (1 - g * g);
        gates[3 * H + j] = d * squashed * o * (1 - o);
        dc[j] = cell * f;
        dh[j] = 0;
    }
}

static void NAME(rnn_forward)(size_t units, size_t H, const REAL *RESTRICT x, const REAL *RESTRICT g, size_t g_gate,
                              const REAL *RESTRICT b, REAL *const *before, REAL *RESTRICT kept, REAL *const *after)
{
    REAL *RESTRICT h = after[0];
    (void)H, (void)g_gate, (void)before, (void)kept;
    SIMD
    for (size_t i = 0; i < units; i++)
        h[i] = TANH(x[i] + g[i] + b[i]);
}

static void NAME(rnn_backward)(size_t units, size_t H, const REAL *RESTRICT dy, REAL *const *before,
                               REAL *const *after, REAL *RESTRICT kept, REAL *const *d_state)
{
    const REAL *RESTRICT h = after[0];
    REAL *RESTRICT dh = d_state[0];
    (void)H, (void)before;
    SIMD
    for (size_t i = 0; i < units; i++) {
        kept[i] = (dh[i] + dy[i]) * (1 - h[i] * h[i]);
        dh[i] = 0;
    }
}

static void NAME(gru_before_reset)(size_t units, size_t H, const REAL *RESTRICT x, const REAL *RESTRICT g,
                                   const REAL *RESTRICT b, const REAL *RESTRICT h_prev, REAL *RESTRICT gates)
{
    SIMD
    for (size_t i = 0; i < units; i++) {
        REAL r = SIGMOID(x[i] + g[i] + b[i]);
        gates[H + i] = r;
        gates[2 * H + i] = SIGMOID(x[H + i] + g[H + i] + b[H + i]);
        gates[3 * H + i] = r * h_prev[i];
    }
}

static void NAME(gru_before_output)(size_t units, size_t H, const REAL *RESTRICT x, const REAL *RESTRICT g,
                                    const REAL *RESTRICT b, const REAL *RESTRICT h_prev, REAL *RESTRICT gates,
                                    REAL *RESTRICT h)
{
    SIMD
    for (size_t i = 0; i < units; i++) {
        REAL n = TANH(x[2 * H + i] + g[i] + b[2 * H + i]);
        gates[i] = n;
        h[i] = n + gates[2 * H + i] * (h_prev[i] - n);
    }
}

static void NAME(gru_before_backward)(size_t units, size_t H, const REAL *RESTRICT dy, const REAL *RESTRICT h_prev,
                                      REAL *RESTRICT gates, REAL *RESTRICT dh)
{
    SIMD
    for (size_t i = 0; i < units; i++) {
        REAL n = gates[i], z = gates[2 * H + i];
        REAL d = dh[i] + dy[i];
        gates[i] = d * (1 - z) * (1 - n * n);
        gates[2 * H + i] = d * (h_prev[i] - n) * z * (1 - z);
        dh[i] = d * z;
    }
}

static void NAME(gru_before_backward_reset)(size_t units, size_t H, const REAL *RESTRICT drh,
                                            const REAL *RESTRICT h_prev, REAL *RESTRICT gates, REAL *RESTRICT dh)
{
    SIMD
    for (size_t i = 0; i < units; i++) {
        REAL r = gates[H + i];
        gates[H + i] = drh[i] * h_prev[i] * r * (1 - r);
        dh[i] += drh[i] * r;
    }
}

/* The sums of a block stay in registers; the weights stream past once, in the order they are stored. */
static void NAME(matvec_packed)(size_t blocks, size_t n, const REAL *RESTRICT packed, const REAL *RESTRICT b,
                                const REAL *RESTRICT x, REAL *RESTRICT y)
{
    for (size_t block = 0; block < blocks; block++) {
        const REAL *RESTRICT w = packed + block * n * TEXTGRU_PACKED_COLUMNS;
        REAL sum[TEXTGRU_PACKED_COLUMNS];
        for (size_t j = 0; j < TEXTGRU_PACKED_COLUMNS; j++)
            sum[j] = b[block * TEXTGRU_PACKED_COLUMNS + j];
        for (size_t i = 0; i < n; i++) {
            const REAL value = x[i];
            SIMD
            for (size_t j = 0; j < TEXTGRU_PACKED_COLUMNS; j++)
                sum[j] += value * w[i * TEXTGRU_PACKED_COLUMNS + j];
        }
        for (size_t j = 0; j < TEXTGRU_PACKED_COLUMNS; j++)
            y[block * TEXTGRU_PACKED_COLUMNS + j] = sum[j];
    }
}

static REAL NAME(largest)(size_t n, const REAL *RESTRICT x)
{
    REAL largest = x[0];
    SIMD_MAX(largest)
    for (size_t i = 0; i < n; i++)
        largest = x[i] > largest ? x[i] : largest;
    return largest;
}

static double NAME(boltzmann_below)(size_t n, const REAL *RESTRICT x, REAL largest, double scale, REAL *RESTRICT y)
{
    const REAL factor = (REAL)scale;
    double sum = 0;
    SIMD
    for (size_t i = 0; i < n; i++)
        y[i] = EXP((x[i] - largest) * factor);
    SIMD_SUM(sum)
    for (size_t i = 0; i < n; i++)
        sum += y[i];
    return sum;
}

static double NAME(boltzmann)(size_t n, const REAL *RESTRICT x, double scale, REAL *RESTRICT y)
{
    return NAME(boltzmann_below)(n, x, NAME(largest)(n, x), scale, y);
}

/* The exponentials are kept in dx where there is one, so that they are computed once. A maximum that is not finite
 * (a NaN compares as smaller than anything) makes the sum, and with it the loss, NaN. */
static double NAME(cross_entropy)(size_t n, const REAL *RESTRICT x, size_t target, double scale, REAL *RESTRICT dx)
{
    const REAL largest = NAME(largest)(n, x);
    double sum = 0;
    if (dx) {
        sum = NAME(boltzmann)(n, x, 1, dx);
        const REAL factor = (REAL)(scale / sum);
        SIMD
        for (size_t i = 0; i < n; i++)
            dx[i] *= factor;
        dx[target] -= (REAL)scale;
    } else {
        SIMD_SUM(sum)
        for (size_t i = 0; i < n; i++)
            sum += EXP(x[i] - largest);
    }
    return log(sum) - ((double)x[target] - (double)largest);
}

static void NAME(adamw)(size_t n, double g_scale, double lr, double beta1, double beta2, double eps, double decay,
                        double correction1, double correction2, const REAL *RESTRICT g, REAL *RESTRICT m,
                        REAL *RESTRICT v, REAL *RESTRICT w)
{
    const REAL b1 = (REAL)beta1, b2 = (REAL)beta2, one_b1 = (REAL)(1 - beta1), one_b2 = (REAL)(1 - beta2);
    const REAL keep = (REAL)(1 - lr * decay), step = (REAL)(lr / correction1);
    const REAL root = (REAL)(1 / sqrt(correction2)), epsilon = (REAL)eps, gs = (REAL)g_scale;
    SIMD
    for (size_t i = 0; i < n; i++) {
        REAL gradient = g[i] * gs;
        REAL first = b1 * m[i] + one_b1 * gradient;
        REAL second = b2 * v[i] + one_b2 * gradient * gradient;
        m[i] = first;
        v[i] = second;
        w[i] = w[i] * keep - step * first / (SQRT(second) * root + epsilon);
    }
}

static void NAME(lerp)(size_t n, double weight, const REAL *RESTRICT x, REAL *RESTRICT y)
{
    const REAL w = (REAL)weight;
    SIMD
    for (size_t i = 0; i < n; i++)
        y[i] += w * (x[i] - y[i]);
}
