// SPDX-License-Identifier: Apache-2.0
#include "sidecar/recovery_settings.h"

#include <inttypes.h>
#include <string.h>

#include "common/own.h"
#include "sidecar/lsn.h"
#include "sidecar/pg_demands.h"
#include "sidecar/recovery_target.h"
#include "sidecar/recovery_time.h"
#include "sidecar/wal_protocol.h"

/* ALTER SYSTEM drops comments and keeps the settings, the last of each. */
static const char begin[] = "# Written by lifeboat-sidecar restore:\n";
static const char end[] = "# End of what lifeboat-sidecar restore wrote.\n";

static const char of_every_copy[] =
    "# a copy archives nowhere, follows nobody and waits for nobody until you say so, here or by\n"
    "# ALTER SYSTEM.\n"
    "archive_mode = 'off'\n"
    "archive_command = ''\n"
    "archive_library = ''\n"
    "archive_cleanup_command = ''\n"
    "recovery_end_command = ''\n"
    "primary_conninfo = ''\n"
    "primary_slot_name = ''\n"
    "max_logical_replication_workers = '0'\n"
    "synchronous_standby_names = ''\n";

static const char placeholders[] = "\"%f\" \"%p\"";

/* Quoted for a file of settings (guc-file.l); own_freep. */
static char *quote(const char *text)
{
    char *quoted = own_alloc(2 * strlen(text) + 1), *at = quoted;
    for (; *text; text++) {
        if (*text == '\'' || *text == '\\')
            *at++ = *text;
        *at++ = *text;
    }
    return quoted;
}

/* "2026-11-21 16:15:00.250000+00", whatever the server's TimeZone is */
static char *format_time(int64_t us)
{
    char text[RECOVERY_TIME_BYTES];
    recovery_time_format(us, text);
    text[strlen("2026-11-21")] = ' ';
    return own_format("%.*s+00", (int)strlen(text) - 1, text);
}

/* The value of the setting that names the target; own_freep. */
static char *format_target(const struct recovery_target *target)
{
    char lsn[LSN_TEXT_BYTES];
    switch (target->kind) {
    case RECOVERY_TARGET_TIME:
        return format_time(target->time_us);
    case RECOVERY_TARGET_LSN:
        lsn_format(target->lsn, lsn);
        return own_strdup(lsn);
    case RECOVERY_TARGET_XID:
        return own_format("%" PRIu32, target->xid);
    case RECOVERY_TARGET_NAME:
        return quote(target->name);
    case RECOVERY_TARGET_IMMEDIATE:
        return own_strdup("immediate");
    default:
        return own_strdup("");
    }
}

/* Settings that name targets: the source's are cleared first, as PostgreSQL takes even an empty one
 * for a second target when it comes behind another one (access/transam/xlogrecovery.c). */
static char *format_targets(const struct recovery_target *target)
{
    static const struct {
        enum recovery_target_kind kind;
        const char *name;
    } names[] = {
        {RECOVERY_TARGET_IMMEDIATE, "recovery_target"},
        {RECOVERY_TARGET_TIME, "recovery_target_time"},
        {RECOVERY_TARGET_LSN, "recovery_target_lsn"},
        {RECOVERY_TARGET_XID, "recovery_target_xid"},
        {RECOVERY_TARGET_NAME, "recovery_target_name"},
    };
    CLEANUP(own_freep) char *value = format_target(target);
    char *text = own_strdup("");
    const char *given = NULL;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        CLEANUP(own_freep) char *before = text;
        if (names[i].kind == target->kind)
            given = names[i].name;
        text = names[i].kind == target->kind ? own_strdup(before)
                                             : own_format("%s%s = ''\n", before, names[i].name);
    }
    if (!given)
        return text;
    CLEANUP(own_freep) char *before = text;
    return own_format("%s%s = '%s'\n", before, given, value);
}

