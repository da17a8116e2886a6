// SPDX-License-Identifier: Apache-2.0
#include "sidecar/retention.h"

#include <stdio.h>
#include <time.h>

#include "common/own.h"
#include "sidecar/timeline.h"

#define DAY_MS (INT64_C(24) * 60 * 60 * 1000)

/* Reasons that ask for all WAL since, and those that ask for the backup alone. */
enum {
    BIT_STRETCHES = 1 << RETENTION_FULLS | 1 << RETENTION_SINCE_FULL | 1 << RETENTION_WINDOW |
                    1 << RETENTION_ANCHOR,
    BIT_SINGLE = 1 << RETENTION_HELD | 1 << RETENTION_PARENT | 1 << RETENTION_UNREADABLE |
                 1 << RETENTION_LOCKED | 1 << RETENTION_NOT_YET,
};

static bool counts(const struct retention_backup *backup)
{
    return !backup->retired && !backup->unreadable;
}

static void keep(struct retention_verdict *verdict, enum retention_reason reason)
{
    verdict->reasons |= 1u << reason;
}

static bool has_rules(const struct retention_rules *rules)
{
    return (rules->fulls | rules->window_days | rules->daily | rules->weekly | rules->monthly |
            rules->yearly) != 0;
}

/* What stays whatever the rules say, but for the newest. */
static void keep_protected(const struct retention_facts *facts, struct retention_verdict *verdicts)
{
    for (size_t i = 0; i < facts->count; i++) {
        const struct retention_backup *backup = &facts->backups[i];
        if (backup->unreadable)
            keep(&verdicts[i], RETENTION_UNREADABLE);
        if (backup->held)
            keep(&verdicts[i], RETENTION_HELD);
        if (backup->parent)
            keep(&verdicts[i], RETENTION_PARENT);
        if (backup->locked)
            keep(&verdicts[i], RETENTION_LOCKED);
    }
}

/* Where all are retired, the last of them stays nevertheless: something must be left to restore. */
static void keep_newest(const struct retention_facts *facts, struct retention_verdict *verdicts)
{
    size_t newest = SIZE_MAX;
    for (size_t i = 0; i < facts->count; i++) {
        const struct retention_backup *backup = &facts->backups[i];
        if (!backup->unreadable &&
            (newest == SIZE_MAX || counts(backup) || facts->backups[newest].retired))
            newest = i;
    }
    if (newest != SIZE_MAX)
        keep(&verdicts[newest], RETENTION_NEWEST);
}

static void keep_fulls(const struct retention_facts *facts, struct retention_verdict *verdicts)
{
    unsigned found = 0;
    size_t oldest = facts->count;
    for (size_t i = facts->count; i-- > 0 && found < facts->rules.fulls;) {
        if (!counts(&facts->backups[i]) || facts->backups[i].type != BACKUP_FULL)
            continue;
        keep(&verdicts[i], RETENTION_FULLS);
        oldest = i;
        found++;
    }
    /* with fewer fulls than that, all is kept */
    for (size_t i = found < facts->rules.fulls ? 0 : oldest; i < facts->count; i++)
        if (counts(&facts->backups[i]) && !(verdicts[i].reasons & 1u << RETENTION_FULLS))
            keep(&verdicts[i], RETENTION_SINCE_FULL);
}

/* Whether all of a backup lies in the past of a timeline. */
static bool is_past(const struct retention_backup *backup, const struct retention_line *line)
{
    if (backup->timeline == line->timeline)
        return true;
    const struct timeline_span *span =
        line->history ? timeline_find(line->history, backup->timeline) : NULL;
    return span && backup->stop_lsn <= span->end_lsn;
}

/* A restore along this timeline to the beginning of the window starts from the newest backup before
 * it. Where the history is unknown, any down to the newest on the timeline itself may be that. */
