// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/own.h"
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

/* Timeline 1 up to the middle of segment 4, then timeline 2. */
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
    static struct timeline_span spans[] = {{1, 0, 4 * SEGMENT + SEGMENT / 2},
                                           {2, 4 * SEGMENT + SEGMENT / 2, UINT64_MAX}};
    const struct timeline history = {spans, ARRAY_SIZE(spans)};
    CLEANUP(own_freep) uint8_t *data = own_alloc(SEGMENT);
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        CLEANUP(helper_repo_close) struct helper_repo helper;
        struct error err;
        helper_repo_open(&helper, REGIONS, 0);
        for (size_t j = 0; j < PIECES && rows[i].there[j].segment > 0; j++)
            put(&helper, &rows[i].there[j], data);
        const struct wal_survey_options options = {
            .repo = helper.repo, .history = &history, .segment_bytes = SEGMENT};
        struct wal_span gap = {1, rows[i].from * SEGMENT, rows[i].to * SEGMENT};
        if (wal_survey_gap(&options, &gap, &err) < 0)
            fail_msg("%s", err.text);
        if (gap.timeline != rows[i].expected.timeline || gap.from != rows[i].expected.from ||
            gap.to != rows[i].expected.to)
            fail_msg("%s: from %jx to %jx of %u", rows[i].why, (uintmax_t)gap.from,
                     (uintmax_t)gap.to, gap.timeline);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_gap_is_what_no_region_has),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
