// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/own.h"
#include "operator/tests/helper_json.h"
#include "operator/tests/helper_policy.h"

static void readiness_names_what_stands_in_the_way(void **state)
{
    static const struct scene scenes[] = {
        {.why = "all is well",
         .pods = {{.name = "shop-0", .state = FINE}},
         .expected = "True",
         .reason = "Ready",
         .text = "1 of 1 sidecars are connected, all of 2 regions"},
        {.why = "suspended",
         .spec = "{" REGIONS ", \"suspend\": true}",
         .pods = {{.name = "shop-0", .state = FINE}},
         .expected = "True",
         .reason = "Suspended"},
        {.why = "got past admission",
         .spec = "{" REGIONS ", \"quorum\": 3}",
         .expected = "False",
         .reason = "Invalid",
         .text = "spec.quorum: 3 regions"},
        {.why = "refused field",
         .spec = "{" REGIONS ", \"source\": {\"mode\": \"PerRegion\"}}",
         .pods = {{.name = "shop-0", .state = FINE}},
         .expected = "False",
         .reason = "Unsupported",
         .text = "no backup can be made: spec.source.mode: "},
        {.why = "fields that nothing happens for",
         .spec =
             "{" REGIONS ", \"retention\": {\"fulls\": 1}, \"objectives\": {\"backupSeconds\": 1}}",
         .pods = {{.name = "shop-0", .state = FINE}},
         .expected = "False",
         .reason = "Unsupported",
         .text = "backups are made without it: spec.retention: this version's operator removes no "
                 "backup ('lifeboat-sidecar prune' does); "
                 "spec.objectives: "},
        {.why = "more than unsupported",
         .spec = "{" REGIONS ", \"retention\": {\"fulls\": 1}}",
         .expected = "False",
         .reason = "Unsupported",
         .text = "besides: no pod in namespace"},
        {.why = "foreign ConfigMap",
         .pods = {{.name = "shop-0", .state = FINE}},
         .config_map_error = "the ConfigMap 'lifeboat-shop' is there",
         .expected = "False",
         .reason = "ConfigMapFailed",
         .text = "'lifeboat-shop' is there"},
        {.why = "the API server takes no Backup",
         .spec = "{" REGIONS ", \"schedules\": [{\"name\": \"d\", \"cron\": \"0 3 * * *\"}]}",
         .pods = {{.name = "shop-0", .state = FINE}},
         .not_created = "spec.schedules[0] 'd': make Backup 'x': 403 Forbidden: exceeded quota",
         .expected = "False",
         .reason = "BackupNotCreated",
         .text = "spec.schedules[0] 'd': make Backup 'x': 403"},
        {.why = "no pod",
         .expected = "False",
         .reason = "NoMembers",
         .text = "no pod in namespace 'default' has the label lifeboat.dev/policy: shop"},
        {.why = "only a pod that goes",
         .pods = {{.name = "shop-0", .state = FINE, .terminating = true}},
         .expected = "False",
         .reason = "NoMembers",
         .text = "are being deleted"},
        {.why = "no sidecar in the pod",
         .pods = {{.name = "shop-0", .sidecar = "none"}},
         .expected = "False",
         .reason = "NoSidecar",
         .text = "pod 'shop-0': has no container 'lifeboat'"},
        {.why = "image cannot be pulled",
         .pods = {{.name = "shop-0", .sidecar = "waiting"}},
         .expected = "False",
         .reason = "NoSidecar",
         .text = "ImagePullBackOff"},
        {.why = "never connected",
         .pods = {{.name = "shop-0"}},
         .expected = "False",
         .reason = "NoSidecar",
         .text = "has not connected to the operator yet"},
        {.why = "lost",
         .pods = {{.name = "shop-0", .state = FINE, .silent_ms = 31000}},
         .expected = "False",
         .reason = "NoSidecar",
         .text = "lost its connection"},
        {.why = "a hiccup",
         .pods = {{.name = "shop-0", .state = FINE, .silent_ms = 29000}},
         .expected = "True",
         .reason = "Ready"},
        {.why = "another policy's configuration",
         .pods = {{.name = "shop-0", .state = FINE},
                  {.name = "shop-1", .state = STANDBY, .config_map = "lifeboat-other"}},
         .expected = "False",
         .reason = "MemberRefused",
         .text = "pod 'shop-1': has the label lifeboat.dev/policy: shop but its sidecar mounts the "
                 "ConfigMap 'lifeboat-other'"},
        {.why = "two database systems",
         .pods = {{.name = "shop-0", .state = FINE},
                  {.name = "shop-1",
                   .state = LOADED "\"database\": {\"reachable\": true, \"role\": \"primary\","
                                   " \"systemIdentifier\": \"8\"}," BOTH}},
         .expected = "False",
         .reason = "MemberRefused",
         .text = "pods 'shop-0' and 'shop-1' belong to different database systems (7 and 8)"},
        {.why = "a key of the Secret is missing",
         .spec = "{" REGIONS ", \"encryption\": {\"keys\": [\"k1\"]}}",
         .pods = {{.name = "shop-0",
                   .state = "\"generation\": 3, \"configError\": \"encryption.keys[0] 'k1': no "
                            "file\", \"configErrorKind\": \"not-found\"," DATABASE("primary")}},
         .expected = "False",
         .reason = "SecretIncomplete",
         .text = "the Secret 'lifeboat-shop' needs the keys eu.access-key-id, "
                 "eu.secret-access-key, us.access-key-id, us.secret-access-key, k1"},
        {.why = "refused by the sidecar",
         .pods = {{.name = "shop-0",
                   .state = "\"generation\": 2, \"configError\": \"spec.regions[0].s3.bucket: "
                            "bad\"," DATABASE("primary")}},
         .expected = "False",
         .reason = "Invalid",
         .text = "spec.regions[0].s3.bucket"},
        {.why = "not loaded",
         .pods = {{.name = "shop-0", .state = "\"generation\": 2," DATABASE("primary") "," BOTH}},
         .expected = "False",
         .reason = "NoConfiguration",
         .text = "has not loaded generation 3 of the policy yet (it has 2)"},
        {.why = "loaded from the policy before of that name",
         .pods = {{.name = "shop-0",
                   .state =
                       "\"generation\": 3, \"policyUID\": \"u0\"," DATABASE("primary") "," BOTH}},
         .expected = "False",
         .reason = "NoConfiguration",
         .text = "has not loaded generation 3 of the policy yet (it has 0)"},
        {.why = "the kubelet has not brought it",
         .pods = {{.name = "shop-0",
                   .state = "\"generation\": 0, \"configError\": \"no policy.yaml in '/x'\","
                            " \"configErrorKind\": \"not-found\"," DATABASE("primary")}},
         .expected = "False",
         .reason = "NoConfiguration",
         .text = "no policy.yaml"},
        {.why = "the sidecar says that it is another policy's",
         .pods = {{.name = "shop-0",
                   .state = "\"generation\": 3, \"configError\": \"has the policy 'other'\","
                            " \"configErrorKind\": \"conflict\"," DATABASE("primary")}},
         .expected = "False",
         .reason = "MemberRefused",
         .text = "has the policy 'other'"},
        {.why = "one has the Secret, the other not yet",
         .pods = {{.name = "shop-0", .state = FINE},
                  {.name = "shop-1",
                   .state = "\"generation\": 3, \"configError\": \"no key 'k1'\"," DATABASE(
                       "standby")}},
         .expected = "True",
         .reason = "Degraded",
         .text = "pod 'shop-1': cannot use the policy: no key 'k1'"},
        {.why = "source.region of no member",
         .spec = "{" REGIONS ", \"source\": {\"region\": \"asia\"}}",
         .pods = {{.name = "shop-0", .state = FINE},
                  {.name = "shop-1", .region = "us", .state = STANDBY}},
         .expected = "False",
         .reason = "UnknownRegion",
         .text = "no member is in region 'asia' ('shop-0' is in eu, 'shop-1' is in us)"},
        {.why = "database down",
         .pods = {{.name = "shop-0", .state = LOADED DOWN "," BOTH}},
         .expected = "False",
         .reason = "DatabaseUnreachable",
         .text = "connection refused"},
        {.why = "the only database that is up is in another region",
         .spec = "{" REGIONS ", \"source\": {\"region\": \"eu\"}}",
         .pods = {{.name = "shop-0", .state = LOADED DOWN "," BOTH},
                  {.name = "shop-1", .region = "us", .state = STANDBY}},
         .expected = "False",
         .reason = "DatabaseUnreachable"},
        {.why = "no standby",
         .spec = "{" REGIONS ", \"source\": {\"fallback\": false}}",
         .pods = {{.name = "shop-0", .state = FINE}},
         .expected = "False",
         .reason = "NoStandby",
         .text = "spec.source.fallback is false"},
        {.why = "no primary",
         .spec = "{" REGIONS ", \"source\": {\"prefer\": \"Primary\", \"fallback\": false}}",
         .pods = {{.name = "shop-0", .state = STANDBY}},
         .expected = "False",
         .reason = "NoPrimary"},
        {.why = "standby there",
         .spec = "{" REGIONS ", \"source\": {\"fallback\": false}}",
         .pods = {{.name = "shop-0", .state = FINE}, {.name = "shop-1", .state = STANDBY}},
         .expected = "True",
         .reason = "Ready"},
        {.why = "quorum out of reach",
         .spec = "{" REGIONS ", \"quorum\": 2}",
         .pods = {{.name = "shop-0",
                   .state = LOADED DATABASE("primary") ", \"regions\": [" REGION(
                       "eu", "2", NEW) "," BAD_REGION("us") "]"}},
         .expected = "False",
         .reason = "RegionUnreachable",
         .text = "region 'us' cannot be used: 403 AccessDenied"},
        {.why = "one region away, quorum met",
         .pods = {{.name = "shop-0",
                   .state = LOADED DATABASE("primary") ", \"regions\": [" REGION(
                       "eu", "2", NEW) "," BAD_REGION("us") "]"}},
         .expected = "True",
         .reason = "Degraded",
         .text = "pod 'shop-0': cannot use region 'us': 403"},
        {.why = "a region of which nobody told",
         .pods = {{.name = "shop-0", .state = LOADED DATABASE("primary")}},
         .expected = "Unknown",
         .reason = "NotKnown",
         .text = "no sidecar has tried region 'eu'"},
        {.why = "nothing to write to",
         .spec = "{\"regions\": [{\"name\": \"eu\", \"access\": \"ReadOnly\","
                 " \"file\": {\"path\": \"/x\"}}]}",
         .pods = {{.name = "shop-0", .state = FINE}},
         .expected = "False",
         .reason = "RegionUnreachable",
         .text = "ReadOnly"},
        {.why = "one of two is missing",
         .pods = {{.name = "shop-0", .state = FINE}, {.name = "shop-1"}},
         .expected = "True",
         .reason = "Degraded",
         .text = "pod 'shop-1': its sidecar has not connected"},
        {.why = "one goes, the other serves",
         .pods = {{.name = "shop-0", .state = FINE}, {.name = "shop-1", .terminating = true}},
         .expected = "True",
         .reason = "Ready"},
        {.why = "the node's region could not be asked",
         .pods = {{.name = "shop-0", .state = FINE, .region_error = "nodes 'n1': forbidden"}},
         .expected = "True",
         .reason = "Degraded",
         .text = "nodes 'n1': forbidden"},
    };
    (void)state;
    check_scenes(scenes, ARRAY_SIZE(scenes));
}

