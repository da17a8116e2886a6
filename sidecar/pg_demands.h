// SPDX-License-Identifier: Apache-2.0
/* The settings by which a server wrote its WAL, of which one that replays it needs at least as much
 * ("Hot Standby" in PostgreSQL's manual): it stops where it has less. Pure. */
#pragma once

#include <stdint.h>

struct pg_demands {
    uint32_t max_connections, max_worker_processes, max_wal_senders, max_prepared_transactions,
        max_locks_per_transaction;
};

/* Each of them to what more asks for, where that is more. */
void pg_demands_raise(struct pg_demands *demands, const struct pg_demands *more);
