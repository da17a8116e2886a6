// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/own.h"
#include "sidecar/findings.h"
#include "sidecar/verify_witness.h"

#define A "20261119T000000Z-full-0001"
#define B "20261120T000000Z-full-0002"

#define SEEN(id, hash)                                                                             \
    {                                                                                              \
        .what = {.backup = id, .sha256 = {hash}}, .readable = true                                 \
    }
#define MEMORY(id, hash)                                                                           \
    {                                                                                              \
        .by = B, .what = {.backup = id, .sha256 = {hash} }                                         \
    }

static struct verify_seen seen_a[] = {SEEN(A, 1)}, seen_b[] = {SEEN(B, 2)},
                          seen_both[] = {SEEN(A, 1), SEEN(B, 2)},
                          seen_other[] = {SEEN(A, 9), SEEN(B, 2)},
                          seen_unread[] = {{.what = {.backup = A}}, SEEN(B, 2)};
static struct verify_memory remembers_a[] = {MEMORY(A, 1)};
static char retired_a[][BACKUP_ID_BYTES] = {A};

#define VIEW(name, list)                                                                           \
    {                                                                                              \
        .region = name, .seen = list, .seen_count = ARRAY_SIZE(list), .memories = remembers_a,     \
        .memory_count = 1                                                                          \
    }

static void findings_follow_from_what_regions_and_manifests_say(void **state)
{
    (void)state;
    static const struct manifest_witness b = {.backup = B, .sha256 = {2}};
    const struct {
        struct verify_view views[2];
        size_t count;
        bool incomplete;
        const struct manifest_witness *expected;
        uint64_t wrong, notes;
        enum finding_kind kind;
    } cases[] = {
        {.views = {VIEW("eu", seen_both)}, .count = 1},
        {.views = {VIEW("eu", seen_both), VIEW("us", seen_both)}, .count = 2},
        /* a manifest that cannot be read is not another one */
        {.views = {VIEW("eu", seen_both), VIEW("us", seen_unread)}, .count = 2},
        /* gone everywhere, seen by a later backup */
        {.views = {VIEW("eu", seen_b)}, .count = 1, .wrong = 1, .kind = FINDING_ROLLBACK},
        {.views = {VIEW("eu", seen_b)}, .count = 1, .incomplete = true, .notes = 1},
        {.views = {{.region = "eu",
                    .seen = seen_b,
                    .seen_count = 1,
                    .memories = remembers_a,
                    .memory_count = 1,
                    .retired = retired_a,
                    .retired_count = 1}},
         .count = 1},
        /* another content under the same id */
        {.views = {VIEW("eu", seen_other)}, .count = 1, .wrong = 1, .kind = FINDING_ROLLBACK},
        {.views = {VIEW("eu", seen_both), VIEW("us", seen_other)},
         .count = 2,
         .wrong = 2, /* than in eu, and than remembered */
         .kind = FINDING_ROLLBACK},
        /* a region that lacks the newest backup */
        {.views = {VIEW("eu", seen_both), VIEW("us", seen_a)},
         .count = 2,
         .wrong = 1,
         .kind = FINDING_MISSING},
        /* a marker in the region that lacks it alone proves nothing, in the other it does */
        {.views = {VIEW("eu", seen_both),
                   {.region = "us",
                    .seen = seen_b,
                    .seen_count = 1,
                    .retired = retired_a,
                    .retired_count = 1}},
         .count = 2,
         .notes = 1},
        {.views = {{.region = "eu",
                    .seen = seen_both,
                    .seen_count = 2,
                    .retired = retired_a,
                    .retired_count = 1},
                   VIEW("us", seen_b)},
         .count = 2},
        {.views = {VIEW("eu", seen_both)}, .count = 1, .expected = &b},
        {.views = {VIEW("eu", seen_a)},
         .count = 1,
         .expected = &b,
         .wrong = 1,
         .kind = FINDING_ROLLBACK},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(findings_freep) struct findings *findings = findings_new();
        const struct verify_witness witness = {
            .views = cases[i].views,
            .view_count = cases[i].count,
            .complete = !cases[i].incomplete,
            .expected = cases[i].expected,
            .expected_count = cases[i].expected ? 1 : 0,
        };
        const struct finding *kept;
        size_t count;
        verify_witness_check(&witness, findings);
        if (findings_get(findings, true, &kept, &count) != cases[i].notes ||
            findings_get(findings, false, &kept, &count) != cases[i].wrong ||
            (count > 0 && kept[0].kind != cases[i].kind))
            fail_msg("case %zu: %zu wrong, first '%s'", i, count, count > 0 ? kept[0].text : "");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(findings_follow_from_what_regions_and_manifests_say),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
