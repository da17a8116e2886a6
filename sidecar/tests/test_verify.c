// SPDX-License-Identifier: Apache-2.0
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/bytes.h"
#include "common/log.h"
#include "common/own.h"
#include "common/text.h"
#include "sidecar/manifest.h"
#include "sidecar/repo.h"
#include "sidecar/tests/helper_series.h"
#include "sidecar/tests/helper_backup.h"
#include "sidecar/tests/helper_completion.h"
#include "sidecar/tests/helper_findings.h"
#include "sidecar/tests/helper_repo.h"
#include "sidecar/tests/helper_store_plan.h"
#include "sidecar/verify.h"
#include "sidecar/wal_archive.h"

#define FIRST "20261119T000000Z-full-0001"
#define SECOND "20261120T000000Z-full-0002"
#define THIRD "20261121T000000Z-full-0003"
#define FIRST_PACK "packs/" FIRST "/000001"
#define SECOND_PACK "packs/" SECOND "/000001"

enum { REGIONS = 2, OBJECT_MAX = 1 << 20 };

static const struct helper_series first = {
    .id = FIRST, .start_lsn = 0x1000028, .stop_lsn = 0x1003000};
static const struct helper_series second = {
    .id = SECOND, .start_lsn = 0x3000028, .stop_lsn = 0x3002000};

struct fixture {
    struct helper_repo helper;
    struct findings *findings;
    struct verify_result result;
    struct verify_options options;
};

static int set_up(void **state)
{
    struct fixture *f = own_alloc(sizeof(*f));
    *state = f;
    log_set_level(LOG_LEVEL_ERROR + 1); /* of what is damaged on purpose */
    helper_repo_open(&f->helper, REGIONS, HELPER_SERIES_SYSTEM);
    helper_series_add(&f->helper, &first);
    helper_series_add(&f->helper, &second);
    f->options = (struct verify_options){
        .policy = f->helper.policy,
        .secrets = f->helper.secrets,
        .sample = {.percent = 100, .seed = 1},
        .cancel = &f->helper.cancel,
    };
    return 0;
}

static int tear_down(void **state)
{
    CLEANUP(own_freep) struct fixture *f = *state;
    store_plan_nothing();
    findings_freep(&f->findings);
    helper_repo_close(&f->helper);
    log_set_level(LOG_LEVEL_INFO);
    return 0;
}

static void run(struct fixture *f)
{
    struct error err;
    findings_freep(&f->findings);
    f->findings = findings_new();
    if (verify_run(&f->options, f->findings, &f->result, &err) < 0)
        fail_msg("%s", err.text);
}

static bool same(const char *wanted, const char *found)
{
    return !wanted || (found && strcmp(wanted, found) == 0);
}

/* Whether there is a finding that has all that is set in wanted; text: a part of its text. */
static bool has(const struct fixture *f, const struct finding *wanted)
{
    const struct finding *kept;
    size_t count;
    findings_get(f->findings, wanted->note, &kept, &count);
    for (size_t i = 0; i < count; i++)
        if (kept[i].kind == wanted->kind && same(wanted->region, kept[i].region) &&
            same(wanted->backup, kept[i].backup) && same(wanted->object, kept[i].object) &&
            same(wanted->file, kept[i].file) &&
            (wanted->frame < 0 || wanted->frame == kept[i].frame) &&
            (wanted->block < 0 || wanted->block == kept[i].block) &&
            (!wanted->text || strstr(kept[i].text, wanted->text)))
            return true;
    return false;
}

static void expect(const struct fixture *f, const struct finding *wanted)
{
    if (has(f, wanted))
        return;
    helper_findings_print(f->findings, false);
    helper_findings_print(f->findings, true);
    fail_msg("no %s finding of '%s', '%s' among these", finding_kind_name(wanted->kind),
             wanted->object ? wanted->object : wanted->backup, wanted->text ? wanted->text : "");
}

static void expect_counts(const struct fixture *f, uint64_t wrong, uint64_t notes)
{
    const struct finding *kept;
    size_t count;
    if (findings_get(f->findings, false, &kept, &count) == wrong &&
        findings_get(f->findings, true, &kept, &count) == notes)
        return;
    helper_findings_print(f->findings, false);
    helper_findings_print(f->findings, true);
    fail_msg("other findings than %" PRIu64 " and %" PRIu64 " notes", wrong, notes);
}