#define SUCCEEDED "\"conditions\": [{\"type\": \"Succeeded\", \"status\": \"True\"}]"
#define BACKUP(name, schedule, id, finished, regions)                                              \
    "{\"metadata\": {\"name\": \"" name "\", \"labels\": {\"lifeboat.dev/schedule\": \"" schedule  \
    "\"}}, \"status\": {" SUCCEEDED ", \"backupID\": \"" id "\", \"type\": \"Full\","              \
    " \"finished\": \"" finished "\", \"bytesStored\": 5, \"regions\": [" regions "]}}"

static void what_the_regions_have_is_told(void **state)
{
    static const struct scene scenes[] = {
        {.why = "there is one",
         .pods = {{.name = "shop-0", .state = FINE}},
         .condition = "Recoverable",
         .expected = "True",
         .reason = "BackupExists",
         .text = "region 'eu' has the backup " NEW},
        {.why = "there is none",
         .pods = {{.name = "shop-0",
                   .state = LOADED DATABASE("primary") ", \"regions\": ["
                                                       "{\"name\": \"eu\", \"reachable\": true, "
                                                       "\"backups\": 0, \"bytes\": 0}]"}},
         .condition = "Recoverable",
         .expected = "False",
         .reason = "NoBackup"},
        {.why = "nobody said",
         .pods = {{.name = "shop-0"}},
         .condition = "Recoverable",
         .expected = "Unknown",
         .reason = "NotKnown"},
        {.why = "the spec cannot be read",
         .spec = "{}",
         .condition = "Recoverable",
         .expected = "Unknown",
         .reason = "NotKnown"},
        {.why = "in both",
         .pods = {{.name = "shop-0", .state = FINE}},
         .condition = "Replicated",
         .expected = "True",
         .reason = "InAllRegions"},
        {.why = "one is behind",
         .pods = {{.name = "shop-0",
                   .state = LOADED DATABASE("primary") ", \"regions\": [" REGION(
                       "eu", "2", NEW) "," REGION("us", "1", OLD) "]"}},
         .condition = "Replicated",
         .expected = "False",
         .reason = "MissingRegions",
         .text = "region 'us' does not have the newest backup " NEW},
        {.why = "one is away",
         .pods = {{.name = "shop-0",
                   .state = LOADED DATABASE("primary") ", \"regions\": [" REGION(
                       "eu", "2", NEW) "," BAD_REGION("us") "]"}},
         .condition = "Replicated",
         .expected = "False",
         .reason = "MissingRegions",
         .text = "403 AccessDenied"},
        {.why = "one is away, but had it",
         .backups = "[" BACKUP("b", "d", NEW, "2026-11-21T03:10:00Z", "\"eu\", \"us\"") "]",
         .pods = {{.name = "shop-0",
                   .state = LOADED DATABASE("primary") ", \"regions\": [" REGION(
                       "eu", "2", NEW) "," BAD_REGION("us") "]"}},
         .condition = "Replicated",
         .expected = "True",
         .reason = "InAllRegions"},
        {.why = "no backup at all",
         .pods = {{.name = "shop-0"}},
         .condition = "Replicated",
         .expected = "Unknown",
         .reason = "NoBackup"},
        {.why = "a region that is only read does not count",
         .spec = "{\"regions\": [{\"name\": \"eu\", \"file\": {\"path\": \"/x\"}},"
                 " {\"name\": \"us\", \"access\": \"ReadOnly\", \"file\": {\"path\": \"/y\"}}]}",
         .pods = {{.name = "shop-0",
                   .state = LOADED DATABASE("primary") ", \"regions\": [" REGION(
                       "eu", "1", OLD) "," REGION("us", "2", NEW) "]"}},
         .condition = "Replicated",
         .expected = "True",
         .reason = "InAllRegions"},
    };
    (void)state;
    check_scenes(scenes, ARRAY_SIZE(scenes));
}

