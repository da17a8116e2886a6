// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/own.h"
#include "operator/policy_spec.h"

static json_t *policy(const char *spec_text)
{
    json_error_t error;
    json_t *spec = json_loads(spec_text, 0, &error);
    if (!spec)
        fail_msg("bad JSON in a test: %s: %s", spec_text, error.text);
    return json_pack("{s:s, s:s, s:{s:s, s:s, s:s, s:i, s:s, s:{}}, s:o}", "apiVersion",
                     "lifeboat.dev/v1alpha1", "kind", "BackupPolicy", "metadata", "name", "shop",
                     "namespace", "default", "uid", "u1", "generation", 3, "creationTimestamp",
                     "2026-11-21T08:00:00Z", "annotations", "spec", spec);
}

static void a_policy_is_read_with_its_defaults(void **state)
{
    (void)state;
    json_auto_t *object =
        policy("{\"regions\": [{\"name\": \"here\", \"file\": {\"path\": \"/x\"}}]}");
    struct policy_spec spec;
    struct error err = {.text = ""};
    if (policy_spec_read(&spec, object, &err) < 0)
        fail_msg("%s", err.text);
    assert_string_equal(spec.name, "shop");
    assert_string_equal(spec.namespace, "default");
    assert_string_equal(spec.uid, "u1");
    assert_int_equal(spec.generation, 3);
    assert_true(spec.created_ms == INT64_C(1795248000000));
    assert_false(spec.deleted || spec.suspend || spec.source.prefer_primary);
    assert_true(spec.source.fallback);
    assert_null(spec.source.region);
    assert_int_equal(spec.quorum, 1);
    assert_int_equal(spec.deadline_seconds, 86400);
    assert_int_equal(spec.region_count, 1);
    assert_int_equal(spec.regions[0].store, POLICY_SPEC_FILE);
    assert_int_equal(spec.schedule_count, 0);
    assert_int_equal(spec.gap_count, 0);
    assert_null(policy_spec_refused(&spec));
}

static const char whole[] =
    "{\"connection\": {\"port\": 5432, \"user\": \"u\", \"passwordKey\": \"password\"},"
    " \"source\": {\"prefer\": \"Primary\", \"fallback\": false, \"mode\": \"Single\","
    "   \"region\": \"eu\"},"
    " \"suspend\": true, \"deadlineSeconds\": 60, \"quorum\": 2, \"compression\": {\"level\": 3},"
    " \"parallelism\": {\"workers\": 4}, \"wal\": {\"mode\": \"BackupOnly\"},"
    " \"encryption\": {\"mode\": \"AES256GCM\", \"activeKey\": \"k2\", \"keys\": [\"k2\", \"k1\"]},"
    " \"regions\": ["
    "  {\"name\": \"eu\", \"s3\": {\"bucket\": \"b\", \"credentials\": \"eu\","
    "    \"caKey\": \"eu.ca.crt\", \"auth\": \"Static\"}},"
    "  {\"name\": \"us\", \"access\": \"ReadWrite\", \"s3\": {\"bucket\": \"b\","
    "    \"credentials\": \"us\"}},"
    "  {\"name\": \"old\", \"access\": \"ReadOnly\", \"s3\": {\"bucket\": \"b\","
    "    \"auth\": \"Instance\", \"objectLock\": {\"days\": 7}}}],"
    " \"schedules\": ["
    "  {\"name\": \"weekly\", \"cron\": \"0 3 * * SUN\", \"timeZone\": \"Europe/Berlin\","
    "    \"jitterSeconds\": 300, \"startingDeadlineSeconds\": 3600},"
    "  {\"name\": \"hourly\", \"type\": \"Incremental\", \"cron\": \"15 * * * *\"}]}";

