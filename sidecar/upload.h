// SPDX-License-Identifier: Apache-2.0
/*
 * Puts packs into the regions beside the work that makes them, by the lanes of the repository. It
 * owns the pack buffers, so that memory is bounded by their number, however many regions there are:
 * whoever wants to fill one waits until no region needs the pack any longer that was in it.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/digest.h"
#include "common/error.h"

struct cancel;
struct repo;
struct upload;

/* Of a pack with a worker's other memory (frame, hashes, zstd context) within 16 MiB. */
enum { UPLOAD_BUFFER_BYTES = 12 << 20 };

/* buffers: workers + uploads, at most as many as the lanes take. Lends repo, which has lanes, and
 * cancel. */
struct upload *upload_new(struct repo *repo, size_t buffers, const struct cancel *cancel);
void upload_freep(struct upload **upload); /* after the lanes, which use what it lends them */

/* Waits for a free buffer of UPLOAD_BUFFER_BYTES. Also fails with the error of a pack that could
 * not be put. */
MUST_CHECK int upload_buffer(struct upload *upload, uint8_t **ret_buffer, struct error *err);
/* A filled buffer, under its name below the repository; takes the buffer. */
void upload_submit(struct upload *upload, uint8_t *buffer, const char *name, size_t size,
                   const uint8_t sha256[DIGEST_BYTES]);
/* No more will come: waits until all is put. */
MUST_CHECK int upload_finish(struct upload *upload, struct error *err);
/* Of packs that are put; all of them after upload_finish. */
uint64_t upload_stored_bytes(const struct upload *upload);
