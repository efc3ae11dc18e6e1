/* bfloat16: the upper half of a float32, rounded to nearest, ties to even. Two of them stand in 32 bits, the first
 * one in the lower half. */
#ifndef TEXTGRU_BF16_H
#define TEXTGRU_BF16_H

#include "vector_math.h"

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

#endif
