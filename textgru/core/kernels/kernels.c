/* Compiled once for each instruction set, with TEXTGRU_ISA naming it: see setup.py. Everything but the table is
 * static, so that the linker can't put one instruction set's code in another's place. */
#include "kernels.h"
#include "bf16.h"
#include "vector_math.h"
#include "vectors.h"

#include <math.h>
#include <string.h>

#ifdef __AVX512F__
#include <immintrin.h>
#define COLLECT_16
#endif
#ifdef __ARM_FEATURE_BF16_VECTOR_ARITHMETIC
#include <arm_neon.h>
#endif

#define PRAGMA(text) _Pragma(#text)
#define RESTRICT __restrict__
#define SIMD PRAGMA(omp simd)
#define SIMD_SUM(variable) PRAGMA(omp simd reduction(+ : variable))
#define SIMD_SUMS(a, b) PRAGMA(omp simd reduction(+ : a, b))
#define SIMD_MAX(variable) PRAGMA(omp simd reduction(max : variable))
#define SIMD_MIN(variable) PRAGMA(omp simd reduction(min : variable))

/* A counter-based generator: two rounds of a 32-bit finaliser (xor-shift, multiply) on the position under a key. */
static inline uint32_t mix(uint32_t x)
{
    x ^= x >> 16;
    x *= 0x7feb352du;
    x ^= x >> 15;
    x *= 0x846ca68bu;
    x ^= x >> 16;
    return x;
}

static inline double logistic(double x) { return 1.0 / (1.0 + exp(-x)); }

#define REAL float
#define NAME(name) name##_f32
#define EXP vector_expf
#define SIGMOID vector_sigmoidf
#define TANH vector_tanhf
#define SQRT sqrtf
#define NEXT(x) nextafterf(x, INFINITY)
#include "rows.h"
#include "sampling.h"
#undef COLLECT_16
#undef REAL
#undef NAME
#undef EXP
#undef SIGMOID
#undef TANH
#undef SQRT
#undef NEXT

/* float64 is how gradients are checked: the C library's own functions, at their accuracy and speed. */
#define REAL double
#define NAME(name) name##_f64
#define EXP exp
#define SIGMOID logistic
#define TANH tanh
#define SQRT sqrt
#define NEXT(x) nextafter(x, INFINITY)
#include "rows.h"
#include "sampling.h"
#undef NAME

/* sum + both products of the pairs. The emulation multiplies exactly, as the instruction does. */
static inline __attribute__((always_inline)) vector add_bf16_products(vector sum, uint32_t x, bit_vector w)
{
#ifdef __AVX512BF16__
    return (vector)_mm512_dpbf16_ps((__m512)sum, (__m512bh)w, (__m512bh)_mm512_set1_epi32((int)x));
#elif defined(__ARM_FEATURE_BF16_VECTOR_ARITHMETIC)
    return (vector)vbfdotq_f32((float32x4_t)sum, (bfloat16x8_t)w, (bfloat16x8_t)vdupq_n_u32(x));
#else
    sum += float_of_bits(x << 16) * (vector)(w << 16);
    return sum + float_of_bits(x & 0xffff0000u) * (vector)(w & 0xffff0000u);
#endif
}

#if defined(__AVX512BF16__) || defined(__ARM_FEATURE_BF16_VECTOR_ARITHMETIC)
#define BF16_IS_FAST 1
#else
#define BF16_IS_FAST 0
#endif

/* A tile has at most 6 rows. A product takes up to GEMM_ROWS rows of the left side and GEMM_UNITS units of k at a time:
 * they stay in the first and second cache. */
#define UNROLL _Pragma("GCC unroll 8") /* completely: sums that are no registers cost a tenth */
#define TILE_ROWS 6
#define BAND_ROWS 16
#define GEMM_ROWS 96 /* whole bands */
#define GEMM_UNITS 256
#define MULTIPLY_UNITS 1024
#define PREFETCH(address) __builtin_prefetch(address, 0, 2) /* into the second cache */
#define CLAIM(address) __builtin_prefetch(address, 1, 3) /* to be written */
#define SMALLER(a, b) ((a) < (b) ? (a) : (b))

/* The lines that a tile has fetched while it multiplies: one with each unit, `step` bytes apart, up to number `last`. */
typedef struct {
    const char *at;
    size_t step, last;
} lines;