static void flip(const struct fixture *f, size_t region, const char *name, uint64_t offset)
{
    CLEANUP(buf_done) struct buf content = BUF(OBJECT_MAX);
    helper_repo_read_object(&f->helper, region, name, &content);
    content.data[offset] ^= 1;
    helper_repo_write_object(&f->helper, region, name, &content);
}

static char *wal_name(const struct fixture *f, const char *segment)
{
    CLEANUP(own_freep) char *prefix = own_format("wal/00000002/00000000/%s", segment);
    return helper_repo_name(&f->helper, prefix);
}

/* What is right */

static void a_sound_repository_has_nothing_wrong(void **state)
{
    struct fixture *f = *state;
    run(f);
    /* in each region: two manifests, four packs, two pieces of WAL, one history; the gap between
     * the backups is told */
    expect(f, FINDING(.kind = FINDING_GAP, .note = true, .region = "r1",
                      .text = "no WAL from 0/1003000 to 0/3000000 on timeline 2"));
    expect_counts(f, 0, REGIONS);
    assert_int_equal(f->result.regions, REGIONS);
    assert_int_equal(f->result.backups, 2);
    assert_int_equal(f->result.objects, REGIONS * 11);
}

/* Maps in map frames, holes, several packs, a tablespace, WAL on two timelines. */
static void a_backup_with_all_that_is_hard_has_nothing_wrong(void **state)
{
    (void)state;
    struct fixture f = {0};
    CLEANUP(own_freep) struct helper_backup *backup = own_alloc(sizeof(*backup));
    helper_backup_open(backup, 1);
    helper_backup_commit(backup);
    f.options = (struct verify_options){
        .policy = backup->repo.policy,
        .secrets = backup->repo.secrets,
        .sample = {.percent = 100, .seed = 1},
        .cancel = &backup->repo.cancel,
    };
    run(&f);
    const struct finding *kept;
    size_t count;
    if (findings_get(f.findings, false, &kept, &count) > 0) {
        helper_findings_print(f.findings, false);
        fail();
    }
    findings_freep(&f.findings);
    helper_backup_close(backup);
}

static void one_backup_is_verified_without_the_others(void **state)
{
    struct fixture *f = *state;
    flip(f, 0, FIRST_PACK, 40);
    f->options.backup = SECOND;
    run(f);
    expect_counts(f, 0, 0);
    assert_int_equal(f->result.backups, 1);
    f->options.backup = FIRST;
    run(f);
    expect(f, FINDING(.kind = FINDING_DAMAGED, .region = "r0", .object = FIRST_PACK));
}

static void one_region_is_verified_without_the_others(void **state)
{
    struct fixture *f = *state;
    flip(f, 0, FIRST_PACK, 40);
    f->options.region = "r1";
    run(f);
    expect_counts(f, 0, 1);
    assert_int_equal(f->result.regions, 1);
}

/* How many calls of a region's stores a run makes. */
static unsigned count_calls(struct fixture *f, const char *region)
{
    store_plan_fault(region, 0, 0, STORE_FAULT_TRANSIENT);
    run(f);
    return atomic_load(&store_plan.calls);
}

static void a_region_that_stops_answering_is_told_once(void **state)
{
    struct fixture *f = *state;
    const struct finding *kept;
    size_t count;
    const unsigned calls = count_calls(f, "r1");
    assert_true(calls > 0);
    for (unsigned first_call = 1; first_call <= calls; first_call++) {
        store_plan_fault("r1", first_call, UINT_MAX, STORE_FAULT_TRANSIENT);
        run(f);
        if (findings_get(f->findings, false, &kept, &count) != 1)
            helper_findings_print(f->findings, false);
        assert_int_equal(findings_get(f->findings, false, &kept, &count), 1);
        expect(f, FINDING(.kind = FINDING_UNREADABLE, .region = "r1"));
        assert_int_equal(f->result.backups, 2); /* in the other one */
    }
}

static void an_object_that_cannot_be_fetched_keeps_no_other_from_being_read(void **state)
{
    struct fixture *f = *state;
    f->options.workers = 1; /* so that the calls that fail are of one object */
    const unsigned calls = count_calls(f, "r1");
    for (unsigned first_call = 1; first_call <= calls; first_call++) {
        store_plan_fault("r1", first_call, STORE_RETRIES + 1, STORE_FAULT_TRANSIENT);
        run(f);
        assert_false(has(f, FINDING(.kind = FINDING_UNREADABLE, .text = "given up")));
    }
}