static void everything_that_the_operator_obeys_is_read(void **state)
{
    (void)state;
    json_auto_t *object = policy(whole);
    struct policy_spec spec;
    struct error err = {.text = ""};
    if (policy_spec_read(&spec, object, &err) < 0)
        fail_msg("%s", err.text);
    assert_true(spec.source.prefer_primary && spec.suspend && !spec.source.fallback);
    assert_string_equal(spec.source.region, "eu");
    assert_int_equal(spec.quorum, 2);
    assert_int_equal(spec.writable_count, 2);
    assert_true(spec.regions[2].read_only);
    assert_ptr_equal(policy_spec_find_region(&spec, "us"), &spec.regions[1]);
    assert_null(policy_spec_find_region(&spec, "asia"));
    assert_int_equal(spec.schedule_count, 2);
    assert_string_equal(spec.schedules[0].type, "Full");
    assert_string_equal(spec.schedules[0].time_zone, "Europe/Berlin");
    assert_int_equal(spec.schedules[0].jitter_seconds, 300);
    assert_int_equal(spec.schedules[0].starting_deadline_seconds, 3600);
    assert_string_equal(spec.schedules[1].type, "Incremental");
    assert_null(spec.schedules[1].time_zone);
    assert_int_equal(spec.gap_count, 0);
    CLEANUP(own_freep) char *keys = policy_spec_secret_keys(&spec);
    assert_string_equal(keys, "password, eu.access-key-id, eu.secret-access-key, eu.ca.crt, "
                              "us.access-key-id, us.secret-access-key, k2, k1");
}

