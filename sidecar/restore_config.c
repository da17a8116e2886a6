// SPDX-License-Identifier: Apache-2.0
#include "sidecar/restore_config.h"

#include <assert.h>

#include "common/own.h"
#include "sidecar/pg_control.h"

const char *const restore_config_paths[RESTORE_CONFIG_FILES] = {"pg_hba.conf", "pg_ident.conf",
                                                                "postgresql.conf"};

static const char hba[] =
    "# Written by lifeboat-sidecar restore: the source kept its pg_hba.conf outside the data\n"
    "# directory, so it is not in the backup. Until you put yours here, the user that runs the\n"
    "# server may log in over the Unix socket, and nobody else.\n"
    "local all all peer\n";

static const char ident[] =
    "# Written by lifeboat-sidecar restore: the source kept its pg_ident.conf elsewhere.\n";

static const char settings[] =
    "# Written by lifeboat-sidecar restore: the source kept its postgresql.conf outside the data\n"
    "# directory, so it is not in the backup. These are the values that the WAL of the backup\n"
    "# demands at least; put your own settings here.\n"
    "max_connections = %u\n"
    "max_worker_processes = %u\n"
    "max_wal_senders = %u\n"
    "max_prepared_transactions = %u\n"
    "max_locks_per_transaction = %u\n"
    "track_commit_timestamp = %s\n"
    "wal_level = %s\n";

static char *format_settings(const struct pg_control *control)
{
    static const char *const levels[] = {"minimal", "replica", "logical"};
    assert(control->wal_level < ARRAY_SIZE(levels));
    return own_format(settings, control->demands.max_connections,
                      control->demands.max_worker_processes, control->demands.max_wal_senders,
                      control->demands.max_prepared_transactions,
                      control->demands.max_locks_per_transaction,
                      control->track_commit_timestamp ? "on" : "off", levels[control->wal_level]);
}

char *restore_config_format(size_t index, const struct pg_control *control)
{
    assert(index < RESTORE_CONFIG_FILES);
    switch (index) {
    case 0:
        return own_strdup(hba);
    case 1:
        return own_strdup(ident);
    default:
        return format_settings(control);
    }
}
