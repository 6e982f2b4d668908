/* How sparse.c trains layers of which many weights are left: by products of whole matrices, pruned weights being zeros.
   All is for LANES images side by side, as there.

   Convolutions with 3 x 3 filters go by Winograd's F(4 x 4, 3 x 3).  A tile of 4 x 4 outputs, the patch of 6 x 6 inputs
   that it sees, and a filter become 36 numbers each; between these a convolution is 36 products over the channels, so that
   16 outputs take 36 multiplications and not 144.  With d the patch, g the filter and y the outputs,
   y = A' [(G g G') x (B' d B)] A, where x goes number by number; the gradient of g is G' [(A y A') x (B' d B)] G, y then
   being the outputs' gradient.  The numbers are values of polynomials (Winograd 1980; for networks Lavin and Gray 2016,
   arXiv:1509.09308).  The points decide how they are rounded: with 0, NEAR, -NEAR, FAR, -FAR and infinity less than with
   the usual 1 and 2, and up to three times as much as by the plain sum. */

#define TILE 4  /* outputs, in both directions */
#define PATCH 6 /* inputs */
#define POINTS (PATCH * PATCH)
#define NEAR 0.75f
#define FAR 1.5f
#define NEAR2 (NEAR * NEAR)
#define FAR2 (FAR * FAR)

#define BLOCK (WIDTH / PARTS) /* rows of a product that are summed at once */
#define EVEN 16   /* sides of the matrices are multiples of it */
#define CHUNK 512 /* inputs of a dense layer that are worked on at once: they fit the caches */

/* A vector in a register, for several products: the compiler would rather read it from memory for each, which takes longer
   than to multiply. */
static inline vec held(vec v) {
#ifdef __AVX2__
    __asm__("" : "+v"(v));
#endif
    return v;
}

/* A vector anywhere in an array of floats. */
typedef float loose __attribute__((vector_size(WIDTH * 4), aligned(4), may_alias));

#if WIDTH == 8 && defined(__AVX2__)

/* Transpose 8 x 8 floats, rows `step` floats apart. */
static inline void transpose8(const float *from, int64_t step, float *to, int64_t to_step) {
    __m256 a[8], b[8];
    for (int i = 0; i < 8; i++) a[i] = _mm256_loadu_ps(from + i * step);
    for (int i = 0; i < 8; i += 2) b[i] = _mm256_unpacklo_ps(a[i], a[i + 1]), b[i + 1] = _mm256_unpackhi_ps(a[i], a[i + 1]);
    for (int i = 0; i < 8; i += 4)
        for (int j = 0; j < 2; j++) {
            a[i + 2 * j] = _mm256_shuffle_ps(b[i + j], b[i + 2 + j], 0x44);
            a[i + 2 * j + 1] = _mm256_shuffle_ps(b[i + j], b[i + 2 + j], 0xee);
        }
    for (int i = 0; i < 4; i++) { /* a[i] holds of the first four rows the columns i and 4 + i, a[4 + i] of the others */
        _mm256_storeu_ps(to + i * to_step, _mm256_permute2f128_ps(a[i], a[4 + i], 0x20));
        _mm256_storeu_ps(to + (4 + i) * to_step, _mm256_permute2f128_ps(a[i], a[4 + i], 0x31));
    }
}

#endif

/* What LANES images have of each of n channels, (n, LANES), as what each image has of all, (LANES, n); rows lie a vector
   further apart, so that they do not share one cache set. */
static void transpose(const vec *from, int64_t n, float *to) {
#if WIDTH == 16
    for (int64_t c = 0; c < n; c += 16)
        for (int p = 0; p < PARTS; p++)
            transpose16((const uint32_t *)(from + c * PARTS + p), LANES, (uint32_t *)(to + p * 16 * (n + 16) + c), n + 16);
#elif defined(__AVX2__)
    for (int64_t c = 0; c < n; c += 8)
        for (int p = 0; p < PARTS; p++)
            transpose8((const float *)(from + c * PARTS + p), LANES, to + p * 8 * (n + 8) + c, n + 8);
#else
    const float *f = (const float *)from;
    for (int64_t i = 0; i < LANES; i++)
        for (int64_t c = 0; c < n; c++) to[i * (n + WIDTH) + c] = f[c * LANES + i];
#endif
}

