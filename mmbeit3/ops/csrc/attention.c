/* Softmax attention on a CPU, forward pass, without storing the matrix of scores. See mmbeit3/ops/attention.py.
 * Keys and values of every head are first packed for the multiplication. Then each strip of ROWS queries iterates over blocks of keys,
 * with the running maximum and sum of the softmax (Milakov & Gimelshein, arXiv 1805.02867; FlashAttention, arXiv 2205.14135).
 * bfloat16 is multiplied in pairs and summed in float32 if the processor has AVX512_BF16, otherwise it is widened first. */
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "bfloat16.h"
#ifdef __AVX512BF16__
#include <immintrin.h>
#define PAIRS_POSSIBLE 1
#else
#define PAIRS_POSSIBLE 0
#endif

#define LANES 16
#define ROWS 6       /* queries of a strip: with PANEL columns its sums fill the registers */
#define PANEL 64     /* keys side by side in memory */
#define BLOCK 256    /* keys between two updates of the softmax */
#define STRIPS 8     /* strips that use a block of keys while it is in the cache */
#define MAX_DIMS 256

typedef float floats __attribute__((vector_size(4 * LANES), aligned(4)));
typedef int32_t ints __attribute__((vector_size(4 * LANES), aligned(4)));

typedef struct {
    int64_t batch, heads, queries, keys, dims;
    int64_t q_strides[3], k_strides[3], v_strides[3]; /* of batch, head and row, in elements */
    int64_t half, threads;                            /* half: everything is bfloat16 */
    double scale;
} Problem;

INLINE int64_t round_up(int64_t number, int64_t step) { return (number + step - 1) / step * step; }

/* Two bfloat16 in the space of one float. */
INLINE float pair(uint16_t first, uint16_t second) {
    uint32_t bits = (uint32_t)first | (uint32_t)second << 16;
    float number;
    memcpy(&number, &bits, sizeof number);
    return number;
}

INLINE floats load(const float *from) {
    floats result;
    memcpy(&result, from, sizeof result);
    return result;
}

INLINE void store(float *to, floats numbers) { memcpy(to, &numbers, sizeof numbers); }

INLINE floats spread(float number) { return (floats){} + number; }

INLINE floats multiply_add(floats sum, floats right, float left, int pairs) {
#if PAIRS_POSSIBLE
    if (pairs) return (floats)_mm512_dpbf16_ps((__m512)sum, (__m512bh)right, (__m512bh)_mm512_set1_ps(left));
#endif
    return sum + right * left;
}

/* sums (ROWS, 16 * vectors) (+)= left (ROWS, depth) x right (depth, 16 * vectors) */
INLINE void product(const float *left, int64_t left_stride, const float *right, int64_t right_stride, float *sums,
                    int64_t sums_stride, int64_t depth, int vectors, int pairs, int add) {
    floats sum[ROWS][4];
#pragma GCC unroll 8
    for (int m = 0; m < ROWS; m++)
#pragma GCC unroll 4
        for (int n = 0; n < vectors; n++) sum[m][n] = add ? load(sums + m * sums_stride + LANES * n) : spread(0.0f);
    for (int64_t k = 0; k < depth; k++) {
        floats row[4];
#pragma GCC unroll 4
        for (int n = 0; n < vectors; n++) row[n] = load(right + k * right_stride + LANES * n);
#pragma GCC unroll 8
        for (int m = 0; m < ROWS; m++) {
            float number = left[m * left_stride + k];
#pragma GCC unroll 4
            for (int n = 0; n < vectors; n++) sum[m][n] = multiply_add(sum[m][n], row[n], number, pairs);
        }
    }
#pragma GCC unroll 8
    for (int m = 0; m < ROWS; m++)
#pragma GCC unroll 4
        for (int n = 0; n < vectors; n++) store(sums + m * sums_stride + LANES * n, sum[m][n]);
}

/* 2^x for x <= 0: the integer part goes into the exponent, a polynomial computes the fraction. */
INLINE floats power_of_two(floats x) {
    const floats least = spread(-126.0f);
    ints below = x < least;
    x = (floats)((below & (ints)least) | (~below & (ints)x));
    ints whole = __builtin_convertvector(x - 0.5f, ints); /* cut off towards zero, so rounded */
    floats f = x - __builtin_convertvector(whole, floats); /* -0.5 to 0.5 */
    /* Taylor's series of 2^f; the first omitted term is below 2e-8. */
    floats p = spread(1.5403530e-4f);
    p = p * f + spread(1.3333558e-3f);
    p = p * f + spread(9.6181291e-3f);
    p = p * f + spread(5.5504109e-2f);
    p = p * f + spread(2.4022651e-1f);
    p = p * f + spread(6.9314718e-1f);
    p = p * f + spread(1.0f);
    return (floats)((ints)p + (whole << 23));
}

INLINE float largest_of(floats x) {
    float largest = x[0];
    for (int i = 1; i < LANES; i++) largest = x[i] > largest ? x[i] : largest;
    return largest;
}

INLINE float sum_of(floats x) {
    float sum = 0.0f;
    for (int i = 0; i < LANES; i++) sum += x[i];
    return sum;
}

