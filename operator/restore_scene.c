// SPDX-License-Identifier: Apache-2.0
#include "operator/restore_scene.h"

#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/text.h"
#include "operator/cache.h"
#include "operator/kube.h"
#include "operator/kube_status.h"
#include "operator/lookup.h"
#include "operator/member.h"
#include "operator/reconcile.h"

static json_t *at(const json_t *object, const char *first, const char *second)
{
    return json_object_get(json_object_get(object, first), second);
}

static bool is_same(const char *a, const char *b)
{
    return a && b && strcmp(a, b) == 0;
}

static bool is_excluded(const struct restore_object *restore, const char *region)
{
    for (size_t i = 0; i < restore->exclude_count; i++) {
        if (strcmp(restore->exclude_regions[i], region) == 0)
            return true;
    }
    return false;
}

/* "eu, us" */
static void name_regions(const struct policy_spec *policy, char *ret_names, size_t capacity)
{
    ret_names[0] = '\0';
    for (size_t i = 0; i < policy->region_count; i++) {
        size_t used = strlen(ret_names);
        snprintf(ret_names + used, capacity - used, "%s%s", i > 0 ? ", " : "",
                 policy->regions[i].name);
    }
}

static void check_regions(struct restore_scene *scene)
{
    char names[256];
    const struct restore_object *restore = &scene->restore;
    const struct policy_spec *policy = &scene->policy;
    const char *unknown = NULL, *field = "region";
    size_t left = 0;
    name_regions(policy, names, sizeof(names));
    if (restore->region && !policy_spec_find_region(policy, restore->region))
        unknown = restore->region;
    for (size_t i = 0; i < restore->exclude_count && !unknown; i++) {
        field = "excludeRegions";
        if (!policy_spec_find_region(policy, restore->exclude_regions[i]))
            unknown = restore->exclude_regions[i];
    }
    for (size_t i = 0; i < policy->region_count; i++)
        left += !is_excluded(restore, policy->regions[i].name);
    if (unknown)
        snprintf(scene->region_problem, sizeof(scene->region_problem),
                 "spec.source.%s: no region '%s' in policy '%s', which has %s", field, unknown,
                 policy->name, names);
    else if (left == 0)
        snprintf(scene->region_problem, sizeof(scene->region_problem),
                 "spec.source.excludeRegions: leaves no region of policy '%s', which has %s",
                 policy->name, names);
    if (unknown || left == 0)
        scene->facts.region_problem = scene->region_problem;
}

static void gather_policy(struct restore_scene *scene, const struct reconcile *reconcile)
{
    struct error err;
    struct restore_facts *facts = &scene->facts;
    const struct restore_object *restore = &scene->restore;
    if (!restore->policy)
        return;
    scene->policy_object = cache_get(reconcile->policies, restore->run.namespace, restore->policy);
    if (!scene->policy_object)
        return;
    facts->policy_found = true;
    if (policy_spec_read(&scene->policy, scene->policy_object, &err) < 0) {
        text_fit(err.text, scene->policy_problem, sizeof(scene->policy_problem));
        facts->policy_problem = scene->policy_problem;
        return;
    }
    const struct policy_spec_gap *gap = policy_spec_refused(&scene->policy);
    if (gap) {
        snprintf(scene->policy_problem, sizeof(scene->policy_problem), "%s: %s", gap->field,
                 gap->means);
        facts->policy_problem = scene->policy_problem;
    }
    facts->policy_found = !scene->policy.deleted;
    facts->generation = scene->policy.generation;
    check_regions(scene);
}

static void plan_pod(struct restore_scene *scene, const struct reconcile *reconcile)
{
    const struct restore_object *restore = &scene->restore;
    if (!scene->policy_object)
        return;
    scene->members = cache_list(reconcile->pods, restore->run.namespace, restore->policy);
    const struct restore_pod_facts facts = {
        .restore = restore,
        .policy = scene->policy_object,
        .members = scene->members,
        .default_image = reconcile->sidecar_image,
    };
    if (restore_pod_plan(&scene->pod, &facts, &scene->pod_error) < 0)
        scene->facts.pod_problem = scene->pod_error.text;
}

static bool is_ours(const struct restore_scene *scene, const json_t *pod)
{
    size_t index;
    json_t *owner;
    json_array_foreach(at(pod, "metadata", "ownerReferences"), index, owner)
    {
        if (is_same(lookup_text(owner, "uid"), scene->restore.run.uid))
            return true;
    }
    return false;
}

/* Its RestoreJob had our name and is gone, so Kubernetes removes it. */
static bool is_leftover(const struct restore_scene *scene, const json_t *object)
{
    const struct run *run = &scene->restore.run;
    size_t index;
    json_t *owner;
    json_array_foreach(at(object, "metadata", "ownerReferences"), index, owner)
    {
        if (is_same(lookup_text(owner, "kind"), kube_restore_jobs.kind) &&
            is_same(lookup_text(owner, "name"), run->name) &&
            !is_same(lookup_text(owner, "uid"), run->uid))
            return true;
    }
    return false;
}

