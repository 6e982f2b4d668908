/* Trains one masked network on one core, and touches the surviving weights only.

   The images of a batch lie innermost: one weight times the same pixel of LANES images is a few vector
   instructions, whatever the pattern of the mask, so a level at which 90 % of the weights are pruned costs about a tenth.
   Layers are convolutions (any stride and padding, without dilation) with or without 2 x 2 max-pooling, then dense
   layers, a ReLU after each but the last; a dense layer is a convolution whose kernel is as large as its input.

   lib/sparse.py compiles and calls this file, and says what the arguments are. */

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define WIDTH 16 /* floats of a vector */
#define PARTS 4  /* vectors of a batch */
#define LANES (WIDTH * PARTS)

typedef float vec __attribute__((vector_size(WIDTH * 4)));
typedef int32_t ivec __attribute__((vector_size(WIDTH * 4)));

/* As lib/sparse.py fills it. */
typedef struct {
    int64_t filters, channels, size_y, size_x; /* shape of the weights */
    int64_t stride, padding, pool;
    int64_t weights, biases; /* where they begin in the flat parameters */
} Spec;

/* One surviving weight: its place in the flat parameters, and in the input relative to the output's place there. */
typedef struct {
    int32_t weight, offset;
} Tap;

/* Taps of every output channel, by row of the kernel: those of row r of channel o are
   taps[start[o * rows + r]] to taps[start[o * rows + r + 1]]. */
typedef struct {
    Tap *taps;
    int32_t *start;
} Taps;

typedef struct {
    Spec spec;
    int64_t in_y, in_x;     /* input, padding included */
    int64_t lay_y, lay_x;   /* the same as the layer before sees it: before it was flattened */
    int64_t out_y, out_x;   /* before pooling */
    int64_t next_y, next_x; /* after pooling */
    int64_t back_y, back_x; /* gradient of the output, dilated by the stride, with a border as wide as the kernel */
    Taps forward, backward;
    vec *input;    /* (channels, in_y, in_x, PARTS) */
    vec *output;   /* (filters, out_y, out_x, PARTS), before pooling and ReLU */
    vec *gradient; /* (filters, back_y, back_x, PARTS), of output */
    vec *pooled;   /* (filters, next_y, next_x, PARTS): gradient after pooling and ReLU */
} Layer;

typedef struct {
    int64_t count, classes, batch;
    Layer *layers;
} Net;

static void *zeros(int64_t bytes) {
    void *memory = NULL;
    bytes = (bytes + 64) & ~(int64_t)63;
    if (posix_memalign(&memory, 64, bytes)) return NULL;
    return memset(memory, 0, bytes);
}

static int make_taps(Taps *t, const Layer *y, const uint8_t *mask, int backward) {
    const Spec *s = &y->spec;
    int64_t outputs = backward ? s->channels : s->filters, inputs = backward ? s->filters : s->channels;
    int64_t rows = backward ? y->back_y : y->in_y, columns = backward ? y->back_x : y->in_x, n = 0;
    t->taps = malloc(sizeof(Tap) * (s->filters * s->channels * s->size_y * s->size_x + 1));
    t->start = malloc(sizeof(int32_t) * (outputs * s->size_y + 1));
    if (!t->taps || !t->start) return -1;
    for (int64_t o = 0; o < outputs; o++)
        for (int64_t r = 0; r < s->size_y; r++) {
            t->start[o * s->size_y + r] = n;
            for (int64_t i = 0; i < inputs; i++)
                for (int64_t c = 0; c < s->size_x; c++) {
                    /* The way back turns the kernel around. */
                    int64_t f = backward ? i : o, ch = backward ? o : i;
                    int64_t dy = backward ? s->size_y - 1 - r : r, dx = backward ? s->size_x - 1 - c : c;
                    int64_t w = s->weights + ((f * s->channels + ch) * s->size_y + dy) * s->size_x + dx;
                    if (mask[w]) t->taps[n++] = (Tap){w, (i * rows + r) * columns + c};
                }
        }
    t->start[outputs * s->size_y] = n;
    return 0;
}

static void release(Net *net) {
    for (int64_t k = 0; net->layers && k < net->count; k++) {
        Layer *y = net->layers + k;
        free(y->forward.taps), free(y->forward.start), free(y->backward.taps), free(y->backward.start);
        free(y->input), free(y->output), free(y->gradient), free(y->pooled);
    }
    free(net->layers);
}

