/* Trains one masked residual network on one core with the processor's matrix unit (AMX): operands in bf16, sums in fp32.

   The network is the small ResNet18 of lib/models.py: a convolution and nine blocks of two, each with batch normalisation;
   where a block halves the image, a projection of 1 x 1; then the mean over the pixels and a dense layer, which is fp32.
   Weights, gradients of weights, statistics of batches and the optimiser's moments are fp32, as on a CUDA GPU with bf16;
   what a convolution gives, and gradients on their way back, are kept in bf16.

   Normalisation needs all images of a batch, so one layer at a time takes all images, one by one: what is done to an image
   on its way into a layer and out of it is done while it lies in the nearest cache, of a large image to a band of rows at
   a time.  Of a layer is kept what it gave before normalisation; normalised and cut at zero it is computed anew wherever it
   is read.  Only the outputs of blocks, into which another one enters, are kept as well.

   A convolution sums over pixels of an image that has a border of zeros, in the layouts of tiles.c.  Of 16 channels two
   neighbouring pixels, which lie side by side, fill a row of a tile.  On the way back a convolution that takes every other
   pixel is one of the whole image whose gradient is zero at the others.

   lib/sparse.py compiles and calls this file, which has the functions of sparse.c, and says what the arguments are. */

#ifndef __AMX_BF16__

int usable(void) { return 0; }

#else

#include "tiles.h"

#define COLOURS 3
#define SIDE 32           /* of an image */
#define LAST 8            /* the same after the last block */
#define WIDEST 64         /* channels, there */
#define BATCH 128         /* most images of a batch */
#define CONVOLUTIONS 21
#define MOST_STEPS (9 * WIDEST / 32)
#define MOST_CLASSES 256
#define GROUP(from) ((from) < 16 ? 4 : 1) /* images that are summed over at once for the gradient of weights */
#define BAND(from) ((from) > 16 ? 8 : (from)) /* rows of an image that are worked on at once */

/* Known when this is compiled, for each kind of layer: what follows is made for each (EACH). */
typedef struct {
    int from, side;                          /* of an image, before and after */
    int size, stride;                        /* of the kernel */
    int wide, filters;                       /* channels, filled up to 16; filters */
} Shape;

typedef struct Layer Layer;
struct Layer {
    Shape shape;
    int channels;
    int64_t weights, biases, scales, running; /* in the flat parameters; running: means, the variances follow */
    Layer *source, *add;                     /* whose output it takes (none: images), whose is added to its own */
    int linear;                              /* no ReLU follows */
    int offset[MOST_STEPS], back_offset[MOST_STEPS]; /* where in the image, from the corner of the window */
    bf16 *forward, *back;                    /* weights, (step, filters or channels / 16) tiles in pairs */

    bf16 *sums;                              /* (image, pixel, filter): before normalisation */
    bf16 *output;                            /* the same after all, where others need it more than once; else none */
    bf16 *slope;                             /* gradient of the normalised sums; layers share the memory of these two */
    bf16 *entering;                          /* of a projection: gradient of its input */
    bf16 *seen;                              /* (band + 2, from + 2, wide): rows of the input with their border */
    bf16 *turned;                            /* (image of the group, wide, band + 2, from): the same by channels */
    bf16 *spread;                            /* (band + 2, from + 2, filters): gradient of the sums, zeros between */
    bf16 *pairs;                             /* (image of the group, column of the kernel, pixels in pairs, filter) */
    float *gradient;                         /* of weights, (row, column, wide / 16, filters / 16) tiles */

    float factor[WIDEST], shift[WIDEST];     /* that normalise, scales and biases included */
    float mean[WIDEST], spreading[WIDEST];   /* of the batch; 1 / standard deviation */
    double sum[WIDEST], square[WIDEST];      /* of the sums */
    double slopes[WIDEST], products[WIDEST]; /* sums of the gradient, and of the gradient times the sums */
};

typedef struct {
    Memory memory;
    Layer layer[CONVOLUTIONS];
    int classes;
    int64_t weights, biases;                 /* of the dense layer */
    int64_t normed;                          /* filters of all layers */
    bf16 *slopes[4];                         /* of the outputs of blocks, in turn; within blocks; that enter projections */
    float features[BATCH][WIDEST], logits[BATCH][MOST_CLASSES];
    float block[32 * WIDEST] __attribute__((aligned(64))); /* sums of two tiles of pixels, (pixel, filter) */
    float *gradient;                         /* of all parameters, in the flat order */
} Net;

#define INLINE static inline __attribute__((always_inline))
/* Do `what` with the shape of a layer as a constant `s`. */
#define CASE(before, after, kernel, step, in, out, what)                                           \
    if (l->shape.from == before && l->shape.side == after && l->shape.size == kernel) {            \
        const Shape s = {before, after, kernel, step, in, out};                                    \
        what;                                                                                      \
    }
