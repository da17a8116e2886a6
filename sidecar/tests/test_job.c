// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/own.h"
#include "sidecar/job.h"
#include "sidecar/tests/helper_pod.h"

enum { PATIENCE_MS = 60000, TICK_MS = 1000, LOG_MAX = 1 << 20 };

static struct helper_pod pod;
static int log_file; /* what jobs pass on */

static int set_up(void **state)
{
    (void)state;
    helper_pod_open(&pod);
    log_file = memfd_create("log", MFD_CLOEXEC);
    assert_return_code(log_file, errno);
    log_set_fd(log_file);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    log_set_fd(STDERR_FILENO);
    close(log_file);
    helper_pod_close(&pod);
    return 0;
}

static struct job *start(const char *program, const char *const arguments[], int64_t deadline_ms)
{
    struct job *job;
    struct error err;
    const struct job_options options = {
        .name = "backup",
        .program = program,
        .arguments = arguments,
        .deadline_ms = deadline_ms,
    };
    if (job_start(&job, &options, &err) < 0)
        fail_msg("%s", err.text);
    return job;
}

/* A child that is a shell script. */
static struct job *start_script(const char *script, int64_t deadline_ms)
{
    const char *const arguments[] = {"-c", script, NULL};
    return start("/bin/sh", arguments, deadline_ms);
}

static void wait_once(const struct job *job)
{
    struct pollfd fds[JOB_POLL_FDS];
    const int64_t due_ms = job_due_ms(job), now_ms = clock_monotonic_ms();
    int left_ms = TICK_MS;
    if (due_ms - now_ms < left_ms)
        left_ms = due_ms > now_ms ? (int)(due_ms - now_ms) : 0;
    job_poll_fds(job, fds);
    poll(fds, JOB_POLL_FDS, left_ms);
}

static void wait_for_end(struct job *job)
{
    const int64_t until_ms = clock_monotonic_ms() + PATIENCE_MS;
    while (!job_step(job)) {
        assert_true(clock_monotonic_ms() < until_ms);
        wait_once(job);
    }
}

/* It failed like this. */
static void expect_failure(struct job *job, enum error_kind kind, const char *text)
{
    json_auto_t *result = NULL;
    struct error err;
    wait_for_end(job);
    assert_int_equal(job_result(job, &result, &err), -1);
    if (err.kind != kind || !strstr(err.text, text))
        fail_msg("'%s' (%s), not '%s' (%s)", err.text, error_kind_name(err.kind), text,
                 error_kind_name(kind));
}

static char *logged(void)
{
    CLEANUP(buf_done) struct buf text = BUF(LOG_MAX);
    uint8_t *space;
    struct error err;
    assert_int_equal(buf_reserve(&text, LOG_MAX, &space, &err), 0);
    const ssize_t size = buf_pread(log_file, space, LOG_MAX, 0, &err);
    assert_true(size >= 0);
    text.size = (size_t)size;
    return buf_string(&text);
}

static void a_result_comes_back(void **state)
{
    (void)state;
    CLEANUP(job_freep) struct job *job = start_script("echo '{\"a\": 1}'", 0);
    json_auto_t *result = NULL;
    struct error err;
    wait_for_end(job);
    assert_int_equal(job_result(job, &result, &err), 0);
    assert_int_equal(json_integer_value(json_object_get(result, "a")), 1);
    assert_false(job_is_doubtful(job));
}

static void our_own_program_says_why_it_failed(void **state)
{
    (void)state;
    CLEANUP(own_freep) char *policy = own_format("%s/none.yaml", pod.directory);
    const char *const arguments[] = {"list", "-f", policy, "-o", "json", NULL};
    CLEANUP(job_freep) struct job *job = start(pod.program, arguments, 0);
    expect_failure(job, ERROR_NOT_FOUND, "none.yaml");
    assert_false(job_is_doubtful(job));
    CLEANUP(own_freep) char *log = logged();
    assert_non_null(strstr(log, "\"Failed command\""));
}