INLINE floats larger(floats a, floats b) {
    ints first = a > b;
    return (floats)((first & (ints)a) | (~first & (ints)b));
}

/* Sizes of one packed head, in floats. */
typedef struct {
    int64_t keys, width, depth; /* padded keys; padded channels of the output; channels (or pairs of them) of a product */
    int64_t keys_size, values_size;
} Layout;

INLINE Layout layout_of(const Problem *p, int pairs) {
    Layout layout;
    layout.keys = round_up(p->keys, PANEL);
    layout.width = round_up(p->dims, LANES);
    layout.depth = pairs ? (p->dims + 1) / 2 : p->dims;
    layout.keys_size = layout.keys * layout.depth;
    layout.values_size = (pairs ? layout.keys / 2 : layout.keys) * layout.width;
    return layout;
}

INLINE float element(const void *data, int64_t index, int half) {
    return half ? widen(((const uint16_t *)data)[index]) : ((const float *)data)[index];
}

/* Keys: panels of PANEL keys, each (depth, PANEL). Values: (keys, width), or (keys / 2, width) pairs. Padding is zero. */
INLINE void lay_out(const Problem *p, const Layout *layout, const void *k, const void *v, int64_t b, int64_t h, float *keys,
                    float *values, int half, int pairs) {
    int64_t k_start = b * p->k_strides[0] + h * p->k_strides[1], v_start = b * p->v_strides[0] + h * p->v_strides[1];
    for (int64_t first = 0; first < layout->keys; first += PANEL) {
        float *panel = keys + first * layout->depth;
        for (int64_t j = 0; j < PANEL; j++) {
            int64_t row = k_start + (first + j) * p->k_strides[2];
            if (first + j >= p->keys)
                for (int64_t c = 0; c < layout->depth; c++) panel[c * PANEL + j] = 0.0f;
            else if (pairs) {
                const uint16_t *key = (const uint16_t *)k + row;
                for (int64_t c = 0; c < p->dims / 2; c++) panel[c * PANEL + j] = pair(key[2 * c], key[2 * c + 1]);
                if (p->dims % 2) panel[p->dims / 2 * PANEL + j] = pair(key[p->dims - 1], 0);
            } else
                for (int64_t c = 0; c < p->dims; c++) panel[c * PANEL + j] = element(k, row + c, half);
        }
    }
    memset(values, 0, layout->values_size * sizeof(float));
    if (pairs)
        for (int64_t j = 0; j < p->keys; j += 2) {
            const uint16_t *first = (const uint16_t *)v + v_start + j * p->v_strides[2], *second = first + p->v_strides[2];
            float *row = values + j / 2 * layout->width;
            if (j + 1 < p->keys)
                for (int64_t c = 0; c < p->dims; c++) row[c] = pair(first[c], second[c]);
            else
                for (int64_t c = 0; c < p->dims; c++) row[c] = pair(first[c], 0);
        }
    else
        for (int64_t j = 0; j < p->keys; j++)
            for (int64_t c = 0; c < p->dims; c++)
                values[j * layout->width + c] = element(v, v_start + j * p->v_strides[2] + c, half);
}

typedef struct {
    float left[STRIPS * ROWS * MAX_DIMS];   /* queries */
    float output[STRIPS * ROWS * MAX_DIMS]; /* sums of values, not yet divided */
    float scores[ROWS * BLOCK];
    float shares[ROWS * BLOCK];             /* of the softmax, as left side of a product */
    float largest[STRIPS * ROWS], sum[STRIPS * ROWS];
} Scratch;

/* Process one strip of queries and one block of keys. */
INLINE void strip_block(const Problem *p, const Layout *layout, const float *keys, const float *values, Scratch *s, int64_t strip,
                        int64_t first, int pairs) {
    int64_t count = layout->keys - first < BLOCK ? layout->keys - first : BLOCK;
    const float *left = s->left + strip * ROWS * MAX_DIMS;
    float *output = s->output + strip * ROWS * MAX_DIMS;
    for (int64_t j = 0; j < count; j += PANEL)
        product(left, MAX_DIMS, keys + (first + j) * layout->depth, PANEL, s->scores + j, BLOCK, layout->depth, 4, pairs, 0);
    float scale = (float)(p->scale * 1.4426950408889634); /* powers of two instead of e */
    for (int64_t m = 0; m < ROWS; m++) {
        float *scores = s->scores + m * BLOCK, *shares = s->shares + m * BLOCK;
        for (int64_t j = p->keys - first; j < count; j++) scores[j] = -INFINITY;
        floats top = load(scores);
        for (int64_t j = LANES; j < count; j += LANES) top = larger(load(scores + j), top);
        float *largest = s->largest + strip * ROWS + m, *sum = s->sum + strip * ROWS + m;
        float now = largest_of(top) * scale, before = *largest;
        if (now < before) now = before;
        floats total = spread(0.0f);
        for (int64_t j = 0; j < count; j += LANES) {
            floats share = power_of_two(load(scores + j) * scale - now);
            total += share;
            store(scores + j, share);
        }
        if (pairs) {
#if PAIRS_POSSIBLE
            for (int64_t j = 0; j < count; j += 2 * LANES) {
                __m512bh both = _mm512_cvtne2ps_pbh((__m512)load(scores + j + LANES), (__m512)load(scores + j));
                memcpy(shares + j / 2, &both, sizeof both);
            }
#endif
        } else
            memcpy(shares, scores, count * sizeof(float));
        float kept = exp2f(before - now);
        *sum = *sum * kept + sum_of(total);
        *largest = now;
        if (kept != 1.0f)
            for (int64_t c = 0; c < layout->width; c += LANES) store(output + m * MAX_DIMS + c, load(output + m * MAX_DIMS + c) * kept);
    }
    int64_t depth = pairs ? count / 2 : count;
    const float *rows = values + (pairs ? first / 2 : first) * layout->width;
    int64_t c = 0;
    for (; c + 4 * LANES <= layout->width; c += 4 * LANES)
        product(s->shares, BLOCK, rows + c, layout->width, output + c, MAX_DIMS, depth, 4, pairs, 1);
    for (; c + 2 * LANES <= layout->width; c += 2 * LANES)
        product(s->shares, BLOCK, rows + c, layout->width, output + c, MAX_DIMS, depth, 2, pairs, 1);
    for (; c < layout->width; c += LANES)
        product(s->shares, BLOCK, rows + c, layout->width, output + c, MAX_DIMS, depth, 1, pairs, 1);
}

