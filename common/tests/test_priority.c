// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <linux/ioprio.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/own.h"
#include "common/priority.h"

/* What a thread finds of itself. */
struct finding {
    enum priority steps[2]; /* what it asks for, one after the other */
    bool failed;
    int nice;
    unsigned long io;
};

static void *look(void *arg)
{
    struct finding *finding = arg;
    finding->nice = getpriority(PRIO_PROCESS, 0);
    finding->io = (unsigned long)syscall(SYS_ioprio_get, IOPRIO_WHO_PROCESS, 0);
    return NULL;
}

/* Lowers itself and lets a thread of its own look: a priority is worth nothing if the workers do
 * not have it. */
static void *lower(void *arg)
{
    struct finding *finding = arg;
    struct error err;
    pthread_t child;
    for (size_t i = 0; i < ARRAY_SIZE(finding->steps); i++)
        finding->failed |= priority_lower(finding->steps[i], &err) < 0;
    finding->failed |= pthread_create(&child, NULL, look, finding) != 0;
    if (!finding->failed)
        pthread_join(child, NULL);
    return NULL;
}

/* In a thread of its own, as what is lowered cannot be raised again. */
static struct finding find(enum priority first, enum priority second)
{
    struct finding finding = {.steps = {first, second}};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, lower, &finding), 0);
    pthread_join(thread, NULL);
    assert_false(finding.failed);
    return finding;
}

/* Tests may be run at a low priority themselves. */
static int at_least(int nice)
{
    int now = getpriority(PRIO_PROCESS, 0);
    return now > nice ? now : nice;
}

static void normal_changes_nothing(void **state)
{
    struct finding before = {0}, after = find(PRIORITY_NORMAL, PRIORITY_NORMAL);
    (void)state;
    look(&before);
    assert_int_equal(after.nice, before.nice);
    assert_int_equal(after.io, before.io);
}

static void low_is_nice_and_the_last_of_best_effort_for_all_threads(void **state)
{
    struct finding finding = find(PRIORITY_LOW, PRIORITY_NORMAL);
    (void)state;
    assert_int_equal(finding.nice, at_least(10));
    if (IOPRIO_PRIO_CLASS(finding.io) != IOPRIO_CLASS_IDLE) { /* unless the test runs in it */
        assert_int_equal(IOPRIO_PRIO_CLASS(finding.io), IOPRIO_CLASS_BE);
        assert_int_equal(IOPRIO_PRIO_DATA(finding.io), 7);
    }
}

static void idle_is_what_nobody_else_wants(void **state)
{
    struct finding finding = find(PRIORITY_IDLE, PRIORITY_NORMAL);
    (void)state;
    assert_int_equal(finding.nice, 19);
    assert_int_equal(IOPRIO_PRIO_CLASS(finding.io), IOPRIO_CLASS_IDLE);
}

static void what_is_idle_is_not_raised_to_low(void **state)
{
    struct finding finding = find(PRIORITY_IDLE, PRIORITY_LOW);
    (void)state;
    assert_int_equal(finding.nice, 19);
    assert_int_equal(IOPRIO_PRIO_CLASS(finding.io), IOPRIO_CLASS_IDLE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(normal_changes_nothing),
        cmocka_unit_test(low_is_nice_and_the_last_of_best_effort_for_all_threads),
        cmocka_unit_test(idle_is_what_nobody_else_wants),
        cmocka_unit_test(what_is_idle_is_not_raised_to_low),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
