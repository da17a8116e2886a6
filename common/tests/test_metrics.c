// SPDX-License-Identifier: Apache-2.0
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/cancel.h"
#include "common/crew.h"
#include "common/metrics.h"
#include "common/own.h"

static const char *const policy_labels[] = {"namespace", "policy", NULL};

#define VALUES(...) ((const char *const[]){__VA_ARGS__})

static char *format(struct metrics *metrics)
{
    CLEANUP(buf_done) struct buf text = BUF(16 << 20);
    struct error err;
    if (metrics_format(metrics, &text, &err) < 0)
        fail_msg("%s", err.text);
    return buf_string(&text);
}

static void expect_text(struct metrics *metrics, const char *expected)
{
    CLEANUP(own_freep) char *text = format(metrics);
    assert_string_equal(text, expected);
}

static void families_and_series_are_sorted(void **state)
{
    (void)state;
    CLEANUP(metrics_freep) struct metrics *metrics = metrics_new();
    struct metric_family *up =
        metrics_declare(metrics, METRIC_GAUGE, "up_seconds", "Since when.", NULL, NULL);
    struct metric_family *runs = metrics_declare(metrics, METRIC_COUNTER, "runs_total",
                                                 "Runs by policy.", policy_labels, NULL);
    metric_set(up, NULL, 1.5);
    metric_add(runs, VALUES("shop", "b"), 1);
    metric_add(runs, VALUES("shop", "a"), 2);
    metric_add(runs, VALUES("bank", "z"), 0);
    metric_add(runs, VALUES("shop", "a"), 1);
    expect_text(metrics, "# HELP runs_total Runs by policy.\n# TYPE runs_total counter\n"
                         "runs_total{namespace=\"bank\",policy=\"z\"} 0\n"
                         "runs_total{namespace=\"shop\",policy=\"a\"} 3\n"
                         "runs_total{namespace=\"shop\",policy=\"b\"} 1\n"
                         "# HELP up_seconds Since when.\n# TYPE up_seconds gauge\n"
                         "up_seconds 1.5\n");
}

static void buckets_of_a_histogram_are_cumulated(void **state)
{
    (void)state;
    static const double bounds[] = {0.1, 1, 10, 0};
    static const char *const labels[] = {"kind", NULL};
    CLEANUP(metrics_freep) struct metrics *metrics = metrics_new();
    struct metric_family *took =
        metrics_declare(metrics, METRIC_HISTOGRAM, "took_seconds", "Time.", labels, bounds);
    metric_observe(took, VALUES("a"), 0.1); /* bounds are inclusive */
    metric_observe(took, VALUES("a"), 0.5);
    metric_observe(took, VALUES("a"), 0.75);
    metric_observe(took, VALUES("a"), 11);
    expect_text(metrics, "# HELP took_seconds Time.\n# TYPE took_seconds histogram\n"
                         "took_seconds_bucket{kind=\"a\",le=\"0.1\"} 1\n"
                         "took_seconds_bucket{kind=\"a\",le=\"1\"} 3\n"
                         "took_seconds_bucket{kind=\"a\",le=\"10\"} 3\n"
                         "took_seconds_bucket{kind=\"a\",le=\"+Inf\"} 4\n"
                         "took_seconds_sum{kind=\"a\"} 12.35\n"
                         "took_seconds_count{kind=\"a\"} 4\n");
}

static void a_histogram_without_labels_has_its_bound_alone(void **state)
{
    (void)state;
    static const double bounds[] = {1, 0};
    CLEANUP(metrics_freep) struct metrics *metrics = metrics_new();
    struct metric_family *family =
        metrics_declare(metrics, METRIC_HISTOGRAM, "h", "H.", NULL, bounds);
    metric_observe(family, NULL, 1);
    expect_text(metrics, "# HELP h H.\n# TYPE h histogram\nh_bucket{le=\"1\"} 1\n"
                         "h_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n");
}

static void label_values_and_numbers_are_written_as_the_format_wants(void **state)
{
    (void)state;
    static const char *const labels[] = {"x", NULL};
    CLEANUP(metrics_freep) struct metrics *metrics = metrics_new();
    struct metric_family *family =
        metrics_declare(metrics, METRIC_GAUGE, "odd", "Odd.", labels, NULL);
    metric_set(family, VALUES("a\"b\\c\nd"), INFINITY);
    metric_set(family, VALUES("b"), NAN);
    metric_set(family, VALUES("c"), -0.1);
    metric_set(family, VALUES("d"), 1234567890123.0);
    metric_set(family, VALUES("e"), 0.1 + 0.2);
    expect_text(metrics, "# HELP odd Odd.\n# TYPE odd gauge\n"
                         "odd{x=\"a\\\"b\\\\c\\nd\"} +Inf\n"
                         "odd{x=\"b\"} NaN\n"
                         "odd{x=\"c\"} -0.1\n"
                         "odd{x=\"d\"} 1234567890123\n"
                         "odd{x=\"e\"} 0.30000000000000004\n");
}

