// SPDX-License-Identifier: Apache-2.0
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/own.h"
#include "sidecar/lsn.h"
#include "sidecar/manifest.h"
#include "sidecar/output.h"
#include "sidecar/recovery_time.h"
#include "sidecar/recovery_windows.h"
#include "sidecar/table.h"

enum { NUMBER_TEXT = 24 };

static json_t *lsn_to_json(uint64_t lsn)
{
    char text[LSN_TEXT_BYTES];
    lsn_format(lsn, text);
    return json_string(text);
}

static json_t *point_to_json(const struct recovery_point *point)
{
    char time[RECOVERY_TIME_BYTES];
    recovery_time_format(point->time_us, time);
    return json_pack("{s:I, s:o, s:s}", "timeline", (json_int_t)point->timeline, "lsn",
                     lsn_to_json(point->lsn), "time", time);
}

json_t *output_window_to_json(const struct recovery_window *window)
{
    json_t *backups = window->backups ? json_array() : NULL;
    for (size_t i = 0; i < window->backup_count; i++)
        json_array_append_new(backups, json_string(window->backups[i]->id));
    return json_pack("{s:I, s:o, s:o, s:b, s:b, s:o*}", "timeline", (json_int_t)window->timeline,
                     "from", point_to_json(&window->from), "to", point_to_json(&window->to), "idle",
                     !window->to_is_transaction, "ended", window->ended, "backups", backups);
}

static json_t *gap_to_json(const struct wal_span *gap)
{
    return json_pack("{s:I, s:o, s:o}", "timeline", (json_int_t)gap->timeline, "from",
                     lsn_to_json(gap->from), "to", lsn_to_json(gap->to));
}

static json_t *to_json(const struct recovery_windows *windows)
{
    json_t *open = json_array(), *gaps = json_array();
    for (size_t i = 0; i < windows->count; i++)
        json_array_append_new(open, output_window_to_json(&windows->windows[i]));
    for (size_t i = 0; i < windows->gap_count; i++)
        json_array_append_new(gaps, gap_to_json(&windows->gaps[i]));
    return json_pack("{s:o, s:o}", "windows", open, "gaps", gaps);
}

/* "2026-11-21 16:14:20Z": whoever aims between two seconds reads the JSON. */
void output_second(int64_t us, char ret_text[RECOVERY_TIME_BYTES])
{
    const size_t date = strlen("2026-11-21"), whole = strlen("2026-11-21T16:14:20");
    recovery_time_format(us, ret_text);
    ret_text[date] = ' ';
    memcpy(ret_text + whole, "Z", sizeof("Z"));
}

static void add_window(struct table *table, const struct recovery_window *window)
{
    char timeline[NUMBER_TEXT], backups[NUMBER_TEXT];
    char from[RECOVERY_TIME_BYTES], to[RECOVERY_TIME_BYTES];
    char from_lsn[LSN_TEXT_BYTES], to_lsn[LSN_TEXT_BYTES];
    snprintf(timeline, sizeof(timeline), "%" PRIu32, window->timeline);
    snprintf(backups, sizeof(backups), "%zu", window->backup_count);
    output_second(window->from.time_us, from);
    output_second(window->to.time_us, to);
    lsn_format(window->from.lsn, from_lsn);
    lsn_format(window->to.lsn, to_lsn);
    const char *const cells[] = {from, to, from_lsn, to_lsn, timeline, backups};
    table_add_row(table, cells);
}

static void add_gap(struct table *table, const struct wal_span *gap)
{
    char from[LSN_TEXT_BYTES], to[LSN_TEXT_BYTES];
    lsn_format(gap->from, from);
    lsn_format(gap->to, to);
    CLEANUP(own_freep)
    char *note = own_format("no WAL from %s to %s on timeline %" PRIu32, from, to, gap->timeline);
    table_add_note(table, "gap", note);
}

int output_windows(const struct recovery_windows *windows, bool json, struct error *err)
{
    static const struct table_column columns[] = {
        {.title = "RECOVERABLE FROM"},        {.title = "TO"},
        {.title = "FROM LSN", .spared = 2},   {.title = "TO LSN"},
        {.title = "TIMELINE", .right = true}, {.title = "BACKUPS", .right = true, .spared = 1},
    };
    if (json)
        return output_json(to_json(windows), err);
    if (windows->count == 0)
        return output_text("Nothing can be recovered yet.\n", err);
    CLEANUP(table_freep) struct table *table = table_new(columns, ARRAY_SIZE(columns));
    for (size_t i = 0; i < windows->count; i++)
        add_window(table, &windows->windows[i]);
    for (size_t i = 0; i < windows->gap_count; i++)
        add_gap(table, &windows->gaps[i]);
    return output_table(table, err);
}
