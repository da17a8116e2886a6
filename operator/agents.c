// SPDX-License-Identifier: Apache-2.0
#include "operator/agents.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/own.h"
#include "operator/lookup.h"

enum { OUTBOX_MAX = 32, OUTBOX_BYTES_MAX = 256 * 1024 };

struct agent {
    struct agent_identity who;
    uint64_t connection; /* 0: none */
    bool fresh;
    int64_t heard_ms, connected_ms, asked_ms;
    struct message state; /* its JSON is never changed: views share it */
    char *outbox[OUTBOX_MAX];
    size_t outbox_count, outbox_bytes;
};

struct agents {
    void (*on_change)(void *arg, const struct agent_identity *who);
    void *arg;
    pthread_mutex_t lock;  /* guards what follows */
    struct agent **agents; /* sorted by uid of the pod */
    size_t count;
    size_t connected;
    int64_t epoch;
    struct agents_outlet outlet;
};

static void clear_outbox(struct agent *agent)
{
    for (size_t i = 0; i < agent->outbox_count; i++)
        free(agent->outbox[i]);
    agent->outbox_count = agent->outbox_bytes = 0;
}

static void agent_free(struct agent *agent)
{
    clear_outbox(agent);
    message_clear(&agent->state);
    free(agent);
}

/* Where an agent with that uid stands or belongs. */
static size_t place(const struct agents *agents, const char *uid)
{
    size_t low = 0, high = agents->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(agents->agents[middle]->who.uid, uid) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct agent *find(const struct agents *agents, const char *uid)
{
    size_t at = place(agents, uid);
    bool there = at < agents->count && strcmp(agents->agents[at]->who.uid, uid) == 0;
    return there ? agents->agents[at] : NULL;
}

/* The agent if this is its present connection: what comes from an older one is ignored. */
static struct agent *find_connected(const struct agents *agents, const char *uid,
                                    uint64_t connection)
{
    struct agent *agent = find(agents, uid);
    return agent && agent->connection == connection ? agent : NULL;
}

static struct agent *find_or_add(struct agents *agents, const struct agent_identity *who)
{
    struct agent *agent = find(agents, who->uid);
    if (agent)
        return agent;
    size_t at = place(agents, who->uid);
    agents->agents = own_resize(agents->agents, agents->count + 1, sizeof(agents->agents[0]));
    memmove(&agents->agents[at + 1], &agents->agents[at],
            (agents->count - at) * sizeof(agents->agents[0]));
    agent = agents->agents[at] = own_alloc(sizeof(*agent));
    agents->count++;
    agent->who = *who;
    return agent;
}

static void disconnect(struct agents *agents, struct agent *agent)
{
    if (agent->connection == 0)
        return;
    agent->connection = 0;
    agent->fresh = false;
    agents->connected--;
    clear_outbox(agent);
}

static void wake(struct agents *agents)
{
    pthread_mutex_lock(&agents->lock);
    struct agents_outlet outlet = agents->outlet;
    pthread_mutex_unlock(&agents->lock);
    if (outlet.wake)
        outlet.wake(outlet.arg);
}

/* What a sidecar said, merged into what it said before. Each gives new JSON and shares the members
 * that stay. */

/* The answers of this state, then those of before that it does not repeat. */
static json_t *merge_lookup(const struct agent *agent, const json_t *root)
{
    json_t *lookup = json_array(), *answer;
    size_t index;
    json_array_extend(lookup, json_object_get(root, "lookup"));
    json_array_foreach(json_object_get(agent->state.root, "lookup"), index, answer)
    {
        const char *id = json_string_value(json_object_get(answer, "backupID"));
        if (json_array_size(lookup) < MESSAGE_LOOKUP_MAX && !lookup_element(lookup, "backupID", id))
            json_array_append(lookup, answer);
    }
    return lookup;
}

static void keep_last_results(json_t *finished)
{
    while (json_array_size(finished) > MESSAGE_FINISHED_MAX)
        json_array_remove(finished, 0);
}

/* The results of before that this state does not repeat, then its own: a sidecar does not remember
 * runs that it refused, and a result is for ever. */
static json_t *merge_finished(const struct agent *agent, const json_t *root)
{
    json_t *finished = json_array(), *result;
    json_t *now = json_object_get(root, "finished");
    size_t index;
    json_array_foreach(json_object_get(agent->state.root, "finished"), index, result)
    {
        if (!lookup_element(now, "id", json_string_value(json_object_get(result, "id"))))
            json_array_append(finished, result);
    }
    json_array_extend(finished, now);
    keep_last_results(finished);
    return finished;
}

static json_t *merge_state(const struct agent *agent, json_t *root)
{
    json_t *merged = json_copy(root);
    json_object_set_new(merged, "lookup", merge_lookup(agent, root));
    json_object_set_new(merged, "finished", merge_finished(agent, root));
    return merged;
}

/* The state with that result as its last one; a job of that id runs no more. */
static json_t *merge_done(const struct agent *agent, const struct message *message)
{
    json_t *merged = json_copy(agent->state.root);
    const json_t *before = json_object_get(merged, "finished");
    json_t *finished = json_array();
    size_t index;
    json_t *result;
    json_array_foreach(before, index, result)
    {
        const char *id = json_string_value(json_object_get(result, "id"));
        if (strcmp(id, message->done.id) != 0)
            json_array_append(finished, result);
    }
    json_array_append(finished, message->root);
    keep_last_results(finished);
    json_object_set_new(merged, "finished", finished);
    if (agent->state.state.busy && strcmp(agent->state.state.job.id, message->done.id) == 0)
        json_object_del(merged, "job");
    return merged;
}

static json_t *merge_progress(const struct agent *agent, const struct message *message)
{
    static const char *const members[] = {"phase", "bytes", "totalBytes", "files"};
    json_t *merged = json_copy(agent->state.root);
    json_t *job = json_copy(json_object_get(merged, "job"));
    for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
        json_t *value = json_object_get(message->root, members[i]);
        if (value)
            json_object_set(job, members[i], value);
    }
    json_object_set_new(merged, "job", job);
    return merged;
}

