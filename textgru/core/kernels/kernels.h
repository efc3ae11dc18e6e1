/* The innermost loops of the core. They know rows of numbers, no matrices, no threads and no memory management.
 *
 * kernels.c is compiled once for each instruction set, each time into one table of functions; dispatch.c picks a
 * table. Every kernel works on one row of n elements unless it says otherwise. No pointer may overlap another
 * except where IN/OUT names it. H is the hidden size.
 */
#ifndef TEXTGRU_KERNELS_H
#define TEXTGRU_KERNELS_H

#include <stddef.h>
#include <stdint.h>

/* Columns of a packed matrix that stand side by side. */
#define TEXTGRU_PACKED_COLUMNS 64

/* A packed matrix of this size, in bytes, still stays in a CPU's second cache. */
#define TEXTGRU_NEAR_BYTES (1 << 19)

/* The cells, in the order of the tables. */
enum { TEXTGRU_GRU, TEXTGRU_LSTM, TEXTGRU_RNN, TEXTGRU_CELLS };

/* One step of a cell for one row of the batch. Only the first `units` of the H: pointers may stand at a later unit. G
 * gates, K blocks kept, S arrays of state, of which the first is h. IN x (G H) = W_ih x + b_ih; IN b (G H) = b_hh.
 *
 * gru: G 3 (r, z, n), K 4, S 1. lstm: G 4 (i, f, g, o), K 4, S 2 (h, c). rnn: G 1, K 1, S 1. */
#define TEXTGRU_CELL(REAL, SUFFIX)                                                                                   \
    typedef struct {                                                                                                 \
        /* IN g (G, H) = W_hh h, its gates g_gate elements apart; IN before[S]: the state (H) before the step;       \
         * OUT kept (K H): what `backward` needs; OUT after[S]: the state (H) after it */                            \
        void (*forward)(size_t units, size_t H, const REAL *x, const REAL *g, size_t g_gate, const REAL *b,          \
                        REAL *const *before, REAL *kept, REAL *const *after);                                        \
        /* IN dy (H): the gradient of the output h; IN before[S], after[S]; IN/OUT kept: in as `forward` left it,    \
         * out gradients before the activations: gru dn, dr, dz, dn * r (the last that of W_hn h + b_hn), lstm di,   \
         * df, dg, do, rnn dh; IN/OUT d[S] (H): in the gradient of the state after the step from later steps, out    \
         * that of the state before it, without what comes by way of W_hh */                                         \
        void (*backward)(size_t units, size_t H, const REAL *dy, REAL *const *before, REAL *const *after,            \
                         REAL *kept, REAL *const *d);                                                                \
    } textgru_cell_##SUFFIX

TEXTGRU_CELL(float, f32);
TEXTGRU_CELL(double, f64);