static void a_segment_that_becomes_complete_meanwhile_has_nothing_wrong(void **state)
{
    static const char *const backups[] = {NULL, SECOND};
    const struct wal_piece whole = {HELPER_SERIES_TIMELINE, 0x3000000, 16 << 20, 0, 16 << 20};
    struct fixture *f = *state;
    helper_completion_open(&f->helper, &whole, SECOND, 1u << 1);
    for (size_t i = 0; i < ARRAY_SIZE(backups); i++) {
        f->options.backup = backups[i];
        const unsigned calls = count_calls(f, "r1");
        for (unsigned call = 1; call <= calls; call++) {
            helper_completion_set(call);
            store_plan_fault("r1", 0, 0, STORE_FAULT_TRANSIENT);
            store_plan.watch = helper_completion_watch;
            run(f);
            expect_counts(f, 0, backups[i] ? 0 : REGIONS);
            helper_completion_undo();
        }
    }
    helper_completion_close();
}

/* As after pg_resetwal --wal-segsize: this segment has the name of one of the second backup. */
static void add_larger_segments(struct fixture *f)
{
    helper_series_add(&f->helper, &(struct helper_series){.id = THIRD,
                                                          .start_lsn = 0xc000028,
                                                          .stop_lsn = 0xc002000,
                                                          .segment_bytes = 64 << 20});
}

static void wal_in_segments_of_two_sizes_has_nothing_wrong(void **state)
{
    static const char *const backups[] = {NULL, FIRST, SECOND, THIRD};
    static const unsigned percents[] = {1, 100};
    struct fixture *f = *state;
    add_larger_segments(f);
    for (size_t i = 0; i < ARRAY_SIZE(backups); i++)
        for (size_t j = 0; j < ARRAY_SIZE(percents); j++) {
            f->options.backup = backups[i];
            f->options.sample.percent = percents[j];
            run(f);
            /* two gaps between three backups */
            expect_counts(f, 0, backups[i] ? 0 : 2 * REGIONS);
        }
}

static void wal_of_a_size_that_no_backup_has_yet_is_nothing_wrong(void **state)
{
    struct fixture *f = *state;
    add_larger_segments(f);
    for (size_t region = 0; region < REGIONS; region++)
        helper_repo_remove_object(&f->helper, region, "manifests/" THIRD);
    run(f);
    expect_counts(f, 0, 4 * REGIONS); /* two gaps, and two packs without a backup */
}

static void a_segment_of_another_size_fills_no_gap(void **state)
{
    struct fixture *f = *state;
    CLEANUP(own_freep) char *second_wal = wal_name(f, "000000020000000000000003");
    add_larger_segments(f);
    helper_repo_remove_object(&f->helper, 1, second_wal);
    run(f);
    expect(f, FINDING(.kind = FINDING_GAP, .region = "r1", .backup = SECOND,
                      .text = "no WAL from 0/3000000 to 0/3002000"));
    expect_counts(f, 1, 2); /* the gaps of the other region */
    f->options.backup = SECOND;
    run(f);
    expect_counts(f, 1, 0);
}

static void a_sample_reads_less_and_the_same_again(void **state)
{
    struct fixture *f = *state;
    f->options.sample = (struct verify_sample){.percent = 1, .seed = 5};
    run(f);
    const uint64_t objects = f->result.objects;
    assert_true(objects < REGIONS * 11);
    run(f);
    assert_int_equal(f->result.objects, objects);
}

static void samples_take_their_share(void **state)
{
    (void)state;
    enum { NAMES = 10000 };
    static const unsigned percents[] = {1, 10, 50, 99, 100};
    for (size_t i = 0; i < ARRAY_SIZE(percents); i++) {
        const struct verify_sample sample = {.percent = percents[i], .seed = 42};
        unsigned taken = 0;
        for (int j = 0; j < NAMES; j++) {
            char name[32];
            snprintf(name, sizeof(name), "packs/x/%06d", j);
            taken += verify_sample_takes(&sample, name);
        }
        assert_in_range(taken + 150, percents[i] * NAMES / 100, percents[i] * NAMES / 100 + 300);
    }
}