static int prepare(Net *net, int64_t count, const Spec *specs, const int64_t *image, const uint8_t *mask) {
    int64_t height = image[1], width = image[2], vectors = PARTS * sizeof(vec);
    *net = (Net){count, specs[count - 1].filters, 0, zeros(count * sizeof(Layer))};
    if (!net->layers) return -1;
    for (int64_t k = 0; k < count; k++) {
        Layer *y = net->layers + k;
        Spec *s = &y->spec;
        *s = specs[k];
        y->lay_y = y->in_y = height + 2 * s->padding, y->lay_x = y->in_x = width + 2 * s->padding;
        if (s->size_y == 0) s->size_y = s->size_x = y->in_y = y->in_x = 1; /* dense */
        y->out_y = (y->in_y - s->size_y) / s->stride + 1, y->out_x = (y->in_x - s->size_x) / s->stride + 1;
        y->next_y = height = s->pool ? y->out_y / 2 : y->out_y;
        y->next_x = width = s->pool ? y->out_x / 2 : y->out_x;
        y->back_y = y->in_y + s->size_y - 1, y->back_x = y->in_x + s->size_x - 1;
        y->input = zeros(s->channels * y->in_y * y->in_x * vectors);
        y->output = zeros(s->filters * y->out_y * y->out_x * vectors);
        y->gradient = zeros(s->filters * y->back_y * y->back_x * vectors);
        y->pooled = zeros(s->filters * y->next_y * y->next_x * vectors);
        if (!y->input || !y->output || !y->gradient || !y->pooled) return -1;
        if (make_taps(&y->forward, y, mask, 0) || make_taps(&y->backward, y, mask, 1)) return -1;
    }
    return 0;
}

/* Sum the taps of output channel o for `positions` neighbours in a row (1 or 2), `step` apart in the input. */
static inline __attribute__((always_inline)) void gather(
    const Tap *tap, const Tap *end, const float *weights, const vec *in, int64_t step, int positions, vec sum[2][PARTS]) {
    vec odd[PARTS] = {};
    if (positions == 1) /* two taps at once, for enough independent sums */
        for (; tap + 1 < end; tap += 2)
            for (int p = 0; p < PARTS; p++) {
                sum[0][p] += weights[tap[0].weight] * in[(int64_t)tap[0].offset * PARTS + p];
                odd[p] += weights[tap[1].weight] * in[(int64_t)tap[1].offset * PARTS + p];
            }
    for (int p = 0; p < PARTS; p++) sum[0][p] += odd[p];
    for (; tap < end; tap++) {
        vec w = weights[tap->weight] - (vec){};
        const vec *x = in + (int64_t)tap->offset * PARTS;
        for (int q = 0; q < positions; q++)
            for (int p = 0; p < PARTS; p++) sum[q][p] += w * x[q * step * PARTS + p];
    }
}

static void convolve(Layer *y, const float *weights) {
    const Spec *s = &y->spec;
    for (int64_t r = 0; r < y->out_y; r++)
        for (int64_t c = 0; c < y->out_x; c += 2) {
            int two = c + 1 < y->out_x;
            const vec *in = y->input + (r * s->stride * y->in_x + c * s->stride) * PARTS;
            for (int64_t f = 0; f < s->filters; f++) {
                const Tap *tap = y->forward.taps + y->forward.start[f * s->size_y];
                const Tap *end = y->forward.taps + y->forward.start[(f + 1) * s->size_y];
                vec sum[2][PARTS], *out = y->output + ((f * y->out_y + r) * y->out_x + c) * PARTS;
                for (int q = 0; q < 2; q++)
                    for (int p = 0; p < PARTS; p++) sum[q][p] = weights[s->biases + f] - (vec){};
                if (two)
                    gather(tap, end, weights, in, s->stride, 2, sum);
                else
                    gather(tap, end, weights, in, s->stride, 1, sum);
                for (int q = 0; q < 1 + two; q++)
                    for (int p = 0; p < PARTS; p++) out[q * PARTS + p] = sum[q][p];
            }
        }
}

