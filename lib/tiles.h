/* What tiles.c and residual.c share: the processor's matrix unit (AMX) in macros, numbers in bf16, Adam.

   The unit knows tiles of 16 rows of 64 bytes and one operation, C (16 x 16, fp32) += A x B, A of 16 x 32 and B of
   32 x 16 in bf16, B with two neighbouring rows interleaved ("in pairs"). */

#include <immintrin.h>
#include <math.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common.h"

#define TILE 512 /* bf16 numbers of a tile */

typedef uint16_t bf16;

#define LOAD(tile, from, stride) \
    __asm__ volatile("tileloadd (%0,%1,1), %%tmm" #tile ::"r"(from), "r"((int64_t)(stride)) : "memory")
#define STORE(tile, to, stride) \
    __asm__ volatile("tilestored %%tmm" #tile ", (%0,%1,1)" ::"r"(to), "r"((int64_t)(stride)) : "memory")
#define ZERO(tile) __asm__ volatile("tilezero %%tmm" #tile ::: "memory")
#define MULTIPLY(sum, a, b) __asm__ volatile("tdpbf16ps %%tmm" #b ", %%tmm" #a ", %%tmm" #sum ::: "memory")

/* Four sums at once: two by two, of A at a and at a + down, B at b and at b + right; numbers are counted, strides bytes. */
#define ZEROS ZERO(0); ZERO(1); ZERO(2); ZERO(3)
#define BLOCK(a, down, a_stride, b, right, b_stride) \
    LOAD(4, a, a_stride); \
    LOAD(6, b, b_stride); \
    MULTIPLY(0, 4, 6); \
    LOAD(7, (b) + (right), b_stride); \
    MULTIPLY(1, 4, 7); \
    LOAD(5, (a) + (down), a_stride); \
    MULTIPLY(2, 5, 6); \
    MULTIPLY(3, 5, 7)
/* LOAD or STORE these sums where a row has `width` of them. */
#define SUMS(move, at, width) \
    move(0, at, (width) * 4); \
    move(1, (at) + 16, (width) * 4); \
    move(2, (at) + 16 * (width), (width) * 4); \
    move(3, (at) + 16 * (width) + 16, (width) * 4)

/* Ask the system for the use of the unit, which a process must do once. */
int usable(void) { return syscall(SYS_arch_prctl, 0x1023 /* ARCH_REQ_XCOMP_PERM */, 18 /* tile data */) == 0; }

/* Tiles of sums and of A have `rows` rows, those of B sixteen. */
static void shape_tiles(int rows) {
    struct {
        uint8_t palette, start, reserved[14];
        uint16_t bytes[16];
        uint8_t rows[16];
    } shape = {.palette = 1};
    for (int i = 0; i < 8; i++) shape.bytes[i] = 64, shape.rows[i] = i < 6 ? rows : 16;
    __asm__ volatile("ldtilecfg %0" ::"m"(shape) : "memory");
}

static void begin(void) {
    shape_tiles(16);
    _mm_setcsr(_mm_getcsr() | 0x8040); /* what is smaller than normal is zero, as in the matrix unit */
}

static void end(unsigned state) {
    __asm__ volatile("tilerelease" ::: "memory");
    _mm_setcsr(state);
}

static inline bf16 rounded(float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}

static inline float widened(bf16 value) {
    uint32_t bits = (uint32_t)value << 16;
    float result;
    memcpy(&result, &bits, 4);
    return result;
}

static inline __m512i rounded32(__m512 low, __m512 high) { return (__m512i)_mm512_cvtne2ps_pbh(high, low); }

/* Interleave the first (half 0) or last 16 numbers of two rows of 32. */
static inline __m512i interleaved(__m512i one, __m512i two, int half) {
    const __m512i low = _mm512_set_epi16(
        47, 15, 46, 14, 45, 13, 44, 12, 43, 11, 42, 10, 41, 9, 40, 8, 39, 7, 38, 6, 37, 5, 36, 4, 35, 3, 34, 2, 33, 1, 32, 0);
    return _mm512_permutex2var_epi16(one, half ? _mm512_add_epi16(low, _mm512_set1_epi16(16)) : low, two);
}

/* ---- the optimiser ---- */

typedef struct {
    float keep, decay, epsilon, step, correct;
} Adam;

static Adam at_step(const Optimiser *o, int64_t time) {
    return (Adam){
        o->momentum, o->decay, o->epsilon, o->rate / (1 - pow(o->momentum, time)), 1 / (1 - pow(o->decay, time))};
}

/* 1 / (sqrt(x) + epsilon) without the slow instructions: two estimates of 14 bits, each made better once. */
static inline __m512 inverse_root(__m512 x, __m512 epsilon) {
    x = _mm512_max_ps(x, _mm512_set1_ps(1e-30f));
    __m512 y = _mm512_rsqrt14_ps(x), half = _mm512_mul_ps(_mm512_mul_ps(x, y), _mm512_set1_ps(0.5f));
    y = _mm512_fmadd_ps(y, _mm512_fnmadd_ps(half, y, _mm512_set1_ps(0.5f)), y);
    __m512 sum = _mm512_fmadd_ps(x, y, epsilon), z = _mm512_rcp14_ps(sum);
    return _mm512_mul_ps(z, _mm512_fnmadd_ps(sum, z, _mm512_set1_ps(2)));
}

static inline void update(const Adam *o, int64_t n, float *w, float *m, float *v, const float *g) {
    __m512 keep = _mm512_set1_ps(1 - o->keep), decay = _mm512_set1_ps(o->decay), rest = _mm512_set1_ps(1 - o->decay);
    __m512 step = _mm512_set1_ps(o->step), correct = _mm512_set1_ps(o->correct), epsilon = _mm512_set1_ps(o->epsilon);
    for (int64_t i = 0; i < n; i += 16) {
        __mmask16 k = n - i < 16 ? (1u << (n - i)) - 1 : 0xffff;
        __m512 gradient = _mm512_maskz_loadu_ps(k, g + i);
        __m512 mean = _mm512_maskz_loadu_ps(k, m + i), square = _mm512_maskz_loadu_ps(k, v + i);
        mean = _mm512_fmadd_ps(keep, _mm512_sub_ps(gradient, mean), mean);
        square = _mm512_fmadd_ps(rest, _mm512_mul_ps(gradient, gradient), _mm512_mul_ps(decay, square));
        __m512 by = _mm512_mul_ps(mean, inverse_root(_mm512_mul_ps(square, correct), epsilon));
        _mm512_mask_storeu_ps(m + i, k, mean);
        _mm512_mask_storeu_ps(v + i, k, square);
        _mm512_mask_storeu_ps(w + i, k, _mm512_fnmadd_ps(step, by, _mm512_maskz_loadu_ps(k, w + i)));
    }
}

/* A copy of an array. */
static void *copied(Memory *memory, const void *from, int64_t bytes) { return memcpy(zeros(memory, bytes), from, bytes); }
