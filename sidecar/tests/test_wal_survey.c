// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/own.h"
#include "sidecar/manifest.h"
#include "sidecar/repo.h"
#include "sidecar/tests/helper_repo.h"
#include "sidecar/timeline.h"
#include "sidecar/wal_archive.h"
#include "sidecar/wal_gap.h"
#include "sidecar/wal_survey.h"

enum { SEGMENT = 1 << 20, REGIONS = 2, PIECES = 4, BOTH = -1 };

struct piece {
    uint32_t timeline;
    uint64_t segment; /* 0: none */
    int region;       /* the only one that has it, or BOTH */
};

static void put(struct helper_repo *helper, const struct piece *piece, uint8_t *data)
{
    const struct wal_piece wal = {piece->timeline, piece->segment * SEGMENT, SEGMENT, 0, SEGMENT};
    char prefix[WAL_ARCHIVE_NAME_MAX];
    struct error err;
    uint64_t stored = 0;
    if (wal_archive_put(helper->repo, &wal, data, &stored, &err) < 0)
        fail_msg("%s", err.text);
    wal_archive_segment_prefix(&wal, prefix);
    CLEANUP(own_freep) char *name = helper_repo_name(helper, prefix);
    for (int region = 0; region < REGIONS; region++)
        if (piece->region != BOTH && piece->region != region)
            helper_repo_remove_object(helper, (size_t)region, name);
}

static void open_with(struct helper_repo *ret_helper, const struct piece there[PIECES])
{
    CLEANUP(own_freep) uint8_t *data = own_alloc(SEGMENT);
    helper_repo_open(ret_helper, REGIONS, 0);
    for (size_t i = 0; i < PIECES && there[i].segment > 0; i++)
        put(ret_helper, &there[i], data);
}

/* Timeline 1 up to the middle of segment 4, then timeline 2. */
static struct wal_survey_options options_of(const struct helper_repo *helper)
{
    static struct timeline_span spans[] = {{1, 0, 4 * SEGMENT + SEGMENT / 2},
                                           {2, 4 * SEGMENT + SEGMENT / 2, UINT64_MAX}};
    static const struct timeline history = {spans, ARRAY_SIZE(spans)};
    return (struct wal_survey_options){
        .repo = helper->repo,
        .history = &history,
        .segment_bytes = SEGMENT,
        .region_count = REGIONS,
    };
}

static void a_gap_is_what_no_region_has(void **state)
{
    static const struct {
        const char *why;
        struct piece there[PIECES];
        uint64_t from, to; /* the gap that is looked at, in segments */
        struct wal_span expected;
    } rows[] = {
        {"nothing is there", {{1, 1, BOTH}}, 2, 4, {1, 2 * SEGMENT, 4 * SEGMENT}},
        {"one region has it all", {{1, 2, 0}, {1, 3, 0}}, 2, 4, {0}},
        {"each has a part of it", {{1, 2, 0}, {1, 3, 1}}, 2, 4, {0}},
        {"one has its begin", {{1, 2, 1}}, 2, 4, {1, 3 * SEGMENT, 4 * SEGMENT}},
        {"one has its end", {{1, 3, 1}}, 2, 4, {1, 2 * SEGMENT, 3 * SEGMENT}},
        {"one has its middle", {{1, 2, 0}}, 1, 4, {1, 1 * SEGMENT, 4 * SEGMENT}},
        {"over a fork", {{1, 3, 0}, {1, 4, 1}, {2, 4, 1}, {2, 5, 0}}, 3, 6, {0}},
        {"behind a fork", {{1, 3, 0}, {1, 4, 1}, {2, 4, 1}}, 3, 6, {2, 5 * SEGMENT, 6 * SEGMENT}},
        {"before a fork",
         {{2, 4, 1}, {2, 5, 0}},
         3,
         6,
         {1, 3 * SEGMENT, 4 * SEGMENT + SEGMENT / 2}},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        CLEANUP(helper_repo_close) struct helper_repo helper;
        struct error err;
        open_with(&helper, rows[i].there);
        const struct wal_survey_options options = options_of(&helper);
        struct wal_span gap = {1, rows[i].from * SEGMENT, rows[i].to * SEGMENT};
        if (wal_survey_gap(&options, &gap, &err) < 1)
            fail_msg("%s: %s", rows[i].why, err.text);
        if (gap.timeline != rows[i].expected.timeline || gap.from != rows[i].expected.from ||
            gap.to != rows[i].expected.to)
            fail_msg("%s: from %jx to %jx of %u", rows[i].why, (uintmax_t)gap.from,
                     (uintmax_t)gap.to, gap.timeline);
    }
}

#define OLD "20261120T082118Z-full-3fa2"
#define NEW "20261121T082118Z-full-3fa2"