#define EACH(what)                         \
    CASE(32, 32, 3, 1, 16, 16, what)       \
    else CASE(32, 16, 3, 2, 16, 32, what)  \
    else CASE(32, 16, 1, 2, 16, 32, what)  \
    else CASE(16, 16, 3, 1, 32, 32, what)  \
    else CASE(16, 8, 3, 2, 32, 64, what)   \
    else CASE(16, 8, 1, 2, 32, 64, what)   \
    else CASE(8, 8, 3, 1, 64, 64, what)

INLINE __m512 wide16(const bf16 *from) {
    return _mm512_castsi512_ps(
        _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_load_si256((const __m256i *)from)), 16));
}

INLINE __m256i rounded16(__m512 numbers) { return (__m256i)_mm512_cvtneps_pbh(numbers); }

INLINE void keep16(bf16 *to, __m512 numbers) { _mm256_store_si256((__m256i *)to, rounded16(numbers)); }

/* Two rows of 16 numbers, one behind the other, in pairs. */
INLINE __m512i paired(__m512i rows) {
    return _mm512_permutexvar_epi16(
        _mm512_set_epi16(
            31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1,
            16, 0),
        rows);
}

/* Sums over the pixels of an image, for each filter, of numbers and of their products with others. */
typedef struct {
    __m512 once[WIDEST / 16], product[WIDEST / 16];
} Tally;

INLINE void count_tally(const Tally *tally, const int groups, double *once, double *product) {
    for (int g = 0; g < groups; g++) {
        float part[2][16];
        _mm512_storeu_ps(part[0], tally->once[g]), _mm512_storeu_ps(part[1], tally->product[g]);
        for (int k = 0; k < 16; k++) once[16 * g + k] += part[0][k], product[16 * g + k] += part[1][k];
    }
}

/* Tiles that are summed for one output: of 16 channels a tile takes two pixels. */
INLINE int steps(const int size, const int channels) {
    return channels == 16 ? size * (size + 1) / 2 : size * size * channels / 32;
}

/* ---- what a layer gives ---- */

/* 16 filters of a pixel, normalised. */
INLINE __m512 normalised(const bf16 *sums, __m512 factor, __m512 shift) {
    return _mm512_fmadd_ps(wide16(sums), factor, shift);
}

/* Keep the output of a layer for the pixels `from` to `to` of all images. */
INLINE void complete(Layer *l, int64_t from, int64_t to, const int filters) {
    const Layer *add = l->add;
    const bf16 *restrict sums = l->sums, *restrict added = !add ? NULL : add->linear ? add->sums : add->output;
    bf16 *restrict output = l->output;
    for (int f = 0; f < filters; f += 16) {
        const __m512 factor = _mm512_loadu_ps(l->factor + f), shift = _mm512_loadu_ps(l->shift + f);
        __m512 add_factor = _mm512_set1_ps(1), add_shift = _mm512_setzero_ps();
        if (add && add->linear) add_factor = _mm512_loadu_ps(add->factor + f), add_shift = _mm512_loadu_ps(add->shift + f);
        for (int64_t at = from * filters + f; at < to * filters; at += filters) {
            __m512 sum = normalised(sums + at, factor, shift);
            if (added) sum = _mm512_add_ps(sum, normalised(added + at, add_factor, add_shift));
            keep16(output + at, _mm512_max_ps(sum, _mm512_setzero_ps()));
        }
    }
}

/* ---- what a layer takes ---- */

/* Rows of an image from `top` on, with the row above and the row below.  Those from `first` to `end` are new; the two
   before were the last ones of the band above. */
typedef struct {
    int top, first, end;
} Band;

INLINE Band band_at(int top, const int side) {
    return (Band){top, top ? top + 1 : 0, top + BAND(side) < side ? top + BAND(side) + 1 : side};
}

/* Begin a band whose rows have `row` numbers: with the last two of the band above, or zeros where the image ends. */
INLINE void begin_band(bf16 *rows, Band band, const int side, const int row) {
    if (BAND(side) == side) return; /* the border stays as it is */
    if (band.top) memcpy(rows, rows + BAND(side) * row, 2 * row * sizeof(bf16));
    else memset(rows, 0, row * sizeof(bf16));
    if (band.end == side) memset(rows + (BAND(side) + 1) * row, 0, row * sizeof(bf16));
}

