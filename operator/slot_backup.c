// SPDX-License-Identifier: Apache-2.0
#include "operator/slot_backup.h"

#include "common/log.h"
#include "common/own.h"
#include "operator/cache.h"
#include "operator/kube.h"
#include "operator/plan_policy.h"
#include "operator/policy_objects.h"
#include "operator/reconcile.h"
#include "operator/recorder.h"
#include "operator/schedule.h"

enum outcome { MADE, THERE /* already */, TAKEN /* by another's */ };

static json_t *metadata_of(const json_t *object)
{
    return json_object_get(object, "metadata");
}

static const char *name_of(const json_t *object)
{
    return json_string_value(json_object_get(metadata_of(object), "name"));
}

static const char *policy_of(const json_t *backup)
{
    const json_t *reference = json_object_get(json_object_get(backup, "spec"), "policyRef");
    const char *name = json_string_value(json_object_get(reference, "name"));
    return name ? name : "";
}

/* ret_there: the Backup that is there now; the caller's, also on failure. */
static int try_name(const struct reconcile *reconcile, const json_t *wanted,
                    enum outcome *ret_outcome, json_t **ret_there, struct error *err)
{
    struct kube_ref ref = {
        .resource = &kube_backups,
        .namespace = json_string_value(json_object_get(metadata_of(wanted), "namespace")),
    };
    *ret_outcome = MADE;
    if (kube_create(reconcile->kube, &ref, wanted, ret_there, err) == 0) {
        json_decref(cache_put(reconcile->backups, *ret_there));
        return 0;
    }
    ref.name = name_of(wanted);
    if (err->kind != ERROR_CONFLICT || kube_get(reconcile->kube, &ref, ret_there, err) < 0)
        return -1;
    *ret_outcome = policy_slot_is_made(*ret_there, wanted) ? THERE : TAKEN;
    return 0;
}

/* taken: whose name it would have had; NULL: it has that name. */
static void tell(const struct reconcile *reconcile, const json_t *policy,
                 const struct policy_slot *slot, const json_t *made, const json_t *taken)
{
    const char *namespace = json_string_value(json_object_get(metadata_of(made), "namespace"));
    const char *name = name_of(made), *schedule = slot->schedule->name;
    log_info("Created backup", S("namespace", namespace), S("policy", policy_of(made)),
             S("schedule", schedule), S("backup", name));
    if (taken)
        recorder_event(reconcile->recorder, policy, EVENT_WARNING, "BackupNameTaken", "Schedule",
                       "created Backup '%s' for schedule '%s', as '%s' is one of policy '%s': "
                       "give the schedule another name (spec.schedules[].name)",
                       name, schedule, name_of(taken), policy_of(taken));
    else
        recorder_event(reconcile->recorder, policy, EVENT_NORMAL, "BackupCreated", "Schedule",
                       "created Backup '%s' for schedule '%s'", name, schedule);
}

int slot_backup_create(const struct reconcile *reconcile, const json_t *policy,
                       const struct policy_spec *spec, const struct policy_slot *slot,
                       struct error *err)
{
    enum outcome outcome;
    json_auto_t *first = NULL, *second = NULL;
    json_auto_t *backup = policy_slot_backup(spec, slot->schedule, slot->slot_ms);
    if (try_name(reconcile, backup, &outcome, &first, err) < 0)
        return error_wrap(err, "make Backup '%s'", name_of(backup));
    if (outcome == MADE)
        tell(reconcile, policy, slot, first, NULL);
    if (outcome != TAKEN)
        return 0;
    CLEANUP(own_freep)
    char *other = schedule_other_backup_name(spec->name, slot->schedule->name, slot->slot_ms);
    json_object_set_new(metadata_of(backup), "name", json_string(other));
    if (try_name(reconcile, backup, &outcome, &second, err) < 0)
        return error_wrap(err, "make Backup '%s'", other);
    if (outcome == TAKEN)
        return error_set(err, ERROR_CONFLICT,
                         "the Backups '%s' and '%s' are there and are not of this schedule: delete "
                         "one of them, or give the schedule another name",
                         name_of(first), other);
    if (outcome == MADE)
        tell(reconcile, policy, slot, second, first);
    return 0;
}
