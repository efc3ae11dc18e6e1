/* What a page computes with: one token of one text at a time, with weights as 8-bit integers. Compiled to WebAssembly:

       clang --target=wasm32 -O3 -msimd128 -fno-builtin -ffp-contract=off -nostdlib -Wl,--no-entry -Wl,--strip-all \
           -Wl,-z,stack-size=16384 -o kernels.wasm kernels.c

   Numbers are rounded where textgru.core's int8 kernels round them, so that both give the same text. Rows of integers
   are padded with zeros to a multiple of 16. */

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

/* y (rows) = b + step * scale * (W q), W (rows, n padded) integers. */
void EXPORT(product)(int rows, int n, const int8_t *w, const float *scale, const float *b, const int16_t *q, float step,
                     float *y)
{
    const int padded = (n + 15) & ~15;
    for (int row = 0; row < rows; row++, w += padded) {
        v128_t low = wasm_i32x4_splat(0), high = wasm_i32x4_splat(0);
        for (int i = 0; i < padded; i += 16) {
            const v128_t eight = wasm_v128_load(w + i);
            low = wasm_i32x4_add(
                low, wasm_i32x4_dot_i16x8(wasm_i16x8_extend_low_i8x16(eight), wasm_v128_load(q + i)));
            high = wasm_i32x4_add(
                high, wasm_i32x4_dot_i16x8(wasm_i16x8_extend_high_i8x16(eight), wasm_v128_load(q + i + 8)));
        }
        const v128_t sum = wasm_i32x4_add(low, high);
        const int32_t total = wasm_i32x4_extract_lane(sum, 0) + wasm_i32x4_extract_lane(sum, 1) +
                              wasm_i32x4_extract_lane(sum, 2) + wasm_i32x4_extract_lane(sum, 3);
        y[row] = (float)((double)total * (double)(step * scale[row]) + (double)b[row]);
    }
}

/* y (rows) = b + (scale * W) x in floating point: a row of the first layer's table. */
void EXPORT(exact_product)(int rows, int n, const int8_t *w, const float *scale, const float *b, const float *x, float *y)
{
    const int padded = (n + 15) & ~15;
    for (int row = 0; row < rows; row++, w += padded) {
        double sum = 0;
        for (int i = 0; i < n; i++)
            sum += (double)((float)w[i] * scale[row]) * (double)x[i];
        y[row] = (float)(sum + (double)b[row]);
    }
}

/* x (n) = a row of the embedding. */
void EXPORT(look_up)(int n, const int8_t *row, float scale, float *x)
{
    for (int i = 0; i < n; i++)
        x[i] = (float)row[i] * scale;
}

/* exp in double precision: 2^k times a polynomial on [-ln 2 / 2, ln 2 / 2]. */
static double exponential(double x)
{
    x = x < -700 ? -700 : x > 700 ? 700 : x;
    const double k = __builtin_nearbyint(x * 1.4426950408889634);
    const double r = (x - k * 6.93147180369123816490e-01) - k * 1.90821492927058770002e-10;
    double sum = 1;
    for (int i = 13; i > 0; i--)
        sum = 1 + sum * r / i;
    const union {
        uint64_t bits;
        double number;
    } power = {(uint64_t)((int64_t)k + 1023) << 52};
    return sum * power.number;
}

static float sigmoid(float x)
{
    return (float)(1 / (1 + exponential(-(double)x)));
}

static float hyperbolic_tangent(float x)
{
    const double e = exponential(2 * (double)x);
    return (float)((e - 1) / (e + 1));
}

/* A step of n units: gi, gh (gates, n) with their biases; the states are replaced. Equations: textgru.core.GRU, LSTM, RNN. */
void EXPORT(gru)(int n, const float *gi, const float *gh, float *h)
{
    for (int i = 0; i < n; i++) {
        const float r = sigmoid(gi[i] + gh[i]);
        const float z = sigmoid(gi[n + i] + gh[n + i]);
        const float candidate = hyperbolic_tangent(gi[2 * n + i] + r * gh[2 * n + i]);
        h[i] = candidate + z * (h[i] - candidate);
    }
}

void EXPORT(lstm)(int n, const float *gi, const float *gh, float *h, float *c)
{
    for (int i = 0; i < n; i++) {
        const float in = sigmoid(gi[i] + gh[i]);
        const float forget = sigmoid(gi[n + i] + gh[n + i]);
        const float candidate = hyperbolic_tangent(gi[2 * n + i] + gh[2 * n + i]);
        const float out = sigmoid(gi[3 * n + i] + gh[3 * n + i]);
        c[i] = forget * c[i] + in * candidate;
        h[i] = out * hyperbolic_tangent(c[i]);
    }
}

void EXPORT(rnn)(int n, const float *gi, const float *gh, float *h)
{
    for (int i = 0; i < n; i++)
        h[i] = hyperbolic_tangent(gi[i] + gh[i]);
}
