// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/own.h"
#include "sidecar/manifest.h"
#include "sidecar/prune_plan.h"
#include "sidecar/timeline.h"

enum { HERE = 1, THERE = 2, BOTH = 3, SEGMENT = 16 << 20, MANY = 64 };

#define A "20261101T000000Z-full-000a"
#define B "20261102T000000Z-incr-000b"
#define C "20261103T000000Z-full-000c"
#define X "20261104T000000Z-full-000d"

#define WAL(segment) "wal/00000001/00000000/0000000100000000000000" segment "-00112233445566aa"
#define HISTORY(timeline) "wal/0000000" timeline ".history-00112233445566aa"

/* A full, an incremental on it, and a full, a day and two segments of WAL after the other. */
static struct manifest_packs packs_a[] = {{A, 1, 2}}, packs_b[] = {{A, 1, 1}, {B, 1, 1}},
                             packs_c[] = {{C, 1, 1}};
static struct manifest_wal_range wal_a[] = {{1, 2 * SEGMENT + 40, 3 * SEGMENT}},
                                 wal_b[] = {{1, 4 * SEGMENT + 40, 5 * SEGMENT}},
                                 wal_c[] = {{1, 6 * SEGMENT + 40, 7 * (uint64_t)SEGMENT}};
static struct manifest_witness saw_a[] = {{.backup = A}};

#define DAY_MS (INT64_C(24) * 60 * 60 * 1000)

static const struct manifest manifest_a = {.id = A,
                                           .finished_ms = 1 * DAY_MS,
                                           .wal_segment_bytes = SEGMENT,
                                           .wal = wal_a,
                                           .wal_count = 1,
                                           .packs = packs_a,
                                           .pack_count = 1};
static const struct manifest manifest_b = {.id = B,
                                           .type = BACKUP_INCREMENTAL,
                                           .finished_ms = 2 * DAY_MS,
                                           .wal_segment_bytes = SEGMENT,
                                           .wal = wal_b,
                                           .wal_count = 1,
                                           .packs = packs_b,
                                           .pack_count = 2,
                                           .witnesses = saw_a,
                                           .witness_count = 1};
static const struct manifest manifest_c = {.id = C,
                                           .finished_ms = 3 * DAY_MS,
                                           .wal_segment_bytes = SEGMENT,
                                           .wal = wal_c,
                                           .wal_count = 1,
                                           .packs = packs_c,
                                           .pack_count = 1};

/* The scene that tests change: all is as old as can be, the rules keep the last full. */
struct stage {
    struct prune_backup backups[MANY];
    struct prune_running running[MANY];
    struct repo_name names[MANY];
    struct repo_names objects;
    struct timeline_span span;
    struct timeline history;
    struct retention_line lines[1];
    struct prune_scene scene;
};

static const char *const all_objects[] = {
    "holds/" A,
    "keys/0011223344556677.none",
    "manifests/" A,
    "manifests/" B,
    "manifests/" C,
    "packs/" A "/000001",
    "packs/" A "/000002",
    "packs/" B "/000001",
    "packs/" C "/000001",
    "repository.json",
    WAL("02"),
    WAL("03"),
    WAL("04"),
    WAL("05"),
    WAL("06"),
    WAL("07"),
};

static void add_object(struct stage *stage, const char *name, uint32_t regions, int64_t age_ms)
{
    stage->names[stage->objects.count++] =
        (struct repo_name){.name = (char *)(uintptr_t)name,
                           .size = 10,
                           .modified_ms = stage->scene.now_ms - age_ms,
                           .regions = regions};
}

