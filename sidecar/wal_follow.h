// SPDX-License-Identifier: Apache-2.0
/*
 * Streams a server's WAL into the regions, without an end: over lost connections, regions that are
 * down, and changes of the timeline. A permanent slot keeps on the server what no quorum of regions
 * has yet; where to go on is found in the regions. The server never waits for them.
 */
#pragma once

#include "common/error.h"
#include "sidecar/connection.h"
#include "sidecar/wal_board.h"

struct cancel;
struct policy;
struct progress;
struct secrets;

struct wal_follow_options { /* all lent */
    const struct policy *policy;
    const struct secrets *secrets;
    struct connection_choice connection;
    const struct cancel *stop; /* ends it in good order; has no parent */
    struct wal_board *board;   /* wal_board_init with the name of the slot */
    struct progress *progress; /* may be NULL */
    int watch_ms;              /* between looks at the server; 0: 5 s */
    int64_t stall_ms;          /* what is not stored so long after it came is told; 0: 30 s */
};

/*
 * Until it is told to stop, which takes ten seconds at most: 0. PERMANENT: it needs a person, and
 * has never worked since it was called (later it tries again, for ever); CONFLICT: the regions have
 * WAL, or a history, that says something else than the server's: nothing of that is put.
 */
MUST_CHECK int wal_follow_run(const struct wal_follow_options *options, struct error *err);
