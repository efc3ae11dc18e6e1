#include "dispatch.h"

#if defined(__aarch64__) && defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

extern const textgru_kernels textgru_kernels_baseline;
#ifdef TEXTGRU_HAS_AVX2
extern const textgru_kernels textgru_kernels_avx2;
#endif
#ifdef TEXTGRU_HAS_AVX512
extern const textgru_kernels textgru_kernels_avx512;
#endif
#ifdef TEXTGRU_HAS_AVX512_VNNI
extern const textgru_kernels textgru_kernels_avx512_vnni;
#endif
#ifdef TEXTGRU_HAS_AVX512_BF16
extern const textgru_kernels textgru_kernels_avx512_bf16;
#endif
#ifdef TEXTGRU_HAS_NEON_DOT
extern const textgru_kernels textgru_kernels_neon_dot;
#endif
#ifdef TEXTGRU_HAS_NEON_BF16
extern const textgru_kernels textgru_kernels_neon_bf16;
#endif

int textgru_supported_kernels(const textgru_kernels **tables, int capacity)
{
    int count = 0;
#if defined(__x86_64__) || defined(__i386__)
    __builtin_cpu_init();
    const int avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                       __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    const int vnni = avx512 && __builtin_cpu_supports("avx512vnni");
#ifdef TEXTGRU_HAS_AVX512_BF16
    if (count < capacity && vnni && __builtin_cpu_supports("avx512bf16"))
        tables[count++] = &textgru_kernels_avx512_bf16;
#endif
#ifdef TEXTGRU_HAS_AVX512_VNNI
    if (count < capacity && vnni)
        tables[count++] = &textgru_kernels_avx512_vnni;
#endif
#ifdef TEXTGRU_HAS_AVX512
    if (count < capacity && avx512)
        tables[count++] = &textgru_kernels_avx512;
#endif
#ifdef TEXTGRU_HAS_AVX2
    if (count < capacity && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        tables[count++] = &textgru_kernels_avx2;
#endif
    (void)vnni;
#elif defined(__aarch64__) && defined(__linux__)
    const int dot = (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
#ifdef TEXTGRU_HAS_NEON_BF16
    if (count < capacity && dot && (getauxval(AT_HWCAP2) & HWCAP2_BF16))
        tables[count++] = &textgru_kernels_neon_bf16;
#endif
#ifdef TEXTGRU_HAS_NEON_DOT
    if (count < capacity && dot)
        tables[count++] = &textgru_kernels_neon_dot;
#endif
    (void)dot;
#endif
    if (count < capacity)
        tables[count++] = &textgru_kernels_baseline;
    return count;
}
