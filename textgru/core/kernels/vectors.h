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

typedef float register_vector __attribute__((vector_size(VECTOR_BYTES)));

/* Tells the compiler that this sum has to be in a register here, and stays in the same one. Without it GCC copies sums
 * from register to register, or to memory and back, at every turn of the loop: half the speed of bf16 products.
 * The sums are a type of their own for the same reason: as `vector`, of less alignment, they are copied as well. */
#if defined(__x86_64__)
#define KEEP_IN_REGISTER(sum) __asm__("" : "+v"(sum))
#elif defined(__aarch64__)
#define KEEP_IN_REGISTER(sum) __asm__("" : "+w"(sum))
#else
#define KEEP_IN_REGISTER(sum) ((void)0)
#endif

#endif
