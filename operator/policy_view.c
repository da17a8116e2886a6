// SPDX-License-Identifier: Apache-2.0
#include "operator/policy_view.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/own.h"
#include "common/text.h"
#include "operator/agents.h"
#include "operator/member.h"

static void complain(struct policy_view_pod *pod, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The first complaint is the one that is told: it comes before the others in time. */
static void complain(struct policy_view_pod *pod, const char *format, ...)
{
    char message[4 * CONDITION_MESSAGE_BYTES];
    if (*pod->message)
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    text_fit(message, pod->message, sizeof(pod->message));
}

static void look_again(struct policy_view *view, int64_t after_ms)
{
    if (view->again_ms == 0 || after_ms < view->again_ms)
        view->again_ms = after_ms;
}

/* Whether it counts as connected, and what it last said. */
static void read_agent(struct policy_view *view, const struct policy_view_facts *facts,
                       const struct agent_view *agent, struct policy_view_pod *pod)
{
    int64_t silent_ms = facts->monotonic_ms - agent->heard_ms;
    bool told = agent->known && agent->state.type == MESSAGE_STATE && agent->state.root;
    bool hiccup = told && !(agent->connected && agent->fresh) && silent_ms < POLICY_VIEW_HICCUP_MS;
    if (hiccup)
        look_again(view, POLICY_VIEW_HICCUP_MS - silent_ms);
    pod->connected = (agent->connected && agent->fresh && told) || hiccup;
    pod->hiccup = hiccup;
    if (pod->connected)
        pod->state = &agent->state.state;
    if (told && agent->state.state.archiving.mode != MESSAGE_WAL_UNSAID)
        pod->slot = agent->state.state.archiving.slot;
    int64_t leading_ms = facts->monotonic_ms - facts->leading_ms;
    if (!told && pod->member->sidecar_runs && leading_ms < POLICY_VIEW_SETTLING_MS) {
        view->settling = true;
        look_again(view, POLICY_VIEW_SETTLING_MS - leading_ms);
    }
}

static void check_presence(const struct policy_spec *spec, const struct agent_view *agent,
                           struct policy_view_pod *pod)
{
    const struct member *member = pod->member;
    char own[80];
    snprintf(own, sizeof(own), "lifeboat-%s", spec->name);
    pod->foreign = member->config_map && strcmp(member->config_map, own) != 0;
    if (member->terminating)
        complain(pod, "is being deleted");
    if (!member->has_sidecar)
        complain(pod, "has no container 'lifeboat': add the sidecar to it");
    if (pod->foreign)
        complain(pod,
                 "has the label lifeboat.dev/policy: %s but its sidecar mounts the ConfigMap '%s': "
                 "let both name the same policy",
                 spec->name, member->config_map);
    if (!pod->connected && *member->sidecar_note)
        complain(pod, "its sidecar does not run: %s", member->sidecar_note);
    if (!pod->connected && !member->sidecar_runs)
        complain(pod, "its sidecar does not run yet");
    if (!pod->connected)
        complain(pod, "its sidecar %s: see its log",
                 agent->known ? "lost its connection to the operator"
                              : "has not connected to the operator yet");
}

static bool is_kind(const char *kind, enum error_kind expected)
{
    return strcmp(kind, error_kind_name(expected)) == 0;
}

static void check_configuration(const struct policy_spec *spec, struct policy_view_pod *pod)
{
    const struct message_state *state = pod->state;
    if (!state)
        return;
    const char *kind = state->config_error_kind ? state->config_error_kind : "";
    pod->generation = message_state_generation(state, spec->uid);
    bool current = pod->generation == spec->generation;
    pod->loaded = current && !state->config_error;
    pod->waits = !current && (!state->config_error || is_kind(kind, ERROR_NOT_FOUND));
    pod->foreign |= is_kind(kind, ERROR_CONFLICT);
    if (state->config_error)
        complain(pod, "cannot use the policy: %s", state->config_error);
    if (!pod->loaded && !pod->member->config_map && pod->generation == 0)
        complain(pod, "its sidecar mounts no ConfigMap 'lifeboat-%s'", spec->name);
    if (!pod->loaded)
        complain(pod,
                 "has not loaded generation %" PRId64 " of the policy yet (it has %" PRId64
                 "): the kubelet brings the ConfigMap 'lifeboat-%s' within two minutes",
                 spec->generation, pod->generation, spec->name);
    if (!state->database.reachable)
        complain(pod, "its database cannot be reached: %s",
                 state->database.error ? state->database.error : "no reason is known yet");
}

static void check_regions(struct policy_view_pod *pod)
{
    for (size_t i = 0; pod->state && i < pod->state->region_count; i++) {
        const struct message_region *region = &pod->state->regions[i];
        if (!region->reachable)
            complain(pod, "cannot use region '%s': %s", region->name,
                     region->error ? region->error : "no reason is known yet");
    }
    if (*pod->member->region_error)
        complain(pod, "its region is not known: %s", pod->member->region_error);
}

static void read_pod(struct policy_view *view, const struct policy_view_facts *facts, size_t index)
{
    const struct policy_spec *spec = facts->spec;
    struct policy_view_pod *pod = &view->pods[index];
    pod->member = &facts->members[index];
    read_agent(view, facts, &facts->agents[index], pod);
    check_presence(spec, &facts->agents[index], pod);
    check_configuration(spec, pod);
    check_regions(pod);
    bool here = !spec->source.region || strcmp(pod->member->region, spec->source.region) == 0;
    pod->candidate =
        pod->connected && pod->loaded && here && !pod->foreign && !pod->member->terminating;
    view->living += !pod->member->terminating;
    view->connected += pod->connected && !pod->member->terminating;
}

static int compare(const char *one, const char *other)
{
    return strcmp(one ? one : "", other ? other : "");
}

/* Sidecars list a region at different times: one that knows of a newer backup, or of newer WAL,
 * listed later. */
static bool is_newer(const struct message_region *said, const struct message_region *listing)
{
    int order = compare(said->last_backup, listing->last_backup); /* ids begin with the time */
    if (order == 0)
        order = compare(said->recoverable_to, listing->recoverable_to);
    return order > 0 || (order == 0 && said->bytes > listing->bytes);
}

static void merge_region(struct policy_view_region *region, const struct message_region *said)
{
    if (!region->told)
        region->reachable = true;
    if (said->reachable && (!region->listed || is_newer(said, region->listing))) {
        region->backups = said->backups;
        region->bytes = said->bytes;
        region->last_backup = said->last_backup;
        region->listed = true;
        region->listing = said;
    }
    if (!said->reachable) {
        region->reachable = false;
        region->error = region->error ? region->error : said->error;
    }
    region->told = true;
}

static void read_regions(struct policy_view *view, const struct policy_view_facts *facts)
{
    for (size_t i = 0; i < facts->spec->region_count; i++) {
        struct policy_view_region *region = &view->regions[i];
        region->region = &facts->spec->regions[i];
        for (size_t pod = 0; pod < view->pod_count; pod++) {
            const struct message_state *state = view->pods[pod].state;
            for (size_t k = 0; state && k < state->region_count; k++)
                if (strcmp(state->regions[k].name, region->region->name) == 0)
                    merge_region(region, &state->regions[k]);
        }
    }
}

bool policy_view_writable(const struct policy_view *view, size_t region)
{
    return !view->spec->regions[region].read_only;
}

bool policy_view_strangers(const struct policy_view *view, const struct policy_view_pod **ret_one,
                           const struct policy_view_pod **ret_other)
{
    const struct policy_view_pod *one = NULL;
    for (size_t i = 0; i < view->pod_count; i++) {
        const struct policy_view_pod *pod = &view->pods[i];
        const char *system = pod->state ? pod->state->database.system_identifier : NULL;
        if (!system || pod->member->terminating || pod->foreign)
            continue;
        if (one && strcmp(one->state->database.system_identifier, system) != 0) {
            *ret_one = one;
            *ret_other = pod;
            return true;
        }
        one = one ? one : pod;
    }
    return false;
}

size_t policy_view_usable(const struct policy_view *view, const struct policy_view_pod *pod)
{
    size_t usable = 0;
    for (size_t i = 0; i < view->spec->region_count; i++)
        for (size_t k = 0; pod->state && k < pod->state->region_count; k++)
            usable += policy_view_writable(view, i) && pod->state->regions[k].reachable &&
                      strcmp(pod->state->regions[k].name, view->spec->regions[i].name) == 0;
    return usable;
}

void policy_view_init(struct policy_view *ret_view, const struct policy_view_facts *facts)
{
    *ret_view = (struct policy_view){.spec = facts->spec, .pod_count = facts->member_count};
    ret_view->pods = own_alloc((facts->member_count + 1) * sizeof(*ret_view->pods));
    for (size_t i = 0; i < facts->member_count; i++)
        read_pod(ret_view, facts, i);
    read_regions(ret_view, facts);
}

void policy_view_done(struct policy_view *view)
{
    own_freep(&view->pods);
}
