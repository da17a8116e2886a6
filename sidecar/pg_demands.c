// SPDX-License-Identifier: Apache-2.0
#include "sidecar/pg_demands.h"

static void raise_one(uint32_t *value, uint32_t more)
{
    if (more > *value)
        *value = more;
}

void pg_demands_raise(struct pg_demands *demands, const struct pg_demands *more)
{
    raise_one(&demands->max_connections, more->max_connections);
    raise_one(&demands->max_worker_processes, more->max_worker_processes);
    raise_one(&demands->max_wal_senders, more->max_wal_senders);
    raise_one(&demands->max_prepared_transactions, more->max_prepared_transactions);
    raise_one(&demands->max_locks_per_transaction, more->max_locks_per_transaction);
}
