// SPDX-License-Identifier: Apache-2.0
/*
 * What a restore adds to postgresql.auto.conf, which wins over every other file: a copy archives
 * nowhere, follows nobody, takes nobody's slot (its subscriptions rest, or they would take over
 * those of the source at their publishers), waits for no standby's answer and runs none of the
 * source's commands of recovery, whatever its configuration says; and, with a target, how it
 * recovers to it. What an earlier restore added is replaced. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

struct pg_demands;
struct recovery_target;

#define RECOVERY_SETTINGS_PATH "postgresql.auto.conf"

/* All lent. */
struct recovery_settings {
    const struct recovery_target *target; /* of a kind but NONE */
    uint32_t timeline;                    /* that leads to it */
    const char *restore_command;
    const struct pg_demands *demands; /* of the WAL that it replays */
};
/* The file with ours behind what was there before (""); settings NULL: there is no target.
 * own_freep. */
char *recovery_settings_apply(const char *before, const struct recovery_settings *settings);

/* How a server gets the WAL that it asks for; all lent. */
struct recovery_command {
    const char *program, *policy; /* absolute paths */
    const char *asker;            /* likewise: lifeboat-wal-fetch, which is quicker; may be NULL */
    const char *secrets;          /* likewise; may be NULL */
    const char *const *regions;   /* those that are asked, in their order; none: the policy's */
    size_t region_count;
    uint64_t system_identifier;
    bool stop_at_gaps; /* there is a target, which the server fails without: see wal-fetch */
};
/* As restore_command has it, quoted for the shell and for PostgreSQL, but not for a file
 * (own_freep). PERMANENT: a path of several lines. */
MUST_CHECK int recovery_settings_format_command(const struct recovery_command *command,
                                                char **ret_text, struct error *err);
