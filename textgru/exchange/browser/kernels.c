/* What a page computes with: one token of one text at a time, with weights as 8-bit integers. Compiled to WebAssembly:

       clang --target=wasm32 -O3 -msimd128 -fno-builtin -ffp-contract=off -nostdlib -Wl,--no-entry -Wl,--strip-all \
           -Wl,-z,stack-size=16384 -o kernels.wasm kernels.c

   Numbers are rounded where textgru.core's kernels round them on a CPU that multiplies and adds in one instruction, so
   that both give the same bits (but for one rounding in 2^29). Rows of integers are padded with zeros to a multiple of
   16. */

#include <stdint.h>
#include <wasm_simd128.h>

#define EXPORT(name) __attribute__((export_name(#name))) name

extern unsigned char __heap_base;
static uint32_t used;

/* The place of `bytes` that stay, in memory that grows; 16 bytes at a time. */
uint32_t EXPORT(allocate)(uint32_t bytes)
{
    if (!used)
        used = ((uint32_t)(uintptr_t)&__heap_base + 15) & ~15u;
    const uint32_t place = used;
    used += (bytes + 15) & ~15u;
    const uint32_t pages = (used + 65535) >> 16;
    if (pages > __builtin_wasm_memory_size(0) &&
        __builtin_wasm_memory_grow(0, pages - __builtin_wasm_memory_size(0)) == (unsigned long)-1)
        __builtin_trap();
    return place;
}

/* q (n, padded) = x / step rounded, the largest magnitude becoming 127; the step. */
float EXPORT(quantize)(int n, const float *x, int16_t *q)
{
    float largest = 0;
    for (int i = 0; i < n; i++) {
        const float magnitude = __builtin_fabsf(x[i]);
        largest = magnitude > largest ? magnitude : largest;
    }
    float step = largest / 127.0f;
    step = step >= 1e-37f ? step : 1.0f;
    const float inverse = 1.0f / step;
    for (int i = 0; i < n; i++) {
        float scaled = x[i] * inverse;
        scaled = scaled > -127.0f ? scaled : -127.0f;
        scaled = scaled < 127.0f ? scaled : 127.0f;
        q[i] = (int16_t)((int32_t)(scaled + 128.5f) - 128);
    }
    for (int i = n; i & 15; i++)
        q[i] = 0;
    return step;
}

/* a * b + c, rounded once: the product is exact in double precision. */
static inline float multiply_add(float a, float b, float c)
{
    return (float)((double)a * (double)b + (double)c);
}

/* Sums (rows) of some rows of W (rows, padded) times q; `rows` is a constant where it is called. */
static inline __attribute__((always_inline)) void sums(const int rows, int padded, const int8_t *w, const int16_t *q,
                                                       int32_t *sum)
{
    v128_t four[4];
    for (int r = 0; r < rows; r++)
        four[r] = wasm_i32x4_splat(0);
    for (int i = 0; i < padded; i += 16) {
        const v128_t low = wasm_v128_load(q + i), high = wasm_v128_load(q + i + 8);
        for (int r = 0; r < rows; r++) {
            const v128_t x = wasm_v128_load(w + r * padded + i);
            four[r] = wasm_i32x4_add(four[r], wasm_i32x4_dot_i16x8(wasm_i16x8_extend_low_i8x16(x), low));
            four[r] = wasm_i32x4_add(four[r], wasm_i32x4_dot_i16x8(wasm_i16x8_extend_high_i8x16(x), high));
        }
    }
    for (int r = 0; r < rows; r++)
        sum[r] = wasm_i32x4_extract_lane(four[r], 0) + wasm_i32x4_extract_lane(four[r], 1) +
                 wasm_i32x4_extract_lane(four[r], 2) + wasm_i32x4_extract_lane(four[r], 3);
}

/* y (rows) = step * scale * (W q) + b, W (rows, n padded) integers; without b where it is 0. */
void EXPORT(product)(int rows, int n, const int8_t *w, const float *scale, const float *b, const int16_t *q, float step,
                     float *y)
{
    const int padded = (n + 15) & ~15;
    for (int row = 0; row < rows;) {
        int32_t sum[4];
        const int some = rows - row >= 4 ? 4 : 1;
        if (some == 4)
            sums(4, padded, w, q, sum);
        else
            sums(1, padded, w, q, sum);
        for (int r = 0; r < some; r++, row++, w += padded)
            y[row] = multiply_add((float)sum[r], step * scale[row], b ? b[row] : 0.0f);
    }
}

