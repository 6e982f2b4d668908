/* Trains one masked Conv-2 on one core with the processor's matrix unit (AMX): operands in bf16, sums in fp32.

   Weights, gradients of weights and the optimiser's moments are fp32, as on a CUDA GPU with bf16.  A dense layer's
   surviving weights lie side by side, so a step reads and writes only these; its products and the convolutions take
   pruned weights as zeros.

   What multiplies what.  Every operand is laid out in the order in which it is summed over, and what is summed over in two
   ways is laid out twice (tiles.h says what "in pairs" is):

     convolution, forward    sums over channels    image as (pixel, channel)      weights in pairs of channels
     convolution, input      sums over filters     gradient as (pixel, filter)    weights in pairs of filters
     convolution, weights    sums over pixels      image as (channel, pixel)      gradient in pairs of pixels
     dense, forward          sums over inputs      weights as (unit, input)       inputs in pairs of inputs
     dense, input            sums over units       gradient as (image, unit)      weights in pairs of units
     dense, weights          sums over images      gradient as (unit, image)      inputs in pairs of images

   The convolutions go image by image, so that all of an image stays in the second cache; the first one's output is
   computed again on the way back, in the other layout, which is cheaper than to keep it.

   lib/sparse.py compiles and calls this file, which has the functions of sparse.c, and says what the arguments are. */

#ifndef __AMX_BF16__

int usable(void) { return 0; }

#else

#include "tiles.h"

#define SIDE 32              /* pixels of a row, and rows of an image */
#define EDGE (SIDE + 2)      /* with a border of zeros */
#define PIXELS (SIDE * SIDE)
#define COLOURS 3
#define TAPS (COLOURS * 9)   /* weights of a filter of the first layer; its bias follows as the weight of a pixel that is one */
#define FILTERS 64           /* of both convolutions */
#define GROUPS (FILTERS / 16)
#define STEPS (9 * FILTERS / 32) /* tiles that are summed for one output of the second convolution */
#define POOLED (PIXELS / 4)
#define BATCH 64             /* most images of a batch */
#define CHUNK 64             /* times 32 inputs of a dense layer that are worked on at once: they fit the second cache */
#define DENSE 3

/* A dense layer in blocks of 32 units x 32 inputs, by inputs first; units are filled up to a multiple of 32. */
typedef struct {
    int64_t units, inputs, rows, tall, wide; /* rows: units, filled up; tall, wide: blocks of units, of inputs */
    int64_t planes;                          /* pixels of the image that it flattens, else 1 */
    int64_t weights, biases;                 /* where they begin in the flat parameters */
    uint16_t *mask;                          /* 16 bits for half a row of a block */
    float *w, *m, *v;                        /* of the surviving weights, in the order of the blocks */
    bf16 *by_unit, *by_pair;                 /* weights that are worked on, for the ways forward and back */
    bf16 *x;                                 /* (BATCH, inputs) */
    bf16 *pairs_of_inputs, *pairs_of_images; /* the same, for the ways forward and back */
    float *sums;                             /* (rows, BATCH): of its products, then its gradient */
    bf16 *by_image, *by_row;                 /* the gradient, for the two ways back */
    bf16 *dx;                                /* (BATCH, inputs): gradient of the inputs */
} Dense;

typedef struct {
    Memory memory;
    Dense dense[DENSE];
    int64_t weights[2], biases[2]; /* of the convolutions, in the flat parameters */
    bf16 *first_pairs, *first_rows;       /* weights of the first convolution */
    bf16 *second_forward, *second_back;   /* of the second */
    bf16 *taps, *tap_pairs, *by_pixel;    /* what the filters of the first layer see of an image, in three layouts */
    bf16 *image;                          /* (EDGE, EDGE, FILTERS): output of the first convolution */
    bf16 *by_channel;                     /* (3, EDGE, FILTERS, SIDE): the same, moved by -1, 0, 1 pixels */
    bf16 *slope, *slope_pairs;            /* gradient of the second convolution's output, in two layouts */
    bf16 *first_slope;                    /* of the first one's, in pairs of pixels */
    uint64_t *positive;                   /* (BATCH, PIXELS): which outputs of the first convolution are above zero */
    uint64_t *route;                      /* (BATCH, POOLED, GROUPS): which of four pixels the maximum is, 16 bits each */
    float *first_gradient, *second_gradient;
    float *gradient;                      /* of the convolutions' weights and of all biases, in the flat order */
} Net;

/* ---- dense layers ---- */

/* Where row r of a block begins in the flat parameters; its numbers are d->planes apart there, as the image is
   flattened with its pixels innermost, while here the filters of a pixel lie side by side. */
static inline int64_t flat(const Dense *d, int64_t block, int r) {
    int64_t filters = d->inputs / d->planes, unit = block % d->tall * 32 + r, input = block / d->tall * 32;
    return d->weights + unit * d->inputs + input % filters * d->planes + input / filters;
}

