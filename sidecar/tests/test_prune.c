// SPDX-License-Identifier: Apache-2.0
/*
 * Prune over real repositories in directories: what it removes, and that it may fail or be killed
 * at every call of a store: what is kept is whole at all times, and the next run completes. Also
 * that a backup of another process that starts or ends at any moment finds what it was promised.
 *
 * The linker puts __wrap_store_open into the place of store_open here (CMakeLists.txt).
 */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/log.h"
#include "common/own.h"
#include "common/text.h"
#include "common/tests/helper_directory.h"
#include "common/tests/helper_held.h"
#include "sidecar/findings.h"
#include "sidecar/manifest.h"
#include "sidecar/policy.h"
#include "sidecar/prune.h"
#include "sidecar/repo.h"
#include "sidecar/restore.h"
#include "sidecar/tests/helper_repo.h"
#include "sidecar/tests/helper_series.h"
#include "sidecar/tests/helper_store_plan.h"
#include "sidecar/verify.h"

#define FIRST "20261119T000000Z-full-0001"
#define SECOND "20261120T000000Z-full-0002"
#define THIRD "20261121T000000Z-full-0003"
#define OTHER "20261122T000000Z-incr-0004"

enum { REGIONS = 2, FOR_GOOD = 1 << 20, NEEDED_CALLS = 10, TEXT_MAX = 1 << 20 };

static struct helper_repo helper;
static char *original; /* a copy of r0, which both regions begin with */

/* The repository */