static void keep_anchor(const struct retention_facts *facts, const struct retention_line *line,
                        int64_t start_ms, struct retention_verdict *verdicts)
{
    for (size_t i = facts->count; i-- > 0;) {
        const struct retention_backup *backup = &facts->backups[i];
        if (!counts(backup) || backup->finished_ms > start_ms)
            continue;
        const bool past = is_past(backup, line);
        if (past || !line->history)
            keep(&verdicts[i], RETENTION_ANCHOR);
        if (past)
            return;
    }
}

/* Whether anything happened on a timeline within the window. */
static bool is_active(const struct retention_facts *facts, const struct retention_line *line,
                      int64_t start_ms)
{
    for (size_t i = 0; i < facts->count; i++)
        if (counts(&facts->backups[i]) && facts->backups[i].timeline == line->timeline &&
            facts->backups[i].finished_ms > start_ms)
            return true;
    return line->newest_wal_ms > start_ms;
}

static void keep_window(const struct retention_facts *facts, struct retention_verdict *verdicts)
{
    const int64_t start_ms = facts->now_ms - (int64_t)facts->rules.window_days * DAY_MS;
    size_t anchor = SIZE_MAX; /* where nothing happened since, the newest before is what there is */
    if (facts->rules.window_days == 0)
        return;
    for (size_t i = 0; i < facts->count; i++) {
        if (!counts(&facts->backups[i]))
            continue;
        if (facts->backups[i].finished_ms > start_ms)
            keep(&verdicts[i], RETENTION_WINDOW);
        else
            anchor = i;
    }
    if (anchor != SIZE_MAX)
        keep(&verdicts[anchor], RETENTION_ANCHOR);
    for (size_t i = 0; i < facts->line_count; i++)
        if (is_active(facts, &facts->lines[i], start_ms))
            keep_anchor(facts, &facts->lines[i], start_ms, verdicts);
}

/* A number for the period of UTC that a moment lies in. */
static int64_t period_of(enum retention_reason rule, int64_t ms)
{
    enum { THURSDAY = 3 }; /* 1970-01-01 was one: days since the Monday before */
    const time_t seconds = (time_t)(ms / 1000);
    struct tm tm;
    if (rule == RETENTION_DAILY)
        return ms / DAY_MS;
    if (rule == RETENTION_WEEKLY)
        return (ms / DAY_MS + THURSDAY) / 7;
    gmtime_r(&seconds, &tm);
    return rule == RETENTION_MONTHLY ? (int64_t)tm.tm_year * 12 + tm.tm_mon : tm.tm_year;
}

/* The last backup of each of the newest count periods in which there is one. */
static void keep_periods(const struct retention_facts *facts, enum retention_reason rule,
                         unsigned count, struct retention_verdict *verdicts)
{
    int64_t last = 0;
    unsigned found = 0;
    for (size_t i = facts->count; i-- > 0 && found < count;) {
        if (!counts(&facts->backups[i]))
            continue;
        const int64_t period = period_of(rule, facts->backups[i].started_ms);
        if (found > 0 && period == last)
            continue;
        keep(&verdicts[i], rule);
        last = period;
        found++;
    }
}

/* Fills up with the newest of those that no rule keeps. */
static void keep_minimum(const struct retention_facts *facts, struct retention_verdict *verdicts)
{
    unsigned kept = 0;
    for (size_t i = 0; i < facts->count; i++)
        kept += counts(&facts->backups[i]) && (verdicts[i].reasons & ~(unsigned)BIT_SINGLE) != 0;
    for (size_t i = facts->count; i-- > 0 && kept < facts->rules.minimum;) {
        if (!counts(&facts->backups[i]) || (verdicts[i].reasons & ~(unsigned)BIT_SINGLE) != 0)
            continue;
        keep(&verdicts[i], RETENTION_MINIMUM);
        kept++;
    }
}

/* What a person wants to return to at any time since is told by fulls and windowDays; without
 * these, by all rules. */