/* Row r of a block, in bf16, from its surviving weights, which are moved past. */
static inline __m512i filled(const uint16_t *mask, int r, const float **w) {
    __m512 low = _mm512_maskz_expandloadu_ps(mask[2 * r], *w);
    *w += __builtin_popcount(mask[2 * r]);
    __m512 high = _mm512_maskz_expandloadu_ps(mask[2 * r + 1], *w);
    *w += __builtin_popcount(mask[2 * r + 1]);
    return rounded32(low, high);
}

static void prepare_inputs(Dense *d, int training) {
    for (int64_t i = 0; i < d->wide; i++) {
        for (int n = 0; n < BATCH; n += 16)
            transpose16(
                (uint32_t *)(d->x + n * d->inputs) + 16 * i, d->inputs / 2,
                (uint32_t *)(d->pairs_of_inputs + i * 32 * BATCH) + n, BATCH);
        if (!training) continue;
        for (int n = 0; n < BATCH; n += 2) {
            __m512i one = _mm512_load_si512(d->x + n * d->inputs + 32 * i);
            __m512i two = _mm512_load_si512(d->x + (n + 1) * d->inputs + 32 * i);
            for (int half = 0; half < 2; half++)
                _mm512_store_si512(
                    d->pairs_of_images + i * 32 * BATCH + n * 32 + half * 32, interleaved(one, two, half));
        }
    }
}

static void dense_forward(Dense *d, int training) {
    prepare_inputs(d, training);
    const float *w = d->w;
    const uint16_t *mask = d->mask;
    for (int64_t first = 0; first < d->wide; first += CHUNK) {
        int64_t length = d->wide - first < CHUNK ? d->wide - first : CHUNK;
        for (int64_t i = 0; i < length; i++)
            for (int64_t u = 0; u < d->tall; u++, mask += 64)
                for (int r = 0; r < 32; r++)
                    _mm512_store_si512(
                        d->by_unit + ((2 * u + r / 16) * length + i) * TILE + r % 16 * 32, filled(mask, r, &w));
        for (int64_t u = 0; u < 2 * d->tall; u++) {
            float *sums = d->sums + u * 16 * BATCH;
            if (first) {
                LOAD(0, sums, BATCH * 4);
                LOAD(1, sums + 16, BATCH * 4);
                LOAD(2, sums + 32, BATCH * 4);
                LOAD(3, sums + 48, BATCH * 4);
            } else {
                ZEROS;
            }
            const bf16 *row = d->by_unit + u * length * TILE;
            const bf16 *x = d->pairs_of_inputs + first * 32 * BATCH;
            for (int64_t i = 0; i < length; i++, row += TILE, x += 32 * BATCH) {
                LOAD(4, row, 64);
                LOAD(5, x, BATCH * 4);
                MULTIPLY(0, 4, 5);
                LOAD(6, x + 32, BATCH * 4);
                MULTIPLY(1, 4, 6);
                LOAD(7, x + 64, BATCH * 4);
                MULTIPLY(2, 4, 7);
                LOAD(5, x + 96, BATCH * 4);
                MULTIPLY(3, 4, 5);
            }
            STORE(0, sums, BATCH * 4);
            STORE(1, sums + 16, BATCH * 4);
            STORE(2, sums + 32, BATCH * 4);
            STORE(3, sums + 48, BATCH * 4);
        }
    }
}

/* From the gradient of the sums, in d->sums: the gradients of biases and inputs. */
static void dense_back(Dense *d, float *gradient) {
    for (int64_t u = 0; u < d->rows; u++) {
        float all = 0;
        for (int n = 0; n < BATCH; n++) {
            float value = d->sums[u * BATCH + n];
            all += value;
            d->by_row[u * BATCH + n] = d->by_image[n * d->rows + u] = rounded(value);
        }
        if (u < d->units) gradient[d->biases + u] = all;
    }
    float part[BATCH * 16] __attribute__((aligned(64)));
    int64_t stride = d->rows * 2;
    const float *w = d->w;
    const uint16_t *mask = d->mask;
    for (int64_t i = 0; i < d->wide; i++) {
        for (int64_t u = 0; u < d->tall; u++, mask += 64)
            for (int r = 0; r < 32; r += 2) {
                __m512i one = filled(mask, r, &w), two = filled(mask, r + 1, &w);
                bf16 *pair = d->by_pair + u * 2 * TILE + r * 16;
                _mm512_store_si512(pair, interleaved(one, two, 0));
                _mm512_store_si512(pair + TILE, interleaved(one, two, 1));
            }
        for (int half = 0; half < 2; half++) {
            ZEROS;
            for (int64_t u = 0; u < d->tall; u++) {
                const bf16 *g = d->by_image + 32 * u;
                LOAD(4, d->by_pair + (u * 2 + half) * TILE, 64);
                LOAD(5, g, stride);
                MULTIPLY(0, 5, 4);
                LOAD(6, g + 16 * d->rows, stride);
                MULTIPLY(1, 6, 4);
                LOAD(7, g + 32 * d->rows, stride);
                MULTIPLY(2, 7, 4);
                LOAD(5, g + 48 * d->rows, stride);
                MULTIPLY(3, 5, 4);
            }
            STORE(0, part, 64);
            STORE(1, part + 256, 64);
            STORE(2, part + 512, 64);
            STORE(3, part + 768, 64);
            for (int n = 0; n < BATCH; n++)
                _mm256_store_si256(
                    (__m256i *)(d->dx + n * d->inputs + 32 * i + 16 * half),
                    (__m256i)_mm512_cvtneps_pbh(_mm512_load_ps(part + 16 * n)));
        }
    }
}

