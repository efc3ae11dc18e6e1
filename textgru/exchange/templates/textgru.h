/* A textgru language model in C99, in one header: read a weights file, turn a prompt into tokens, step, draw.

       textgru_model *m = textgru_load("model.bin");        NULL if it can't be read
       int n = textgru_encode(m, "Once", ids, 100);         at most 100 tokens
       const float *scores = textgru_step(m, ids[0]);       one score a token, for what comes next
       int next = textgru_draw(m, scores, 0.8f, &seed);
       fwrite(textgru_token(m, next), 1, textgru_token_length(m, next), stdout);
       textgru_reset(m);  textgru_free(m);

   Link with -lm. One model is one text, in one thread at a time. Numbers are little-endian float32 as they stand in the file. */

#ifndef TEXTGRU_H
#define TEXTGRU_H

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXTGRU_GRU, TEXTGRU_LSTM, TEXTGRU_RNN };
enum { TEXTGRU_CHAR, TEXTGRU_BYTE, TEXTGRU_BPE };

typedef struct {
    int32_t cell, kind, vocabulary, embedding, hidden, layers, unknown, end, merge_count, start;
    const float *table, **w_ih, **w_hh, **b_ih, **b_hh, *w_out, *b_out;
    float *h, *c, *x, *gi, *gh, *scores, *weights;
    unsigned char *texts; /* all tokens' bytes, one after the other */
    int32_t *at;          /* vocabulary + 1 places in them */
    int32_t *merges;      /* left, right, both: in the order they were learned */
} textgru_model;

static inline void textgru_free(textgru_model *m)
{
    if (!m)
        return;
    free(m->weights), free(m->texts), free(m->at), free(m->merges), free((void *)m->w_ih), free(m->h);
    free(m);
}

/* The beginning of a text: a state of zeros. */
static inline void textgru_reset(textgru_model *m)
{
    memset(m->h, 0, sizeof(float) * (size_t)m->layers * (size_t)m->hidden);
    memset(m->c, 0, sizeof(float) * (size_t)m->layers * (size_t)m->hidden);
}

static inline int textgru_read(FILE *file, void *to, size_t size, size_t count)
{
    return count == 0 || fread(to, size, count, file) == count;
}

static inline textgru_model *textgru_load(const char *path)
{
    static const int gates_of[] = {3, 4, 1};
    char magic[8];
    FILE *file = fopen(path, "rb");
    textgru_model *m = file ? (textgru_model *)calloc(1, sizeof *m) : NULL;
    if (!m || !textgru_read(file, magic, 1, 8) || memcmp(magic, "textgru1", 8) || !textgru_read(file, m, 4, 10))
        goto failed;
    if (m->cell < 0 || m->cell > 2 || m->kind < 0 || m->kind > 2 || m->vocabulary < 1 || m->vocabulary > 1 << 24 ||
        m->embedding < 1 || m->embedding > 1 << 16 || m->hidden < 1 || m->hidden > 1 << 16 || m->layers < 1 ||
        m->layers > 1 << 10 || m->merge_count < 0 || m->merge_count > 1 << 24)
        goto failed;
    {
        const size_t V = (size_t)m->vocabulary, E = (size_t)m->embedding, H = (size_t)m->hidden, L = (size_t)m->layers;
        const size_t G = (size_t)gates_of[m->cell] * H;
        const size_t all = V * E + L * (G * H + 2 * G) + G * E + (L - 1) * G * H + V * H + V;
        size_t layer;
        float *place;
        m->at = (int32_t *)calloc(V + 1, 4);
        if (!m->at || !textgru_read(file, m->at, 4, V + 1) || m->at[0] || m->at[V] < 0 || m->at[V] > 1 << 28)
            goto failed;
        for (layer = 0; layer < V; layer++)
            if (m->at[layer] > m->at[layer + 1])
                goto failed;
        m->texts = (unsigned char *)malloc((size_t)m->at[V] + 1);
        m->merges = (int32_t *)malloc(12 * (size_t)m->merge_count + 1);
        m->weights = (float *)malloc(sizeof(float) * all);
        m->w_ih = (const float **)calloc(4 * L, sizeof *m->w_ih);
        m->h = (float *)calloc(2 * L * H + (E > H ? E : H) + 2 * G + V, sizeof(float));
        if (!m->texts || !m->merges || !m->weights || !m->w_ih || !m->h ||
            !textgru_read(file, m->texts, 1, (size_t)m->at[V]) ||
            !textgru_read(file, m->merges, 12, (size_t)m->merge_count) || !textgru_read(file, m->weights, 4, all))
            goto failed;
        m->w_hh = m->w_ih + L, m->b_ih = m->w_hh + L, m->b_hh = m->b_ih + L;
        m->c = m->h + L * H, m->x = m->c + L * H, m->gi = m->x + (E > H ? E : H), m->gh = m->gi + G, m->scores = m->gh + G;
        place = m->weights;
        m->table = place, place += V * E;
        for (layer = 0; layer < L; layer++) {
            m->w_ih[layer] = place, place += G * (layer ? H : E);
            m->w_hh[layer] = place, place += G * H;
            m->b_ih[layer] = place, place += G;
            m->b_hh[layer] = place, place += G;
        }
        m->w_out = place, m->b_out = place + V * H;
    }
    fclose(file);
    return m;
failed:
    if (file)
        fclose(file);
    textgru_free(m);
    return NULL;
}