static void decide_continuity(const struct retention_facts *facts,
                              struct retention_verdict *verdicts)
{
    const bool stretches = facts->rules.fulls > 0 || facts->rules.window_days > 0;
    const unsigned bits = stretches ? BIT_STRETCHES : ~(unsigned)BIT_SINGLE;
    for (size_t i = 0; i < facts->count; i++)
        verdicts[i].continuous = (verdicts[i].reasons & (bits | 1u << RETENTION_NEWEST)) != 0;
}

void retention_describe(const struct retention_rules *rules, enum retention_reason reason,
                        char ret_text[RETENTION_TEXT_BYTES])
{
    const struct {
        const char *text, *rule;
        unsigned number;
    } texts[RETENTION_REASONS] = {
        [RETENTION_NO_RULES] = {"spec.retention has no rule", NULL, 0},
        [RETENTION_NEWEST] = {"the newest", NULL, 0},
        [RETENTION_FULLS] = {"one of the newest full backups", "fulls", rules->fulls},
        [RETENTION_SINCE_FULL] = {"made since the oldest of them", "fulls", rules->fulls},
        [RETENTION_WINDOW] = {"not older", "windowDays", rules->window_days},
        [RETENTION_ANCHOR] = {"restores to the first of these days need it", "windowDays",
                              rules->window_days},
        [RETENTION_DAILY] = {"the last of its day", "daily", rules->daily},
        [RETENTION_WEEKLY] = {"the last of its week", "weekly", rules->weekly},
        [RETENTION_MONTHLY] = {"the last of its month", "monthly", rules->monthly},
        [RETENTION_YEARLY] = {"the last of its year", "yearly", rules->yearly},
        [RETENTION_MINIMUM] = {"so many stay", "minimum", rules->minimum},
        [RETENTION_HELD] = {"held", NULL, 0},
        [RETENTION_PARENT] = {"a backup that runs builds on it", NULL, 0},
        [RETENTION_UNREADABLE] = {"its manifest cannot be read: see verify", NULL, 0},
        [RETENTION_LOCKED] = {"its manifest cannot be removed yet", NULL, 0},
        [RETENTION_NOT_YET] = {"no rule keeps it any more: it goes next time", NULL, 0},
    };
    if (texts[reason].rule)
        snprintf(ret_text, RETENTION_TEXT_BYTES, "%s (%s: %u)", texts[reason].text,
                 texts[reason].rule, texts[reason].number);
    else
        snprintf(ret_text, RETENTION_TEXT_BYTES, "%s", texts[reason].text);
}

void retention_decide(const struct retention_facts *facts, struct retention_verdict *ret_verdicts)
{
    const struct retention_rules *rules = &facts->rules;
    for (size_t i = 0; i < facts->count; i++) {
        ret_verdicts[i] = (struct retention_verdict){0};
        if (!has_rules(rules) && !facts->backups[i].retired)
            keep(&ret_verdicts[i], RETENTION_NO_RULES);
    }
    keep_protected(facts, ret_verdicts);
    keep_newest(facts, ret_verdicts);
    if (rules->fulls > 0)
        keep_fulls(facts, ret_verdicts);
    keep_window(facts, ret_verdicts);
    keep_periods(facts, RETENTION_DAILY, rules->daily, ret_verdicts);
    keep_periods(facts, RETENTION_WEEKLY, rules->weekly, ret_verdicts);
    keep_periods(facts, RETENTION_MONTHLY, rules->monthly, ret_verdicts);
    keep_periods(facts, RETENTION_YEARLY, rules->yearly, ret_verdicts);
    keep_minimum(facts, ret_verdicts);
    for (size_t i = 0; i < facts->count && facts->retired_only; i++)
        if (ret_verdicts[i].reasons == 0 && !facts->backups[i].retired)
            keep(&ret_verdicts[i], RETENTION_NOT_YET);
    decide_continuity(facts, ret_verdicts);
}
