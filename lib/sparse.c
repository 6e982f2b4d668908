/* Trains one masked network on one core, and touches the surviving weights only.

   The images of a batch lie innermost: one weight times the same pixel of LANES images is a few vector
   instructions, whatever the pattern of the mask, so a level at which 90 % of the weights are pruned costs about a tenth.
   Wide layers of which many weights are left are faster as whole matrices, which products.h has.
   Layers are convolutions (any stride and padding, without dilation) with or without 2 x 2 max-pooling, then dense
   layers, a ReLU after each but the last; a dense layer is a convolution whose kernel is as large as its input.

   lib/sparse.py compiles and calls this file, and says what the arguments are. */

#include <math.h>
#include <string.h>

#include "common.h"

#ifdef __AVX512F__
#define WIDTH 16 /* floats of a vector; in wider ones than the processor has the sums no longer fit its registers */
#else
#define WIDTH 8
#endif
#define PARTS 2 /* vectors of a block of images */
#define LANES (WIDTH * PARTS)
#define CACHE 6144 /* bytes of the gradient's rows that are worked on at once */
#define SKEW 5 /* vectors between channels, so that the same pixel of all channels does not share one cache set */
#define FULL 0.16 /* share of weights left from which Winograd's way is faster */
#define ROW (8 / PARTS) /* neighbouring outputs that are computed together: eight sums fill the pipeline */

typedef float vec __attribute__((vector_size(WIDTH * 4)));
typedef int32_t ivec __attribute__((vector_size(WIDTH * 4)));

/* One surviving weight: its place in the flat parameters, and in the input relative to the output's place there. */
typedef struct {
    int32_t weight, offset;
} Tap;

/* Taps by output channel o, then row r of the kernel; on the way back also by its column c. Those of (o, r) are
   taps[start[o * rows + r]] to taps[start[o * rows + r + 1]]; on the way back those of (o, r, c) have a start each. */
typedef struct {
    Tap *taps;
    int32_t *start;
} Taps;

#include "products.h"

typedef struct {
    Spec spec;
    int64_t in_y, in_x;     /* input, padding included */
    int64_t out_y, out_x;   /* before pooling */
    int64_t next_y, next_x; /* after pooling */
    /* Gradient of the output. For the way back it is dilated by the stride and has a border as wide as the kernel; the
       first layer needs none of this, and its gradient takes the output's place. */
    int64_t back_y, back_x, dilation, border;
    int64_t in_plane, back_plane; /* vectors from one channel to the next, a few more than it holds: see SKEW */
    int64_t lay_plane, lay_x;     /* the input as the layer before sees it, which a dense layer flattens */
    Taps forward, backward;
    int full;          /* whether products.h is faster, pruned weights being zeros */
    Winograd winograd; /* if so, and it is no dense layer */
    vec *by_image;     /* if so, and it is one: (LANES, CHUNK) floats, transposed */
    vec *input;    /* (channels, in_y, in_x, PARTS) */
    vec *output;   /* (filters, out_y, out_x, PARTS), before pooling and ReLU */
    vec *gradient; /* (filters, back_y, back_x, PARTS) */
    vec *pooled;   /* (filters, next_y, next_x, PARTS): gradient after pooling and ReLU */
} Layer;

typedef struct {
    int64_t count, classes;
    Layer *layers;
    Memory memory;
} Net;

static int make_forward(Memory *memory, Taps *t, const Layer *y, const uint8_t *mask) {
    const Spec *s = &y->spec;
    int64_t n = 0, w = 0;
    t->taps = zeros(memory, sizeof(Tap) * s->filters * s->channels * s->size_y * s->size_x);
    t->start = zeros(memory, sizeof(int32_t) * (s->filters * s->size_y + 1));
    if (!t->taps || !t->start) return -1;
    for (int64_t f = 0; f < s->filters; f++)
        for (int64_t r = 0; r < s->size_y; r++) {
            t->start[f * s->size_y + r] = n;
            for (int64_t ch = 0; ch < s->channels; ch++)
                for (int64_t c = 0; c < s->size_x; c++) {
                    w = s->weights + ((f * s->channels + ch) * s->size_y + r) * s->size_x + c;
                    if (mask[w]) t->taps[n++] = (Tap){w, ch * y->in_plane + (r * y->in_x + c) * PARTS};
                }
        }
    t->start[s->filters * s->size_y] = n;
    return 0;
}

