// SPDX-License-Identifier: Apache-2.0
/*
 * Keeps the replication slot on a server from which nothing is streamed, so that it can be any day:
 * makes it, and lets it go on with what a quorum of regions has, over nothing that is missing
 * unless a backup that is a day old begins behind it. Between looks, half a minute apart (five
 * minutes while a region does not answer), nothing is connected to the server.
 */
#pragma once

#include "common/error.h"
#include "sidecar/connection.h"

struct cancel;
struct policy;
struct secrets;
struct wal_board;

struct wal_hold_options { /* all lent */
    const struct policy *policy;
    const struct secrets *secrets;
    struct connection_choice connection;
    const struct cancel *stop; /* has no parent */
    struct wal_board *board;   /* wal_board_init with the name of the slot */
    int every_ms;              /* 0: 30 s */
};

/* Until it is told to stop: 0. PERMANENT: it needs a person, and has never worked since it was
 * called (later it tries again, for ever). */
MUST_CHECK int wal_hold_run(const struct wal_hold_options *options, struct error *err);
