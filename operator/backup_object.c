// SPDX-License-Identifier: Apache-2.0
#include "operator/backup_object.h"

#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/own.h"

static const struct {
    const char *name, *word, *id;
} types[] = {
    [BACKUP_TYPE_FULL] = {"Full", "full", "full"},
    [BACKUP_TYPE_DIFFERENTIAL] = {"Differential", "differential", "diff"},
    [BACKUP_TYPE_INCREMENTAL] = {"Incremental", "incremental", "incr"},
};

static int read_type(struct backup_object *backup, const json_t *spec, struct error *err)
{
    const char *name = json_string_value(json_object_get(spec, "type"));
    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        if (!name || strcmp(name, types[i].name) == 0) { /* Full if none is given */
            backup->type = (enum backup_object_type)i;
            return 0;
        }
    }
    return error_set(err, ERROR_PERMANENT,
                     "spec.type: expected Full, Differential or Incremental, not '%s'", name);
}

/* There is no retention yet, and nothing of a bucket can be removed: neither a promise to keep a
 * backup nor one to remove it can be given. */
static const char *find_unsupported(const json_t *spec)
{
    const char *deletion = json_string_value(json_object_get(spec, "deletionPolicy"));
    if (deletion && strcmp(deletion, "Delete") == 0)
        return "spec.deletionPolicy: Delete";
    return json_is_true(json_object_get(spec, "hold")) ? "spec.hold: true" : NULL;
}

const char *backup_object_type_word(enum backup_object_type type)
{
    return types[type].word;
}

const char *backup_object_type_name(const char *word)
{
    for (size_t i = 0; word && i < ARRAY_SIZE(types); i++) {
        if (strcmp(word, types[i].word) == 0)
            return types[i].name;
    }
    return NULL;
}

void backup_object_new_id(enum backup_object_type type, int64_t now_ms, uint32_t random,
                          char ret_id[BACKUP_OBJECT_ID_BYTES])
{
    char start[CLOCK_TEXT_BYTES];
    clock_format_basic(now_ms, start);
    snprintf(ret_id, BACKUP_OBJECT_ID_BYTES, "%.16s-%s-%04x", start, types[type].id,
             random & 0xffff);
}

int backup_object_read(struct backup_object *ret_backup, json_t *object, struct error *err)
{
    const json_t *spec = json_object_get(object, "spec");
    struct backup_object backup = {
        .policy = json_string_value(json_object_get(json_object_get(spec, "policyRef"), "name")),
        .unsupported = find_unsupported(spec),
    };
    if (run_read(&backup.run, object, "backupID", err) < 0)
        return -1;
    if (!backup.policy)
        return error_set(err, ERROR_PERMANENT, "spec.policyRef.name: expected a name");
    if (read_type(&backup, spec, err) < 0)
        return -1;
    *ret_backup = backup;
    return 0;
}