/* The next of those lines, one for each unit of a tile; where none is left, one line again and again that is in the
 * cache already. */
static inline lines some_lines(textgru_ahead *ahead, size_t units, const void *there)
{
    lines some = { there, 0, 0 };
    while (ahead && !(ahead->columns && ahead->rows))
        ahead = ahead->next;
    if (ahead) {
        const size_t left = ahead->rows - ahead->done;
        const size_t count = left < units ? left : units;
        some = (lines){ ahead->from + ahead->done * ahead->row, ahead->row, count - 1 };
        ahead->done += count;
        if (ahead->done == ahead->rows) {
            ahead->from += 64;
            ahead->columns--;
            ahead->done = 0;
        }
    }
    return some;
}

#define NAME(name) name##_products_f32
#define UNIT float
#define UNIT_K 1
#define WEIGHT vector
#define UNIT_OF(first, second) (first)
#define UNITS_OF_ROW(units, x, y) 0
#define UNITS_OF_ROWS(n, x, second, y) 0
#define MULTIPLY_ADD(sum, x, w) ((sum) + (x) * (w))
#include "gemm.h"
#undef NAME
#undef UNIT
#undef UNIT_K
#undef WEIGHT
#undef UNIT_OF
#undef UNITS_OF_ROW
#undef UNITS_OF_ROWS
#undef MULTIPLY_ADD

#define NAME(name) name##_products_bf16
#define UNIT uint32_t
#define UNIT_K 2
#define WEIGHT bit_vector
#define UNIT_OF(first, second) bf16_pair(first, second)
#define UNITS_OF_ROW(units, x, y) bf16_pairs_of_row(units, x, y)
#define UNITS_OF_ROWS(n, x, second, y) bf16_pairs_of_rows(n, x, second, y)
#define MULTIPLY_ADD(sum, x, w) add_bf16_products(sum, x, w)
#include "gemm.h"

#include "int8.h"

#define CELL(name, suffix) { name##_forward_##suffix, name##_backward_##suffix }

#define TABLE(suffix)                                                                                                \
    { exp_##suffix,                                                                                                  \
      sigmoid_##suffix,                                                                                              \
      tanh_##suffix,                                                                                                 \
      add_##suffix,                                                                                                  \
      sum_squares_##suffix,                                                                                          \
      dropout_##suffix,                                                                                              \
      { CELL(gru, suffix), CELL(lstm, suffix), CELL(rnn, suffix) }, /* in the order of TEXTGRU_CELLS */              \
      gru_before_reset_##suffix,                                                                                     \
      gru_before_output_##suffix,                                                                                    \
      gru_before_backward_##suffix,                                                                                  \
      gru_before_backward_reset_##suffix,                                                                            \
      matvec_packed_##suffix,                                                                                        \
      boltzmann_##suffix,                                                                                            \
      boltzmann_below_##suffix,                                                                                      \
      largest_##suffix,                                                                                              \
      first_above_##suffix,                                                                                          \
      mask_##suffix,                                                                                                 \
      cut_##suffix,                                                                                                  \
      collect_##suffix,                                                                                              \
      penalise_##suffix,                                                                                             \
      deviation_##suffix,                                                                                            \
      entropy_##suffix,                                                                                              \
      typicality_##suffix,                                                                                           \
      cross_entropy_##suffix,                                                                                        \
      adamw_##suffix,                                                                                                \
      lerp_##suffix }

#define PRODUCTS(type, unit_k)                                                                                       \
    { unit_k, pack_products_##type, convert_products_##type, multiply_packed_products_##type, gemm_products_##type }

#define CONCATENATE_(a, b) a##b
#define CONCATENATE(a, b) CONCATENATE_(a, b)
#define STRING_(a) #a
#define STRING(a) STRING_(a)

extern const textgru_kernels CONCATENATE(textgru_kernels_, TEXTGRU_ISA);
const textgru_kernels CONCATENATE(textgru_kernels_, TEXTGRU_ISA) = {
    STRING(TEXTGRU_ISA), INT8_IS_FAST,      BF16_IS_FAST,
    VECTOR_FLOATS >= 8,  TABLE(f32),        TABLE(f64),
    PRODUCTS(f32, 1),    PRODUCTS(bf16, 2), { quantize_int8, quantize_row_int8, matvec_int8, multiply_int8 }
};