/* Lay out a band of an image, 32 pixels at a time, for a layer; by channels too where `turned` is given. */
INLINE void see(
    Layer *l, int64_t image, Band band, const uint8_t *pixels, const float *channels, bf16 *turned, const Shape s) {
    const int side = s.from, edge = side + 2, rows = BAND(side) + 2;
    const Layer *source = l->source;
    const int normal = source && !source->output;
    const bf16 *restrict from = source ? (normal ? source->sums : source->output) + image * side * side * s.wide : NULL;
    bf16 *restrict seen = l->seen;
    begin_band(seen, band, side, edge * s.wide);
    for (int c = 0; turned && c < s.wide; c++) begin_band(turned + c * rows * side, band, side, side);
    for (int c = 0; c < s.wide; c += 16) {
        const __m512 factor = normal ? _mm512_loadu_ps(source->factor + c) : _mm512_set1_ps(1);
        const __m512 shift = normal ? _mm512_loadu_ps(source->shift + c) : _mm512_setzero_ps();
        for (int q = band.first * side; q < band.end * side; q += 32) {
            float block[32 * 16] __attribute__((aligned(64)));
            __m512i words[16];
            const int below = q / side - band.top + 1;
            if (!source) {
                memset(block, 0, sizeof block);
                for (int k = 0; k < COLOURS; k++)
                    for (int p = 0; p < 32; p++)
                        block[p * 16 + k] = (pixels[k * side * side + q + p] - channels[2 * k]) * channels[2 * k + 1];
            }
            for (int p = 0; p < 32; p += 2) {
                __m512 numbers[2];
                for (int k = 0; k < 2; k++)
                    numbers[k] = source ? _mm512_max_ps(
                                              normalised(from + (q + p + k) * s.wide + c, factor, shift),
                                              _mm512_setzero_ps())
                                        : _mm512_load_ps(block + 16 * (p + k));
                __m512i two = rounded32(numbers[0], numbers[1]);
                bf16 *to = seen + ((below + p / side) * edge + p % side + 1) * s.wide + c;
                _mm256_store_si256((__m256i *)to, _mm512_castsi512_si256(two));
                _mm256_store_si256((__m256i *)(to + s.wide), _mm512_extracti64x4_epi64(two, 1));
                words[p / 2] = paired(two);
            }
            if (!turned) continue;
            transpose16((uint32_t *)words, 16, (uint32_t *)words, 16);
            for (int k = 0; k < 16; k++) /* rows of 8 pixels begin anywhere */
                _mm512_storeu_si512(turned + (c + k) * rows * side + below * side, words[k]);
        }
    }
}

/* Sum over the windows of 32 pixels, from number `first` on in rows of `side`, for all filters, into `sums` (pixel, filter).
   The image has rows of `edge` pixels.  Tiles have 16 pixels, or a row of 8. */
INLINE void convolve(
    const bf16 *image, const int edge, const int channels, const int stride, const int side, int first, const int steps,
    const int *offset, const bf16 *weights, const int filters, float *sums) {
    const int tiles = filters / 16;
    const bf16 *a = image + (first / side * edge + first % side) * stride * channels;
    const int64_t row = stride * channels * 2, down = (side > 16 ? 16 : edge) * stride * channels;
    if (tiles == 1) {
        ZERO(0);
        ZERO(2);
        for (int s = 0; s < steps; s++, weights += TILE) {
            LOAD(6, weights, 64);
            LOAD(4, a + offset[s], row);
            MULTIPLY(0, 4, 6);
            LOAD(5, a + down + offset[s], row);
            MULTIPLY(2, 5, 6);
        }
        STORE(0, sums, 64);
        STORE(2, sums + 256, 64);
    } else if (side < 16)
        for (int f = 0; f < tiles; f++) {
            ZEROS;
            const bf16 *w = weights + f * TILE;
            for (int s = 0; s < steps; s++, w += tiles * TILE) {
                const bf16 *at = a + offset[s];
                LOAD(6, w, 64);
                LOAD(4, at, row);
                MULTIPLY(0, 4, 6);
                LOAD(5, at + down, row);
                MULTIPLY(1, 5, 6);
                LOAD(4, at + 2 * down, row);
                MULTIPLY(2, 4, 6);
                LOAD(5, at + 3 * down, row);
                MULTIPLY(3, 5, 6);
            }
            float *to = sums + 16 * f;
            STORE(0, to, filters * 4);
            STORE(1, to + 8 * filters, filters * 4);
            STORE(2, to + 16 * filters, filters * 4);
            STORE(3, to + 24 * filters, filters * 4);
        }
    else
        for (int f = 0; f < tiles; f += 2) {
            ZEROS;
            const bf16 *w = weights + f * TILE;
            for (int s = 0; s < steps; s++, w += tiles * TILE) {
                const bf16 *at = a + offset[s];
                BLOCK(at, down, row, w, TILE, 64);
            }
            SUMS(STORE, sums + 16 * f, filters);
        }
}

/* ---- forward ---- */

