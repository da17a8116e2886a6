// SPDX-License-Identifier: Apache-2.0
/* CRC-32C (Castagnoli) as PostgreSQL uses it, hardware-accelerated by ISA-L; final values, not
 * running registers. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* The CRC of (what crc stands for, then data); start with crc = 0. */
uint32_t crc32c_extend(uint32_t crc, const void *data, size_t size);
/* The CRC of the concatenation of two byte strings from their CRCs and the second's size. */
uint32_t crc32c_combine(uint32_t first, uint32_t second, uint64_t second_size);
/* The CRC of size zero bytes. */
uint32_t crc32c_zeros(uint64_t size);
