// SPDX-License-Identifier: Apache-2.0
/*
 * The sign of life of a backup, whose hours pass at once: the linker puts __wrap_cancel_poll, which
 * moves a fake clock on, into the place of cancel_poll, and __wrap_store_open into that of
 * store_open (CMakeLists.txt).
 */
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/cancel.h"
#include "common/clock.h"
#include "common/crew.h"
#include "common/log.h"
#include "common/own.h"
#include "common/tests/helper_directory.h"
#include "sidecar/heartbeat.h"
#include "sidecar/heartbeat_note.h"
#include "sidecar/repo.h"
#include "sidecar/tests/helper_repo.h"
#include "sidecar/tests/helper_store_plan.h"

#define ID "20261121T082118Z-full-3fa2"

enum { MINUTE_MS = 60 * 1000, INTERVAL_MS = 5 * MINUTE_MS, FOR_GOOD = 1 << 20 };

static const int64_t start_ms = INT64_C(1795249278000);

static struct helper_repo helper;
static struct crew *crew;
static struct heartbeat *heartbeat;

static _Atomic int64_t now_ms;
static atomic_uint waits_left; /* that pass at once; then the thread waits as ever */
static sem_t last_wait;        /* it came to that */

int __real_cancel_poll(const struct cancel *cancel, int fd, short events, int timeout_ms,
                       struct error *err);
int __wrap_cancel_poll(const struct cancel *cancel, int fd, short events, int timeout_ms,
                       struct error *err);

int __wrap_cancel_poll(const struct cancel *cancel, int fd, short events, int timeout_ms,
                       struct error *err)
{
    if (timeout_ms != INTERVAL_MS)
        return __real_cancel_poll(cancel, fd, events, timeout_ms, err);
    if (waits_left == 0) {
        sem_post(&last_wait);
        return __real_cancel_poll(cancel, fd, events, -1, err);
    }
    waits_left--;
    now_ms += timeout_ms;
    clock_fake(now_ms);
    return __real_cancel_poll(cancel, fd, events, 0, err);
}

/* A backup that has begun, in a repository whose store fails from now on if it is to. */
static void begin(bool fails, unsigned waits)
{
    static const struct heartbeat_note note = {.timeline = 1, .start_lsn = 0x1000028};
    struct error err;
    store_plan_fault("r0", 0, 0, STORE_FAULT_TRANSIENT);
    if (helper_repo_reopen(&helper, true, HELPER_REPO_SYSTEM, &err) < 0)
        fail_msg("%s", err.text);
    const unsigned opening = store_plan.calls;
    store_plan_fault("r0", opening + 2, fails ? FOR_GOOD : 0, STORE_FAULT_TRANSIENT);
    if (helper_repo_reopen(&helper, true, HELPER_REPO_SYSTEM, &err) < 0 ||
        heartbeat_new(&heartbeat, helper.repo, ID, &note, &err) < 0)
        fail_msg("%s", err.text);
    waits_left = waits;
    crew = crew_new(&helper.cancel);
    assert_int_equal(heartbeat_start(heartbeat, crew, &helper.cancel, &err), 0);
}

static void wait_for_last(void)
{
    while (sem_wait(&last_wait) < 0)
        ;
}

static size_t count_heartbeats(void)
{
    struct error err;
    CLEANUP(repo_names_done) struct repo_names names = {0};
    if (repo_list(helper.repo, "running/" ID "/", &names, &err) < 0)
        fail_msg("%s", err.text);
    return names.count;
}

static int set_up(void **state)
{
    (void)state;
    helper_repo_open(&helper, 1, HELPER_REPO_SYSTEM);
    assert_return_code(sem_init(&last_wait, 0, 0), 0);
    now_ms = start_ms;
    clock_fake(start_ms);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    crew_freep(&crew);
    heartbeat_freep(&heartbeat);
    store_plan_nothing();
    helper_repo_close(&helper);
    sem_destroy(&last_wait);
    clock_fake(-1);
    return 0;
}

static void one_is_written_every_five_minutes_and_all_are_removed(void **state)
{
    (void)state;
    enum { WAITS = 30 };
    struct error err;
    begin(false, WAITS);
    wait_for_last();
    heartbeat_stop(heartbeat);
    assert_int_equal(crew_join(crew, &err), 0);
    assert_int_equal(count_heartbeats(), 1 + WAITS);
    assert_int_equal(heartbeat_check(heartbeat, &err), 0);
    heartbeat_remove(heartbeat);
    assert_int_equal(count_heartbeats(), 0);
}

static void an_hour_of_silence_is_no_matter(void **state)
{
    (void)state;
    struct error err;
    begin(true, 12);
    wait_for_last();
    assert_int_equal(now_ms - start_ms, 60 * MINUTE_MS);
    heartbeat_stop(heartbeat);
    assert_int_equal(crew_join(crew, &err), 0);
}

/* By then whoever prunes takes it for dead. */
static void a_backup_that_was_silent_for_more_than_an_hour_ends(void **state)
{
    (void)state;
    struct error err;
    begin(true, FOR_GOOD);
    assert_int_equal(crew_join(crew, &err), -1);
    assert_int_equal(now_ms - start_ms, 65 * MINUTE_MS);
    assert_non_null(strstr(err.text, "no heartbeat could be written for an hour"));
    assert_non_null(strstr(err.text, "fault of the test"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(one_is_written_every_five_minutes_and_all_are_removed),
        TEST(an_hour_of_silence_is_no_matter),
        TEST(a_backup_that_was_silent_for_more_than_an_hour_ends),
    };

    log_set_level(LOG_LEVEL_ERROR + 1);
    helper_directory_in_memory();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