/* Add to a gradient, whose rows lie `apart` floats apart, what all images give: the slope of each of `rows` rows, `step`
   floats apart, times what each image has of `columns` vectors.  So many sums at once: `tall` rows of `wide` vectors. */
static inline __attribute__((always_inline)) void outer_in(
    int tall, int wide, const float *slopes, int64_t step, int64_t rows, const vec *by_image, int64_t columns,
    float *gradient, int64_t apart) {
    for (int64_t r = 0; r < rows; r += tall)
        for (int64_t c = 0; c < columns; c += wide) {
            vec sum[8][4];
            float *at = gradient + r * apart + c * WIDTH;
            for (int a = 0; a < tall; a++)
                for (int b = 0; b < wide; b++) sum[a][b] = *(loose *)(at + a * apart + b * WIDTH);
            for (int n = 0; n < LANES; n++) {
                vec x[4];
                for (int b = 0; b < wide; b++) x[b] = held(by_image[n * (columns + 1) + c + b]);
                for (int a = 0; a < tall; a++)
                    for (int b = 0; b < wide; b++) sum[a][b] += slopes[(r + a) * step + n] * x[b];
            }
            for (int a = 0; a < tall; a++)
                for (int b = 0; b < wide; b++) *(loose *)(at + a * apart + b * WIDTH) = sum[a][b];
        }
}

static void outer(
    const float *slopes, int64_t step, int64_t rows, const vec *by_image, int64_t columns, float *gradient, int64_t apart) {
#if WIDTH == 16
    if (columns % 4 == 0)
        outer_in(4, 4, slopes, step, rows, by_image, columns, gradient, apart);
    else if (columns % 2 == 0)
        outer_in(8, 2, slopes, step, rows, by_image, columns, gradient, apart);
    else
        outer_in(8, 1, slopes, step, rows, by_image, columns, gradient, apart);
#else
    outer_in(4, 2, slopes, step, rows, by_image, columns, gradient, apart);
#endif
}

/* ---- dense layers; weights are (units, inputs), x and its gradient (inputs, PARTS) ---- */

static void dense_forward(
    const float *weights, const float *bias, int64_t units, int64_t inputs, const vec *x, vec *out) {
    for (int64_t u = 0; u < units; u++)
        for (int p = 0; p < PARTS; p++) out[u * PARTS + p] = bias[u] - (vec){};
    for (int64_t first = 0; first < inputs; first += CHUNK) {
        int64_t end = first + CHUNK < inputs ? first + CHUNK : inputs;
        for (int64_t u = 0; u < units; u += BLOCK) {
            vec sum[BLOCK][PARTS] = {}; /* of few numbers, which rounds less than of all */
            for (int64_t i = first; i < end; i++) {
                vec seen[PARTS];
                for (int p = 0; p < PARTS; p++) seen[p] = held(x[i * PARTS + p]);
                for (int b = 0; b < BLOCK; b++)
                    for (int p = 0; p < PARTS; p++) sum[b][p] += weights[(u + b) * inputs + i] * seen[p];
            }
            for (int b = 0; b < BLOCK; b++)
                for (int p = 0; p < PARTS; p++) out[(u + b) * PARTS + p] += sum[b][p];
        }
    }
}

/* The gradient of the inputs; slopes of the units lie `step` vectors apart. */
static void dense_back(const float *weights, int64_t units, int64_t inputs, const vec *slopes, int64_t step, vec *to) {
    for (int64_t first = 0; first < inputs; first += CHUNK) {
        int64_t end = first + CHUNK < inputs ? first + CHUNK : inputs;
        memset(to + first * PARTS, 0, (end - first) * PARTS * sizeof(vec));
        for (int64_t u = 0; u < units; u += BLOCK) {
            vec slope[BLOCK][PARTS];
            for (int b = 0; b < BLOCK; b++) memcpy(slope[b], slopes + (u + b) * step, sizeof slope[b]);
            for (int64_t i = first; i < end; i++)
                for (int p = 0; p < PARTS; p++) {
                    vec sum = to[i * PARTS + p];
                    for (int b = 0; b < BLOCK; b++) sum += weights[(u + b) * inputs + i] * slope[b][p];
                    to[i * PARTS + p] = sum;
                }
        }
    }
}