INLINE void layer_forward(
    Net *net, Layer *l, int64_t count, const uint8_t *images, const int64_t *chosen, const float *channels, const Shape s) {
    const int pixels = s.side * s.side, groups = s.filters / 16, rows = BAND(s.from) / s.stride;
    memset(l->sum, 0, sizeof l->sum), memset(l->square, 0, sizeof l->square);
    shape_tiles(s.side < 16 ? s.side : 16);
    for (int64_t n = 0; n < count; n++) {
        Tally tally = {};
        for (int top = 0; top < s.from; top += BAND(s.from)) {
            const Band band = band_at(top, s.from);
            const int64_t begun = n * s.from * s.from;
            if (l->source && l->source->output && s.size == 3)
                complete(l->source, begun + band.first * s.from, begun + band.end * s.from, s.wide);
            see(l, n, band, images + chosen[n] * COLOURS * SIDE * SIDE, channels, NULL, s);
            for (int q = 0; q < rows * s.side; q += 32) {
                convolve(
                    l->seen, s.from + 2, s.wide, s.stride, s.side, q, steps(s.size, s.wide), l->offset, l->forward,
                    s.filters, net->block);
                const float *restrict block = net->block;
                bf16 *restrict to = l->sums + (n * pixels + top / s.stride * s.side + q) * s.filters;
                for (int p = 0; p < 32; p++)
                    for (int g = 0; g < groups; g++) {
                        __m512 numbers = _mm512_load_ps(block + p * s.filters + 16 * g);
                        keep16(to + p * s.filters + 16 * g, numbers);
                        tally.once[g] = _mm512_add_ps(tally.once[g], numbers);
                        tally.product[g] = _mm512_fmadd_ps(numbers, numbers, tally.product[g]);
                    }
            }
        }
        count_tally(&tally, groups, l->sum, l->square);
    }
}

/* Set what normalises a layer from a mean and a variance. */
static void normalise(Layer *l, const float *parameters, int f, double mean, double variance) {
    l->mean[f] = mean, l->spreading[f] = 1 / sqrt(variance + EPSILON);
    l->factor[f] = parameters[l->scales + f] * l->spreading[f];
    l->shift[f] = parameters[l->biases + f] - mean * l->factor[f];
}

/* Logits of `count` images.  In training by the statistics of the batch, which go into the running ones. */
static void forward(
    Net *net, float *parameters, const uint8_t *images, const int64_t *chosen, int64_t count, const float *channels,
    int training) {
    for (Layer *l = net->layer; l < net->layer + CONVOLUTIONS; l++) {
        float *means = parameters + l->running, *variances = means + net->normed;
        if (!training)
            for (int f = 0; f < l->shape.filters; f++) normalise(l, parameters, f, means[f], variances[f]);
        EACH(layer_forward(net, l, count, images, chosen, channels, s))
        double n = (double)count * l->shape.side * l->shape.side;
        for (int f = 0; training && f < l->shape.filters; f++) {
            double mean = l->sum[f] / n, variance = fmax(l->square[f] / n - mean * mean, 0);
            normalise(l, parameters, f, mean, variance);
            means[f] += MOMENTUM * (mean - means[f]);
            variances[f] += MOMENTUM * (variance * n / (n - 1) - variances[f]);
        }
    }
    Layer *l = net->layer + CONVOLUTIONS - 1;
    const int pixels = LAST * LAST;
    for (int64_t n = 0; n < count; n++) {
        complete(l, n * pixels, (n + 1) * pixels, WIDEST);
        for (int f = 0; f < WIDEST; f += 16) {
            __m512 sum = _mm512_setzero_ps();
            for (int p = 0; p < pixels; p++)
                sum = _mm512_add_ps(sum, wide16(l->output + (n * pixels + p) * WIDEST + f));
            _mm512_storeu_ps(net->features[n] + f, _mm512_mul_ps(sum, _mm512_set1_ps(1.0f / pixels)));
        }
        for (int c = 0; c < net->classes; c++) {
            float sum = parameters[net->biases + c];
            for (int f = 0; f < WIDEST; f++) sum += parameters[net->weights + c * WIDEST + f] * net->features[n][f];
            net->logits[n][c] = sum;
        }
    }
}

/* ---- back ---- */

/* The gradient of the mean loss by the logits in their place; return the mean loss. */
static double loss(Net *net, const uint8_t *labels, const int64_t *chosen, int64_t count) {
    double sum = 0;
    for (int64_t n = 0; n < count; n++) {
        float *at = net->logits[n], top = at[0], all = 0, e[MOST_CLASSES];
        int label = labels[chosen[n]];
        for (int c = 1; c < net->classes; c++) top = fmaxf(top, at[c]);
        for (int c = 0; c < net->classes; c++) all += e[c] = expf(at[c] - top);
        sum += logf(all) - (at[label] - top);
        for (int c = 0; c < net->classes; c++) at[c] = (e[c] / all - (c == label)) / count;
    }
    return sum / count;
}

