// SPDX-License-Identifier: Apache-2.0
#include "operator/trim.h"

#include <stdbool.h>
#include <string.h>

#include "common/text.h"
#include "operator/lookup.h"
#include "operator/run.h"

static bool is_among(const char *word, const char *const *words)
{
    while (*words && strcmp(*words, word) != 0)
        words++;
    return *words;
}

/* Members whose name is not among names (NULL-terminated) go; anything but an object stays. */
static void keep(json_t *object, const char *const *names)
{
    const char *name;
    json_t *value;
    void *next;
    json_object_foreach_safe(object, next, name, value)
    {
        if (!is_among(name, names))
            json_object_del(object, name);
    }
}

static void keep_in_each(json_t *array, const char *const *names)
{
    size_t index;
    json_t *element;
    json_array_foreach(array, index, element) keep(element, names);
}

/* Elements of which member is not value go; value NULL: which have no such member. */
static void keep_where(json_t *array, const char *member, const char *value)
{
    for (size_t i = json_array_size(array); i-- > 0;) {
        const json_t *element = json_array_get(array, i);
        const char *found = lookup_text(element, member);
        if (value ? !found || strcmp(found, value) != 0 : !json_object_get(element, member))
            json_array_remove(array, i);
    }
}

static void trim_metadata(json_t *metadata)
{
    const char *name;
    json_t *value, *annotations = json_object_get(metadata, "annotations");
    void *next;
    json_object_foreach_safe(annotations, next, name, value)
    {
        if (!text_starts_with(name, "lifeboat.dev/"))
            json_object_del(annotations, name);
    }
}

static void trim_containers(json_t *containers)
{
    static const char *const ours[] = {"name", "image", "securityContext", "volumeMounts", NULL},
                             *const others[] = {"name", "securityContext", NULL},
                             *const mount[] = {"name", NULL};
    size_t index;
    json_t *container;
    json_array_foreach(containers, index, container)
    {
        const char *name = lookup_text(container, "name");
        keep(container, name && strcmp(name, "lifeboat") == 0 ? ours : others);
        keep_in_each(json_object_get(container, "volumeMounts"), mount);
    }
}

static void trim_statuses(json_t *statuses)
{
    static const char *const status[] = {"name", "state", NULL};
    keep_where(statuses, "name", "lifeboat");
    keep_in_each(statuses, status);
}

void trim_pod(json_t *pod)
{
    static const char *const spec_members[] = {"nodeName",        "containers", "initContainers",
                                               "securityContext", "volumes",    NULL},
                             *const status_members[] = {"phase", "conditions", "containerStatuses",
                                                        "initContainerStatuses", NULL},
                             *const condition[] = {"type", "status", NULL};
    json_t *spec = json_object_get(pod, "spec"), *status = json_object_get(pod, "status");
    json_t *conditions = json_object_get(status, "conditions");
    trim_metadata(json_object_get(pod, "metadata"));
    keep(spec, spec_members);
    trim_containers(json_object_get(spec, "containers"));
    trim_containers(json_object_get(spec, "initContainers"));
    keep_where(json_object_get(spec, "volumes"), "configMap", NULL);
    keep(status, status_members);
    keep_where(conditions, "type", "Ready");
    keep_in_each(conditions, condition);
    trim_statuses(json_object_get(status, "containerStatuses"));
    trim_statuses(json_object_get(status, "initContainerStatuses"));
}

void trim_backup(json_t *backup)
{
    static const char *const status_members[] = {"conditions",
                                                 "backupID",
                                                 "type",
                                                 "finished",
                                                 "size",
                                                 "regions",
                                                 "manifestSHA256",
                                                 "bytesStored",
                                                 "startLSN",
                                                 "timeline",
                                                 "systemIdentifier",
                                                 NULL};
    json_t *status = json_object_get(backup, "status");
    if (!run_has_ended(backup))
        return;
    trim_metadata(json_object_get(backup, "metadata"));
    keep(status, status_members);
    keep_where(json_object_get(status, "conditions"), "type", "Succeeded");
}
