// SPDX-License-Identifier: Apache-2.0
/*
 * Which WAL of a repository is needed, across timelines: that of each kept backup from its start to
 * its stop, and of those that are kept with all WAL since, whatever can be recovered from them,
 * along their own timeline and every one that branched off behind them. Pure. In doubt it is
 * needed.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct timeline;
struct wal_piece;

struct prune_wal_root {
    uint32_t timeline;
    uint64_t from, to; /* [from, to); UINT64_MAX: without an end, and into later timelines */
};

struct prune_wal_line {
    uint32_t timeline;
    const struct timeline *history; /* lent; NULL: unknown */
};

struct prune_wal {
    struct prune_wal_root *roots;
    size_t root_count;
    struct prune_wal_line *lines;
    size_t line_count;
};

void prune_wal_done(struct prune_wal *wal);
void prune_wal_add_root(struct prune_wal *wal, uint32_t timeline, uint64_t from, uint64_t to);
void prune_wal_add_line(struct prune_wal *wal, uint32_t timeline, const struct timeline *history);
/* Needed is a segment as a whole: it is asked for with its first byte. */
bool prune_wal_needs(const struct prune_wal *wal, const struct wal_piece *piece);
