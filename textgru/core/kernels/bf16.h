/* bfloat16: the upper half of a float32, rounded to nearest, ties to even. Two of them stand in 32 bits, the first
 * one in the lower half. */
#ifndef TEXTGRU_BF16_H
#define TEXTGRU_BF16_H

#include "vector_math.h"

#include <stddef.h>

#ifdef __AVX512BF16__
#include <immintrin.h>
#endif

/* In the upper half of the result; the lower half is rubbish. NaN stays NaN. */
static inline uint32_t round_to_bf16(float x)
{
    const uint32_t bits = bits_of_float(x);
    const uint32_t rounded = bits + 0x7fffu + ((bits >> 16) & 1u);
    return (bits & 0x7fffffffu) > 0x7f800000u ? bits | 0x400000u : rounded;
}

static inline uint32_t bf16_pair(float first, float second)
{
    return (round_to_bf16(first) >> 16) | (round_to_bf16(second) & 0xffff0000u);
}

/* y[u] = the pair x[2 u], x[2 u + 1], and y[i] = the pair first[i], second[i], with zeros where second is NULL; the
 * first `done` units, by the CPU's own conversion: a tenth of the instructions. It takes subnormal numbers as zeros, as
 * its products do anyway. Returns how many are done. */
static inline size_t bf16_pairs_of_row(size_t units, const float *x, uint32_t *y)
{
    size_t done = 0;
#ifdef __AVX512BF16__
    for (; done + 16 <= units; done += 16)
        _mm512_storeu_si512(y + done, (__m512i)_mm512_cvtne2ps_pbh(_mm512_loadu_ps(x + 2 * done + 16),
                                                                   _mm512_loadu_ps(x + 2 * done)));
#else
    (void)units, (void)x, (void)y;
#endif
    return done;
}

static inline size_t bf16_pairs_of_rows(size_t n, const float *first, const float *second, uint32_t *y)
{
    size_t done = 0;
#ifdef __AVX512BF16__
    /* word 2 i from the first 16 words, word 2 i + 1 from the last */
    const __m512i order = _mm512_add_epi32(
        _mm512_set1_epi32(16 << 16),
        _mm512_mullo_epi32(_mm512_set1_epi32(0x10001),
                           _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0)));
    for (; done + 16 <= n; done += 16) {
        const __m512 after = second ? _mm512_loadu_ps(second + done) : _mm512_setzero_ps();
        const __m512i both = (__m512i)_mm512_cvtne2ps_pbh(after, _mm512_loadu_ps(first + done));
        _mm512_storeu_si512(y + done, _mm512_permutexvar_epi16(order, both));
    }
#else
    (void)n, (void)first, (void)second, (void)y;
#endif
    return done;
}

#endif
