/* Counts the connections that units of two sparse layers share: one bit a connection, one row of 64-bit words a unit.

   lib/topology.py compiles and calls this file, and says what the arguments are. */

#include <stdint.h>

#define TILE 4 /* rows of the first layer that are compared at once, so that a row of the second is read once for all */

void shared_connections(const uint64_t *first, const uint64_t *second, int64_t rows, int64_t others, int64_t words,
                        int32_t *counts) {
    for (int64_t i = 0; i < rows; i += TILE) /* rows is a multiple of TILE */
        for (int64_t j = 0; j < others; j++) {
            const uint64_t *a = first + i * words, *b = second + j * words;
            int64_t sums[TILE] = {0};
            for (int64_t k = 0; k < words; k++)
                for (int t = 0; t < TILE; t++) sums[t] += __builtin_popcountll(a[t * words + k] & b[k]);
            for (int t = 0; t < TILE; t++) counts[(i + t) * others + j] = (int32_t)sums[t];
        }
}
