// SPDX-License-Identifier: Apache-2.0
/*
 * A file of WAL out of the repository, for a server that recovers: it, or that the WAL ends there,
 * which is said only when every region says so (wal_answer), or that nobody can tell now.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "sidecar/wal_protocol.h"

struct buf;
struct repo;
struct wal_ahead_segment;

struct wal_lookup {
    struct repo *repo;
    uint32_t segment_bytes;
};

/* Into content, whose limit must allow segment_bytes: WAL_CONTENT. Else content is of no use;
 * WAL_AGAIN: ret_why says why. */
enum wal_answer_kind wal_lookup_segment(const struct wal_lookup *lookup,
                                        const struct wal_ahead_segment *wanted, bool stop_at_gaps,
                                        struct buf *content, struct error *ret_why);
/* Only a segment that is there whole. */
MUST_CHECK int wal_lookup_whole(const struct wal_lookup *lookup,
                                const struct wal_ahead_segment *wanted, struct buf *content,
                                struct error *err);
enum wal_answer_kind wal_lookup_history(const struct wal_lookup *lookup, uint32_t timeline,
                                        struct buf *content, struct error *ret_why);