/* Through the dense layer and the mean over pixels. */
static void output_back(Net *net, const float *parameters, int64_t count) {
    Layer *l = net->layer + CONVOLUTIONS - 1;
    const int pixels = LAST * LAST;
    float *by_weights = net->gradient + net->weights, *by_biases = net->gradient + net->biases;
    memset(by_weights, 0, net->classes * WIDEST * 4), memset(by_biases, 0, net->classes * 4);
    memset(l->slopes, 0, sizeof l->slopes), memset(l->products, 0, sizeof l->products);
    for (int64_t n = 0; n < count; n++) {
        float by_features[WIDEST] = {};
        for (int c = 0; c < net->classes; c++) {
            float slope = net->logits[n][c];
            by_biases[c] += slope;
            for (int f = 0; f < WIDEST; f++) {
                by_weights[c * WIDEST + f] += slope * net->features[n][f];
                by_features[f] += slope * parameters[net->weights + c * WIDEST + f];
            }
        }
        Tally tally = {};
        for (int g = 0; g < WIDEST / 16; g++) {
            __m512 slope = _mm512_mul_ps(_mm512_loadu_ps(by_features + 16 * g), _mm512_set1_ps(1.0f / pixels));
            for (int p = 0; p < pixels; p++) {
                int64_t at = (n * pixels + p) * WIDEST + 16 * g;
                __mmask16 above = _mm512_cmp_ps_mask(wide16(l->output + at), _mm512_setzero_ps(), _CMP_GT_OQ);
                __m512 numbers = _mm512_maskz_mov_ps(above, slope);
                tally.once[g] = _mm512_add_ps(tally.once[g], numbers);
                tally.product[g] = _mm512_fmadd_ps(numbers, wide16(l->sums + at), tally.product[g]);
                keep16(l->slope + at, numbers);
            }
        }
        count_tally(&tally, WIDEST / 16, l->slopes, l->products);
    }
}

/* The gradient of a layer's sums for a band of an image, spread out at the resolution of its input, and in pairs of pixels
   moved by each column of the kernel; rows and pixels between stay zero. */
INLINE void spread(
    Layer *l, int64_t image, Band band, bf16 *pairs, const float *a, const float *b, const float *c, const Shape s) {
    const int edge = s.from + 2, filters = s.filters;
    const bf16 *restrict sums = l->sums + image * s.side * s.side * filters;
    const bf16 *restrict slope = l->slope + image * s.side * s.side * filters;
    begin_band(l->spread, band, s.from, edge * filters);
    for (int f = 0; f < filters; f += 16) {
        const __m512 by_slope = _mm512_loadu_ps(a + f), by_sum = _mm512_loadu_ps(b + f), rest = _mm512_loadu_ps(c + f);
        for (int y = (band.first + s.stride - 1) / s.stride; y * s.stride < band.end; y++) {
            bf16 *restrict to = l->spread + ((y * s.stride - band.top + 1) * edge + 1) * filters + f;
            for (int x = 0; x < s.side; x++) {
                const int at = (y * s.side + x) * filters + f;
                __m512 numbers = _mm512_fmadd_ps(wide16(sums + at), by_sum, rest);
                numbers = _mm512_fmadd_ps(wide16(slope + at), by_slope, numbers);
                keep16(to + x * s.stride * filters, numbers);
            }
        }
    }
    for (int column = 0; column < s.size; column++, pairs += BAND(s.from) * s.from * filters)
        for (int y = 0; y < BAND(s.from); y += s.stride) {
            const bf16 *at = l->spread + ((y + 1) * edge + (s.size == 3 ? 2 - column : 1)) * filters;
            for (int q = y * s.from; q < (y + 1) * s.from; q += 2, at += 2 * filters) {
                bf16 *to = pairs + q / 32 * 32 * filters + q % 32 * 16;
                if (filters == 16)
                    _mm512_store_si512(to, paired(_mm512_loadu_si512(at)));
                else
                    for (int f = 0; f < filters; f += 32) {
                        __m512i one = _mm512_load_si512(at + f), two = _mm512_load_si512(at + filters + f);
                        _mm512_store_si512(to + f / 16 * TILE, interleaved(one, two, 0));
                        _mm512_store_si512(to + (f / 16 + 1) * TILE, interleaved(one, two, 1));
                    }
            }
        }
}

