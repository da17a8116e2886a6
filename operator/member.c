// SPDX-License-Identifier: Apache-2.0
#include "operator/member.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/fields.h"
#include "common/own.h"
#include "common/text.h"
#include "operator/cache.h"

static const char sidecar_name[] = "lifeboat";

static const char *string_at(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

/* The element of a list whose member "name" is name. */
static const json_t *named(const json_t *list, const char *name)
{
    size_t index;
    const json_t *element;
    json_array_foreach(list, index, element)
    {
        const char *found = string_at(element, "name");
        if (found && strcmp(found, name) == 0)
            return element;
    }
    return NULL;
}

static const json_t *container(const json_t *object, const char *native, const char *plain)
{
    const json_t *found = named(json_object_get(object, native), sidecar_name);
    return found ? found : named(json_object_get(object, plain), sidecar_name);
}

/* Of the ConfigMaps that the sidecar mounts, the one whose name is ours. */
static const char *find_config_map(const json_t *spec, const json_t *sidecar)
{
    const json_t *volumes = json_object_get(spec, "volumes");
    const json_t *mounts = json_object_get(sidecar, "volumeMounts"), *mount;
    size_t index;
    json_array_foreach(mounts, index, mount)
    {
        const char *volume = string_at(mount, "name");
        const json_t *source = volume ? json_object_get(named(volumes, volume), "configMap") : NULL;
        const char *name = string_at(source, "name");
        if (name && text_starts_with(name, "lifeboat-"))
            return name;
    }
    return NULL;
}

/* "ImagePullBackOff: Back-off pulling image …". Of an init container that ended and whose new image
 * cannot be pulled, the kubelet says nothing but that it ended: the pod's events have the rest. */
static void read_container_state(const json_t *state, const char *image, struct member *member)
{
    const json_t *waiting = json_object_get(state, "waiting");
    const json_t *ended = json_object_get(state, "terminated");
    const char *reason = string_at(waiting ? waiting : ended, "reason");
    const char *message = string_at(waiting, "message");
    member->sidecar_runs = json_object_get(state, "running") != NULL;
    if (waiting)
        snprintf(member->sidecar_note, sizeof(member->sidecar_note), "%s%s%s",
                 reason ? reason : "not running", message ? ": " : "", message ? message : "");
    else if (ended)
        snprintf(member->sidecar_note, sizeof(member->sidecar_note),
                 "%s; 'kubectl describe pod %s' says why image '%s' is not started",
                 reason ? reason : "ended", member->name, image ? image : "");
}

static bool is_ready(const json_t *status)
{
    const json_t *conditions = json_object_get(status, "conditions"), *condition;
    size_t index;
    json_array_foreach(conditions, index, condition)
    {
        const char *type = string_at(condition, "type"), *value = string_at(condition, "status");
        if (type && value && strcmp(type, "Ready") == 0)
            return strcmp(value, "True") == 0;
    }
    return false;
}

static bool has_ended(const json_t *status)
{
    const char *phase = string_at(status, "phase");
    return phase && (strcmp(phase, "Succeeded") == 0 || strcmp(phase, "Failed") == 0);
}

/* What is no name of a region is no region: a sidecar would not even take the message. */
static void read_region(const char *region, struct member *member)
{
    char text[4 * MEMBER_NOTE_BYTES];
    if (!region)
        return;
    if (text_is_word(region) && strlen(region) < sizeof(member->region)) {
        snprintf(member->region, sizeof(member->region), "%s", region);
        return;
    }
    snprintf(text, sizeof(text),
             "annotation lifeboat.dev/region: expected at most %zu letters, digits, '.', '_' and "
             "'-', not '%s'",
             sizeof(member->region) - 1, region);
    text_fit(text, member->region_error, sizeof(member->region_error));
}

int member_read(struct member *ret_member, const json_t *pod, struct error *err)
{
    const json_t *metadata = json_object_get(pod, "metadata");
    const json_t *spec = json_object_get(pod, "spec"), *status = json_object_get(pod, "status");
    struct member member = {.namespace = string_at(metadata, "namespace"),
                            .name = string_at(metadata, "name"),
                            .uid = string_at(metadata, "uid"),
                            .node = string_at(spec, "nodeName"),
                            .ready = is_ready(status)};
    if (!member.namespace || !member.name || !member.uid)
        return error_set(err, ERROR_PERMANENT, "a pod without namespace, name or uid");
    member.terminating = json_object_get(metadata, "deletionTimestamp") || has_ended(status);
    read_region(string_at(json_object_get(metadata, "annotations"), "lifeboat.dev/region"),
                &member);
    const json_t *sidecar = container(spec, "initContainers", "containers");
    member.has_sidecar = sidecar != NULL;
    member.config_map = find_config_map(spec, sidecar);
    const json_t *state = container(status, "initContainerStatuses", "containerStatuses");
    read_container_state(json_object_get(state, "state"), string_at(sidecar, "image"), &member);
    *ret_member = member;
    return 0;
}

static int compare(const void *a, const void *b)
{
    const struct member *left = a, *right = b;
    return strcmp(left->name, right->name);
}

void member_find_region(struct member *member, struct nodes *nodes)
{
    struct error err;
    if (!*member->region && !*member->region_error && member->node &&
        nodes_region(nodes, member->node, member->region, &err) < 0)
        text_fit(err.text, member->region_error, sizeof(member->region_error));
}

void members_load(struct members *ret_members, struct cache *pods, struct nodes *nodes,
                  const char *namespace, const char *policy)
{
    struct members members = {.pods = cache_list(pods, namespace, policy)};
    size_t index;
    const json_t *pod;
    members.items = own_alloc((json_array_size(members.pods) + 1) * sizeof(*members.items));
    json_array_foreach(members.pods, index, pod)
    {
        struct member *member = &members.items[members.count];
        struct error err;
        if (member_read(member, pod, &err) < 0)
            continue; /* cannot be: the API server sets all of it */
        members.count++;
        member_find_region(member, nodes);
    }
    qsort(members.items, members.count, sizeof(*members.items), compare);
    *ret_members = members;
}

void members_done(struct members *members)
{
    own_freep(&members->items);
    json_decref(members->pods);
    *members = (struct members){.items = NULL};
}
