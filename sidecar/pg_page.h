// SPDX-License-Identifier: Apache-2.0
/* A page of a relation: its LSN and its checksum (storage/bufpage.h, storage/checksum_impl.h).
 * Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PG_PAGE_BYTES = 8192 };

uint64_t pg_page_lsn(const uint8_t *page);
/* All bytes zero. Fast on data. */
bool pg_page_is_zero(const uint8_t *page);
/* Never initialised (pd_upper is 0): such pages carry no checksum. */
bool pg_page_is_new(const uint8_t *page);
/* block is the number within the relation's fork, segments included. */
uint16_t pg_page_checksum(const uint8_t *page, uint32_t block);
/* The rule for a page read from a running server: right checksum, or new, or written since
 * start_lsn (WAL replaces it). */
bool pg_page_is_sound(const uint8_t *page, uint32_t block, uint64_t start_lsn);
