// SPDX-License-Identifier: Apache-2.0
#include "operator/policy_conditions.h"

#include <stdbool.h>
#include <string.h>

#include "common/own.h"
#include "common/text.h"
#include "operator/lookup.h"
#include "operator/member.h"
#include "operator/policy_archiving.h"
#include "operator/policy_gap.h"
#include "operator/policy_spec.h"
#include "operator/policy_view.h"
#include "operator/policy_windows.h"

/* Each rule sets the condition and gives true if it applies; the first one that does wins. */
typedef bool (*rule)(const struct policy_conditions_facts *facts, struct condition *ready);

static const struct policy_view_pod *first_troubled(const struct policy_view *view)
{
    for (size_t i = 0; i < view->pod_count; i++)
        if (*view->pods[i].message && !view->pods[i].member->terminating)
            return &view->pods[i];
    return NULL;
}

static bool is_invalid(const struct policy_conditions_facts *facts, struct condition *ready)
{
    if (facts->invalid)
        condition_set(ready, CONDITION_FALSE, "Invalid", "%s", facts->invalid);
    return facts->invalid;
}

static bool is_not_obeyed(const struct policy_conditions_facts *facts, struct condition *ready)
{
    if (facts->not_created)
        condition_set(ready, CONDITION_FALSE, "BackupNotCreated", "%s", facts->not_created);
    return facts->not_created;
}

/* Sidecars that have this very policy can only miss keys of its Secret. */
static void set_refused(const struct policy_spec *spec, const struct policy_view_pod *pod,
                        struct condition *ready)
{
    const char *error = pod->state->config_error;
    if (pod->generation == spec->generation) {
        CLEANUP(own_freep) char *keys = policy_spec_secret_keys(spec);
        condition_set(ready, CONDITION_FALSE, "SecretIncomplete",
                      "pod '%s': %s; the Secret 'lifeboat-%s' needs the keys %s", pod->member->name,
                      error, spec->name, keys);
    } else {
        condition_set(ready, CONDITION_FALSE, "Invalid", "pod '%s': %s", pod->member->name, error);
    }
}

/* What every sidecar refuses is the policy's fault and not the pod's. */
static bool is_refused(const struct policy_conditions_facts *facts, struct condition *ready)
{
    const struct policy_view *view = facts->view;
    const struct policy_view_pod *refusing = NULL;
    for (size_t i = 0; i < view->pod_count; i++) {
        const struct policy_view_pod *pod = &view->pods[i];
        if (!pod->connected || pod->foreign)
            continue;
        if (!pod->state->config_error || pod->waits)
            return false;
        refusing = refusing ? refusing : pod;
    }
    if (refusing)
        set_refused(facts->spec, refusing, ready);
    return refusing;
}

static bool has_no_config_map(const struct policy_conditions_facts *facts, struct condition *ready)
{
    if (facts->config_map_error)
        condition_set(ready, CONDITION_FALSE, "ConfigMapFailed", "%s", facts->config_map_error);
    return facts->config_map_error;
}

static bool has_no_members(const struct policy_conditions_facts *facts, struct condition *ready)
{
    if (facts->view->living > 0)
        return false;
    if (facts->view->pod_count > 0)
        condition_set(ready, CONDITION_FALSE, "NoMembers",
                      "all pods with the label lifeboat.dev/policy: %s are being deleted",
                      facts->spec->name);
    else
        condition_set(ready, CONDITION_FALSE, "NoMembers",
                      "no pod in namespace '%s' has the label lifeboat.dev/policy: %s: add it to "
                      "the pods of the database",
                      facts->spec->namespace, facts->spec->name);
    return true;
}

static bool has_no_sidecar(const struct policy_conditions_facts *facts, struct condition *ready)
{
    const struct policy_view_pod *pod = first_troubled(facts->view);
    if (facts->view->connected > 0)
        return false;
    condition_set(ready, CONDITION_FALSE, "NoSidecar", "pod '%s': %s", pod ? pod->member->name : "",
                  pod ? pod->message : "");
    return true;
}

static bool is_not_loaded(const struct policy_conditions_facts *facts, struct condition *ready)
{
    const struct policy_view_pod *waiting = NULL;
    for (size_t i = 0; i < facts->view->pod_count; i++) {
        const struct policy_view_pod *pod = &facts->view->pods[i];
        if (pod->loaded && !pod->member->terminating)
            return false;
        if (pod->connected && !pod->foreign && !waiting)
            waiting = pod;
    }
    if (waiting)
        condition_set(ready, CONDITION_FALSE, "NoConfiguration", "pod '%s': %s",
                      waiting->member->name, waiting->message);
    return waiting;
}

