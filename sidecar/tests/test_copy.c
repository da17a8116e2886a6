// SPDX-License-Identifier: Apache-2.0
/*
 * Three regions with the same two backups; one loses what a test takes from it, and is filled
 * again. The linker puts __wrap_store_open into the place of store_open here (CMakeLists.txt).
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
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
#include "common/log.h"
#include "common/own.h"
#include "common/tests/helper_directory.h"
#include "common/tests/helper_held.h"
#include "sidecar/copy.h"
#include "sidecar/findings.h"
#include "sidecar/key_rotation.h"
#include "sidecar/manifest.h"
#include "sidecar/repo.h"
#include "sidecar/tests/helper_completion.h"
#include "sidecar/tests/helper_repo.h"
#include "sidecar/tests/helper_series.h"
#include "sidecar/tests/helper_store_plan.h"
#include "sidecar/verify.h"
#include "sidecar/wal_archive.h"

#define FIRST "20261119T000000Z-full-0001"
#define SECOND "20261120T000000Z-full-0002"
#define FIRST_MANIFEST "manifests/" FIRST
#define FIRST_PACK "packs/" FIRST "/000001"
#define SECOND_PACK "packs/" SECOND "/000001"

enum {
    REGIONS = 3,
    OBJECT_MAX = 1 << 22,
    FOR_GOOD = 1 << 20,
    NEEDED_CALLS = 20,
    SEGMENT = 16 << 20,
};

static const struct helper_series first = {
    .id = FIRST, .start_lsn = 0x1000028, .stop_lsn = 0x1003000};
static const struct helper_series second = {
    .id = SECOND, .start_lsn = 0x3000028, .stop_lsn = 0x3002000};

struct fixture {
    struct helper_repo helper;
    struct findings *findings;
    struct copy_result result;
    struct copy_options options;
    struct cancel cancel;
    bool cancelable;
};

static int set_up(void **state)
{
    struct fixture *f = own_alloc(sizeof(*f));
    *state = f;
    store_plan_nothing();
    helper_repo_open(&f->helper, REGIONS, HELPER_SERIES_SYSTEM);
    helper_series_add(&f->helper, &first);
    helper_series_add(&f->helper, &second);
    f->options = (struct copy_options){
        .policy = f->helper.policy,
        .secrets = f->helper.secrets,
        .from = "r0",
        .to = "r1",
        .workers = 2,
    };
    return 0;
}

static void forget(struct fixture *f)
{
    findings_freep(&f->findings);
    copy_result_done(&f->result);
    if (f->cancelable)
        cancel_done(&f->cancel);
    f->cancelable = false;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    forget(f);
    helper_repo_close(&f->helper);
    free(f);
    return 0;
}

static int copy(struct fixture *f, struct error *err)
{
    forget(f);
    f->findings = findings_new();
    assert_int_equal(cancel_init(&f->cancel, err), 0);
    f->cancelable = true;
    f->options.cancel = &f->cancel;
    const struct helper_held before = helper_held_now();
    const int result = copy_run(&f->options, f->findings, &f->result, err);
    helper_held_expect(&before);
    return result;
}

static void copy_well(struct fixture *f)
{
    struct error err;
    store_plan_nothing();
    if (copy(f, &err) < 0)
        fail_msg("%s", err.text);
}

static uint64_t count_findings(const struct fixture *f, bool notes)
{
    const struct finding *kept;
    size_t count;
    return findings_get(f->findings, notes, &kept, &count);
}

/* A finding of that kind about that object or backup, with that text. */
static void assert_found(const struct fixture *f, bool notes, enum finding_kind kind,
                         const char *what, const char *text)
{
    const struct finding *kept;
    size_t count;
    findings_get(f->findings, notes, &kept, &count);
    for (size_t i = 0; i < count; i++)
        if (kept[i].kind == kind && strstr(kept[i].text, text) &&
            ((kept[i].object && strcmp(kept[i].object, what) == 0) ||
             (kept[i].backup && strcmp(kept[i].backup, what) == 0)))
            return;
    fail_msg("no finding about %s: %s", what, text);
}

/* What regions have */

static size_t region_at; /* bytes of its directory's path, of the region that is walked */
static const char *other_region;
static size_t differences, files;

static void read_all(const char *path, struct buf *content)
{
    struct error err;
    if (buf_read_file(content, AT_FDCWD, path, &err) < 0)
        fail_msg("%s", err.text);
}

