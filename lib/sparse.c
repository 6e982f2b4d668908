/* Trains one masked network on one core, and touches the surviving weights only.

   The images of a batch lie innermost: one weight times the same pixel of LANES images is a few vector
   instructions, whatever the pattern of the mask, so a level at which 90 % of the weights are pruned costs about a tenth.
   Layers of which many weights are left are faster as whole matrices, which products.h has.

   Layers are convolutions (any stride and padding, without dilation), then dense layers, a ReLU after each but the last; a
   dense layer is a convolution whose kernel is as large as its input.  A convolution may have 2 x 2 max-pooling, or batch
   normalisation with the output of another layer added after it.

   lib/sparse.py compiles and calls this file, and says what the arguments are. */

#include <math.h>
#include <string.h>
#ifdef __AVX2__
#include <immintrin.h>
#endif

#include "common.h"

#ifdef __AVX512F__
#define WIDTH 16 /* floats of a vector; in wider ones than the processor has the sums no longer fit its registers */
#else
#define WIDTH 8
#endif
#ifndef PARTS
#define PARTS 2 /* vectors of a block of images: 1 or 2 */
#endif
#define LANES (WIDTH * PARTS)
#define CACHE 6144 /* bytes of the gradient's rows that are worked on at once */
#define SKEW 5 /* vectors between channels, so that the same pixel of all channels does not share one cache set */
#define FULL 0.18 /* share of a layer's weights from which products.h is faster */
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

typedef struct Layer Layer;
struct Layer {
    Spec spec;
    Layer *source, *add;    /* whose output it takes, whose is added to its own (none: NULL) */
    int64_t in_y, in_x;     /* input, padding included */
    int64_t out_y, out_x;   /* before pooling */
    int64_t next_y, next_x; /* after pooling */
    /* Gradient of the output. For the way back it is dilated by the stride and has a border as wide as the kernel; the
       first layer needs none of this, and its gradient takes the output's place. */
    int64_t back_y, back_x, dilation, border;
    /* Vectors from one channel to the next, a few more than it holds (see SKEW), and pixels from one row to the next. */
    int64_t in_plane, in_row, back_plane, active_plane, active_row;
    Taps forward, backward;
    /* Of a dense layer that is not full: its surviving weights in the order of the way back, whose taps count them so, and
       where each is in the flat parameters. */
    float *turned;
    int32_t *turned_from;
    int full;           /* whether products.h is faster, pruned weights being zeros */
    Winograd winograd;  /* if so, and it is no dense layer */
    vec *by_image;      /* if so, and it is one: (LANES, CHUNK) floats, transposed */
    int dense;
    int begun, joins;   /* whether its slope has a part yet; whether its source's had one before this layer's */
    vec *input;         /* (channels, in_y, in_x, PARTS): the source's `active` with its border, or means over its pixels */
    vec *output;        /* (filters, out_y, out_x, PARTS), before normalisation, pooling and ReLU */
    vec *gradient;      /* (filters, back_y, back_x, PARTS), of the output */
    vec *active;        /* (filters, next_y, next_x, PARTS), after them, if a layer takes it; zeros lie around it */
    vec *slope;         /* (filters, next_y, next_x, PARTS): gradient after them; what is added to it shares its own */
    vec *mean_slope;    /* (channels, PARTS): of the means over the source's pixels */
    int64_t input_block, output_block, gradient_block, active_block, slope_block; /* vectors from one block to the next */
    float *mean, *spreading; /* of normalisation: mean, 1 / standard deviation */
    float *factor, *shift;   /* with the scales and offsets: what an output is multiplied by, what is added then */
    float *by_output, *rest; /* an output's gradient is factor times its slope, by_output times itself, and the rest */
    double *sums, *products; /* of outputs and their squares; on the way back of slopes, and of these times outputs */
};

/* A batch is trained LANES images at a time, but for batch normalisation, which needs all of them: in `blocks`. */
typedef struct {
    int64_t count, classes, blocks;
    Layer images, *layers; /* the images are a layer without weights */
    Memory memory;
} Net;

/* A layer with its arrays for one block of images. */
static Layer at_block(const Layer *y, int64_t b) {
    Layer own = *y;
    own.input += b * y->input_block, own.output += b * y->output_block, own.gradient += b * y->gradient_block;
    own.active += b * y->active_block, own.slope += b * y->slope_block;
    return own;
}