static void the_status_shows_pods_regions_and_the_last_backup(void **state)
{
    (void)state;
    static const struct scene scene = {
        .backups = "[" BACKUP("shop-d-1", "d", OLD, "2026-11-20T03:10:00Z", "\"eu\"") "," BACKUP(
            "shop-d-2", "d", NEW, "2026-11-21T03:10:00Z", "\"eu\"") "]",
        .status = "{\"observedGeneration\": 2, \"regions\": [{\"name\": \"us\", \"backups\": 7,"
                  " \"bytes\": 70, \"size\": \"70 B\", \"lastBackup\": \"" OLD "\"}]}",
        .spec = "{" REGIONS ", \"schedules\": [{\"name\": \"d\", \"cron\": \"0 3 * * *\"}]}",
        .pods = {{.name = "shop-0",
                  .state = LOADED "\"database\": {\"reachable\": true, \"role\": \"standby\","
                                  " \"lagSeconds\": 250}, \"regions\": [" REGION(
                                      "eu", "2", NEW) "," BAD_REGION("us") "]"},
                 {.name = "shop-1", .region = "us"}},
    };
    CLEANUP(facts_done) struct facts facts;
    CLEANUP(policy_plan_done) struct policy_plan plan;
    plan_scene(&scene, &facts, "2026-11-21T12:00:00Z", &plan);
    json_auto_t *expected = load_json(
        "{\"members\": \"1/2\", \"nextBackup\": \"2026-11-22T03:00:00Z\","
        " \"schedules\": [{\"name\": \"d\", \"lastSuccess\": \"2026-11-21T03:10:00Z\","
        "   \"next\": \"2026-11-22T03:00:00Z\"}],"
        " \"regions\": [{\"name\": \"eu\", \"reachable\": true, \"backups\": 2, \"bytes\": 1000,"
        "     \"size\": \"1.0 kB\", \"lastBackup\": \"" NEW "\"},"
        "   {\"name\": \"us\", \"reachable\": false, \"error\": \"403 AccessDenied\","
        "     \"backups\": 7, \"bytes\": 70, \"size\": \"70 B\", \"lastBackup\": \"" OLD "\"}],"
        " \"pods\": [{\"name\": \"shop-0\", \"uid\": \"shop-0\", \"connected\": true,"
        "     \"region\": \"eu\", \"role\": \"Standby\", \"lagSeconds\": 240, \"generation\": 3,"
        "     \"message\": \"cannot use region 'us': 403 AccessDenied\"},"
        "   {\"name\": \"shop-1\", \"uid\": \"shop-1\", \"connected\": false, \"region\": \"us\","
        "     \"message\": \"its sidecar has not connected to the operator yet: see its log\"}],"
        " \"lastBackup\": {\"name\": \"shop-d-2\", \"backupID\": \"" NEW "\", \"type\": \"Full\","
        "   \"finished\": \"2026-11-21T03:10:00Z\", \"bytesStored\": 5}}");
    json_auto_t *shown = json_deep_copy(plan.status);
    assert_int_equal(json_array_size(json_object_get(shown, "conditions")), 4);
    assert_int_equal(json_integer_value(json_object_get(shown, "observedGeneration")), 3);
    json_object_del(shown, "conditions");
    json_object_del(shown, "observedGeneration");
    if (!json_equal(shown, expected)) {
        CLEANUP(own_freep) char *text = json_dumps(shown, JSON_INDENT(1));
        fail_msg("%s", text);
    }
}