/* Gradient of the layer's input, padding left out, written where `pooled` of the layer before lies. */
static void convolve_back(const Layer *y, const float *weights, vec *result) {
    const Spec *s = &y->spec;
    int64_t height = y->in_y - 2 * s->padding, width = y->in_x - 2 * s->padding;
    int64_t last = (y->out_y - 1) * s->stride;
    for (int64_t r = 0; r < height; r++) {
        /* Rows of the kernel that meet the gradient, not its border. */
        int64_t top = r + s->padding, from = s->size_y - 1 - top, to = last + s->size_y - top;
        from = from < 0 ? 0 : from, to = to > s->size_y ? s->size_y : to, to = to < from ? from : to;
        for (int64_t c = 0; c < width; c += 2) {
            int two = c + 1 < width;
            const vec *in = y->gradient + (top * y->back_x + c + s->padding) * PARTS;
            for (int64_t ch = 0; ch < s->channels; ch++) {
                const Tap *tap = y->backward.taps + y->backward.start[ch * s->size_y + from];
                const Tap *end = y->backward.taps + y->backward.start[ch * s->size_y + to];
                vec sum[2][PARTS] = {}, *out = result + ((ch * height + r) * width + c) * PARTS;
                if (two)
                    gather(tap, end, weights, in, 1, 2, sum);
                else
                    gather(tap, end, weights, in, 1, 1, sum);
                for (int q = 0; q < 1 + two; q++)
                    for (int p = 0; p < PARTS; p++) out[q * PARTS + p] = sum[q][p];
            }
        }
    }
}

static float total(vec v) {
    typedef float half __attribute__((vector_size(WIDTH * 2)));
    typedef float quarter __attribute__((vector_size(WIDTH)));
    union { vec v; half h[2]; } a = {v};
    union { half h; quarter q[2]; } b = {a.h[0] + a.h[1]};
    quarter q = b.q[0] + b.q[1];
    return (q[0] + q[1]) + (q[2] + q[3]);
}

/* Gradients of n weights of one row of one kernel at the columns dx. */
static inline __attribute__((always_inline)) void row_gradient(
    const Layer *y, const vec *in, const vec *back, const int64_t *dx, int n, float *gradient) {
    const Spec *s = &y->spec;
    vec sum[8] = {};
    for (int64_t r = 0; r < y->out_y; r++) {
        const vec *x = in + r * s->stride * y->in_x * PARTS;
        const vec *g = back + r * s->stride * y->back_x * PARTS;
        for (int64_t c = 0; c < y->out_x * s->stride * PARTS; c += s->stride * PARTS)
            for (int p = 0; p < PARTS; p++)
                for (int k = 0; k < n; k++) sum[k] += g[c + p] * x[c + dx[k] + p];
    }
    for (int k = 0; k < n; k++) gradient[dx[k] / PARTS] += total(sum[k]);
}