/* y (rows) = b + (scale * W) x in floating point: a row of the first layer's table. */
void EXPORT(exact_product)(int rows, int n, const int8_t *w, const float *scale, const float *b, const float *x, float *y)
{
    const int padded = (n + 15) & ~15;
    for (int row = 0; row < rows; row++, w += padded) {
        float sum = b[row];
        for (int i = 0; i < n; i++)
            sum = multiply_add(x[i], (float)w[i] * scale[row], sum);
        y[row] = sum;
    }
}

/* x (n) = a row of the embedding. */
void EXPORT(look_up)(int n, const int8_t *row, float scale, float *x)
{
    for (int i = 0; i < n; i++)
        x[i] = (float)row[i] * scale;
}

/* 2^k, and expm1 of what x is more than k ln 2: textgru/core/kernels/vector_math.h, whose roundings are these. */
static inline float expm1_reduced(float x, float *power)
{
    const float shifter = 12582912.0f;
    const float shifted = multiply_add(x, 1.44269504f, shifter), rounded = shifted - shifter;
    float r = multiply_add(-rounded, 0.693359375f, x);
    r = multiply_add(rounded, 2.12194440e-4f, r);
    float q = 0.0013882521f;
    q = multiply_add(q, r, 0.0083665205f);
    q = multiply_add(q, r, 0.0416672006f);
    q = multiply_add(q, r, 0.1666654348f);
    q = multiply_add(q, r, 0.4999999702f);
    const union {
        int32_t bits;
        float number;
    } two_to_k = {((int32_t)rounded + 127) << 23};
    *power = two_to_k.number;
    return multiply_add(r * r, q, r);
}

static inline float clamp(float x, float low, float high)
{
    x = x < low ? low : x;
    return x > high ? high : x;
}

static float sigmoid(float x)
{
    float power;
    const float e = expm1_reduced(clamp(-x, -87.0f, 89.0f), &power);
    return 1.0f / multiply_add(1.0f + e, power, 1.0f);
}

static float hyperbolic_tangent(float x)
{
    float power;
    const float e = expm1_reduced(2.0f * clamp(x, -10.0f, 10.0f), &power);
    const float expm1 = multiply_add(power, e, power - 1.0f);
    return expm1 / (expm1 + 2.0f);
}

/* A step of n units: gi (gates, n) with its bias, gh (gates, n) and b (gates, n), its bias; the states are replaced.
   Equations: textgru.core.GRU, LSTM, RNN. */
void EXPORT(gru)(int n, const float *gi, const float *gh, const float *b, float *h)
{
    for (int i = 0; i < n; i++) {
        const float r = sigmoid(gi[i] + gh[i] + b[i]);
        const float z = sigmoid(gi[n + i] + gh[n + i] + b[n + i]);
        const float candidate = hyperbolic_tangent(multiply_add(r, gh[2 * n + i] + b[2 * n + i], gi[2 * n + i]));
        h[i] = multiply_add(z, h[i] - candidate, candidate);
    }
}

void EXPORT(lstm)(int n, const float *gi, const float *gh, const float *b, float *h, float *c)
{
    for (int i = 0; i < n; i++) {
        const float in = sigmoid(gi[i] + gh[i] + b[i]);
        const float forget = sigmoid(gi[n + i] + gh[n + i] + b[n + i]);
        const float candidate = hyperbolic_tangent(gi[2 * n + i] + gh[2 * n + i] + b[2 * n + i]);
        const float out = sigmoid(gi[3 * n + i] + gh[3 * n + i] + b[3 * n + i]);
        c[i] = multiply_add(forget, c[i], in * candidate);
        h[i] = out * hyperbolic_tangent(c[i]);
    }
}

void EXPORT(rnn)(int n, const float *gi, const float *gh, const float *b, float *h)
{
    for (int i = 0; i < n; i++)
        h[i] = hyperbolic_tangent(gi[i] + gh[i] + b[i]);
}
