// SPDX-License-Identifier: Apache-2.0
#include "operator/restore_object.h"

#include <stdio.h>
#include <string.h>

#include "common/own.h"
#include "operator/lookup.h"

static bool is_set(const json_t *value)
{
    return value && !json_is_null(value) &&
           !(json_is_object(value) && json_object_size(value) == 0);
}

static bool refuse(struct restore_object *restore, const char *path, const char *name)
{
    snprintf(restore->unsupported, sizeof(restore->unsupported), "%s.%s", path, name);
    return true;
}

/* The first of these members that is there, if any. */
static bool refuse_any(struct restore_object *restore, const json_t *object, const char *path,
                       const char *const *names)
{
    for (; *names; names++) {
        if (is_set(json_object_get(object, *names)))
            return refuse(restore, path, *names);
    }
    return false;
}

/* Only "latest: true", which is what happens. */
static bool refuse_target(struct restore_object *restore, json_t *target)
{
    const char *name;
    json_t *value;
    json_object_foreach(target, name, value)
    {
        if (strcmp(name, "latest") != 0 && !json_is_false(value))
            return refuse(restore, "spec.recoveryTarget", name);
    }
    return false;
}

static void find_unsupported(struct restore_object *restore, const json_t *spec)
{
    static const char *const whole[] = {"database", "checks", "objectives", NULL};
    static const char *const sources[] = {"repository", NULL};
    static const char *const destinations[] = {"drill", "volumeClaim", "standby", NULL};
    if (refuse_any(restore, json_object_get(spec, "source"), "spec.source", sources) ||
        refuse_target(restore, json_object_get(spec, "recoveryTarget")) ||
        refuse_any(restore, json_object_get(spec, "destination"), "spec.destination", destinations))
        return;
    const json_t *drill = json_object_get(json_object_get(spec, "destination"), "drill");
    if (drill) /* also an empty one says something */
        refuse(restore, "spec.destination", "drill");
    else
        refuse_any(restore, spec, "spec", whole);
}

static void read_source(struct restore_object *restore, const json_t *source)
{
    const json_t *excluded = json_object_get(source, "excludeRegions");
    const char *backup = lookup_text(source, "backup");
    restore->policy = lookup_text(json_object_get(source, "policyRef"), "name");
    restore->backup = backup ? backup : "Latest";
    restore->region = lookup_text(source, "region");
    for (size_t i = 0; i < json_array_size(excluded) && i < RESTORE_OBJECT_REGIONS_MAX; i++) {
        const char *region = json_string_value(json_array_get(excluded, i));
        if (region)
            restore->exclude_regions[restore->exclude_count++] = region;
    }
}

static void read_claim(struct restore_object *restore, const json_t *claim)
{
    const char *name = lookup_text(claim, "name");
    restore->claim.name = name ? name : restore->run.name;
    restore->claim.storage_class = lookup_text(claim, "storageClassName");
    restore->claim.size = lookup_text(claim, "size");
    restore->claim.volume_name = lookup_text(claim, "volumeName");
    restore->claim.access_modes = json_object_get(claim, "accessModes");
    restore->claim.labels = json_object_get(claim, "labels");
    restore->claim.annotations = json_object_get(claim, "annotations");
}

static int64_t integer(const json_t *object, const char *name, int64_t fallback)
{
    const json_t *value = json_object_get(object, name);
    return json_is_integer(value) ? json_integer_value(value) : fallback;
}

static void read_status(struct restore_object *restore, const json_t *status)
{
    restore->claim_uid = lookup_text(status, "claimUID");
    restore->began = json_object_get(status, "progress");
}

void restore_object_next_id(const struct restore_object *restore,
                            char ret_id[RESTORE_OBJECT_ID_BYTES])
{
    snprintf(ret_id, RESTORE_OBJECT_ID_BYTES, "%.63s-%zu", restore->run.name,
             restore->run.attempt_count + 1);
}

int restore_object_read(struct restore_object *ret_restore, json_t *object, struct error *err)
{
    const json_t *spec = json_object_get(object, "spec");
    const json_t *destination = json_object_get(spec, "destination");
    struct restore_object restore = {
        .pod = json_object_get(spec, "pod"),
        .workers = (unsigned)integer(json_object_get(spec, "parallelism"), "workers", 0),
        .deadline_seconds = integer(spec, "deadlineSeconds", 86400),
        .ttl_seconds = integer(spec, "ttlSecondsAfterFinished", -1),
    };
    if (run_read(&restore.run, object, "id", err) < 0)
        return -1;
    read_source(&restore, json_object_get(spec, "source"));
    read_claim(&restore, json_object_get(destination, "newVolumeClaim"));
    read_status(&restore, json_object_get(object, "status"));
    find_unsupported(&restore, spec);
    if (!restore.unsupported[0] && !restore.policy)
        return error_set(err, ERROR_PERMANENT, "spec.source.policyRef.name: expected a name");
    if (!restore.unsupported[0] && !restore.claim.size)
        return error_set(err, ERROR_PERMANENT,
                         "spec.destination.newVolumeClaim.size: expected a size");
    *ret_restore = restore;
    return 0;
}