/* The gradient of every weight, block by block, and at once the step of the surviving ones. */
static void dense_update(Dense *d, const Adam *o) {
    float all[32 * 32] __attribute__((aligned(64))), kept[32 * 32 + 16] __attribute__((aligned(64)));
    float *w = d->w, *m = d->m, *v = d->v;
    const uint16_t *mask = d->mask;
    for (int64_t i = 0; i < d->wide; i++)
        for (int64_t u = 0; u < d->tall; u++, mask += 64) {
            const bf16 *g = d->by_row + u * 32 * BATCH, *x = d->pairs_of_images + i * 32 * BATCH;
            ZEROS;
            for (int n = 0; n < BATCH; n += 32) {
                BLOCK(g + n, 16 * BATCH, BATCH * 2, x + n * 32, 32, 128);
            }
            SUMS(STORE, all, 32);
            int64_t n = 0;
            for (int r = 0; r < 64; r++) {
                _mm512_storeu_ps(kept + n, _mm512_maskz_compress_ps(mask[r], _mm512_load_ps(all + 16 * r)));
                n += __builtin_popcount(mask[r]);
            }
            update(o, n, w, m, v, kept);
            w += n, m += n, v += n;
        }
}

/* ---- convolutions ---- */

static void lay_out_filters(Net *net, const float *parameters) {
    const float *w = parameters + net->weights[0];
    for (int f = 0; f < FILTERS; f++)
        for (int k = 0; k < TAPS; k++) {
            bf16 value = rounded(w[f * TAPS + k]);
            net->first_rows[f * 32 + k] = value;
            net->first_pairs[f / 16 * TILE + k / 2 * 32 + f % 16 * 2 + k % 2] = value;
        }
    w = parameters + net->weights[1];
    for (int f = 0; f < FILTERS; f++)
        for (int c = 0; c < FILTERS; c++)
            for (int k = 0; k < 9; k++) {
                bf16 value = rounded(w[(f * FILTERS + c) * 9 + k]);
                int64_t forward = (k * 2 + c / 32) * GROUPS + f / 16, back = ((8 - k) * 2 + f / 32) * GROUPS + c / 16;
                net->second_forward[forward * TILE + c % 32 / 2 * 32 + f % 16 * 2 + c % 2] = value;
                net->second_back[back * TILE + f % 32 / 2 * 32 + c % 16 * 2 + f % 2] = value;
            }
}

/* What the first layer's filters see of an image: taps as (row, tap, pixel of the row), and in pairs of taps. */
static void see(Net *net, const uint8_t *image, const float *channels) {
    bf16 padded[COLOURS][EDGE][SIDE + 16] = {};
    for (int c = 0; c < COLOURS; c++) {
        __m512 mean = _mm512_set1_ps(channels[2 * c]), scale = _mm512_set1_ps(channels[2 * c + 1]);
        for (int y = 0; y < SIDE; y++) {
            __m512 part[2];
            for (int half = 0; half < 2; half++) {
                __m128i bytes = _mm_loadu_si128((const __m128i *)(image + (c * SIDE + y) * SIDE + 16 * half));
                part[half] = _mm512_mul_ps(_mm512_sub_ps(_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes)), mean), scale);
            }
            _mm512_storeu_si512(&padded[c][y + 1][1], rounded32(part[0], part[1]));
        }
    }
    __m512i one = _mm512_set1_epi16(0x3f80), zero = _mm512_setzero_si512();
    for (int y = 0; y < SIDE; y++) {
        __m512i rows[32];
        for (int k = 0; k < TAPS; k++) rows[k] = _mm512_loadu_si512(&padded[k / 9][y + k / 3 % 3][k % 3]);
        for (int k = TAPS; k < 32; k++) rows[k] = k == TAPS ? one : zero;
        for (int k = 0; k < 32; k++) _mm512_store_si512(net->taps + (y * 32 + k) * SIDE, rows[k]);
        for (int k = 0; k < 32; k += 2)
            for (int half = 0; half < 2; half++)
                _mm512_store_si512(
                    net->tap_pairs + (y * 2 + half) * TILE + k * 16, interleaved(rows[k], rows[k + 1], half));
    }
}