#define TEXTGRU_KERNEL_TABLE(REAL, SUFFIX)                                                                           \
    typedef struct {                                                                                                 \
        /* y = f(x), elementwise */                                                                                  \
        void (*exp)(size_t n, const REAL *x, REAL *y);                                                               \
        void (*sigmoid)(size_t n, const REAL *x, REAL *y);                                                           \
        void (*tanh)(size_t n, const REAL *x, REAL *y);                                                              \
        /* y += x */                                                                                                 \
        void (*add)(size_t n, const REAL *x, REAL *y);                                                               \
        /* sum of x^2, in float64 */                                                                                 \
        double (*sum_squares)(size_t n, const REAL *x);                                                              \
        /* x *= 0 with probability p, else 1 / (1 - p); element i of the stream that key and start + i name */       \
        void (*dropout)(size_t n, uint64_t key, uint64_t start, double p, REAL *x);                                  \
                                                                                                                     \
        textgru_cell_##SUFFIX cells[TEXTGRU_CELLS];                                                                  \
                                                                                                                     \
        /* GRU, reset before the product (Cho et al. 2014), in two halves around the product W_hn (r * h_prev).      \
         * x, b, gates: as in gru_forward, but gates are n, r, z, r * h_prev.                                        \
         * First half: IN g (2H) = W_hr h_prev, W_hz h_prev; OUT gates[H:4H] */                                      \
        void (*gru_before_reset)(size_t units, size_t H, const REAL *x, const REAL *g, const REAL *b,                \
                                 const REAL *h_prev, REAL *gates);                                                   \
        /* Second half: IN g (H) = W_hn (r * h_prev); OUT gates[0:H] = n; OUT h (H) */                               \
        void (*gru_before_output)(size_t units, size_t H, const REAL *x, const REAL *g, const REAL *b,               \
                                  const REAL *h_prev, REAL *gates, REAL *h);                                         \
        /* IN dy (H); IN/OUT dh (H): in the gradient of h from later steps, out dh * z; gates become dn, r, dz,      \
         * r * h_prev */                                                                                             \
        void (*gru_before_backward)(size_t units, size_t H, const REAL *dy, const REAL *h_prev, REAL *gates,         \
                                    REAL *dh);                                                                       \
        /* IN drh (H) = W_hn^T dn; IN/OUT gates: in r, out dr; IN/OUT dh += drh * r */                               \
        void (*gru_before_backward_reset)(size_t units, size_t H, const REAL *drh, const REAL *h_prev, REAL *gates,  \
                                          REAL *dh);                                                                 \
                                                                                                                     \
        /* y (blocks * 64) = b + W x for the one row x (n): W packed (blocks, n, 64), b (blocks * 64) */             \
        void (*matvec_packed)(size_t blocks, size_t n, const REAL *packed, const REAL *b, const REAL *x, REAL *y);   \
                                                                                                                     \
        /* y = exp(scale * (x - max x)); returns the sum of y: softmax(scale * x) before its division */             \
        double (*boltzmann)(size_t n, const REAL *x, double scale, REAL *y);                                         \
        /* The same where the largest is known */                                                                    \
        double (*boltzmann_below)(size_t n, const REAL *x, REAL largest, double scale, REAL *y);                     \
        REAL (*largest)(size_t n, const REAL *x);                                                                    \
        /* The first element whose sum with all before it is above the target, n where there is none */              \
        size_t (*first_above)(size_t n, const REAL *p, double target);                                               \
        /* Sampling controls, on scores x of which some may be -infinity: what can't be drawn.                       \
         * x[i] = -infinity where key[i] < least */                                                                  \
        void (*mask)(size_t n, const REAL *key, REAL least, REAL *x);                                                \
        /* The fewest elements with the largest keys whose weights (1 where weight is NULL) add up to the target or  \
         * more: how many, n where it takes all; OUT least, the smallest of their keys: of others that have the same \
         * the first ones are meant. high: the largest key; guess:                                                   \
         * one from which there may be enough, or -infinity. k and w: room for 2 (n + 16) */                         \
        size_t (*cut)(size_t n, const REAL *key, const REAL *weight, double target, REAL guess, REAL high, REAL *k,  \
                      REAL *w, REAL *least);                                                                         \
        /* Only the elements with keys not below `least` stay, in their order: returns how many. IN/OUT key, x, and  \
         * weight (NULL where there are none), and index, which is 0, 1, ... before unless it is `numbered` */       \
        size_t (*collect)(size_t n, REAL least, REAL *key, REAL *x, REAL *weight, int32_t *index, int numbered);     \
        /* x of the elements that were there: divided by `repetition` where it is positive, else multiplied; less    \
         * count * frequency + presence */                                                                           \
        void (*penalise)(size_t n, const int32_t *count, REAL repetition, REAL frequency, REAL presence, REAL *x);   \
        /* the standard deviation of the finite ones */                                                              \
        double (*deviation)(size_t n, const REAL *x);                                                                \
        /* of the distribution p / total, in nats: p = exp(x - largest) */                                           \
        double (*entropy)(size_t n, const REAL *x, REAL largest, const REAL *p, double total);                       \
        /* key = -|x + shift| */                                                                                     \
        void (*typicality)(size_t n, const REAL *x, REAL shift, REAL *key);                                          \
                                                                                                                     \
        /* Returns -log softmax(x)[target]; OUT dx = scale * (softmax(x) - onehot(target)), or dx NULL. */           \
        double (*cross_entropy)(size_t n, const REAL *x, size_t target, double scale, REAL *dx);                     \
        /* AdamW (Loshchilov and Hutter 2019, algorithm 2) on n parameters. IN g is multiplied by g_scale first. */  \
        void (*adamw)(size_t n, double g_scale, double lr, double beta1, double beta2, double eps, double decay,     \
                      double correction1, double correction2, const REAL *g, REAL *m, REAL *v, REAL *w);             \
        void (*lerp)(size_t n, double weight, const REAL *x, REAL *y); /* y += weight * (x - y) */                   \
    } textgru_kernels_##SUFFIX