/* Process STRIPS strips of queries of one head. */
INLINE void strips(const Problem *p, const Layout *layout, const void *q, const float *keys, const float *values, void *out, int64_t b,
                   int64_t h, int64_t start, Scratch *s, int half, int pairs) {
    int64_t rows = p->queries - start < STRIPS * ROWS ? p->queries - start : STRIPS * ROWS;
    int64_t used = (rows + ROWS - 1) / ROWS;
    memset(s->left, 0, used * ROWS * MAX_DIMS * sizeof(float));
    memset(s->output, 0, used * ROWS * MAX_DIMS * sizeof(float));
    for (int64_t m = 0; m < used * ROWS; m++) {
        s->largest[m] = -INFINITY;
        s->sum[m] = 0.0f;
    }
    for (int64_t m = 0; m < rows; m++) {
        int64_t row = b * p->q_strides[0] + h * p->q_strides[1] + (start + m) * p->q_strides[2];
        if (pairs)
            memcpy(s->left + m * MAX_DIMS, (const uint16_t *)q + row, p->dims * sizeof(uint16_t));
        else
            for (int64_t c = 0; c < p->dims; c++) s->left[m * MAX_DIMS + c] = element(q, row + c, half);
    }
    for (int64_t first = 0; first < layout->keys; first += BLOCK)
        for (int64_t strip = 0; strip < used; strip++) strip_block(p, layout, keys, values, s, strip, first, pairs);
    for (int64_t m = 0; m < rows; m++) {
        int64_t to = ((b * p->queries + start + m) * p->heads + h) * p->dims;
        float share = 1.0f / s->sum[m];
        for (int64_t c = 0; c < p->dims; c++) {
            float number = s->output[m * MAX_DIMS + c] * share;
            if (half)
                ((uint16_t *)out)[to + c] = narrow(number);
            else
                ((float *)out)[to + c] = number;
        }
    }
}

/* Size of the workspace of attention(), in floats. */
int64_t attention_workspace(const Problem *p) {
    Layout layout = layout_of(p, p->half && PAIRS_POSSIBLE);
    return p->batch * p->heads * (layout.keys_size + layout.values_size);
}

INLINE void attention_of(const Problem *p, const void *q, const void *k, const void *v, void *out, float *workspace, int half,
                         int pairs) {
    Layout layout = layout_of(p, pairs);
    int64_t heads = p->batch * p->heads, size = layout.keys_size + layout.values_size;
    int64_t step = STRIPS * ROWS, tasks = (p->queries + step - 1) / step;
#pragma omp parallel num_threads(p->threads)
    {
        Scratch scratch;
#pragma omp for schedule(static)
        for (int64_t bh = 0; bh < heads; bh++) {
            float *keys = workspace + bh * size;
            lay_out(p, &layout, k, v, bh / p->heads, bh % p->heads, keys, keys + layout.keys_size, half, pairs);
        }
#pragma omp for collapse(2) schedule(static)
        for (int64_t bh = 0; bh < heads; bh++)
            for (int64_t task = 0; task < tasks; task++) {
                const float *keys = workspace + bh * size;
                strips(p, &layout, q, keys, keys + layout.keys_size, out, bh / p->heads, bh % p->heads, task * step, &scratch, half,
                       pairs);
            }
    }
}

/* out: (batch, queries, heads, dims), contiguous. */
void attention(const Problem *p, const void *q, const void *k, const void *v, void *out, float *workspace) {
    if (p->half)
        attention_of(p, q, k, v, out, workspace, 1, PAIRS_POSSIBLE);
    else
        attention_of(p, q, k, v, out, workspace, 0, 0);
}