/* Damage, named */

static void damage_in_one_region_names_frame_file_and_block(void **state)
{
    struct fixture *f = *state;
    flip(f, 1, SECOND_PACK, 40);
    run(f);
    expect(f, FINDING(.kind = FINDING_DAMAGED, .region = "r1", .backup = SECOND,
                      .object = SECOND_PACK, .text = "frame 0"));
    const struct finding *kept;
    size_t count;
    assert_int_equal(findings_get(f->findings, false, &kept, &count), 1);
    assert_int_equal(kept[0].frame, 0);
    assert_non_null(kept[0].file);
    assert_int_equal(kept[0].block, 0);
}

static void a_missing_pack_is_named_with_what_it_hits(void **state)
{
    struct fixture *f = *state;
    helper_repo_remove_object(&f->helper, 0, FIRST_PACK);
    run(f);
    expect(f,
           FINDING(.kind = FINDING_MISSING, .region = "r0", .backup = FIRST, .object = FIRST_PACK));
}

static void missing_wal_of_a_backup_is_a_gap(void **state)
{
    struct fixture *f = *state;
    CLEANUP(own_freep) char *name = wal_name(f, "000000020000000000000003");
    helper_repo_remove_object(&f->helper, 1, name);
    run(f);
    expect(f, FINDING(.kind = FINDING_GAP, .region = "r1", .backup = SECOND,
                      .text = "no WAL from 0/3000000 to 0/3002000"));
    expect_counts(f, 1, 1);
}

static void a_missing_history_is_named(void **state)
{
    struct fixture *f = *state;
    CLEANUP(own_freep) char *name = helper_repo_name(&f->helper, "wal/00000002.history");
    helper_repo_remove_object(&f->helper, 1, name);
    run(f);
    expect(f, FINDING(.kind = FINDING_MISSING, .region = "r1", .text = "timeline 2"));
}

static void a_manifest_that_lies_is_inconsistent(void **state)
{
    struct fixture *f = *state;
    helper_series_add(&f->helper,
                      &(struct helper_series){
                          .id = THIRD, .start_lsn = 0x4000028, .stop_lsn = 0x4002000, .lie = 1});
    run(f);
    expect(f, FINDING(.kind = FINDING_INCONSISTENT, .backup = THIRD, .object = "manifests/" THIRD,
                      .text = "files"));
    expect_counts(f, REGIONS, 2 * REGIONS);
}

static void damaged_pages_are_known_or_found(void **state)
{
    static const struct {
        bool unseen;
        uint64_t start_lsn;
        uint64_t wrong, known;
    } cases[] = {
        {.start_lsn = 0x4000028, .known = REGIONS},
        {.unseen = true, .start_lsn = 0x4000028, .wrong = REGIONS},
        /* pages of the tree have LSN 0x1000: newer than this start, so WAL replaces them */
        {.unseen = true, .start_lsn = 0x800},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct fixture f = {0};
        helper_repo_open(&f.helper, REGIONS, HELPER_SERIES_SYSTEM);
        helper_series_add(&f.helper, &(struct helper_series){.id = THIRD,
                                                             .start_lsn = cases[i].start_lsn,
                                                             .stop_lsn = 0x4002000,
                                                             .bad_page = true,
                                                             .unseen = cases[i].unseen,
                                                             .without_wal = true});
        f.options = ((struct fixture *)*state)->options;
        f.options.policy = f.helper.policy;
        f.options.secrets = f.helper.secrets;
        run(&f);
        const bool found = has(&f, FINDING(.kind = FINDING_PAGE, .file = HELPER_SERIES_RELATION,
                                           .text = "block 7 of the relation"));
        const bool known =
            has(&f, FINDING(.kind = FINDING_PAGE, .note = true, .file = HELPER_SERIES_RELATION,
                            .text = "in the source already"));
        assert_int_equal(found, cases[i].wrong > 0);
        assert_int_equal(known, cases[i].known > 0);
        findings_freep(&f.findings);
        helper_repo_close(&f.helper);
    }
}