/* "0/3 nodes are available: …"; NULL: it is scheduled. */
static const char *unscheduled(const json_t *pod)
{
    size_t index;
    json_t *condition;
    json_array_foreach(at(pod, "status", "conditions"), index, condition)
    {
        if (is_same(lookup_text(condition, "type"), "PodScheduled") &&
            is_same(lookup_text(condition, "status"), "False"))
            return lookup_text(condition, "message");
    }
    return NULL;
}

/* Whether the kubelet cannot get the image: ErrImagePull, ImagePullBackOff, InvalidImageName, … */
static bool lacks_image(const struct member *member)
{
    size_t size = strcspn(member->sidecar_note, ":");
    const char *image = strstr(member->sidecar_note, "Image");
    return image && image < member->sidecar_note + size;
}

static void note_image(struct restore_scene *scene, const json_t *pod, const struct member *member)
{
    const json_t *container = json_array_get(at(pod, "spec", "containers"), 0);
    const char *image = lookup_text(container, "image");
    snprintf(scene->pod_note, RESTORE_SCENE_NOTE_BYTES,
             "image '%.120s' cannot be pulled: correct spec.sidecar.image of the policy, or the "
             "registry: %s",
             image ? image : "", member->sidecar_note);
    scene->facts.pod.replaceable =
        !scene->facts.pod_problem && scene->pod.image && !is_same(image, scene->pod.image);
}

/* "Evicted: The node was low on resource"; "OOMKilled" */
static void note_pod(struct restore_scene *scene, const json_t *pod, const struct member *member)
{
    const json_t *status = json_object_get(pod, "status");
    const char *reason = lookup_text(status, "reason"), *message = lookup_text(status, "message");
    const char *waits = unscheduled(pod);
    char *note = scene->pod_note;
    if (waits)
        snprintf(note, RESTORE_SCENE_NOTE_BYTES, "cannot be scheduled: %s", waits);
    else if (reason)
        snprintf(note, RESTORE_SCENE_NOTE_BYTES, "%s%s%s", reason, message ? ": " : "",
                 message ? message : "");
    else if (lacks_image(member))
        note_image(scene, pod, member);
    else
        snprintf(note, RESTORE_SCENE_NOTE_BYTES, "%s", member->sidecar_note);
    scene->facts.pod.note = note[0] ? note : NULL;
}

/* Where that is not known, or not asked for now, any region is as good. */
static void find_closest(struct restore_scene *scene, struct member *member, struct nodes *nodes)
{
    member_find_region(member, nodes);
    if (policy_spec_find_region(&scene->policy, member->region) &&
        !is_excluded(&scene->restore, member->region))
        memcpy(scene->closest, member->region, sizeof(scene->closest));
}

static void read_pod(struct restore_scene *scene, const json_t *pod, struct nodes *nodes)
{
    struct error err;
    struct member member = {0};
    const json_t *metadata = json_object_get(pod, "metadata");
    const char *phase = lookup_text(json_object_get(pod, "status"), "phase");
    struct restore_facts *facts = &scene->facts;
    facts->pod.owner = is_ours(scene, pod) ? RESTORE_OURS : RESTORE_FOREIGN;
    facts->pod.uid = lookup_text(metadata, "uid");
    facts->pod.deleted = json_object_get(metadata, "deletionTimestamp");
    facts->pod.leftover = is_leftover(scene, pod);
    facts->pod.ended = is_same(phase, "Succeeded") || is_same(phase, "Failed");
    if (member_read(&member, pod, &err) == 0)
        find_closest(scene, &member, nodes);
    note_pod(scene, pod, &member);
    if (facts->pod.ended && !facts->pod.note)
        facts->pod.note = "its container ended";
}

/* The cache may not have it yet: whether it is really gone is asked. */
static int gather_pod(struct restore_scene *scene, const struct reconcile *reconcile,
                      const struct run_attempt *attempt, struct error *err)
{
    const struct kube_ref ref = {
        .resource = &kube_pods, .namespace = scene->restore.run.namespace, .name = attempt->id};
    struct restore_facts *facts = &scene->facts;
    scene->pod_object = cache_get(reconcile->restore_pods, ref.namespace, ref.name);
    if (!scene->pod_object && kube_get(reconcile->kube, &ref, &scene->pod_object, err) < 0)
        return err->kind == ERROR_NOT_FOUND ? 0 : error_wrap(err, "look for pod '%s'", ref.name);
    read_pod(scene, scene->pod_object, reconcile->nodes);
    if (attempt->pod_uid && !is_same(attempt->pod_uid, facts->pod.uid))
        facts->pod.owner = RESTORE_NONE; /* that one is gone, this is another */
    return 0;
}

