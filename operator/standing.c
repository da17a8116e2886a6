// SPDX-License-Identifier: Apache-2.0
#include "operator/standing.h"

#include <string.h>

#include "operator/agents.h"

static const struct message_done *find_done(const struct message_state *state, const char *id)
{
    for (size_t i = 0; i < state->finished_count; i++) {
        if (strcmp(state->finished[i].id, id) == 0)
            return &state->finished[i];
    }
    return NULL;
}

static struct standing silent(const struct agent_view *view, const struct standing_clock *clock)
{
    int64_t since = view->heard_ms > clock->leading_ms ? view->heard_ms : clock->leading_ms;
    int64_t silent_ms = clock->now_ms - since;
    return (struct standing){.kind = STANDING_SILENT, .silent_ms = silent_ms > 0 ? silent_ms : 0};
}

/* Its answer to a question. That it ran then says nothing about now. */
static struct standing answered(const struct agent_view *view, const char *id,
                                const struct standing_clock *clock)
{
    struct message_lookup lookup;
    struct standing standing = {
        .kind = STANDING_UNTOLD,
        .asked_ms = view->asked_ms > 0 ? clock->now_ms - view->asked_ms : -1,
        .joined_ms = clock->now_ms - view->connected_ms,
    };
    if (!view->fresh || !agent_view_lookup(view, id, &lookup) || lookup.running)
        return standing;
    if (lookup.error)
        standing.trouble = lookup.error;
    else if (lookup.backup)
        return (struct standing){.kind = STANDING_COMMITTED, .backup = lookup.backup};
    else
        standing.kind = STANDING_ABSENT;
    return standing;
}

struct standing standing_read(const struct agent_view *view, const char *id,
                              const struct standing_clock *clock)
{
    const struct message_state *state = &view->state.state;
    const struct message_done *done = find_done(state, id);
    if (done)
        return (struct standing){.kind = STANDING_ENDED, .done = done};
    if (!view->connected)
        return silent(view, clock);
    if (view->fresh && state->busy && strcmp(state->job.id, id) == 0)
        return (struct standing){.kind = STANDING_RUNNING, .progress = state->job.progress};
    return answered(view, id, clock);
}
