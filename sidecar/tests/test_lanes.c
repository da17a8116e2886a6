// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/fifo.h"
#include "common/log.h"
#include "common/own.h"
#include "sidecar/lanes.h"
#include "sidecar/repo.h"
#include "sidecar/tests/helper_repo.h"
#include "sidecar/tests/helper_store.h"
#include "sidecar/tests/helper_store_fault.h"
#include "sidecar/upload.h"

enum {
    BUFFERS = 3,
    PACKS = 4 * BUFFERS, /* so that a region that keeps buffers is waited for */
    THREADS = 2,
    SOON_MS = 30,             /* a patience for regions that hang for ever */
    LONG_MS = 10 * 60 * 1000, /* longer than any test */
    FOR_GOOD = 1 << 20,
};

static struct helper_repo helper;
static struct lanes *lanes;
static struct upload *upload;

static void open_lanes(int64_t patience_ms)
{
    struct error err;
    const struct lanes_options options = {
        .regions = helper.regions,
        .cancel = &helper.cancel,
        .threads = THREADS,
        .packs = BUFFERS,
        .patience_ms = patience_ms,
    };
    assert_int_equal(lanes_new(&lanes, &options, &err), 0);
    helper.repo->lanes = lanes;
    upload = upload_new(helper.repo, BUFFERS, &helper.cancel);
}

static void open_regions(size_t count, unsigned quorum, int64_t patience_ms)
{
    struct error err;
    helper_repo_prepare(&helper, count, quorum);
    if (helper_repo_reopen(&helper, true, HELPER_REPO_SYSTEM, &err) < 0)
        fail_msg("%s", err.text);
    open_lanes(patience_ms);
}

/* Between puts. Only with one that hangs from then on is another patience than a long one certain
 * to meet that one alone, however busy the machine is. */
static void lose_patience(void)
{
    lanes_freep(&lanes);
    upload_freep(&upload);
    open_lanes(SOON_MS);
}

/* From its n-th call from now on. Between puts. */
static void spoil(size_t index, unsigned n, enum store_fault fault)
{
    struct region *region = regions_at(helper.regions, index);
    region->store = store_fault_wrap(region->store);
    store_fault_set(region->store, n, FOR_GOOD, fault);
}

static int tear_down(void **state)
{
    (void)state;
    lanes_freep(&lanes);
    upload_freep(&upload);
    helper_repo_close(&helper);
    return 0;
}

static void name_pack(uint32_t number, char ret_name[REPO_NAME_MAX])
{
    repo_pack_name("20261121T082118Z-full-3fa2", number, ret_name);
}

/* Packs first to last, as a packer makes them. */
static int put_packs(uint32_t first, uint32_t last, struct error *err)
{
    for (uint32_t i = first; i <= last; i++) {
        char name[REPO_NAME_MAX];
        uint8_t *buffer;
        if (upload_buffer(upload, &buffer, err) < 0)
            return -1;
        name_pack(i, name);
        memcpy(buffer, name, sizeof(name));
        struct store_bytes bytes = helper_store_bytes(buffer, sizeof(name));
        upload_submit(upload, buffer, name, sizeof(name), bytes.sha256);
    }
    return upload_finish(upload, err);
}

static int put_text(const char *name, struct error *err)
{
    struct store_bytes bytes = helper_store_text("text");
    return repo_put(helper.repo, name, &bytes, PUT_NEW, err);
}

static bool is_there(size_t region, const char *name)
{
    CLEANUP(own_freep) char *path = helper_repo_path(&helper, region, name);
    return access(path, F_OK) == 0;
}

static size_t count_packs(size_t region)
{
    size_t count = 0;
    for (uint32_t i = 1; i <= PACKS; i++) {
        char name[REPO_NAME_MAX];
        name_pack(i, name);
        count += is_there(region, name);
    }
    return count;
}

static void assert_lost(size_t region, const char *why)
{
    assert_false(regions_usable(helper.regions, region));
    const struct error *err = &regions_at(helper.regions, region)->error;
    if (!strstr(err->text, why))
        fail_msg("'%s' is not in '%s'", why, err->text);
    assert_in_range(regions_at(helper.regions, region)->lost_ms, 1, INT64_MAX);
}

