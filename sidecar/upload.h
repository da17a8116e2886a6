// SPDX-License-Identifier: Apache-2.0
/*
 * Puts packs into the regions beside the work that makes them. It owns the pack buffers, so that
 * memory is bounded by their number: whoever wants to fill one waits until an upload gave one back.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/digest.h"
#include "common/error.h"
#include "sidecar/repo.h"

struct cancel;
struct crew;
struct upload;

/* Of a pack with a worker's other memory (frame, hashes, zstd context) within 16 MiB. */
enum { UPLOAD_BUFFER_BYTES = 12 << 20 };

/* buffers: workers + uploads. Lends repo and cancel. */
struct upload *upload_new(struct repo *repo, size_t buffers, const struct cancel *cancel);
void upload_freep(struct upload **upload); /* after its crew was joined */
/* Starts the threads that put packs. */
MUST_CHECK int upload_start(struct upload *upload, struct crew *crew, size_t threads,
                            struct error *err);

/* Waits for a free buffer of UPLOAD_BUFFER_BYTES. */
MUST_CHECK int upload_buffer(struct upload *upload, uint8_t **ret_buffer, struct error *err);
/* A filled buffer, under its name below the repository; takes the buffer. Waits only for place in
 * the queue. */
MUST_CHECK int upload_submit(struct upload *upload, uint8_t *buffer, const char *name, size_t size,
                             const uint8_t sha256[DIGEST_BYTES], struct error *err);
/* No more will come: its threads end when all is put. Then join the crew. */
void upload_close(struct upload *upload);
uint64_t upload_stored_bytes(const struct upload *upload);