/* Add to the gradient of a layer's weights what a band gives, or a group of images. */
INLINE void weights_back(Layer *l, int images, const Shape s) {
    const int side = s.from, edge = BAND(side) + 2, inputs = s.wide / 16, outputs = s.filters / 16;
    const int chunks = BAND(side) * side / 32, rows = 32 / side;
    const int64_t stride = edge * side * 2, image = s.wide * edge * side, column_size = BAND(side) * side * s.filters;
    if (side < 16) shape_tiles(16);
    for (int row = 0; row < s.size; row++)
        for (int column = 0; column < s.size; column++) {
            float *sums = l->gradient + (row * s.size + column) * inputs * outputs * 256;
            const int down = s.size == 3 ? row : 1;
            for (int c = 0; c < inputs; c += inputs > 1 ? 2 : 1)
                for (int f = 0; f < outputs; f += outputs > 1 ? 2 : 1) {
                    float *to = sums + (c * outputs + f) * 256, *below = to + outputs * 256;
                    const int two = inputs > 1, right = outputs > 1;
                    LOAD(0, to, 64);
                    if (right) LOAD(1, to + 256, 64);
                    if (two) LOAD(2, below, 64);
                    if (two && right) LOAD(3, below + 256, 64);
                    for (int n = 0; n < images; n++) {
                        const bf16 *x = l->turned + n * image + (c * 16 * edge + down) * side;
                        const bf16 *g = l->pairs + (n * s.size + column) * column_size + f * TILE;
                        for (int k = 0; k < chunks; k++, x += rows * side, g += outputs * TILE) {
                            LOAD(4, x, stride);
                            LOAD(6, g, 64);
                            MULTIPLY(0, 4, 6);
                            if (right) {
                                LOAD(7, g + TILE, 64);
                                MULTIPLY(1, 4, 7);
                            }
                            if (two) {
                                LOAD(5, x + 16 * edge * side, stride);
                                MULTIPLY(2, 5, 6);
                                if (right) MULTIPLY(3, 5, 7);
                            }
                        }
                    }
                    STORE(0, to, 64);
                    if (right) STORE(1, to + 256, 64);
                    if (two) STORE(2, below, 64);
                    if (two && right) STORE(3, below + 256, 64);
                }
        }
}

/* The gradient of a layer's input for a band of an image, to which `extra` is added; cut where the source gave zero and
   counted there unless it goes to `entering`. */
INLINE void input_back(Net *net, Layer *l, int64_t image, Band band, const bf16 *extra, Tally *tally, const Shape s) {
    const int side = s.from, edge = side + 2, wide = s.wide;
    if (side < 16) shape_tiles(side);
    for (int q = 0; q < BAND(side) * side; q += 32) {
        convolve(
            l->spread, edge, s.filters, 1, side, q, steps(s.size, s.filters), l->back_offset, l->back, wide, net->block);
        const int64_t first = (image * side * side + band.top * side + q) * wide;
        const float *restrict block = net->block;
        const bf16 *restrict sums = l->source->sums + first, *restrict added = extra ? extra + first : NULL;
        bf16 *restrict to = (s.size == 1 ? l->entering : l->source->slope) + first;
        for (int p = 0; p < 32; p++) {
            const bf16 *restrict seen = l->seen + ((q / side + p / side + 1) * edge + p % side + 1) * wide;
            for (int g = 0; g < wide / 16; g++) {
                const int at = p * wide + 16 * g;
                __m512 numbers = _mm512_load_ps(block + at);
                if (s.size > 1) {
                    if (extra) numbers = _mm512_add_ps(numbers, wide16(added + at));
                    __m256i here = _mm256_load_si256((const __m256i *)(seen + 16 * g));
                    numbers = _mm512_maskz_mov_ps(_mm256_test_epi16_mask(here, here), numbers);
                    tally->once[g] = _mm512_add_ps(tally->once[g], numbers);
                    tally->product[g] = _mm512_fmadd_ps(numbers, wide16(sums + at), tally->product[g]);
                }
                keep16(to + at, numbers);
            }
        }
    }
}

/* Write the gradient of a layer's weights where the flat parameters have them. */
static void collect(const Layer *l, float *gradient) {
    const int taps = l->shape.size * l->shape.size, inputs = l->shape.wide / 16, outputs = l->shape.filters / 16;
    for (int f = 0; f < l->shape.filters; f++)
        for (int c = 0; c < l->channels; c++)
            for (int k = 0; k < taps; k++)
                gradient[l->weights + (f * l->channels + c) * taps + k] =
                    l->gradient[((k * inputs + c / 16) * outputs + f / 16) * 256 + c % 16 * 16 + f % 16];
}

INLINE void layer_back(
    Net *net, Layer *l, const bf16 *extra, const float *parameters, const uint8_t *images, const int64_t *chosen,
    int64_t count, const float *channels, const Shape s) {
    float a[WIDEST], b[WIDEST], c[WIDEST];
    const double n = (double)count * s.side * s.side;
    for (int f = 0; f < s.filters; f++) { /* through the normalisation */
        double by_scale = (l->products[f] - l->mean[f] * l->slopes[f]) * l->spreading[f];
        net->gradient[l->scales + f] = by_scale, net->gradient[l->biases + f] = l->slopes[f];
        a[f] = parameters[l->scales + f] * l->spreading[f];
        b[f] = -a[f] * l->spreading[f] * by_scale / n;
        c[f] = -a[f] * l->slopes[f] / n - b[f] * l->mean[f];
    }
    memset(l->gradient, 0, s.size * s.size * s.wide * s.filters * 4);
    if (l->source) memset(l->source->slopes, 0, sizeof l->slopes), memset(l->source->products, 0, sizeof l->products);
    const int64_t turned = s.wide * (BAND(s.from) + 2) * s.from, pairs = s.size * BAND(s.from) * s.from * s.filters;
    int waiting = 0;
    shape_tiles(16);
    for (int64_t i = 0; i < count; i++) {
        Tally tally = {};
        for (int top = 0; top < s.from; top += BAND(s.from)) {
            const Band band = band_at(top, s.from);
            see(l, i, band, images + chosen[i] * COLOURS * SIDE * SIDE, channels, l->turned + waiting * turned, s);
            spread(l, i, band, l->pairs + waiting * pairs, a, b, c, s);
            if (l->source) input_back(net, l, i, band, extra, &tally, s);
            if (++waiting == GROUP(s.from) || i == count - 1) weights_back(l, waiting, s), waiting = 0;
        }
        if (l->source && s.size > 1) count_tally(&tally, s.wide / 16, l->source->slopes, l->source->products);
    }
    collect(l, net->gradient);
}

