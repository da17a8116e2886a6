// SPDX-License-Identifier: Apache-2.0
#include "operator/member.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/fields.h"
#include "common/own.h"
#include "common/text.h"
#include "operator/cache.h"
#include "operator/lookup.h"

static const char sidecar_name[] = "lifeboat";

static const json_t *container(const json_t *object, const char *native, const char *plain)
{
    const json_t *found = lookup_element(json_object_get(object, native), "name", sidecar_name);
    return found ? found : lookup_element(json_object_get(object, plain), "name", sidecar_name);
}

/* Of the ConfigMaps that the sidecar mounts, the one whose name is ours. */
static const char *find_config_map(const json_t *spec, const json_t *sidecar)
{
    const json_t *volumes = json_object_get(spec, "volumes");
    const json_t *mounts = json_object_get(sidecar, "volumeMounts"), *mount;
    size_t index;
    json_array_foreach(mounts, index, mount)
    {
        const char *volume = lookup_text(mount, "name");
        const json_t *source =
            volume ? json_object_get(lookup_element(volumes, "name", volume), "configMap") : NULL;
        const char *name = lookup_text(source, "name");
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
    const char *reason = lookup_text(waiting ? waiting : ended, "reason");
    const char *message = lookup_text(waiting, "message");
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
    const json_t *ready = lookup_element(json_object_get(status, "conditions"), "type", "Ready");
    const char *value = lookup_text(ready, "status");
    return value && strcmp(value, "True") == 0;
}

static bool has_ended(const json_t *status)
{
    const char *phase = lookup_text(status, "phase");
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
    struct member member = {.namespace = lookup_text(metadata, "namespace"),
                            .name = lookup_text(metadata, "name"),
                            .uid = lookup_text(metadata, "uid"),
                            .node = lookup_text(spec, "nodeName"),
                            .ready = is_ready(status)};
    if (!member.namespace || !member.name || !member.uid)
        return error_set(err, ERROR_PERMANENT, "a pod without namespace, name or uid");
    member.terminating = json_object_get(metadata, "deletionTimestamp") || has_ended(status);
    read_region(lookup_text(json_object_get(metadata, "annotations"), "lifeboat.dev/region"),
                &member);
    const json_t *sidecar = container(spec, "initContainers", "containers");
    member.has_sidecar = sidecar != NULL;
    member.config_map = find_config_map(spec, sidecar);
    const json_t *state = container(status, "initContainerStatuses", "containerStatuses");
    read_container_state(json_object_get(state, "state"), lookup_text(sidecar, "image"), &member);
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
