// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/own.h"
#include "sidecar/manifest.h"
#include "sidecar/recovery_windows.h"
#include "sidecar/tests/helper_timelines.h"

enum { SPANS = 6, BACKUPS = 4, WINDOWS = 5, GAPS = 3, LINES = 4 };

/* A backup of one timeline is finished as many milliseconds after 1970 as its stop LSN says. */
struct window {
    uint32_t timeline;
    struct recovery_point from, to;
    size_t backups;
};

struct scene {
    struct wal_line lines[LINES];
    struct wal_span there[SPANS], backups[BACKUPS], gaps[GAPS]; /* up to one of timeline 0 */
    struct window windows[WINDOWS];
};

static void compare_window(size_t scene, const struct recovery_window *found,
                           const struct window *wanted)
{
    if (found->timeline != wanted->timeline || found->from.timeline != wanted->from.timeline ||
        found->from.lsn != wanted->from.lsn || found->to.timeline != wanted->to.timeline ||
        found->to.lsn != wanted->to.lsn || found->backup_count != wanted->backups)
        fail_msg("scene %zu: a window on %u from %zu (%u) to %zu (%u) of %zu backups", scene,
                 found->timeline, (size_t)found->from.lsn, found->from.timeline,
                 (size_t)found->to.lsn, found->to.timeline, found->backup_count);
    const struct manifest *first = found->backups[0],
                          *last = found->backups[found->backup_count - 1];
    assert_int_equal(found->from.time_us, first->finished_ms * 1000);
    assert_int_equal(found->to.time_us, last->finished_ms * 1000);
    assert_int_equal(first->stop_lsn, found->from.lsn);
}

static bool ends_at_gap(const struct scene *scene, const struct window *window)
{
    for (size_t i = 0; i < GAPS; i++)
        if (scene->gaps[i].timeline != 0 && scene->gaps[i].timeline == window->to.timeline &&
            scene->gaps[i].from == window->to.lsn)
            return true;
    return false;
}

static void check(size_t index, const struct scene *scene)
{
    struct manifest manifests[BACKUPS] = {0};
    struct manifest_wal_range ranges[BACKUPS];
    const struct manifest *backups[BACKUPS];
    struct recovery_facts facts = {
        .backups = backups, .spans = scene->there, .lines = scene->lines};
    for (size_t i = 0; i < BACKUPS && scene->backups[i].timeline; i++) {
        const struct wal_span *wal = &scene->backups[i];
        ranges[i] = (struct manifest_wal_range){wal->timeline, wal->from, wal->to};
        snprintf(manifests[i].id, sizeof(manifests[i].id), "%zu", i);
        manifests[i].wal = &ranges[i];
        manifests[i].wal_count = 1;
        manifests[i].start_lsn = wal->from;
        manifests[i].stop_lsn = wal->to;
        manifests[i].finished_ms = (int64_t)wal->to;
        backups[facts.backup_count++] = &manifests[i];
    }
    while (facts.span_count < SPANS && scene->there[facts.span_count].timeline)
        facts.span_count++;
    while (facts.line_count < LINES && scene->lines[facts.line_count].timeline)
        facts.line_count++;
    CLEANUP(recovery_windows_done) struct recovery_windows found;
    recovery_windows_plan(&facts, &found);
    for (size_t i = 0; i < found.count; i++) {
        assert_true(i < WINDOWS);
        compare_window(index, &found.windows[i], &scene->windows[i]);
        if (found.windows[i].ended != ends_at_gap(scene, &scene->windows[i]))
            fail_msg("scene %zu: window %zu ended: %d", index, i, found.windows[i].ended);
    }
    if (found.count < WINDOWS && scene->windows[found.count].timeline)
        fail_msg("scene %zu: only %zu windows", index, found.count);
    for (size_t i = 0; i < found.gap_count; i++)
        if (i == GAPS || found.gaps[i].timeline != scene->gaps[i].timeline ||
            found.gaps[i].from != scene->gaps[i].from || found.gaps[i].to != scene->gaps[i].to)
            fail_msg("scene %zu: a gap from %zu to %zu on timeline %u", index,
                     (size_t)found.gaps[i].from, (size_t)found.gaps[i].to, found.gaps[i].timeline);
    if (found.gap_count < GAPS && scene->gaps[found.gap_count].timeline)
        fail_msg("scene %zu: only %zu gaps", index, found.gap_count);
}

