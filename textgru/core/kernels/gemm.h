/* Matrix products of float32 whose inputs are taken as they are (f32) or rounded to bfloat16 (bf16) and whose sums
 * are float32; included by kernels.c for each.
 *
 * The right side is packed before: blocks of 64 columns, and in a block unit after unit along k, so that a tile of
 * up to 6 rows reads it in one stream and sums in registers (Goto and van de Geijn 2008, "Anatomy of
 * high-performance matrix multiplication"). A unit is what one instruction takes of k: one float, or a pair of
 * bfloat16. The sum of an element is made in the order of k, whatever the shape of the tile that it falls into.
 *
 * UNIT: the type of a unit; UNIT_K: elements of k in it; WEIGHT: a vector of units; UNIT_OF(first, second): a unit
 * from floats; UNITS_OF_ROW(units, x, y), UNITS_OF_ROWS(n, x, second, y): how many of many units are made at once,
 * and make them (see bf16.h); MULTIPLY_ADD(sum, x, w): sum + x * w, over all elements of a unit.
 */

#define UNITS(k) (((k) + UNIT_K - 1) / UNIT_K)

/* One tile; rows and vectors are constants where it is called, so that the sums are registers. */
static inline __attribute__((always_inline)) void NAME(tile)(const int rows, const int vectors, size_t units,
                                                             const UNIT *a, size_t a_row, size_t a_unit,
                                                             const UNIT *packed, const float *start, size_t start_row,
                                                             float *c, size_t ldc, const lines *ahead)
{
    const char *fetched = ahead->at;
    const size_t step = ahead->step, last = ahead->last;
    register_vector sum[TILE_ROWS][TILE_VECTORS];
    UNROLL
    for (int r = 0; r < rows; r++) {
        UNROLL
        for (int v = 0; v < vectors; v++)
            sum[r][v] = (register_vector){ 0 };
    }
    if (start) {
        UNROLL
        for (int r = 0; r < rows; r++) {
            UNROLL
            for (int v = 0; v < vectors; v++)
                sum[r][v] = *(const vector *)(start + r * start_row + v * VECTOR_FLOATS);
        }
    }
    for (size_t u = 0; u < units; u++) {
        PREFETCH(fetched);
        fetched += u < last ? step : 0;
        WEIGHT w[TILE_VECTORS];
        UNROLL
        for (int v = 0; v < vectors; v++)
            w[v] = *(const WEIGHT *)(packed + u * TEXTGRU_PACKED_COLUMNS + v * VECTOR_FLOATS);
        UNROLL
        for (int r = 0; r < rows; r++) {
            const UNIT x = a[r * a_row + u * a_unit];
            UNROLL
            for (int v = 0; v < vectors; v++) {
                sum[r][v] = MULTIPLY_ADD(sum[r][v], x, w[v]);
                KEEP_IN_REGISTER(sum[r][v]);
            }
        }
    }
    UNROLL
    for (int r = 0; r < rows; r++) {
        UNROLL
        for (int v = 0; v < vectors; v++)
            *(vector *)(c + r * ldc + v * VECTOR_FLOATS) = sum[r][v];
    }
}

#define CASE(r, v)                                                                                                   \
    case r * 8 + v: NAME(tile)(r, v, units, a, a_row, a_unit, packed, start, start_row, c, ldc, ahead); break;
#define CASES(v) CASE(1, v) CASE(2, v) CASE(3, v) CASE(4, v) CASE(5, v) CASE(6, v)

static void NAME(whole_vectors)(size_t rows, size_t vectors, size_t units, const UNIT *a, size_t a_row, size_t a_unit,
                                const UNIT *packed, const float *start, size_t start_row, float *c, size_t ldc,
                                const lines *ahead)
{
    switch (rows * 8 + vectors) {
        CASES(1)
        CASES(2)
#if TILE_VECTORS == 4
        CASES(3)
        CASES(4)
#endif
    }
}

#undef CASE
#undef CASES