/* All up to segment 6 is kept. */
static void a_gap_is_looked_for_behind_the_newest_backup(void **state)
{
    static const struct {
        const char *why;
        struct piece there[PIECES];
        struct manifest_wal_range old, new; /* stop 0: there is no such backup */
        struct wal_span expected;
    } rows[] = {
        {.why = "without a backup nothing is lost", .there = {{1, 1, BOTH}, {1, 3, BOTH}}},
        {.why = "it is behind the only one",
         .there = {{1, 1, BOTH}, {1, 3, BOTH}, {1, 4, BOTH}, {2, 4, BOTH}},
         .old = {1, SEGMENT + 1, SEGMENT + 2},
         .expected = {1, 2 * SEGMENT, 6 * SEGMENT}},
        {.why = "another region has it",
         .there = {{1, 3, 0}, {1, 4, 0}, {2, 4, 0}, {2, 5, 1}},
         .old = {1, 3 * SEGMENT + 1, 3 * SEGMENT + 2}},
        {.why = "a backup starts behind it",
         .there = {{1, 1, BOTH}, {2, 4, BOTH}, {2, 5, 0}},
         .old = {1, SEGMENT + 1, SEGMENT + 2},
         .new = {2, 5 * SEGMENT, 5 * SEGMENT + 1}},
        {.why = "the one that starts behind it is of another timeline",
         .there = {{1, 1, BOTH}, {1, 2, BOTH}, {1, 4, BOTH}, {2, 5, BOTH}},
         .old = {1, SEGMENT + 1, SEGMENT + 2},
         .new = {1, 5 * SEGMENT, 5 * SEGMENT + 1},
         .expected = {1, 3 * SEGMENT, 5 * SEGMENT}},
        {.why = "what is not kept yet by anybody but the server",
         .old = {2, 6 * SEGMENT, 6 * SEGMENT + 1}},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        CLEANUP(helper_repo_close) struct helper_repo helper;
        struct error err;
        open_with(&helper, rows[i].there);
        if (rows[i].old.stop_lsn > 0)
            helper_repo_put_manifest(&helper, OLD, &rows[i].old);
        if (rows[i].new.stop_lsn > 0)
            helper_repo_put_manifest(&helper, NEW, &rows[i].new);
        struct wal_survey_options options = options_of(&helper);
        struct wal_span gap = {0};
        if (wal_survey_look_back(&options, 6 * SEGMENT, &gap, &err) < 1)
            fail_msg("%s: %s", rows[i].why, err.text);
        if (gap.to != rows[i].expected.to ||
            (gap.to > 0 &&
             (gap.timeline != rows[i].expected.timeline || gap.from != rows[i].expected.from)))
            fail_msg("%s: from %jx to %jx of %u", rows[i].why, (uintmax_t)gap.from,
                     (uintmax_t)gap.to, gap.timeline);
    }
}

static void of_a_region_that_is_out_no_gap_is_told(void **state)
{
    static struct timeline_span spans[] = {{1, 0, UINT64_MAX}};
    const struct timeline history = {spans, ARRAY_SIZE(spans)};
    static const struct manifest_wal_range wal = {1, SEGMENT, SEGMENT + 1};
    static const struct wal_span nothing = {0}, all = {1, SEGMENT, 3 * SEGMENT};
    CLEANUP(helper_repo_close) struct helper_repo helper;
    struct error err;
    struct wal_span gap = nothing;
    (void)state;
    helper_repo_open(&helper, REGIONS, 0);
    helper_repo_put_manifest(&helper, OLD, &wal);
    struct wal_survey_options options = {
        .repo = helper.repo,
        .history = &history,
        .segment_bytes = SEGMENT,
        .region_count = REGIONS + 1, /* one was left out from the beginning */
    };
    assert_int_equal(wal_survey_look_back(&options, 3 * SEGMENT, &gap, &err), 0);
    assert_int_equal(wal_survey_look_back(&options, SEGMENT, &gap, &err), 0); /* of nothing */
    options.region_count = REGIONS;
    assert_int_equal(wal_survey_look_back(&options, 3 * SEGMENT, &gap, &err), 1);
    assert_memory_equal(&gap, &all, sizeof(gap));
    assert_int_equal(error_set(&err, ERROR_TRANSIENT, "it went away"), -1);
    assert_int_equal(regions_lose(helper.regions, 1, &err), 0);
    gap = nothing;
    assert_int_equal(wal_survey_look_back(&options, 3 * SEGMENT, &gap, &err), 0);
    assert_memory_equal(&gap, &nothing, sizeof(gap));
    gap = all;
    assert_int_equal(wal_survey_gap(&options, &gap, &err), 0);
    assert_memory_equal(&gap, &all, sizeof(gap));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_gap_is_what_no_region_has),
        cmocka_unit_test(a_gap_is_looked_for_behind_the_newest_backup),
        cmocka_unit_test(of_a_region_that_is_out_no_gap_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
