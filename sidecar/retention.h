// SPDX-License-Identifier: Apache-2.0
/*
 * Which backups of a region a policy's retention keeps, and why (docs/policy.md#retention). Pure:
 * from facts to a verdict on each. Whatever the rules say, the newest backup stays, and what is
 * held, what a running backup builds on, and what cannot be read. Days, weeks (ISO 8601), months
 * and years are those of UTC, in which backup ids are: the same for whoever asks, wherever.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sidecar/backup_id.h"

struct timeline;

/* spec.retention; 0: there is no such rule. */
struct retention_rules {
    unsigned fulls, window_days, daily, weekly, monthly, yearly, minimum;
};

/* Why a backup is kept. */
enum retention_reason {
    RETENTION_NO_RULES,   /* nothing but perhaps a minimum is asked for: all are kept */
    RETENTION_NEWEST,     /* of those that will stay */
    RETENTION_FULLS,      /* one of so many newest full backups */
    RETENTION_SINCE_FULL, /* made since the oldest of those */
    RETENTION_WINDOW,     /* finished within so many days */
    RETENTION_ANCHOR,     /* restores to the beginning of these days start from it */
    RETENTION_DAILY,
    RETENTION_WEEKLY,
    RETENTION_MONTHLY,
    RETENTION_YEARLY,
    RETENTION_MINIMUM,
    RETENTION_HELD,
    RETENTION_PARENT,     /* of a backup that runs */
    RETENTION_UNREADABLE, /* nobody knows what it is */
    RETENTION_LOCKED,     /* the store does not let it go yet */
    RETENTION_NOT_YET,    /* it is to go, but nobody was warned yet */
    RETENTION_REASONS
};

/* A backup that is committed in the region. */
struct retention_backup {
    const char *id;
    enum backup_type type;
    int64_t started_ms, finished_ms; /* as its id and its manifest say */
    uint32_t timeline;               /* at its stop */
    uint64_t stop_lsn;
    bool unreadable; /* type is that of its id then, and what follows it unknown */
    bool held, parent, locked;
    bool retired; /* is to go, and does not count for any rule */
};

/* A timeline of the repository. */
struct retention_line {
    uint32_t timeline;
    const struct timeline *history; /* NULL: unknown */
    int64_t newest_wal_ms;          /* when WAL of it came last */
};

struct retention_facts {
    struct retention_rules rules;
    int64_t now_ms;                         /* by the clocks of the stores */
    const struct retention_backup *backups; /* in the order in which they were started */
    size_t count;
    const struct retention_line *lines;
    size_t line_count;
    bool retired_only; /* nothing goes that is not retired */
};

struct retention_verdict {
    uint32_t reasons; /* bit n: the retention_reason n; 0: it is to go */
    bool continuous;  /* also all WAL since it is kept; else that between its start and stop */
};

/* One verdict for each backup. */
void retention_decide(const struct retention_facts *facts, struct retention_verdict *ret_verdicts);
/* "the last of its day"; rules give the numbers. */
enum { RETENTION_TEXT_BYTES = 80 };
void retention_describe(const struct retention_rules *rules, enum retention_reason reason,
                        char ret_text[RETENTION_TEXT_BYTES]);
