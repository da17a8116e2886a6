// SPDX-License-Identifier: Apache-2.0
#include "sidecar/output.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/own.h"
#include "common/text.h"
#include "sidecar/cli.h"
#include "sidecar/lsn.h"
#include "sidecar/overview.h"
#include "sidecar/restore.h"
#include "sidecar/table.h"

enum {
    SIZE_TEXT = 16,
    DURATION_TEXT = 24,
    DAMAGE_TEXT = 40,
    REAL_DIGITS = 15, /* all that a double keeps: 0.3 and not 0.29999999999999999 */
};

static int flush_output(struct error *err)
{
    if (fflush(stdout) != 0 || ferror(stdout))
        return error_errno(err, errno ? errno : EIO, "write to standard output");
    return 0;
}

int output_text(const char *text, struct error *err)
{
    fputs(text, stdout);
    return flush_output(err);
}

int output_json(json_t *json, struct error *err)
{
    json_dumpf(json, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(REAL_DIGITS));
    fputc('\n', stdout);
    json_decref(json);
    return flush_output(err);
}

int output_error(const struct error *failure, struct error *err)
{
    CLEANUP(own_freep) char *text = text_escape(failure->text);
    return output_json(json_pack("{s:{s:s, s:s}}", "error", "kind", error_kind_name(failure->kind),
                                 "message", text),
                       err);
}

/* How many times smaller what is stored is than what it restores to: "10.2". */
static void format_ratio(const struct manifest *manifest, char ret_text[SIZE_TEXT])
{
    if (manifest->bytes_stored == 0)
        snprintf(ret_text, SIZE_TEXT, "-");
    else
        snprintf(ret_text, SIZE_TEXT, "%.1f",
                 (double)manifest->bytes_total / (double)manifest->bytes_stored);
}

