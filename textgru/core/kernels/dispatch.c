#include "dispatch.h"

extern const textgru_kernels textgru_kernels_baseline;
#ifdef TEXTGRU_X86
extern const textgru_kernels textgru_kernels_avx2;
extern const textgru_kernels textgru_kernels_avx512;
#endif

int textgru_supported_kernels(const textgru_kernels **tables, int capacity)
{
    int count = 0;
#ifdef TEXTGRU_X86
    __builtin_cpu_init();
    if (count < capacity && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        tables[count++] = &textgru_kernels_avx512;
    if (count < capacity && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        tables[count++] = &textgru_kernels_avx2;
#endif
    if (count < capacity)
        tables[count++] = &textgru_kernels_baseline;
    return count;
}