/* The first convolution, as (pixel, filter), and which of its outputs are above zero. */
static void first_forward(Net *net, const float *bias, uint64_t *positive) {
    float sums[16 * FILTERS] __attribute__((aligned(64)));
    __m512 biases[GROUPS], zero = _mm512_setzero_ps();
    for (int g = 0; g < GROUPS; g++) biases[g] = _mm512_loadu_ps(bias + 16 * g);
    LOAD(4, net->first_pairs, 64);
    LOAD(5, net->first_pairs + TILE, 64);
    LOAD(6, net->first_pairs + 2 * TILE, 64);
    for (int t = 0; t < PIXELS / 16; t++) {
        transpose16((uint32_t *)(net->tap_pairs + t * TILE), 16, (uint32_t *)net->by_pixel, 16);
        LOAD(7, net->by_pixel, 64);
        ZERO(0);
        MULTIPLY(0, 7, 4);
        STORE(0, sums, FILTERS * 4);
        ZERO(1);
        MULTIPLY(1, 7, 5);
        STORE(1, sums + 16, FILTERS * 4);
        ZERO(2);
        MULTIPLY(2, 7, 6);
        STORE(2, sums + 32, FILTERS * 4);
        LOAD(3, net->first_pairs + 3 * TILE, 64);
        ZERO(0);
        MULTIPLY(0, 7, 3);
        STORE(0, sums + 48, FILTERS * 4);
        bf16 *to = net->image + ((t / 2 + 1) * EDGE + t % 2 * 16 + 1) * FILTERS;
        for (int p = 0; p < 16; p++, to += FILTERS) {
            uint64_t above = 0;
            __m512 out[GROUPS];
            for (int g = 0; g < GROUPS; g++) {
                __m512 sum = _mm512_add_ps(_mm512_load_ps(sums + p * FILTERS + 16 * g), biases[g]);
                above |= (uint64_t)_mm512_cmp_ps_mask(sum, zero, _CMP_GT_OQ) << 16 * g;
                out[g] = _mm512_max_ps(sum, zero);
            }
            _mm512_store_si512(to, rounded32(out[0], out[1]));
            _mm512_store_si512(to + 32, rounded32(out[2], out[3]));
            positive[t * 16 + p] = above;
        }
    }
}

/* The same as (filter, pixel), moved by -1, 0 and 1 pixels. */
static void first_again(Net *net, const float *bias) {
    const __m512i left = _mm512_set_epi16(
        30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 0);
    const __m512i right = _mm512_set_epi16(
        31, 31, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1);
    float sums[4][256] __attribute__((aligned(64)));
    const int64_t moved = EDGE * FILTERS * SIDE;
    __m512 zero = _mm512_setzero_ps();
    for (int f = 0; f < FILTERS; f += 32) {
        LOAD(4, net->first_rows + f * 32, 64);
        LOAD(5, net->first_rows + (f + 16) * 32, 64);
        for (int y = 0; y < SIDE; y++) {
            LOAD(6, net->tap_pairs + y * 2 * TILE, 64);
            LOAD(7, net->tap_pairs + (y * 2 + 1) * TILE, 64);
            ZERO(0);
            MULTIPLY(0, 4, 6);
            ZERO(1);
            MULTIPLY(1, 4, 7);
            ZERO(2);
            MULTIPLY(2, 5, 6);
            ZERO(3);
            MULTIPLY(3, 5, 7);
            STORE(0, sums[0], 64);
            STORE(1, sums[1], 64);
            STORE(2, sums[2], 64);
            STORE(3, sums[3], 64);
            bf16 *to = net->by_channel + ((y + 1) * FILTERS + f) * SIDE;
            for (int k = 0; k < 32; k++, to += SIDE) {
                __m512 b = _mm512_set1_ps(bias[f + k]);
                const float *from = sums[k / 16 * 2] + k % 16 * 16;
                __m512 low = _mm512_max_ps(_mm512_add_ps(_mm512_load_ps(from), b), zero);
                __m512 high = _mm512_max_ps(_mm512_add_ps(_mm512_load_ps(from + 256), b), zero);
                __m512i row = rounded32(low, high);
                _mm512_store_si512(to, _mm512_maskz_permutexvar_epi16(~1u, left, row));
                _mm512_store_si512(to + moved, row);
                _mm512_store_si512(to + 2 * moved, _mm512_maskz_permutexvar_epi16(~0u >> 1, right, row));
            }
        }
    }
}

/* Convolve row y of an image (EDGE, EDGE, FILTERS) for 32 filters: (pixel, filter) into sums. */
static inline void convolve_row(const bf16 *image, int y, const bf16 *weights, int half, float *sums) {
    ZEROS;
    const bf16 *w = weights + 2 * half * TILE;
    for (int k = 0; k < 9; k++) {
        const bf16 *x = image + ((y + k / 3) * EDGE + k % 3) * FILTERS;
        for (int part = 0; part < 2; part++, x += 32, w += GROUPS * TILE) {
            BLOCK(x, 16 * FILTERS, FILTERS * 2, w, TILE, 64);
        }
    }
    SUMS(STORE, sums, 32);
}

