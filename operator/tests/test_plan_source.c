// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/own.h"
#include "operator/plan_source.h"

enum { LATER = SOURCE_GRACE_MS, SOON = SOURCE_FALLBACK_GRACE_MS };

static const struct source_candidate primary = {.pod = "db-0",
                                                .uid = "u0",
                                                .region = "eu",
                                                .connected = true,
                                                .fresh = true,
                                                .generation = 3,
                                                .reachable = true,
                                                .lag_seconds = -1};
static const struct source_candidate standby = {.pod = "db-1",
                                                .uid = "u1",
                                                .region = "us",
                                                .connected = true,
                                                .fresh = true,
                                                .generation = 3,
                                                .reachable = true,
                                                .standby = true,
                                                .lag_seconds = 4};

/* A copy of a candidate, c, with some things changed. */
#define BUT(candidate, ...)                                                                        \
    ({                                                                                             \
        struct source_candidate c = (candidate);                                                   \
        (void)(__VA_ARGS__);                                                                       \
        c;                                                                                         \
    })

struct row {
    const char *sentence;
    struct source_candidate pods[3];
    size_t count;
    bool prefer_primary, no_fallback;
    const char *region, *avoid;
    int64_t waited_ms;
    int verdict;
    const char *expected; /* the pod, or what the message has in it */
    const char *reason;
};

static void check(const struct row *row)
{
    struct source_facts facts = {.prefer_primary = row->prefer_primary,
                                 .fallback = !row->no_fallback,
                                 .region = row->region,
                                 .generation = 3,
                                 .waited_ms = row->waited_ms,
                                 .avoid = row->avoid,
                                 .candidates = row->pods,
                                 .count = row->count};
    struct source_choice choice;
    source_choose(&facts, &choice);
    if ((int)choice.verdict != row->verdict)
        fail_msg("%s: verdict %d: %s", row->sentence, choice.verdict, choice.message);
    const char *found =
        choice.verdict == SOURCE_CHOSEN ? row->pods[choice.index].pod : choice.message;
    if (!strstr(found, row->expected))
        fail_msg("%s: '%s', not '%s'", row->sentence, found, row->expected);
    if (choice.verdict == SOURCE_GIVE_UP && strcmp(choice.reason, row->reason) != 0)
        fail_msg("%s: reason %s", row->sentence, choice.reason);
}

static void check_all(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++)
        check(&rows[i]);
}

static void the_preferred_role_is_taken(void **state)
{
    (void)state;
    const struct row rows[] = {
        {.sentence = "a standby is preferred",
         .pods = {primary, standby},
         .count = 2,
         .verdict = SOURCE_CHOSEN,
         .expected = "db-1"},
        {.sentence = "a primary if that is preferred",
         .pods = {primary, standby},
         .count = 2,
         .prefer_primary = true,
         .verdict = SOURCE_CHOSEN,
         .expected = "db-0"},
        {.sentence = "the standby with the least lag",
         .pods = {primary, standby, BUT(standby, c.pod = "db-2", c.lag_seconds = 1)},
         .count = 3,
         .verdict = SOURCE_CHOSEN,
         .expected = "db-2"},
        {.sentence = "a lag that nobody knows is the worst",
         .pods = {BUT(standby, c.pod = "db-2", c.lag_seconds = -1), standby},
         .count = 2,
         .verdict = SOURCE_CHOSEN,
         .expected = "db-1"},
        {.sentence = "rather not the pod that failed before",
         .pods = {standby, BUT(standby, c.pod = "db-2", c.uid = "u2", c.lag_seconds = 90)},
         .count = 2,
         .avoid = "u1",
         .verdict = SOURCE_CHOSEN,
         .expected = "db-2"},
        {.sentence = "but that one rather than the primary",
         .pods = {primary, standby},
         .count = 2,
         .avoid = "u1",
         .verdict = SOURCE_CHOSEN,
         .expected = "db-1"},
        {.sentence = "only in source.region",
         .pods = {primary, standby},
         .count = 2,
         .region = "eu",
         .verdict = SOURCE_CHOSEN,
         .expected = "db-0"},
    };
    check_all(rows, ARRAY_SIZE(rows));
}

