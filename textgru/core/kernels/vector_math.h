/* exp, sigmoid and tanh in float32 that a compiler can vectorise: no branch, no table, no call.
 *
 * Argument reduction and reconstruction as in Cody and Waite, "Software Manual for the Elementary Functions" (1980):
 * x = n ln2 + r, |r| <= ln2 / 2, and expm1(r) = r + r^2 q(r). The coefficients of q are a weighted minimax fit
 * (Lawson's iteration), relative error 1.4e-8. NaN goes through, infinities and overflow end as in the C library.
 */
#ifndef TEXTGRU_VECTOR_MATH_H
#define TEXTGRU_VECTOR_MATH_H

#include <stdint.h>

static inline float float_of_bits(uint32_t bits)
{
    union { uint32_t u; float f; } v = { bits };
    return v.f;
}

static inline uint32_t bits_of_float(float x)
{
    union { float f; uint32_t u; } v = { x };
    return v.u;
}

/* Written so that a NaN stays a NaN: every comparison with it is false. */
static inline float clamp(float x, float low, float high)
{
    x = x < low ? low : x;
    return x > high ? high : x;
}

/* expm1(r) for the reduced argument of x; *n becomes the integer exponent. Adding 1.5 * 2^23 rounds to the nearest
 * integer and leaves it in the low bits. */
static inline float expm1_reduced(float x, int32_t *n)
{
    const float shifter = 12582912.0f;
    float shifted = x * 1.44269504f + shifter;
    float rounded = shifted - shifter;
    float r = x - rounded * 0.693359375f;
    r = r + rounded * 2.12194440e-4f;
    float q = 0.0013882521f;
    q = q * r + 0.0083665205f;
    q = q * r + 0.0416672006f;
    q = q * r + 0.1666654348f;
    q = q * r + 0.4999999702f;
    *n = (int32_t)(bits_of_float(shifted) - 0x4B400000u);
    return r + r * r * q;
}

static inline float power_of_two(int32_t n)
{
    return float_of_bits((uint32_t)(n + 127) << 23);
}

/* The scale 2^n in two factors, so that subnormal results and values just below the overflow come out right. */
static inline float vector_expf(float x)
{
    int32_t n;
    float e = expm1_reduced(clamp(x, -104.0f, 89.0f), &n);
    int32_t half = n >> 1;
    return (1.0f + e) * power_of_two(half) * power_of_two(n - half);
}

/* One factor is enough here: from exponent 128 on 2^n is infinite and the result, below the normal numbers, 0. */
static inline float vector_sigmoidf(float x)
{
    int32_t n;
    float e = expm1_reduced(clamp(-x, -87.0f, 89.0f), &n);
    return 1.0f / (1.0f + (1.0f + e) * power_of_two(n));
}

/* tanh x = expm1(2x) / (expm1(2x) + 2): no cancellation near zero. From |x| = 9.01 on it is 1 in float32. */
static inline float vector_tanhf(float x)
{
    int32_t n;
    float e = expm1_reduced(2.0f * clamp(x, -10.0f, 10.0f), &n);
    float scale = power_of_two(n);
    float em1 = scale * e + (scale - 1.0f);
    return em1 / (em1 + 2.0f);
}

#endif
