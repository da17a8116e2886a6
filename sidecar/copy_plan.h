// SPDX-License-Identifier: Apache-2.0
/*
 * Which objects a region lacks, by the names that all regions list. What a name promises is trusted
 * where the format allows it: a pack belongs to one backup and is never overwritten, and WAL is
 * named by its content. Pure but for the findings.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sidecar/container.h"
#include "sidecar/manifest.h"
#include "sidecar/repo.h"

struct findings;

struct copy_item {
    struct repo_name *name;   /* lent */
    enum container_kind kind; /* 0: clear text */
};

struct copy_items {
    struct copy_item *items;
    size_t count;
    uint64_t bytes; /* as the listing says */
};

void copy_items_done(struct copy_items *items);

struct copy_scene {
    struct repo_names *names; /* what is planned gets the bit of the region that it goes to */
    uint32_t from, to;        /* their bits */
    const char *from_name, *to_name;
    struct findings *findings;
};

/* Adds the packs and the WAL that a backup needs and the region lacks, from wherever they are;
 * false, and nothing is added, if any of it is nowhere: then it was told. */
bool copy_plan_backup(const struct copy_scene *scene, const struct manifest *manifest,
                      struct copy_items *items);
/* Adds all other WAL that the one region has and the other lacks, but for parts of segments that
 * are there as a whole. */
void copy_plan_wal(const struct copy_scene *scene, struct copy_items *items);
/* Adds one object unless the region has it or no other has. */
void copy_plan_object(const struct copy_scene *scene, const char *name, enum container_kind kind,
                      struct copy_items *items);
/* Whether a listing has all packs of a range, or the WAL of a range of a backup, or the history of
 * its timeline if that has one; what it lacks. */
bool copy_plan_has_packs(const struct repo_names *names, const struct manifest_packs *packs,
                         char ret_lack[REPO_NAME_MAX]);
bool copy_plan_has_wal(const struct repo_names *names, const struct manifest *manifest,
                       size_t range, char ret_lack[REPO_NAME_MAX]);
bool copy_plan_has_history(const struct repo_names *names, uint32_t timeline,
                           char ret_lack[REPO_NAME_MAX]);
/* Whether name is that of a part of a segment of WAL; that of the whole one begins with ret_prefix.
 */
bool copy_plan_whole_prefix(const char *name, char ret_prefix[REPO_NAME_MAX]);
/* What to list for the WAL. */
void copy_plan_wal_prefix(const struct manifest *manifest, size_t range,
                          char ret_prefix[REPO_NAME_MAX]);