static bool has_strange_member(const struct policy_conditions_facts *facts, struct condition *ready)
{
    const struct policy_view_pod *one, *other;
    for (size_t i = 0; i < facts->view->pod_count; i++)
        if (facts->view->pods[i].foreign && !facts->view->pods[i].member->terminating) {
            condition_set(ready, CONDITION_FALSE, "MemberRefused", "pod '%s': %s",
                          facts->view->pods[i].member->name, facts->view->pods[i].message);
            return true;
        }
    if (!policy_view_strangers(facts->view, &one, &other))
        return false;
    condition_set(ready, CONDITION_FALSE, "MemberRefused",
                  "pods '%s' and '%s' belong to different database systems (%s and %s): a policy "
                  "is for one, take the label lifeboat.dev/policy off the other's pods",
                  one->member->name, other->member->name, one->state->database.system_identifier,
                  other->state->database.system_identifier);
    return true;
}

static bool has_unknown_region(const struct policy_conditions_facts *facts, struct condition *ready)
{
    const char *wanted = facts->spec->source.region;
    char regions[256] = "";
    for (size_t i = 0; wanted && i < facts->view->pod_count; i++) {
        const struct member *member = facts->view->pods[i].member;
        if (strcmp(member->region, wanted) == 0 && !member->terminating)
            return false;
        text_append(regions, sizeof(regions), "%s'%s' is in %s", *regions ? ", " : "", member->name,
                    *member->region ? member->region : "none that is known");
    }
    if (wanted)
        condition_set(ready, CONDITION_FALSE, "UnknownRegion",
                      "spec.source.region: no member is in region '%s' (%s): correct it, or give "
                      "the pod the annotation lifeboat.dev/region",
                      wanted, regions);
    return wanted;
}

/* The first pod that could make a backup if its database could be reached. */
static bool has_no_database(const struct policy_conditions_facts *facts, struct condition *ready)
{
    const struct policy_view_pod *down = NULL, *other = NULL;
    for (size_t i = 0; i < facts->view->pod_count; i++) {
        const struct policy_view_pod *pod = &facts->view->pods[i];
        if (pod->candidate && pod->state->database.reachable)
            return false;
        if (pod->candidate && !down)
            down = pod;
        if (*pod->message && !other)
            other = pod;
    }
    const struct policy_view_pod *pod = down ? down : other;
    condition_set(ready, CONDITION_FALSE, down ? "DatabaseUnreachable" : "NoSidecar",
                  "pod '%s': %s", pod ? pod->member->name : "", pod ? pod->message : "");
    return true;
}

static bool has_no_role(const struct policy_conditions_facts *facts, struct condition *ready)
{
    bool primary = facts->spec->source.prefer_primary;
    if (facts->spec->source.fallback)
        return false;
    for (size_t i = 0; i < facts->view->pod_count; i++) {
        const struct policy_view_pod *pod = &facts->view->pods[i];
        if (pod->candidate && pod->state->database.reachable &&
            pod->state->database.standby == !primary)
            return false;
    }
    const char *role = primary ? "primary" : "standby";
    condition_set(ready, CONDITION_FALSE, primary ? "NoPrimary" : "NoStandby",
                  "spec.source.fallback is false and no member that can be used is a %s: start a "
                  "%s, or set it to true",
                  role, role);
    return true;
}

static bool lacks_regions(const struct policy_conditions_facts *facts, struct condition *ready)
{
    const struct policy_view *view = facts->view;
    const struct policy_view_region *bad = NULL, *untold = NULL;
    for (size_t i = 0; i < view->pod_count; i++) {
        const struct policy_view_pod *pod = &view->pods[i];
        if (pod->candidate && facts->spec->quorum > 0 &&
            policy_view_usable(view, pod) >= facts->spec->quorum)
            return false;
    }
    for (size_t i = facts->spec->region_count; i-- > 0;) {
        bad = view->regions[i].told && !view->regions[i].reachable ? &view->regions[i] : bad;
        untold = view->regions[i].told ? untold : &view->regions[i];
    }
    if (facts->spec->quorum == 0)
        condition_set(ready, CONDITION_FALSE, "RegionUnreachable",
                      "spec.regions: all have access: ReadOnly, so nothing can be backed up");
    else if (bad)
        condition_set(ready, CONDITION_FALSE, "RegionUnreachable",
                      "region '%s' cannot be used: %s; spec.quorum: %u regions must have a backup",
                      bad->region->name, bad->error ? bad->error : "no reason is known",
                      facts->spec->quorum);
    else
        condition_set(ready, CONDITION_UNKNOWN, "NotKnown", "no sidecar has tried region '%s' yet",
                      untold ? untold->region->name : "");
    return true;
}