static void the_same_facts_give_the_same_status(void **state)
{
    (void)state;
    struct scene scene = {
        .spec = "{" REGIONS ", \"schedules\": [{\"name\": \"d\", \"cron\": \"0 3 * * *\"}]}",
        .pods = {{.name = "shop-0", .state = FINE}, {.name = "shop-1"}},
    };
    CLEANUP(facts_done) struct facts facts;
    CLEANUP(policy_plan_done) struct policy_plan plan;
    plan_scene(&scene, &facts, "2026-11-21T12:00:00Z", &plan);
    CLEANUP(own_freep) char *before = json_dumps(plan.status, 0);
    scene.status = before;
    CLEANUP(facts_done) struct facts later_facts;
    CLEANUP(policy_plan_done) struct policy_plan later;
    plan_scene(&scene, &later_facts, "2026-11-21T19:45:13Z", &later);
    assert_true(json_equal(plan.status, later.status));
    assert_int_equal(later.slot_count, 0);
}

static void a_new_leader_does_not_change_what_it_cannot_know_yet(void **state)
{
    (void)state;
    struct scene scene = {.pods = {{.name = "shop-0", .state = FINE}}};
    CLEANUP(facts_done) struct facts facts;
    CLEANUP(policy_plan_done) struct policy_plan plan;
    plan_scene(&scene, &facts, "2026-11-21T12:00:00Z", &plan);
    CLEANUP(own_freep) char *before = json_dumps(plan.status, 0);
    scene = (struct scene){.pods = {{.name = "shop-0"}}, .status = before, .leading_ms = 5000};
    CLEANUP(facts_done) struct facts settling_facts;
    CLEANUP(policy_plan_done) struct policy_plan settling;
    plan_scene(&scene, &settling_facts, "2026-11-21T12:01:00Z", &settling);
    assert_true(json_equal(plan.status, settling.status));
    assert_int_equal(settling.again_ms, 55000);

    scene.leading_ms = 60000;
    scene.condition = "Ready";
    scene.expected = "False";
    scene.reason = "NoSidecar";
    check_scene(&scene);
}

