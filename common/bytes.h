// SPDX-License-Identifier: Apache-2.0
/*
 * Integers as bytes: little-endian fixed sizes and varints (LEB128, as in Protocol Buffers; signed
 * ones zigzag-coded). A reader never reads behind its end: it turns bad, gives zeros from then on,
 * and the caller looks once at the end.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

struct buf;

uint16_t bytes_load16(const void *p);
uint32_t bytes_load32(const void *p);
uint64_t bytes_load64(const void *p);
void bytes_store16(void *p, uint16_t value);
void bytes_store32(void *p, uint32_t value);
void bytes_store64(void *p, uint64_t value);

struct reader {
    const uint8_t *at, *end;
    bool bad;
};

/* A reader of memory that must outlive it; data may be NULL if size is 0. */
struct reader reader_over(const void *data, size_t size);
#define READER(data, size) reader_over(data, size)

uint64_t reader_varint(struct reader *reader);
/* A varint above max makes the reader bad and gives 0. */
uint64_t reader_varint_max(struct reader *reader, uint64_t max);
int64_t reader_zigzag(struct reader *reader);
/* The next size bytes, lent from the reader's memory, or NULL and bad. */
const uint8_t *reader_bytes(struct reader *reader, size_t size);
size_t reader_left(const struct reader *reader);
/* CORRUPT "<what>: …" if the reader went bad or did not come exactly to its end. */
MUST_CHECK int reader_end(const struct reader *reader, const char *what, struct error *err);

/* Appending to a buf whose limit the caller chose large enough; passing it is a programming error
 * (assert). */
void bytes_put8(struct buf *buf, uint8_t value);
void bytes_put_varint(struct buf *buf, uint64_t value);
void bytes_put_zigzag(struct buf *buf, int64_t value);
void bytes_put(struct buf *buf, const void *data, size_t size);