static void run_program(const char *const argv[])
{
    int status;
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        execvp(argv[0], (char *const *)(uintptr_t)argv);
        _exit(EXIT_FAILURE);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static char *region_path(size_t region)
{
    return own_format("%s/r%zu", helper.directory, region);
}

/* Both regions as they were before anything was pruned. */
static void reset(void)
{
    for (size_t i = 0; i < REGIONS; i++) {
        CLEANUP(own_freep) char *path = region_path(i);
        CLEANUP(own_freep) char *content = own_format("%s/.", original);
        run_program((const char *const[]){"find", path, "-mindepth", "1", "-delete", NULL});
        run_program((const char *const[]){"cp", "-a", content, path, NULL});
    }
}

static int set_up(void **state)
{
    static const struct helper_series series[] = {
        {.id = FIRST, .start_lsn = 0x1000028, .stop_lsn = 0x1003000},
        {.id = SECOND, .start_lsn = 0x3000028, .stop_lsn = 0x3002000},
        {.id = THIRD, .start_lsn = 0x5000028, .stop_lsn = 0x5002000},
    };
    (void)state;
    log_set_fd(open("/dev/null", O_WRONLY | O_CLOEXEC));
    helper_repo_open(&helper, REGIONS, HELPER_SERIES_SYSTEM);
    for (size_t i = 0; i < ARRAY_SIZE(series); i++)
        helper_series_add(&helper, &series[i]);
    helper.policy->retention = (struct retention_rules){.fulls = 1};
    CLEANUP(own_freep) char *path = region_path(0);
    original = own_format("%s/original", helper.directory);
    run_program((const char *const[]){"cp", "-a", path, original, NULL});
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    free(original);
    helper_repo_close(&helper);
    return 0;
}

static bool exists(size_t region, const char *name)
{
    CLEANUP(own_freep) char *path = helper_repo_path(&helper, region, name);
    return access(path, F_OK) == 0;
}

/* How many objects of a region's repository start with prefix; asserts nothing. */
static size_t count(size_t region, const char *prefix)
{
    struct error err;
    size_t found = 0;
    CLEANUP(repo_names_done) struct repo_names names = {0};
    if (repo_list(helper.repo, prefix, &names, &err) < 0)
        fail_msg("%s", err.text);
    for (size_t i = 0; i < names.count; i++)
        found += (names.names[i].regions >> region) & 1;
    return found;
}

static int prune(bool dry_run, struct prune_result *ret_result, struct error *err)
{
    CLEANUP(cancel_done) struct cancel cancel;
    assert_int_equal(cancel_init(&cancel, err), 0);
    const struct prune_options options = {
        .policy = helper.policy, .secrets = helper.secrets, .dry_run = dry_run, .cancel = &cancel};
    const struct helper_held before = helper_held_now();
    const int result = prune_run(&options, ret_result, err);
    helper_held_expect(&before);
    return result;
}

/* Without any fault. */
static void prune_well(struct prune_result *ret_result)
{
    struct error err;
    store_plan_nothing();
    if (prune(false, ret_result, &err) < 0)
        fail_msg("%s", err.text);
    for (size_t i = 0; i < ret_result->count; i++)
        if (ret_result->regions[i].error.kind != ERROR_NONE)
            fail_msg("%s", ret_result->regions[i].error.text);
}

/* Each backup that is there is whole, and the newest is there. */
static void check_sound(const char *region)
{
    CLEANUP(cancel_done) struct cancel cancel;
    CLEANUP(findings_freep) struct findings *findings = findings_new();
    struct verify_result result;
    struct error err;
    const struct finding *kept;
    size_t kept_count;
    store_plan_nothing();
    assert_int_equal(cancel_init(&cancel, &err), 0);
    const struct verify_options options = {.policy = helper.policy,
                                           .secrets = helper.secrets,
                                           .region = region,
                                           .sample = {.percent = 100, .seed = 1},
                                           .cancel = &cancel};
    if (verify_run(&options, findings, &result, &err) < 0)
        fail_msg("%s", err.text);
    if (findings_get(findings, false, &kept, &kept_count) > 0)
        fail_msg("%s: %s", kept[0].object ? kept[0].object : "", kept[0].text);
    assert_true(result.backups > 0);
    assert_true(exists((size_t)(region[1] - '0'), "manifests/" THIRD));
}

static void check_restores(const char *id)
{
    CLEANUP(cancel_done) struct cancel cancel;
    struct restore_result result;
    struct error err;
    char *scratch = helper_directory_new();
    CLEANUP(own_freep) char *to = own_format("%s/pg", scratch);
    assert_int_equal(cancel_init(&cancel, &err), 0);
    const struct restore_options options = {.policy = helper.policy,
                                            .secrets = helper.secrets,
                                            .to = to,
                                            .backup = id,
                                            .region = "r0",
                                            .cancel = &cancel};
    if (restore_run(&options, &result, &err) < 0)
        fail_msg("%s", err.text);
    helper_directory_expect(to, "postgresql.conf", id); /* each backup has another */
    helper_directory_remove(scratch);
}

/* Nothing of the removed ones is left but their markers, and all of the last. */
static void check_pruned(size_t region)
{
    assert_int_equal(count(region, "manifests/"), 1);
    assert_int_equal(count(region, "retired/"), 2);
    assert_int_equal(count(region, "packs/"), count(region, "packs/" THIRD "/"));
    assert_true(count(region, "packs/" THIRD "/") > 0);
    assert_int_equal(count(region, "wal/00000002/"), 1);
    assert_int_equal(count(region, "wal/00000002.history"), 1);
}

/* What prune does */

static void what_retention_does_not_keep_is_removed_everywhere(void **state)
{
    (void)state;
    CLEANUP(prune_result_done) struct prune_result result = {0}, again = {0};
    reset();
    const size_t packs = count(0, "packs/"), kept = count(0, "packs/" THIRD "/");
    prune_well(&result);
    assert_int_equal(result.count, REGIONS);
    for (size_t i = 0; i < REGIONS; i++) {
        const struct prune_region *region = &result.regions[i];
        assert_int_equal(region->decision_count, 3);
        assert_string_equal(region->decisions[0].id, THIRD);
        assert_int_equal(region->decisions[0].verdict.reasons,
                         1 << RETENTION_NEWEST | 1 << RETENTION_FULLS);
        assert_int_equal(region->decisions[2].verdict.reasons, 0);
        assert_true(region->decisions[2].retired);
        assert_int_equal(region->removed[PRUNE_MANIFESTS].count, 2);
        assert_int_equal(region->removed[PRUNE_PACKS].count, packs - kept);
        assert_int_equal(region->removed[PRUNE_WAL].count, 2);
        assert_true(region->removed[PRUNE_PACKS].bytes > 0);
        check_pruned(i);
    }
    check_sound("r0");
    check_sound("r1");
    check_restores(THIRD);
    prune_well(&again);
    for (int step = 0; step < PRUNE_STEPS; step++)
        assert_int_equal(again.regions[0].removed[step].count, 0);
}

static void a_dry_run_tells_the_same_and_changes_nothing(void **state)
{
    (void)state;
    struct error err;
    CLEANUP(prune_result_done) struct prune_result dry = {0}, wet = {0};
    reset();
    const size_t objects = count(0, "");
    store_plan_nothing();
    assert_int_equal(prune(true, &dry, &err), 0);
    assert_int_equal(count(0, ""), objects);
    prune_well(&wet);
    for (int step = 0; step < PRUNE_STEPS; step++) {
        assert_int_equal(dry.regions[0].removed[step].count, wet.regions[0].removed[step].count);
        assert_int_equal(dry.regions[0].removed[step].bytes, wet.regions[0].removed[step].bytes);
    }
    for (size_t i = 0; i < wet.regions[0].decision_count; i++)
        assert_int_equal(dry.regions[0].decisions[i].verdict.reasons,
                         wet.regions[0].decisions[i].verdict.reasons);
}

static void without_retention_no_backup_is_removed(void **state)
{
    (void)state;
    CLEANUP(prune_result_done) struct prune_result result = {0};
    reset();
    const size_t objects = count(0, "");
    helper.policy->retention = (struct retention_rules){0};
    prune_well(&result);
    helper.policy->retention = (struct retention_rules){.fulls = 1};
    assert_int_equal(count(0, ""), objects);
}

static void a_hold_and_a_damaged_manifest_keep_what_is_theirs(void **state)
{
    (void)state;
    CLEANUP(prune_result_done) struct prune_result held = {0}, damaged = {0};
    reset();
    CLEANUP(own_freep) char *repository = helper_repo_path(&helper, 1, "");
    helper_directory_write(repository, "holds/" FIRST, "");
    prune_well(&held);
    for (size_t i = 0; i < REGIONS; i++) {
        assert_true(exists(i, "manifests/" FIRST));
        assert_false(exists(i, "manifests/" SECOND));
    }
    check_sound("r0");
    check_restores(FIRST);
    reset();
    for (size_t i = 0; i < REGIONS; i++)
        helper_repo_damage(&helper, i, "manifests/" FIRST);
    const size_t packs = count(0, "packs/");
    prune_well(&damaged);
    assert_true(exists(0, "manifests/" FIRST));
    assert_false(exists(0, "manifests/" SECOND));
    assert_int_equal(count(0, "packs/"), packs);
    assert_true(text_starts_with(damaged.regions[0].packs_kept, "nobody knows"));
}

static void another_clusters_repository_is_refused(void **state)
{
    (void)state;
    struct error err;
    CLEANUP(prune_result_done) struct prune_result result = {0};
    reset();
    for (size_t i = 0; i < REGIONS; i++) {
        CLEANUP(own_freep) char *path = helper_repo_path(&helper, i, "repository.json");
        CLEANUP(buf_done) struct buf text = BUF(TEXT_MAX);
        assert_int_equal(buf_read_file(&text, AT_FDCWD, path, &err), 0);
        CLEANUP(own_freep) char *before = buf_string(&text);
        char *null = strstr(before, "null");
        assert_non_null(null);
        *null = '\0';
        CLEANUP(own_freep) char *after = own_format("%s\"theirs\"%s", before, null + 4);
        CLEANUP(own_freep) char *repository = helper_repo_path(&helper, i, "");
        helper_directory_write(repository, "repository.json", after);
    }
    helper.policy->cluster = "ours";
    store_plan_nothing();
    const int done = prune(false, &result, &err);
    helper.policy->cluster = NULL;
    assert_int_equal(done, -1);
    assert_int_equal(err.kind, ERROR_PERMANENT);
    assert_non_null(strstr(err.text, "theirs"));
}

/* Faults */

/* A prune with a fault at each call of r0, one after the other, until one comes through without
 * meeting it. Gives how many failed. */
static unsigned loop(enum store_fault fault, unsigned count_of_calls)
{
    unsigned failures = 0, n = 1, calls = 0;
    do {
        CLEANUP(prune_result_done) struct prune_result result = {0}, again = {0};
        struct error err;
        reset();
        store_plan_fault("r0", n, count_of_calls, fault);
        const int done = prune(false, &result, &err);
        calls = store_plan.calls;
        const bool failed = done < 0 || result.regions[0].error.kind != ERROR_NONE;
        failures += failed;
        check_sound("r0");
        check_sound("r1");
        if (done == 0) /* the other region was not kept from it */
            check_pruned(1);
        if (!failed && result.regions[0].locked_count == 0)
            check_pruned(0);
        prune_well(&again);
        check_pruned(0);
        check_pruned(1);
    } while (calls >= n++);
    check_restores(THIRD);
    return failures;
}

static void a_transient_failure_at_any_call_is_made_up_for(void **state)
{
    (void)state;
    assert_int_equal(loop(STORE_FAULT_TRANSIENT, 1), 0);
}

static void half_an_answer_at_any_call_is_made_up_for(void **state)
{
    (void)state;
    assert_int_equal(loop(STORE_FAULT_PARTIAL, 1), 0);
}

static void a_lost_answer_at_any_call_is_made_up_for(void **state)
{
    (void)state;
    assert_int_equal(loop(STORE_FAULT_LOST_ANSWER, 1), 0);
}

static void a_failure_at_any_call_leaves_what_is_kept_whole(void **state)
{
    (void)state;
    assert_in_range(loop(STORE_FAULT_PERMANENT, 1), NEEDED_CALLS, UINT32_MAX);
}

static void a_store_that_goes_away_at_any_call_leaves_what_is_kept_whole(void **state)
{
    (void)state;
    assert_in_range(loop(STORE_FAULT_TRANSIENT, FOR_GOOD), NEEDED_CALLS, UINT32_MAX);
}

static void a_locked_object_is_told_and_passed_over(void **state)
{
    (void)state;
    CLEANUP(prune_result_done) struct prune_result result = {0};
    struct error err;
    assert_int_equal(loop(STORE_FAULT_LOCKED, 1), 0);
    reset();
    const size_t objects = count(0, "");
    store_plan_fault("r0", 1, FOR_GOOD, STORE_FAULT_LOCKED);
    assert_int_equal(prune(false, &result, &err), 0);
    assert_int_equal(result.regions[0].error.kind, ERROR_NONE);
    assert_int_equal(result.regions[0].locked_count, 2); /* the manifests: no more is tried */
    assert_true(text_starts_with(result.regions[0].locked[0].object, "manifests/"));
    assert_string_equal(result.regions[0].locked[0].message, "locked until 9999-12-31T23:59:59Z");
    assert_int_equal(result.regions[0].decisions[2].verdict.reasons, 1 << RETENTION_LOCKED);
    assert_string_equal(result.regions[0].decisions[2].lock, "locked until 9999-12-31T23:59:59Z");
    assert_int_equal(count(0, ""), objects); /* not even markers: they serve as ever */
    check_pruned(1);
}

static void a_dry_run_tells_what_is_locked(void **state)
{
    (void)state;
    CLEANUP(prune_result_done) struct prune_result result = {0};
    struct error err;
    reset();
    const size_t objects = count(0, "");
    store_plan_fault("r0", 1, FOR_GOOD, STORE_FAULT_LOCKED);
    assert_int_equal(prune(true, &result, &err), 0);
    assert_int_equal(result.regions[0].locked_count, 2);
    assert_int_equal(result.regions[0].removed[PRUNE_MANIFESTS].count, 0);
    assert_int_equal(result.regions[0].removed[PRUNE_PACKS].count, 0);
    assert_int_equal(result.regions[1].removed[PRUNE_MANIFESTS].count, 2);
    assert_int_equal(count(0, ""), objects);
}

static unsigned death;

static void die_at(unsigned call)
{
    if (call == death)
        raise(SIGKILL);
}

static void killed_at_any_call_it_leaves_what_is_kept_whole(void **state)
{
    (void)state;
    int status;
    death = 0;
    do {
        CLEANUP(prune_result_done) struct prune_result again = {0};
        reset();
        death++;
        const pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            struct prune_result result;
            struct error err;
            store_plan_fault("r0", 0, 0, STORE_FAULT_PERMANENT);
            store_plan.watch = die_at;
            _exit(prune(false, &result, &err) == 0 ? EXIT_SUCCESS : EXIT_FAILURE);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
        check_sound("r0");
        check_sound("r1");
        prune_well(&again);
        check_pruned(0);
        check_pruned(1);
    } while (WIFSIGNALED(status));
    assert_in_range(death, NEEDED_CALLS, UINT32_MAX);
}

/* Backups of others */

static unsigned moment;      /* the call before which the other backup acts */
static bool commits;         /* in that moment */
static atomic_bool accepted; /* what it builds on was there and not retired */

/* As backup.c does it: the heartbeat, a look at the parent, and, long after that, another look and
 * the commit. */
static void build_on_first(unsigned call)
{
    if (call != moment)
        return;
    CLEANUP(own_freep) char *repository = helper_repo_path(&helper, 0, "");
    helper_directory_write(repository, "running/" OTHER "/0",
                           "{\"format\": 1, \"parent\": \"" FIRST "\", \"time\": \"\", "
                           "\"timeline\": 2, \"startLSN\": \"0/5000028\"}");
    accepted = !exists(0, "retired/" FIRST) && exists(0, "manifests/" FIRST);
    if (!commits || !accepted)
        return;
    struct error err;
    CLEANUP(manifest_done) struct manifest manifest = {0};
    CLEANUP(own_freep) char *text = NULL;
    if (repo_load_manifest(helper.repo, FIRST, &manifest, &err) < 0)
        fail_msg("%s", err.text);
    memcpy(manifest.id, OTHER, sizeof(OTHER));
    manifest.type = BACKUP_INCREMENTAL;
    if (manifest_format(&manifest, &text, &err) < 0 ||
        repo_put_sealed(helper.repo,
                        &(struct repo_blob){.kind = CONTAINER_MANIFEST,
                                            .name = "manifests/" OTHER,
                                            .plain = text,
                                            .size = strlen(text),
                                            .rule = PUT_NEW},
                        NULL, NULL, &err) < 0)
        fail_msg("%s", err.text);
    CLEANUP(own_freep) char *heartbeat = helper_repo_path(&helper, 0, "running/" OTHER "/0");
    assert_return_code(unlink(heartbeat), 0);
}

/* Gives how often the other backup found its parent. */
static unsigned loop_moments(void)
{
    unsigned found = 0, calls;
    moment = 0;
    do {
        CLEANUP(prune_result_done) struct prune_result result = {0};
        struct error err;
        reset();
        const size_t packs = count(0, "packs/" FIRST "/");
        moment++;
        accepted = false;
        store_plan_fault("r0", 0, 0, STORE_FAULT_PERMANENT);
        store_plan.watch = build_on_first;
        assert_int_equal(prune(false, &result, &err), 0);
        calls = store_plan.calls;
        found += accepted;
        if (accepted) /* it reads them as long as it runs, and refers to them once it is committed
                       */
            assert_int_equal(count(0, "packs/" FIRST "/"), packs);
        if (accepted && !exists(0, "retired/" FIRST)) /* its look before the commit finds nothing */
            assert_true(exists(0, "manifests/" FIRST));
    } while (calls >= moment);
    store_plan_nothing();
    return found;
}

static void a_backup_that_starts_at_any_moment_keeps_its_parent_or_learns_of_it(void **state)
{
    (void)state;
    commits = false;
    assert_in_range(loop_moments(), 2, UINT32_MAX);
}

static void a_backup_that_commits_at_any_moment_has_its_packs(void **state)
{
    (void)state;
    commits = true;
    assert_in_range(loop_moments(), 2, UINT32_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_retention_does_not_keep_is_removed_everywhere),
        cmocka_unit_test(a_dry_run_tells_the_same_and_changes_nothing),
        cmocka_unit_test(without_retention_no_backup_is_removed),
        cmocka_unit_test(a_hold_and_a_damaged_manifest_keep_what_is_theirs),
        cmocka_unit_test(another_clusters_repository_is_refused),
        cmocka_unit_test(a_transient_failure_at_any_call_is_made_up_for),
        cmocka_unit_test(half_an_answer_at_any_call_is_made_up_for),
        cmocka_unit_test(a_lost_answer_at_any_call_is_made_up_for),
        cmocka_unit_test(a_failure_at_any_call_leaves_what_is_kept_whole),
        cmocka_unit_test(a_store_that_goes_away_at_any_call_leaves_what_is_kept_whole),
        cmocka_unit_test(a_locked_object_is_told_and_passed_over),
        cmocka_unit_test(a_dry_run_tells_what_is_locked),
        cmocka_unit_test(killed_at_any_call_it_leaves_what_is_kept_whole),
        cmocka_unit_test(a_backup_that_starts_at_any_moment_keeps_its_parent_or_learns_of_it),
        cmocka_unit_test(a_backup_that_commits_at_any_moment_has_its_packs),
    };
    helper_directory_in_memory();
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