static void slots_are_planned_unless_nothing_could_come_of_them(void **state)
{
    static const struct {
        const char *spec;
        size_t slots;
        bool next;
    } cases[] = {
        {"{" REGIONS ", \"schedules\": [{\"name\": \"h\", \"cron\": \"0 * * * *\"},"
         " {\"name\": \"w\", \"cron\": \"0 3 * * 0\"}]}",
         1, true},
        {"{" REGIONS ", \"suspend\": true,"
         " \"schedules\": [{\"name\": \"h\", \"cron\": \"0 * * * *\"}]}",
         0, false},
        {"{" REGIONS ", \"source\": {\"mode\": \"PerRegion\"},"
         " \"schedules\": [{\"name\": \"h\", \"cron\": \"0 * * * *\"}]}",
         0, false},
        {"{" REGIONS ", \"retention\": {\"fulls\": 1},"
         " \"schedules\": [{\"name\": \"h\", \"cron\": \"0 * * * *\"}]}",
         1, true},
        {"{\"schedules\": [{\"name\": \"h\", \"cron\": \"0 * * * *\"}]}", 0, false},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const struct scene scene = {
            .spec = cases[i].spec,
            .status = "{\"observedGeneration\": 2, \"schedules\": [{\"name\": \"h\","
                      " \"lastSlot\": \"2026-11-21T09:00:00Z\","
                      " \"next\": \"2026-11-21T10:00:00Z\"}]}"};
        CLEANUP(facts_done) struct facts facts;
        CLEANUP(policy_plan_done) struct policy_plan plan;
        plan_scene(&scene, &facts, "2026-11-21T12:30:00Z", &plan);
        const json_t *h = json_array_get(json_object_get(plan.status, "schedules"), 0);
        assert_int_equal(plan.slot_count, cases[i].slots);
        assert_int_equal(json_object_get(h, "next") != NULL, cases[i].next);
        assert_string_equal(text_at(h, "lastSlot"),
                            cases[i].slots ? "2026-11-21T12:00:00Z" : "2026-11-21T09:00:00Z");
        if (cases[i].slots == 0)
            continue;
        assert_true(plan.slots[0].due);
        assert_int_equal(plan.slots[0].missed, 2);
        assert_string_equal(plan.slots[0].schedule->name, "h");
        assert_in_range(plan.again_ms, 1, 10 * 60 * 1000);
    }
}

