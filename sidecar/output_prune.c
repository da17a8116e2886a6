// SPDX-License-Identifier: Apache-2.0
#include <inttypes.h>
#include <stdio.h>

#include "common/buf.h"
#include "common/own.h"
#include "common/text.h"
#include "sidecar/output.h"
#include "sidecar/prune.h"

enum { REASONS_BYTES_MAX = 2048, LOCKED_SHOWN = 10, LOCKED_SHOWN_JSON = 200 };

/* For people: a line for each backup, then what was removed besides. */

static const char *wal_of(const struct prune_decision *decision)
{
    if (decision->verdict.reasons == 0)
        return NULL;
    return decision->verdict.continuous ? "since" : "own";
}

/* own_freep */
static char *reason_of(const struct output_prune *prune, const struct prune_decision *decision,
                       enum retention_reason reason)
{
    char text[RETENTION_TEXT_BYTES];
    retention_describe(prune->rules, reason, text);
    if (reason != RETENTION_LOCKED || !decision->lock)
        return own_strdup(text);
    CLEANUP(own_freep) char *lock = text_escape(decision->lock);
    return own_format("%s: %s", text, lock);
}

static int format_reasons(const struct output_prune *prune, const struct prune_decision *decision,
                          struct buf *text, struct error *err)
{
    if (decision->verdict.reasons == 0)
        return buf_format(text, err, "%s",
                          decision->retired ? "no rule keeps it; retired" : "no rule keeps it");
    for (int reason = 0; reason < RETENTION_REASONS; reason++) {
        if (!(decision->verdict.reasons & 1u << reason))
            continue;
        CLEANUP(own_freep)
        char *one = reason_of(prune, decision, (enum retention_reason)reason);
        if (buf_format(text, err, "%s%s", text->size > 0 ? "; " : "", one) < 0)
            return -1;
    }
    return 0;
}

static int print_decision(const struct output_prune *prune, const struct prune_decision *decision,
                          struct error *err)
{
    CLEANUP(buf_done) struct buf reasons = BUF(REASONS_BYTES_MAX);
    if (format_reasons(prune, decision, &reasons, err) < 0)
        return -1;
    printf("%-6s  %-27s  %-12s  %.*s\n", decision->verdict.reasons != 0 ? "keep" : "REMOVE",
           decision->id, backup_type_names[decision->type], (int)reasons.size,
           (const char *)reasons.data);
    return 0;
}

static void print_note(const char *what, const char *note)
{
    CLEANUP(own_freep) char *escaped = text_escape(note);
    if (note[0] != '\0')
        printf("note: no %s is removed: %s\n", what, escaped);
}

static void print_removed(const struct output_prune *prune, const struct prune_region *region)
{
    uint64_t bytes = 0;
    char text[16];
    printf("%s", prune->dry_run ? "would remove" : "removed");
    for (int step = 0; step < PRUNE_STEPS; step++) {
        printf("%s %" PRIu64 " %s", step > 0 ? "," : "", region->removed[step].count,
               prune_step_names[step]);
        bytes += region->removed[step].bytes;
    }
    text_size(bytes, text);
    printf(": %s\n", text);
}

static void print_locked(const struct prune_region *region)
{
    for (size_t i = 0; i < region->locked_count && i < LOCKED_SHOWN; i++) {
        CLEANUP(own_freep) char *message = text_escape(region->locked[i].message);
        printf("stays   %s: %s\n", region->locked[i].object, message);
    }
    if (region->locked_count > LOCKED_SHOWN)
        printf("stay    %zu more that are locked\n", region->locked_count - LOCKED_SHOWN);
}

static int print_region(const struct output_prune *prune, const struct prune_region *region,
                        struct error *err)
{
    printf("Region %s\n", region->name);
    for (size_t i = 0; i < region->decision_count; i++)
        if (print_decision(prune, &region->decisions[i], err) < 0)
            return -1;
    print_note("pack", region->packs_kept);
    print_note("WAL", region->wal_kept);
    print_locked(region);
    if (region->error.kind != ERROR_NONE) {
        CLEANUP(own_freep) char *escaped = text_escape(region->error.text);
        printf("FAILED: %s\n", escaped);
    }
    print_removed(prune, region);
    return 0;
}

/* For programs */

static json_t *decision_to_json(const struct output_prune *prune,
                                const struct prune_decision *decision)
{
    json_t *reasons = json_array();
    for (int reason = 0; reason < RETENTION_REASONS; reason++) {
        if (!(decision->verdict.reasons & 1u << reason))
            continue;
        CLEANUP(own_freep)
        char *one = reason_of(prune, decision, (enum retention_reason)reason);
        json_array_append_new(reasons, json_string(one));
    }
    return json_pack("{s:s, s:s, s:b, s:o, s:s?, s:b}", "backup", decision->id, "type",
                     backup_type_names[decision->type], "keep", decision->verdict.reasons != 0,
                     "reasons", reasons, "wal", wal_of(decision), "retired", decision->retired);
}

static json_t *note_to_json(const char *note)
{
    CLEANUP(own_freep) char *escaped = text_escape(note);
    return note[0] != '\0' ? json_string(escaped) : json_null();
}

static json_t *locked_to_json(const struct prune_region *region)
{
    json_t *first = json_array();
    for (size_t i = 0; i < region->locked_count && i < LOCKED_SHOWN_JSON; i++)
        json_array_append_new(first, json_pack("{s:s, s:o}", "object", region->locked[i].object,
                                               "message", note_to_json(region->locked[i].message)));
    return json_pack("{s:I, s:o}", "count", (json_int_t)region->locked_count, "first", first);
}

static json_t *region_to_json(const struct output_prune *prune, const struct prune_region *region)
{
    json_t *backups = json_array(), *removed = json_object();
    for (size_t i = 0; i < region->decision_count; i++)
        json_array_append_new(backups, decision_to_json(prune, &region->decisions[i]));
    for (int step = 0; step < PRUNE_STEPS; step++)
        json_object_set_new(removed, prune_step_names[step],
                            json_pack("{s:I, s:I}", "count",
                                      (json_int_t)region->removed[step].count, "bytes",
                                      (json_int_t)region->removed[step].bytes));
    const bool failed = region->error.kind != ERROR_NONE;
    return json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o}", "name", region->name, "error",
                     note_to_json(failed ? region->error.text : ""), "backups", backups, "removed",
                     removed, "locked", locked_to_json(region), "packsKept",
                     note_to_json(region->packs_kept), "walKept", note_to_json(region->wal_kept));
}

int output_prune_done(const struct output_prune *prune, bool json, struct error *err)
{
    if (json) {
        json_t *regions = json_array();
        for (size_t i = 0; i < prune->result->count; i++)
            json_array_append_new(regions, region_to_json(prune, &prune->result->regions[i]));
        return output_json(json_pack("{s:b, s:o}", "dryRun", prune->dry_run, "regions", regions),
                           err);
    }
    for (size_t i = 0; i < prune->result->count; i++)
        if (print_region(prune, &prune->result->regions[i], err) < 0)
            return -1;
    return output_text(prune->dry_run ? "Nothing was removed: --dry-run\n" : "", err);
}