/* A projection's output is added to its block's, so it has the same gradient: only the products are its own. */
static void begin_projection(Layer *l, const Layer *block, int64_t count) {
    memcpy(l->slopes, block->slopes, sizeof l->slopes);
    memset(l->products, 0, sizeof l->products);
    const int64_t filters = l->shape.filters, size = l->shape.side * l->shape.side * filters;
    for (int64_t n = 0; n < count; n++) {
        Tally tally = {};
        for (int64_t at = n * size; at < (n + 1) * size; at += filters)
            for (int g = 0; g < filters / 16; g++)
                tally.product[g] =
                    _mm512_fmadd_ps(wide16(l->slope + at + 16 * g), wide16(l->sums + at + 16 * g), tally.product[g]);
        count_tally(&tally, filters / 16, l->slopes, l->products);
    }
}

static void backward(
    Net *net, const float *parameters, const uint8_t *images, const int64_t *chosen, int64_t count, const float *channels) {
    output_back(net, parameters, count);
    const bf16 *passing = NULL; /* the gradient that passes a block by */
    for (Layer *l = net->layer + CONVOLUTIONS - 1; l >= net->layer; l--) {
        if (l->linear) begin_projection(l, l + 1, count);
        const bf16 *extra = l->add || l->linear ? NULL : passing;
        EACH(layer_back(net, l, extra, parameters, images, chosen, count, channels, s))
        passing = l->add ? l->slope : l->linear ? l->entering : passing;
    }
}

/* ---- the network ---- */

/* Where a weight lies in tiles: of channel `c` of the input at row y and column x of the kernel, for output `f`. */
static int place(int size, int y, int x, int c, int channels, int f, int filters) {
    int step = channels == 16 ? y * ((size + 1) / 2) + x / 2 : (y * size + x) * (channels / 32) + c / 32;
    int row = channels == 16 ? x % 2 * 16 + c : c % 32;
    return (step * (filters / 16) + f / 16) * TILE + row / 2 * 32 + f % 16 * 2 + row % 2;
}

/* Lay out a layer's weights for the ways forward and back. */
static void lay_out(Layer *l, const float *parameters) {
    const float *w = parameters + l->weights;
    const int filters = l->shape.filters, wide = l->shape.wide, size = l->shape.size;
    for (int f = 0; f < filters; f++)
        for (int c = 0; c < l->channels; c++)
            for (int y = 0; y < size; y++)
                for (int x = 0; x < size; x++) {
                    bf16 value = rounded(*w++);
                    l->forward[place(size, y, x, c, wide, f, filters)] = value;
                    l->back[place(size, size - 1 - y, size - 1 - x, f, filters, c, wide)] = value;
                }
}

/* Where the tiles that are summed begin, counted from the corner of a window; of 16 channels a tile takes two pixels. */
static void places(int *offset, int size, int edge, int channels) {
    int corner = size == 1 ? edge + 1 : 0;
    for (int row = 0; row < size; row++)
        for (int column = 0; column < size; column += channels == 16 ? 2 : 1)
            for (int c = 0; c < channels; c += 32) *offset++ = (corner + row * edge + column) * channels + c;
}

static void prepare_layer(Memory *memory, Layer *l) {
    const Shape s = l->shape;
    const int64_t edge = s.from + 2, band = BAND(s.from), group = GROUP(s.from), taps = s.size * s.size;
    const int64_t output = (int64_t)s.side * s.side * s.filters;
    const int64_t slack = 2 * WIDEST; /* a tile of 16 channels may read a pixel too far, times zero */
    places(l->offset, s.size, edge, s.wide), places(l->back_offset, s.size, edge, s.filters);
    l->forward = zeros(memory, (int64_t)steps(s.size, s.wide) * s.filters / 16 * TILE * 2);
    l->back = zeros(memory, (int64_t)steps(s.size, s.filters) * s.wide / 16 * TILE * 2);
    l->sums = zeros(memory, BATCH * output * 2);
    l->seen = zeros(memory, ((band + 2) * edge * s.wide + slack) * 2);
    l->turned = zeros(memory, group * s.wide * (band + 2) * s.from * 2);
    l->spread = zeros(memory, ((band + 2) * edge * s.filters + slack) * 2);
    l->pairs = zeros(memory, group * s.size * band * s.from * s.filters * 2);
    l->gradient = zeros(memory, taps * s.wide * s.filters * 4);
    if (l->add || !l->source) l->output = zeros(memory, BATCH * output * 2);
}

