// SPDX-License-Identifier: Apache-2.0
#include "operator/policy_objects.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/own.h"
#include "operator/policy_spec.h"
#include "operator/schedule.h"

enum { CHANNEL_PORT = 8443 };

static const json_t *metadata_of(const json_t *object)
{
    return json_object_get(object, "metadata");
}

/* YAML is a superset of JSON; sorted, so that the same policy is the same text. */
static char *document(const json_t *policy, const char *cluster)
{
    static const char *const kept[] = {"name", "namespace", "uid", "generation"};
    json_auto_t *metadata = json_object();
    for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
        json_object_set(metadata, kept[i], json_object_get(metadata_of(policy), kept[i]));
    if (cluster)
        json_object_set_new(metadata, "annotations",
                            json_pack("{s:s}", "lifeboat.dev/cluster", cluster));
    json_auto_t *document =
        json_pack("{s:O, s:O, s:O, s:O}", "apiVersion", json_object_get(policy, "apiVersion"),
                  "kind", json_object_get(policy, "kind"), "metadata", metadata, "spec",
                  json_object_get(policy, "spec"));
    char *text = json_dumps(document, JSON_INDENT(2) | JSON_SORT_KEYS);
    assert(text);
    return text;
}

json_t *policy_config_map(const json_t *policy, const struct policy_config_map_facts *facts)
{
    const char *name = json_string_value(json_object_get(metadata_of(policy), "name"));
    CLEANUP(own_freep) char *text = document(policy, facts->cluster_uid);
    CLEANUP(own_freep) char *own_name = own_format("lifeboat-%s", name);
    CLEANUP(own_freep)
    char *endpoint = own_format("lifeboat-channel.%s.svc:%d", facts->namespace, CHANNEL_PORT);
    json_t *owner = json_pack(
        "{s:O, s:O, s:O, s:O, s:b}", "apiVersion", json_object_get(policy, "apiVersion"), "kind",
        json_object_get(policy, "kind"), "name", json_object_get(metadata_of(policy), "name"),
        "uid", json_object_get(metadata_of(policy), "uid"), "controller", true);
    return json_pack("{s:s, s:s, s:{s:s, s:O, s:{s:s, s:s}, s:[o]}, s:{s:s, s:s, s:s}}",
                     "apiVersion", "v1", "kind", "ConfigMap", "metadata", "name", own_name,
                     "namespace", json_object_get(metadata_of(policy), "namespace"), "labels",
                     "app.kubernetes.io/managed-by", "lifeboat", "lifeboat.dev/policy", name,
                     "ownerReferences", owner, "data", "policy.yaml", text, "ca.crt", facts->bundle,
                     "endpoint", endpoint);
}

static bool has_label(const json_t *object, const char *label, const char *value)
{
    const json_t *labels = json_object_get(metadata_of(object), "labels");
    const char *found = json_string_value(json_object_get(labels, label));
    return found && strcmp(found, value) == 0;
}

bool policy_config_map_is_ours(const json_t *object, const char *policy)
{
    return has_label(object, "app.kubernetes.io/managed-by", "lifeboat") &&
           has_label(object, "lifeboat.dev/policy", policy);
}

static const json_t *owner_uid(const json_t *object)
{
    const json_t *owners = json_object_get(metadata_of(object), "ownerReferences");
    return json_object_get(json_array_get(owners, 0), "uid");
}

bool policy_config_map_is_current(const json_t *there, const json_t *wanted)
{
    const char *policy = json_string_value(
        json_object_get(json_object_get(metadata_of(wanted), "labels"), "lifeboat.dev/policy"));
    return policy_config_map_is_ours(there, policy) &&
           json_equal(json_object_get(there, "data"), json_object_get(wanted, "data")) &&
           json_equal(owner_uid(there), owner_uid(wanted));
}

json_t *policy_slot_backup(const struct policy_spec *spec,
                           const struct policy_spec_schedule *schedule, int64_t slot_ms)
{
    CLEANUP(own_freep) char *name = schedule_backup_name(spec->name, schedule->name, slot_ms);
    char slot[CLOCK_TEXT_BYTES];
    clock_format(slot_ms, slot);
    return json_pack("{s:s, s:s, s:{s:s, s:s, s:{s:s, s:s, s:s}, s:{s:s}}, s:{s:{s:s}, s:s}}",
                     "apiVersion", "lifeboat.dev/v1alpha1", "kind", "Backup", "metadata", "name",
                     name, "namespace", spec->namespace, "labels", "app.kubernetes.io/managed-by",
                     "lifeboat", "lifeboat.dev/policy", spec->name, "lifeboat.dev/schedule",
                     schedule->name, "annotations", "lifeboat.dev/slot", slot, "spec", "policyRef",
                     "name", spec->name, "type", schedule->type);
}

json_t *policy_gap_backup(const struct policy_spec *spec, const json_t *gap)
{
    return json_pack("{s:s, s:s, s:{s:O, s:s, s:{s:s, s:s}}, s:{s:{s:s}, s:s}}", "apiVersion",
                     "lifeboat.dev/v1alpha1", "kind", "Backup", "metadata", "name",
                     json_object_get(gap, "backup"), "namespace", spec->namespace, "labels",
                     "app.kubernetes.io/managed-by", "lifeboat", "lifeboat.dev/policy", spec->name,
                     "spec", "policyRef", "name", spec->name, "type", "Full");
}

static const json_t *policy_name(const json_t *backup)
{
    return json_object_get(json_object_get(json_object_get(backup, "spec"), "policyRef"), "name");
}

bool policy_slot_is_made(const json_t *there, const json_t *wanted)
{
    static const char label[] = "lifeboat.dev/schedule";
    const json_t *schedule = json_object_get(json_object_get(metadata_of(there), "labels"), label);
    const json_t *ours = json_object_get(json_object_get(metadata_of(wanted), "labels"), label);
    return json_equal(policy_name(there), policy_name(wanted)) &&
           (!schedule || json_equal(schedule, ours));
}
