/* Compiled once for each instruction set, with TEXTGRU_ISA naming it: see setup.py. Everything but the table is
 * static, so that the linker can't put one instruction set's code in another's place. */
#include "kernels.h"
#include "vector_math.h"

#include <math.h>

#ifdef _MSC_VER
#define RESTRICT __restrict
#define SIMD
#define SIMD_SUM(variable)
#define SIMD_MAX(variable)
#else
#define PRAGMA(text) _Pragma(#text)
#define RESTRICT __restrict__
#define SIMD PRAGMA(omp simd)
#define SIMD_SUM(variable) PRAGMA(omp simd reduction(+ : variable))
#define SIMD_MAX(variable) PRAGMA(omp simd reduction(max : variable))
#endif

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

static inline double logistic(double x)
{
    return 1.0 / (1.0 + exp(-x));
}

#define REAL float
#define NAME(name) name##_f32
#define EXP vector_expf
#define SIGMOID vector_sigmoidf
#define TANH vector_tanhf
#define SQRT sqrtf
#include "rows.h"
#undef REAL
#undef NAME
#undef EXP
#undef SIGMOID
#undef TANH
#undef SQRT

/* float64 is how gradients are checked: the C library's own functions, at their accuracy and speed. */
#define REAL double
#define NAME(name) name##_f64
#define EXP exp
#define SIGMOID logistic
#define TANH tanh
#define SQRT sqrt
#include "rows.h"

#include "packed_gemm.h"

#define TABLE(suffix)                                                                                                \
    {                                                                                                                \
        exp_##suffix, sigmoid_##suffix, tanh_##suffix, add_##suffix, sum_squares_##suffix, dropout_##suffix,    \
            gru_forward_##suffix, gru_backward_##suffix, gru_before_reset_##suffix, gru_before_output_##suffix,      \
            gru_before_backward_##suffix, gru_before_backward_reset_##suffix,             \
            matvec_packed_##suffix, boltzmann_##suffix, cross_entropy_##suffix, adamw_##suffix                       \
    }

#define CONCATENATE_(a, b) a##b
#define CONCATENATE(a, b) CONCATENATE_(a, b)
#define STRING_(a) #a
#define STRING(a) STRING_(a)

extern const textgru_kernels CONCATENATE(textgru_kernels_, TEXTGRU_ISA);
const textgru_kernels CONCATENATE(textgru_kernels_, TEXTGRU_ISA) = { STRING(TEXTGRU_ISA), TABLE(f32), TABLE(f64),
                                                                           GEMM_PACKED };