static void set_stage(struct stage *stage)
{
    static const struct {
        const char *id;
        const struct manifest *manifest;
    } backups[] = {{A, &manifest_a}, {B, &manifest_b}, {C, &manifest_c}};
    *stage = (struct stage){.span = {1, 0, UINT64_MAX}};
    stage->history = (struct timeline){&stage->span, 1};
    stage->lines[0] = (struct retention_line){.timeline = 1, .history = &stage->history};
    stage->objects.names = stage->names;
    stage->scene = (struct prune_scene){
        .rules = {.fulls = 1},
        .now_ms = 100 * DAY_MS,
        .complete = true,
        .objects = &stage->objects,
        .backups = stage->backups,
        .backup_count = ARRAY_SIZE(backups),
        .running = stage->running,
        .lines = stage->lines,
        .line_count = 1,
    };
    for (size_t i = 0; i < ARRAY_SIZE(backups); i++) {
        stage->backups[i] = (struct prune_backup){.regions = BOTH, .manifest = backups[i].manifest};
        memcpy(stage->backups[i].id, backups[i].id, strlen(backups[i].id) + 1);
    }
    for (size_t i = 0; i < ARRAY_SIZE(all_objects); i++)
        add_object(stage, all_objects[i], BOTH, 50 * DAY_MS);
}

/* Names of all objects that go from HERE, in the order of the steps. */
static void check_plan(const struct stage *stage, const char *const *expected)
{
    CLEANUP(prune_plan_done) struct prune_plan plan;
    size_t next = 0;
    prune_plan_make(&stage->scene, HERE, &plan);
    for (int step = 0; step < PRUNE_STEPS; step++) {
        assert_int_equal(plan.objects[step].bytes, 10 * plan.objects[step].count);
        for (size_t i = 0; i < plan.objects[step].count; i++) {
            if (!expected[next])
                fail_msg("also removes '%s'", plan.objects[step].names[i]->name);
            assert_string_equal(plan.objects[step].names[i]->name, expected[next]);
            next++;
        }
    }
    assert_null(expected[next]);
}
#define EXPECT(stage, ...) check_plan(stage, (const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})

#define OLD_BACKUPS                                                                                \
    "manifests/" A, "manifests/" B, "packs/" A "/000001", "packs/" A "/000002", "packs/" B "/000001"
#define OLD_WAL WAL("02"), WAL("03"), WAL("04"), WAL("05")

static void run(struct stage *stage, const char *id, const char *parent, int64_t age_ms)
{
    struct prune_running *running = &stage->running[stage->scene.running_count++];
    *running = (struct prune_running){.newest_ms = stage->scene.now_ms - age_ms,
                                      .readable = true,
                                      .timeline = 1,
                                      .start_lsn = 100 * (uint64_t)SEGMENT};
    memcpy(running->id, id, strlen(id) + 1);
    memcpy(running->parent, parent, strlen(parent) + 1);
}

static void what_no_rule_keeps_goes_with_its_packs_and_wal(void **state)
{
    (void)state;
    struct stage stage;
    set_stage(&stage);
    EXPECT(&stage, OLD_BACKUPS, OLD_WAL);
    stage.scene.rules = (struct retention_rules){0};
    EXPECT(&stage);
}

static void packs_that_a_kept_backup_refers_to_stay(void **state)
{
    (void)state;
    struct stage stage;
    set_stage(&stage);
    stage.backups[1].held = THERE; /* a hold holds everywhere */
    EXPECT(&stage, "manifests/" A, "packs/" A "/000002", WAL("02"), WAL("03"), WAL("05"));
}

static void each_region_keeps_by_the_rules_what_it_has(void **state)
{
    (void)state;
    struct stage stage;
    set_stage(&stage);
    stage.backups[2].regions = THERE; /* the newest never came here */
    stage.names[4].regions = stage.names[8].regions = THERE;
    EXPECT(&stage); /* A is the only full one, and B came since */
    stage.scene.rules = (struct retention_rules){.daily = 1};
    EXPECT(&stage, "manifests/" A, "packs/" A "/000002", WAL("02"), WAL("03"));
}

static void of_backups_of_one_second_the_last_to_finish_is_the_newest(void **state)
{
    (void)state;
    struct stage stage;
    struct manifest earlier = manifest_c;
    earlier.finished_ms = manifest_b.finished_ms - 1;
    set_stage(&stage);
    stage.backups[2].manifest = &earlier;
    stage.scene.rules = (struct retention_rules){.daily = 1};
    EXPECT(&stage, "manifests/" A, "manifests/" C, "packs/" A "/000002", "packs/" C "/000001",
           WAL("02"), WAL("03"));
}