static void the_keys_of_azure_are_named(void **state)
{
    (void)state;
    json_auto_t *object = policy(
        "{\"regions\": [{\"name\": \"eu\", \"azure\": {\"container\": \"c\", \"account\": \"a\", "
        "\"credentials\": \"eu\", \"caKey\": \"eu.ca.crt\"}}, {\"name\": \"us\", \"azure\": "
        "{\"container\": \"c\", \"account\": \"b\", \"auth\": \"WebIdentity\"}}]}");
    struct policy_spec spec;
    struct error err = {.text = ""};
    if (policy_spec_read(&spec, object, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(spec.gap_count, 0);
    assert_int_equal(spec.regions[0].store, POLICY_SPEC_AZURE);
    CLEANUP(own_freep) char *keys = policy_spec_secret_keys(&spec);
    assert_string_equal(keys, "eu.account-key or .sas-token, eu.ca.crt");
}

#define HERE "\"regions\": [{\"name\": \"here\", \"file\": {\"path\": \"/x\"}}]"

static void what_is_not_acted_on_is_named(void **state)
{
    static const struct {
        const char *spec, *field;
        bool refused;
    } cases[] = {
        {"{" HERE ", \"source\": {\"mode\": \"PerRegion\"}}", "spec.source.mode", true},
        {"{" HERE ", \"retention\": {\"fulls\": 3}}", "spec.retention", false},
        {"{" HERE ", \"verification\": {\"cron\": \"0 3 * * *\"}}", "spec.verification", false},
        {"{" HERE ", \"drills\": [{\"name\": \"d\"}]}", "spec.drills", false},
        {"{" HERE ", \"objectives\": {\"backupSeconds\": 3}}", "spec.objectives", false},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        json_auto_t *object = policy(cases[i].spec);
        struct policy_spec spec;
        struct error err = {.text = ""};
        if (policy_spec_read(&spec, object, &err) < 0)
            fail_msg("%s: %s", cases[i].spec, err.text);
        assert_int_equal(spec.gap_count, 1);
        assert_string_equal(spec.gaps[0].field, cases[i].field);
        assert_int_equal(spec.gaps[0].refused, cases[i].refused);
        assert_int_equal(policy_spec_refused(&spec) != NULL, cases[i].refused);
    }
}

static void wal_is_streamed_where_the_policy_asks_for_it(void **state)
{
    static const struct {
        const char *spec;
        bool stream;
    } cases[] = {
        {"{" HERE "}", false},
        {"{" HERE ", \"wal\": {}}", false},
        {"{" HERE ", \"wal\": {\"flushSeconds\": 10}}", false},
        {"{" HERE ", \"wal\": {\"mode\": \"BackupOnly\"}}", false},
        {"{" HERE ", \"wal\": {\"mode\": \"Stream\", \"flushSeconds\": 10}}", true},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        json_auto_t *object = policy(cases[i].spec);
        struct policy_spec spec;
        struct error err = {.text = ""};
        if (policy_spec_read(&spec, object, &err) < 0)
            fail_msg("%s: %s", cases[i].spec, err.text);
        assert_int_equal(spec.wal_stream, cases[i].stream);
        assert_int_equal(spec.gap_count, 0);
    }
}

static void nothing_is_nothing(void **state)
{
    (void)state;
    json_auto_t *object = policy(
        "{" HERE ", \"retention\": {}, \"drills\": [], \"limits\": {\"priority\": \"Low\"}}");
    struct policy_spec spec;
    struct error err;
    assert_int_equal(policy_spec_read(&spec, object, &err), 0);
    assert_int_equal(spec.gap_count, 0);
}

static void what_got_past_the_schema_is_an_error(void **state)
{
    static const struct {
        const char *spec, *expected;
    } cases[] = {
        {"{}", "spec.regions: expected at least one region"},
        {"{\"regions\": 5}", "spec.regions: expected a list, not 5"},
        {"{\"regions\": [{\"name\": \"a\"}]}",
         "spec.regions[0]: expected exactly one of s3, azure and file"},
        {"{\"regions\": [{\"name\": \"a\", \"s3\": {}, \"azure\": {}}]}",
         "spec.regions[0]: expected exactly one of s3, azure and file"},
        {"{\"regions\": [{\"name\": \"a\", \"file\": {}}, {\"name\": \"a\", \"file\": {}}]}",
         "spec.regions[1].name: 'a' is there twice"},
        {"{" HERE ", \"quorum\": 2}", "spec.quorum: 2 regions must have a backup, but only 1 have "
                                      "access: ReadWrite: lower it or "
                                      "add a region"},
        {"{" HERE ", \"schedules\": [{\"name\": \"a\"}]}",
         "spec.schedules[0].cron: required, but missing"},
        {"{" HERE ", \"schedules\": [{\"name\": \"a\", \"cron\": \"x\", \"type\": \"Odd\"}]}",
         "spec.schedules[0].type: expected Full, Differential or Incremental, not \"Odd\""},
        {"{" HERE ", \"schedules\": [{\"name\": \"a\", \"cron\": \"x\"}, "
         "{\"name\": \"a\", \"cron\": \"x\"}]}",
         "spec.schedules[1].name: 'a' is there twice"},
        {"{" HERE ", \"suspend\": 1}", "spec.suspend: expected true or false, not 1"},
        {"{" HERE ", \"deadlineSeconds\": 0}",
         "spec.deadlineSeconds: expected an integer from 1 to 2678400, not 0"},
        {"{" HERE ", \"newField\": 0}", "spec.newField: unknown field"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        json_auto_t *object = policy(cases[i].spec);
        struct policy_spec spec;
        struct error err = {.text = ""};
        assert_int_equal(policy_spec_read(&spec, object, &err), -1);
        assert_int_equal(err.kind, ERROR_PERMANENT);
        if (strncmp(err.text, cases[i].expected, strlen(cases[i].expected)) != 0)
            fail_msg("%s: %s", cases[i].spec, err.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_policy_is_read_with_its_defaults),
        cmocka_unit_test(everything_that_the_operator_obeys_is_read),
        cmocka_unit_test(the_keys_of_azure_are_named),
        cmocka_unit_test(what_is_not_acted_on_is_named),
        cmocka_unit_test(wal_is_streamed_where_the_policy_asks_for_it),
        cmocka_unit_test(nothing_is_nothing),
        cmocka_unit_test(what_got_past_the_schema_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