static void windows_of_one_timeline(void **state)
{
    (void)state;
    static const struct scene scenes[] = {
        /* no backup, no window */
        {.lines = {{1, &helper_timeline_1}}, .there = {{1, 100, 150}}},
        /* nothing but what a backup brought */
        {.lines = {{1, &helper_timeline_1}},
         .there = {{1, 100, 140}},
         .backups = {{1, 110, 140}},
         .windows = {{1, {1, 140, 0}, {1, 140, 0}, 1}}},
        /* WAL goes on, over another backup */
        {.lines = {{1, &helper_timeline_1}},
         .there = {{1, 100, 150}, {1, 150, 260}},
         .backups = {{1, 110, 140}, {1, 160, 190}},
         .windows = {{1, {1, 140, 0}, {1, 260, 0}, 2}}},
        /* a gap: what comes behind begins with the next backup */
        {.lines = {{1, &helper_timeline_1}},
         .there = {{1, 100, 150}, {1, 200, 290}},
         .backups = {{1, 110, 140}, {1, 210, 240}},
         .windows = {{1, {1, 140, 0}, {1, 150, 0}, 1}, {1, {1, 240, 0}, {1, 290, 0}, 1}},
         .gaps = {{1, 150, 200}}},
        /* no backup behind the gap yet */
        {.lines = {{1, &helper_timeline_1}},
         .there = {{1, 100, 150}, {1, 200, 290}},
         .backups = {{1, 110, 140}},
         .windows = {{1, {1, 140, 0}, {1, 150, 0}, 1}},
         .gaps = {{1, 150, 200}}},
        /* a backup that lacks WAL of its own serves nothing */
        {.lines = {{1, &helper_timeline_1}},
         .there = {{1, 100, 150}, {1, 200, 290}},
         .backups = {{1, 110, 140}, {1, 145, 205}},
         .windows = {{1, {1, 140, 0}, {1, 150, 0}, 1}},
         .gaps = {{1, 150, 200}}},
        /* before the first backup nothing is missing */
        {.lines = {{1, &helper_timeline_1}},
         .there = {{1, 10, 20}, {1, 100, 150}},
         .backups = {{1, 110, 140}},
         .windows = {{1, {1, 140, 0}, {1, 150, 0}, 1}}},
    };
    for (size_t i = 0; i < ARRAY_SIZE(scenes); i++)
        check(i, &scenes[i]);
}

static void windows_follow_the_forks(void **state)
{
    (void)state;
    static const struct scene scenes[] = {
        /* on from the old timeline to the new one, which has a backup too */
        {.lines = {{1, &helper_timeline_1}, {2, &helper_timeline_2}},
         .there = {{1, 100, 300}, {2, 300, 400}},
         .backups = {{1, 110, 140}, {2, 310, 340}},
         .windows = {{1, {1, 140, 0}, {1, 300, 0}, 1}, {2, {1, 140, 0}, {2, 400, 0}, 2}}},
        /* the new timeline's first segment has the end of the old one */
        {.lines = {{1, &helper_timeline_1}, {2, &helper_timeline_2}},
         .there = {{1, 100, 256}, {2, 256, 400}},
         .backups = {{1, 110, 140}},
         .windows = {{1, {1, 140, 0}, {1, 256, 0}, 1}, {2, {1, 140, 0}, {2, 400, 0}, 1}}},
        /* the old server wrote on for a while: what it wrote is only its own */
        {.lines = {{1, &helper_timeline_1}, {4, &helper_timeline_4}},
         .there = {{1, 100, 290}, {4, 200, 260}},
         .backups = {{1, 110, 140}, {1, 210, 240}},
         .windows = {{1, {1, 140, 0}, {1, 290, 0}, 2}, {4, {1, 140, 0}, {4, 260, 0}, 1}}},
        /* the end of the old timeline is missing: told once */
        {.lines = {{1, &helper_timeline_1}, {2, &helper_timeline_2}, {3, &helper_timeline_3}},
         .there = {{1, 100, 150}, {2, 300, 500}, {3, 500, 600}},
         .backups = {{1, 110, 140}, {2, 310, 340}},
         .windows = {{1, {1, 140, 0}, {1, 150, 0}, 1},
                     {2, {1, 140, 0}, {1, 150, 0}, 1},
                     {2, {2, 340, 0}, {2, 500, 0}, 1},
                     {3, {1, 140, 0}, {1, 150, 0}, 1},
                     {3, {2, 340, 0}, {3, 600, 0}, 1}},
         .gaps = {{1, 150, 300}}},
        /* a history alone leads nowhere */
        {.lines = {{1, &helper_timeline_1}, {2, &helper_timeline_2}},
         .there = {{1, 100, 300}},
         .backups = {{1, 110, 140}},
         .windows = {{1, {1, 140, 0}, {1, 300, 0}, 1}}},
        /* nor is it known where a timeline without a history comes from */
        {.lines = {{1, &helper_timeline_1}, {2, NULL}},
         .there = {{1, 100, 300}, {2, 300, 400}},
         .backups = {{1, 110, 140}, {2, 310, 340}},
         .windows = {{1, {1, 140, 0}, {1, 300, 0}, 1}, {2, {2, 340, 0}, {2, 400, 0}, 1}}},
    };
    for (size_t i = 0; i < ARRAY_SIZE(scenes); i++)
        check(i, &scenes[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(windows_of_one_timeline),
        cmocka_unit_test(windows_follow_the_forks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