static void a_signal_is_named(void **state)
{
    (void)state;
    CLEANUP(job_freep) struct job *killed = start_script("kill -9 $$", 0);
    expect_failure(killed, ERROR_TRANSIENT, "the backup was killed by signal 9 (out of memory?)");
    assert_true(job_is_doubtful(killed));
    CLEANUP(job_freep)
    struct job *crashed = start_script("echo 'assertion x failed' >&2; kill -ABRT $$", 0);
    expect_failure(crashed, ERROR_TRANSIENT, "killed by signal 6: assertion x failed");
}

static void an_end_without_a_word_is_named(void **state)
{
    (void)state;
    CLEANUP(job_freep) struct job *job = start_script("exit 3", 0);
    expect_failure(job, ERROR_PERMANENT, "the backup ended with status 3 and no result");
    CLEANUP(job_freep) struct job *torn = start_script("printf '{\"a\": '", 0);
    expect_failure(torn, ERROR_PERMANENT, "ended with status 0 and no result");
    const char *const arguments[] = {NULL};
    CLEANUP(job_freep) struct job *missing = start("/nowhere/at-all", arguments, 0);
    expect_failure(missing, ERROR_PERMANENT, "ended with status 127");
}

static void a_cancel_ends_it_with_its_reason(void **state)
{
    (void)state;
    CLEANUP(job_freep) struct job *job = start_script("exec sleep 1000", 0);
    job_cancel(job, "the policy was deleted", PATIENCE_MS);
    expect_failure(job, ERROR_CANCELED, "the backup was stopped: the policy was deleted");
}

static void one_that_ignores_a_cancel_is_killed(void **state)
{
    (void)state;
    CLEANUP(job_freep)
    struct job *job = start_script("trap '' TERM; echo up >&2; while :; do sleep 1; done", 0);
    for (;;) { /* until its trap is set */
        CLEANUP(own_freep) char *log = logged();
        if (strstr(log, "\"up\""))
            break;
        wait_once(job);
        assert_false(job_step(job));
    }
    const int64_t asked_ms = clock_monotonic_ms();
    job_cancel(job, "enough", 300);
    expect_failure(job, ERROR_CANCELED, "enough");
    assert_in_range(clock_monotonic_ms() - asked_ms, 250, 10000);
}

static void one_that_passes_its_deadline_is_killed(void **state)
{
    (void)state;
    CLEANUP(job_freep) struct job *job = start_script("exec sleep 1000", 100);
    expect_failure(job, ERROR_CANCELED, "passed its deadline");
}

static void an_endless_result_is_refused(void **state)
{
    (void)state;
    CLEANUP(job_freep) struct job *job = start_script("exec yes", 0);
    expect_failure(job, ERROR_CANCELED, "its result is too large");
}

static void log_events_pass_and_all_else_becomes_one(void **state)
{
    (void)state;
    CLEANUP(job_freep)
    struct job *job = start_script("echo '{\"level\":\"info\",\"message\":\"Did it\"}' >&2;"
                                   "printf 'bell \\007 and no end' >&2; echo '{}'",
                                   0);
    wait_for_end(job);
    CLEANUP(own_freep) char *log = logged();
    assert_non_null(strstr(log, "{\"level\":\"info\",\"message\":\"Did it\"}\n"));
    assert_non_null(strstr(log, "bell \\\\x07 and no end"));
    for (char *line = log, *end; (end = strchr(line, '\n')); line = end + 1) {
        json_auto_t *json = json_loadb(line, (size_t)(end - line), 0, NULL);
        assert_true(json_is_object(json));
    }
}

static void a_line_without_end_takes_bounded_memory(void **state)
{
    (void)state;
    CLEANUP(job_freep)
    struct job *job = start_script("head -c 5000000 /dev/zero | tr '\\0' x >&2; echo '{}'", 0);
    json_auto_t *result = NULL;
    struct error err;
    wait_for_end(job);
    assert_int_equal(job_result(job, &result, &err), 0);
    CLEANUP(own_freep) char *log = logged();
    assert_true(strlen(log) < 64 * 1024);
}