static int compare_file(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)ftw;
    if (type != FTW_F)
        return 0;
    CLEANUP(own_freep) char *other = own_format("%s%s", other_region, path + region_at);
    CLEANUP(buf_done) struct buf here = BUF(OBJECT_MAX), there = BUF(OBJECT_MAX);
    files++;
    if (access(other, F_OK) < 0) {
        differences++;
        return 0;
    }
    read_all(path, &here);
    read_all(other, &there);
    differences += here.size != there.size || memcmp(here.data, there.data, here.size) != 0;
    return 0;
}

/* Files of one region that the other has not, or others. */
static size_t compare(const struct fixture *f, const char *region, const char *other)
{
    CLEANUP(own_freep) char *here = own_format("%s/%s", f->helper.directory, region);
    CLEANUP(own_freep) char *there = own_format("%s/%s", f->helper.directory, other);
    region_at = strlen(here);
    other_region = there;
    differences = files = 0;
    assert_int_equal(nftw(here, compare_file, 16, FTW_PHYS), 0);
    assert_true(files > 0);
    return differences;
}

static void assert_same(const struct fixture *f)
{
    assert_int_equal(compare(f, "r0", "r1"), 0);
    assert_int_equal(compare(f, "r1", "r0"), 0);
}

/* Every backup that the region has is whole, as if it were the only region. */
static void assert_sound(const struct fixture *f, const char *region)
{
    CLEANUP(findings_freep) struct findings *findings = findings_new();
    CLEANUP(cancel_done) struct cancel cancel;
    struct verify_result result;
    struct error err;
    const struct finding *kept;
    size_t count;
    store_plan_nothing();
    assert_int_equal(cancel_init(&cancel, &err), 0);
    const struct verify_options options = {
        .policy = f->helper.policy,
        .secrets = f->helper.secrets,
        .region = region,
        .sample = {.percent = 100, .seed = 1},
        .workers = 1,
        .cancel = &cancel,
    };
    if (verify_run(&options, findings, &result, &err) < 0) {
        if (err.kind != ERROR_NOT_FOUND) /* the repository is not there yet */
            fail_msg("%s", err.text);
        return;
    }
    if (findings_get(findings, false, &kept, &count) > 0)
        fail_msg("%s %s", kept[0].object ? kept[0].object : "", kept[0].text);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    return ftw->level == 0 ? 0 : remove(path);
}