/* As whole_vectors, for a number of columns that fills no whole vectors: by way of a tile beside. */
static void NAME(part_of_vectors)(size_t rows, size_t columns, size_t units, const UNIT *a, size_t a_row,
                                  size_t a_unit, const UNIT *packed, const float *start, size_t start_row, float *c,
                                  size_t ldc, const lines *ahead)
{
    float beside[TILE_ROWS][TILE_VECTORS * VECTOR_FLOATS];
    memset(beside, 0, sizeof(beside));
    for (size_t r = 0; r < rows && start; r++)
        memcpy(beside[r], start + r * start_row, columns * sizeof(float));
    NAME(whole_vectors)(rows, (columns + VECTOR_FLOATS - 1) / VECTOR_FLOATS, units, a, a_row, a_unit, packed,
                        beside[0], TILE_VECTORS * VECTOR_FLOATS, beside[0], TILE_VECTORS * VECTOR_FLOATS, ahead);
    for (size_t r = 0; r < rows; r++)
        memcpy(c + r * ldc, beside[r], columns * sizeof(float));
}

/* The lines of C that a tile of these rows and columns writes. */
static inline void NAME(claim)(size_t rows, size_t columns, float *c, size_t ldc)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < columns; i += 16)
            CLAIM(c + r * ldc + i);
}

/* a: unit (r, u) at a[r * a_row + u * a_unit], of bands of a_band_rows rows, one a_band after the other. `claims`:
 * whether C is in no near cache; each tile then fetches the lines of the next one. `streams`: whether B is in none;
 * the next block of columns, and the one after the last, then come while one is multiplied. */
static void NAME(multiply)(size_t m, size_t n, size_t units, const UNIT *a, size_t a_row, size_t a_unit,
                           size_t a_band_rows, size_t a_band, const UNIT *packed, size_t packed_block,
                           const float *start, size_t start_row, float *c, size_t ldc, int claims, int streams,
                           textgru_ahead *ahead)
{
    textgru_ahead block;
    textgru_ahead *fetched = ahead;
    for (size_t column = 0; column < n; column += TILE_VECTORS * VECTOR_FLOATS) {
        const size_t columns = SMALLER(TILE_VECTORS * VECTOR_FLOATS, n - column);
        const UNIT *w = packed + column / TEXTGRU_PACKED_COLUMNS * packed_block + column % TEXTGRU_PACKED_COLUMNS;
        const UNIT *band = a;
        if (streams && column % TEXTGRU_PACKED_COLUMNS == 0) {
            block = (textgru_ahead){
                (const char *)(w + packed_block), 64, units * TEXTGRU_PACKED_COLUMNS / 16, 1, 0, ahead
            };
            fetched = &block;
        }
        if (claims)
            NAME(claim)(SMALLER(TILE_ROWS, m), columns, c + column, ldc);
        for (size_t band_row = 0; band_row < m; band_row += a_band_rows, band += a_band) {
            const size_t band_rows = SMALLER(a_band_rows, m - band_row);
            const size_t tiles = (band_rows + TILE_ROWS - 1) / TILE_ROWS;
            for (size_t tile = 0; tile < tiles; tile++) {
                const size_t in_band = band_rows * tile / tiles, first = band_row + in_band;
                const size_t rows = band_rows * (tile + 1) / tiles - in_band, next = first + rows;
                const UNIT *from = band + in_band * a_row;
                const float *begin = start ? start + first * start_row + column : NULL;
                float *to = c + first * ldc + column;
                const lines soon = some_lines(fetched, units, w);
                if (claims && next < m)
                    NAME(claim)(SMALLER(TILE_ROWS, m - next), columns, c + next * ldc + column, ldc);
                if (columns % VECTOR_FLOATS == 0)
                    NAME(whole_vectors)(rows, columns / VECTOR_FLOATS, units, from, a_row, a_unit, w, begin,
                                        start_row, to, ldc, &soon);
                else
                    NAME(part_of_vectors)(rows, columns, units, from, a_row, a_unit, w, begin, start_row, to, ldc,
                                          &soon);
            }
        }
    }
}

