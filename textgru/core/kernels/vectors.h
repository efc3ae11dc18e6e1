/* Vectors of the instruction set that is being compiled for, by the compiler's vector extensions (GCC, Clang). */
#ifndef TEXTGRU_VECTORS_H
#define TEXTGRU_VECTORS_H

#include <stdint.h>

/* TILE_VECTORS: how many vectors side by side a tile of 6 rows sums up in registers. */
#if defined(__AVX512F__)
#define VECTOR_FLOATS 16
#define TILE_VECTORS 4
#elif defined(__AVX2__)
#define VECTOR_FLOATS 8
#define TILE_VECTORS 2
#elif defined(__aarch64__)
#define VECTOR_FLOATS 4
#define TILE_VECTORS 4
#else
#define VECTOR_FLOATS 4
#define TILE_VECTORS 2
#endif

#define VECTOR_BYTES (VECTOR_FLOATS * 4)

typedef float vector __attribute__((vector_size(VECTOR_BYTES), aligned(4), may_alias));
typedef uint32_t bit_vector __attribute__((vector_size(VECTOR_BYTES), aligned(4), may_alias));

#endif