/* Empties a region. */
static void lose_all(const struct fixture *f, const char *region)
{
    CLEANUP(own_freep) char *path = own_format("%s/%s", f->helper.directory, region);
    assert_int_equal(nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

static void lose(const struct fixture *f, size_t region, const char *name)
{
    CLEANUP(own_freep) char *path = helper_repo_path(&f->helper, region, name);
    assert_return_code(unlink(path), errno);
}

static bool has(const struct fixture *f, size_t region, const char *name)
{
    CLEANUP(own_freep) char *path = helper_repo_path(&f->helper, region, name);
    return access(path, F_OK) == 0;
}

static void put(const struct fixture *f, size_t region, const char *name, const char *text)
{
    CLEANUP(own_freep) char *path = own_format("r%zu/%s%s", region, f->helper.repo->prefix, name);
    helper_directory_write(f->helper.directory, path, text);
}

/* Tests */

static void an_empty_region_gets_everything(void **state)
{
    struct fixture *f = *state;
    lose_all(f, "r1");
    copy_well(f);
    assert_same(f);
    assert_sound(f, "r1");
    assert_int_equal(f->result.backup_count, 2);
    assert_string_equal(f->result.backups[0].id, FIRST);
    assert_true(f->result.backups[0].copied && f->result.backups[1].copied);
    assert_int_equal(count_findings(f, false), 0);
    assert_int_equal(count_findings(f, true), 0);
}

static void a_second_copy_puts_nothing(void **state)
{
    struct fixture *f = *state;
    lose_all(f, "r1");
    copy_well(f);
    copy_well(f);
    assert_int_equal(f->result.objects, 0);
    assert_int_equal(f->result.backup_count, 0);
}

static void a_dry_run_puts_nothing_and_says_the_same(void **state)
{
    struct fixture *f = *state;
    lose_all(f, "r1");
    f->options.dry_run = true;
    copy_well(f);
    const uint64_t objects = f->result.objects, bytes = f->result.bytes;
    assert_true(objects > 0 && f->result.dry_run);
    assert_int_equal(f->result.backup_count, 2);
    CLEANUP(own_freep) char *path = own_format("%s/r1", f->helper.directory);
    assert_return_code(rmdir(path), errno); /* still empty */
    assert_return_code(mkdir(path, 0700), errno);
    f->options.dry_run = false;
    copy_well(f);
    assert_int_equal(f->result.objects, objects);
    assert_int_equal(f->result.bytes, bytes);
}

static void a_backup_without_its_packs_is_completed(void **state)
{
    struct fixture *f = *state;
    lose(f, 1, SECOND_PACK);
    copy_well(f);
    assert_same(f);
    assert_int_equal(f->result.backup_count, 1);
    assert_true(f->result.backups[0].was_there && f->result.backups[0].copied);
    assert_int_equal(f->result.objects, 1);
}

static void a_damaged_object_comes_from_a_third_region(void **state)
{
    struct fixture *f = *state;
    lose_all(f, "r1");
    helper_repo_damage(&f->helper, 0, FIRST_PACK);
    helper_repo_damage(&f->helper, 0, FIRST_MANIFEST);
    copy_well(f);
    assert_int_equal(count_findings(f, false), 0);
    assert_found(f, true, FINDING_DAMAGED, FIRST_PACK, "taken from region 'r2'");
    assert_int_equal(compare(f, "r1", "r2"), 0);
    assert_sound(f, "r1");
}

static void an_object_of_another_name_is_not_taken(void **state)
{
    struct fixture *f = *state;
    CLEANUP(own_freep) char *mine = helper_repo_path(&f->helper, 0, FIRST_PACK);
    CLEANUP(own_freep) char *other = helper_repo_path(&f->helper, 0, SECOND_PACK);
    lose_all(f, "r1");
    lose(f, 0, FIRST_PACK);
    assert_return_code(link(other, mine), errno); /* sound in itself */
    copy_well(f);
    assert_found(f, true, FINDING_DAMAGED, FIRST_PACK, "taken from region 'r2'");
    assert_sound(f, "r1");
}

static void what_the_source_lacks_comes_from_a_third_region(void **state)
{
    struct fixture *f = *state;
    lose_all(f, "r1");
    lose(f, 0, FIRST_PACK);
    copy_well(f);
    assert_found(f, true, FINDING_MISSING, FIRST_PACK, "lacks it; it was taken from region 'r2'");
    assert_int_equal(compare(f, "r1", "r2"), 0);
}

static void what_is_damaged_everywhere_is_named_and_not_committed(void **state)
{
    struct fixture *f = *state;
    lose_all(f, "r1");
    helper_repo_damage(&f->helper, 0, FIRST_PACK);
    helper_repo_damage(&f->helper, 2, FIRST_PACK);
    copy_well(f);
    assert_found(f, false, FINDING_DAMAGED, FIRST_PACK, "no region has it intact");
    assert_false(f->result.backups[0].copied);
    assert_true(f->result.backups[1].copied);
    assert_false(has(f, 1, FIRST_MANIFEST));
    assert_true(has(f, 1, "manifests/" SECOND));
    assert_sound(f, "r1");
}

static void what_is_nowhere_is_named_before_anything_is_put(void **state)
{
    struct fixture *f = *state;
    lose_all(f, "r1");
    lose(f, 0, FIRST_PACK);
    lose(f, 2, FIRST_PACK);
    copy_well(f);
    assert_found(f, false, FINDING_MISSING, FIRST_PACK, "no region has it");
    assert_false(f->result.backups[0].copied);
    assert_false(has(f, 1, FIRST_MANIFEST));
    assert_sound(f, "r1");
}

/* The one name that begins so; it is below the repository. */
static char *find_name(struct fixture *f, const char *prefix, size_t index)
{
    struct error err;
    CLEANUP(repo_names_done) struct repo_names names = {0};
    assert_int_equal(repo_list(f->helper.repo, prefix, &names, &err), 0);
    assert_true(names.count > index);
    return own_strdup(names.names[index].name);
}

static void missing_wal_is_told_with_its_backup(void **state)
{
    struct fixture *f = *state;
    CLEANUP(own_freep) char *wal = find_name(f, "wal/00000002/", 0);
    lose_all(f, "r1");
    lose(f, 0, wal);
    lose(f, 2, wal);
    copy_well(f);
    assert_found(f, false, FINDING_GAP, FIRST, "no region has the WAL from");
    assert_false(has(f, 1, FIRST_MANIFEST));
    assert_true(has(f, 1, "manifests/" SECOND));
}

static void a_missing_timeline_history_is_told_with_the_backups_that_need_it(void **state)
{
    struct fixture *f = *state;
    CLEANUP(own_freep) char *history = find_name(f, "wal/00000002.history-", 0);
    lose_all(f, "r1");
    lose(f, 0, history);
    copy_well(f); /* r2 has it */
    assert_sound(f, "r1");
    lose_all(f, "r1");
    lose(f, 2, history);
    copy_well(f);
    assert_found(f, false, FINDING_MISSING, FIRST, "the history of timeline 2");
    assert_false(has(f, 1, FIRST_MANIFEST));
}

static void wal_that_no_backup_needs_is_copied_but_for_parts_of_whole_segments(void **state)
{
    struct fixture *f = *state;
    struct error err;
    static uint8_t segment[SEGMENT];
    uint64_t stored = 0;
    struct wal_piece piece = {.timeline = HELPER_SERIES_TIMELINE,
                              .segment_lsn = 0x5000000,
                              .segment_bytes = SEGMENT,
                              .to = SEGMENT};
    assert_int_equal(wal_archive_put(f->helper.repo, &piece, segment, &stored, &err), 0);
    piece.to = 4096;
    assert_int_equal(wal_archive_put(f->helper.repo, &piece, segment, &stored, &err), 0);
    piece.segment_lsn += SEGMENT;
    assert_int_equal(wal_archive_put(f->helper.repo, &piece, segment, &stored, &err), 0);
    lose_all(f, "r1");
    copy_well(f);
    assert_int_equal(compare(f, "r1", "r0"), 0);
    assert_int_equal(compare(f, "r0", "r1"), 1); /* the part of the whole segment */
    assert_sound(f, "r1");
}

static void a_pack_that_is_not_as_large_as_elsewhere_is_told(void **state)
{
    struct fixture *f = *state;
    CLEANUP(own_freep) char *path = helper_repo_path(&f->helper, 1, FIRST_PACK);
    lose(f, 1, FIRST_MANIFEST);
    assert_return_code(truncate(path, 100), errno);
    copy_well(f);
    assert_found(f, false, FINDING_INCONSISTENT, FIRST_PACK, "never overwritten");
    assert_false(has(f, 1, FIRST_MANIFEST));
}

static void a_backup_that_was_removed_does_not_come_back(void **state)
{
    struct fixture *f = *state;
    lose_all(f, "r1");
    put(f, 2, "retired/" FIRST, "{}");
    copy_well(f);
    assert_int_equal(f->result.backup_count, 1);
    assert_false(has(f, 1, FIRST_MANIFEST));
}

static void a_backup_in_progress_is_left_to_whoever_makes_it(void **state)
{
    struct fixture *f = *state;
    static const struct timespec long_ago[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    CLEANUP(own_freep) char *beat = helper_repo_path(&f->helper, 2, "running/" FIRST "/7");
    lose_all(f, "r1");
    put(f, 2, "running/" FIRST "/7", "{}");
    put(f, 1, "running/" SECOND "/1000007", "{}"); /* of a copy that was killed */
    copy_well(f);
    assert_found(f, true, FINDING_MISSING, FIRST, "still being made");
    assert_int_equal(f->result.backup_count, 1);
    assert_false(has(f, 1, FIRST_MANIFEST));
    assert_true(has(f, 1, "manifests/" SECOND));
    assert_return_code(utimensat(AT_FDCWD, beat, long_ago, 0), errno); /* it died */
    copy_well(f);
    assert_true(has(f, 1, FIRST_MANIFEST));
}

static void a_hold_comes_with_its_backup(void **state)
{
    struct fixture *f = *state;
    lose_all(f, "r1");
    put(f, 0, "holds/" FIRST, "");
    copy_well(f);
    assert_true(has(f, 1, "holds/" FIRST));
}

static void no_heartbeat_is_left(void **state)
{
    struct fixture *f = *state;
    struct error err;
    CLEANUP(repo_names_done) struct repo_names names = {0};
    lose_all(f, "r1");
    copy_well(f);
    assert_int_equal(repo_list(f->helper.repo, "running/", &names, &err), 0);
    assert_int_equal(names.count, 0);
}

static void a_dropped_user_key_does_not_come_back(void **state)
{
    struct fixture *f = *state;
    struct policy_encryption *encryption = &f->helper.policy->encryption;
    struct key_rotation_result rotated;
    struct error err;
    helper_repo_rotate_key(&f->helper);
    struct key_rotation_options options = {
        .policy = f->helper.policy,
        .secrets = f->helper.secrets,
        .cancel = &f->helper.cancel,
    };
    assert_int_equal(key_rotation_run(&options, &rotated, &err), 0);
    lose_all(f, "r1");
    encryption->keys[0] = "k2"; /* k1 is out of the policy, but its objects are in r0 */
    encryption->key_count = 1;
    copy_well(f);
    assert_sound(f, "r1");
    CLEANUP(own_freep)
    char *old = own_format("keys/%s.%s", f->helper.repo->document.id_key, rotated.others[0].id);
    CLEANUP(own_freep)
    char *new = own_format("keys/%s.%s", f->helper.repo->document.id_key, rotated.active.id);
    assert_true(has(f, 0, old));
    assert_false(has(f, 1, old));
    assert_true(has(f, 1, new));
}

static void a_region_that_is_down_is_told(void **state)
{
    struct fixture *f = *state;
    static const char *const down[] = {"r0", "r1"};
    struct error err;
    for (size_t i = 0; i < 2; i++) {
        store_plan_fault(down[i], 1, FOR_GOOD, STORE_FAULT_TRANSIENT);
        assert_int_equal(copy(f, &err), -1);
        assert_non_null(strstr(err.text, down[i]));
        assert_int_equal(err.kind, ERROR_TRANSIENT);
    }
    lose_all(f, "r1");
    store_plan_fault("r2", 1, FOR_GOOD, STORE_FAULT_TRANSIENT); /* it is not needed */
    if (copy(f, &err) < 0)
        fail_msg("%s", err.text);
    assert_same(f);
}

static void a_region_that_cannot_be_written_is_refused(void **state)
{
    struct fixture *f = *state;
    struct error err;
    f->helper.policy->regions[1].read_only = true;
    assert_int_equal(copy(f, &err), -1);
    assert_int_equal(err.kind, ERROR_PERMANENT);
    assert_non_null(strstr(err.text, "'r1' (--to) is ReadOnly"));
    f->options.to = "mars";
    assert_int_equal(copy(f, &err), -1);
    assert_non_null(strstr(err.text, "r0, r1, r2"));
}

/* The source goes away at its n-th call, for every n: either that is said, or the third region had
 * the rest. What is committed is whole, and a second copy completes it. */
static void a_source_that_goes_away_at_any_call_does_no_harm(void **state)
{
    struct fixture *f = *state;
    unsigned n = 0, calls;
    do {
        struct error err;
        lose_all(f, "r1");
        store_plan_fault("r0", ++n, FOR_GOOD, STORE_FAULT_TRANSIENT);
        const int result = copy(f, &err);
        calls = store_plan.calls;
        assert_sound(f, "r1");
        if (result == 0)
            assert_int_equal(compare(f, "r0", "r1"), 0);
        else
            assert_int_not_equal(err.kind, ERROR_CANCELED);
        copy_well(f);
        assert_same(f);
    } while (calls >= n);
    assert_true(n > NEEDED_CALLS);
}

/* Calls of the target fail from the n-th on, as if it or the program had gone away, or once. */
static unsigned loop(struct fixture *f, unsigned count, enum store_fault fault)
{
    unsigned n = 0, calls, failures = 0;
    f->options.workers = 1; /* always the same calls */
    do {
        struct error err;
        lose_all(f, "r1");
        store_plan_fault("r1", ++n, count, fault);
        const bool failed = copy(f, &err) < 0;
        calls = store_plan.calls;
        failures += failed;
        if (failed)
            assert_int_not_equal(err.kind, ERROR_CANCELED);
        else if (f->result.backup_count == 2 && f->result.backups[0].copied)
            assert_true(has(f, 1, FIRST_MANIFEST));
        assert_sound(f, "r1");
        copy_well(f);
        assert_true(has(f, 1, FIRST_MANIFEST) && has(f, 1, "manifests/" SECOND));
        assert_int_equal(compare(f, "r0", "r1"), 0);
    } while (calls >= n);
    assert_true(n > NEEDED_CALLS);
    return failures;
}

static void a_target_that_goes_away_at_any_call_has_no_half_backup(void **state)
{
    assert_true(loop(*state, FOR_GOOD, STORE_FAULT_PERMANENT) > NEEDED_CALLS);
}

static void a_failure_at_any_call_leaves_no_half_backup(void **state)
{
    loop(*state, 1, STORE_FAULT_PERMANENT);
}

static void a_transient_failure_at_any_call_is_made_up_for(void **state)
{
    assert_int_equal(loop(*state, 1, STORE_FAULT_TRANSIENT), 0);
}

static void a_lost_answer_at_any_call_is_made_up_for(void **state)
{
    assert_int_equal(loop(*state, 1, STORE_FAULT_LOST_ANSWER), 0);
}

static void half_an_object_at_any_call_is_made_up_for(void **state)
{
    assert_int_equal(loop(*state, 1, STORE_FAULT_PARTIAL), 0);
}

/* What the target says that it has is not believed: only what it shows. */
static void a_target_that_lies_gets_no_half_backup(void **state)
{
    loop(*state, 1, STORE_FAULT_LIE);
    loop(*state, FOR_GOOD, STORE_FAULT_LIE);
}

static void a_segment_that_becomes_complete_meanwhile_is_copied(void **state)
{
    const struct wal_piece whole = {HELPER_SERIES_TIMELINE, 0x3000000, SEGMENT, 0, SEGMENT};
    struct fixture *f = *state;
    const struct helper_repo *helper = &f->helper;
    CLEANUP(own_freep) char *manifest = helper_repo_path(helper, 1, "manifests/" SECOND);
    struct error err;
    unsigned calls = UINT_MAX;
    helper_completion_open(helper, &whole, SECOND, 1u << 0 | 1u << 2);
    for (unsigned call = 1; call <= calls; call++) {
        helper_completion_undo();
        helper_completion_remove(1);
        helper_repo_remove_object(helper, 1, "manifests/" SECOND);
        helper_completion_set(call);
        store_plan_fault("r0", 0, 0, STORE_FAULT_TRANSIENT);
        store_plan.watch = helper_completion_watch;
        if (copy(f, &err) < 0)
            fail_msg("%s", err.text);
        assert_int_equal(count_findings(f, false), 0);
        assert_true(helper_completion_has_any(1));
        assert_return_code(access(manifest, F_OK), errno);
        calls = atomic_load(&store_plan.calls);
    }
    assert_true(calls > 1);
    store_plan_nothing();
    helper_completion_close();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    helper_directory_in_memory();
    log_set_level(LOG_LEVEL_ERROR + 1);
    const struct CMUnitTest tests[] = {
        TEST(a_segment_that_becomes_complete_meanwhile_is_copied),
        TEST(an_empty_region_gets_everything),
        TEST(a_second_copy_puts_nothing),
        TEST(a_dry_run_puts_nothing_and_says_the_same),
        TEST(a_backup_without_its_packs_is_completed),
        TEST(a_damaged_object_comes_from_a_third_region),
        TEST(an_object_of_another_name_is_not_taken),
        TEST(what_the_source_lacks_comes_from_a_third_region),
        TEST(what_is_damaged_everywhere_is_named_and_not_committed),
        TEST(what_is_nowhere_is_named_before_anything_is_put),
        TEST(missing_wal_is_told_with_its_backup),
        TEST(a_missing_timeline_history_is_told_with_the_backups_that_need_it),
        TEST(wal_that_no_backup_needs_is_copied_but_for_parts_of_whole_segments),
        TEST(a_pack_that_is_not_as_large_as_elsewhere_is_told),
        TEST(a_backup_that_was_removed_does_not_come_back),
        TEST(a_backup_in_progress_is_left_to_whoever_makes_it),
        TEST(a_hold_comes_with_its_backup),
        TEST(no_heartbeat_is_left),
        TEST(a_dropped_user_key_does_not_come_back),
        TEST(a_region_that_is_down_is_told),
        TEST(a_region_that_cannot_be_written_is_refused),
        TEST(a_source_that_goes_away_at_any_call_does_no_harm),
        TEST(a_target_that_goes_away_at_any_call_has_no_half_backup),
        TEST(a_failure_at_any_call_leaves_no_half_backup),
        TEST(a_target_that_lies_gets_no_half_backup),
        TEST(a_transient_failure_at_any_call_is_made_up_for),
        TEST(a_lost_answer_at_any_call_is_made_up_for),
        TEST(half_an_object_at_any_call_is_made_up_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
