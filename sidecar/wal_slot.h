// SPDX-License-Identifier: Apache-2.0
/* The replication slot of a policy on its server: permanent, and made anew when the server has
 * given it up. */
#pragma once

#include <stdbool.h>

#include "common/error.h"

struct pg_options;
struct pg_replication;
struct pg_server;
struct pg_slot;
struct pg_system;

struct wal_slot { /* all lent */
    const char *name;
    const struct pg_options *pg;
    struct pg_server *server; /* is inspected by the first look, unless it was; NULL: no need */
};

/* By a session that ends at once. Errors as pg_open and pg_inspect. */
MUST_CHECK int wal_slot_look(const struct wal_slot *slot, struct pg_slot *ret_found,
                             struct error *err);
/* Opens a replication connection to the server, which was inspected: the caller's
 * (pg_replication_closep). found is as the last look gave it; a slot that was not there, or that
 * the server has given up, is made, and found looked at anew. PERMANENT: another server answers;
 * else as pg_replication_open, pg_replication_create_slot and wal_slot_look. */
MUST_CHECK int wal_slot_open(const struct wal_slot *slot, struct pg_slot *found,
                             struct pg_replication **ret_replication, struct pg_system *ret_system,
                             struct error *err);
/* ret_dropped false: there was none. TRANSIENT while somebody uses it. */
MUST_CHECK int wal_slot_drop(const struct wal_slot *slot, bool *ret_dropped, struct error *err);