static void a_slot_whose_backup_could_not_be_made_stays_owed(void **state)
{
    static const struct {
        const char *status, *last, *next;
    } cases[] = {
        {NULL, "(none)", "2026-11-21T12:00:00Z"}, /* the first look at the policy */
        {"{\"observedGeneration\": 3, \"schedules\": [{\"name\": \"h\","
         " \"lastSlot\": \"2026-11-21T09:00:00Z\", \"next\": \"2026-11-21T10:00:00Z\"}]}",
         "2026-11-21T09:00:00Z", "2026-11-21T10:00:00Z"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct scene scene = {
            .spec = "{" REGIONS ", \"schedules\": [{\"name\": \"h\", \"cron\": \"0 * * * *\"},"
                    " {\"name\": \"other\", \"cron\": \"0 12 * * *\"}]}",
            .status = cases[i].status,
            .not_created = "spec.schedules[0] 'h': 403"};
        CLEANUP(facts_done) struct facts facts;
        CLEANUP(policy_plan_done) struct policy_plan plan;
        plan_scene(&scene, &facts, "2026-11-21T12:30:00Z", &plan);
        const json_t *h = json_array_get(json_object_get(plan.status, "schedules"), 0);
        assert_string_equal(text_at(h, "lastSlot"), cases[i].last);
        assert_string_equal(text_at(h, "next"), cases[i].next);
        for (size_t k = 0; k < plan.slot_count; k++)
            assert_string_equal(plan.slots[k].schedule->name, "other");

        CLEANUP(own_freep) char *before = json_dumps(plan.status, 0);
        scene.status = before;
        scene.not_created = NULL;
        CLEANUP(facts_done) struct facts later_facts;
        CLEANUP(policy_plan_done) struct policy_plan later;
        plan_scene(&scene, &later_facts, "2026-11-21T12:59:00Z", &later);
        assert_int_equal(later.slot_count, 1);
        assert_true(later.slots[0].due);
        assert_int_equal(later.slots[0].missed, i == 0 ? 0 : 2);
    }
}

/* They list at different times, and whichever spoke last must not change the status each time. */
static void the_newest_listing_of_a_region_counts_whoever_speaks(void **state)
{
    static const struct pod before = {.name = "shop-0",
                                      .state = LOADED DATABASE("primary") ", \"regions\": [" REGION(
                                          "eu", "1", OLD) "]"},
                            after = {.name = "shop-1",
                                     .state = LOADED DATABASE("standby") ", \"regions\": [" REGION(
                                         "eu", "2", NEW) "]"};
    (void)state;
    for (int64_t silent_ms = 500; silent_ms <= 2000; silent_ms += 1500) {
        struct scene scene = {.spec = "{" REGIONS "}", .pods = {before, after}};
        scene.pods[0].silent_ms = silent_ms;
        CLEANUP(facts_done) struct facts facts;
        CLEANUP(policy_plan_done) struct policy_plan plan;
        plan_scene(&scene, &facts, "2026-11-21T12:00:00Z", &plan);
        const json_t *region = json_array_get(json_object_get(plan.status, "regions"), 0);
        assert_int_equal(json_integer_value(json_object_get(region, "backups")), 2);
        assert_string_equal(json_string_value(json_object_get(region, "lastBackup")), NEW);
    }
}

static void a_last_backup_outlives_its_object(void **state)
{
    (void)state;
    const struct scene scene = {
        .status = "{\"lastBackup\": {\"name\": \"gone\", \"finished\": \"2026-11-21T03:10:00Z\"}}",
        .backups = "[" BACKUP("older", "d", OLD, "2026-11-20T03:10:00Z", "") "]"};
    CLEANUP(facts_done) struct facts facts;
    CLEANUP(policy_plan_done) struct policy_plan plan;
    plan_scene(&scene, &facts, "2026-11-21T12:30:00Z", &plan);
    assert_string_equal(text_at(json_object_get(plan.status, "lastBackup"), "name"), "gone");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(readiness_names_what_stands_in_the_way),
        cmocka_unit_test(what_the_regions_have_is_told),
        cmocka_unit_test(the_status_shows_pods_regions_and_the_last_backup),
        cmocka_unit_test(the_same_facts_give_the_same_status),
        cmocka_unit_test(a_new_leader_does_not_change_what_it_cannot_know_yet),
        cmocka_unit_test(slots_are_planned_unless_nothing_could_come_of_them),
        cmocka_unit_test(a_slot_whose_backup_could_not_be_made_stays_owed),
        cmocka_unit_test(the_newest_listing_of_a_region_counts_whoever_speaks),
        cmocka_unit_test(a_last_backup_outlives_its_object),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