/* The second convolution, pooling and ReLU: (pooled pixel, filter) into x. */
static void second_forward(Net *net, const float *bias, uint64_t *route, bf16 *x) {
    float sums[2][32 * 32] __attribute__((aligned(64)));
    __m512 zero = _mm512_setzero_ps();
    for (int half = 0; half < 2; half++)
        for (int y = 0; y < SIDE; y += 2) {
            convolve_row(net->image, y, net->second_forward, half, sums[0]);
            convolve_row(net->image, y + 1, net->second_forward, half, sums[1]);
            for (int p = 0; p < SIDE / 2; p++)
                for (int part = 0; part < 2; part++) {
                    const float *upper = sums[0] + p * 64 + part * 16, *lower = sums[1] + p * 64 + part * 16;
                    int64_t group = half * 2 + part, pixel = y / 2 * (SIDE / 2) + p;
                    __m512 a = _mm512_load_ps(upper), b = _mm512_load_ps(lower);
                    __m512 c = _mm512_load_ps(upper + 32), d = _mm512_load_ps(lower + 32);
                    __m512 left = _mm512_max_ps(a, b), right = _mm512_max_ps(c, d);
                    __m512 top = _mm512_add_ps(_mm512_max_ps(left, right), _mm512_loadu_ps(bias + 16 * group));
                    uint64_t above = _mm512_cmp_ps_mask(top, zero, _CMP_GT_OQ);
                    uint64_t is_left = _mm512_cmp_ps_mask(left, right, _CMP_GE_OQ);
                    uint64_t left_upper = _mm512_cmp_ps_mask(a, b, _CMP_GE_OQ);
                    uint64_t right_upper = _mm512_cmp_ps_mask(c, d, _CMP_GE_OQ);
                    uint64_t in_left = above & is_left, in_right = above & ~is_left;
                    route[pixel * GROUPS + group] = (in_left & left_upper) | (in_right & right_upper) << 16 |
                                                    (in_left & ~left_upper) << 32 | (in_right & ~right_upper) << 48;
                    _mm256_store_si256(
                        (__m256i *)(x + pixel * FILTERS + group * 16),
                        (__m256i)_mm512_cvtneps_pbh(_mm512_max_ps(top, zero)));
                }
        }
}

/* Gradients of pooled pixels back to where their maximum was. */
static void unpool(Net *net, const uint64_t *route, const bf16 *dx, float *bias_gradient) {
    for (int g = 0; g < GROUPS; g++) {
        __m512 all = _mm512_loadu_ps(bias_gradient + 16 * g);
        for (int p = 0; p < POOLED; p++) {
            int y = p / (SIDE / 2) * 2, pair = p % (SIDE / 2);
            uint64_t to = route[p * GROUPS + g];
            __mmask16 k[4] = {to, to >> 16, to >> 32, to >> 48};
            __m512i value = _mm512_cvtepu16_epi32(_mm256_load_si256((const __m256i *)(dx + p * FILTERS + 16 * g)));
            __m512 number = _mm512_castsi512_ps(_mm512_slli_epi32(value, 16));
            all = _mm512_mask_add_ps(all, k[0] | k[1] | k[2] | k[3], all, number);
            for (int row = 0; row < 2; row++) {
                __m512i one = _mm512_maskz_mov_epi32(k[2 * row], value);
                __m512i two = _mm512_maskz_mov_epi32(k[2 * row + 1], value);
                bf16 *at = net->slope + ((y + row + 1) * EDGE + 2 * pair + 1) * FILTERS + 16 * g;
                _mm256_store_si256((__m256i *)at, _mm512_cvtepi32_epi16(one));
                _mm256_store_si256((__m256i *)(at + FILTERS), _mm512_cvtepi32_epi16(two));
                _mm512_store_si512(
                    net->slope_pairs + ((y + row) * GROUPS + g) * TILE + pair * 32,
                    _mm512_or_si512(one, _mm512_slli_epi32(two, 16)));
            }
        }
        _mm512_storeu_ps(bias_gradient + 16 * g, all);
    }
}

/* The gradient of the first convolution's output, in pairs of pixels. */
static void second_back(Net *net, const uint64_t *positive) {
    float sums[32 * 32] __attribute__((aligned(64)));
    for (int half = 0; half < 2; half++)
        for (int y = 0; y < SIDE; y++) {
            convolve_row(net->slope, y, net->second_back, half, sums);
            for (int p = 0; p < SIDE; p += 2) {
                __m512i row[2];
                for (int k = 0; k < 2; k++) {
                    uint64_t above = positive[y * SIDE + p + k] >> 32 * half;
                    const float *from = sums + (p + k) * 32;
                    row[k] = rounded32(
                        _mm512_maskz_load_ps(above, from), _mm512_maskz_load_ps(above >> 16, from + 16));
                }
                for (int part = 0; part < 2; part++)
                    _mm512_store_si512(
                        net->first_slope + (y * GROUPS + half * 2 + part) * TILE + p * 16,
                        interleaved(row[0], row[1], part));
            }
        }
}

/* The gradient of the second convolution's weights: for each of 3 x 16 x 16 tiles of channels, a row of an image is read
   once for the three rows of the kernel. */