static int make_backward(Memory *memory, Taps *t, const Layer *y, const uint8_t *mask) {
    const Spec *s = &y->spec;
    int64_t n = 0, w = 0, k = 0;
    t->taps = zeros(memory, sizeof(Tap) * s->filters * s->channels * s->size_y * s->size_x);
    t->start = zeros(memory, sizeof(int32_t) * (s->channels * s->size_y * s->size_x + 1));
    if (!t->taps || !t->start) return -1;
    for (int64_t ch = 0; ch < s->channels; ch++)
        for (int64_t r = 0; r < s->size_y; r++)
            for (int64_t c = 0; c < s->size_x; c++) {
                t->start[k++] = n;
                for (int64_t f = 0; f < s->filters; f++) {
                    /* The kernel is turned around. */
                    w = ((f * s->channels + ch) * s->size_y + s->size_y - 1 - r) * s->size_x + s->size_x - 1 - c;
                    w += s->weights;
                    if (mask[w]) t->taps[n++] = (Tap){w, f * y->back_plane + (r * y->back_x + c) * PARTS};
                }
            }
    t->start[k] = n;
    return 0;
}

static int is_dense(const Layer *y) { return y->in_y == 1 && y->in_x == 1; }

/* Decide whether a layer is trained as products of matrices. */
static int make_full(Memory *memory, Layer *y) {
    const Spec *s = &y->spec;
    int64_t kept = y->forward.start[s->filters * s->size_y], all = s->filters * s->channels * s->size_y * s->size_x;
    y->full = kept > FULL * all && y->backward.taps && s->filters % EVEN == 0 && s->channels % EVEN == 0;
    if (y->full && is_dense(y)) return (y->by_image = zeros(memory, LANES * (CHUNK + WIDTH) * 4)) ? 0 : -1;
    y->full &= s->size_y == 3 && s->size_x == 3 && s->stride == 1 && s->padding == 1 && y->out_y % TILE == 0 &&
        y->out_x % TILE == 0;
    return y->full ? make_winograd(memory, &y->winograd, s->filters, s->channels) : 0;
}

static int prepare(Net *net, int64_t count, const Spec *specs, const int64_t *image, const uint8_t *mask) {
    int64_t height = image[1], width = image[2], vectors = PARTS * sizeof(vec);
    *net = (Net){count, specs[count - 1].filters, NULL, reserve()};
    Memory *memory = &net->memory;
    net->layers = zeros(memory, count * sizeof(Layer));
    if (!net->layers) return -1;
    for (int64_t k = 0; k < count; k++) {
        Layer *y = net->layers + k;
        Spec *s = &y->spec;
        *s = specs[k];
        y->in_y = height + 2 * s->padding, y->in_x = width + 2 * s->padding, y->lay_x = y->in_x;
        y->in_plane = y->lay_plane = y->in_y * y->in_x * PARTS + SKEW;
        if (s->size_y == 0) { /* dense */
            y->lay_plane = height * width * PARTS, y->in_plane = PARTS;
            s->size_y = s->size_x = y->in_y = y->in_x = 1;
        }
        y->out_y = (y->in_y - s->size_y) / s->stride + 1, y->out_x = (y->in_x - s->size_x) / s->stride + 1;
        y->next_y = height = s->pool ? y->out_y / 2 : y->out_y;
        y->next_x = width = s->pool ? y->out_x / 2 : y->out_x;
        y->back_y = k ? y->in_y + s->size_y - 1 : y->out_y, y->back_x = k ? y->in_x + s->size_x - 1 : y->out_x;
        y->dilation = k ? s->stride : 1, y->border = k ? (s->size_y - 1) * y->back_x + s->size_x - 1 : 0;
        y->back_plane = y->back_y * y->back_x * PARTS + (k ? SKEW : 0);
        y->input = zeros(memory, s->channels * y->in_plane * (int64_t)sizeof(vec));
        y->output = zeros(memory, s->filters * y->out_y * y->out_x * vectors);
        y->gradient = k ? zeros(memory, s->filters * y->back_plane * (int64_t)sizeof(vec)) : y->output;
        y->pooled = zeros(memory, s->filters * y->next_y * y->next_x * vectors);
        if (!y->input || !y->output || !y->gradient || !y->pooled) return -1;
        if (make_forward(memory, &y->forward, y, mask) || (k && make_backward(memory, &y->backward, y, mask))) return -1;
        if (make_full(memory, y)) return -1;
    }
    return 0;
}