static void an_orphaned_pack_is_a_note(void **state)
{
    struct fixture *f = *state;
    CLEANUP(buf_done) struct buf content = BUF(OBJECT_MAX);
    helper_repo_read_object(&f->helper, 0, FIRST_PACK, &content);
    helper_repo_write_object(&f->helper, 0, "packs/" FIRST "/000009", &content);
    helper_repo_write_object(&f->helper, 0, "stray", &content);
    run(f);
    expect(f, FINDING(.kind = FINDING_ORPHAN, .note = true, .region = "r0",
                      .object = "packs/" FIRST "/000009"));
    expect(f, FINDING(.kind = FINDING_ORPHAN, .note = true, .region = "r0", .object = "stray"));
    expect_counts(f, 0, REGIONS + 2);
}

/* Witnesses */

static void a_backup_that_a_later_one_saw_is_missed(void **state)
{
    struct fixture *f = *state;
    helper_repo_remove_object(&f->helper, 0, "manifests/" FIRST);
    run(f);
    expect(f, FINDING(.kind = FINDING_MISSING, .region = "r0", .backup = FIRST, .text = "'r1'"));
    helper_repo_remove_object(&f->helper, 1, "manifests/" FIRST);
    run(f);
    expect(f, FINDING(.kind = FINDING_ROLLBACK, .backup = FIRST, .text = "it is gone"));
}

static void a_backup_that_was_retired_is_not_missed(void **state)
{
    struct fixture *f = *state;
    CLEANUP(buf_done) struct buf empty = BUF(1);
    for (size_t region = 0; region < REGIONS; region++) {
        CLEANUP(own_freep) char *directory = helper_repo_path(&f->helper, region, "retired");
        assert_return_code(mkdir(directory, 0700), 0);
        helper_repo_write_object(&f->helper, region, "retired/" FIRST, &empty);
        helper_repo_remove_object(&f->helper, region, "manifests/" FIRST);
    }
    run(f);
    const struct finding *kept;
    size_t count;
    assert_int_equal(findings_get(f->findings, false, &kept, &count), 0);
}

static void what_is_expected_must_be_there_and_the_same(void **state)
{
    struct fixture *f = *state;
    struct error err;
    CLEANUP(manifest_done) struct manifest manifest = {0};
    assert_int_equal(repo_load_manifest(f->helper.repo, SECOND, &manifest, &err), 0);
    struct manifest_witness expected[] = {{.backup = SECOND}, {.backup = THIRD}};
    memcpy(expected[0].sha256, manifest.sha256, sizeof(manifest.sha256));
    f->options.expected = expected;
    f->options.expected_count = 1;
    run(f);
    expect_counts(f, 0, REGIONS);
    expected[0].sha256[0] ^= 1;
    f->options.expected_count = 2;
    run(f);
    expect(f, FINDING(.kind = FINDING_ROLLBACK, .region = "r1", .backup = SECOND,
                      .text = "instead of"));
    expect(f, FINDING(.kind = FINDING_ROLLBACK, .region = "r0", .backup = THIRD));
    expect_counts(f, 2 * REGIONS, REGIONS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_sound_repository_has_nothing_wrong, set_up, tear_down),
        cmocka_unit_test(a_backup_with_all_that_is_hard_has_nothing_wrong),
        cmocka_unit_test_setup_teardown(one_backup_is_verified_without_the_others, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(one_region_is_verified_without_the_others, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_region_that_stops_answering_is_told_once, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(
            an_object_that_cannot_be_fetched_keeps_no_other_from_being_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_segment_that_becomes_complete_meanwhile_has_nothing_wrong,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(wal_in_segments_of_two_sizes_has_nothing_wrong, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(wal_of_a_size_that_no_backup_has_yet_is_nothing_wrong,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_segment_of_another_size_fills_no_gap, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_sample_reads_less_and_the_same_again, set_up, tear_down),
        cmocka_unit_test(samples_take_their_share),
        cmocka_unit_test_setup_teardown(damage_in_one_region_names_frame_file_and_block, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_missing_pack_is_named_with_what_it_hits, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(missing_wal_of_a_backup_is_a_gap, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_missing_history_is_named, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_manifest_that_lies_is_inconsistent, set_up, tear_down),
        cmocka_unit_test_setup_teardown(damaged_pages_are_known_or_found, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_orphaned_pack_is_a_note, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_backup_that_a_later_one_saw_is_missed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_backup_that_was_retired_is_not_missed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_expected_must_be_there_and_the_same, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