static void NAME(multiply_packed)(size_t m, size_t n, size_t k, const void *a, size_t a_row, const void *packed,
                                  const float *start, size_t start_row, float *c, size_t ldc, int streams,
                                  textgru_ahead *ahead)
{
    const size_t units = UNITS(k);
    for (size_t u = 0; u < units; u += MULTIPLY_UNITS)
        NAME(multiply)(m, n, SMALLER(MULTIPLY_UNITS, units - u), (const UNIT *)a + u, a_row, 1, m, 0,
                       (const UNIT *)packed + u * TEXTGRU_PACKED_COLUMNS, units * TEXTGRU_PACKED_COLUMNS,
                       u ? c : start, u ? ldc : start_row, c, ldc, 0, streams, ahead);
}

/* A row of floats, or two rows that are paired, as units. */
static inline void NAME(units_of_row)(size_t k, const float *RESTRICT x, UNIT *RESTRICT y)
{
    const size_t whole = k / UNIT_K;
    const size_t done = UNITS_OF_ROW(whole, x, y);
    SIMD
    for (size_t u = done; u < whole; u++)
        y[u] = UNIT_OF(x[u * UNIT_K], x[u * UNIT_K + UNIT_K - 1]);
    if (whole * UNIT_K < k)
        y[whole] = UNIT_OF(x[k - 1], 0);
}

static inline void NAME(units_of_rows)(size_t n, const float *RESTRICT x, const float *RESTRICT second,
                                       UNIT *RESTRICT y)
{
    const size_t done = UNITS_OF_ROWS(n, x, second, y);
    if (second) {
        SIMD
        for (size_t i = done; i < n; i++)
            y[i] = UNIT_OF(x[i], second[i]);
    } else {
        SIMD
        for (size_t i = done; i < n; i++)
            y[i] = UNIT_OF(x[i], 0);
    }
}

static void NAME(convert)(size_t rows, size_t k, const float *x, size_t x_row, void *y, size_t y_row)
{
    for (size_t r = 0; r < rows; r++)
        NAME(units_of_row)(k, x + r * x_row, (UNIT *)y + r * y_row);
}

/* Unit u of `width` columns side by side, from B where a column's elements stand together (row 1) or a row's do. */
static void NAME(pack)(size_t k, size_t n, const float *b, size_t b_row, size_t b_column, void *packed)
{
    const size_t units = UNITS(k);
    for (size_t column = 0; column < n; column += TEXTGRU_PACKED_COLUMNS) {
        const size_t left = n - column, width = left < TEXTGRU_PACKED_COLUMNS ? left : TEXTGRU_PACKED_COLUMNS;
        UNIT *out = (UNIT *)packed + column * units;
        if (width < TEXTGRU_PACKED_COLUMNS)
            memset(out, 0, units * TEXTGRU_PACKED_COLUMNS * sizeof(UNIT));
        if (b_column == 1) {
            for (size_t u = 0; u < units; u++) {
                const float *row = b + u * UNIT_K * b_row + column;
                const int paired = UNIT_K == 2 && u * UNIT_K + 1 < k;
                NAME(units_of_rows)(width, row, paired ? row + b_row : NULL, out + u * TEXTGRU_PACKED_COLUMNS);
            }
            continue;
        }
        for (size_t first = 0; first < units; first += 16) { /* a cache line or two of each column at a time */
            const size_t count = units - first < 16 ? units - first : 16;
            for (size_t j = 0; j < width; j++) {
                const float *from = b + (column + j) * b_column + first * UNIT_K;
                UNIT line[16];
                for (size_t i = 0; i < UNIT_K; i++) /* the CPU sees no stream in lines that are a row apart */
                    PREFETCH(from + 16 * (UNIT_K + i));
                NAME(units_of_row)(k - first * UNIT_K < 16 * UNIT_K ? k - first * UNIT_K : 16 * UNIT_K, from, line);
                for (size_t u = 0; u < count; u++)
                    out[(first + u) * TEXTGRU_PACKED_COLUMNS + j] = line[u];
            }
        }
    }
}

/* The left side of m <= GEMM_ROWS rows, k elements, where a column's elements stand together: bands of 16 rows, a
 * cache line for each unit of k. */