/* y (rows) = W x + b, W (rows, n); four sums, which a compiler can keep in vectors. */
static inline void textgru_product(int rows, int n, const float *w, const float *b, const float *x, float *y)
{
    for (int row = 0; row < rows; row++, w += n) {
        float sum[8] = {0};
        int i = 0, j;
        for (; i + 8 <= n; i += 8)
            for (j = 0; j < 8; j++)
                sum[j] += w[i + j] * x[i + j];
        for (; i < n; i++)
            sum[0] += w[i] * x[i];
        y[row] = b[row] + (((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7])));
    }
}

static inline float textgru_sigmoid(float x)
{
    return 1.0f / (1.0f + expf(-x));
}

/* Reads a token; the scores (vocabulary) of the next one, valid until the next call. NULL for no token of the model. */
static inline const float *textgru_step(textgru_model *m, int token)
{
    static const int gates_of[] = {3, 4, 1};
    const int H = m->hidden, G = gates_of[m->cell] * H;
    if (token < 0 || token >= m->vocabulary)
        return NULL;
    memcpy(m->x, m->table + (size_t)token * (size_t)m->embedding, sizeof(float) * (size_t)m->embedding);
    for (int layer = 0; layer < m->layers; layer++) {
        float *h = m->h + (size_t)layer * (size_t)H, *c = m->c + (size_t)layer * (size_t)H, *gi = m->gi, *gh = m->gh;
        textgru_product(G, layer ? H : m->embedding, m->w_ih[layer], m->b_ih[layer], m->x, gi);
        textgru_product(G, H, m->w_hh[layer], m->b_hh[layer], h, gh);
        for (int i = 0; i < H; i++) {
            if (m->cell == TEXTGRU_GRU) {
                const float r = textgru_sigmoid(gi[i] + gh[i]), z = textgru_sigmoid(gi[H + i] + gh[H + i]);
                const float n = tanhf(gi[2 * H + i] + r * gh[2 * H + i]);
                h[i] = n + z * (h[i] - n);
            } else if (m->cell == TEXTGRU_LSTM) {
                const float in = textgru_sigmoid(gi[i] + gh[i]), forget = textgru_sigmoid(gi[H + i] + gh[H + i]);
                const float g = tanhf(gi[2 * H + i] + gh[2 * H + i]), out = textgru_sigmoid(gi[3 * H + i] + gh[3 * H + i]);
                c[i] = forget * c[i] + in * g;
                h[i] = out * tanhf(c[i]);
            } else
                h[i] = tanhf(gi[i] + gh[i]);
        }
        memcpy(m->x, h, sizeof(float) * (size_t)H);
    }
    textgru_product(m->vocabulary, H, m->w_out, m->b_out, m->x, m->scores);
    return m->scores;
}

/* Draws a token from the softmax of scores / temperature, 0 for the likeliest; never the unknown one. *seed is not 0. */
static inline int textgru_draw(const textgru_model *m, const float *scores, float temperature, uint64_t *seed)
{
    int best = m->unknown == 0 && m->vocabulary > 1, i;
    double sum = 0, u;
    for (i = 0; i < m->vocabulary; i++)
        if (i != m->unknown && scores[i] > scores[best])
            best = i;
    if (temperature < 1e-6f)
        return best;
    *seed ^= *seed << 13, *seed ^= *seed >> 7, *seed ^= *seed << 17; /* xorshift64 (Marsaglia 2003) */
    for (i = 0; i < m->vocabulary; i++)
        sum += i == m->unknown ? 0 : exp((scores[i] - scores[best]) / temperature);
    u = (double)(*seed >> 11) / 9007199254740992.0 * sum;
    for (i = 0; i < m->vocabulary; i++)
        if (i != m->unknown && (u -= exp((scores[i] - scores[best]) / temperature)) < 0)
            return i;
    return best;
}

/* The bytes of a token (UTF-8, of a byte or bpe model maybe only a part of a character), and how many. */
static inline const unsigned char *textgru_token(const textgru_model *m, int token)
{
    return m->texts + m->at[token];
}

static inline size_t textgru_token_length(const textgru_model *m, int token)
{
    return (size_t)(m->at[token + 1] - m->at[token]);
}

static inline int textgru_find(const textgru_model *m, const unsigned char *bytes, size_t length)
{
    for (int i = 0; i < m->vocabulary; i++)
        if (i != m->unknown && length && textgru_token_length(m, i) == length && !memcmp(textgru_token(m, i), bytes, length))
            return i;
    return m->unknown < 0 ? 0 : m->unknown;
}

/* The tokens of a text in UTF-8, at most `most`; how many. Of a bpe model the pieces are merged as they were learned, without
   cutting the text into words first: where white space is doubled, its tokens may be others than textgru's. */
static inline int textgru_encode(const textgru_model *m, const char *text, int *ids, int most)
{
    const unsigned char *at = (const unsigned char *)text;
    int n = 0;
    while (*at && n < most) {
        size_t length = 1;
        if (m->kind == TEXTGRU_CHAR)
            while ((at[length] & 0xC0) == 0x80)
                length++;
        ids[n++] = textgru_find(m, at, length);
        at += length;
    }
    for (;;) {
        int best = m->merge_count, i, k;
        for (i = 0; i + 1 < n; i++)
            for (k = 0; k < best; k++)
                if (m->merges[3 * k] == ids[i] && m->merges[3 * k + 1] == ids[i + 1])
                    best = k;
        if (best == m->merge_count)
            return n;
        for (i = k = 0; i < n; i++)
            if (i + 1 < n && m->merges[3 * best] == ids[i] && m->merges[3 * best + 1] == ids[i + 1])
                ids[k++] = m->merges[3 * best + 2], i++;
            else
                ids[k++] = ids[i];
        n = k;
    }
}

#endif