static void series_of_a_deleted_object_are_forgotten(void **state)
{
    (void)state;
    CLEANUP(metrics_freep) struct metrics *metrics = metrics_new();
    struct metric_family *family =
        metrics_declare(metrics, METRIC_GAUGE, "g", "G.", policy_labels, NULL);
    metric_forget(family, VALUES("shop"), 1); /* there is nothing yet */
    metric_set(family, VALUES("shop", "a"), 1);
    metric_set(family, VALUES("shop", "b"), 2);
    metric_set(family, VALUES("shop2", "b"), 3);
    metric_set(family, VALUES("bank", "b"), 4);
    metric_forget(family, VALUES("shop"), 1);
    metric_forget(family, VALUES("nobody"), 1);
    metric_forget(family, VALUES("shop2", "a"), 2);
    expect_text(metrics, "# HELP g G.\n# TYPE g gauge\n"
                         "g{namespace=\"bank\",policy=\"b\"} 4\n"
                         "g{namespace=\"shop2\",policy=\"b\"} 3\n");
}

static void too_many_series_cost_no_memory(void **state)
{
    (void)state;
    static const char *const labels[] = {"n", NULL};
    CLEANUP(metrics_freep) struct metrics *metrics = metrics_new();
    struct metric_family *family = metrics_declare(metrics, METRIC_GAUGE, "g", "G.", labels, NULL);
    for (unsigned n = 0; n < METRICS_SERIES_MAX; n++) {
        char name[16];
        snprintf(name, sizeof(name), "%06u", n);
        metric_set(family, VALUES(name), n);
    }
    metric_set(family, VALUES("one more"), 1);
    metric_set(family, VALUES("000007"), 70);
    CLEANUP(own_freep) char *text = format(metrics);
    assert_null(strstr(text, "one more"));
    assert_non_null(strstr(text, "g{n=\"000007\"} 70\n"));
    metric_forget(family, VALUES("000008"), 1);
    metric_set(family, VALUES("one more"), 1); /* there is room again */
    CLEANUP(own_freep) char *again = format(metrics);
    assert_non_null(strstr(again, "one more"));
}

static void a_text_that_does_not_fit_is_an_error(void **state)
{
    (void)state;
    CLEANUP(metrics_freep) struct metrics *metrics = metrics_new();
    metric_set(metrics_declare(metrics, METRIC_GAUGE, "g", "G.", NULL, NULL), NULL, 1);
    CLEANUP(buf_done) struct buf text = BUF(10);
    struct error err;
    assert_int_equal(metrics_format(metrics, &text, &err), -1);
    assert_int_equal(err.kind, ERROR_PERMANENT);
}

static double value_of(const char *text, const char *name)
{
    CLEANUP(own_freep) char *start = own_format("\n%s ", name);
    const char *line = strstr(text, start);
    assert_non_null(line);
    return strtod(line + strlen(start), NULL);
}

static void the_process_tells_its_memory_time_and_files(void **state)
{
    (void)state;
    CLEANUP(metrics_freep) struct metrics *metrics = metrics_new();
    struct metrics_process process;
    metrics_process_declare(&process, metrics);
    metrics_process_update(&process);
    CLEANUP(own_freep) char *text = format(metrics);
    double resident = value_of(text, "process_resident_memory_bytes");
    assert_true(resident > 100e3 && resident < 10e9);
    assert_true(value_of(text, "process_cpu_seconds_total") > 0);
    double fds = value_of(text, "process_open_fds");
    struct cancel cancel; /* one more file descriptor */
    struct error err;
    assert_int_equal(cancel_init(&cancel, &err), 0);
    metrics_process_update(&process);
    cancel_done(&cancel);
    CLEANUP(own_freep) char *again = format(metrics);
    assert_true(value_of(again, "process_open_fds") == fds + 1);
}

static int add_many(void *family, struct error *err)
{
    (void)err;
    for (int i = 0; i < 1000; i++)
        metric_add(family, VALUES("a", i % 2 ? "x" : "y"), 1);
    return 0;
}

static void threads_may_add_at_the_same_time(void **state)
{
    (void)state;
    CLEANUP(metrics_freep) struct metrics *metrics = metrics_new();
    struct metric_family *family =
        metrics_declare(metrics, METRIC_COUNTER, "c_total", "C.", policy_labels, NULL);
    struct cancel cancel;
    struct error err;
    assert_int_equal(cancel_init(&cancel, &err), 0);
    CLEANUP(crew_freep) struct crew *crew = crew_new(&cancel);
    for (int i = 0; i < 4; i++)
        assert_int_equal(crew_start(crew, "adder", add_many, family, &err), 0);
    assert_int_equal(crew_join(crew, &err), 0);
    cancel_done(&cancel);
    CLEANUP(own_freep) char *text = format(metrics);
    assert_non_null(strstr(text, "policy=\"x\"} 2000\n"));
    assert_non_null(strstr(text, "policy=\"y\"} 2000\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(families_and_series_are_sorted),
        cmocka_unit_test(buckets_of_a_histogram_are_cumulated),
        cmocka_unit_test(a_histogram_without_labels_has_its_bound_alone),
        cmocka_unit_test(label_values_and_numbers_are_written_as_the_format_wants),
        cmocka_unit_test(series_of_a_deleted_object_are_forgotten),
        cmocka_unit_test(too_many_series_cost_no_memory),
        cmocka_unit_test(a_text_that_does_not_fit_is_an_error),
        cmocka_unit_test(the_process_tells_its_memory_time_and_files),
        cmocka_unit_test(threads_may_add_at_the_same_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