/* Add the taps times what they meet, for `positions` neighbours in a row (ROW or 1) that lie `step` apart in the input. */
static inline __attribute__((always_inline)) void gather(
    const Tap *tap, const Tap *end, const float *weights, const vec *in, int64_t step, int positions, vec sum[ROW][PARTS]) {
    if (positions == 1) { /* ROW taps at once, for as many independent sums */
        vec part[ROW][PARTS] = {};
        for (; tap + ROW <= end; tap += ROW)
            for (int q = 0; q < ROW; q++)
                for (int p = 0; p < PARTS; p++)
                    part[q][p] += weights[tap[q].weight] * in[tap[q].offset + p];
        for (int q = 0; q < ROW; q++)
            for (int p = 0; p < PARTS; p++) sum[0][p] += part[q][p];
    }
    for (; tap < end; tap++) {
        vec w = weights[tap->weight] - (vec){};
        const vec *x = in + tap->offset;
        for (int q = 0; q < positions; q++)
            for (int p = 0; p < PARTS; p++) sum[q][p] += w * x[q * step * PARTS + p];
    }
}

static inline __attribute__((always_inline)) void convolve_at(
    const Layer *y, const float *weights, int64_t r, int64_t c, int positions) {
    const Spec *s = &y->spec;
    const vec *in = y->input + (r * y->in_x + c) * s->stride * PARTS;
    for (int64_t f = 0; f < s->filters; f++) {
        const int32_t *start = y->forward.start + f * s->size_y;
        vec sum[ROW][PARTS], *out = y->output + ((f * y->out_y + r) * y->out_x + c) * PARTS;
        for (int q = 0; q < positions; q++)
            for (int p = 0; p < PARTS; p++) sum[q][p] = weights[s->biases + f] - (vec){};
        gather(y->forward.taps + start[0], y->forward.taps + start[s->size_y], weights, in, s->stride, positions, sum);
        for (int q = 0; q < positions; q++)
            for (int p = 0; p < PARTS; p++) out[q * PARTS + p] = sum[q][p];
    }
}

static Pixels input_of(const Layer *y) { return (Pixels){y->input, y->in_plane, y->in_x * PARTS}; }

/* The gradient of the output, from so many pixels before the first one on in both directions. */
static Pixels slope_of(const Layer *y, int64_t border) {
    return (Pixels){y->gradient + (y->border - border * (y->back_x + 1)) * PARTS, y->back_plane, y->back_x * PARTS};
}

static void convolve(Layer *y, const float *weights) {
    const Spec *s = &y->spec;
    if (y->full && is_dense(y)) {
        dense_forward(weights + s->weights, weights + s->biases, s->filters, s->channels, y->input, y->output);
        return;
    }
    if (y->full) {
        Pixels output = {y->output, y->out_y * y->out_x * PARTS, y->out_x * PARTS};
        winograd_forward(&y->winograd, input_of(y), output, y->out_y, y->out_x, weights + s->biases);
        return;
    }
    for (int64_t r = 0; r < y->out_y; r++) {
        int64_t c = 0;
        for (; c + ROW <= y->out_x; c += ROW) convolve_at(y, weights, r, c, ROW);
        for (; c < y->out_x; c++) convolve_at(y, weights, r, c, 1);
    }
}

