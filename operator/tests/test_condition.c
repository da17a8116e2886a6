// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "operator/condition.h"

static json_t *format_ready(enum condition_status status, const json_t *before, int64_t now_ms)
{
    struct condition ready = {.type = "Ready"};
    condition_set(&ready, status, "Waiting", "%d sidecars are missing", 2);
    return conditions_format(&ready, 1, before, 7, now_ms);
}

static const char *member(const json_t *conditions, const char *name)
{
    return json_string_value(json_object_get(json_array_get(conditions, 0), name));
}

static void a_condition_tells_all_that_a_person_needs(void **state)
{
    (void)state;
    json_auto_t *conditions = format_ready(CONDITION_FALSE, NULL, 0);
    assert_string_equal(member(conditions, "type"), "Ready");
    assert_string_equal(member(conditions, "status"), "False");
    assert_string_equal(member(conditions, "reason"), "Waiting");
    assert_string_equal(member(conditions, "message"), "2 sidecars are missing");
    assert_string_equal(member(conditions, "lastTransitionTime"), "1970-01-01T00:00:00Z");
    assert_int_equal(
        json_integer_value(json_object_get(json_array_get(conditions, 0), "observedGeneration")),
        7);
}

static void the_time_of_transition_moves_only_with_the_status(void **state)
{
    (void)state;
    json_auto_t *first = format_ready(CONDITION_FALSE, NULL, 0);
    json_auto_t *same = format_ready(CONDITION_FALSE, first, 60000);
    json_auto_t *changed = format_ready(CONDITION_TRUE, same, 120000);
    assert_string_equal(member(same, "lastTransitionTime"), "1970-01-01T00:00:00Z");
    assert_string_equal(member(changed, "lastTransitionTime"), "1970-01-01T00:02:00Z");
}

static void any_bytes_make_a_message(void **state)
{
    (void)state;
    struct condition ready = {.type = "Ready"};
    condition_set(&ready, CONDITION_FALSE, "Invalid", "said '%s'", "caf\xc3\x28\n\xff\xe2\x82");
    assert_string_equal(ready.message, "said 'caf\\xc3(\\x0a\\xff\\xe2\\x82'");
    json_auto_t *conditions = conditions_format(&ready, 1, NULL, 1, 0);
    assert_int_equal(json_array_size(conditions), 1);

    char text[3000] = "";
    for (size_t i = 0; i + 3 < sizeof(text); i += 3)
        memcpy(text + i, "\u20ac", 4);
    condition_set(&ready, CONDITION_FALSE, "Invalid", "%s", text);
    assert_in_range(strlen(ready.message), CONDITION_MESSAGE_BYTES - 4,
                    CONDITION_MESSAGE_BYTES - 1);
    assert_string_equal(ready.message + strlen(ready.message) - 6, "\u20ac\u2026");
    condition_set(&ready, CONDITION_FALSE, "Invalid", "a%s", text);
    assert_string_equal(ready.message + strlen(ready.message) - 6, "\u20ac\u2026");
}

static void a_condition_is_found_in_a_status(void **state)
{
    (void)state;
    json_auto_t *object =
        json_pack("{s:{s:o}}", "status", "conditions", format_ready(CONDITION_TRUE, NULL, 0));
    assert_true(condition_is_true(object, "Ready"));
    assert_false(condition_is_true(object, "Stalled"));
    assert_null(condition_find(object, "Stalled"));
    assert_non_null(condition_find(object, "Ready"));
    assert_false(condition_is_true(NULL, "Ready"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_condition_tells_all_that_a_person_needs),
        cmocka_unit_test(the_time_of_transition_moves_only_with_the_status),
        cmocka_unit_test(any_bytes_make_a_message),
        cmocka_unit_test(a_condition_is_found_in_a_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