/* Where row r of filter f begins, of one block. */
static vec *output_at(const Layer *y, int64_t b, int64_t f, int64_t r) {
    return y->output + b * y->output_block + (f * y->out_y + r) * y->out_x * PARTS;
}

static vec *active_at(const Layer *y, int64_t b, int64_t f, int64_t r) {
    return y->active + b * y->active_block + f * y->active_plane + r * y->active_row * PARTS;
}

static vec *slope_at(const Layer *y, int64_t b, int64_t f, int64_t r) {
    return y->slope + b * y->slope_block + (f * y->next_y + r) * y->next_x * PARTS;
}

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
                    if (mask[w]) t->taps[n++] = (Tap){w, ch * y->in_plane + (r * y->in_row + c) * PARTS};
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

/* Make room for the surviving weights of a dense layer, in the order of the way back: in that of the way forward the
   weights of one input lie in as many pages as there are units. */
static int make_turned(Memory *memory, Layer *y) {
    if (!y->dense || y->full || !y->backward.taps) return 0;
    int64_t kept = y->backward.start[y->spec.channels];
    y->turned = zeros(memory, kept * sizeof(float)), y->turned_from = zeros(memory, kept * sizeof(int32_t));
    if (!y->turned || !y->turned_from) return -1;
    for (int64_t n = 0; n < kept; n++) y->turned_from[n] = y->backward.taps[n].weight, y->backward.taps[n].weight = n;
    return 0;
}

/* Decide whether a layer is trained as products of matrices. */
static int make_full(Memory *memory, Layer *y) {
    const Spec *s = &y->spec;
    int64_t kept = y->forward.start[s->filters * s->size_y], all = s->filters * s->channels * s->size_y * s->size_x;
    y->full = kept > FULL * all && y->backward.taps && s->filters % EVEN == 0 && s->channels % EVEN == 0;
    if (y->full && y->dense) return (y->by_image = zeros(memory, LANES * (CHUNK + WIDTH) * 4)) ? 0 : -1;
    y->full &= s->size_y == 3 && s->size_x == 3 && s->stride == 1 && s->padding == 1 && y->out_y % TILE == 0 &&
        y->out_x % TILE == 0;
    return y->full ? make_winograd(memory, &y->winograd, s->filters, s->channels) : 0;
}

static int normed(const Layer *y) { return y->spec.scales >= 0; }

/* Whether a dense layer takes every pixel of an image, side by side. */
static int flattens(const Layer *y) { return y->dense && !y->spec.average; }

/* Sizes of a layer that takes an image of height x width. */
static void measure(Layer *y, int64_t height, int64_t width, int first) {
    Spec *s = &y->spec;
    y->in_y = height + 2 * s->padding, y->in_x = width + 2 * s->padding;
    y->dense = s->size_y == 0;
    if (y->dense) s->size_y = s->size_x = y->in_y = y->in_x = 1;
    y->out_y = (y->in_y - s->size_y) / s->stride + 1, y->out_x = (y->in_x - s->size_x) / s->stride + 1;
    y->next_y = s->pool ? y->out_y / 2 : y->out_y, y->next_x = s->pool ? y->out_x / 2 : y->out_x;
    y->back_y = first ? y->out_y : y->in_y + s->size_y - 1, y->back_x = first ? y->out_x : y->in_x + s->size_x - 1;
    y->dilation = first ? 1 : s->stride, y->border = first ? 0 : (s->size_y - 1) * y->back_x + s->size_x - 1;
    y->back_plane = y->back_y * y->back_x * PARTS + (first ? 0 : SKEW);
}

/* Make room for what a layer gives to others, with as much around it as they pad, and show it to these. */
static int make_active(Net *net, Layer *y) {
    int64_t border = 0, takers = 0, flat = 0;
    for (Layer *to = net->layers; to < net->layers + net->count; to++)
        if (to->source == y) {
            takers++, flat |= flattens(to);
            if (to->spec.padding > border) border = to->spec.padding;
        }
    if (!takers) return 0;
    y->active_row = y->next_x + 2 * border;
    y->active_plane = (y->next_y + 2 * border) * y->active_row * PARTS + (flat ? 0 : SKEW);
    y->active_block = y->spec.filters * y->active_plane;
    y->active = zeros(&net->memory, net->blocks * y->active_block * (int64_t)sizeof(vec));
    if (!y->active || (flat && border)) return -1;
    y->active += border * (y->active_row + 1) * PARTS;
    for (Layer *to = net->layers; to < net->layers + net->count; to++)
        if (to->source == y) {
            to->in_row = y->active_row, to->in_plane = to->dense ? PARTS : y->active_plane;
            to->input = y->active - to->spec.padding * (y->active_row + 1) * PARTS, to->input_block = y->active_block;
            if (!to->spec.average) continue;
            to->input_block = to->spec.channels * PARTS;
            to->input = zeros(&net->memory, net->blocks * to->input_block * (int64_t)sizeof(vec));
            to->mean_slope = zeros(&net->memory, to->input_block * (int64_t)sizeof(vec));
            if (!to->input || !to->mean_slope) return -1;
        }
    return 0;
}

