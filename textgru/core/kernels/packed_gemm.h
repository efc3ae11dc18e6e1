/* C (rows, blocks * 64) = or += A (rows, k) times a packed matrix (blocks, k, 64), float32.
 *
 * A block of 64 columns is taken through all rows before the next, so that its weights are read from far away once. A
 * tile of up to 6 rows is summed in registers. Written with the compiler's vector extensions; an instruction set
 * without wide vectors has no such kernel, and the BLAS is used there.
 */
#if defined(__AVX512F__)
#define VECTOR_FLOATS 16
#define TILE_VECTORS 4
#elif defined(__AVX2__)
#define VECTOR_FLOATS 8
#define TILE_VECTORS 2
#endif

#ifdef VECTOR_FLOATS

#define TILE_ROWS 6
#define TILE_COLUMNS (TILE_VECTORS * VECTOR_FLOATS)

typedef float vector __attribute__((vector_size(VECTOR_FLOATS * sizeof(float)), aligned(4), may_alias));

/* One tile; rows is a constant where it is called, so that the sums are registers. */
static inline __attribute__((always_inline)) void tile(const int rows, size_t k, const float *a, size_t lda,
                                                       const float *packed, float *c, size_t ldc, int accumulate)
{
    vector sum[TILE_ROWS][TILE_VECTORS];
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < TILE_VECTORS; v++)
            sum[r][v] = accumulate ? *(const vector *)(c + r * ldc + v * VECTOR_FLOATS) : (vector){ 0 };
    for (size_t i = 0; i < k; i++) {
        vector w[TILE_VECTORS];
        for (int v = 0; v < TILE_VECTORS; v++)
            w[v] = *(const vector *)(packed + i * TEXTGRU_PACKED_ROWS + v * VECTOR_FLOATS);
        for (int r = 0; r < rows; r++) {
            const float x = a[r * lda + i];
            for (int v = 0; v < TILE_VECTORS; v++)
                sum[r][v] += x * w[v];
        }
    }
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < TILE_VECTORS; v++)
            *(vector *)(c + r * ldc + v * VECTOR_FLOATS) = sum[r][v];
}

static void gemm_packed(size_t rows, size_t blocks, size_t k, const float *a, size_t lda, const float *packed, float *c,
                        size_t ldc, int accumulate)
{
    const size_t groups = (rows + TILE_ROWS - 1) / TILE_ROWS;
    for (size_t block = 0; block < blocks; block++) {
        for (size_t column = 0; column < TEXTGRU_PACKED_ROWS; column += TILE_COLUMNS) {
            const float *w = packed + block * k * TEXTGRU_PACKED_ROWS + column;
            for (size_t group = 0; group < groups; group++) {
                const size_t first = rows * group / groups, count = rows * (group + 1) / groups - first;
                const float *from = a + first * lda;
                float *to = c + first * ldc + block * TEXTGRU_PACKED_ROWS + column;
                switch (count) {
                case 6: tile(6, k, from, lda, w, to, ldc, accumulate); break;
                case 5: tile(5, k, from, lda, w, to, ldc, accumulate); break;
                case 4: tile(4, k, from, lda, w, to, ldc, accumulate); break;
                case 3: tile(3, k, from, lda, w, to, ldc, accumulate); break;
                case 2: tile(2, k, from, lda, w, to, ldc, accumulate); break;
                case 1: tile(1, k, from, lda, w, to, ldc, accumulate); break;
                }
            }
        }
    }
}

#define GEMM_PACKED gemm_packed
#else
#define GEMM_PACKED NULL
#endif