static void every_region_gets_everything(void **state)
{
    (void)state;
    struct error err;
    open_regions(3, 1, LONG_MS);
    assert_int_equal(put_packs(1, PACKS, &err), 0);
    assert_int_equal(put_text("manifests/a", &err), 0);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(count_packs(i), PACKS);
        assert_true(is_there(i, "manifests/a"));
    }
    assert_int_equal(upload_stored_bytes(upload), PACKS * REPO_NAME_MAX); /* once, not thrice */
}

static void a_region_that_hangs_is_given_up_and_the_others_go_on(void **state)
{
    (void)state;
    struct error err;
    open_regions(3, 2, SOON_MS);
    spoil(1, 1, STORE_FAULT_HANG);
    assert_int_equal(put_packs(1, PACKS, &err), 0);
    assert_int_equal(put_text("manifests/a", &err), 0);
    assert_int_equal(count_packs(0), PACKS);
    assert_int_equal(count_packs(2), PACKS);
    assert_lost(1, "it lags");
    assert_false(is_there(1, "manifests/a"));
    assert_true(is_there(0, "manifests/a"));
    assert_false(cancel_requested(&helper.cancel));
}

static void a_region_that_hangs_in_the_middle_keeps_what_it_has_and_gets_no_manifest(void **state)
{
    (void)state;
    struct error err;
    open_regions(2, 1, LONG_MS);
    assert_int_equal(put_packs(1, PACKS / 2, &err), 0);
    spoil(1, 1, STORE_FAULT_HANG);
    lose_patience();
    assert_int_equal(put_packs(PACKS / 2 + 1, PACKS, &err), 0);
    assert_int_equal(put_text("manifests/a", &err), 0);
    assert_int_equal(count_packs(0), PACKS);
    assert_int_equal(count_packs(1), PACKS / 2);
    assert_lost(1, "it lags");
    assert_false(is_there(1, "manifests/a"));
}

static void a_region_that_hangs_at_the_commit_does_not_hold_it_back(void **state)
{
    (void)state;
    struct error err;
    open_regions(2, 1, LONG_MS);
    assert_int_equal(put_packs(1, PACKS, &err), 0);
    spoil(1, 1, STORE_FAULT_HANG);
    lose_patience();
    assert_int_equal(put_text("manifests/a", &err), 0);
    assert_int_equal(count_packs(1), PACKS);
    assert_true(is_there(0, "manifests/a"));
    assert_false(is_there(1, "manifests/a"));
    assert_lost(1, "it lags");
}

static void a_region_that_fails_in_the_middle_is_lost_with_its_error(void **state)
{
    (void)state;
    struct error err;
    open_regions(2, 1, LONG_MS);
    spoil(0, 3, STORE_FAULT_PERMANENT);
    assert_int_equal(put_packs(1, PACKS, &err), 0);
    assert_int_equal(put_text("manifests/a", &err), 0);
    assert_int_equal(count_packs(1), PACKS);
    assert_int_equal(count_packs(0), 2);
    assert_false(is_there(0, "manifests/a"));
    assert_lost(0, "fault of the test");
}

static void a_region_that_is_only_slower_is_waited_for(void **state)
{
    (void)state;
    struct error err;
    open_regions(2, 1, LONG_MS);
    spoil(1, 1, STORE_FAULT_SLOW);
    assert_int_equal(put_packs(1, PACKS, &err), 0);
    assert_int_equal(count_packs(0), PACKS);
    assert_int_equal(count_packs(1), PACKS);
    assert_true(regions_usable(helper.regions, 1));
}

static void a_region_that_the_quorum_needs_is_never_given_up(void **state)
{
    (void)state;
    struct error err;
    open_regions(2, 2, 1); /* no patience at all */
    spoil(1, 1, STORE_FAULT_SLOW);
    assert_int_equal(put_packs(1, PACKS, &err), 0);
    assert_int_equal(count_packs(1), PACKS);
    assert_true(regions_usable(helper.regions, 1));
}

