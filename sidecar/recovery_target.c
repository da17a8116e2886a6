// SPDX-License-Identifier: Apache-2.0
#include "sidecar/recovery_target.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/own.h"
#include "sidecar/lsn.h"
#include "sidecar/recovery_time.h"

enum { NAME_BYTES_MAX = 63 };

const char *const recovery_action_names[] = {"promote", "pause", "shutdown", NULL};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static int set_time(struct recovery_target *target, const char *text, struct error *err)
{
    target->text = text;
    if (recovery_time_parse(text, &target->time_us))
        return 0;
    return error_set(err, ERROR_PERMANENT,
                     "--target-time '%s': expected a time with its zone, like "
                     "2026-11-21T16:15:00Z or '2026-11-21 17:15:00.25+01'",
                     text);
}

static int set_lsn(struct recovery_target *target, const char *text, struct error *err)
{
    target->text = text;
    if (lsn_parse(text, &target->lsn) && target->lsn > 0)
        return 0;
    return error_set(err, ERROR_PERMANENT, "--target-lsn '%s': expected an LSN like 0/3000148",
                     text);
}

/* As pg_current_xact_id() gives it, with the epoch, or without. */
static int set_xid(struct recovery_target *target, const char *text, struct error *err)
{
    enum { FIRST_NORMAL = 3 }; /* access/transam.h */
    char *end;
    errno = 0;
    const unsigned long long xid = strtoull(text, &end, 10);
    target->text = text;
    target->xid = (uint32_t)xid;
    if (is_digit(text[0]) && *end == '\0' && errno == 0 && target->xid >= FIRST_NORMAL)
        return 0;
    return error_set(err, ERROR_PERMANENT,
                     "--target-xid '%s': expected a transaction id, as pg_current_xact_id() "
                     "gives it",
                     text);
}

static int set_name(struct recovery_target *target, const char *text, struct error *err)
{
    const size_t length = strlen(text);
    target->text = target->name = text;
    if (length > 0 && length <= NAME_BYTES_MAX && !strpbrk(text, "\n\r"))
        return 0;
    return error_set(err, ERROR_PERMANENT,
                     "--target-name '%s': expected the name of a restore point, at most %d bytes "
                     "on one line",
                     text, NAME_BYTES_MAX);
}

/* The one target that is given. */
static int set_kind(struct recovery_target *target, const struct recovery_target_words *words,
                    struct error *err)
{
    const struct {
        enum recovery_target_kind kind;
        const char *option;
        bool given;
    } kinds[] = {
        {RECOVERY_TARGET_TIME, "--target-time", words->time},
        {RECOVERY_TARGET_LSN, "--target-lsn", words->lsn},
        {RECOVERY_TARGET_XID, "--target-xid", words->xid},
        {RECOVERY_TARGET_NAME, "--target-name", words->name},
        {RECOVERY_TARGET_IMMEDIATE, "--target-immediate", words->immediate},
        {RECOVERY_TARGET_LATEST, "--target-latest", words->latest},
    };
    const char *first = NULL;
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        if (!kinds[i].given)
            continue;
        if (first)
            return error_set(err, ERROR_PERMANENT, "%s and %s: recovery has one target", first,
                             kinds[i].option);
        first = kinds[i].option;
        target->kind = kinds[i].kind;
    }
    return 0;
}

static int set_value(struct recovery_target *target, const struct recovery_target_words *words,
                     struct error *err)
{
    switch (target->kind) {
    case RECOVERY_TARGET_TIME:
        return set_time(target, words->time, err);
    case RECOVERY_TARGET_LSN:
        return set_lsn(target, words->lsn, err);
    case RECOVERY_TARGET_XID:
        return set_xid(target, words->xid, err);
    case RECOVERY_TARGET_NAME:
        return set_name(target, words->name, err);
    default:
        return 0;
    }
}

static int set_action(struct recovery_target *target, const char *text, struct error *err)
{
    for (int i = 0; text && recovery_action_names[i]; i++) {
        if (strcmp(text, recovery_action_names[i]) != 0)
            continue;
        target->action = (enum recovery_action)i;
        return 0;
    }
    return text ? error_set(err, ERROR_PERMANENT,
                            "--target-action '%s': expected promote, pause or shutdown", text)
                : 0;
}

static int set_timeline(struct recovery_target *target, const char *text, struct error *err)
{
    char *end;
    if (!text || strcmp(text, "latest") == 0)
        return 0;
    target->timeline = RECOVERY_TIMELINE_CURRENT;
    if (strcmp(text, "current") == 0)
        return 0;
    errno = 0;
    const unsigned long long number = strtoull(text, &end, 10);
    target->timeline = RECOVERY_TIMELINE_NUMBER;
    target->timeline_number = (uint32_t)number;
    if (is_digit(text[0]) && *end == '\0' && errno == 0 && number > 0 && number <= UINT32_MAX)
        return 0;
    return error_set(err, ERROR_PERMANENT,
                     "--target-timeline '%s': expected latest, current or a number", text);
}

/* What has no meaning together. */
static int check_rest(const struct recovery_target *target,
                      const struct recovery_target_words *words, struct error *err)
{
    const enum recovery_target_kind kind = target->kind;
    if (kind == RECOVERY_TARGET_NONE && (words->timeline || words->action || words->exclusive))
        return error_set(err, ERROR_PERMANENT,
                         "--target-%s needs a target: --target-time, -lsn, -xid, -name, "
                         "-immediate or -latest",
                         words->timeline ? "timeline"
                         : words->action ? "action"
                                         : "exclusive");
    if (words->exclusive && kind != RECOVERY_TARGET_TIME && kind != RECOVERY_TARGET_LSN &&
        kind != RECOVERY_TARGET_XID)
        return error_set(err, ERROR_PERMANENT,
                         "--target-exclusive: only a time, an LSN and a transaction can be "
                         "stopped before");
    if (kind == RECOVERY_TARGET_LATEST && target->action != RECOVERY_PROMOTE)
        return error_set(err, ERROR_PERMANENT,
                         "--target-latest and --target-action %s: at the end of all WAL "
                         "PostgreSQL always promotes",
                         words->action);
    if (kind == RECOVERY_TARGET_IMMEDIATE && words->timeline)
        return error_set(err, ERROR_PERMANENT,
                         "--target-immediate and --target-timeline: the end of a backup is on "
                         "its own timeline");
    return 0;
}

int recovery_target_parse(const struct recovery_target_words *words,
                          struct recovery_target *ret_target, struct error *err)
{
    struct recovery_target target = {.exclusive = words->exclusive};
    if (set_kind(&target, words, err) < 0 || set_value(&target, words, err) < 0 ||
        set_action(&target, words->action, err) < 0 ||
        set_timeline(&target, words->timeline, err) < 0 || check_rest(&target, words, err) < 0)
        return -1;
    *ret_target = target;
    return 0;
}

char *recovery_target_describe(const struct recovery_target *target)
{
    static const char *const nouns[] = {
        [RECOVERY_TARGET_NONE] = "the end of the backup",
        [RECOVERY_TARGET_TIME] = "the time",
        [RECOVERY_TARGET_LSN] = "LSN",
        [RECOVERY_TARGET_XID] = "transaction",
        [RECOVERY_TARGET_NAME] = "restore point",
        [RECOVERY_TARGET_IMMEDIATE] = "the end of the backup",
        [RECOVERY_TARGET_LATEST] = "the end of all WAL",
    };
    return target->text ? own_format("%s '%s'", nouns[target->kind], target->text)
                        : own_strdup(nouns[target->kind]);
}