static inline __attribute__((always_inline)) void convolve_back_at(
    const Layer *y, const float *weights, vec *result, int64_t r, int64_t c, int positions) {
    const Spec *s = &y->spec;
    int64_t height = y->in_y - 2 * s->padding, width = y->in_x - 2 * s->padding;
    int64_t top = r + s->padding, left = c + s->padding;
    /* Rows and columns of the kernel that meet the gradient at one position at least, not its border at all. */
    int64_t from_y = s->size_y - 1 - top, to_y = from_y + 1 + (y->out_y - 1) * s->stride;
    int64_t from_x = s->size_x - left - positions, to_x = s->size_x - left + (y->out_x - 1) * s->stride;
    from_y = from_y < 0 ? 0 : from_y, to_y = to_y > s->size_y ? s->size_y : to_y;
    from_x = from_x < 0 ? 0 : from_x, to_x = to_x > s->size_x ? s->size_x : to_x;
    int whole = from_x == 0 && to_x == s->size_x;
    const vec *in = y->gradient + (top * y->back_x + left) * PARTS;
    for (int64_t ch = 0; ch < s->channels; ch++) {
        const Tap *taps = y->backward.taps;
        const int32_t *start = y->backward.start + ch * s->size_y * s->size_x;
        vec sum[ROW][PARTS] = {}, *out = result + ((ch * height + r) * width + c) * PARTS;
        if (whole && from_y < to_y)
            gather(taps + start[from_y * s->size_x], taps + start[to_y * s->size_x], weights, in, 1, positions, sum);
        else if (from_x < to_x)
            for (int64_t k = from_y; k < to_y; k++)
                gather(
                    taps + start[k * s->size_x + from_x], taps + start[k * s->size_x + to_x], weights, in, 1, positions, sum);
        for (int q = 0; q < positions; q++)
            for (int p = 0; p < PARTS; p++) out[q * PARTS + p] = sum[q][p];
    }
}

/* Gradient of the layer's input, padding left out, shape (channels, height, width, PARTS). */
static void convolve_back(Layer *y, const float *weights, vec *result) {
    int64_t height = y->in_y - 2 * y->spec.padding, width = y->in_x - 2 * y->spec.padding;
    const Spec *s = &y->spec;
    if (y->full && is_dense(y)) {
        dense_back(weights + s->weights, s->filters, s->channels, y->gradient, y->back_plane, result);
        return;
    }
    if (y->full) {
        Pixels to = {result, height * width * PARTS, width * PARTS};
        winograd_back(&y->winograd, slope_of(y, 1), to, height, width);
        return;
    }
    for (int64_t r = 0; r < height; r++) {
        int64_t c = 0;
        for (; c + ROW <= width; c += ROW) convolve_back_at(y, weights, result, r, c, ROW);
        for (; c < width; c++) convolve_back_at(y, weights, result, r, c, 1);
    }
}

static float total(vec v) {
    float q[WIDTH];
    memcpy(q, &v, sizeof v);
    for (int half = WIDTH / 2; half >= 4; half /= 2)
        for (int i = 0; i < half; i++) q[i] += q[i + half];
    return (q[0] + q[1]) + (q[2] + q[3]);
}

/* Gradients of n weights of one row of one kernel at the columns dx. */
static inline __attribute__((always_inline)) void row_gradient(
    const Layer *y, int64_t rows, const vec *in, const vec *back, const int64_t *dx, int n, float *gradient) {
    int64_t stride = y->spec.stride, dilation = y->dilation;
    vec sum[5][PARTS] = {};
    for (int64_t r = 0; r < rows; r++) {
        const vec *x = in + r * stride * y->in_x * PARTS;
        const vec *g = back + r * dilation * y->back_x * PARTS;
        for (int64_t c = 0; c < y->out_x; c++, x += stride * PARTS, g += dilation * PARTS)
            for (int p = 0; p < PARTS; p++)
                for (int k = 0; k < n; k++) sum[k][p] += g[p] * x[dx[k] * PARTS + p];
    }
    for (int k = 0; k < n; k++) {
        for (int p = 1; p < PARTS; p++) sum[k][0] += sum[k][p];
        gradient[dx[k]] += total(sum[k][0]);
    }
}

