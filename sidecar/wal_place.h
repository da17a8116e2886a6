// SPDX-License-Identifier: Apache-2.0
/*
 * Where a stream of WAL goes on, from what the buckets have and what the server's slot keeps: no
 * state of our own is needed, and none can be wrong. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sidecar/wal_gap.h"

struct timeline;

/* All lent. */
struct wal_place_facts {
    const struct wal_span *spans; /* the WAL that a quorum of regions has, sorted by wal_gap_sort */
    size_t span_count;
    const struct timeline *history; /* of the server's timeline */
    uint64_t kept_lsn;              /* the server surely has all WAL from there on */
};

struct wal_place {
    uint32_t timeline;
    uint64_t lsn; /* the first byte that is missing at kept_lsn or behind it */
    bool joins;   /* what is there ends right before it */
    /* What is missing before that, since the last that is there: the server may have it still. to
     * is 0 if nothing is, or nothing was ever there. */
    struct wal_span gap;
    uint64_t last_lsn; /* the end of the last that is there, on this history; 0: nothing is */
};

struct wal_place wal_place_find(const struct wal_place_facts *facts);
/* Takes the part off a gap that lies before the next fork of the history: WAL of one timeline; all
 * of it where its timeline is not in the history. Nothing is left when rest->from is rest->to. */
struct wal_span wal_place_cut(const struct timeline *history, struct wal_span *rest);