static void NAME(pack_left)(size_t m, size_t k, const float *a, size_t a_column, UNIT *packed, size_t band)
{
    for (size_t u = 0; u < UNITS(k); u++) {
        const float *column = a + u * UNIT_K * a_column;
        const float *second = UNIT_K == 2 && u * UNIT_K + 1 < k ? column + a_column : NULL;
        UNIT *to = packed + u * BAND_ROWS;
        size_t first = 0;
        for (; first + BAND_ROWS <= m; first += BAND_ROWS, to += band)
            NAME(units_of_rows)(BAND_ROWS, column + first, second ? second + first : NULL, to);
        if (first < m)
            NAME(units_of_rows)(m - first, column + first, second ? second + first : NULL, to);
    }
}

/* Block number `block` of the left side, as rows first .. first + rows - 1, units u .. u + count - 1. Of C and the
 * packed side, what is smaller is gone through again and again. */
typedef struct {
    size_t first, rows, u, count;
} NAME(block);

static NAME(block) NAME(block_of)(size_t block, size_t m, size_t units)
{
    const size_t blocks = m < units ? (m + GEMM_ROWS - 1) / GEMM_ROWS : (units + GEMM_UNITS - 1) / GEMM_UNITS;
    const size_t first = (m < units ? block % blocks : block / blocks) * GEMM_ROWS;
    const size_t u = (m < units ? block / blocks : block % blocks) * GEMM_UNITS;
    const NAME(block) result = { first, first < m ? SMALLER(GEMM_ROWS, m - first) : 0, u,
                                 u < units ? SMALLER(GEMM_UNITS, units - u) : 0 };
    return result;
}

static void NAME(gemm)(size_t m, size_t n, size_t k, const float *a, size_t a_row, size_t a_column,
                       const void *packed, const float *start, size_t start_row, float *c, size_t ldc)
{
    UNIT converted[GEMM_ROWS * (GEMM_UNITS + 1)];
    const size_t units = UNITS(k), packed_block = units * TEXTGRU_PACKED_COLUMNS;
    const int claims = 1, streams = n * SMALLER(units, GEMM_UNITS) * sizeof(UNIT) > TEXTGRU_NEAR_BYTES;
    NAME(block) now = NAME(block_of)(0, m, units);
    for (size_t number = 0; now.rows && now.count; number++) {
        const size_t elements = SMALLER(now.count * UNIT_K, k - now.u * UNIT_K);
        const float *from = a + now.first * a_row + now.u * UNIT_K * a_column;
        const UNIT *w = (const UNIT *)packed + now.u * TEXTGRU_PACKED_COLUMNS;
        float *to = c + now.first * ldc;
        const float *begin = now.u ? to : start ? start + now.first * start_row : NULL;
        const size_t begin_row = now.u ? ldc : start_row;
        const NAME(block) next = NAME(block_of)(number + 1, m, units);
        const float *next_from = a + next.first * a_row + next.u * UNIT_K * a_column;
        const size_t next_elements = next.count * UNIT_K;
        if (a_column != 1) {
            textgru_ahead ahead = { (const char *)next_from,
                                    a_column * sizeof(float),
                                    next.rows ? next_elements : 0,
                                    next.rows / 16 + 1,
                                    0,
                                    NULL };
            const size_t band = (now.count + 1) * BAND_ROWS; /* no power of two: in a cache's other sets */
            NAME(pack_left)(now.rows, elements, from, a_column, converted, band);
            NAME(multiply)(now.rows, n, now.count, converted, 1, BAND_ROWS, BAND_ROWS, band, w, packed_block, begin,
                           begin_row, to, ldc, claims, streams, &ahead);
        } else {
            textgru_ahead ahead = {
                (const char *)next_from, a_row * sizeof(float), next.rows, next_elements / 16 + 1, 0, NULL
            };
            if (UNIT_K > 1)
                NAME(convert)(now.rows, elements, from, a_row, converted, GEMM_UNITS);
            NAME(multiply)(now.rows, n, now.count, UNIT_K > 1 ? converted : (const UNIT *)from,
                           UNIT_K > 1 ? GEMM_UNITS : a_row, 1, now.rows, 0, w, packed_block, begin, begin_row, to,
                           ldc, claims, streams, &ahead);
        }
        now = next;
    }
}

#undef UNITS