/* From some rows of the gradient of filter f. */
static void kernel_gradient(const Layer *y, int64_t f, int64_t first, int64_t rows, const vec *back, float *gradient) {
    const Spec *s = &y->spec;
    int32_t k = y->forward.start[f * s->size_y], end = y->forward.start[(f + 1) * s->size_y];
    while (k < end) {
        /* Up to five weights of one row, whose input lies together. */
        int64_t w = y->forward.taps[k].weight, dx[5] = {};
        const vec *in = y->input + y->forward.taps[k].offset + first * s->stride * y->in_x * PARTS;
        int64_t left = s->size_x - (w - s->weights) % s->size_x;
        int n = 0;
        for (; n < 5 && k < end && y->forward.taps[k].weight - w < left && y->forward.taps[k].weight >= w; n++, k++)
            dx[n] = y->forward.taps[k].weight - w;
        switch (n) {
        case 1: row_gradient(y, rows, in, back, dx, 1, gradient + w); break;
        case 2: row_gradient(y, rows, in, back, dx, 2, gradient + w); break;
        case 3: row_gradient(y, rows, in, back, dx, 3, gradient + w); break;
        case 4: row_gradient(y, rows, in, back, dx, 4, gradient + w); break;
        case 5: row_gradient(y, rows, in, back, dx, 5, gradient + w); break;
        }
    }
}

static void unit_gradient(const Layer *y, int64_t f, const vec *back, float *gradient) {
    const Tap *tap = y->forward.taps + y->forward.start[f], *end = y->forward.taps + y->forward.start[f + 1];
    vec g[PARTS];
    memcpy(g, back, sizeof g);
    for (; tap < end; tap++) {
        const vec *x = y->input + tap->offset;
        vec sum = g[0] * x[0];
        for (int p = 1; p < PARTS; p++) sum += g[p] * x[p];
        gradient[tap->weight] += total(sum);
    }
}

static void weight_gradient(Layer *y, float *gradient) {
    const Spec *s = &y->spec;
    /* So many rows at once that they stay in the fastest cache while all weights of a filter meet them. */
    int64_t rows = CACHE / (y->out_x * PARTS * (int64_t)sizeof(vec)) + 1;
    for (int64_t first = 0; first < y->out_y; first += rows) {
        if (rows > y->out_y - first) rows = y->out_y - first;
        for (int64_t f = 0; f < s->filters; f++) {
            const vec *back = y->gradient + f * y->back_plane + (y->border + first * y->dilation * y->back_x) * PARTS;
            vec bias = {};
            for (int64_t r = 0; r < rows; r++)
                for (int64_t c = 0; c < y->out_x; c++)
                    for (int p = 0; p < PARTS; p++) bias += back[(r * y->back_x + c) * y->dilation * PARTS + p];
            gradient[s->biases + f] += total(bias);
            if (y->full)
                continue;
            if (is_dense(y))
                unit_gradient(y, f, back, gradient);
            else
                kernel_gradient(y, f, first, rows, back, gradient);
        }
    }
    if (y->full && is_dense(y))
        dense_gradient(
            s->filters, s->channels, y->input, y->gradient, y->back_plane, y->by_image, gradient + s->weights);
    else if (y->full)
        winograd_gradient(&y->winograd, input_of(y), slope_of(y, 0), y->out_y, y->out_x);
}

static vec keep(ivec where, vec v) { return (vec)(where & (ivec)v); }

static vec larger(vec a, vec b) {
    ivec first = a > b;
    return (vec)((first & (ivec)a) | (~first & (ivec)b));
}

/* Pool, ReLU, and lay down as the next layer's input. */
static void activate(const Layer *y, Layer *next) {
    const Spec *s = &y->spec;
    int64_t padding = next->spec.padding;
    for (int64_t f = 0; f < s->filters; f++)
        for (int64_t r = 0; r < y->next_y; r++) {
            vec *to = next->input + f * next->lay_plane + ((r + padding) * next->lay_x + padding) * PARTS;
            int64_t step = s->pool ? 2 : 1, row = y->out_x * PARTS;
            const vec *z = y->output + (f * y->out_y + r * step) * row;
            for (int64_t c = 0; c < y->next_x; c++, z += step * PARTS)
                for (int p = 0; p < PARTS; p++) {
                    vec v = z[p];
                    if (s->pool) v = larger(larger(v, z[p + PARTS]), larger(z[p + row], z[p + row + PARTS]));
                    to[c * PARTS + p] = larger(v, (vec){});
                }
        }
}

/* From the gradient after pooling and ReLU to the gradient before. Of equal maxima the first gets it; what pooling leaves
   over at the edge gets none. */
