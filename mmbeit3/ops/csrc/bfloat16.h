/* The storage format of bfloat16, and macros of both kernels. */
#ifndef MMBEIT3_BFLOAT16_H
#define MMBEIT3_BFLOAT16_H

#include <stdint.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

INLINE float widen(uint16_t stored) {
    uint32_t bits = (uint32_t)stored << 16;
    float number;
    memcpy(&number, &bits, sizeof number);
    return number;
}

INLINE uint16_t narrow(float number) {
    uint32_t bits;
    memcpy(&bits, &number, sizeof bits);
    if (number != number) return 0x7fc0;
    return (uint16_t)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16); /* round to nearest, ties to even */
}

#endif