static bool is_degraded(const struct policy_conditions_facts *facts, struct condition *ready)
{
    const struct policy_view_pod *pod = first_troubled(facts->view);
    if (pod)
        condition_set(ready, CONDITION_TRUE, "Degraded", "pod '%s': %s", pod->member->name,
                      pod->message);
    return pod;
}

static bool is_fine(const struct policy_conditions_facts *facts, struct condition *ready)
{
    bool suspended = facts->spec->suspend;
    condition_set(ready, CONDITION_TRUE, suspended ? "Suspended" : "Ready",
                  "%s%zu of %zu sidecars are connected, all of %zu regions can be used",
                  suspended ? "spec.suspend: true keeps schedules from running; " : "",
                  facts->view->connected, facts->view->living, facts->spec->region_count);
    return true;
}

static void apply_rules(const struct policy_conditions_facts *facts, struct condition *ready)
{
    static const rule rules[] = {
        is_invalid,      is_not_obeyed,  has_no_config_map,
        has_no_members,  has_no_sidecar, has_strange_member,
        is_refused,      is_not_loaded,  has_unknown_region,
        has_no_database, has_no_role,    lacks_regions,
        is_degraded,     is_fine,
    };
    for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
        if (rules[i](facts, ready))
            return;
}

/* What this version does not act on comes before all but a spec that cannot be read; what else
 * keeps backups from being made is told with it. */
static void set_unsupported(const struct policy_spec *spec, struct condition *ready)
{
    struct condition rest = *ready;
    const struct policy_spec_gap *refused = policy_spec_refused(spec);
    char gaps[CONDITION_MESSAGE_BYTES] = "";
    for (size_t i = 0; i < spec->gap_count; i++)
        text_append(gaps, sizeof(gaps), "%s%s: %s", *gaps ? "; " : "", spec->gaps[i].field,
                    spec->gaps[i].means);
    bool told = rest.status == CONDITION_FALSE;
    condition_set(ready, CONDITION_FALSE, "Unsupported", "%s%s%s%s",
                  refused ? "no backup can be made: " : "backups are made without it: ", gaps,
                  told ? "; besides: " : "", told ? rest.message : "");
}

static void set_ready(const struct policy_conditions_facts *facts, struct condition *ready)
{
    apply_rules(facts, ready);
    if (!facts->invalid && facts->spec->gap_count > 0)
        set_unsupported(facts->spec, ready);
}

/* What each region can be restored to, and what none can; false: there are no windows. */
static bool set_windows(const struct policy_conditions_facts *facts, struct condition *recoverable)
{
    const struct policy_view *view = facts->view;
    char text[CONDITION_MESSAGE_BYTES] = "", gap[POLICY_GAP_TEXT_BYTES] = "";
    bool told = false;
    if (!view || !view->spec->wal_stream)
        return false;
    const struct message_archiving *archiving = policy_archiving_told(view, facts->streamer);
    for (size_t i = 0; i < view->spec->region_count; i++)
        told |= policy_windows_tell(&view->regions[i],
                                    policy_windows_grow(&view->regions[i], archiving, facts->gap),
                                    text, sizeof(text));
    if (facts->gap)
        policy_gap_text(facts->gap, gap);
    if (told)
        condition_set(recoverable, CONDITION_TRUE, "PointInTime", "%s%s%s", text,
                      facts->gap ? "; no region has the WAL from " : "", gap);
    return told;
}

