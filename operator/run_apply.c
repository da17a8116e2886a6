// SPDX-License-Identifier: Apache-2.0
#include "operator/run_apply.h"

#include <string.h>

#include "operator/cache.h"
#include "operator/condition.h"
#include "operator/kube.h"
#include "operator/reconcile.h"
#include "operator/recorder.h"
#include "operator/run.h"

static const char *member(const json_t *condition, const char *name)
{
    const char *text = json_string_value(json_object_get(condition, name));
    return text ? text : "";
}

/* A person has to look if it failed, or succeeded less well than it should, or has to be tried
 * again. */
static enum event_type event_type(const json_t *object, const char *reason)
{
    static const char *const calm[] = {"Running",   "Starting", "Pending",
                                       "Committed", "Restored", NULL};
    const json_t *status = json_object_get(object, "status");
    bool again = strcmp(reason, "Pending") == 0 && json_object_get(status, "error");
    for (size_t i = 0; calm[i] && !again; i++) {
        if (strcmp(reason, calm[i]) == 0)
            return EVENT_NORMAL;
    }
    return EVENT_WARNING;
}

static void tell(const struct reconcile *reconcile, const struct run_target *target,
                 const json_t *before, const json_t *after)
{
    const json_t *condition = condition_find(after, "Succeeded");
    const char *reason = member(condition, "reason");
    if (strcmp(reason, member(condition_find(before, "Succeeded"), "reason")) == 0)
        return;
    recorder_event(reconcile->recorder, after, event_type(after, reason), reason, target->action,
                   "%s", member(condition, "message"));
}

static json_t *patch_new(const struct run_target *target, const struct run *run,
                         const json_t *status)
{
    const json_t *metadata = json_object_get(run->object, "metadata");
    return json_pack("{s:s+, s:s, s:{s:s, s:s, s:s, s:O?}, s:O}", "apiVersion",
                     target->resource->group, "/v1alpha1", "kind", target->resource->kind,
                     "metadata", "namespace", run->namespace, "name", run->name, "uid", run->uid,
                     "resourceVersion", json_object_get(metadata, "resourceVersion"), "status",
                     status);
}

int run_apply(const struct reconcile *reconcile, const struct run_target *target,
              const struct run *run, const json_t *status, struct error *err)
{
    if (json_equal(json_object_get(run->object, "status"), status))
        return 0;
    const struct kube_ref ref = {.resource = target->resource,
                                 .namespace = run->namespace,
                                 .name = run->name,
                                 .subresource = "status"};
    json_auto_t *patch = patch_new(target, run, status);
    json_auto_t *after = NULL;
    if (kube_apply(reconcile->kube, &ref, patch, &after, err) < 0)
        return error_wrap(err, "write the status of %s '%s'", target->resource->kind, run->name);
    tell(reconcile, target, run->object, after);
    json_decref(cache_put(target->cache, after));
    return 0;
}