/* The rows of `specs` are conv1, then the blocks: a convolution, a projection if it halves the image, a convolution. */
static Net *prepare(const Spec *specs, const float *parameters, int64_t n) {
    Memory memory = reserve();
    if (!memory.first) return NULL;
    Net *net = zeros(&memory, sizeof *net);
    net->memory = memory;
    const Spec *dense = specs + CONVOLUTIONS;
    net->classes = dense->filters, net->weights = dense->weights, net->biases = dense->biases;
    const int64_t scales = dense->biases + dense->filters;
    net->normed = dense->biases - specs[0].biases;
    net->gradient = zeros(&net->memory, n * 4);
    for (int i = 0; i < 4; i++) net->slopes[i] = zeros(&net->memory, BATCH * SIDE * SIDE * 16 * 2);
    int inner = 0, blocks = 0;
    Layer *block = NULL;
    for (int i = 0; i < CONVOLUTIONS; i++) {
        Layer *l = net->layer + i;
        const Spec *s = specs + i;
        l->channels = s->channels, l->weights = s->weights, l->biases = s->biases;
        l->scales = scales + s->biases - specs[0].biases, l->running = l->scales + net->normed;
        if (!i) block = l;
        else if (s->size_x == 1) l->source = block, l->linear = 1;
        else if (inner) l->source = l[-1].linear ? l - 2 : l - 1, l->add = l[-1].linear ? l - 1 : block;
        else l->source = block;
        const int from = l->source ? l->source->shape.side : SIDE, wide = s->channels < 16 ? 16 : s->channels;
        l->shape = (Shape){from, from / s->stride, s->size_x, s->stride, wide, s->filters};
        prepare_layer(&net->memory, l);
        if (l->linear) l->entering = net->slopes[3];
        else l->slope = net->slopes[inner || !i ? blocks++ % 2 : 2];
        if (l->add) {
            if (l->add->linear) l->add->slope = l->slope;
            block = l;
        }
        if (i && s->size_x == 3) inner = !inner;
        lay_out(l, parameters);
    }
    return net;
}

int train_epoch(
    int64_t count, const Spec *specs, const int64_t *shape, const float *channels, const uint8_t *mask, int64_t n,
    float *parameters, float *first, float *second, const uint8_t *images, const uint8_t *labels, const int64_t *order,
    int64_t steps, int64_t batch, const Optimiser *optimiser, double *mean_loss) {
    (void)shape;
    Net *net = prepare(specs, parameters, n);
    if (!net) return -1;
    const int64_t weights = specs[0].biases, trained = net->layer[0].running;
    float *w = copied(&net->memory, parameters, n * 4);
    float *m = copied(&net->memory, first, n * 4), *v = copied(&net->memory, second, n * 4);
    mask = copied(&net->memory, mask, weights);
    double sum = 0;
    unsigned state = _mm_getcsr();
    begin();
    for (int64_t s = 0; s < steps; s++) {
        const int64_t *chosen = order + s * batch, time = optimiser->time + s + 1;
        Adam adam = at_step(optimiser, time);
        forward(net, w, images, chosen, batch, channels, 1);
        sum += loss(net, labels, chosen, batch);
        backward(net, w, images, chosen, batch, channels);
        for (int64_t i = 0; i < weights; i++) net->gradient[i] *= mask[i];
        disturb(optimiser, time, trained, net->gradient);
        update(&adam, trained, w, m, v, net->gradient);
        for (int i = 0; i < CONVOLUTIONS; i++) lay_out(net->layer + i, w);
    }
    end(state);
    memcpy(parameters, w, n * 4), memcpy(first, m, n * 4), memcpy(second, v, n * 4);
    (void)count;
    *mean_loss = sum / steps;
    release(net->memory);
    return 0;
}

/* Writes the logits of the n images, shape (n, classes). */
int evaluate(
    int64_t count, const Spec *specs, const int64_t *shape, const float *channels, const uint8_t *mask,
    float *parameters, const uint8_t *images, int64_t n, float *logits) {
    (void)count, (void)shape, (void)mask;
    Net *net = prepare(specs, parameters, 1);
    if (!net) return -1;
    unsigned state = _mm_getcsr();
    begin();
    for (int64_t i = 0; i < n; i += BATCH) {
        int64_t chosen[BATCH], m = n - i < BATCH ? n - i : BATCH;
        for (int64_t k = 0; k < m; k++) chosen[k] = i + k;
        forward(net, parameters, images, chosen, m, channels, 0);
        for (int64_t k = 0; k < m; k++) memcpy(logits + (i + k) * net->classes, net->logits[k], net->classes * 4);
    }
    end(state);
    release(net->memory);
    return 0;
}

#endif
