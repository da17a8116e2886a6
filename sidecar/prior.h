// SPDX-License-Identifier: Apache-2.0
/*
 * The parent of a differential or incremental backup, as the work on the child sees it: its entries
 * joined to the child's files, the backups whose packs it refers to, and which of these packs the
 * child has come to refer to. Safe from any number of threads once it is open.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "sidecar/backup_table.h"
#include "sidecar/manifest.h"

struct captured_rows;
struct map;
struct place;
struct prior;
struct repo;
struct source;

struct prior {
    struct repo *repo; /* lent */
    struct manifest manifest;
    /* Of the child: itself first, then all that the parent refers to. Does not change. */
    struct backup_table table;
    struct prior_packs *packs; /* for each of the table but the first */
};

/* Loads the parent's manifest and looks for all packs that it lists. regions: where they must be.
 * CORRUPT or NOT_FOUND: the parent cannot serve, the text says why. Lends repo. */
MUST_CHECK int prior_open(struct prior **ret_prior, struct repo *repo, const char *id,
                          const char *child_id, uint32_t regions, struct error *err);
void prior_closep(struct prior **prior);

/* Reads the parent's index beside the files of the source, both sorted by path, one frame at a
 * time: ret_known (captured_rows_freep) has a row for each file, whose places are in the table.
 * Errors as of prior_open. */
MUST_CHECK int prior_join(struct prior *prior, const struct source *source,
                          struct captured_rows **ret_known, struct error *err);

/* The place of another table in ours; CORRUPT if the parent's manifest does not list its pack. */
MUST_CHECK int prior_translate(const struct prior *prior, const struct backup_table *from,
                               struct place *place, struct error *err);
/* The size of a pack's object. */
uint64_t prior_pack_bytes(const struct prior *prior, const struct place *place);
/* Notes that the child refers to a pack, or to all packs of a map; gives the bytes of the map's
 * runs that lie in other backups than the child. */
void prior_use(struct prior *prior, const struct place *place);
uint64_t prior_use_map(struct prior *prior, const struct map *map);
/* Adds the packs that the child refers to to the list of its manifest. */
void prior_list_packs(const struct prior *prior, struct manifest *manifest);