/* Add to the gradient of the weights; `by_image` has room for CHUNK inputs of LANES images, transposed. */
static void dense_gradient(
    int64_t units, int64_t inputs, const vec *x, const vec *slopes, int64_t step, vec *by_image, float *gradient) {
    for (int64_t first = 0; first < inputs; first += CHUNK) {
        int64_t n = inputs - first < CHUNK ? inputs - first : CHUNK;
        transpose(x + first * PARTS, n, (float *)by_image);
        outer((const float *)slopes, step * WIDTH, units, by_image, n / WIDTH, gradient + first, inputs);
    }
}

/* ---- convolutions ---- */

typedef struct {
    int64_t filters, channels;
    int64_t plane;         /* vectors from one point to the next: see SKEW */
    float *forward, *back; /* filters: (POINTS, filters / BLOCK, channels, BLOCK), and the other way round */
    float *gradient;       /* (POINTS, filters, channels) */
    vec *seen, *sums;      /* (POINTS, channels, PARTS) and (POINTS, filters, PARTS) of one tile, or the other way round */
    vec *by_image;         /* (LANES, channels), transposed: one point of `seen` */
} Winograd;

static int make_winograd(Memory *memory, Winograd *w, int64_t filters, int64_t channels) {
    int64_t all = POINTS * filters * channels * (int64_t)sizeof(float), most = filters > channels ? filters : channels;
    *w = (Winograd){.filters = filters, .channels = channels, .plane = most * PARTS + SKEW};
    w->forward = zeros(memory, all), w->back = zeros(memory, all), w->gradient = zeros(memory, all);
    w->seen = zeros(memory, POINTS * w->plane * (int64_t)sizeof(vec));
    w->sums = zeros(memory, POINTS * w->plane * (int64_t)sizeof(vec));
    w->by_image = zeros(memory, LANES * (channels + WIDTH) * (int64_t)sizeof(float));
    return w->by_image ? 0 : -1;
}

/* ---- the matrices, for one row or column whose numbers lie `i` or `o` apart ---- */

/* B': of a patch. */
static inline void of_patch(const vec *d, int64_t i, vec *to, int64_t o) {
    vec even = d[4 * i] - FAR2 * d[2 * i], odd = NEAR * (d[3 * i] - FAR2 * d[i]);
    to[o] = even + odd, to[2 * o] = even - odd;
    even = d[4 * i] - NEAR2 * d[2 * i], odd = FAR * (d[3 * i] - NEAR2 * d[i]);
    to[3 * o] = even + odd, to[4 * o] = even - odd;
    to[0] = d[4 * i] - (NEAR2 + FAR2) * d[2 * i] + NEAR2 * FAR2 * d[0];
    to[5 * o] = d[5 * i] - (NEAR2 + FAR2) * d[3 * i] + NEAR2 * FAR2 * d[i];
}

/* A': of outputs. */
static inline void to_tile(const vec *m, int64_t i, vec *to, int64_t o) {
    vec near = m[i] + m[2 * i], far = m[3 * i] + m[4 * i];
    to[0] = m[0] + near + far;
    to[2 * o] = NEAR2 * near + FAR2 * far;
    near = NEAR * (m[i] - m[2 * i]), far = FAR * (m[3 * i] - m[4 * i]);
    to[o] = near + far;
    to[3 * o] = NEAR2 * near + FAR2 * far + m[5 * i];
}

/* A: of the outputs' gradient. */
static inline void of_tile(const vec *y, int64_t i, vec *to, int64_t o) {
    vec even = y[0] + NEAR2 * y[2 * i], odd = NEAR * (y[i] + NEAR2 * y[3 * i]);
    to[o] = even + odd, to[2 * o] = even - odd;
    even = y[0] + FAR2 * y[2 * i], odd = FAR * (y[i] + FAR2 * y[3 * i]);
    to[3 * o] = even + odd, to[4 * o] = even - odd;
    to[0] = y[0], to[5 * o] = y[3 * i];
}