static void progress_is_kept_and_not_logged(void **state)
{
    (void)state;
    CLEANUP(job_freep)
    struct job *job = start_script("echo '{\"progress\":{\"phase\":\"copying\",\"bytes\":5,"
                                   "\"totalBytes\":9007199254740993,\"files\":2}}' >&2;"
                                   "echo '{\"progress\":{\"phase\":7}}' >&2; echo '{}'",
                                   0);
    wait_for_end(job);
    const struct job_progress *progress = job_progress(job);
    assert_string_equal(progress->phase, "copying");
    assert_int_equal(progress->bytes, 5);
    assert_int_equal(progress->total_bytes, 9007199254740993);
    assert_int_equal(progress->files, 2);
    CLEANUP(own_freep) char *log = logged();
    assert_string_equal(log, "");
}

static void how_it_goes_with_wal_is_kept_as_it_is(void **state)
{
    (void)state;
    CLEANUP(job_freep)
    struct job *job = start_script("echo '{\"archiving\":{\"mode\":\"hold\"}}' >&2;"
                                   "echo '{\"archiving\":{\"mode\":\"stream\"}}' >&2; echo '{}'",
                                   0);
    assert_null(job_archiving(job));
    wait_for_end(job);
    assert_string_equal(json_string_value(json_object_get(job_archiving(job), "mode")), "stream");
    CLEANUP(own_freep) char *log = logged();
    assert_string_equal(log, "");
}

static void the_kernel_is_told_to_take_it_first(void **state)
{
    (void)state;
    CLEANUP(job_freep)
    struct job *job = start_script("echo \"{\\\"score\\\": $(cat /proc/self/oom_score_adj)}\"", 0);
    json_auto_t *result = NULL;
    struct error err;
    wait_for_end(job);
    assert_int_equal(job_result(job, &result, &err), 0);
    assert_int_equal(json_integer_value(json_object_get(result, "score")), 1000);
}

static void no_descriptor_of_ours_is_inherited(void **state)
{
    (void)state;
    CLEANUP(own_closep) int leaky = open("/dev/null", O_RDONLY); /* not O_CLOEXEC */
    CLEANUP(job_freep)
    struct job *job = start_script("for fd in /proc/$$/fd/*; do last=${fd##*/}; "
                                   "case $last in [012]) ;; *) [ -e $fd ] && echo $last >&2;; "
                                   "esac; done; echo '{}'",
                                   0);
    assert_return_code(leaky, errno);
    wait_for_end(job);
    CLEANUP(own_freep) char *log = logged();
    assert_string_equal(log, "");
}

static void one_that_is_dropped_is_gone(void **state)
{
    (void)state;
    struct pollfd fds[JOB_POLL_FDS];
    struct job *job = start_script("exec sleep 1000", 0);
    job_poll_fds(job, fds);
    const int pidfd = dup(fds[0].fd);
    job_freep(&job);
    assert_int_equal(poll(&(struct pollfd){.fd = pidfd, .events = POLLIN}, 1, 0), 1);
    close(pidfd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_result_comes_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(our_own_program_says_why_it_failed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_signal_is_named, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_end_without_a_word_is_named, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_cancel_ends_it_with_its_reason, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_that_ignores_a_cancel_is_killed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_that_passes_its_deadline_is_killed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_endless_result_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(log_events_pass_and_all_else_becomes_one, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_line_without_end_takes_bounded_memory, set_up, tear_down),
        cmocka_unit_test_setup_teardown(progress_is_kept_and_not_logged, set_up, tear_down),
        cmocka_unit_test_setup_teardown(how_it_goes_with_wal_is_kept_as_it_is, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_kernel_is_told_to_take_it_first, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_descriptor_of_ours_is_inherited, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_that_is_dropped_is_gone, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