static void weight_gradient(const Layer *y, float *gradient) {
    const Spec *s = &y->spec;
    int64_t border = (s->size_y - 1) * y->back_x + s->size_x - 1;
    for (int64_t f = 0; f < s->filters; f++) {
        const vec *back = y->gradient + (f * y->back_y * y->back_x + border) * PARTS;
        vec bias = {};
        for (int64_t r = 0; r < y->out_y; r++)
            for (int64_t c = 0; c < y->out_x; c++)
                for (int p = 0; p < PARTS; p++) bias += back[(r * y->back_x + c) * s->stride * PARTS + p];
        gradient[s->biases + f] += total(bias);
        for (int64_t r = 0; r < s->size_y; r++) {
            int32_t k = y->forward.start[f * s->size_y + r], end = y->forward.start[f * s->size_y + r + 1];
            while (k < end) {
                /* Up to five neighbours of one row, whose input lies together. */
                int64_t w = y->forward.taps[k].weight, within = (w - s->weights) % s->size_x;
                int64_t at = y->forward.taps[k].offset - within, dx[5];
                int n = 0;
                for (; n < 5 && k < end; n++, k++) {
                    int64_t column = y->forward.taps[k].weight - (w - within);
                    if (column >= s->size_x) break;
                    dx[n] = column * PARTS;
                }
                const vec *in = y->input + at * PARTS;
                float *row = gradient + w - within;
                switch (n) {
                case 1: row_gradient(y, in, back, dx, 1, row); break;
                case 2: row_gradient(y, in, back, dx, 2, row); break;
                case 3: row_gradient(y, in, back, dx, 3, row); break;
                case 4: row_gradient(y, in, back, dx, 4, row); break;
                case 5: row_gradient(y, in, back, dx, 5, row); break;
                }
            }
        }
    }
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
            vec *to = next->input + ((f * next->lay_y + r + padding) * next->lay_x + padding) * PARTS;
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

/* From the gradient after pooling and ReLU to the gradient before. Of equal maxima the first gets it. */
static void activate_back(Layer *y) {
    const Spec *s = &y->spec;
    int64_t border = (s->size_y - 1) * y->back_x + s->size_x - 1, down = s->stride * y->back_x * PARTS;
    for (int64_t f = 0; f < s->filters; f++)
        for (int64_t r = 0; r < y->next_y; r++) {
            int64_t step = s->pool ? 2 : 1, row = y->out_x * PARTS, right = s->stride * PARTS;
            const vec *from = y->pooled + (f * y->next_y + r) * y->next_x * PARTS;
            const vec *z = y->output + (f * y->out_y + r * step) * row;
            vec *to = y->gradient + (f * y->back_y * y->back_x + border) * PARTS + r * step * down;
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
}

/* Lay up to LANES images side by side; those that are missing are black. */
static void load(Layer *y, const uint8_t *images, const int64_t *chosen, int64_t n, const int64_t *shape, const float *channels) {
    int64_t pixels = shape[1] * shape[2], size = shape[0] * pixels, padding = y->spec.padding;
    const uint8_t *from[LANES];
    for (int64_t i = 0; i < LANES; i++) from[i] = images + size * (i < n ? chosen[i] : chosen[0]);
    for (int64_t ch = 0; ch < shape[0]; ch++) {
        float mean = channels[2 * ch], scale = channels[2 * ch + 1];
        for (int64_t r = 0; r < shape[1]; r++) {
            float *to = (float *)(y->input + ((ch * y->in_y + r + padding) * y->in_x + padding) * PARTS);
            int64_t at = ch * pixels + r * shape[2];
            for (int64_t c = 0; c < shape[2]; c++, to += LANES)
                for (int64_t i = 0; i < LANES; i++) to[i] = (from[i][at + c] - mean) * scale;
        }
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
    float *gradient = (float *)(y->gradient + ((y->spec.size_y - 1) * y->back_x + y->spec.size_x - 1) * PARTS);
    int64_t apart = y->back_y * y->back_x * LANES;
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

/* 24 random bits of a counter (C. Wellons' "lowbias32" of seed and place), as a float in [-1, 1). */
static inline float shake(uint32_t seed, uint32_t place) {
    uint32_t x = place * 0x9e3779b9u ^ seed;
    x ^= x >> 16, x *= 0x7feb352du, x ^= x >> 15, x *= 0x846ca68bu, x ^= x >> 16;
    return (int32_t)(x >> 8) * (1.0f / 8388608) - 1;
}

typedef struct {
    double rate, momentum, decay, epsilon, noise; /* decay 0: SGD with momentum; else Adam */
    uint64_t seed;
    int64_t time; /* steps done before */
} Optimiser;

static void update(const Optimiser *o, int64_t time, int64_t n, float *w, float *m, float *v, float *g) {
    if (o->noise) {
        uint64_t h = (o->seed + time) * 0x9e3779b97f4a7c15u;
        h = (h ^ h >> 32) * 0xd6e8feb86659fd93u;
        uint32_t seed = h >> 32;
        float noise = o->noise;
        for (int64_t i = 0; i < n; i++) g[i] *= 1 + noise * shake(seed, i);
    }
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
    float *gradient = zeros(n * sizeof(float));
    int failed = prepare(&net, count, specs, shape, mask) || !gradient;
    double sum = 0;
    for (int64_t s = 0; s < steps && !failed; s++) {
        memset(gradient, 0, n * sizeof(float));
        for (int64_t i = 0; i < batch; i += LANES) {
            int64_t m = batch - i < LANES ? batch - i : LANES;
            const int64_t *chosen = order + s * batch + i;
            load(net.layers, images, chosen, m, shape, channels);
            forward(&net, parameters);
            sum += loss(&net, labels, chosen, m, batch);
            backward(&net, parameters, gradient);
        }
        update(optimiser, optimiser->time + s + 1, n, parameters, first, second, gradient);
    }
    *mean_loss = sum / steps;
    release(&net);
    free(gradient);
    return failed;
}

/* Writes the logits of the n images, shape (n, classes). */
int evaluate(
    int64_t count, const Spec *specs, const int64_t *shape, const float *channels, const uint8_t *mask,
    const float *parameters, const uint8_t *images, int64_t n, float *logits) {
    Net net;
    int failed = prepare(&net, count, specs, shape, mask);
    for (int64_t i = 0; i < n && !failed; i += LANES) {
        int64_t chosen[LANES], m = n - i < LANES ? n - i : LANES;
        for (int64_t k = 0; k < m; k++) chosen[k] = i + k;
        load(net.layers, images, chosen, m, shape, channels);
        forward(&net, parameters);
        const float *output = (const float *)net.layers[count - 1].output;
        for (int64_t k = 0; k < m; k++)
            for (int64_t c = 0; c < net.classes; c++) logits[(i + k) * net.classes + c] = output[c * LANES + k];
    }
    release(&net);
    return failed;
}
