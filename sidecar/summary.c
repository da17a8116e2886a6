// SPDX-License-Identifier: Apache-2.0
#include "sidecar/summary.h"

#include <stddef.h>

#include "common/buf.h"
#include "common/own.h"

/* rounds up */
#define ALMOST_ONE 0.999

enum { LOSSES_MAX = 2000 }; /* bytes; a message takes 2048 */

struct member {
    const char *name;   /* in the summary */
    const char *object; /* in which it is printed; NULL: at the top */
    const char *printed;
};

static void copy(json_t *summary, const json_t *printed, const struct member *member)
{
    const json_t *from = member->object ? json_object_get(printed, member->object) : printed;
    json_t *value = json_object_get(from, member->printed);
    if (value && !json_is_null(value))
        json_object_set(summary, member->name, value);
}

/* Why regions lack the backup, as one text. */
static void explain_losses(json_t *summary, const json_t *printed)
{
    CLEANUP(buf_done) struct buf text = BUF(LOSSES_MAX);
    struct error full; /* those that fit */
    size_t i;
    json_t *loss;
    json_array_foreach(json_object_get(printed, "lostRegions"), i, loss)
    {
        if (buf_format(&text, &full, "%s%s since %s: %s", i ? "; " : "",
                       json_string_value(json_object_get(loss, "region")),
                       json_string_value(json_object_get(loss, "since")),
                       json_string_value(json_object_get(loss, "error"))) < 0)
            break;
    }
    if (text.size > 0)
        json_object_set_new(summary, "missingBecause",
                            json_stringn((const char *)text.data, text.size));
}

json_t *summary_backup(const json_t *printed)
{
    static const struct member members[] = {
        {"id", NULL, "id"},
        {"type", NULL, "type"},
        {"parent", NULL, "parent"},
        {"startLSN", NULL, "startLSN"},
        {"stopLSN", NULL, "stopLSN"},
        {"started", NULL, "started"},
        {"finished", NULL, "finished"},
        {"bytesTotal", "bytes", "total"},
        {"bytesRead", "bytes", "read"},
        {"bytesStored", "bytes", "stored"},
        {"bytesReused", "bytes", "reused"},
        {"files", NULL, "files"},
        {"pageErrors", "pageErrors", "count"},
        {"changeSource", NULL, "changeSource"},
        {"fallback", NULL, "fallback"},
        {"regions", NULL, "regions"},
        {"missingRegions", NULL, "missingRegions"},
        {"systemIdentifier", NULL, "systemIdentifier"},
        {"versionNum", "postgresql", "version"},
        {"sha256", NULL, "sha256"},
    };
    const json_t *wal = json_object_get(printed, "wal");
    const json_t *last = json_array_get(wal, json_array_size(wal) - 1);
    json_t *summary = json_object();
    for (size_t i = 0; i < ARRAY_SIZE(members); i++)
        copy(summary, printed, &members[i]);
    copy(summary, last, &(struct member){"timeline", NULL, "timeline"});
    explain_losses(summary, printed);
    return summary;
}

json_t *summary_restore(const json_t *printed)
{
    static const struct member members[] = {
        {"backup", NULL, "backup"},
        {"region", NULL, "region"},
        {"files", NULL, "files"},
        {"bytes", NULL, "bytes"},
        {"fetchedBytes", NULL, "fetchedBytes"},
    };
    const double seconds = json_number_value(json_object_get(printed, "seconds"));
    json_t *summary = json_object();
    for (size_t i = 0; i < ARRAY_SIZE(members); i++)
        copy(summary, printed, &members[i]);
    json_object_set_new(summary, "seconds", json_integer((json_int_t)(seconds + ALMOST_ONE)));
    return summary;
}