static void remove_all(json_t *object, const char *member, const char *const *names)
{
    json_t *copy = json_copy(json_object_get(object, member));
    for (; copy && *names; names++)
        json_object_del(copy, *names);
    if (copy)
        json_object_set_new(object, member, copy);
}

/* A shallow copy without what moves all the time in a database that works, and nobody waits for. */
static json_t *without_position(json_t *root)
{
    static const char *const database[] = {"lsn", NULL};
    static const char *const archiving[] = {"serverLSN", "receivedLSN", "durableLSN",  "lagSeconds",
                                            "keptBytes", "leftBytes",   "leftSeconds", NULL};
    json_t *copy = json_copy(root);
    remove_all(copy, "database", database);
    remove_all(copy, "archiving", archiving);
    return copy;
}

static bool is_news(json_t *before, json_t *after)
{
    json_auto_t *one = without_position(before), *other = without_position(after);
    return !json_equal(one, other);
}

/* Takes merged. 1: there is news; 0: all is as it was. */
static int adopt(struct agent *agent, json_t *merged, struct error *err)
{
    struct message state;
    bool news = !agent->state.root || is_news(agent->state.root, merged);
    if (message_read(&state, merged, err) < 0)
        return -1;
    message_clear(&agent->state);
    agent->state = state;
    return news;
}

static int hear_state(struct agent *agent, const struct message *message, struct error *err)
{
    int news = adopt(agent, merge_state(agent, message->root), err);
    if (news < 0)
        return -1;
    bool first = !agent->fresh;
    agent->fresh = true;
    return news > 0 || first;
}

/* Before its state a sidecar's results mean nothing, and the state will bring them. */
static int hear_done(struct agent *agent, const struct message *message, struct error *err)
{
    return agent->fresh ? adopt(agent, merge_done(agent, message), err) : 0;
}

static int hear_progress(struct agent *agent, const struct message *message, struct error *err)
{
    const struct message_state *state = &agent->state.state;
    if (!agent->fresh || !state->busy || strcmp(state->job.id, message->progress.id) != 0)
        return 0;
    return adopt(agent, merge_progress(agent, message), err) < 0 ? -1 : 0;
}