/* own_freep */
static char *format_recovery(const struct recovery_settings *settings)
{
    const struct recovery_target *target = settings->target;
    const struct pg_demands *demands = settings->demands;
    CLEANUP(own_freep) char *command = quote(settings->restore_command);
    CLEANUP(own_freep) char *targets = format_targets(target);
    return own_format("# How it recovers; of no meaning without recovery.signal:\n"
                      "restore_command = '%s'\n"
                      "%s"
                      "recovery_target_inclusive = '%s'\n"
                      "recovery_target_timeline = '%" PRIu32 "'\n"
                      "recovery_target_action = '%s'\n"
                      "recovery_min_apply_delay = '0'\n"
                      "%s"
                      "# What the source had, and recovery needs at least:\n"
                      "max_connections = '%" PRIu32 "'\n"
                      "max_worker_processes = '%" PRIu32 "'\n"
                      "max_wal_senders = '%" PRIu32 "'\n"
                      "max_prepared_transactions = '%" PRIu32 "'\n"
                      "max_locks_per_transaction = '%" PRIu32 "'\n",
                      command, targets, target->exclusive ? "off" : "on", settings->timeline,
                      recovery_action_names[target->action],
                      target->action == RECOVERY_PAUSE ? "hot_standby = 'on'\n" : "",
                      demands->max_connections, demands->max_worker_processes,
                      demands->max_wal_senders, demands->max_prepared_transactions,
                      demands->max_locks_per_transaction);
}

static char *without_ours(const char *text)
{
    const char *from = strstr(text, begin), *to = from ? strstr(from, end) : NULL;
    if (!to)
        return own_strdup(text);
    return own_format("%.*s%s", (int)(from - text), text, to + strlen(end));
}

char *recovery_settings_apply(const char *before, const struct recovery_settings *settings)
{
    CLEANUP(own_freep) char *kept = without_ours(before);
    CLEANUP(own_freep) char *recovery = settings ? format_recovery(settings) : own_strdup("");
    const size_t size = strlen(kept);
    const char *line_end = size > 0 && kept[size - 1] != '\n' ? "\n" : "";
    return own_format("%s%s%s%s%s%s", kept, line_end, begin, of_every_copy, recovery, end);
}

/* A word in double quotes, in which PostgreSQL finds no placeholder; own_freep. */
static char *shell_word(const char *text)
{
    char *word = own_alloc(2 * strlen(text) + 3), *at = word;
    *at++ = '"';
    for (; *text; text++) {
        if (strchr("\"$`\\", *text))
            *at++ = '\\';
        if (*text == '%')
            *at++ = '%';
        *at++ = *text;
    }
    *at = '"';
    return word;
}

/* Appends text as it is. */
static void add_text(char **command, const char *text)
{
    CLEANUP(own_freep) char *before = *command;
    *command = own_format("%s%s", before, text);
}

static void add_word(char **command, const char *text)
{
    CLEANUP(own_freep) char *word = shell_word(text);
    add_text(command, word);
}

static void add_option(char **command, const char *option, const char *text)
{
    add_text(command, option);
    add_word(command, text);
}

static const char *gaps_option(const struct recovery_command *settings)
{
    return settings->stop_at_gaps ? " --stop-at-gaps" : "";
}

/* The question of one program, and the rest of the command, which is run where nobody answers. */
static void add_asker(char **command, const struct recovery_command *settings)
{
    if (!settings->asker)
        return;
    add_word(command, settings->asker);
    add_text(command, gaps_option(settings));
    add_text(command, " " WAL_PROTOCOL_SOCKET " ");
    add_text(command, placeholders);
    add_text(command, " ");
}

int recovery_settings_format_command(const struct recovery_command *command, char **ret_text,
                                     struct error *err)
{
    const char *const paths[] = {command->program, command->policy,
                                 command->asker ? command->asker : "",
                                 command->secrets ? command->secrets : ""};
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
        if (strpbrk(paths[i], "\n\r"))
            return error_set(err, ERROR_PERMANENT,
                             "the path '%s' has several lines, which no setting of PostgreSQL can "
                             "have",
                             paths[i]);
    CLEANUP(own_freep) char *text = own_strdup("");
    add_asker(&text, command);
    add_word(&text, command->program);
    add_option(&text, " wal-fetch -f ", command->policy);
    if (command->secrets)
        add_option(&text, " --secrets ", command->secrets);
    for (size_t i = 0; i < command->region_count; i++)
        add_option(&text, " --region ", command->regions[i]);
    *ret_text = own_format("%s --system-identifier %" PRIu64 "%s %s", text,
                           command->system_identifier, gaps_option(command), placeholders);
    return 0;
}
