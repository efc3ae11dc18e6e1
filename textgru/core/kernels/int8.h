/* Products of 8-bit integers; included by kernels.c. What each computes: kernels.h. */

/* The distance of two integers for numbers x, of which the largest magnitude becomes 127; NaN where one isn't finite. */
static float step_int8(size_t n, const float *RESTRICT x)
{
    float largest = 0, unknown = 0;
    SIMD_MAX(largest)
    for (size_t i = 0; i < n; i++) {
        const float magnitude = x[i] < 0 ? -x[i] : x[i];
        largest = magnitude > largest ? magnitude : largest;
    }
    SIMD_SUM(unknown)
    for (size_t i = 0; i < n; i++)
        unknown += x[i] * 0.0f;
    const float step = largest / 127.0f;
    return (step >= 1e-37f ? step : 1.0f) + unknown;
}

/* x rounded, within -127..127, plus 128; some number in that range for NaN, which has no integer. */
static inline int32_t integer_int8(float x)
{
    x = x > -127.0f ? x : -127.0f;
    return (int32_t)((x < 127.0f ? x : 127.0f) + 128.5f);
}

static float quantize_int8(size_t n, const float *RESTRICT x, uint8_t *RESTRICT q)
{
    const float step = step_int8(n, x), inverse = 1.0f / step;
    SIMD
    for (size_t i = 0; i < n; i++)
        q[i] = (uint8_t)integer_int8(x[i] * inverse);
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
        const int32_t integer = integer_int8(x[i] * inverse) - 128;
        q[i] = (int8_t)integer;
        total += integer;
    }
    *sum = total;
    return step;
}

#ifdef __AVX512VNNI__
#define INT8_IS_FAST 1

/* y (16) = b + step * scale * sum; the same for one row and for many, so that their bits agree. */
static inline void finish_int8(__m512i sum, const float *scale, const float *b, float step, float *y)
{
    const __m512 factor = _mm512_mul_ps(_mm512_set1_ps(step), _mm512_loadu_ps(scale));
    _mm512_storeu_ps(y, _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), factor, _mm512_loadu_ps(b)));
}

static inline __m512i four_int8(const uint8_t *q)
{
    int32_t four;
    memcpy(&four, q, 4);
    return _mm512_set1_epi32(four);
}

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
                const __m512i x = four_int8(q + (i + half) * 4);
                for (int v = 0; v < 4; v++)
                    sum[half][v] =
                        _mm512_dpbusd_epi32(sum[half][v], x, _mm512_loadu_si512(w + ((i + half) * 4 + v) * 64));
            }
        if (i < quads)
            for (int v = 0; v < 4; v++)
                sum[0][v] = _mm512_dpbusd_epi32(sum[0][v], four_int8(q + i * 4),
                                                _mm512_loadu_si512(w + (i * 4 + v) * 64));
        for (size_t v = 0; v < 4; v++) {
            const size_t row = first + 16 * v;
            finish_int8(_mm512_add_epi32(sum[0][v], sum[1][v]), scale + row, b + row, step, y + row);
        }
    }
}

/* Some rows by 64 columns; `rows` is a constant where it is called, so that the sums are registers. */
static inline __attribute__((always_inline)) void tile_int8(const int rows, size_t quads, const int8_t *w,
                                                            const float *scale, const int32_t *offset,
                                                            const float *b, const uint8_t *q, size_t q_row,
                                                            const float *step, float *y, size_t y_row)
{
    __m512i sum[TILE_ROWS][4];
    UNROLL
    for (int r = 0; r < rows; r++) {
        UNROLL
        for (int v = 0; v < 4; v++)
            sum[r][v] = _mm512_loadu_si512(offset + 16 * v);
    }
    for (size_t i = 0; i < quads; i++) {
        __m512i four[4];
        PREFETCH(w + (quads + i) * 256);
        UNROLL
        for (int v = 0; v < 4; v++)
            four[v] = _mm512_loadu_si512(w + (i * 4 + v) * 64);
        UNROLL
        for (int r = 0; r < rows; r++) {
            const __m512i x = four_int8(q + r * q_row + i * 4);
            UNROLL
            for (int v = 0; v < 4; v++) {
                sum[r][v] = _mm512_dpbusd_epi32(sum[r][v], x, four[v]);
                KEEP_IN_REGISTER(sum[r][v]);
            }
        }
    }
    UNROLL
    for (int r = 0; r < rows; r++) {
        UNROLL
        for (int v = 0; v < 4; v++)
            finish_int8(sum[r][v], scale + 16 * v, b + 16 * v, step[r], y + r * y_row + 16 * v);
    }
}