static void the_other_role_stands_in_after_a_while(void **state)
{
    (void)state;
    const struct row rows[] = {
        {.sentence = "at once if there is no pod that could become a standby",
         .pods = {primary},
         .count = 1,
         .verdict = SOURCE_CHOSEN,
         .expected = "db-0"},
        {.sentence = "a standby that is not connected yet is waited for",
         .pods = {primary, BUT(standby, c.connected = false)},
         .count = 2,
         .verdict = SOURCE_WAIT,
         .expected = "'db-1' its sidecar is not connected"},
        {.sentence = "one that is busy as well",
         .pods = {primary, BUT(standby, c.busy = "b1")},
         .count = 2,
         .verdict = SOURCE_WAIT,
         .expected = "is busy with 'b1'"},
        {.sentence = "but not for ever",
         .pods = {primary, BUT(standby, c.busy = "b1")},
         .count = 2,
         .waited_ms = SOON,
         .verdict = SOURCE_CHOSEN,
         .expected = "db-0"},
        {.sentence = "a standby instead of a preferred primary",
         .pods = {standby},
         .count = 1,
         .prefer_primary = true,
         .verdict = SOURCE_CHOSEN,
         .expected = "db-1"},
    };
    check_all(rows, ARRAY_SIZE(rows));
}

static void without_fallback_a_standby_is_waited_for_and_then_missed(void **state)
{
    (void)state;
    const struct row rows[] = {
        {.sentence = "it may come",
         .pods = {primary},
         .count = 1,
         .no_fallback = true,
         .waited_ms = LATER - 1,
         .verdict = SOURCE_WAIT,
         .expected = "source.fallback: true"},
        {.sentence = "it did not come",
         .pods = {primary},
         .count = 1,
         .no_fallback = true,
         .waited_ms = LATER,
         .verdict = SOURCE_GIVE_UP,
         .expected = "'db-0' is the primary",
         .reason = "NoStandby"},
        {.sentence = "that nothing works at all is something else",
         .pods = {BUT(primary, c.connected = false)},
         .count = 1,
         .no_fallback = true,
         .waited_ms = LATER,
         .verdict = SOURCE_GIVE_UP,
         .expected = "'db-0' its sidecar is not connected",
         .reason = "NoMember"},
        {.sentence = "a primary that must be one",
         .pods = {standby},
         .count = 1,
         .prefer_primary = true,
         .no_fallback = true,
         .waited_ms = LATER,
         .verdict = SOURCE_GIVE_UP,
         .expected = "no primary can make the backup",
         .reason = "NoPrimary"},
    };
    check_all(rows, ARRAY_SIZE(rows));
}

static void each_pod_says_what_it_lacks(void **state)
{
    (void)state;
    struct row row = {.sentence = "lack",
                      .count = 1,
                      .waited_ms = LATER,
                      .verdict = SOURCE_GIVE_UP,
                      .reason = "NoMember"};
    const struct {
        struct source_candidate pod;
        const char *lack;
    } rows[] = {
        {BUT(standby, c.unusable = "is being deleted"), "'db-1' is being deleted"},
        {BUT(standby, c.connected = false), "its sidecar is not connected"},
        {BUT(standby, c.fresh = false), "its sidecar has not said yet how it is"},
        {BUT(standby, c.config_error = "spec.quorum: 9"), "refuses the policy: spec.quorum: 9"},
        {BUT(standby, c.generation = 2), "has generation 2 of the policy, not 3 yet"},
        {BUT(standby, c.reachable = false, c.database_error = "no such role"),
         "PostgreSQL cannot be reached: no such role"},
        {BUT(standby, c.reachable = false), "PostgreSQL cannot be reached: no reason given"},
        {BUT(standby, c.busy = "b1"), "is busy with 'b1'"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        row.pods[0] = rows[i].pod;
        row.expected = rows[i].lack;
        check(&row);
    }
    check(&(struct row){.sentence = "in another region",
                        .pods = {standby},
                        .count = 1,
                        .region = "eu",
                        .waited_ms = LATER,
                        .verdict = SOURCE_GIVE_UP,
                        .expected = "'db-1' is in region 'us'",
                        .reason = "NoMember"});
    check(&(struct row){.sentence = "no pod at all",
                        .waited_ms = LATER,
                        .verdict = SOURCE_GIVE_UP,
                        .expected = "lifeboat.dev/policy",
                        .reason = "NoMember"});
}

static void many_pods_are_counted_where_they_do_not_fit(void **state)
{
    (void)state;
    struct source_candidate pods[64];
    for (size_t i = 0; i < ARRAY_SIZE(pods); i++)
        pods[i] = BUT(standby, c.config_error = "a long story that fills the message up, and more");
    struct source_facts facts = {
        .generation = 3, .waited_ms = LATER, .candidates = pods, .count = ARRAY_SIZE(pods)};
    struct source_choice choice;
    source_choose(&facts, &choice);
    assert_non_null(strstr(choice.message, " more)"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_preferred_role_is_taken),
        cmocka_unit_test(the_other_role_stands_in_after_a_while),
        cmocka_unit_test(without_fallback_a_standby_is_waited_for_and_then_missed),
        cmocka_unit_test(each_pod_says_what_it_lacks),
        cmocka_unit_test(many_pods_are_counted_where_they_do_not_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