static void what_a_running_backup_needs_stays(void **state)
{
    (void)state;
    struct stage stage;
    set_stage(&stage);
    run(&stage, X, B, DAY_MS / 2);
    stage.running[0].start_lsn = 3 * (uint64_t)SEGMENT + 1;
    add_object(&stage, "packs/" X "/000001", HERE, 50 * DAY_MS);
    add_object(&stage, "running/" X "/0", HERE, 50 * DAY_MS);
    EXPECT(&stage, "manifests/" A, "packs/" A "/000002", WAL("02"));
    stage.running[0].timeline = 0; /* of an older version: it does not say */
    EXPECT(&stage, "manifests/" A, "packs/" A "/000002");
    stage.running[0].readable = false; /* any may be its parent */
    EXPECT(&stage);
}

static void a_dead_backup_needs_nothing(void **state)
{
    (void)state;
    struct stage stage;
    set_stage(&stage);
    run(&stage, X, B, DAY_MS);
    add_object(&stage, "packs/" X "/000001", HERE, 2 * DAY_MS);
    add_object(&stage, "packs/" X "/000002", HERE, DAY_MS - 1); /* not yet */
    add_object(&stage, "packs/" X "/000003", THERE, 2 * DAY_MS);
    add_object(&stage, "running/" X "/0", HERE, 2 * DAY_MS);
    EXPECT(&stage, "running/" X "/0", OLD_BACKUPS, "packs/" X "/000001", OLD_WAL);
}

static void packs_that_nobody_lists_go_after_a_day(void **state)
{
    (void)state;
    struct stage stage;
    set_stage(&stage);
    stage.scene.rules = (struct retention_rules){0};
    add_object(&stage, "packs/" C "/000002", HERE, DAY_MS);
    add_object(&stage, "packs/" C "/000003", HERE, DAY_MS - 1);
    add_object(&stage, "packs/" C "/2", HERE, 9 * DAY_MS); /* no name of a pack */
    add_object(&stage, "packs/" C "/000001/x", HERE, 9 * DAY_MS);
    add_object(&stage, "packs/elsewhere/000001", HERE, 9 * DAY_MS);
    EXPECT(&stage, "packs/" C "/000002");
}

static void what_a_crashed_prune_left_goes_at_once(void **state)
{
    (void)state;
    struct stage stage;
    set_stage(&stage);
    stage.scene.rules = (struct retention_rules){0};
    stage.backups[0].regions = 0; /* its manifest is gone, its packs are not */
    stage.backups[0].retired = HERE;
    stage.names[2].regions = 0;
    stage.names[6].modified_ms = stage.scene.now_ms;
    EXPECT(&stage, "packs/" A "/000002", WAL("02"), WAL("03"));
    stage.backups[0].retired = THERE;
    EXPECT(&stage, WAL("02"), WAL("03"));
}

static void a_retired_backup_goes_whatever_the_rules_say_now(void **state)
{
    (void)state;
    struct stage stage;
    set_stage(&stage);
    stage.scene.rules = (struct retention_rules){0};
    stage.backups[0].retired = HERE;
    EXPECT(&stage, "manifests/" A, "packs/" A "/000002", WAL("02"), WAL("03"));
    stage.scene.rules = (struct retention_rules){.fulls = 1};
    stage.scene.retired_only = true;
    EXPECT(&stage, "manifests/" A, "packs/" A "/000002", WAL("02"), WAL("03"), WAL("05"));
}

static void a_locked_manifest_keeps_all_of_its_backup(void **state)
{
    (void)state;
    struct stage stage;
    set_stage(&stage);
    stage.backups[1].locked = HERE;
    stage.backups[1].retired = HERE;
    EXPECT(&stage, "manifests/" A, "packs/" A "/000002", WAL("02"), WAL("03"), WAL("05"));
}

static void an_unreadable_manifest_keeps_all_packs_and_wal(void **state)
{
    (void)state;
    struct stage stage;
    set_stage(&stage);
    stage.backups[1].manifest = NULL;
    EXPECT(&stage, "manifests/" A);
    CLEANUP(prune_plan_done) struct prune_plan plan;
    prune_plan_make(&stage.scene, HERE, &plan);
    assert_non_null(strstr(plan.packs_kept, B));
    assert_non_null(strstr(plan.wal_kept, B));
}