/* G. */
static const float OF_FILTER[PATCH][3] = {
#define AT(point, other) \
    {0.5f / (point * point - other) / (point * point), 0.5f / (point * point - other) / (point), 0.5f / (point * point - other)}
    {1 / (NEAR2 * FAR2), 0, 0}, AT(NEAR, FAR2), AT(-NEAR, FAR2), AT(FAR, NEAR2), AT(-FAR, NEAR2), {0, 0, 1}};

/* ---- filters ---- */

/* Lay out filters whose nine numbers begin at weights[r * row + c * column], and then lie `step` apart, as G g G': for
   `rows` rows and `columns` columns (POINTS, rows / BLOCK, columns, BLOCK). */
static void of_filters(const float *weights, int64_t rows, int64_t row, int64_t columns, int64_t column, int step, float *to) {
    for (int64_t r = 0; r < rows; r += WIDTH)
        for (int64_t c = 0; c < columns; c++) {
            vec g[9], half[PATCH][3];
            for (int k = 0; k < 9; k++)
                for (int i = 0; i < WIDTH; i++) g[k][i] = weights[(r + i) * row + c * column + k * step];
            for (int i = 0; i < PATCH; i++)
                for (int k = 0; k < 3; k++)
                    half[i][k] = OF_FILTER[i][0] * g[k] + OF_FILTER[i][1] * g[3 + k] + OF_FILTER[i][2] * g[6 + k];
            for (int k = 0; k < POINTS; k++) {
                const float *by = OF_FILTER[k % PATCH];
                const vec *h = half[k / PATCH], u = h[0] * by[0] + h[1] * by[1] + h[2] * by[2];
                for (int64_t i = 0; i < WIDTH; i += BLOCK)
                    memcpy(to + ((k * rows + r + i) * columns + c * BLOCK), (const float *)&u + i, BLOCK * sizeof(float));
            }
        }
}

/* Lay out the filters, (filters, channels, 3, 3), for the ways forward and back; set their gradient to zero. */
static void lay_out(Winograd *w, const float *weights) {
    int64_t f = w->filters, c = w->channels;
    of_filters(weights, f, 9 * c, c, 9, 1, w->forward);
    of_filters(weights + 8, c, 9, f, 9 * c, -1, w->back); /* turned around */
    memset(w->gradient, 0, POINTS * f * c * sizeof(float));
}

/* Write the gradient of the filters. */
static void collect(const Winograd *w, float *weights) {
    int64_t all = w->filters * w->channels;
    for (int64_t n = 0; n < all; n += WIDTH) {
        vec half[3][PATCH] = {};
        for (int i = 0; i < PATCH; i++)
            for (int j = 0; j < PATCH; j++)
                for (int r = 0; r < 3; r++)
                    half[r][j] += OF_FILTER[i][r] * *(vec *)(w->gradient + (i * PATCH + j) * all + n);
        for (int r = 0; r < 3; r++)
            for (int k = 0; k < 3; k++) {
                vec sum = {};
                for (int j = 0; j < PATCH; j++) sum += half[r][j] * OF_FILTER[j][k];
                for (int i = 0; i < WIDTH; i++) weights[9 * (n + i) + 3 * r + k] = sum[i];
            }
    }
}

/* ---- images ---- */

/* An array of images: channels lie `plane` vectors apart, pixels PARTS, rows `row`. */
typedef struct {
    vec *first;
    int64_t plane, row;
} Pixels;

/* B' d B of the patch that begins at row r and column c, for n channels; or A y A' of the tile there. */
static inline __attribute__((always_inline)) void transform(
    Winograd *w, Pixels x, int64_t r, int64_t c, int64_t n, int side, void (*one)(const vec *, int64_t, vec *, int64_t),
    vec *to) {
    vec half[PATCH][PATCH];
    for (int64_t k = 0; k < n; k++)
        for (int p = 0; p < PARTS; p++) {
            const vec *from = x.first + k * x.plane + r * x.row + c * PARTS + p;
            for (int i = 0; i < side; i++) /* what the next tile will read, and in `finish` write */
                for (int j = 0; j < TILE; j++) __builtin_prefetch(from + i * x.row + (side + j) * PARTS);
            for (int j = 0; j < side; j++) one(from + j * PARTS, x.row, half[0] + j, PATCH);
            for (int i = 0; i < PATCH; i++)
                one(half[i], 1, to + i * PATCH * w->plane + k * PARTS + p, w->plane);
        }
}

