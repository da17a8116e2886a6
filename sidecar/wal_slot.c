// SPDX-License-Identifier: Apache-2.0
#include "sidecar/wal_slot.h"

#include <inttypes.h>

#include "common/log.h"
#include "common/own.h"
#include "sidecar/pg.h"
#include "sidecar/pg_replication.h"

int wal_slot_look(const struct wal_slot *slot, struct pg_slot *ret_found, struct error *err)
{
    CLEANUP(pg_closep) struct pg *pg = NULL;
    if (pg_open(&pg, slot->pg, err) < 0)
        return -1;
    if (slot->server && slot->server->version_num == 0 && pg_inspect(pg, slot->server, err) < 0)
        return -1;
    return pg_slot_look(pg, slot->name, ret_found, err);
}

static int check_server(const struct pg_system *system, const struct pg_server *server,
                        struct error *err)
{
    if (system->system_identifier == server->system_identifier)
        return 0;
    return error_set(err, ERROR_PERMANENT,
                     "the server that answers replication connections is database system %" PRIu64
                     ", not %" PRIu64 ": check connection.host and the proxy between",
                     system->system_identifier, server->system_identifier);
}

/* A slot that is lost for good makes way for a new one. */
static int make(const struct wal_slot *slot, struct pg_replication *replication,
                struct pg_slot *found, struct error *err)
{
    if (found->found && !found->lost)
        return 0;
    if (found->lost)
        log_warn("Made the replication slot anew, as the server gave it up", S("slot", slot->name));
    if (found->lost && pg_replication_drop_slot(replication, slot->name, err) < 0)
        return -1;
    if (pg_replication_create_slot(replication, slot->name, PG_SLOT_PERMANENT, err) < 0)
        return -1;
    return wal_slot_look(slot, found, err);
}

int wal_slot_open(const struct wal_slot *slot, struct pg_slot *found,
                  struct pg_replication **ret_replication, struct pg_system *ret_system,
                  struct error *err)
{
    CLEANUP(pg_replication_closep) struct pg_replication *replication = NULL;
    if (pg_replication_open(&replication, slot->pg, ret_system, err) < 0 ||
        check_server(ret_system, slot->server, err) < 0 || make(slot, replication, found, err) < 0)
        return -1;
    *ret_replication = TAKE(replication);
    return 0;
}

int wal_slot_drop(const struct wal_slot *slot, bool *ret_dropped, struct error *err)
{
    CLEANUP(pg_replication_closep) struct pg_replication *replication = NULL;
    struct pg_slot found;
    struct pg_system system;
    if (wal_slot_look(slot, &found, err) < 0)
        return -1;
    *ret_dropped = found.found;
    if (!found.found)
        return 0;
    if (found.active)
        return error_set(err, ERROR_TRANSIENT,
                         "replication slot '%s' is in use: end what streams with it first",
                         slot->name);
    if (pg_replication_open(&replication, slot->pg, &system, err) < 0)
        return -1;
    return pg_replication_drop_slot(replication, slot->name, err);
}