static void some_rows_int8(size_t rows, size_t quads, const int8_t *w, const float *scale, const int32_t *offset,
                           const float *b, const uint8_t *q, size_t q_row, const float *step, float *y, size_t y_row)
{
    switch (rows) {
#define CASE(r)                                                                                                      \
    case r: tile_int8(r, quads, w, scale, offset, b, q, q_row, step, y, y_row); break;
        CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6)
#undef CASE
    }
}

#elif defined(__ARM_FEATURE_DOTPROD)
#include <arm_neon.h>
#define INT8_IS_FAST 1

/* Some rows by 4 * vectors columns; both are constants where it is called, so that the sums are registers. The
 * instruction takes signed integers only: of q - 128, so that nothing is to be taken off afterwards. */
static inline __attribute__((always_inline)) void tile_int8(const int rows, const int vectors, size_t quads,
                                                            const int8_t *w, const float *scale, const float *b,
                                                            const uint8_t *q, size_t q_row, const float *step,
                                                            float *y, size_t y_row)
{
    int32x4_t sum[TILE_ROWS][8];
    UNROLL
    for (int r = 0; r < rows; r++) {
        UNROLL
        for (int v = 0; v < vectors; v++)
            sum[r][v] = vdupq_n_s32(0);
    }
    for (size_t i = 0; i < quads; i++) {
        int8x16_t four[8];
        UNROLL
        for (int v = 0; v < vectors; v++)
            four[v] = vld1q_s8(w + i * TEXTGRU_PACKED_COLUMNS * 4 + v * 16);
        UNROLL
        for (int r = 0; r < rows; r++) {
            uint32_t bytes;
            memcpy(&bytes, q + r * q_row + i * 4, 4);
            const int8x16_t x = vreinterpretq_s8_u32(vdupq_n_u32(bytes ^ 0x80808080u));
            UNROLL
            for (int v = 0; v < vectors; v++)
                sum[r][v] = vdotq_s32(sum[r][v], four[v], x);
        }
    }
    UNROLL
    for (int r = 0; r < rows; r++) {
        UNROLL
        for (int v = 0; v < vectors; v++) {
            const float32x4_t factor = vmulq_n_f32(vld1q_f32(scale + v * 4), step[r]);
            vst1q_f32(y + r * y_row + v * 4, vfmaq_f32(vld1q_f32(b + v * 4), vcvtq_f32_s32(sum[r][v]), factor));
        }
    }
}

static void matvec_int8(size_t blocks, size_t quads, const int8_t *RESTRICT packed, const float *RESTRICT scale,
                        const int32_t *RESTRICT offset, const float *RESTRICT b, const uint8_t *RESTRICT q,
                        float step, float *RESTRICT y)
{
    (void)offset;
    for (size_t first = 0; first < blocks * TEXTGRU_PACKED_COLUMNS; first += 32)
        tile_int8(1, 8, quads, packed + first / 64 * quads * 256 + first % 64 * 4, scale + first, b + first, q, 0,
                  &step, y + first, 0);
}

static void some_rows_int8(size_t rows, size_t quads, const int8_t *w, const float *scale, const int32_t *offset,
                           const float *b, const uint8_t *q, size_t q_row, const float *step, float *y, size_t y_row)
{
    (void)offset;
    for (size_t at = 0; at < TEXTGRU_PACKED_COLUMNS; at += 16)
        switch (rows) {
#define CASE(r)                                                                                                      \
    case r: tile_int8(r, 4, quads, w + at * 4, scale + at, b + at, q, q_row, step, y + at, y_row); break;
            CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6)
#undef CASE
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

static void some_rows_int8(size_t rows, size_t quads, const int8_t *w, const float *scale, const int32_t *offset,
                           const float *b, const uint8_t *q, size_t q_row, const float *step, float *y, size_t y_row)
{
    for (size_t r = 0; r < rows; r++)
        matvec_int8(1, quads, w, scale, offset, b, q + r * q_row, step[r], y + r * y_row);
}

#endif

static void multiply_int8(size_t m, size_t blocks, size_t quads, const int8_t *packed, const float *scale,
                          const int32_t *offset, const float *b, const uint8_t *q, size_t q_row, const float *step,
                          float *y, size_t y_row)
{
    const size_t tiles = (m + TILE_ROWS - 1) / TILE_ROWS;
    for (size_t block = 0; block < blocks; block++) {
        const size_t first = block * TEXTGRU_PACKED_COLUMNS;
        for (size_t tile = 0; tile < tiles; tile++) {
            const size_t row = m * tile / tiles;
            some_rows_int8(m * (tile + 1) / tiles - row, quads, packed + first * quads * 4, scale + first,
                           offset + first, b + first, q + row * q_row, q_row, step + row, y + row * y_row + first,
                           y_row);
        }
    }
}
