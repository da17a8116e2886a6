// SPDX-License-Identifier: Apache-2.0
#include <inttypes.h>
#include <stdio.h>

#include "common/buf.h"
#include "common/own.h"
#include "common/text.h"
#include "sidecar/findings.h"
#include "sidecar/output.h"
#include "sidecar/verify.h"

enum { LINE_MAX_BYTES = 8192, PERCENT_ALL = 100 };

/* For people: "region eu: backup …: packs/…/000003 frame 2: base/5/1259 block 7: what". */
static int print_finding(const struct finding *finding, struct error *err)
{
    CLEANUP(buf_done) struct buf line = BUF(LINE_MAX_BYTES);
    if (buf_format(&line, err, "%-6s %-12s", finding->note ? "note" : "WRONG",
                   finding_kind_name(finding->kind)) < 0 ||
        (finding->region && buf_format(&line, err, " region %s:", finding->region) < 0) ||
        (finding->backup && buf_format(&line, err, " backup %s:", finding->backup) < 0) ||
        (finding->object && buf_format(&line, err, " %s", finding->object) < 0) ||
        (finding->frame >= 0 && buf_format(&line, err, " frame %" PRId64, finding->frame) < 0) ||
        (finding->object && buf_format(&line, err, ":") < 0) ||
        (finding->file && buf_format(&line, err, " %s", finding->file) < 0) ||
        (finding->block >= 0 && buf_format(&line, err, " block %" PRId64, finding->block) < 0) ||
        (finding->file && buf_format(&line, err, ":") < 0) ||
        buf_format(&line, err, " %s", finding->text) < 0)
        return -1;
    CLEANUP(own_freep) char *text = buf_string(&line);
    CLEANUP(own_freep) char *escaped = text_escape(text);
    CLEANUP(own_freep) char *whole = own_format("%s\n", escaped);
    return output_text(whole, err);
}

static int print_findings(const struct findings *findings, bool notes, struct error *err)
{
    const struct finding *kept;
    size_t count;
    const uint64_t total = findings_get(findings, notes, &kept, &count);
    for (size_t i = 0; i < count; i++)
        if (print_finding(&kept[i], err) < 0)
            return -1;
    if (total == count)
        return 0;
    CLEANUP(own_freep)
    char *more = own_format("… and %" PRIu64 " more\n", total - count);
    return output_text(more, err);
}

int output_findings(const struct findings *findings, struct error *err)
{
    if (print_findings(findings, false, err) < 0)
        return -1;
    return print_findings(findings, true, err);
}

static int print_summary(const struct verify_result *result, const struct findings *findings,
                         struct error *err)
{
    const struct finding *kept;
    size_t count;
    char bytes[16], took[24];
    const uint64_t wrong = findings_get(findings, false, &kept, &count);
    const uint64_t notes = findings_get(findings, true, &kept, &count);
    text_size(result->bytes, bytes);
    text_duration(result->duration_ms, took);
    if (result->sample.percent < PERCENT_ALL)
        printf("A sample of %u %%: --seed %" PRIu64 " takes the same again\n",
               result->sample.percent, result->sample.seed);
    CLEANUP(own_freep)
    char *text =
        own_format("Verified %zu backups in %zu regions: %" PRIu64 " objects, %s, in %s: %" PRIu64
                   " wrong, %" PRIu64 " notes\n",
                   result->backups, result->regions, result->objects, bytes, took, wrong, notes);
    return output_text(text, err);
}

/* Names and messages hold what foreign bytes say. */
static json_t *optional(const char *text)
{
    CLEANUP(own_freep) char *escaped = text ? text_escape(text) : NULL;
    return escaped ? json_string(escaped) : json_null();
}

static json_t *number(int64_t value)
{
    return value >= 0 ? json_integer(value) : json_null();
}

static json_t *finding_to_json(const struct finding *finding)
{
    return json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "kind",
                     finding_kind_name(finding->kind), "region", optional(finding->region),
                     "backup", optional(finding->backup), "object", optional(finding->object),
                     "frame", number(finding->frame), "file", optional(finding->file), "block",
                     number(finding->block), "message", optional(finding->text));
}

json_t *output_findings_to_json(const struct findings *findings, bool notes)
{
    const struct finding *kept;
    size_t count;
    json_t *array = json_array();
    const uint64_t total = findings_get(findings, notes, &kept, &count);
    for (size_t i = 0; i < count; i++)
        json_array_append_new(array, finding_to_json(&kept[i]));
    return json_pack("{s:I, s:o}", "count", (json_int_t)total, "first", array);
}

static json_t *result_to_json(const struct verify_result *result, const struct findings *findings)
{
    char seed[24];
    snprintf(seed, sizeof(seed), "%" PRIu64, result->sample.seed); /* may pass 2^53 */
    return json_pack(
        "{s:o, s:I, s:I, s:{s:i, s:s}, s:I, s:I, s:f, s:o, s:o}", "backup",
        optional(result->backup[0] ? result->backup : NULL), "regions", (json_int_t)result->regions,
        "backups", (json_int_t)result->backups, "sample", "percent", (int)result->sample.percent,
        "seed", seed, "objects", (json_int_t)result->objects, "bytes", (json_int_t)result->bytes,
        "seconds", (double)result->duration_ms / 1000.0, "findings",
        output_findings_to_json(findings, false), "notes", output_findings_to_json(findings, true));
}

int output_verify_done(const struct verify_result *result, const struct findings *findings,
                       bool json, struct error *err)
{
    if (json)
        return output_json(result_to_json(result, findings), err);
    if (output_findings(findings, err) < 0)
        return -1;
    return print_summary(result, findings, err);
}