static void activate_back(Layer *y) {
    const Spec *s = &y->spec;
    int64_t right = y->dilation * PARTS, down = right * y->back_x;
    int64_t used_y = s->pool ? y->out_y & ~1 : y->out_y, used_x = s->pool ? y->out_x & ~1 : y->out_x;
    for (int64_t f = 0; f < s->filters; f++) {
        for (int64_t r = 0; r < y->next_y; r++) {
            int64_t step = s->pool ? 2 : 1, row = y->out_x * PARTS;
            const vec *from = y->pooled + (f * y->next_y + r) * y->next_x * PARTS;
            const vec *z = y->output + (f * y->out_y + r * step) * row;
            vec *to = y->gradient + f * y->back_plane + y->border * PARTS + r * step * down;
            for (int64_t c = 0; c < y->next_x; c++, z += step * PARTS, to += step * right, from += PARTS)
                for (int p = 0; p < PARTS; p++) {
                    vec g = from[p];
                    if (!s->pool) {
                        to[p] = keep(z[p] > 0, g);
                        continue;
                    }
                    vec a = z[p], b = z[p + PARTS], m = z[p + row], n = z[p + row + PARTS];
                    vec top = larger(larger(a, b), larger(m, n));
                    g = keep(top > 0, g);
                    ivec is_a = a == top, is_b = (b == top) & ~is_a, is_m = (m == top) & ~(is_a | is_b);
                    to[p] = keep(is_a, g);
                    to[p + right] = keep(is_b, g);
                    to[p + down] = keep(is_m, g);
                    to[p + down + right] = keep(~(is_a | is_b | is_m), g);
                }
        }
        vec *edge = y->gradient + f * y->back_plane + y->border * PARTS;
        for (int64_t r = 0; r < y->out_y; r++)
            for (int64_t c = r < used_y ? used_x : 0; c < y->out_x; c++)
                for (int p = 0; p < PARTS; p++) edge[r * down + c * right + p] = (vec){};
    }
}

/* Lay up to LANES images side by side; those that are missing are black. */
static void load(Layer *y, const uint8_t *images, const int64_t *chosen, int64_t n, const int64_t *shape, const float *channels) {
    int64_t pixels = shape[1] * shape[2], size = shape[0] * pixels, padding = y->spec.padding;
    const uint8_t *from[LANES];
    for (int64_t i = 0; i < LANES; i++) from[i] = images + size * (i < n ? chosen[i] : chosen[0]);
    for (int64_t ch = 0; ch < shape[0]; ch++) {
        float mean = channels[2 * ch], scale = channels[2 * ch + 1];
        for (int64_t r = 0; r < shape[1]; r++) {
            float *to = (float *)(y->input + ch * y->lay_plane + ((r + padding) * y->lay_x + padding) * PARTS);
            int64_t at = ch * pixels + r * shape[2];
            for (int64_t c = 0; c < shape[2]; c++, to += LANES)
                for (int64_t i = 0; i < LANES; i++) to[i] = (from[i][at + c] - mean) * scale;
        }
    }
}

/* Lay out the filters of this step, and after it write their gradient, which products.h computes of pruned weights too. */
static void begin_step(Net *net, const float *parameters) {
    for (Layer *y = net->layers; y < net->layers + net->count; y++)
        if (y->full && !is_dense(y)) lay_out(&y->winograd, parameters + y->spec.weights);
}

static void end_step(const Net *net, const uint8_t *mask, float *gradient) {
    for (const Layer *y = net->layers; y < net->layers + net->count; y++) {
        const Spec *s = &y->spec;
        if (!y->full) continue;
        if (!is_dense(y)) collect(&y->winograd, gradient + s->weights);
        int64_t size = s->filters * s->channels * s->size_y * s->size_x;
        for (int64_t i = s->weights; i < s->weights + size; i++) gradient[i] *= mask[i];
    }
}

static void forward(Net *net, const float *parameters) {
    for (int64_t k = 0; k < net->count; k++) {
        convolve(net->layers + k, parameters);
        if (k + 1 < net->count) activate(net->layers + k, net->layers + k + 1);
    }
}

