// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/cancel.h"
#include "common/crew.h"
#include "common/fifo.h"
#include "common/log.h"
#include "common/metrics.h"
#include "common/own.h"
#include "operator/controller.h"
#include "operator/kube.h"
#include "operator/kube_config.h"
#include "operator/tests/helper_kube.h"

enum { PATIENCE_MS = 20000, CALLS_MAX = 64, LOG_MAX = 65536 };

struct fixture {
    struct controller controller;
    struct cancel cancel;
    struct crew *crew;
    struct fifo *calls; /* "backup shop/b" */
    struct script_server *server;
    struct kube_config *config;
    int log;
};

static struct fixture *f; /* reconcilers have no argument of the test's */
static atomic_int failures_left;

static void called(const char *kind, const char *namespace, const char *name)
{
    struct error err;
    char *text = own_format("%s %s/%s", kind, namespace, name);
    if (fifo_push(f->calls, text, &err) < 0)
        free(text);
}

static int look_at_policy(const struct reconcile *reconcile, const char *namespace,
                          const char *name, int64_t *ret_again_ms, struct error *err)
{
    (void)err;
    (void)reconcile;
    called("policy", namespace, name);
    *ret_again_ms = strcmp(name, "soon") == 0 ? 1 : 0;
    return 0;
}

static int look_at_backup(const struct reconcile *reconcile, const char *namespace,
                          const char *name, int64_t *ret_again_ms, struct error *err)
{
    (void)reconcile, (void)ret_again_ms;
    called("backup", namespace, name);
    if (atomic_fetch_sub(&failures_left, 1) > 0)
        return error_set(err, ERROR_TRANSIENT, "not yet");
    return 0;
}

static int look_at_restore(const struct reconcile *reconcile, const char *namespace,
                           const char *name, int64_t *ret_again_ms, struct error *err)
{
    (void)reconcile, (void)namespace, (void)name, (void)ret_again_ms;
    cancel_trigger(&f->cancel);
    return cancel_check(&f->cancel, err);
}

static int set_up(void **state)
{
    struct error err;
    (void)state;
    f = own_alloc(sizeof(*f));
    failures_left = 0;
    f->log = memfd_create("log", MFD_CLOEXEC);
    log_set_fd(f->log);
    if (cancel_init(&f->cancel, &err) < 0)
        return -1;
    f->server = script_server_new(NULL, 0);
    f->config = script_server_config(f->server, "");
    struct reconcile *reconcile = &f->controller.reconcile;
    if (kube_new(&reconcile->kube, f->config, &f->cancel, &err) < 0)
        return -1;
    reconcile->metrics = metrics_new();
    reconcile->queue = workqueue_new(&f->cancel);
    f->controller.reconcilers[WORK_POLICY] = look_at_policy;
    f->controller.reconcilers[WORK_BACKUP] = look_at_backup;
    f->controller.reconcilers[WORK_RESTORE] = look_at_restore;
    f->controller.workers = 3;
    f->calls = fifo_new(CALLS_MAX, &f->cancel);
    f->crew = crew_new(&f->cancel);
    return controller_start(&f->controller, f->crew, &err);
}

static int tear_down(void **state)
{
    struct reconcile *reconcile = &f->controller.reconcile;
    (void)state;
    crew_freep(&f->crew);
    fifo_freep(&f->calls);
    workqueue_freep(&reconcile->queue);
    metrics_freep(&reconcile->metrics);
    kube_freep(&reconcile->kube);
    kube_config_freep(&f->config);
    script_server_freep(&f->server);
    cancel_done(&f->cancel);
    log_set_fd(STDERR_FILENO);
    own_closep(&f->log);
    own_freep(&f);
    return 0;
}

static void add(enum work_kind kind, const char *name)
{
    struct work_key key = work_key(kind, "shop", name);
    workqueue_add(f->controller.reconcile.queue, &key);
}

static void assert_called(const char *expected)
{
    struct error err;
    void *text = NULL;
    if (fifo_pop_within(f->calls, PATIENCE_MS, &text, &err) <= 0)
        fail_msg("not called: %s", expected);
    CLEANUP(own_freep) char *got = text;
    assert_string_equal(got, expected);
}

/* The workers end, as with every shutdown, without an error. */
static void end(void)
{
    struct error err;
    cancel_trigger(&f->cancel);
    assert_int_equal(crew_join(f->crew, &err), 0);
}

static void assert_metric(const char *line)
{
    struct error err;
    CLEANUP(buf_done) struct buf text = BUF(LOG_MAX);
    assert_int_equal(metrics_format(f->controller.reconcile.metrics, &text, &err), 0);
    CLEANUP(own_freep) char *all = buf_string(&text);
    if (!strstr(all, line))
        fail_msg("no '%s' in:\n%s", line, all);
}

static size_t count_logged(const char *part)
{
    struct error err;
    char text[LOG_MAX];
    size_t count = 0;
    ssize_t size = buf_pread(f->log, text, sizeof(text) - 1, 0, &err);
    assert_true(size >= 0);
    text[size] = '\0';
    for (const char *at = strstr(text, part); at; at = strstr(at + 1, part))
        count++;
    return count;
}

static void each_key_goes_to_the_reconciler_of_its_kind(void **state)
{
    (void)state;
    add(WORK_POLICY, "p");
    assert_called("policy shop/p");
    add(WORK_BACKUP, "b");
    assert_called("backup shop/b");
    end();
    assert_int_equal(count_logged("\n"), 0);
    assert_metric("lifeboat_reconcile_errors_total{kind=\"Backup\"} 0\n");
    assert_metric("lifeboat_reconcile_errors_total{kind=\"RestoreJob\"} 0\n");
    assert_metric("lifeboat_reconcile_seconds_count{kind=\"BackupPolicy\"} 1\n");
}

static void a_reconciler_is_called_again_when_it_asks(void **state)
{
    (void)state;
    add(WORK_POLICY, "soon");
    for (int i = 0; i < 3; i++)
        assert_called("policy shop/soon");
    end();
}

static void a_failure_is_logged_counted_and_tried_again(void **state)
{
    (void)state;
    failures_left = 1;
    add(WORK_BACKUP, "b");
    assert_called("backup shop/b");
    assert_called("backup shop/b");
    end();
    assert_int_equal(count_logged("\n"), 1);
    assert_int_equal(count_logged("\"message\":\"Failed to reconcile\""), 1);
    assert_int_equal(count_logged("\"error\":\"not yet\""), 1);
    assert_int_equal(count_logged("\"name\":\"b\""), 1);
    assert_metric("lifeboat_reconcile_errors_total{kind=\"Backup\"} 1\n");
}

static void what_was_cancelled_is_no_failure(void **state)
{
    struct error err;
    (void)state;
    add(WORK_RESTORE, "r");
    assert_int_equal(crew_join(f->crew, &err), 0);
    assert_int_equal(count_logged("\n"), 0);
    assert_metric("lifeboat_reconcile_errors_total{kind=\"RestoreJob\"} 0\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_key_goes_to_the_reconciler_of_its_kind, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_reconciler_is_called_again_when_it_asks, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_failure_is_logged_counted_and_tried_again, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_was_cancelled_is_no_failure, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