/* 1: whoever is interested should hear of it. */
static int hear(struct agent *agent, const struct message *message, struct error *err)
{
    agent->heard_ms = clock_monotonic_ms();
    switch (message->type) {
    case MESSAGE_STATE:
        return hear_state(agent, message, err);
    case MESSAGE_DONE:
        return hear_done(agent, message, err);
    case MESSAGE_PROGRESS:
        return hear_progress(agent, message, err);
    case MESSAGE_HELLO:
    case MESSAGE_ASSIGN:
    case MESSAGE_RUN:
    case MESSAGE_CANCEL:
    case MESSAGE_QUESTION:
        break;
    }
    return error_set(err, ERROR_CORRUPT, "not a message for an operator, or not now");
}

int agents_hear(struct agents *agents, const char *pod_uid, uint64_t connection,
                const struct message *message, struct error *err)
{
    struct agent_identity who;
    int news = 0;
    pthread_mutex_lock(&agents->lock);
    struct agent *agent = find_connected(agents, pod_uid, connection);
    if (agent) {
        news = hear(agent, message, err);
        who = agent->who;
    }
    pthread_mutex_unlock(&agents->lock);
    if (news > 0)
        agents->on_change(agents->arg, &who);
    return news < 0 ? -1 : 0;
}

char *agents_next(struct agents *agents, const char *pod_uid, uint64_t connection, int *ret_close)
{
    char *text = NULL;
    pthread_mutex_lock(&agents->lock);
    struct agent *agent = find(agents, pod_uid);
    *ret_close = !agent                            ? MESSAGE_CLOSE_UNKNOWN_POD
                 : agent->connection != connection ? MESSAGE_CLOSE_REPLACED
                                                   : 0;
    if (*ret_close == 0 && agent->outbox_count > 0) {
        text = agent->outbox[0];
        agent->outbox_count--;
        agent->outbox_bytes -= strlen(text);
        memmove(&agent->outbox[0], &agent->outbox[1],
                agent->outbox_count * sizeof(agent->outbox[0]));
    }
    pthread_mutex_unlock(&agents->lock);
    return text;
}

void agents_leave(struct agents *agents, const char *pod_uid, uint64_t connection)
{
    struct agent_identity who;
    pthread_mutex_lock(&agents->lock);
    struct agent *agent = find_connected(agents, pod_uid, connection);
    if (agent) {
        disconnect(agents, agent);
        who = agent->who;
    }
    pthread_mutex_unlock(&agents->lock);
    if (agent)
        agents->on_change(agents->arg, &who);
}

/* Answers that an earlier connection brought are no answers any more. */
static void forget_lookup(struct agent *agent)
{
    if (!agent->state.root)
        return;
    struct error err;
    json_t *root = json_copy(agent->state.root);
    json_object_del(root, "lookup");
    if (adopt(agent, root, &err) < 0)
        message_clear(&agent->state);
}

void agents_join(struct agents *agents, const struct agent_identity *who, uint64_t connection)
{
    pthread_mutex_lock(&agents->lock);
    struct agent *agent = find_or_add(agents, who);
    disconnect(agents, agent);
    forget_lookup(agent);
    agent->connection = connection;
    agent->heard_ms = agent->connected_ms = clock_monotonic_ms();
    agent->asked_ms = 0;
    agents->connected++;
    pthread_mutex_unlock(&agents->lock);
    wake(agents); /* so that the connection that it replaces is closed */
    agents->on_change(agents->arg, who);
}

void agents_set_epoch(struct agents *agents, int64_t epoch)
{
    pthread_mutex_lock(&agents->lock);
    agents->epoch = epoch;
    pthread_mutex_unlock(&agents->lock);
}

void agents_set_outlet(struct agents *agents, const struct agents_outlet *outlet)
{
    pthread_mutex_lock(&agents->lock);
    agents->outlet = *outlet;
    pthread_mutex_unlock(&agents->lock);
}

