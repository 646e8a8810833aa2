/* Multi-scale deformable attention on a CPU, forward and backward. See mmbeit3/ops/deform_attn/cpu_kernel.py.
 *
 * Layouts, all contiguous: value (B, S, H, D) in float32 or bfloat16; locations (B, Q, H, L, P, 2) and weights (B, Q, H, L, P) in
 * float32; shapes (L, 2) as height and width. Sums are computed in float32, in an order that does not depend on the number of threads.
 *
 * Each head of each image is one task. Its values are first copied to a contiguous (S, D) buffer, because in (B, S, H, D) they are
 * spread over as many memory pages as those of all heads. The gradients of the values are summed in such a buffer, too.
 */
#include <stdint.h>
#include <string.h>

#include "bfloat16.h"
#ifdef _OPENMP
#include <omp.h>
#else
static int omp_get_thread_num(void) { return 0; }
#endif

#define MAX_D 1024

typedef struct {
    int64_t batch, cells, heads, dims, queries, levels, points;
    const int64_t *shapes;
    int64_t half; /* value (and output) are bfloat16 */
    int64_t threads;
} Problem;

typedef struct {
    int64_t offset[4];               /* of the four cells around a point, in elements */
    float share[4];                  /* bilinear weights; 0 for cells outside of the map */
    float by_x[4], by_y[4];          /* their derivatives by the point's place in cells */
} Corners;

/* Find the cells around a point of a map. Returns 0 if there are none, also for NaN. */
INLINE int around(const float *location, int64_t h, int64_t w, int64_t stride, Corners *corners) {
    float x = location[0] * (float)w - 0.5f, y = location[1] * (float)h - 0.5f;
    if (!(x > -1.0f && x < (float)w && y > -1.0f && y < (float)h)) return 0;
    /* For x > -1, truncation after adding 1 rounds down. */
    int64_t left = (int64_t)(x + 1.0f) - 1, top = (int64_t)(y + 1.0f) - 1;
    float fx = x - (float)left, fy = y - (float)top;
    float in_left = left >= 0, in_right = left + 1 < w, in_top = top >= 0, in_bottom = top + 1 < h;
    int64_t x0 = left < 0 ? 0 : left, x1 = left + 1 < w ? left + 1 : w - 1;
    int64_t y0 = top < 0 ? 0 : top, y1 = top + 1 < h ? top + 1 : h - 1;
    float wx0 = (1.0f - fx) * in_left, wx1 = fx * in_right, wy0 = (1.0f - fy) * in_top, wy1 = fy * in_bottom;
    corners->offset[0] = (y0 * w + x0) * stride;
    corners->offset[1] = (y0 * w + x1) * stride;
    corners->offset[2] = (y1 * w + x0) * stride;
    corners->offset[3] = (y1 * w + x1) * stride;
    corners->share[0] = wy0 * wx0;
    corners->share[1] = wy0 * wx1;
    corners->share[2] = wy1 * wx0;
    corners->share[3] = wy1 * wx1;
    corners->by_x[0] = -wy0 * in_left;
    corners->by_x[1] = wy0 * in_right;
    corners->by_x[2] = -wy1 * in_left;
    corners->by_x[3] = wy1 * in_right;
    corners->by_y[0] = -wx0 * in_top;
    corners->by_y[1] = -wx1 * in_top;
    corners->by_y[2] = wx0 * in_bottom;
    corners->by_y[3] = wx1 * in_bottom;
    return 1;
}

/* Copy one head's values to (S, D) in float32. */
INLINE void gather(const Problem *p, const void *value, int64_t b, int64_t head, float *map, int dims, int half) {
    int64_t stride = p->heads * dims, start = b * p->cells * stride + head * dims;
    for (int64_t s = 0; s < p->cells; s++, start += stride)
        for (int c = 0; c < dims; c++)
            map[s * dims + c] = half ? widen(((const uint16_t *)value)[start + c]) : ((const float *)value)[start + c];
}

/* Copy one head's gradients back. */
INLINE void spread(const Problem *p, const float *map, int64_t b, int64_t head, void *value, int dims, int half) {
    int64_t stride = p->heads * dims, start = b * p->cells * stride + head * dims;
    for (int64_t s = 0; s < p->cells; s++, start += stride)
        for (int c = 0; c < dims; c++)
            if (half)
                ((uint16_t *)value)[start + c] = narrow(map[s * dims + c]);
            else
                ((float *)value)[start + c] = map[s * dims + c];
}

INLINE void forward_head(const Problem *p, const void *value, const float *locations, const float *weights, void *out, int64_t b,
                         int64_t head, float *map, int dims, int half) {
    int64_t samples = p->levels * p->points;
    gather(p, value, b, head, map, dims, half);
    for (int64_t q = 0; q < p->queries; q++) {
        int64_t row = (b * p->queries + q) * p->heads + head;
        const float *location = locations + row * samples * 2, *weight = weights + row * samples, *level = map;
        float sum[MAX_D];
        for (int c = 0; c < dims; c++) sum[c] = 0.0f;
        for (int64_t l = 0; l < p->levels; l++) {
            int64_t h = p->shapes[2 * l], w = p->shapes[2 * l + 1];
            for (int64_t k = 0; k < p->points; k++, location += 2, weight++) {
                Corners at;
                if (!around(location, h, w, dims, &at)) continue;
                float s0 = *weight * at.share[0], s1 = *weight * at.share[1];
                float s2 = *weight * at.share[2], s3 = *weight * at.share[3];
                const float *v0 = level + at.offset[0], *v1 = level + at.offset[1];
                const float *v2 = level + at.offset[2], *v3 = level + at.offset[3];
                for (int c = 0; c < dims; c++) sum[c] += s0 * v0[c] + s1 * v1[c] + s2 * v2[c] + s3 * v3[c];
            }
            level += h * w * dims;
        }
        if (half)
            for (int c = 0; c < dims; c++) ((uint16_t *)out)[row * dims + c] = narrow(sum[c]);
        else
            for (int c = 0; c < dims; c++) ((float *)out)[row * dims + c] = sum[c];
    }
}