/* Mean cross-entropy of n images, their share of a batch; writes its gradient by the logits. */
static double loss(Net *net, const uint8_t *labels, const int64_t *chosen, int64_t n, int64_t batch) {
    Layer *y = net->layers + net->count - 1;
    const float *logits = (const float *)y->output;
    float *gradient = (float *)(y->gradient + y->border * PARTS);
    int64_t apart = y->back_plane * WIDTH;
    double sum = 0;
    for (int64_t i = 0; i < LANES; i++) {
        float top = logits[i], all = 0, e[256];
        for (int64_t k = 1; k < net->classes; k++) top = fmaxf(top, logits[k * LANES + i]);
        for (int64_t k = 0; k < net->classes; k++) all += e[k] = expf(logits[k * LANES + i] - top);
        int64_t label = labels[chosen[i < n ? i : 0]];
        if (i < n) sum += logf(all) - (logits[label * LANES + i] - top);
        for (int64_t k = 0; k < net->classes; k++)
            gradient[k * apart + i] = i < n ? (e[k] / all - (k == label)) / batch : 0;
    }
    return sum / batch;
}

static void backward(Net *net, const float *parameters, float *gradient) {
    for (int64_t k = net->count - 1; k >= 0; k--) {
        Layer *y = net->layers + k;
        if (k + 1 < net->count) activate_back(y);
        weight_gradient(y, gradient);
        if (k) convolve_back(y, parameters, net->layers[k - 1].pooled);
    }
}

static void update(const Optimiser *o, int64_t time, int64_t n, float *w, float *m, float *v, float *g) {
    disturb(o, time, n, g);
    float a = o->momentum, b = o->decay, epsilon = o->epsilon, rate = o->rate;
    if (b == 0) {
        for (int64_t i = 0; i < n; i++) {
            m[i] = a * m[i] + g[i];
            w[i] -= rate * m[i];
        }
        return;
    }
    float step = o->rate / (1 - pow(o->momentum, time)), correct = 1 / (1 - pow(o->decay, time));
    for (int64_t i = 0; i < n; i++) {
        m[i] += (1 - a) * (g[i] - m[i]);
        v[i] = b * v[i] + (1 - b) * g[i] * g[i];
        w[i] -= step * m[i] / (sqrtf(v[i] * correct) + epsilon);
    }
}

int train_epoch(
    int64_t count, const Spec *specs, const int64_t *shape, const float *channels, const uint8_t *mask, int64_t n,
    float *parameters, float *first, float *second, const uint8_t *images, const uint8_t *labels, const int64_t *order,
    int64_t steps, int64_t batch, const Optimiser *optimiser, double *mean_loss) {
    Net net;
    int failed = prepare(&net, count, specs, shape, mask);
    float *gradient = zeros(&net.memory, n * sizeof(float));
    failed |= !gradient;
    double sum = 0;
    for (int64_t s = 0; s < steps && !failed; s++) {
        memset(gradient, 0, n * sizeof(float));
        begin_step(&net, parameters);
        for (int64_t i = 0; i < batch; i += LANES) {
            int64_t m = batch - i < LANES ? batch - i : LANES;
            const int64_t *chosen = order + s * batch + i;
            load(net.layers, images, chosen, m, shape, channels);
            forward(&net, parameters);
            sum += loss(&net, labels, chosen, m, batch);
            backward(&net, parameters, gradient);
        }
        end_step(&net, mask, gradient);
        update(optimiser, optimiser->time + s + 1, n, parameters, first, second, gradient);
    }
    *mean_loss = sum / steps;
    release(net.memory);
    return failed;
}

/* Writes the logits of the n images, shape (n, classes). */
int evaluate(
    int64_t count, const Spec *specs, const int64_t *shape, const float *channels, const uint8_t *mask,
    const float *parameters, const uint8_t *images, int64_t n, float *logits) {
    Net net;
    int failed = prepare(&net, count, specs, shape, mask);
    if (!failed) begin_step(&net, parameters);
    for (int64_t i = 0; i < n && !failed; i += LANES) {
        int64_t chosen[LANES], m = n - i < LANES ? n - i : LANES;
        for (int64_t k = 0; k < m; k++) chosen[k] = i + k;
        load(net.layers, images, chosen, m, shape, channels);
        forward(&net, parameters);
        const float *output = (const float *)net.layers[count - 1].output;
        for (int64_t k = 0; k < m; k++)
            for (int64_t c = 0; c < net.classes; c++) logits[(i + k) * net.classes + c] = output[c * LANES + k];
    }
    release(net.memory);
    return failed;
}
