// SPDX-License-Identifier: Apache-2.0
#include "operator/policy_farewell.h"

#include <string.h>

#include "common/own.h"
#include "operator/agents.h"
#include "operator/cache.h"
#include "operator/kube.h"
#include "operator/member.h"
#include "operator/policy_assign.h"
#include "operator/policy_memory.h"
#include "operator/reconcile.h"
#include "operator/recorder.h"

struct farewell {
    const struct reconcile *reconcile;
    const char *namespace, *policy;
    bool sure; /* the API server was asked */
};

/* The cache may be behind one who made the policy anew. */
static int make_sure(struct farewell *farewell, struct error *err)
{
    json_auto_t *there = NULL;
    const struct kube_ref ref = {
        .resource = &kube_policies, .namespace = farewell->namespace, .name = farewell->policy};
    if (farewell->sure)
        return 0;
    if (kube_get(farewell->reconcile->kube, &ref, &there, err) == 0) {
        const json_t *metadata = json_object_get(there, "metadata");
        if (!json_object_get(metadata, "deletionTimestamp"))
            return error_set(err, ERROR_TRANSIENT, "the policy is there again");
    } else if (err->kind != ERROR_NOT_FOUND) {
        return error_wrap(err, "look whether the policy is gone");
    }
    farewell->sure = true;
    return 0;
}

static void tell_event(const struct farewell *farewell, json_t *pod, const struct agent_view *agent)
{
    const char *slot = agent->state.state.archiving.slot;
    json_auto_t *about = json_copy(pod); /* lists leave out what all have in common */
    json_object_set_new(about, "apiVersion", json_string("v1"));
    json_object_set_new(about, "kind", json_string("Pod"));
    recorder_event(farewell->reconcile->recorder, about, EVENT_WARNING, "SlotKept", "Release",
                   "BackupPolicy '%s' is gone, and %s would drop the replication slot '%s', which "
                   "keeps WAL on the server: %sSELECT pg_drop_replication_slot('%s')",
                   farewell->policy,
                   agent->connected ? "with it the configuration by which the sidecar"
                                    : "the sidecar is not connected that",
                   slot, agent->connected ? "" : "if it does not come back, ", slot);
}

/* A sidecar drops the slot by the last policy that it had: one that came back after its
 * configuration went with the policy has none, and cannot; nor does one of another policy. */
static bool can_drop(const struct agent_view *agent)
{
    const struct message_state *state = &agent->state.state;
    const char *kind = state->config_error_kind;
    return agent->connected && state->policy_uid && (!kind || strcmp(kind, "conflict") != 0);
}

static int tell(struct farewell *farewell, json_t *pod, const struct agent_view *agent,
                const char *uid, struct error *err)
{
    const struct reconcile *reconcile = farewell->reconcile;
    const struct message_state *state = &agent->state.state;
    const struct policy_told told = {
        .namespace = farewell->namespace,
        .policy = farewell->policy,
        .pod_uid = uid,
        .connected_ms = agent->connected_ms,
        .wal = MESSAGE_WAL_NONE,
    };
    bool keeps =
        agent->known && state->archiving.mode != MESSAGE_WAL_UNSAID && state->archiving.slot;
    /* what it can do is in the state that comes at once */
    if ((agent->connected ? !agent->fresh : !keeps) ||
        policy_memory_knows(reconcile->policy_memory, &told))
        return 0;
    if (make_sure(farewell, err) < 0 ||
        (agent->connected && policy_assign(reconcile, &told, err) < 0))
        return -1;
    if (keeps && !can_drop(agent))
        tell_event(farewell, pod, agent);
    policy_memory_tell(reconcile->policy_memory, &told); /* also one that is not connected */
    return 0;
}

int policy_farewell(const struct reconcile *reconcile, const char *namespace, const char *name,
                    struct error *err)
{
    struct farewell farewell = {.reconcile = reconcile, .namespace = namespace, .policy = name};
    json_auto_t *pods = cache_list(reconcile->pods, namespace, name);
    CLEANUP(own_freep)
    const char **uids = own_alloc((json_array_size(pods) + 1) * sizeof(*uids));
    size_t index, count = 0;
    json_t *pod;
    int result = 0;
    json_array_foreach(pods, index, pod)
    {
        struct member member;
        CLEANUP(agent_view_done) struct agent_view agent = {.known = false};
        struct error ignored; /* no pod at all */
        if (member_read(&member, pod, &ignored) < 0)
            continue;
        uids[count++] = member.uid;
        agents_view(reconcile->agents, member.uid, &agent);
        if (result == 0 && !member.terminating)
            result = tell(&farewell, pod, &agent, member.uid, err);
    }
    policy_memory_keep(reconcile->policy_memory, namespace, name, uids, count);
    return result;
}
