// SPDX-License-Identifier: Apache-2.0
#include "operator/orphans.h"

#include <stdio.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/own.h"
#include "operator/agents.h"
#include "operator/backup_queue.h"
#include "operator/cache.h"
#include "operator/member.h"
#include "operator/reconcile.h"

enum { SETTLING_MS = 60000, OBEYING_MS = 15000 };

static const char *policy_of(const json_t *pod)
{
    const json_t *labels = json_object_get(json_object_get(pod, "metadata"), "labels");
    return json_string_value(json_object_get(labels, "lifeboat.dev/policy"));
}

static bool is_orphan(const struct reconcile *reconcile, const json_t *pod, const char *namespace,
                      const char *backup_id)
{
    const char *policy = policy_of(pod);
    if (!policy)
        return false;
    json_auto_t *backups = cache_list(reconcile->backups, namespace, policy);
    return !backup_queue_runs(backups, backup_id);
}

/* How long until the run may be ended; 0: now. Its id begins with when it was sent. */
static int64_t settling_ms(const char *backup_id)
{
    char start[CLOCK_TEXT_BYTES];
    int64_t start_ms;
    snprintf(start, sizeof(start), "%.16s", backup_id);
    if (!clock_parse(start, &start_ms))
        return 0;
    int64_t left = start_ms + SETTLING_MS - clock_now_ms();
    return left > 0 ? left : 0;
}

static void cancel(const struct reconcile *reconcile, const struct member *member, const char *id)
{
    struct error err;
    const struct message message = {
        .type = MESSAGE_CANCEL,
        .cancel = {.id = id, .reason = "its Backup is gone, or was given up"},
    };
    if (agents_send(reconcile->agents, member->uid, &message, &err) < 0)
        log_error(&err, "Failed to cancel a backup", S("pod", member->name), S("backup", id));
    else
        log_warn("Canceled a backup that nobody asks for", S("namespace", member->namespace),
                 S("pod", member->name), S("backup", id));
}

static int64_t look(const struct reconcile *reconcile, const json_t *pod)
{
    struct error err;
    struct member member;
    if (member_read(&member, pod, &err) < 0)
        return 0;
    CLEANUP(agent_view_done) struct agent_view view;
    agents_view(reconcile->agents, member.uid, &view);
    const struct message_state *state = &view.state.state;
    if (!view.connected || !view.fresh || !state->busy || state->job.kind != MESSAGE_KIND_BACKUP)
        return 0;
    if (!is_orphan(reconcile, pod, member.namespace, state->job.id))
        return 0;
    int64_t left_ms = settling_ms(state->job.id);
    if (left_ms > 0)
        return left_ms;
    cancel(reconcile, &member, state->job.id);
    return OBEYING_MS;
}

int64_t orphans_cancel(const struct reconcile *reconcile, const char *namespace, const char *policy)
{
    size_t index;
    json_t *pod;
    int64_t again_ms = 0;
    json_auto_t *pods = cache_list(reconcile->pods, namespace, policy);
    json_array_foreach(pods, index, pod)
    {
        int64_t ms = look(reconcile, pod);
        if (ms > 0 && (again_ms == 0 || ms < again_ms))
            again_ms = ms;
    }
    return again_ms;
}
