// SPDX-License-Identifier: Apache-2.0
#include "sidecar/crc32c.h"

#include <isa-l/crc.h>

/*
 * Polynomials over GF(2) modulo that of CRC-32C, bit-reflected as in the CRC: bit 31 is x^0. The
 * polynomial is x + 1 times a primitive one of degree 31, so the powers of x repeat after 2^31 - 1.
 */
#define POLYNOMIAL UINT32_C(0x82f63b78)
#define ONE UINT32_C(0x80000000)
#define PERIOD ((UINT64_C(1) << 31) - 1)

/* x^(2^i) */
static const uint32_t squares[31] = {
    0x40000000, 0x20000000, 0x08000000, 0x00800000, 0x00008000, 0x82f63b78, 0x6ea2d55c, 0x18b8ea18,
    0x510ac59a, 0xb82be955, 0xb8fdb1e7, 0x88e56f72, 0x74c360a4, 0xe4172b16, 0x0d65762a, 0x35d73a62,
    0x28461564, 0xbf455269, 0xe2ea32dc, 0xfe7740e6, 0xf946610b, 0x3c204f8f, 0x538586e3, 0x59726915,
    0x734d5309, 0xbc1ac763, 0x7d0722cc, 0xd289cabe, 0xe94ca9bc, 0x05b74f3f, 0xa51e1f42,
};

static uint32_t multiply(uint32_t a, uint32_t b)
{
    uint32_t product = 0;
    for (; a; a <<= 1) {
        if (a & ONE)
            product ^= b;
        b = b >> 1 ^ (b & 1 ? POLYNOMIAL : 0);
    }
    return product;
}

/* What size zero bytes do to a running register: a multiplication by x^(8 size). */
static uint32_t shift(uint32_t crc, uint64_t size)
{
    uint64_t exponent = size % PERIOD * 8 % PERIOD;
    for (int i = 0; exponent; exponent >>= 1, i++)
        if (exponent & 1)
            crc = multiply(crc, squares[i]);
    return crc;
}

uint32_t crc32c_extend(uint32_t crc, const void *data, size_t size)
{
    /* ISA-L takes an int as size and declares what it only reads without const */
    unsigned char *at = (unsigned char *)(uintptr_t)data;
    while (size > 0) {
        int part = size < 1 << 30 ? (int)size : 1 << 30;
        crc = ~crc32_iscsi(at, part, ~crc);
        at += part;
        size -= (size_t)part;
    }
    return crc;
}

uint32_t crc32c_combine(uint32_t first, uint32_t second, uint64_t second_size)
{
    return shift(first, second_size) ^ second;
}

uint32_t crc32c_zeros(uint64_t size)
{
    return ~shift(~UINT32_C(0), size);
}
