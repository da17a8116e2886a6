// SPDX-License-Identifier: Apache-2.0
#include "operator/gap_backup.h"

#include "common/log.h"
#include "operator/cache.h"
#include "operator/kube.h"
#include "operator/lookup.h"
#include "operator/policy_gap.h"
#include "operator/policy_objects.h"
#include "operator/policy_spec.h"
#include "operator/reconcile.h"
#include "operator/recorder.h"

/* The name is taken: as good, if it is a Backup of this policy. */
static int look_at_taken(const struct reconcile *reconcile, const json_t *wanted, const char *name,
                         struct error *err)
{
    json_auto_t *there = NULL;
    const struct kube_ref ref = {
        .resource = &kube_backups,
        .namespace = lookup_text(json_object_get(wanted, "metadata"), "namespace"),
        .name = name,
    };
    if (kube_get(reconcile->kube, &ref, &there, err) < 0)
        return -1;
    if (policy_slot_is_made(there, wanted))
        return 0;
    return error_set(err, ERROR_CONFLICT, "it is there, and is not of this policy: delete it");
}

int gap_backup_create(const struct reconcile *reconcile, const json_t *policy,
                      const struct policy_spec *spec, const json_t *gap, struct error *err)
{
    const char *name = lookup_text(gap, "backup");
    json_auto_t *made = NULL;
    json_auto_t *wanted = policy_gap_backup(spec, gap);
    const struct kube_ref backups = {.resource = &kube_backups, .namespace = spec->namespace};
    if (kube_create(reconcile->kube, &backups, wanted, &made, err) < 0) {
        if (err->kind != ERROR_CONFLICT || look_at_taken(reconcile, wanted, name, err) < 0)
            return error_wrap(err, "make Backup '%s' for a gap in the WAL", name);
        return 0;
    }
    json_decref(cache_put(reconcile->backups, made));
    char text[POLICY_GAP_TEXT_BYTES];
    policy_gap_text(gap, text);
    log_info("Created backup", S("namespace", spec->namespace), S("policy", spec->name),
             S("gap", text), S("backup", name));
    recorder_event(reconcile->recorder, policy, EVENT_NORMAL, "BackupCreated", "Gap",
                   "created Backup '%s', as no region has the WAL from %s", name, text);
    return 0;
}