size_t agents_connected(struct agents *agents)
{
    pthread_mutex_lock(&agents->lock);
    size_t connected = agents->connected;
    pthread_mutex_unlock(&agents->lock);
    return connected;
}

void agents_forget(struct agents *agents, const char *pod_uid)
{
    pthread_mutex_lock(&agents->lock);
    struct agent *agent = find(agents, pod_uid);
    bool known = agent;
    if (known) {
        size_t at = place(agents, pod_uid);
        disconnect(agents, agent);
        agents->count--;
        memmove(&agents->agents[at], &agents->agents[at + 1],
                (agents->count - at) * sizeof(agents->agents[0]));
        agent_free(agent);
    }
    pthread_mutex_unlock(&agents->lock);
    if (known)
        wake(agents);
}

static bool is_queued(const struct agent *agent, const char *text)
{
    for (size_t i = 0; i < agent->outbox_count; i++)
        if (strcmp(agent->outbox[i], text) == 0)
            return true;
    return false;
}

/* Takes *text if it is queued. */
static int queue(struct agent *agent, char **text, struct error *err)
{
    if (!agent || agent->connection == 0)
        return error_set(err, ERROR_NOT_FOUND, "its sidecar is not connected");
    if (is_queued(agent, *text))
        return 0;
    size_t size = strlen(*text);
    if (agent->outbox_count == OUTBOX_MAX || agent->outbox_bytes + size > OUTBOX_BYTES_MAX)
        return error_set(err, ERROR_TRANSIENT, "its sidecar does not read what it is sent");
    agent->outbox[agent->outbox_count++] = TAKE(*text);
    agent->outbox_bytes += size;
    return 0;
}

int agents_send(struct agents *agents, const char *pod_uid, const struct message *message,
                struct error *err)
{
    CLEANUP(own_freep) char *text = NULL;
    struct message sent = *message;
    pthread_mutex_lock(&agents->lock);
    sent.epoch = agents->epoch;
    int result = message_format(&sent, &text, err);
    struct agent *agent = find(agents, pod_uid);
    if (result == 0)
        result = queue(agent, &text, err);
    if (result == 0 && message->type == MESSAGE_QUESTION)
        agent->asked_ms = clock_monotonic_ms();
    pthread_mutex_unlock(&agents->lock);
    if (result == 0)
        wake(agents);
    return result;
}

bool agent_view_lookup(const struct agent_view *view, const char *backup_id,
                       struct message_lookup *ret_lookup)
{
    const struct message_state *state = &view->state.state;
    for (size_t i = 0; view->fresh && i < state->lookup_count; i++) {
        if (strcmp(state->lookup[i].backup_id, backup_id) != 0)
            continue;
        *ret_lookup = state->lookup[i];
        return true;
    }
    return false;
}

void agent_view_done(struct agent_view *view)
{
    message_clear(&view->state);
}

void agents_view(struct agents *agents, const char *pod_uid, struct agent_view *ret_view)
{
    *ret_view = (struct agent_view){0};
    pthread_mutex_lock(&agents->lock);
    const struct agent *agent = find(agents, pod_uid);
    if (agent) {
        *ret_view = (struct agent_view){.known = true,
                                        .connected = agent->connection != 0,
                                        .fresh = agent->fresh,
                                        .heard_ms = agent->heard_ms,
                                        .connected_ms = agent->connected_ms,
                                        .asked_ms = agent->asked_ms,
                                        .state = agent->state};
        json_incref(ret_view->state.root);
    }
    pthread_mutex_unlock(&agents->lock);
}

void agents_freep(struct agents **agents)
{
    struct agents *a = TAKE(*agents);
    if (!a)
        return;
    for (size_t i = 0; i < a->count; i++)
        agent_free(a->agents[i]);
    free(a->agents);
    pthread_mutex_destroy(&a->lock);
    free(a);
}

struct agents *agents_new(void (*on_change)(void *arg, const struct agent_identity *who), void *arg)
{
    struct agents *agents = own_alloc(sizeof(*agents));
    agents->on_change = on_change;
    agents->arg = arg;
    pthread_mutex_init(&agents->lock, NULL);
    return agents;
}
