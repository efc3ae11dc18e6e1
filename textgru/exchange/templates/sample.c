/* Writes with a textgru model:  cc -std=c99 -O3 -o sample sample.c -lm && ./sample [PROMPT] [LENGTH] [TEMPERATURE] [SEED] */

#include "textgru.h"

int main(int count, char **words)
{
    static int ids[1 << 16];
    textgru_model *m = textgru_load("model.bin");
    const char *prompt = count > 1 ? words[1] : "";
    long length = count > 2 ? atol(words[2]) : 300;
    float temperature = count > 3 ? (float)atof(words[3]) : 0.8f;
    uint64_t seed = count > 4 ? 0x9E3779B97F4A7C15u * (uint64_t)(1 + atoll(words[4])) : 0x9E3779B97F4A7C15u;
    const float *scores = NULL;
    if (!m)
        return fprintf(stderr, "model.bin: can't be read\n"), 1;
    int n = textgru_encode(m, prompt, ids, 1 << 16);
    if (n == 0)
        ids[n++] = m->start;
    for (int i = 0; i < n; i++)
        scores = textgru_step(m, ids[i]);
    printf("%s", prompt);
    for (; length > 0; length--) {
        int token = textgru_draw(m, scores, temperature, &seed);
        if (token == m->end)
            break;
        fwrite(textgru_token(m, token), 1, textgru_token_length(m, token), stdout);
        scores = textgru_step(m, token);
    }
    textgru_free(m);
    return printf("\n") < 0;
}