static void second_weights(Net *net) {
#define THREE(row, g0, g1, g2)               \
    LOAD(6, x + (row) * FILTERS * SIDE, 64); \
    LOAD(g0, g + (row) * GROUPS * TILE, 64); \
    MULTIPLY(0, 6, g0);                      \
    MULTIPLY(1, 6, g1);                      \
    MULTIPLY(2, 6, g2);
    for (int column = 0; column < 3; column++)
        for (int channel = 0; channel < GROUPS; channel++)
            for (int f = 0; f < GROUPS; f++) {
                float *sums = net->second_gradient + ((column * GROUPS + channel) * GROUPS + f) * 3 * 256;
                const bf16 *x = net->by_channel + ((int64_t)column * EDGE * FILTERS + channel * 16) * SIDE;
                const bf16 *g = net->slope_pairs + f * TILE;
                LOAD(0, sums, 64);
                LOAD(1, sums + 256, 64);
                LOAD(2, sums + 512, 64);
                /* Row r of the kernel takes row y + r of the image (with its border) for row y of the output. */
                LOAD(6, x + FILTERS * SIDE, 64);
                LOAD(5, g, 64);
                MULTIPLY(1, 6, 5);
                LOAD(3, g + GROUPS * TILE, 64);
                MULTIPLY(0, 6, 3);
                for (int row = 2; row < SIDE; row += 3) {
                    THREE(row, 4, 3, 5)
                    THREE(row + 1, 5, 4, 3)
                    THREE(row + 2, 3, 5, 4)
                }
                LOAD(6, x + SIDE * FILTERS * SIDE, 64);
                MULTIPLY(1, 6, 3);
                MULTIPLY(2, 6, 5);
                STORE(0, sums, 64);
                STORE(1, sums + 256, 64);
                STORE(2, sums + 512, 64);
            }
}

/* The gradient of the first convolution's weights, (tap, filter). */
static void first_weights(Net *net) {
    for (int f = 0; f < GROUPS; f += 2) {
        float *sums = net->first_gradient + f * 16;
        SUMS(LOAD, sums, FILTERS);
        for (int y = 0; y < SIDE; y++) {
            BLOCK(net->taps + y * 32 * SIDE, 16 * SIDE, 64, net->first_slope + (y * GROUPS + f) * TILE, TILE, 64);
        }
        SUMS(STORE, sums, FILTERS);
    }
}

/* Write the gradients of the convolutions where the flat parameters have their weights. */
static void collect(Net *net) {
    float *to = net->gradient + net->weights[0];
    for (int f = 0; f < FILTERS; f++) {
        for (int k = 0; k < TAPS; k++) to[f * TAPS + k] = net->first_gradient[k * FILTERS + f];
        net->gradient[net->biases[0] + f] = net->first_gradient[TAPS * FILTERS + f];
    }
    to = net->gradient + net->weights[1];
    for (int f = 0; f < FILTERS; f++)
        for (int c = 0; c < FILTERS; c++)
            for (int k = 0; k < 9; k++) {
                int64_t tile = ((k % 3 * GROUPS + c / 16) * GROUPS + f / 16) * 3 + k / 3;
                to[(f * FILTERS + c) * 9 + k] = net->second_gradient[tile * 256 + c % 16 * 16 + f % 16];
            }
}

/* ---- the network ---- */

static void prepare_dense(Memory *memory, Dense *d, const Spec *s, int64_t planes, const uint8_t *mask) {
    *d = (Dense){.units = s->filters, .inputs = s->channels, .planes = planes, .weights = s->weights, .biases = s->biases};
    d->rows = (d->units + 31) / 32 * 32, d->tall = d->rows / 32, d->wide = d->inputs / 32;
    int64_t blocks = d->tall * d->wide, kept = 0;
    d->mask = zeros(memory, blocks * 64 * sizeof(uint16_t));
    for (int64_t b = 0; b < blocks; b++)
        for (int r = 0; r < 32 && b % d->tall * 32 + r < d->units; r++) {
            const uint8_t *row = mask + flat(d, b, r);
            for (int k = 0; k < 32; k++)
                if (row[k * d->planes]) d->mask[b * 64 + 2 * r + k / 16] |= 1u << k % 16, kept++;
        }
    d->w = zeros(memory, (kept + 16) * 4), d->m = zeros(memory, (kept + 16) * 4), d->v = zeros(memory, (kept + 16) * 4);
    d->by_unit = zeros(memory, CHUNK * d->rows * 32 * 2), d->by_pair = zeros(memory, d->rows * 32 * 2);
    d->x = zeros(memory, BATCH * d->inputs * 2), d->dx = zeros(memory, BATCH * d->inputs * 2);
    d->pairs_of_inputs = zeros(memory, BATCH * d->inputs * 2);
    d->pairs_of_images = zeros(memory, BATCH * d->inputs * 2);
    d->sums = zeros(memory, d->rows * BATCH * 4);
    d->by_image = zeros(memory, d->rows * BATCH * 2), d->by_row = zeros(memory, d->rows * BATCH * 2);
}