static void set_recoverable(const struct policy_conditions_facts *facts,
                            struct condition *recoverable)
{
    const struct policy_view *view = facts->view;
    bool told = false;
    if (set_windows(facts, recoverable))
        return;
    for (size_t i = 0; view && i < view->spec->region_count; i++) {
        const struct policy_view_region *region = &view->regions[i];
        told |= region->told && region->reachable;
        if (region->told && region->backups > 0) {
            condition_set(recoverable, CONDITION_TRUE, "BackupExists",
                          "region '%s' has the backup %s", region->region->name,
                          region->last_backup ? region->last_backup : "of a moment ago");
            return;
        }
    }
    if (told)
        condition_set(recoverable, CONDITION_FALSE, "NoBackup",
                      "no region has a backup: wait for a schedule or create a Backup");
    else
        condition_set(recoverable, CONDITION_UNKNOWN, "NotKnown",
                      "no sidecar has told what the regions have");
}

static bool lists(const json_t *array, const char *name)
{
    size_t index;
    const json_t *element;
    json_array_foreach(array, index, element)
    {
        const char *text = json_string_value(element);
        if (text && strcmp(text, name) == 0)
            return true;
    }
    return false;
}

/* IDs begin with their time, so the newest is the greatest. */
static const char *newest_id(const struct policy_view *view, const json_t *status)
{
    const char *newest = json_string_value(json_object_get(status, "backupID"));
    for (size_t i = 0; view && i < view->spec->region_count; i++) {
        const char *id = view->regions[i].told ? view->regions[i].last_backup : NULL;
        if (id && policy_view_writable(view, i) && (!newest || strcmp(id, newest) > 0))
            newest = id;
    }
    return newest;
}

/* A region is believed by what it lists; one that cannot be listed by what the Backup says. */
static void set_replicated(const struct policy_conditions_facts *facts,
                           struct condition *replicated)
{
    const struct policy_view *view = facts->view;
    const json_t *status = json_object_get(facts->newest, "status");
    const char *newest = newest_id(view, status), *said;
    if (!view || !newest) {
        condition_set(replicated, CONDITION_UNKNOWN, "NoBackup", "no backup is known");
        return;
    }
    said = json_string_value(json_object_get(status, "backupID"));
    bool told = said && strcmp(said, newest) == 0;
    for (size_t i = 0; i < view->spec->region_count; i++) {
        const struct policy_view_region *region = &view->regions[i];
        const char *name = region->region->name, *last = region->last_backup;
        bool listed = region->told && last && strcmp(last, newest) == 0;
        if (!policy_view_writable(view, i) || listed ||
            (told && lists(json_object_get(status, "regions"), name)))
            continue;
        condition_set(replicated, CONDITION_FALSE, "MissingRegions",
                      "region '%s' does not have the newest backup %s%s%s", name, newest,
                      region->error ? ": "
                                    : "; the next backup goes to all regions that can be used",
                      region->error ? region->error : "");
        return;
    }
    condition_set(replicated, CONDITION_TRUE, "InAllRegions",
                  "all regions with access: ReadWrite have the backup %s", newest);
}

static void set_archiving(const struct policy_conditions_facts *facts, struct condition *archiving)
{
    const struct policy_archiving_facts told = {
        .spec = facts->spec,
        .view = facts->view,
        .streamer = facts->streamer,
        .gap = facts->gap,
        .before = lookup_element(facts->before, "type", archiving->type),
        .now_ms = facts->now_ms,
    };
    policy_archiving(&told, archiving);
}

/* Backups are made all the same. */
static void tell_archiving(const struct policy_conditions_facts *facts,
                           const struct condition *archiving, struct condition *ready)
{
    bool fine = ready->status == CONDITION_TRUE && strcmp(ready->reason, "Degraded") != 0;
    if (fine && archiving->status == CONDITION_FALSE && facts->spec->wal_stream)
        condition_set(ready, CONDITION_TRUE, "Degraded",
                      "backups are made, but the condition Archiving is False: %s",
                      archiving->reason);
}

void policy_conditions(const struct policy_conditions_facts *facts,
                       struct condition ret_conditions[POLICY_CONDITIONS])
{
    static const char *const types[POLICY_CONDITIONS] = {"Ready", "Archiving", "Recoverable",
                                                         "Replicated"};
    for (size_t i = 0; i < POLICY_CONDITIONS; i++)
        ret_conditions[i] = (struct condition){.type = types[i]};
    set_ready(facts, &ret_conditions[0]);
    set_archiving(facts, &ret_conditions[1]);
    tell_archiving(facts, &ret_conditions[1], &ret_conditions[0]);
    set_recoverable(facts, &ret_conditions[2]);
    set_replicated(facts, &ret_conditions[3]);
}
