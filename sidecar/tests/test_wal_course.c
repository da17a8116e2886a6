// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/own.h"
#include "sidecar/tests/helper_timelines.h"
#include "sidecar/wal_course.h"

enum { SPANS = 6, GAPS = 3 };

struct scene {
    struct wal_span there[SPANS], backups[SPANS], gaps[GAPS]; /* up to one of timeline 0 */
    struct wal_line lines[4];
};

static size_t count(const struct wal_span *spans)
{
    size_t n = 0;
    while (n < SPANS && spans[n].timeline != 0)
        n++;
    return n;
}

static void check(size_t index, const struct scene *scene)
{
    struct wal_course course = {
        .spans = scene->there,
        .span_count = count(scene->there),
        .backups = scene->backups,
        .backup_count = count(scene->backups),
        .lines = scene->lines,
    };
    size_t found = 0;
    while (course.line_count < ARRAY_SIZE(scene->lines) && scene->lines[course.line_count].timeline)
        course.line_count++;
    for (size_t i = 0; i < course.line_count; i++) {
        struct wal_span wanted = wal_course_wanted(&course, &scene->lines[i]), gap;
        for (; wal_course_gap(&course, &wanted, &gap); wanted.from = gap.to, found++)
            if (found == GAPS || gap.timeline != scene->gaps[found].timeline ||
                gap.from != scene->gaps[found].from || gap.to != scene->gaps[found].to)
                fail_msg("scene %zu: a gap from %zu to %zu on timeline %u", index, (size_t)gap.from,
                         (size_t)gap.to, gap.timeline);
    }
    if (found < GAPS && scene->gaps[found].timeline != 0)
        fail_msg("scene %zu: the gap from %zu was not found", index,
                 (size_t)scene->gaps[found].from);
}

static void recovery_is_followed_over_the_forks(void **state)
{
    (void)state;
    static const struct scene scenes[] = {
        /* nothing but what backups brought */
        {.lines = {{1, &helper_timeline_1}}, .there = {{1, 100, 150}}, .backups = {{1, 110, 140}}},
        {.lines = {{1, &helper_timeline_1}},
         .there = {{1, 100, 150}, {1, 200, 250}},
         .backups = {{1, 110, 140}, {1, 210, 240}},
         .gaps = {{1, 150, 200}}},
        /* before the first backup nobody asks */
        {.lines = {{1, &helper_timeline_1}},
         .there = {{1, 10, 20}, {1, 100, 150}},
         .backups = {{1, 110, 140}}},
        /* without a backup, all that is there */
        {.lines = {{1, &helper_timeline_1}},
         .there = {{1, 10, 20}, {1, 30, 40}},
         .gaps = {{1, 20, 30}}},
        /* up to the fork and from there on */
        {.lines = {{1, &helper_timeline_1}, {2, &helper_timeline_2}},
         .there = {{1, 100, 300}, {2, 300, 400}},
         .backups = {{1, 110, 140}}},
        {.lines = {{1, &helper_timeline_1}, {2, &helper_timeline_2}},
         .there = {{1, 100, 150}, {2, 350, 400}},
         .backups = {{1, 110, 140}, {2, 360, 390}},
         .gaps = {{1, 150, 300}, {2, 300, 350}}},
        /* the next timeline's first segment has the end of this one */
        {.lines = {{1, &helper_timeline_1}, {2, &helper_timeline_2}},
         .there = {{1, 100, 256}, {2, 256, 400}},
         .backups = {{1, 110, 140}}},
        {.lines = {{1, &helper_timeline_1}, {2, &helper_timeline_2}},
         .there = {{1, 100, 250}, {2, 256, 400}},
         .backups = {{1, 110, 140}},
         .gaps = {{1, 250, 300}}},
        /* over a timeline of which nothing is there */
        {.lines = {{1, &helper_timeline_1}, {2, &helper_timeline_2}, {3, &helper_timeline_3}},
         .there = {{1, 100, 300}, {3, 500, 600}},
         .backups = {{1, 110, 140}},
         .gaps = {{2, 300, 500}}},
        /* a history alone leads nowhere */
        {.lines = {{1, &helper_timeline_1}, {2, &helper_timeline_2}},
         .there = {{1, 100, 150}},
         .backups = {{1, 110, 140}}},
        /* a backup behind the fork does not lead to the other side of it */
        {.lines = {{1, &helper_timeline_1}, {4, &helper_timeline_4}},
         .there = {{1, 200, 250}, {4, 230, 250}},
         .backups = {{1, 210, 240}}},
        /* nor is anything known of where a timeline without a history comes from */
        {.lines = {{1, &helper_timeline_1}, {2, NULL}},
         .there = {{1, 100, 150}, {2, 350, 400}},
         .backups = {{1, 110, 140}}},
    };
    for (size_t i = 0; i < ARRAY_SIZE(scenes); i++)
        check(i, &scenes[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recovery_is_followed_over_the_forks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