static void wal_of_several_segment_sizes_stays(void **state)
{
    (void)state;
    struct stage stage;
    struct manifest other = manifest_a;
    set_stage(&stage);
    other.wal_segment_bytes = SEGMENT / 2;
    stage.backups[0].manifest = &other;
    EXPECT(&stage, OLD_BACKUPS);
}

static void wal_stays_where_there_is_no_backup(void **state)
{
    (void)state;
    struct stage stage;
    set_stage(&stage);
    stage.scene.backup_count = 0;
    stage.objects.count = 0;
    add_object(&stage, WAL("02"), HERE, 50 * DAY_MS);
    EXPECT(&stage);
}

static void histories_go_when_all_is_of_later_timelines(void **state)
{
    (void)state;
    struct stage stage;
    struct manifest later = manifest_c;
    struct manifest_wal_range range = {3, 6 * SEGMENT + 40, 7 * (uint64_t)SEGMENT};
    later.wal = &range;
    set_stage(&stage);
    stage.backups[2].manifest = &later;
    add_object(&stage, HISTORY("2"), HERE, 50 * DAY_MS);
    add_object(&stage, HISTORY("3"), HERE, 50 * DAY_MS);
    add_object(&stage, HISTORY("4"), HERE, 50 * DAY_MS);
    EXPECT(&stage, OLD_BACKUPS, OLD_WAL, WAL("06"), WAL("07"), HISTORY("2"));
    run(&stage, X, "", 0);
    EXPECT(&stage, OLD_BACKUPS, OLD_WAL, WAL("06"), WAL("07"));
}

static void a_marker_stays_while_anybody_may_miss_the_backup(void **state)
{
    (void)state;
    static const struct {
        const char *id;
        uint32_t there; /* regions that have the backup of the marker */
        int64_t age_ms;
        bool complete, goes;
    } cases[] = {
        {X, 0, DAY_MS, true, true},
        {X, 0, DAY_MS - 1, true, false},
        {X, 0, DAY_MS, false, false},
        {X, THERE, DAY_MS, true, false},
        {A, 0, 50 * DAY_MS, true, false} /* B saw it */
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct stage stage;
        set_stage(&stage);
        stage.scene.rules = (struct retention_rules){0};
        stage.scene.complete = cases[i].complete;
        struct prune_backup *backup = &stage.backups[3];
        if (strcmp(cases[i].id, A) == 0)
            stage.backups[0].regions = 0;
        else
            stage.scene.backup_count++;
        *backup = (struct prune_backup){
            .id = X, .regions = cases[i].there, .retired = HERE, .manifest = &manifest_c};
        CLEANUP(own_freep) char *name = own_format("retired/%s", cases[i].id);
        stage.objects.count = 0;
        add_object(&stage, name, HERE, cases[i].age_ms);
        if (cases[i].goes)
            EXPECT(&stage, name);
        else
            EXPECT(&stage);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_no_rule_keeps_goes_with_its_packs_and_wal),
        cmocka_unit_test(packs_that_a_kept_backup_refers_to_stay),
        cmocka_unit_test(each_region_keeps_by_the_rules_what_it_has),
        cmocka_unit_test(of_backups_of_one_second_the_last_to_finish_is_the_newest),
        cmocka_unit_test(what_a_running_backup_needs_stays),
        cmocka_unit_test(a_dead_backup_needs_nothing),
        cmocka_unit_test(packs_that_nobody_lists_go_after_a_day),
        cmocka_unit_test(what_a_crashed_prune_left_goes_at_once),
        cmocka_unit_test(a_retired_backup_goes_whatever_the_rules_say_now),
        cmocka_unit_test(a_locked_manifest_keeps_all_of_its_backup),
        cmocka_unit_test(an_unreadable_manifest_keeps_all_packs_and_wal),
        cmocka_unit_test(wal_of_several_segment_sizes_stays),
        cmocka_unit_test(wal_stays_where_there_is_no_backup),
        cmocka_unit_test(histories_go_when_all_is_of_later_timelines),
        cmocka_unit_test(a_marker_stays_while_anybody_may_miss_the_backup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