static int prepare(
    Net *net, int64_t count, const Spec *specs, const int64_t *image, const uint8_t *mask, int64_t batch) {
    *net = (Net){.count = count, .classes = specs[count - 1].filters, .blocks = 1, .memory = reserve()};
    Memory *memory = &net->memory;
    net->layers = zeros(memory, count * sizeof(Layer));
    if (!net->layers) return -1;
    net->images.spec.filters = image[0], net->images.next_y = image[1], net->images.next_x = image[2];
    for (int64_t k = 0; k < count; k++) {
        Layer *y = net->layers + k;
        y->spec = specs[k];
        y->source = specs[k].source < 0 ? &net->images : net->layers + specs[k].source;
        y->add = specs[k].add < 0 ? NULL : net->layers + specs[k].add;
        measure(y, y->source->next_y, y->source->next_x, k == 0);
        if (normed(y)) net->blocks = (batch + LANES - 1) / LANES;
    }
    if (make_active(net, &net->images)) return -1;
    for (Layer *y = net->layers; y < net->layers + count; y++) {
        const Spec *s = &y->spec;
        y->output_block = s->filters * y->out_y * y->out_x * PARTS;
        /* The outputs' gradient of a normalised layer is found when it is needed, so that one block of it is enough. */
        if (y == net->layers) y->gradient_block = y->output_block;
        else if (!normed(y)) y->gradient_block = s->filters * y->back_plane;
        y->output = zeros(memory, net->blocks * y->output_block * (int64_t)sizeof(vec));
        y->gradient = y->output;
        int64_t kept = y->gradient_block ? net->blocks : 1;
        if (y != net->layers) y->gradient = zeros(memory, kept * s->filters * y->back_plane * (int64_t)sizeof(vec));
        y->mean = zeros(memory, 6 * s->filters * (int64_t)sizeof(float));
        y->sums = zeros(memory, 2 * s->filters * (int64_t)sizeof(double));
        if (!y->output || !y->gradient || !y->sums || make_active(net, y)) return -1;
        y->spreading = y->mean + s->filters, y->factor = y->spreading + s->filters, y->shift = y->factor + s->filters;
        y->by_output = y->shift + s->filters, y->rest = y->by_output + s->filters, y->products = y->sums + s->filters;
        if (make_forward(memory, &y->forward, y, mask)) return -1;
        if (y != net->layers && make_backward(memory, &y->backward, y, mask)) return -1;
        if (make_full(memory, y) || make_turned(memory, y)) return -1;
    }
    for (Layer *y = net->layers + count; y-- > net->layers;) {
        y->slope_block = y->spec.filters * y->next_y * y->next_x * PARTS;
        if (!y->slope) y->slope = zeros(memory, net->blocks * y->slope_block * (int64_t)sizeof(vec));
        if (!y->slope) return -1;
        /* The slope of what is added begins as that of the sum, in the same place. */
        if (y->add) y->add->slope = y->slope, y->add->begun = 1;
        y->joins = y->source->begun, y->source->begun = 1;
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
    const vec *in = y->input + (r * y->in_row + c) * s->stride * PARTS;
    for (int64_t f = 0; f < s->filters; f++) {
        const int32_t *start = y->forward.start + f * s->size_y;
        vec sum[ROW][PARTS], *out = y->output + ((f * y->out_y + r) * y->out_x + c) * PARTS;
        for (int q = 0; q < positions; q++)
            for (int p = 0; p < PARTS; p++) sum[q][p] = (normed(y) ? 0 : weights[s->biases + f]) - (vec){};
        gather(y->forward.taps + start[0], y->forward.taps + start[s->size_y], weights, in, s->stride, positions, sum);
        for (int q = 0; q < positions; q++)
            for (int p = 0; p < PARTS; p++) out[q * PARTS + p] = sum[q][p];
    }
}

static Pixels input_of(const Layer *y) { return (Pixels){y->input, y->in_plane, y->in_row * PARTS}; }

/* The gradient of the output, from so many pixels before the first one on in both directions. */
static Pixels slope_of(const Layer *y, int64_t border) {
    return (Pixels){y->gradient + (y->border - border * (y->back_x + 1)) * PARTS, y->back_plane, y->back_x * PARTS};
}

static void convolve(Layer *y, const float *weights) {
    const Spec *s = &y->spec;
    if (y->full && y->dense) {
        dense_forward(weights + s->weights, weights + s->biases, s->filters, s->channels, y->input, y->output);
        return;
    }
    if (y->full) {
        Pixels output = {y->output, y->out_y * y->out_x * PARTS, y->out_x * PARTS};
        winograd(
            &y->winograd, y->winograd.forward, s->channels, s->filters, input_of(y), output, y->out_y, y->out_x,
            normed(y) ? NULL : weights + s->biases, 0);
        return;
    }
    for (int64_t r = 0; r < y->out_y; r++) {
        int64_t c = 0;
        for (; c + ROW <= y->out_x; c += ROW) convolve_at(y, weights, r, c, ROW);
        for (; c < y->out_x; c++) convolve_at(y, weights, r, c, 1);
    }
}

/* At `positions` neighbours in a row, or with a stride at so many that it lies between: these meet the same weights. */
static inline __attribute__((always_inline)) void convolve_back_at(
    const Layer *y, const float *weights, vec *result, int64_t r, int64_t c, int positions) {
    const Spec *s = &y->spec;
    int64_t height = y->in_y - 2 * s->padding, width = y->in_x - 2 * s->padding, apart = s->stride;
    int64_t top = r + s->padding, left = c + s->padding;
    /* Rows and columns of the kernel that meet the gradient at one position at least, not its border at all. */
    int64_t from_y = s->size_y - 1 - top, to_y = from_y + 1 + (y->out_y - 1) * apart;
    int64_t from_x = s->size_x - 1 - left - (positions - 1) * apart, to_x = s->size_x - left + (y->out_x - 1) * apart;
    /* With a stride most of these would meet the zeros between. */
    from_y = from_y < 0 ? (from_y % apart + apart) % apart : from_y, to_y = to_y > s->size_y ? s->size_y : to_y;
    from_x = from_x < 0 ? (from_x % apart + apart) % apart : from_x, to_x = to_x > s->size_x ? s->size_x : to_x;
    int whole = apart == 1 && from_x == 0 && to_x == s->size_x;
    const vec *in = y->gradient + (top * y->back_x + left) * PARTS;
    for (int64_t ch = 0; ch < s->channels; ch++) {
        const Tap *taps = y->backward.taps;
        const int32_t *start = y->backward.start + ch * s->size_y * s->size_x;
        vec sum[ROW][PARTS] = {}, *out = result + ((ch * height + r) * width + c) * PARTS;
        for (int q = 0; q < positions && y->joins; q++) memcpy(sum[q], out + q * apart * PARTS, sizeof sum[q]);
        if (whole && from_y < to_y)
            gather(taps + start[from_y * s->size_x], taps + start[to_y * s->size_x], weights, in, 1, positions, sum);
        else if (apart == 1 && from_x < to_x)
            for (int64_t k = from_y; k < to_y; k++)
                gather(
                    taps + start[k * s->size_x + from_x], taps + start[k * s->size_x + to_x], weights, in, 1, positions, sum);
        else if (apart > 1)
            for (int64_t k = from_y; k < to_y; k += apart)
                for (int64_t i = k * s->size_x + from_x; i < k * s->size_x + to_x; i += apart)
                    gather(taps + start[i], taps + start[i + 1], weights, in, apart, positions, sum);
        for (int q = 0; q < positions; q++)
            for (int p = 0; p < PARTS; p++) out[q * apart * PARTS + p] = sum[q][p];
    }
}

/* Gradient of the layer's input, padding left out, shape (channels, height, width, PARTS). */
static void convolve_back(Layer *y, const float *weights, vec *result) {
    const Spec *s = &y->spec;
    int64_t height = y->in_y - 2 * s->padding, width = y->in_x - 2 * s->padding, apart = s->stride;
    if (y->full && y->dense) {
        dense_back(weights + s->weights, s->filters, s->channels, y->gradient, y->back_plane, result);
        return;
    }
    if (y->full) {
        Pixels to = {result, height * width * PARTS, width * PARTS};
        winograd(
            &y->winograd, y->winograd.back, s->filters, s->channels, slope_of(y, 1), to, height, width, NULL, y->joins);
        return;
    }
    if (y->turned) weights = y->turned;
    for (int64_t r = 0; r < height; r++)
        for (int64_t first = 0; first < apart; first++) {
            int64_t c = first;
            for (; c + (ROW - 1) * apart < width; c += ROW * apart) convolve_back_at(y, weights, result, r, c, ROW);
            for (; c < width; c += apart) convolve_back_at(y, weights, result, r, c, 1);
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
        const vec *x = in + r * stride * y->in_row * PARTS;
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
        const vec *in = y->input + y->forward.taps[k].offset + first * s->stride * y->in_row * PARTS;
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

/* The totals of eight vectors, to the same bits. */
static void totals(const vec *v, float *to) {
#ifdef __AVX2__
    __m256 eight[8], four[4];
    for (int k = 0; k < 8; k++) {
#if WIDTH == 16
        __m256d upper = _mm512_extractf64x4_pd(_mm512_castps_pd((__m512)v[k]), 1);
        eight[k] = _mm512_castps512_ps256((__m512)v[k]) + _mm256_castpd_ps(upper);
#else
        eight[k] = (__m256)v[k];
#endif
    }
    for (int k = 0; k < 4; k++) { /* of two vectors */
        __m256 lower = _mm256_permute2f128_ps(eight[k], eight[4 + k], 0x20);
        four[k] = lower + _mm256_permute2f128_ps(eight[k], eight[4 + k], 0x31);
    }
    _mm256_storeu_ps(to, _mm256_hadd_ps(_mm256_hadd_ps(four[0], four[1]), _mm256_hadd_ps(four[2], four[3])));
#else
    for (int k = 0; k < 8; k++) to[k] = total(v[k]);
#endif
}

static void unit_gradient(const Layer *y, int64_t f, const vec *back, float *gradient) {
    const Tap *tap = y->forward.taps + y->forward.start[f], *end = y->forward.taps + y->forward.start[f + 1];
    vec g[PARTS];
    memcpy(g, back, sizeof g);
    for (; tap + 8 <= end; tap += 8) {
        vec sum[8] = {};
        float all[8];
        for (int k = 0; k < 8; k++)
            for (int p = 0; p < PARTS; p++) sum[k] += g[p] * y->input[tap[k].offset + p];
        totals(sum, all);
        for (int k = 0; k < 8; k++) gradient[tap[k].weight] += all[k];
    }
    for (; tap < end; tap++) {
        vec sum = {};
        for (int p = 0; p < PARTS; p++) sum += g[p] * y->input[tap->offset + p];
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
            if (!normed(y)) {
                vec bias = {};
                for (int64_t r = 0; r < rows; r++)
                    for (int64_t c = 0; c < y->out_x; c++)
                        for (int p = 0; p < PARTS; p++) bias += back[(r * y->back_x + c) * y->dilation * PARTS + p];
                gradient[s->biases + f] += total(bias);
            }
            if (y->full) continue;
            if (y->dense)
                unit_gradient(y, f, back, gradient);
            else
                kernel_gradient(y, f, first, rows, back, gradient);
        }
    }
    if (y->full && y->dense)
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

/* Pool, and ReLU. */
static void activate(const Layer *y) {
    const Spec *s = &y->spec;
    for (int64_t f = 0; f < s->filters; f++)
        for (int64_t r = 0; r < y->next_y; r++) {
            vec *to = y->active + f * y->active_plane + r * y->active_row * PARTS;
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
            const vec *from = y->slope + (f * y->next_y + r) * y->next_x * PARTS;
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

/* Lay up to LANES images side by side; in the place of those that are missing lies the first, which nothing counts. */
static void load(const Layer *y, const uint8_t *images, const int64_t *chosen, int64_t n, const int64_t *shape, const float *channels) {
    int64_t pixels = shape[1] * shape[2], size = shape[0] * pixels;
    const uint8_t *from[LANES];
    for (int64_t i = 0; i < LANES; i++) from[i] = images + size * (i < n ? chosen[i] : chosen[0]);
    for (int64_t ch = 0; ch < shape[0]; ch++) {
        float mean = channels[2 * ch], scale = channels[2 * ch + 1];
        for (int64_t r = 0; r < shape[1]; r++) {
            float *to = (float *)(y->active + ch * y->active_plane + r * y->active_row * PARTS);
            int64_t at = ch * pixels + r * shape[2];
            for (int64_t c = 0; c < shape[2]; c++, to += LANES)
                for (int64_t i = 0; i < LANES; i++) to[i] = (from[i][at + c] - mean) * scale;
        }
    }
}

static void load_all(
    const Net *net, const uint8_t *images, const int64_t *chosen, int64_t n, const int64_t *shape, const float *channels) {
    for (int64_t i = 0; i < n; i += LANES) {
        Layer block = at_block(&net->images, i / LANES);
        load(&block, images, chosen + i, n - i < LANES ? n - i : LANES, shape, channels);
    }
}

/* Lay out the weights of this step, and after it write their gradient, which products.h computes of pruned weights too. */
static void begin_step(Net *net, const float *parameters) {
    for (Layer *y = net->layers; y < net->layers + net->count; y++) {
        if (y->full && !y->dense) lay_out(&y->winograd, parameters + y->spec.weights);
        for (int64_t n = 0; y->turned && n < y->backward.start[y->spec.channels]; n++)
            y->turned[n] = parameters[y->turned_from[n]];
    }
}

static void end_step(const Net *net, const uint8_t *mask, float *gradient) {
    for (const Layer *y = net->layers; y < net->layers + net->count; y++) {
        const Spec *s = &y->spec;
        if (!y->full) continue;
        if (!y->dense) collect(&y->winograd, gradient + s->weights);
        int64_t size = s->filters * s->channels * s->size_y * s->size_x;
        for (int64_t i = s->weights; i < s->weights + size; i++) gradient[i] *= mask[i];
    }
}

/* ---- batch normalisation, which takes all blocks at once; n images in all.  What it counts of a block, it counts as soon
   as the block is there, and what it changes, it changes when the block is needed: so it finds both in the caches. ---- */

static vec missing_as_zero(vec v, int64_t n, int64_t b, int p) {
    for (int i = 0; i < WIDTH; i++) v[i] = b * LANES + p * WIDTH + i < n ? v[i] : 0;
    return v;
}

/* Add up a block's outputs less `mean`, which the first block gives so that the squares stay small, and their squares. */
static void count_outputs(const Layer *y, int64_t n, int64_t b) {
    int64_t plane = y->out_y * y->out_x * PARTS, images = n - b * LANES < LANES ? n - b * LANES : LANES;
    for (int64_t f = 0; f < y->spec.filters; f++) {
        const vec *z = output_at(y, b, f, 0);
        if (b == 0) {
            vec sum[PARTS] = {};
            double all = 0;
            for (int64_t i = 0; i < plane; i += PARTS)
                for (int p = 0; p < PARTS; p++) sum[p] += z[i + p];
            for (int p = 0; p < PARTS; p++) all += total(missing_as_zero(sum[p], n, b, p));
            y->mean[f] = all / (images * y->out_y * y->out_x), y->sums[f] = y->products[f] = 0;
        }
        vec sum[PARTS] = {}, square[PARTS] = {};
        float mean = y->mean[f];
        for (int64_t i = 0; i < plane; i += PARTS)
            for (int p = 0; p < PARTS; p++) {
                vec v = z[i + p] - mean;
                sum[p] += v, square[p] += v * v;
            }
        for (int p = 0; p < PARTS; p++) {
            y->sums[f] += total(missing_as_zero(sum[p], n, b, p));
            y->products[f] += total(missing_as_zero(square[p], n, b, p));
        }
    }
}

/* Find what outputs are multiplied by and what is added then: by the batch, whose statistics the running ones move
   towards, or by the running ones. */
static void find_norm(const Layer *y, float *parameters, int64_t n, int training) {
    const Spec *s = &y->spec;
    double count = (double)n * y->out_y * y->out_x;
    for (int64_t f = 0; f < s->filters; f++) {
        float *mean = parameters + s->means + f, *variance = parameters + s->variances + f;
        double m = *mean, v = *variance;
        if (training) {
            double more = y->sums[f] / count;
            m = y->mean[f] + more, v = y->products[f] / count - more * more;
            *mean += MOMENTUM * ((float)m - *mean);
            *variance += MOMENTUM * ((float)(v * count / (count - 1)) - *variance);
        }
        y->mean[f] = m, y->spreading[f] = 1 / sqrt(v + EPSILON);
        y->factor[f] = parameters[s->scales + f] * y->spreading[f];
        y->shift[f] = parameters[s->biases + f] - y->mean[f] * y->factor[f];
    }
}

/* Normalise a block, add another layer's output, ReLU. */
static void normalise(const Layer *y, int64_t b) {
    if (!y->active) return;
    for (int64_t f = 0; f < y->spec.filters; f++)
        for (int64_t r = 0; r < y->out_y; r++) {
            const Layer *add = y->add;
            const vec *z = output_at(y, b, f, r), *other = NULL;
            vec *to = active_at(y, b, f, r);
            float factor = y->factor[f], shift = y->shift[f], add_factor = 1;
            if (add && add->active)
                other = active_at(add, b, f, r);
            else if (add) { /* it is given to no other layer, so that it is normalised here */
                other = output_at(add, b, f, r);
                add_factor = add->factor[f], shift += add->shift[f];
            }
            for (int64_t i = 0; i < y->out_x * PARTS; i++) {
                vec v = z[i] * factor + shift;
                if (other) v += other[i] * add_factor;
                to[i] = y->spec.linear ? v : larger(v, (vec){});
            }
        }
}

/* Add up a block's slopes, cut where the ReLU gave zero, and their products with the outputs. */
static void count_slopes(const Layer *y, int64_t b) {
    for (int64_t f = 0; f < y->spec.filters; f++) {
        vec sums[PARTS] = {}, products[PARTS] = {};
        for (int64_t r = 0; r < y->out_y; r++) {
            const vec *z = output_at(y, b, f, r);
            const vec *above = y->spec.linear ? z : active_at(y, b, f, r);
            vec *g = slope_at(y, b, f, r);
            for (int64_t i = 0; i < y->out_x * PARTS; i += PARTS)
                for (int p = 0; p < PARTS; p++) {
                    if (!y->spec.linear) g[i + p] = keep(above[i + p] > 0, g[i + p]);
                    sums[p] += g[i + p], products[p] += g[i + p] * z[i + p];
                }
        }
        if (b == 0) y->sums[f] = y->products[f] = 0;
        for (int p = 0; p < PARTS; p++) y->sums[f] += total(sums[p]), y->products[f] += total(products[p]);
    }
}

/* Find the gradient of scales and offsets, and how that of an output follows from its slope. */
static void find_norm_back(const Layer *y, int64_t n, float *gradient) {
    double count = (double)n * y->out_y * y->out_x;
    for (int64_t f = 0; f < y->spec.filters; f++) {
        double by_scale = (y->products[f] - y->mean[f] * y->sums[f]) * y->spreading[f];
        gradient[y->spec.scales + f] += by_scale, gradient[y->spec.biases + f] += y->sums[f];
        y->by_output[f] = -y->factor[f] * y->spreading[f] * by_scale / count;
        y->rest[f] = -y->factor[f] * y->sums[f] / count - y->by_output[f] * y->mean[f];
    }
}

/* From a block's slope to the gradient of its outputs. */
static void normalise_back(const Layer *y, int64_t n, int64_t b) {
    int64_t right = y->dilation * PARTS, down = right * y->back_x;
    for (int64_t f = 0; f < y->spec.filters; f++)
        for (int64_t r = 0; r < y->out_y; r++) {
            const vec *z = output_at(y, b, f, r), *g = slope_at(y, b, f, r);
            vec *to = y->gradient + b * y->gradient_block + f * y->back_plane + y->border * PARTS + r * down;
            for (int64_t c = 0; c < y->out_x; c++)
                for (int p = 0; p < PARTS; p++) {
                    vec v = g[c * PARTS + p] * y->factor[f] + z[c * PARTS + p] * y->by_output[f] + y->rest[f];
                    to[c * right + p] = n < (b + 1) * LANES ? missing_as_zero(v, n, b, p) : v;
                }
        }
}

/* ---- the network ---- */

/* The mean of every channel over all pixels, and its way back. */
static void average(const Layer *y, int64_t b) {
    const Layer *from = y->source;
    float share = 1.0f / (from->next_y * from->next_x);
    for (int64_t ch = 0; ch < y->spec.channels; ch++) {
        vec sum[PARTS] = {}, *to = y->input + b * y->input_block + ch * PARTS;
        for (int64_t r = 0; r < from->next_y; r++) {
            const vec *x = active_at(from, b, ch, r);
            for (int64_t c = 0; c < from->next_x; c++)
                for (int p = 0; p < PARTS; p++) sum[p] += x[c * PARTS + p];
        }
        for (int p = 0; p < PARTS; p++) to[p] = sum[p] * share;
    }
}

static void average_back(const Layer *y, int64_t b) {
    const Layer *to = y->source;
    int64_t pixels = to->next_y * to->next_x;
    for (int64_t ch = 0; ch < y->spec.channels; ch++)
        for (int64_t i = 0; i < pixels; i++)
            for (int p = 0; p < PARTS; p++)
                slope_at(to, b, ch, 0)[i * PARTS + p] = y->mean_slope[ch * PARTS + p] * (1.0f / pixels);
}

/* n images, in blocks; parameters change in training only, and only the running statistics of normalisation. */
static void forward(Net *net, float *parameters, int64_t n, int training) {
    int64_t blocks = (n + LANES - 1) / LANES;
    for (Layer *y = net->layers; y < net->layers + net->count; y++) {
        for (int64_t b = 0; b < blocks; b++) {
            if (y > net->layers && normed(y - 1)) normalise(y - 1, b);
            if (y->spec.average) average(y, b);
            Layer own = at_block(y, b);
            convolve(&own, parameters);
            if (normed(y) && training) count_outputs(y, n, b);
            if (!normed(y) && y->active) activate(&own);
        }
        if (normed(y)) find_norm(y, parameters, n, training);
    }
}

/* Mean cross-entropy of n images, their share of a batch; writes its gradient by the logits. */
static double loss(const Net *net, const Layer *y, const uint8_t *labels, const int64_t *chosen, int64_t n, int64_t batch) {
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

static void backward(Net *net, const float *parameters, int64_t n, float *gradient) {
    int64_t blocks = (n + LANES - 1) / LANES;
    for (Layer *y = net->layers + net->count; y-- > net->layers;) {
        if (normed(y)) find_norm_back(y, n, gradient);
        for (int64_t b = 0; b < blocks; b++) {
            Layer own = at_block(y, b);
            if (normed(y)) normalise_back(y, n, b);
            else if (y->active) activate_back(&own);
            weight_gradient(&own, gradient);
            if (y == net->layers) continue;
            convolve_back(&own, parameters, y->spec.average ? y->mean_slope : slope_at(y->source, b, 0, 0));
            if (y->spec.average) average_back(y, b);
            if (normed(y - 1)) count_slopes(y - 1, b); /* all layers that take its outputs have been here */
        }
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
    int failed = prepare(&net, count, specs, shape, mask, batch);
    float *gradient = zeros(&net.memory, n * sizeof(float));
    failed |= !gradient;
    double sum = 0;
    for (int64_t s = 0; s < steps && !failed; s++) {
        memset(gradient, 0, n * sizeof(float));
        begin_step(&net, parameters);
        const int64_t *chosen = order + s * batch, most = net.blocks * LANES;
        for (int64_t first = 0; first < batch; first += most) {
            int64_t n = batch - first < most ? batch - first : most;
            load_all(&net, images, chosen + first, n, shape, channels);
            forward(&net, parameters, n, 1);
            for (int64_t i = 0; i < n; i += LANES) {
                Layer last = at_block(net.layers + count - 1, i / LANES);
                sum += loss(&net, &last, labels, chosen + first + i, n - i < LANES ? n - i : LANES, batch);
            }
            backward(&net, parameters, n, gradient);
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
    float *parameters, const uint8_t *images, int64_t n, float *logits) {
    Net net;
    int failed = prepare(&net, count, specs, shape, mask, LANES);
    if (!failed) begin_step(&net, parameters);
    for (int64_t i = 0; i < n && !failed; i += LANES) {
        int64_t chosen[LANES], m = n - i < LANES ? n - i : LANES;
        for (int64_t k = 0; k < m; k++) chosen[k] = i + k;
        load_all(&net, images, chosen, m, shape, channels);
        forward(&net, parameters, m, 0);
        const float *output = (const float *)net.layers[count - 1].output;
        for (int64_t k = 0; k < m; k++)
            for (int64_t c = 0; c < net.classes; c++) logits[(i + k) * net.classes + c] = output[c * LANES + k];
    }
    release(net.memory);
    return failed;
}