TEXTGRU_KERNEL_TABLE(float, f32);
TEXTGRU_KERNEL_TABLE(double, f64);

/* Memory that will be needed soon, fetched while a product runs, a cache line with each unit: `columns` columns of lines
 * side by side, each of `rows` lines `row` bytes apart. `from` and `columns` become what is left, `done` the lines
 * fetched of its first column; then comes `next`, or NULL. */
typedef struct textgru_ahead {
    const char *from;
    size_t row, rows, columns, done;
    struct textgru_ahead *next;
} textgru_ahead;

/* Products with a packed right side, float32 sums. The inputs are taken as they are, or rounded to bfloat16: then
 * two neighbours along k make one unit of 32 bits. A packed matrix (k, n) is (ceil(n / 64), units, 64) units, columns
 * beyond n zero; element (i, j) of a matrix that is to be packed or multiplied is at i * row + j * column, one of
 * which is 1. */
typedef struct {
    size_t unit_k; /* elements of k in a unit of 32 bits */
    void (*pack)(size_t k, size_t n, const float *b, size_t b_row, size_t b_column, void *packed);
    /* rows (rows, k) as rows of units, x_row floats and y_row units apart */
    void (*convert)(size_t rows, size_t k, const float *x, size_t x_row, void *y, size_t y_row);
    /* C (m, n) = start + A (m, k) B (k, n): A in rows of units, B packed; start NULL for zeros, start_row 0 for the
     * same row everywhere, or C itself; streams: whether B is in no near cache; IN/OUT ahead: what else is to be
     * fetched meanwhile, or NULL */
    void (*multiply)(size_t m, size_t n, size_t k, const void *a, size_t a_row, const void *packed,
                     const float *start, size_t start_row, float *c, size_t c_row, int streams,
                     textgru_ahead *ahead);
    /* the same for A in floats, of any size */
    void (*gemm)(size_t m, size_t n, size_t k, const float *a, size_t a_row, size_t a_column, const void *packed,
                 const float *start, size_t start_row, float *c, size_t c_row);
} textgru_products;

/* Products of 8-bit integers: rows of weights times vectors. Weights (blocks, quads, 64, 4): 64 rows side by side, four
 * neighbours along k together; a vector in 0 .. 255, 128 being zero. Sums are exact, in int32. */
typedef struct {
    /* q (n rounded up to a multiple of 4) = 128 + x / step, to nearest; returns step = max |x| / 127, or 1 for zeros
     */
    float (*quantize)(size_t n, const float *x, uint8_t *q);
    /* the same for a row of weights, zero being 0; and the sum of its integers */
    float (*quantize_row)(size_t n, const float *x, int8_t *q, int32_t *sum);
    /* y (blocks * 64) = b + step * scale * (W (q - 128)); offset = -128 * the sum of each row of W */
    void (*matvec)(size_t blocks, size_t quads, const int8_t *packed, const float *scale, const int32_t *offset,
                   const float *b, const uint8_t *q, float step, float *y);
    /* the same for m vectors q (m, q_row) with steps (m): y (m, y_row), of which blocks * 64 columns; the same bits */
    void (*multiply)(size_t m, size_t blocks, size_t quads, const int8_t *packed, const float *scale,
                     const int32_t *offset, const float *b, const uint8_t *q, size_t q_row, const float *step,
                     float *y, size_t y_row);
} textgru_int8;

typedef struct {
    const char *name;
    int int8_is_fast; /* whether the instruction set multiplies 8-bit integers itself */
    int bf16_is_fast; /* whether the instruction set multiplies bfloat16 itself; else it is emulated */
    int wide;         /* whether its vectors are wide enough for products_f32 to be faster than a BLAS */
    textgru_kernels_f32 f32;
    textgru_kernels_f64 f64;
    textgru_products products_f32;
    textgru_products products_bf16;
    textgru_int8 int8;
} textgru_kernels;

#endif
