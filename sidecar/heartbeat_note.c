// SPDX-License-Identifier: Apache-2.0
#include "sidecar/heartbeat_note.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include <jansson.h>

#include "common/clock.h"
#include "common/fields.h"
#include "common/own.h"
#include "sidecar/lsn.h"

char *heartbeat_note_format(const struct heartbeat_note *note, int64_t now_ms)
{
    char now[CLOCK_TEXT_BYTES], start[LSN_TEXT_BYTES];
    const char *quote = note->parent[0] != '\0' ? "\"" : "";
    clock_format(now_ms, now);
    lsn_format(note->start_lsn, start);
    return own_format("{\"format\": 1, \"parent\": %s%s%s, \"time\": \"%s\", \"timeline\": %" PRIu32
                      ", \"startLSN\": \"%s\"}\n",
                      quote, quote[0] != '\0' ? note->parent : "null", quote, now, note->timeline,
                      start);
}

static void read_parent(struct fields *fields, struct heartbeat_note *note)
{
    enum backup_type type;
    int64_t start_ms;
    const char *parent = fields_string(fields, "parent", NULL);
    if (parent && backup_id_parse(parent, &type, &start_ms))
        memcpy(note->parent, parent, strlen(parent) + 1);
    else if (parent)
        fields_refuse(fields, "parent", "a backup id");
}

static void read_start(struct fields *fields, struct heartbeat_note *note)
{
    const char *start = fields_string(fields, "startLSN", NULL);
    note->timeline = (uint32_t)fields_integer(fields, "timeline", 1, UINT32_MAX, 0);
    if (start && !lsn_parse(start, &note->start_lsn))
        fields_refuse(fields, "startLSN", "an LSN");
    if (!start)
        note->timeline = 0;
}

int heartbeat_note_parse(const void *text, size_t size, struct heartbeat_note *ret_note,
                         struct error *err)
{
    struct heartbeat_note note = {0};
    struct fields fields;
    json_error_t where;
    json_auto_t *json = json_loadb(text, size, JSON_REJECT_DUPLICATES, &where);
    if (!json_is_object(json))
        return error_set(err, ERROR_CORRUPT, "a heartbeat is no JSON object");
    fields_init(&fields, json, NULL, ERROR_CORRUPT, err);
    fields_require(&fields, "format");
    fields_integer(&fields, "format", 1, 1, 1);
    read_parent(&fields, &note);
    read_start(&fields, &note);
    if (fields_end_open(&fields) < 0)
        return error_wrap(err, "a heartbeat");
    *ret_note = note;
    return 0;
}