/* Of the terminal on stdout; 0 elsewhere: nobody's lines are cut. */
static size_t terminal_width(void)
{
    struct winsize size;
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

int output_table(const struct table *table, struct error *err)
{
    CLEANUP(own_freep) char *text = table_format(table, terminal_width());
    return output_text(text, err);
}

/* "eu, us"; own_freep. */
static char *join_names(const json_t *names)
{
    size_t i;
    json_t *name;
    char *joined = own_strdup("");
    json_array_foreach(names, i, name)
    {
        CLEANUP(own_freep) char *before = joined;
        joined = own_format("%s%s%s", before, i > 0 ? ", " : "", json_string_value(name));
    }
    return joined;
}

/* "2026-11-21 08:21Z": before which all is in the backup. */
static void format_minute(int64_t ms, char ret_text[CLOCK_TEXT_BYTES])
{
    char *const time_of_day = ret_text + strlen("2026-11-21");
    clock_format(ms, ret_text);
    time_of_day[0] = ' ';
    memcpy(time_of_day + strlen(" 08:21"), "Z", sizeof("Z"));
}

static void add_row(struct table *table, const struct output_row *row)
{
    const struct manifest *manifest = &row->manifest;
    char age[DURATION_TEXT], size[SIZE_TEXT], stored[SIZE_TEXT], ratio[SIZE_TEXT],
        time[CLOCK_TEXT_BYTES], damage[DAMAGE_TEXT] = "";
    if (row->error) {
        CLEANUP(own_freep) char *escaped = text_escape(row->error);
        CLEANUP(own_freep) char *note = own_format("cannot be read: %s", escaped);
        table_add_note(table, row->id, note);
        return;
    }
    CLEANUP(own_freep) char *regions = join_names(row->regions);
    text_age(clock_now_ms() - manifest->finished_ms, age);
    text_size(manifest->bytes_total, size);
    text_size(manifest->bytes_stored, stored);
    format_ratio(manifest, ratio);
    format_minute(manifest->finished_ms, time);
    if (manifest->page_error_count > 0)
        snprintf(damage, sizeof(damage), "%" PRIu64 " damaged page%s", manifest->page_error_count,
                 manifest->page_error_count == 1 ? "" : "s");
    const char *const cells[] = {
        row->id, backup_type_words[manifest->type], age, size, stored, ratio, time, regions,
        damage};
    table_add_row(table, cells);
}

static json_t *document(const struct manifest *manifest)
{
    char hash[2 * sizeof(manifest->sha256) + 1];
    json_t *json = manifest_to_json(manifest);
    text_hex(manifest->sha256, sizeof(manifest->sha256), hash);
    json_object_set_new(json, "sha256", json_string(hash));
    return json;
}

static json_t *backup_to_json(const struct output_backup *backup)
{
    json_t *json = document(backup->manifest);
    json_object_set(json, "regions", backup->regions);
    json_object_set(json, "missingRegions", backup->missing_regions);
    if (backup->losses)
        json_object_set(json, "lostRegions", backup->losses);
    return json;
}

static json_t *row_to_json(const struct output_row *row)
{
    if (row->error)
        return json_pack("{s:s, s:O, s:s}", "id", row->id, "regions", row->regions, "error",
                         row->error);
    json_t *json = document(&row->manifest);
    json_object_set(json, "regions", row->regions);
    return json;
}

int output_list(const struct output_row *rows, size_t count, bool json, struct error *err)
{
    static const struct table_column columns[] = {
        {.title = "BACKUP"},
        {.title = "TYPE", .spared = 2}, /* the id says what was asked for */
        {.title = "AGE", .right = true, .spared = 3},
        {.title = "SIZE", .right = true},
        {.title = "STORED", .right = true},
        {.title = "RATIO", .right = true, .spared = 1},
        {.title = "RECOVERABLE TO"},
        {.title = "REGIONS"},
        {.title = ""},
    };
    if (json) {
        json_t *array = json_array();
        for (size_t i = 0; i < count; i++)
            json_array_append_new(array, row_to_json(&rows[i]));
        return output_json(array, err);
    }
    if (count == 0)
        return output_text("No backups yet.\n", err);
    CLEANUP(table_freep) struct table *table = table_new(columns, ARRAY_SIZE(columns));
    for (size_t i = 0; i < count; i++)
        add_row(table, &rows[i]);
    return output_table(table, err);
}

/* NULL: not known. */
static json_t *windows_to_json(const struct overview_region *region)
{
    if (!region->windows_known)
        return NULL;
    json_t *windows = json_array();
    for (size_t i = 0; i < region->window_count; i++)
        json_array_append_new(windows, output_window_to_json(&region->windows[i]));
    return windows;
}

static json_t *region_to_json(const struct overview_region *region)
{
    CLEANUP(own_freep) char *text = region->reachable ? NULL : text_escape(region->error.text);
    char from[RECOVERY_TIME_BYTES], to[RECOVERY_TIME_BYTES];
    const bool recoverable = region->window_count > 0;
    recovery_time_format(region->from_us, from);
    recovery_time_format(region->to_us, to);
    return json_pack("{s:s, s:b, s:s?, s:I, s:I, s:s?, s:s*, s:s*, s:o*}", "name", region->name,
                     "reachable", region->reachable, "error", text, "backups",
                     (json_int_t)region->backups, "bytes", (json_int_t)region->bytes, "lastBackup",
                     region->last_backup[0] ? region->last_backup : NULL, "recoverableFrom",
                     recoverable ? from : NULL, "recoverableTo", recoverable ? to : NULL, "windows",
                     windows_to_json(region));
}

static void add_region(struct table *table, const struct overview_region *region)
{
    char backups[SIZE_TEXT], stored[SIZE_TEXT];
    char from[RECOVERY_TIME_BYTES] = "-", to[RECOVERY_TIME_BYTES] = "-";
    if (!region->reachable) {
        CLEANUP(own_freep) char *escaped = text_escape(region->error.text);
        CLEANUP(own_freep) char *note = own_format("cannot be reached: %s", escaped);
        table_add_note(table, region->name, note);
        return;
    }
    snprintf(backups, sizeof(backups), "%" PRIu64, region->backups);
    text_size(region->bytes, stored);
    if (region->window_count > 0) {
        output_second(region->from_us, from);
        output_second(region->to_us, to);
    }
    const char *const cells[] = {region->name, backups,
                                 stored,       region->last_backup[0] ? region->last_backup : "-",
                                 from,         to};
    table_add_row(table, cells);
}

int output_overview(const struct overview *overview, const struct cli_options *options,
                    struct error *err)
{
    static const struct table_column columns[] = {
        {.title = "REGION"},
        {.title = "BACKUPS", .right = true},
        {.title = "STORED", .right = true},
        {.title = "NEWEST BACKUP"},
        {.title = "RECOVERABLE FROM"}, /* these two with windows only */
        {.title = "TO"},
    };
    if (options->json) {
        json_t *array = json_array();
        for (size_t i = 0; i < overview->count; i++)
            json_array_append_new(array, region_to_json(&overview->regions[i]));
        return output_json(array, err);
    }
    CLEANUP(table_freep)
    struct table *table = table_new(columns, ARRAY_SIZE(columns) - (options->windows ? 0 : 2));
    for (size_t i = 0; i < overview->count; i++)
        add_region(table, &overview->regions[i]);
    return output_table(table, err);
}

__attribute__((format(printf, 2, 3))) static void print_field(const char *name, const char *format,
                                                              ...)
{
    va_list arguments;
    va_start(arguments, format);
    printf("%-18s  ", name);
    vprintf(format, arguments);
    fputc('\n', stdout);
    va_end(arguments);
}

static void print_sizes(const struct manifest *manifest)
{
    char total[SIZE_TEXT], stored[SIZE_TEXT], read[SIZE_TEXT], ratio[SIZE_TEXT], reused[SIZE_TEXT];
    text_size(manifest->bytes_total, total);
    text_size(manifest->bytes_stored, stored);
    text_size(manifest->bytes_read, read);
    text_size(manifest->bytes_reused, reused);
    format_ratio(manifest, ratio);
    print_field("Files", "%" PRIu64 ", %s", manifest->files, total);
    print_field("Read", "%s", read);
    if (manifest->bytes_reused > 0)
        print_field("Taken over", "%s", reused);
    print_field("Stored", "%s, WAL included (ratio %s)", stored, ratio);
}

static void print_wal(const struct manifest *manifest)
{
    for (size_t i = 0; i < manifest->wal_count; i++) {
        char start[LSN_TEXT_BYTES], stop[LSN_TEXT_BYTES];
        lsn_format(manifest->wal[i].start_lsn, start);
        lsn_format(manifest->wal[i].stop_lsn, stop);
        print_field("WAL", "%s to %s on timeline %" PRIu32, start, stop, manifest->wal[i].timeline);
    }
}

static void print_page_errors(const struct manifest *manifest)
{
    if (manifest->page_error_count == 0) {
        print_field("Damaged pages",
                    manifest->checksums ? "none" : "unknown: data checksums are off");
        return;
    }
    print_field("Damaged pages", "%" PRIu64, manifest->page_error_count);
    for (size_t i = 0; i < manifest->page_error_shown; i++)
        print_field("", "%s block %" PRIu32, manifest->page_errors[i].path,
                    manifest->page_errors[i].block);
}

static void print_origin(const struct manifest *manifest)
{
    const char *role = manifest->from_standby ? "standby" : "primary";
    if (manifest->source_pod)
        print_field("Taken from", "a %s, pod %s", role, manifest->source_pod);
    else
        print_field("Taken from", "a %s", role);
    if (manifest->backup_name)
        print_field("Made for", "Backup %s", manifest->backup_name);
}

static void print_field_names(const char *name, const json_t *regions)
{
    if (json_array_size(regions) == 0)
        return;
    CLEANUP(own_freep) char *joined = join_names(regions);
    print_field(name, "%s", joined);
}

int output_show(const struct output_backup *backup, bool json, struct error *err)
{
    const struct manifest *manifest = backup->manifest;
    if (json)
        return output_json(backup_to_json(backup), err);
    char hash[2 * sizeof(manifest->sha256) + 1];
    char started[CLOCK_TEXT_BYTES], finished[CLOCK_TEXT_BYTES], took[DURATION_TEXT];
    clock_format(manifest->started_ms, started);
    clock_format(manifest->finished_ms, finished);
    text_duration(manifest->finished_ms - manifest->started_ms, took);
    print_field("Backup", "%s", manifest->id);
    print_field("Type", "%s", backup_type_names[manifest->type]);
    if (manifest->parent[0] != '\0')
        print_field("Parent", "%s, changes by %s", manifest->parent, manifest->change_source);
    if (manifest->fallback)
        print_field("Fell back", "%s", manifest->fallback);
    print_field("Policy", "%s/%s", manifest->policy_namespace, manifest->policy_name);
    print_field("Database system", "%" PRIu64 ", PostgreSQL %" PRIu32 ".%" PRIu32,
                manifest->system_identifier, manifest->version_num / 10000,
                manifest->version_num % 10000);
    print_origin(manifest);
    print_field_names("Regions", backup->regions);
    print_field_names("Missing in", backup->missing_regions);
    print_field("Started", "%s", started);
    print_field("Finished", "%s (%s)", finished, took);
    print_wal(manifest);
    print_sizes(manifest);
    print_page_errors(manifest);
    text_hex(manifest->sha256, sizeof(manifest->sha256), hash);
    print_field("SHA-256", "%s", hash);
    return flush_output(err);
}

static void print_losses(const struct output_backup *backup)
{
    CLEANUP(own_freep) char *missing = join_names(backup->missing_regions);
    CLEANUP(own_freep) char *regions = join_names(backup->regions);
    size_t i;
    json_t *loss;
    printf("Warning: it is missing in %s, which failed; it is in %s; 'copy' brings it there\n",
           missing, regions);
    json_array_foreach(backup->losses, i, loss)
        printf("  %s, %s: %s\n", json_string_value(json_object_get(loss, "region")),
               json_string_value(json_object_get(loss, "since")),
               json_string_value(json_object_get(loss, "error")));
}

int output_backup_done(const struct output_backup *backup, bool json, struct error *err)
{
    const struct manifest *manifest = backup->manifest;
    char total[SIZE_TEXT], stored[SIZE_TEXT], took[DURATION_TEXT];
    if (json)
        return output_json(backup_to_json(backup), err);
    text_size(manifest->bytes_total, total);
    text_size(manifest->bytes_stored, stored);
    text_duration(manifest->finished_ms - manifest->started_ms, took);
    printf("Backup %s: %" PRIu64 " files, %s, stored as %s, in %s\n", manifest->id, manifest->files,
           total, stored, took);
    if (json_array_size(backup->missing_regions) > 0)
        print_losses(backup);
    if (manifest->fallback)
        printf("Note: %s\n", manifest->fallback);
    if (manifest->page_error_count > 0)
        printf("Warning: %" PRIu64 " pages of the database are damaged: see 'show %s'\n",
               manifest->page_error_count, manifest->id);
    return flush_output(err);
}

/* As one word of a shell's. */
static void print_quoted(const char *text)
{
    putchar('\'');
    for (; *text; text++) {
        if (*text == '\'')
            fputs("'\\'", stdout);
        putchar(*text);
    }
    putchar('\'');
}

/* region: that from which most of it came */
static json_t *restore_to_json(const struct restore_result *result,
                               const struct cli_options *options)
{
    CLEANUP(own_freep) char *to = text_escape(options->to);
    json_t *regions = json_array();
    for (size_t i = 0; i < result->region_count; i++)
        json_array_append_new(regions, json_pack("{s:s, s:I}", "name", result->regions[i].name,
                                                 "fetchedBytes",
                                                 (json_int_t)result->regions[i].fetched_bytes));
    json_t *recovery = json_null();
    if (result->timeline != 0) {
        CLEANUP(own_freep) char *target = recovery_target_describe(&options->target);
        CLEANUP(own_freep) char *aim = text_escape(target);
        recovery = json_pack("{s:I, s:s, s:s}", "timeline", (json_int_t)result->timeline, "target",
                             aim, "action", recovery_action_names[options->target.action]);
    }
    return json_pack(
        "{s:s, s:s, s:s?, s:o, s:o, s:I, s:I, s:I, s:I, s:f}", "backup", result->backup, "to", to,
        "region", result->region_count > 0 ? result->regions[0].name : NULL, "regions", regions,
        "recovery", recovery, "files", (json_int_t)result->files, "bytes",
        (json_int_t)result->bytes, "keptBytes", (json_int_t)result->kept_bytes, "fetchedBytes",
        (json_int_t)result->fetched_bytes, "seconds", (double)result->duration_ms / 1000.0);
}

/* What becomes of the copy when it is started. */
static void print_recovery(const struct restore_result *result, const struct cli_options *options)
{
    static const char *const ends[] = {
        [RECOVERY_PROMOTE] = "opens",
        [RECOVERY_PAUSE] = "pauses, to be read, until pg_wal_replay_resume()",
        [RECOVERY_SHUTDOWN] = "shuts down",
    };
    if (result->timeline != 0) {
        CLEANUP(own_freep) char *target = recovery_target_describe(&options->target);
        CLEANUP(own_freep) char *escaped = text_escape(target);
        printf("It then recovers to %s on timeline %" PRIu32 " and %s\n", escaped, result->timeline,
               ends[options->target.action]);
    }
    puts("It archives nowhere and follows nobody, as its postgresql.auto.conf says");
}

int output_restore_done(const struct restore_result *result, const struct cli_options *options,
                        struct error *err)
{
    char bytes[SIZE_TEXT], took[DURATION_TEXT];
    CLEANUP(own_freep) char *escaped = text_escape(options->to);
    if (options->json)
        return output_json(restore_to_json(result, options), err);
    text_size(result->bytes, bytes);
    text_duration(result->duration_ms, took);
    printf("Restored %s to %s: %" PRIu64 " files, %s, in %s\nStart it with: pg_ctl -D ",
           result->backup, escaped, result->files, bytes, took);
    print_quoted(options->to);
    puts(" start");
    print_recovery(result, options);
    return flush_output(err);
}