static void a_quorum_that_is_lost_ends_the_job_and_says_why(void **state)
{
    (void)state;
    struct error err, elsewhere = {.kind = ERROR_CANCELED};
    open_regions(2, 2, LONG_MS);
    spoil(1, 3, STORE_FAULT_PERMANENT);
    assert_int_equal(put_packs(1, PACKS, &err), -1);
    assert_true(cancel_requested(&helper.cancel));
    lanes_explain(lanes, &err);
    assert_non_null(strstr(err.text, "fault of the test"));
    assert_non_null(strstr(err.text, "r1"));
    lanes_explain(lanes, &elsewhere);
    assert_int_equal(elsewhere.kind, ERROR_PERMANENT);
    assert_string_equal(elsewhere.text, err.text);
    struct error own = {.kind = ERROR_CORRUPT, .text = "its own"};
    lanes_explain(lanes, &own);
    assert_string_equal(own.text, "its own");
}

static void a_name_that_is_taken_ends_the_job(void **state)
{
    (void)state;
    struct error err;
    open_regions(2, 1, LONG_MS);
    assert_int_equal(put_text("manifests/a", &err), 0);
    assert_int_equal(put_text("manifests/a", &err), -1);
    assert_int_equal(err.kind, ERROR_CONFLICT);
    assert_true(cancel_requested(&helper.cancel));
}

static void nothing_is_stored_once_no_region_is_left(void **state)
{
    (void)state;
    struct error err;
    open_regions(1, 1, LONG_MS);
    spoil(0, 1, STORE_FAULT_PERMANENT);
    assert_int_equal(put_text("running/a", &err), -1);
    assert_int_equal(put_text("manifests/a", &err), -1);
    assert_non_null(strstr(err.text, "fault of the test"));
    assert_false(is_there(0, "manifests/a"));
}

static void *cancel_job(void *arg)
{
    cancel_trigger(arg);
    return NULL;
}

static void cancelling_ends_what_hangs_in_every_region(void **state)
{
    (void)state;
    struct error err;
    pthread_t thread;
    open_regions(2, 2, LONG_MS);
    spoil(0, 1, STORE_FAULT_HANG);
    spoil(1, 1, STORE_FAULT_HANG);
    assert_int_equal(pthread_create(&thread, NULL, cancel_job, &helper.cancel), 0);
    assert_int_equal(put_text("manifests/a", &err), -1);
    assert_int_equal(err.kind, ERROR_CANCELED);
    pthread_join(thread, NULL);
    assert_int_equal(put_packs(1, PACKS, &err), -1);
    assert_int_equal(err.kind, ERROR_CANCELED);
    assert_int_equal(lanes_explain(lanes, &err), -1);
    assert_int_equal(err.kind, ERROR_CANCELED);
}

static void *put_wal(void *arg)
{
    struct store_bytes bytes = helper_store_text("WAL");
    struct error *err = arg;
    const struct region_object object = {.name = "wal/a", .bytes = &bytes, .rule = PUT_SAME};
    if (repo_put_beside(helper.repo, &object, err) == 0)
        err->kind = ERROR_NONE;
    return NULL;
}

/* What is put beside the job does not judge, but whoever is held back by it does. */
static void a_region_that_hangs_with_what_is_put_beside_is_given_up_by_who_waits(void **state)
{
    (void)state;
    struct error err, beside = {0};
    pthread_t thread;
    void *none;
    CLEANUP(fifo_freep) struct fifo *nothing = fifo_new(1, &helper.cancel);
    open_regions(2, 1, SOON_MS);
    spoil(1, 1, STORE_FAULT_HANG);
    assert_int_equal(pthread_create(&thread, NULL, put_wal, &beside), 0);
    while (regions_usable(helper.regions, 1))
        assert_int_equal(repo_await(helper.repo, nothing, 1, &none, &err), 0);
    pthread_join(thread, NULL);
    assert_int_equal(beside.kind, ERROR_NONE);
    assert_true(is_there(0, "wal/a"));
    assert_lost(1, "it lags");
}

