// SPDX-License-Identifier: Apache-2.0
/*
 * Where a recovery shall end, as a person says it: one target, what becomes of the server there,
 * and which timeline leads there. What contradicts itself is refused. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

enum recovery_target_kind {
    RECOVERY_TARGET_NONE, /* the end of the backup, without recovery.signal */
    RECOVERY_TARGET_TIME,
    RECOVERY_TARGET_LSN,
    RECOVERY_TARGET_XID,
    RECOVERY_TARGET_NAME,
    RECOVERY_TARGET_IMMEDIATE, /* as soon as it is consistent: the end of the backup */
    RECOVERY_TARGET_LATEST,    /* the end of all WAL */
};

enum recovery_action { RECOVERY_PROMOTE, RECOVERY_PAUSE, RECOVERY_SHUTDOWN };
/* NULL-terminated: as PostgreSQL calls them */
extern const char *const recovery_action_names[];

enum recovery_timeline {
    RECOVERY_TIMELINE_LATEST,
    RECOVERY_TIMELINE_CURRENT, /* of the backup */
    RECOVERY_TIMELINE_NUMBER,
};

struct recovery_target {
    enum recovery_target_kind kind;
    const char *text; /* as it was given, for messages; lent, NULL: the kind says all */
    int64_t time_us;  /* since 1970 */
    uint64_t lsn;
    uint32_t xid;     /* without its epoch, as WAL has it */
    const char *name; /* lent */
    bool exclusive;   /* just before the target; of TIME, LSN and XID */
    enum recovery_action action;
    enum recovery_timeline timeline;
    uint32_t timeline_number;
};

/* As they were given on the command line, NULL for what was not; all lent. */
struct recovery_target_words {
    const char *time, *lsn, *xid, *name, *timeline, *action;
    bool immediate, latest, exclusive;
};

/* PERMANENT: names the option. */
MUST_CHECK int recovery_target_parse(const struct recovery_target_words *words,
                                     struct recovery_target *ret_target, struct error *err);
/* "the time 2026-11-21 16:15:00+01", "transaction 4711" …; own_freep. */
char *recovery_target_describe(const struct recovery_target *target);
