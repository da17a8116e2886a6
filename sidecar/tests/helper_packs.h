// SPDX-License-Identifier: Apache-2.0
/*
 * Packs for tests: the uploads that put them into a repository, and reading them back by the rules
 * of docs/repository-format.md. Failures abort the test program.
 */
#pragma once

#include <stdatomic.h>
#include <stddef.h>

#include "common/cancel.h"
#include "sidecar/container.h"
#include "sidecar/packer.h"

struct buf;
struct crew;
struct entry;
struct helper_repo;
struct lanes;
struct map;

#define HELPER_PACKS_BACKUP "20261121T082118Z-full-3fa2"

struct helper_pack {
    struct container container;
    uint8_t **plain; /* of each frame */
    size_t sealed_bytes;
};

struct helper_packs {
    struct repo *repo;
    struct crew *crew;
    struct lanes *lanes;
    struct upload *upload;
    atomic_uint next_pack;
    struct packer_options options; /* for packer_new */
    struct helper_pack *packs;     /* after helper_packs_load; pack n is packs[n - 1] */
    size_t count;
};

void helper_packs_open(struct helper_packs *packs, struct helper_repo *repo, size_t buffers);
/* Waits until all is put; -1 with the crew's error. */
int helper_packs_finish(struct helper_packs *packs, struct error *err);
/* Finishes, fetches and opens all packs, checks that each ends in its hash frame and that all
 * hashes are right. */
void helper_packs_load(struct helper_packs *packs);
void helper_packs_close(struct helper_packs *packs);

size_t helper_packs_frames(const struct helper_packs *packs, enum frame_type type);
/* The bytes that a map, or the map and map frames of an entry, stand for; content is cleared. */
void helper_packs_read_map(const struct helper_packs *packs, const struct map *map,
                           struct buf *content);
void helper_packs_read(const struct helper_packs *packs, const struct entry *entry,
                       struct buf *content);