/* Filters times what is seen, point by point: `rows` sums over `depth` channels. */
static void multiply(Winograd *w, const float *filters, int64_t rows, int64_t depth) {
    for (int64_t k = 0; k < POINTS; k++)
        for (int64_t r = 0; r < rows; r += BLOCK) {
            const vec *x = w->seen + k * w->plane;
            vec sum[BLOCK][PARTS] = {}, *to = w->sums + k * w->plane + r * PARTS;
            for (int64_t c = 0; c < depth; c++, filters += BLOCK, x += PARTS) {
                vec seen[PARTS];
                for (int p = 0; p < PARTS; p++) seen[p] = held(x[p]);
                for (int b = 0; b < BLOCK; b++)
                    for (int p = 0; p < PARTS; p++) sum[b][p] += filters[b] * seen[p];
            }
            for (int b = 0; b < BLOCK; b++)
                for (int p = 0; p < PARTS; p++) to[b * PARTS + p] = sum[b][p];
        }
}

/* A' s A of the sums, and a bias if there are any, into the tile that begins at row r and column c, or added to it. */
static void finish(const Winograd *w, Pixels y, int64_t r, int64_t c, int64_t n, const float *bias, int joins) {
    vec half[TILE][PATCH];
    for (int64_t k = 0; k < n; k++)
        for (int p = 0; p < PARTS; p++) {
            const vec *from = w->sums + k * PARTS + p;
            vec tile[TILE][TILE], *to = y.first + k * y.plane + r * y.row + c * PARTS + p;
            for (int i = 0; i < TILE; i++)
                for (int j = 0; j < TILE; j++) __builtin_prefetch(to + i * y.row + (TILE + j) * PARTS, 1);
            for (int j = 0; j < PATCH; j++) to_tile(from + j * w->plane, PATCH * w->plane, half[0] + j, PATCH);
            for (int i = 0; i < TILE; i++) to_tile(half[i], 1, tile[i], 1);
            for (int i = 0; i < TILE; i++)
                for (int j = 0; j < TILE; j++) {
                    vec *at = to + i * y.row + j * PARTS;
                    *at = (joins ? *at : (bias ? bias[k] : 0) - (vec){}) + tile[i][j];
                }
        }
}

/* Convolve `from` channels of x into `to` of y, whose size is height x width, or add to it if it joins what is there; x has
   a pixel more on each side.  On the way back x is the gradient of the output and y that of the input. */
static void winograd(
    Winograd *w, const float *filters, int64_t from, int64_t to, Pixels x, Pixels y, int64_t height, int64_t width,
    const float *bias, int joins) {
    for (int64_t r = 0; r < height; r += TILE)
        for (int64_t c = 0; c < width; c += TILE) {
            transform(w, x, r, c, from, PATCH, of_patch, w->seen);
            multiply(w, filters, to, from);
            finish(w, y, r, c, to, bias, joins);
        }
}

/* Add to the gradient of the filters; x has a pixel more on each side than the output's gradient. */
static void winograd_gradient(Winograd *w, Pixels x, Pixels slope, int64_t height, int64_t width) {
    for (int64_t r = 0; r < height; r += TILE)
        for (int64_t c = 0; c < width; c += TILE) {
            transform(w, x, r, c, w->channels, PATCH, of_patch, w->seen);
            transform(w, slope, r, c, w->filters, TILE, of_tile, w->sums);
            for (int64_t k = 0; k < POINTS; k++) {
                transpose(w->seen + k * w->plane, w->channels, (float *)w->by_image);
                const float *slopes = (const float *)(w->sums + k * w->plane);
                float *gradient = w->gradient + k * w->filters * w->channels;
                outer(slopes, LANES, w->filters, w->by_image, w->channels / WIDTH, gradient, w->channels);
            }
        }
}
