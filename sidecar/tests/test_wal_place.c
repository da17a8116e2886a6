// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/own.h"
#include "sidecar/timeline.h"
#include "sidecar/wal_place.h"

enum { SPANS_MAX = 6 };

/* Timeline 1 was left at 350 for 2, and that at 450 for 4; 3 branched off somewhere else. */
static struct timeline_span lines[] = {{1, 0, 350}, {2, 350, 450}, {4, 450, UINT64_MAX}};
static const struct timeline history = {lines, ARRAY_SIZE(lines)};

struct place_case {
    const char *name;
    struct wal_span spans[SPANS_MAX]; /* as many as have an end */
    uint64_t kept_lsn;
    uint32_t timeline;
    uint64_t lsn;
    bool joins;
    struct wal_span gap;
};

static void check(const struct place_case *c)
{
    struct wal_span spans[SPANS_MAX];
    size_t count = 0;
    for (; count < SPANS_MAX && c->spans[count].to != 0; count++)
        spans[count] = c->spans[count];
    wal_gap_sort(spans, count);
    const struct wal_place_facts facts = {spans, count, &history, c->kept_lsn};
    const struct wal_place place = wal_place_find(&facts);
    if (place.timeline != c->timeline || place.lsn != c->lsn || place.joins != c->joins ||
        place.gap.timeline != c->gap.timeline || place.gap.from != c->gap.from ||
        place.gap.to != c->gap.to)
        fail_msg("%s: timeline %u at %ju, %d, gap on %u from %ju to %ju", c->name, place.timeline,
                 (uintmax_t)place.lsn, place.joins, place.gap.timeline, (uintmax_t)place.gap.from,
                 (uintmax_t)place.gap.to);
}

static void a_stream_goes_on_where_the_regions_have_no_more(void **state)
{
    (void)state;
    static const struct place_case cases[] = {
        {"nothing is there yet", {{0}}, 470, 4, 470, false, {0}},
        {"a new slot, in the past of the timeline", {{0}}, 320, 1, 320, false, {0}},
        {"right at the slot", {{4, 460, 470}}, 470, 4, 470, true, {0}},
        {"ahead of the slot", {{4, 460, 480}, {4, 480, 490}}, 470, 4, 490, true, {0}},
        {"a hole that uploads in parallel left",
         {{4, 460, 480}, {4, 490, 500}},
         470,
         4,
         480,
         true,
         {0}},
        {"over the forks", {{1, 300, 360}, {2, 340, 450}, {4, 440, 460}}, 310, 4, 460, true, {0}},
        {"at a fork", {{1, 300, 350}, {2, 340, 450}}, 310, 4, 450, true, {0}},
        {"the old timeline is not complete", {{1, 300, 340}}, 310, 1, 340, true, {0}},
        {"of another branch", {{3, 400, 500}}, 470, 4, 470, false, {0}},
        {"beyond the fork it is another history", {{1, 300, 500}}, 310, 2, 350, true, {0}},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        check(&cases[i]);
}

static void what_is_missing_before_the_slot_is_a_gap(void **state)
{
    (void)state;
    static const struct place_case cases[] = {
        {"on the timeline", {{4, 450, 460}}, 470, 4, 470, false, {4, 460, 470}},
        {"since a timeline before", {{1, 300, 340}}, 470, 4, 470, false, {1, 340, 470}},
        {"at a fork it begins on the new timeline",
         {{1, 300, 400}},
         470,
         4,
         470,
         false,
         {2, 350, 470}},
        {"the newest end counts",
         {{1, 100, 200}, {2, 350, 360}, {1, 300, 310}},
         470,
         4,
         470,
         false,
         {2, 360, 470}},
        {"what is ahead does not help",
         {{4, 455, 460}, {4, 480, 500}},
         470,
         4,
         470,
         false,
         {4, 460, 470}},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        check(&cases[i]);
}

static void a_gap_over_forks_is_one_of_each_timeline(void **state)
{
    (void)state;
    static const struct wal_span parts[] = {{1, 340, 350}, {2, 350, 450}, {4, 450, 470}};
    struct wal_span rest = {1, 340, 470};
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        const struct wal_span part = wal_place_cut(&history, &rest);
        assert_int_equal(part.timeline, parts[i].timeline);
        assert_int_equal(part.from, parts[i].from);
        assert_int_equal(part.to, parts[i].to);
    }
    assert_int_equal(rest.from, rest.to);
    rest = (struct wal_span){2, 400, 450};
    assert_int_equal(wal_place_cut(&history, &rest).to, 450);
    assert_int_equal(rest.from, rest.to);
    rest = (struct wal_span){3, 300, 500}; /* of a server that another took the place of */
    assert_int_equal(wal_place_cut(&history, &rest).to, 500);
    assert_int_equal(rest.from, rest.to);
}

static void the_last_that_is_there_is_of_this_history(void **state)
{
    (void)state;
    const struct wal_span spans[] = {{1, 100, 200}, {1, 350, 400}, {2, 350, 390}, {3, 390, 900}};
    const struct wal_place_facts facts = {spans, ARRAY_SIZE(spans), &history, 100};
    const struct wal_place place = wal_place_find(&facts);
    assert_int_equal(place.lsn, 200);
    assert_int_equal(place.last_lsn, 390);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stream_goes_on_where_the_regions_have_no_more),
        cmocka_unit_test(what_is_missing_before_the_slot_is_a_gap),
        cmocka_unit_test(a_gap_over_forks_is_one_of_each_timeline),
        cmocka_unit_test(the_last_that_is_there_is_of_this_history),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