static void gather_sidecar(struct restore_scene *scene, const struct reconcile *reconcile,
                           const struct run_attempt *attempt)
{
    const struct standing_clock clock = {.now_ms = clock_monotonic_ms(),
                                         .leading_ms = reconcile->started_ms};
    const struct message_state *state = &scene->view.state.state;
    agents_view(reconcile->agents, attempt->pod_uid ? attempt->pod_uid : "", &scene->view);
    scene->facts.standing = standing_read(&scene->view, attempt->id, &clock);
    scene->facts.fresh = scene->view.fresh;
    scene->facts.config_error = state->config_error;
    scene->facts.config_generation =
        message_state_generation(state, scene->policy.uid ? scene->policy.uid : "");
}

static void gather_old_pods(struct restore_scene *scene, const struct reconcile *reconcile,
                            const struct run_attempt *attempt)
{
    size_t index;
    json_t *pod;
    const struct run *run = &scene->restore.run;
    scene->pods = cache_list(reconcile->restore_pods, run->namespace, run->name);
    json_array_foreach(scene->pods, index, pod)
    {
        const json_t *metadata = json_object_get(pod, "metadata");
        const char *name = lookup_text(metadata, "name");
        if (!is_ours(scene, pod) || (attempt && is_same(name, attempt->id)))
            continue;
        scene->facts.old_pod = name;
        scene->facts.old_pod_deleted = json_object_get(metadata, "deletionTimestamp");
    }
}

static void read_claim(struct restore_scene *scene, const json_t *claim)
{
    const json_t *metadata = json_object_get(claim, "metadata");
    const json_t *annotations = json_object_get(metadata, "annotations");
    struct restore_facts *facts = &scene->facts;
    bool ours = is_same(lookup_text(annotations, RESTORE_POD_OWNER), scene->restore.run.uid);
    facts->claim.owner = ours ? RESTORE_OURS : RESTORE_FOREIGN;
    facts->claim.uid = lookup_text(metadata, "uid");
    facts->claim.attempt = lookup_text(annotations, RESTORE_POD_ATTEMPT);
    facts->claim.deleted = json_object_get(metadata, "deletionTimestamp");
    facts->claim.leftover = is_leftover(scene, claim);
    if (!is_same(lookup_text(json_object_get(claim, "status"), "phase"), "Bound"))
        facts->claim.note = "its claim is not bound to a volume yet";
}

static int gather_claim(struct restore_scene *scene, const struct reconcile *reconcile,
                        struct error *err)
{
    const struct kube_ref ref = {.resource = &kube_claims,
                                 .namespace = scene->restore.run.namespace,
                                 .name = scene->restore.claim.name};
    if (!ref.name || scene->restore.unsupported[0])
        return 0;
    if (kube_get(reconcile->kube, &ref, &scene->claim_object, err) < 0) {
        scene->facts.forbidden = kube_status_forbids(err);
        if (scene->facts.forbidden || err->kind == ERROR_NOT_FOUND)
            return 0;
        return error_wrap(err, "look for claim '%s'", ref.name);
    }
    read_claim(scene, scene->claim_object);
    return 0;
}

int restore_scene_gather(struct restore_scene *ret_scene, const struct reconcile *reconcile,
                         json_t *object, struct error *err)
{
    struct restore_scene *scene = ret_scene;
    *scene = (struct restore_scene){.object = json_incref(object), .facts.now_ms = clock_now_ms()};
    if (restore_object_read(&scene->restore, object, err) < 0)
        return -1;
    const struct run *run = &scene->restore.run;
    const struct run_attempt *attempt = run_current(run);
    scene->facts.restore = &scene->restore;
    gather_old_pods(scene, reconcile, run->outcome == RUN_OPEN ? attempt : NULL);
    if (run->outcome != RUN_OPEN)
        return 0;
    gather_policy(scene, reconcile);
    plan_pod(scene, reconcile);
    if (gather_claim(scene, reconcile, err) < 0)
        return -1;
    if (!attempt)
        return 0;
    if (!attempt->id)
        return error_set(err, ERROR_PERMANENT, "status.attempts: the last one has no id");
    gather_sidecar(scene, reconcile, attempt);
    return gather_pod(scene, reconcile, attempt, err);
}

void restore_scene_done(struct restore_scene *scene)
{
    agent_view_done(&scene->view);
    json_decref(scene->claim_object);
    json_decref(scene->pod_object);
    json_decref(scene->pods);
    json_decref(scene->members);
    json_decref(scene->policy_object);
    json_decref(scene->object);
    *scene = (struct restore_scene){0};
}
