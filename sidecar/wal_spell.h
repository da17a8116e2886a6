// SPDX-License-Identifier: Apache-2.0
/*
 * One connection's worth of an endless stream of WAL: opens the regions, finds its place in them,
 * streams, and ends in good order: everything that came is stored, also when the server is gone.
 * Whatever goes wrong, nothing is kept in memory for the next one, which finds its place anew.
 *
 * Takes a block of 16 MiB, as many sealed ones as spec.parallelism.uploads says and one more.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "sidecar/wal_gap.h"

struct cancel;
struct pg_options;
struct policy;
struct progress;
struct secrets;
struct wal_board;

/* What one spell leaves to the next. */
struct wal_spell_past {
    uint64_t system_identifier; /* of the database system that this is about; 0: nothing is known */
    uint64_t gone_lsn;      /* nothing that is missing before it is on the server; 0: not known */
    struct wal_span untold; /* … and a gap which that left, or not, as not all regions could be
                               looked through for it; its to is 0: there is none */
};

struct wal_spell_options { /* all lent */
    const struct policy *policy;
    const struct secrets *secrets;
    const struct pg_options *pg; /* but for its cancel */
    const char *slot;
    const char *const *without; /* regions that do not answer, by name */
    size_t without_count;
    struct wal_spell_past past;
    struct cancel *cancel; /* the spell's own: triggered by whatever breaks it; has no parent */
    struct wal_board *board;
    struct progress *progress; /* may be NULL */
    int64_t stall_ms;          /* as in struct wal_stream_options */
};

struct wal_spell_end {
    bool opened;                /* the repository is there in all regions that were asked for */
    bool streamed;              /* WAL came */
    struct wal_spell_past past; /* for the next one */
};

/*
 * Until the board wants its end, the timeline ends, the regions or the server would be kept
 * waiting, or another spell does better for another reason: 0. Errors: TRANSIENT, the connection or
 * the regions failed, or the slot is used by another process; PERMANENT: needs a person; CONFLICT:
 * the regions have WAL or a history that says something else; CORRUPT: the server broke the
 * protocol; CANCELED. ret_end is set in any case.
 */
MUST_CHECK int wal_spell_run(const struct wal_spell_options *options, struct wal_spell_end *ret_end,
                             struct error *err);
