// SPDX-License-Identifier: Apache-2.0
/*
 * Counters, gauges and histograms in Prometheus' text format (exposition format 0.0.4). A family is
 * declared once with its help and label names; series come into being when they are set. Names end
 * as Prometheus' conventions say (_total, _seconds, _bytes). Above METRICS_SERIES_MAX series
 * altogether new ones are dropped. From any thread.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

struct buf;
struct metrics;
struct metric_family;

enum { METRICS_LABELS_MAX = 6, METRICS_SERIES_MAX = 65536 };

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

struct metrics *metrics_new(void);
void metrics_freep(struct metrics **metrics);

/* labels: names, NULL-terminated (NULL: none); buckets: upper bounds in ascending order,
 * 0-terminated, for histograms. Lent texts must be static. The family is the metrics'. */
struct metric_family *metrics_declare(struct metrics *metrics, enum metric_type type,
                                      const char *name, const char *help, const char *const *labels,
                                      const double *buckets);

/* values: one a label, in their order (NULL without labels). */
void metric_add(struct metric_family *family, const char *const *values, double amount);
void metric_set(struct metric_family *family, const char *const *values, double value);
void metric_observe(struct metric_family *family, const char *const *values, double value);
/* Forgets all series whose first count label values are these: their object is gone. */
void metric_forget(struct metric_family *family, const char *const *values, size_t count);

/* Appends all families, sorted by name, series sorted by labels. */
MUST_CHECK int metrics_format(struct metrics *metrics, struct buf *ret_text, struct error *err);

/* process_resident_memory_bytes, process_cpu_seconds_total and process_open_fds of this process, as
 * Prometheus' client libraries name them; declared once, refreshed by each update (from /proc; what
 * cannot be read keeps its value). */
struct metrics_process {
    struct metric_family *resident, *cpu, *fds;
};
void metrics_process_declare(struct metrics_process *process, struct metrics *metrics);
void metrics_process_update(const struct metrics_process *process);
