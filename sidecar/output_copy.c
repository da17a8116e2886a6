// SPDX-License-Identifier: Apache-2.0
#include <inttypes.h>
#include <stdio.h>

#include "common/own.h"
#include "common/text.h"
#include "sidecar/copy.h"
#include "sidecar/findings.h"
#include "sidecar/output.h"

enum { SIZE_TEXT = 16, DURATION_TEXT = 24 };

static json_t *result_to_json(const struct copy_result *result, const struct findings *findings)
{
    json_t *backups = json_array();
    for (size_t i = 0; i < result->backup_count; i++) {
        const struct copy_backup *backup = &result->backups[i];
        json_array_append_new(backups, json_pack("{s:s, s:I, s:I, s:b, s:b}", "id", backup->id,
                                                 "objects", (json_int_t)backup->objects, "bytes",
                                                 (json_int_t)backup->bytes, "wasThere",
                                                 backup->was_there, "copied", backup->copied));
    }
    return json_pack("{s:b, s:s, s:s, s:o, s:I, s:I, s:f, s:o, s:o}", "dryRun", result->dry_run,
                     "from", result->from, "to", result->to, "backups", backups, "objects",
                     (json_int_t)result->objects, "bytes", (json_int_t)result->bytes, "seconds",
                     (double)result->duration_ms / 1000.0, "findings",
                     output_findings_to_json(findings, false), "notes",
                     output_findings_to_json(findings, true));
}

static const char *outcome(const struct copy_result *result, const struct copy_backup *backup)
{
    if (!backup->copied)
        return "NOT COPIED";
    if (result->dry_run)
        return backup->was_there ? "would be completed" : "would be copied";
    return backup->was_there ? "completed" : "copied";
}

int output_copy_done(const struct copy_result *result, const struct findings *findings, bool json,
                     struct error *err)
{
    char bytes[SIZE_TEXT], took[DURATION_TEXT];
    size_t copied = 0;
    if (json)
        return output_json(result_to_json(result, findings), err);
    if (output_findings(findings, err) < 0)
        return -1;
    for (size_t i = 0; i < result->backup_count; i++) {
        const struct copy_backup *backup = &result->backups[i];
        text_size(backup->bytes, bytes);
        printf("%-27s  %7" PRIu64 " objects  %8s  %s\n", backup->id, backup->objects, bytes,
               outcome(result, backup));
        copied += backup->copied;
    }
    text_size(result->bytes, bytes);
    text_duration(result->duration_ms, took);
    CLEANUP(own_freep)
    char *text = own_format("%s %zu of %zu backups from %s to %s: %" PRIu64 " objects, %s, in %s\n",
                            result->dry_run ? "Would copy" : "Copied", copied, result->backup_count,
                            result->from, result->to, result->objects, bytes, took);
    return output_text(text, err);
}
