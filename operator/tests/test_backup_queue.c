// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>

#include "operator/backup_queue.h"

/* A Backup made at that second of a day; succeeded NULL: not looked at yet. */
static json_t *backup(const char *name, const char *created, const char *succeeded,
                      const char *attempt)
{
    json_t *object = json_pack("{s:{s:s, s:s, s:s, s:s}, s:{s:{s:s}}}", "metadata", "namespace",
                               "shop", "name", name, "uid", name, "creationTimestamp", created,
                               "spec", "policyRef", "name", "db");
    json_t *status = json_object();
    if (succeeded)
        json_object_set_new(status, "conditions",
                            json_pack("[{s:s, s:s, s:s}]", "type", "Succeeded", "status", succeeded,
                                      "lastTransitionTime", "1970-01-01T00:00:09Z"));
    if (attempt)
        json_object_set_new(
            status, "attempts",
            json_pack("[{s:s, s:s}]", "backupID", attempt, "started", "1970-01-01T00:00:05Z"));
    json_object_set_new(object, "status", status);
    return object;
}

static void nobody_is_first_where_all_have_ended(void **state)
{
    (void)state;
    json_auto_t *backups = json_pack("[o,o]", backup("a", "1970-01-01T00:00:01Z", "True", "x"),
                                     backup("b", "1970-01-01T00:00:02Z", "False", NULL));
    struct backup_queue queue = backup_queue_read(backups);
    assert_null(queue.first);
    assert_int_equal(queue.ended_ms, 9000);
    assert_int_equal(queue.running, 0);
    assert_false(backup_queue_runs(backups, "x")); /* it did */
}

static void the_oldest_comes_first_and_the_name_decides_within_a_second(void **state)
{
    (void)state;
    json_auto_t *backups = json_pack("[o,o,o]", backup("c", "1970-01-01T00:00:02Z", NULL, NULL),
                                     backup("b", "1970-01-01T00:00:01Z", "Unknown", NULL),
                                     backup("a", "1970-01-01T00:00:01Z", NULL, NULL));
    assert_string_equal(backup_queue_read(backups).first, "a");
}

static void one_that_has_begun_comes_before_older_ones(void **state)
{
    (void)state;
    json_auto_t *backups =
        json_pack("[o,o]", backup("old", "1970-01-01T00:00:01Z", "Unknown", NULL),
                  backup("begun", "1970-01-01T00:00:03Z", "Unknown", "x"));
    struct backup_queue queue = backup_queue_read(backups);
    assert_string_equal(queue.first, "begun");
    assert_int_equal(queue.running, 1);
    assert_true(backup_queue_runs(backups, "x"));
    assert_false(backup_queue_runs(backups, "y"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_is_first_where_all_have_ended),
        cmocka_unit_test(the_oldest_comes_first_and_the_name_decides_within_a_second),
        cmocka_unit_test(one_that_has_begun_comes_before_older_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