/* Copy the surviving weights (or moments) from the flat array, or back into it. */
static void move(const Dense *d, float *own, float *all, int back) {
    for (int64_t b = 0; b < d->tall * d->wide; b++)
        for (int r = 0; r < 32; r++) {
            float *row = all + flat(d, b, r);
            uint32_t kept = d->mask[b * 64 + 2 * r] | (uint32_t)d->mask[b * 64 + 2 * r + 1] << 16;
            for (; kept; kept &= kept - 1) {
                float *place = row + __builtin_ctz(kept) * d->planes;
                if (back) *place = *own++;
                else *own++ = *place;
            }
        }
}

/* Copy what the dense layers do not hold themselves, which is the convolutions' weights and all biases. */
static void copy_rest(const Spec *specs, int64_t n, const float *from, float *to) {
    const int64_t biases = specs[0].biases;
    memcpy(to, from, specs[2].weights * 4), memcpy(to + biases, from + biases, (n - biases) * 4);
}

static int prepare(Net *net, const Spec *specs, const uint8_t *mask, int64_t n, float *parameters) {
    memset(net, 0, sizeof *net);
    net->memory = reserve();
    if (!net->memory.first) return -1;
    Memory *memory = &net->memory;
    for (int k = 0; k < 2; k++) net->weights[k] = specs[k].weights, net->biases[k] = specs[k].biases;
    net->first_pairs = zeros(memory, GROUPS * TILE * 2), net->first_rows = zeros(memory, FILTERS * 32 * 2);
    net->second_forward = zeros(memory, STEPS * GROUPS * TILE * 2);
    net->second_back = zeros(memory, STEPS * GROUPS * TILE * 2);
    net->taps = zeros(memory, PIXELS * 32 * 2), net->tap_pairs = zeros(memory, PIXELS * 32 * 2);
    net->by_pixel = zeros(memory, TILE * 2), net->image = zeros(memory, EDGE * EDGE * FILTERS * 2);
    net->by_channel = zeros(memory, 3 * EDGE * FILTERS * SIDE * 2);
    net->slope = zeros(memory, EDGE * EDGE * FILTERS * 2), net->slope_pairs = zeros(memory, PIXELS * FILTERS * 2);
    net->first_slope = zeros(memory, PIXELS * FILTERS * 2);
    net->positive = zeros(memory, BATCH * PIXELS * 8), net->route = zeros(memory, BATCH * POOLED * GROUPS * 8);
    net->first_gradient = zeros(memory, 32 * FILTERS * 4);
    net->second_gradient = zeros(memory, 9 * FILTERS * FILTERS * 4);
    net->gradient = zeros(memory, n * 4);
    for (int i = 0; i < DENSE; i++) {
        Dense *d = net->dense + i;
        prepare_dense(memory, d, specs + 2 + i, i ? 1 : POOLED, mask);
        move(d, d->w, parameters, 0);
    }
    lay_out_filters(net, parameters);
    return 0;
}

/* Logits of `count` images, as (class, image) in the sums of the last layer. */
static void forward(
    Net *net, const float *parameters, const uint8_t *images, const int64_t *chosen, int64_t count, const float *channels,
    int training) {
    Dense *d = net->dense;
    for (int64_t n = 0; n < count; n++) {
        see(net, images + chosen[n] * COLOURS * PIXELS, channels);
        first_forward(net, parameters + net->biases[0], net->positive + n * PIXELS);
        second_forward(
            net, parameters + net->biases[1], net->route + n * POOLED * GROUPS, d->x + n * d->inputs);
    }
    memset(d->x + count * d->inputs, 0, (BATCH - count) * d->inputs * 2);
    for (int i = 0; i < DENSE; i++, d++) {
        dense_forward(d, training);
        const float *bias = parameters + d->biases;
        for (int64_t u = 0; u < d->units; u++)
            for (int n = 0; n < BATCH; n++) {
                float value = d->sums[u * BATCH + n] += bias[u];
                if (i + 1 < DENSE) d[1].x[n * d->units + u] = rounded(value > 0 ? value : 0);
            }
    }
}

/* The gradient of the mean loss by the logits in their place; return their part of the loss. */
static double loss(Dense *d, const uint8_t *labels, const int64_t *chosen, int64_t count) {
    double sum = 0;
    for (int n = 0; n < BATCH; n++) {
        float top = d->sums[n], all = 0, e[256];
        for (int64_t k = 1; k < d->units; k++) top = fmaxf(top, d->sums[k * BATCH + n]);
        for (int64_t k = 0; k < d->units; k++) all += e[k] = expf(d->sums[k * BATCH + n] - top);
        int64_t label = labels[chosen[n < count ? n : 0]];
        if (n < count) sum += logf(all) - (d->sums[label * BATCH + n] - top);
        for (int64_t k = 0; k < d->rows; k++)
            d->sums[k * BATCH + n] = n < count && k < d->units ? (e[k] / all - (k == label)) / count : 0;
    }
    return sum / count;
}