/* A region that lacks what a quorum has is given up when nothing comes from it. */
static void what_a_quorum_has_is_known_before_the_others_have_it(void **state)
{
    (void)state;
    struct error err;
    open_regions(3, 2, LONG_MS);
    CLEANUP(fifo_freep) struct fifo *done = fifo_new(1, &helper.cancel);
    const struct store_bytes bytes = helper_store_text("WAL");
    CLEANUP(own_freep) char *name = repo_full_name(helper.repo, "wal/a");
    struct lane_put put = {.object = {.name = name, .bytes = &bytes, .rule = PUT_SAME},
                           .done = done};
    void *item;
    spoil(1, 1, STORE_FAULT_HANG);
    lanes_submit(lanes, &put);
    while (!lanes_has_quorum(lanes, &put))
        assert_int_equal(fifo_pop_within(done, 1, &item, &err), 0);
    lanes_give_up(lanes, &put, LONG_MS);
    assert_true(regions_usable(helper.regions, 1));
    assert_int_equal(fifo_pop_within(done, 0, &item, &err), 0);
    lanes_give_up(lanes, &put, 0);
    assert_lost(1, "nothing good has come from it");
    assert_int_equal(fifo_pop_within(done, -1, &item, &err), 1);
    assert_int_equal(put.error.kind, ERROR_NONE);
    assert_true(regions_usable(helper.regions, 0) && regions_usable(helper.regions, 2));
}

/* A listing that is under way, or is wanted later, waits for a lost region no more than a put. */
static void a_region_that_was_given_up_is_not_listed_or_read(void **state)
{
    (void)state;
    struct error err;
    CLEANUP(repo_names_done) struct repo_names names = {0};
    open_regions(2, 1, SOON_MS);
    spoil(0, 1, STORE_FAULT_HANG);
    assert_int_equal(put_text("holds/a", &err), 0);
    assert_lost(0, "it lags");
    assert_int_equal(repo_list(helper.repo, "holds/", &names, &err), 0);
    assert_int_equal(names.count, 1);
    assert_int_equal(names.names[0].regions, 2);
    assert_int_equal(names.unlisted, 1);
    assert_non_null(strstr(names.unlisted_error.text, "it lags"));
}

static void a_region_that_cannot_be_listed_gets_nothing_more(void **state)
{
    (void)state;
    struct error err;
    CLEANUP(repo_names_done) struct repo_names names = {0};
    open_regions(2, 1, LONG_MS);
    spoil(1, 1, STORE_FAULT_TRANSIENT);
    assert_int_equal(repo_list(helper.repo, "holds/", &names, &err), 0);
    assert_lost(1, "fault of the test");
    assert_int_equal(put_text("holds/a", &err), 0);
    assert_false(is_there(1, "holds/a"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(name, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(every_region_gets_everything),
        TEST(a_region_that_hangs_is_given_up_and_the_others_go_on),
        TEST(a_region_that_hangs_in_the_middle_keeps_what_it_has_and_gets_no_manifest),
        TEST(a_region_that_hangs_at_the_commit_does_not_hold_it_back),
        TEST(a_region_that_fails_in_the_middle_is_lost_with_its_error),
        TEST(a_region_that_is_only_slower_is_waited_for),
        TEST(a_region_that_the_quorum_needs_is_never_given_up),
        TEST(a_quorum_that_is_lost_ends_the_job_and_says_why),
        TEST(a_name_that_is_taken_ends_the_job),
        TEST(nothing_is_stored_once_no_region_is_left),
        TEST(cancelling_ends_what_hangs_in_every_region),
        TEST(a_region_that_hangs_with_what_is_put_beside_is_given_up_by_who_waits),
        TEST(what_a_quorum_has_is_known_before_the_others_have_it),
        TEST(a_region_that_was_given_up_is_not_listed_or_read),
        TEST(a_region_that_cannot_be_listed_gets_nothing_more),
    };
    log_set_fd(open("/dev/null", O_WRONLY | O_CLOEXEC));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
