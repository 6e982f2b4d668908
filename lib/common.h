/* What sparse.c, tiles.c and residual.c share: what lib/sparse.py hands to them, and where their arrays lie. */

#include <stdint.h>
#include <sys/mman.h>

/* A layer; size_y and size_x are zero of a dense one. */
typedef struct {
    int64_t filters, channels, size_y, size_x; /* shape of the weights */
    int64_t stride, padding, pool;
    int64_t weights, biases;           /* where they begin in the flat parameters */
    int64_t source, add;               /* which layers' outputs it takes and adds: -1 for the images and for none */
    int64_t linear, average;           /* whether it has no ReLU, and takes the mean over all pixels */
    int64_t scales, means, variances;  /* of batch normalisation, in the flat parameters; -1 if it has none */
} Spec;

typedef struct {
    double rate, momentum, decay, epsilon, noise; /* decay 0: SGD with momentum; else Adam */
    uint64_t seed;
    int64_t time; /* steps done before */
} Optimiser;

#define MOMENTUM 0.1f /* of running statistics */
#define EPSILON 1e-5f /* of normalisation */

/* 24 random bits of a counter (C. Wellons' "lowbias32" of seed and place), as a float in [-1, 1). */
static inline float shake(uint32_t seed, uint32_t place) {
    uint32_t x = place * 0x9e3779b9u ^ seed;
    x ^= x >> 16, x *= 0x7feb352du, x ^= x >> 15, x *= 0x846ca68bu, x ^= x >> 16;
    return (int32_t)(x >> 8) * (1.0f / 8388608) - 1;
}

/* Multiply the gradient of step `time` by one and some noise, if the optimiser has any. */
static inline void disturb(const Optimiser *o, int64_t time, int64_t n, float *gradient) {
    if (!o->noise) return;
    uint64_t h = (o->seed + time) * 0x9e3779b97f4a7c15u;
    h = (h ^ h >> 32) * 0xd6e8feb86659fd93u;
    uint32_t seed = h >> 32;
    float noise = o->noise;
    for (int64_t i = 0; i < n; i++) gradient[i] *= 1 + noise * shake(seed, i);
}

/* All arrays of a network lie side by side in large pages, where the system has such.  A step of training passes through
   so much memory that small pages must be looked up anew the next time, which takes longer than to read them.  The system
   gives pages, all zero, as they are used. */
typedef struct {
    char *first; /* NULL if there is none */
    int64_t used;
} Memory;

#define RESERVED (4LL << 30)
#define LARGE (2LL << 20)

static Memory reserve(void) {
    char *memory = mmap(NULL, RESERVED, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) return (Memory){NULL, 0};
#ifdef MADV_HUGEPAGE
    madvise(memory, RESERVED, MADV_HUGEPAGE);
#endif
    return (Memory){memory, -(intptr_t)memory & (LARGE - 1)};
}

static void release(Memory memory) {
    if (memory.first) munmap(memory.first, RESERVED);
}

/* An array of zeros, or NULL if there is no room.  Arrays begin at different places of a page, so that a number read is
   not mistaken for one just written. */
static void *zeros(Memory *memory, int64_t bytes) {
    int64_t begin = memory->used, end = begin + (bytes + 63) / 64 * 64 + 5 * 64;
    if (!memory->first || end > RESERVED) return NULL;
    memory->used = end;
    return memory->first + begin;
}

#ifdef __AVX512F__

#include <immintrin.h>

/* Transpose 16 x 16 words, rows `step` words apart. */
static inline void transpose16(const uint32_t *from, int64_t step, uint32_t *to, int64_t to_step) {
    __m512i a[16], b[16];
    for (int i = 0; i < 16; i++) a[i] = _mm512_loadu_si512(from + i * step);
    for (int i = 0; i < 16; i += 2)
        b[i] = _mm512_unpacklo_epi32(a[i], a[i + 1]), b[i + 1] = _mm512_unpackhi_epi32(a[i], a[i + 1]);
    for (int i = 0; i < 16; i += 4) {
        a[i] = _mm512_unpacklo_epi64(b[i], b[i + 2]), a[i + 1] = _mm512_unpackhi_epi64(b[i], b[i + 2]);
        a[i + 2] = _mm512_unpacklo_epi64(b[i + 1], b[i + 3]), a[i + 3] = _mm512_unpackhi_epi64(b[i + 1], b[i + 3]);
    }
    for (int i = 0; i < 4; i++) { /* now a[4 g + i] holds of rows 4 g to 4 g + 3 the columns i, 4 + i, 8 + i, 12 + i */
        b[i] = _mm512_shuffle_i32x4(a[i], a[4 + i], 0x88), b[4 + i] = _mm512_shuffle_i32x4(a[i], a[4 + i], 0xdd);
        b[8 + i] = _mm512_shuffle_i32x4(a[8 + i], a[12 + i], 0x88);
        b[12 + i] = _mm512_shuffle_i32x4(a[8 + i], a[12 + i], 0xdd);
    }
    for (int i = 0; i < 4; i++) {
        _mm512_storeu_si512(to + i * to_step, _mm512_shuffle_i32x4(b[i], b[8 + i], 0x88));
        _mm512_storeu_si512(to + (8 + i) * to_step, _mm512_shuffle_i32x4(b[i], b[8 + i], 0xdd));
        _mm512_storeu_si512(to + (4 + i) * to_step, _mm512_shuffle_i32x4(b[4 + i], b[12 + i], 0x88));
        _mm512_storeu_si512(to + (12 + i) * to_step, _mm512_shuffle_i32x4(b[4 + i], b[12 + i], 0xdd));
    }
}

#endif
