// SPDX-License-Identifier: Apache-2.0
/*
 * What the WAL since the parent's start changed, as PostgreSQL's WAL summaries say
 * (common/blkreftable.h): blocks of main forks, and limits. A block at or above its relation's
 * limit was cut off or made since, whatever is listed. Relation 0 of a database and tablespace
 * stands for all of them: they were copied or removed as files (CREATE DATABASE … STRATEGY
 * FILE_COPY). Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sidecar/block_set.h"

struct timeline;

/* As in PostgreSQL: database 0 for shared relations, tablespace 1663 for pg_default. */
struct changes_key {
    uint32_t tablespace, database, relfilenode;
};

struct changes_row {
    struct changes_key key;
    uint32_t block; /* or the limit */
    bool is_limit;
};

struct changes;
struct changes_relation;

struct changes *changes_new(void);
void changes_freep(struct changes **changes);
void changes_add(struct changes *changes, const struct changes_row *row);

/* The key of a relation's file by its path below PGDATA; false if it is none. */
bool changes_key_of(const char *path, struct changes_key *ret_key);
/* NULL: nothing of the relation changed. */
const struct changes_relation *changes_find(const struct changes *changes,
                                            const struct changes_key *key);
/* block counts from the start of the relation, over its segments. relation may be NULL. */
bool changes_has(const struct changes_relation *relation, uint32_t block);

/* WAL that was summarized, or is to be. */
struct changes_range {
    uint32_t timeline;
    uint64_t start_lsn, end_lsn;
};
enum { CHANGES_RANGES_MAX = 4096 };
/* The WAL of a history between two LSNs, the first of which is on timeline id; at most one range
 * for each timeline of it (the caller's array). Gives their number. */
size_t changes_plan(const struct timeline *timeline, uint32_t id, uint64_t start_lsn,
                    uint64_t end_lsn, struct changes_range *ret_ranges);
/* Whether the summaries (sorted here) cover a range without a gap; else the first LSN that is
 * missing. */
bool changes_cover(struct changes_range *summaries, size_t count, const struct changes_range *range,
                   uint64_t *ret_missing_lsn);
