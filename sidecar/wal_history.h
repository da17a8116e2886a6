// SPDX-License-Identifier: Apache-2.0
/*
 * Takes the histories of a server's timelines into the repository: a recovery is told the timeline
 * on which its target lies, and PostgreSQL wants the history of that one, whichever later one leads
 * there as well.
 */
#pragma once

#include <stdint.h>

#include "common/error.h"

struct pg_replication;
struct repo;
struct timeline;

struct wal_history_source { /* all lent */
    struct repo *repo;
    struct pg_replication *replication;
    uint32_t timeline; /* the server's */
};

/* Also gives that of the server's timeline: the caller's (timeline_done). Those of the timelines
 * before it are left out where the server has none, or the repository has another. Adds the size of
 * what was put to *stored_bytes. CONFLICT as wal_archive_check_history; else as
 * pg_replication_timeline, repo_list_level and wal_archive_put_history. */
MUST_CHECK int wal_history_take(const struct wal_history_source *source,
                                struct timeline *ret_history, uint64_t *stored_bytes,
                                struct error *err);
