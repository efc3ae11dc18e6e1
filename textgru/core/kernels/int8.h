/* Products of 8-bit integers; included by kernels.c. What each computes: kernels.h. */

/* The distance of two integers for numbers x, of which the largest magnitude becomes 127. */
static float step_int8(size_t n, const float *RESTRICT x)
{
    float largest = 0;
    SIMD_MAX(largest)
    for (size_t i = 0; i < n; i++) {
        const float magnitude = x[i] < 0 ? -x[i] : x[i];
        largest = magnitude > largest ? magnitude : largest;
    }
    const float step = largest / 127.0f;
    return step >= 1e-37f ? step : 1.0f;
}

static float quantize_int8(size_t n, const float *RESTRICT x, uint8_t *RESTRICT q)
{
    const float step = step_int8(n, x), inverse = 1.0f / step;
    SIMD
    for (size_t i = 0; i < n; i++)
        q[i] = (uint8_t)(int32_t)(clamp(x[i] * inverse, -127.0f, 127.0f) + 128.5f);
    for (size_t i = n; i % 4; i++)
        q[i] = 128;
    return step;
}

static float quantize_row_int8(size_t n, const float *RESTRICT x, int8_t *RESTRICT q, int32_t *sum)
{
    const float step = step_int8(n, x), inverse = 1.0f / step;
    int32_t total = 0;
    SIMD_SUM(total)
    for (size_t i = 0; i < n; i++) {
        const int32_t integer = (int32_t)(clamp(x[i] * inverse, -127.0f, 127.0f) + 128.5f) - 128;
        q[i] = (int8_t)integer;
        total += integer;
    }
    *sum = total;
    return step;
}

#ifdef __AVX512VNNI__
#define INT8_IS_FAST 1

static void matvec_int8(size_t blocks, size_t quads, const int8_t *RESTRICT packed, const float *RESTRICT scale,
                        const int32_t *RESTRICT offset, const float *RESTRICT b, const uint8_t *RESTRICT q,
                        float step, float *RESTRICT y)
{
    for (size_t block = 0; block < blocks; block++) {
        const int8_t *w = packed + block * quads * TEXTGRU_PACKED_COLUMNS * 4;
        const size_t first = block * TEXTGRU_PACKED_COLUMNS;
        __m512i sum[2][4]; /* two sums of each row, because an instruction waits for the sum of the one before */
        for (int v = 0; v < 4; v++) {
            sum[0][v] = _mm512_loadu_si512(offset + first + 16 * v);
            sum[1][v] = _mm512_setzero_si512();
        }
        size_t i = 0;
        for (; i + 2 <= quads; i += 2)
            for (int half = 0; half < 2; half++) {
                int32_t four;
                memcpy(&four, q + (i + half) * 4, 4);
                const __m512i x = _mm512_set1_epi32(four);
                for (int v = 0; v < 4; v++)
                    sum[half][v] =
                        _mm512_dpbusd_epi32(sum[half][v], x, _mm512_loadu_si512(w + ((i + half) * 4 + v) * 64));
            }
        if (i < quads) {
            int32_t four;
            memcpy(&four, q + i * 4, 4);
            for (int v = 0; v < 4; v++)
                sum[0][v] =
                    _mm512_dpbusd_epi32(sum[0][v], _mm512_set1_epi32(four), _mm512_loadu_si512(w + (i * 4 + v) * 64));
        }
        for (int v = 0; v < 4; v++) {
            const size_t row = first + 16 * v;
            const __m512 total = _mm512_cvtepi32_ps(_mm512_add_epi32(sum[0][v], sum[1][v]));
            const __m512 factor = _mm512_mul_ps(_mm512_set1_ps(step), _mm512_loadu_ps(scale + row));
            _mm512_storeu_ps(y + row, _mm512_fmadd_ps(total, factor, _mm512_loadu_ps(b + row)));
        }
    }
}

#else
#define INT8_IS_FAST 0

static void matvec_int8(size_t blocks, size_t quads, const int8_t *RESTRICT packed, const float *RESTRICT scale,
                        const int32_t *RESTRICT offset, const float *RESTRICT b, const uint8_t *RESTRICT q,
                        float step, float *RESTRICT y)
{
    for (size_t block = 0; block < blocks; block++) {
        const int8_t *RESTRICT w = packed + block * quads * TEXTGRU_PACKED_COLUMNS * 4;
        const size_t first = block * TEXTGRU_PACKED_COLUMNS;
        int32_t sum[TEXTGRU_PACKED_COLUMNS];
        for (size_t j = 0; j < TEXTGRU_PACKED_COLUMNS; j++)
            sum[j] = offset[first + j];
        for (size_t i = 0; i < quads; i++) {
            const int16_t x0 = q[i * 4], x1 = q[i * 4 + 1], x2 = q[i * 4 + 2], x3 = q[i * 4 + 3];
            const int8_t *RESTRICT four = w + i * TEXTGRU_PACKED_COLUMNS * 4;
            SIMD
            for (size_t j = 0; j < TEXTGRU_PACKED_COLUMNS; j++)
                sum[j] += x0 * four[j * 4] + x1 * four[j * 4 + 1] + x2 * four[j * 4 + 2] + x3 * four[j * 4 + 3];
        }
        SIMD
        for (size_t j = 0; j < TEXTGRU_PACKED_COLUMNS; j++)
            y[first + j] = (float)sum[j] * (step * scale[first + j]) + b[first + j];
    }
}

#endif