static void backward(
    Net *net, const float *parameters, const uint8_t *images, const int64_t *chosen, int64_t count,
    const float *channels) {
    for (int i = DENSE - 1; i >= 0; i--) {
        Dense *d = net->dense + i;
        dense_back(d, net->gradient);
        if (!i) break;
        for (int64_t u = 0; u < d[-1].rows; u++) /* back through the ReLU of the layer before */
            for (int n = 0; n < BATCH; n++) {
                float *value = d[-1].sums + u * BATCH + n;
                *value = *value > 0 && n < count ? widened(d->dx[n * d->inputs + u]) : 0;
            }
    }
    memset(net->first_gradient, 0, 32 * FILTERS * 4);
    memset(net->second_gradient, 0, 9 * FILTERS * FILTERS * 4);
    memset(net->gradient + net->biases[1], 0, FILTERS * 4);
    const Dense *d = net->dense;
    for (int64_t n = 0; n < count; n++) {
        see(net, images + chosen[n] * COLOURS * PIXELS, channels);
        first_again(net, parameters + net->biases[0]);
        unpool(net, net->route + n * POOLED * GROUPS, d->dx + n * d->inputs, net->gradient + net->biases[1]);
        second_back(net, net->positive + n * PIXELS);
        second_weights(net);
        first_weights(net);
    }
    collect(net);
}

int train_epoch(
    int64_t count, const Spec *specs, const int64_t *shape, const float *channels, const uint8_t *mask, int64_t n,
    float *parameters, float *first, float *second, const uint8_t *images, const uint8_t *labels, const int64_t *order,
    int64_t steps, int64_t batch, const Optimiser *optimiser, double *mean_loss) {
    (void)shape;
    Net net;
    if (prepare(&net, specs, mask, n, parameters)) return -1;
    float *flat[] = {parameters, first, second}, *rest[3];
    for (int k = 0; k < 3; k++) copy_rest(specs, n, flat[k], rest[k] = zeros(&net.memory, n * 4));
    for (int i = 0; i < DENSE; i++)
        move(net.dense + i, net.dense[i].m, first, 0), move(net.dense + i, net.dense[i].v, second, 0);
    mask = copied(&net.memory, mask, specs[2].weights);
    double sum = 0;
    unsigned state = _mm_getcsr();
    begin();
    for (int64_t s = 0; s < steps; s++) {
        const int64_t *chosen = order + s * batch, time = optimiser->time + s + 1;
        Adam adam = at_step(optimiser, time);
        forward(&net, rest[0], images, chosen, batch, channels, 1);
        sum += loss(net.dense + DENSE - 1, labels, chosen, batch);
        backward(&net, rest[0], images, chosen, batch, channels);
        for (int i = 0; i < DENSE; i++) dense_update(net.dense + i, &adam);
        for (int64_t k = 0; k < count; k++) {
            const Spec *layer = specs + k;
            if (k < 2) {
                int64_t size = layer->filters * layer->channels * 9, at = layer->weights;
                for (int64_t i = at; i < at + size; i++) net.gradient[i] *= mask[i];
                update(&adam, size, rest[0] + at, rest[1] + at, rest[2] + at, net.gradient + at);
            }
            int64_t at = layer->biases;
            update(&adam, layer->filters, rest[0] + at, rest[1] + at, rest[2] + at, net.gradient + at);
        }
        lay_out_filters(&net, rest[0]);
    }
    end(state);
    for (int k = 0; k < 3; k++) copy_rest(specs, n, rest[k], flat[k]);
    for (int i = 0; i < DENSE; i++) {
        move(net.dense + i, net.dense[i].w, parameters, 1);
        move(net.dense + i, net.dense[i].m, first, 1), move(net.dense + i, net.dense[i].v, second, 1);
    }
    *mean_loss = sum / steps;
    release(net.memory);
    return 0;
}

/* Writes the logits of the n images, shape (n, classes). */
int evaluate(
    int64_t count, const Spec *specs, const int64_t *shape, const float *channels, const uint8_t *mask,
    float *parameters, const uint8_t *images, int64_t n, float *logits) {
    (void)shape;
    Net net;
    int64_t classes = specs[count - 1].filters, total = specs[count - 1].biases + classes;
    if (prepare(&net, specs, mask, total, parameters)) return -1;
    unsigned state = _mm_getcsr();
    begin();
    for (int64_t i = 0; i < n; i += BATCH) {
        int64_t chosen[BATCH], m = n - i < BATCH ? n - i : BATCH;
        for (int64_t k = 0; k < m; k++) chosen[k] = i + k;
        forward(&net, parameters, images, chosen, m, channels, 0);
        const float *output = net.dense[DENSE - 1].sums;
        for (int64_t k = 0; k < m; k++)
            for (int64_t c = 0; c < classes; c++) logits[(i + k) * classes + c] = output[c * BATCH + k];
    }
    end(state);
    release(net.memory);
    return 0;
}

#endif
