// SPDX-License-Identifier: Apache-2.0
#include "operator/plan_streamer.h"

#include <stdbool.h>
#include <string.h>

#include "operator/coarse.h"
#include "operator/member.h"
#include "operator/policy_view.h"

/* A pod that is being deleted streams to its end, and is not told anything any more. */
static bool can(const struct policy_view_pod *pod)
{
    return pod->connected && pod->generation > 0 && !pod->foreign && !pod->member->terminating;
}

/* A primary that was not heard of since another one was promoted is none any more, most likely. */
static unsigned rank(const struct policy_view_pod *pod)
{
    const struct message_database *database = &pod->state->database;
    if (!database->reachable)
        return 0;
    return database->standby ? 1 : pod->hiccup ? 2 : 3;
}

static bool streams(const struct policy_view_pod *pod)
{
    return pod->state->archiving.mode == MESSAGE_WAL_STREAM;
}

/* Of lags, only what matters: the choice must not go to and fro before the chosen one obeys. */
static uint64_t lag(const struct policy_view_pod *pod)
{
    const struct message_database *database = &pod->state->database;
    bool known = database->reachable && database->lag_seconds >= 0;
    return known ? (uint64_t)coarse_seconds(database->lag_seconds) : UINT64_MAX;
}

static bool is_better(const struct policy_view_pod *a, const struct policy_view_pod *b)
{
    if (rank(a) != rank(b))
        return rank(a) > rank(b);
    if (streams(a) != streams(b))
        return streams(a);
    if (lag(a) != lag(b))
        return lag(a) < lag(b);
    return strcmp(a->member->name, b->member->name) < 0;
}

const struct policy_view_pod *streamer_choose(const struct policy_view *view)
{
    const struct policy_view_pod *best = NULL;
    for (size_t i = 0; i < view->pod_count; i++)
        if (can(&view->pods[i]) && (!best || is_better(&view->pods[i], best)))
            best = &view->pods[i];
    return best;
}

enum message_wal streamer_word(const struct policy_view *view,
                               const struct policy_view_pod *streamer, size_t index)
{
    const struct policy_view_pod *pod = &view->pods[index];
    if (!view->spec->wal_stream || pod->foreign)
        return MESSAGE_WAL_NONE;
    /* a new leader that has not heard of all yet lets each go on as it does */
    if (!streamer || view->settling)
        return pod->state ? pod->state->archiving.mode : MESSAGE_WAL_UNSAID;
    return pod == streamer ? MESSAGE_WAL_STREAM : MESSAGE_WAL_HOLD;
}