INLINE void backward_head(const Problem *p, const void *value, const float *locations, const float *weights, const void *grad_out,
                          void *grad_value, float *grad_locations, float *grad_weights, int64_t b, int64_t head, float *map,
                          float *grad_map, int dims, int half) {
    int64_t samples = p->levels * p->points;
    gather(p, value, b, head, map, dims, half);
    memset(grad_map, 0, p->cells * dims * sizeof(float));
    for (int64_t q = 0; q < p->queries; q++) {
        int64_t row = (b * p->queries + q) * p->heads + head, sample = row * samples, start = 0;
        float grad[MAX_D];
        for (int c = 0; c < dims; c++)
            grad[c] = half ? widen(((const uint16_t *)grad_out)[row * dims + c]) : ((const float *)grad_out)[row * dims + c];
        for (int64_t l = 0; l < p->levels; l++) {
            int64_t h = p->shapes[2 * l], w = p->shapes[2 * l + 1];
            for (int64_t k = 0; k < p->points; k++, sample++) {
                Corners at;
                float by_weight = 0.0f, by_x = 0.0f, by_y = 0.0f;
                if (around(locations + 2 * sample, h, w, dims, &at)) {
                    const float *level = map + start;
                    const float *v0 = level + at.offset[0], *v1 = level + at.offset[1];
                    const float *v2 = level + at.offset[2], *v3 = level + at.offset[3];
                    float d0 = 0.0f, d1 = 0.0f, d2 = 0.0f, d3 = 0.0f, weight = weights[sample];
                    for (int c = 0; c < dims; c++) {
                        d0 += grad[c] * v0[c];
                        d1 += grad[c] * v1[c];
                        d2 += grad[c] * v2[c];
                        d3 += grad[c] * v3[c];
                    }
                    by_weight = at.share[0] * d0 + at.share[1] * d1 + at.share[2] * d2 + at.share[3] * d3;
                    by_x = weight * (at.by_x[0] * d0 + at.by_x[1] * d1 + at.by_x[2] * d2 + at.by_x[3] * d3);
                    by_y = weight * (at.by_y[0] * d0 + at.by_y[1] * d1 + at.by_y[2] * d2 + at.by_y[3] * d3);
                    /* Add one after another: at an edge, two of the four cells can be the same. */
                    for (int corner = 0; corner < 4; corner++) {
                        float share = weight * at.share[corner];
                        float *to = grad_map + start + at.offset[corner];
                        for (int c = 0; c < dims; c++) to[c] += share * grad[c];
                    }
                }
                grad_weights[sample] = by_weight;
                grad_locations[2 * sample] = by_x * (float)w;
                grad_locations[2 * sample + 1] = by_y * (float)h;
            }
            start += h * w * dims;
        }
    }
    spread(p, grad_map, b, head, grad_value, dims, half);
}

/* Specialised code for the usual head dimensions. */
#define FOR_DIMS(CALL)               \
    switch (p->dims) {               \
        case 8: CALL(8); break;      \
        case 16: CALL(16); break;    \
        case 24: CALL(24); break;    \
        case 32: CALL(32); break;    \
        case 44: CALL(44); break;    \
        case 48: CALL(48); break;    \
        case 64: CALL(64); break;    \
        default: CALL((int)p->dims); \
    }

/* workspace: cells * dims floats for each thread. */
void deform_attn_forward(const Problem *p, const void *value, const float *locations, const float *weights, void *out,
                         float *workspace) {
#pragma omp parallel for schedule(static) num_threads(p->threads)
    for (int64_t task = 0; task < p->batch * p->heads; task++) {
        int64_t b = task / p->heads, head = task % p->heads;
        float *map = workspace + omp_get_thread_num() * p->cells * p->dims;
#define FORWARD(N)                                                                  \
    if (p->half)                                                                    \
        forward_head(p, value, locations, weights, out, b, head, map, N, 1);        \
    else                                                                            \
        forward_head(p, value, locations, weights, out, b, head, map, N, 0)
        FOR_DIMS(FORWARD)
    }
}

/* workspace: 2 * cells * dims floats for each thread. */
void deform_attn_backward(const Problem *p, const void *value, const float *locations, const float *weights, const void *grad_out,
                          void *grad_value, float *grad_locations, float *grad_weights, float *workspace) {
#pragma omp parallel for schedule(static) num_threads(p->threads)
    for (int64_t task = 0; task < p->batch * p->heads; task++) {
        int64_t b = task / p->heads, head = task % p->heads, size = p->cells * p->dims;
        float *map = workspace + 2 * omp_get_thread_num() * size, *grad_map = map + size;
#define BACKWARD(N)                                                                                                          \
    if (p->half)                                                                                                             \
        backward_head(p, value, locations, weights, grad_out, grad_value, grad_locations, grad_weights, b, head, map, grad_map, \
                      N, 1);                                                                                                 \
    else                                                                                                                     \
        backward_head(p, value, locations, weights, grad_out, grad_value, grad_locations, grad_weights, b, head, map, grad_map, \
                      N, 0)
        FOR_DIMS(BACKWARD)
    }
}
