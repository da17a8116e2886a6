// SPDX-License-Identifier: Apache-2.0
#include "common/metrics.h"

#include <assert.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/own.h"

enum { VALUE_BYTES = 32 };

struct series {
    char **values; /* one a label */
    double value;  /* of a histogram: the sum */
    uint64_t count;
    uint64_t *buckets; /* observations up to each bound, not cumulated */
};

struct metric_family {
    struct metrics *metrics; /* has the lock */
    enum metric_type type;
    const char *name, *help;
    const char *const *labels;
    size_t label_count;
    const double *bounds;
    size_t bound_count;
    struct series *series; /* sorted by values */
    size_t count, capacity;
};

struct metrics {
    pthread_mutex_t lock;
    struct metric_family **families; /* sorted by name */
    size_t count;
    size_t series_count; /* of all families */
};

static void series_done(struct series *series, size_t label_count)
{
    for (size_t i = 0; i < label_count; i++)
        free(series->values[i]);
    free(series->values);
    free(series->buckets);
}

static void family_free(struct metric_family *family)
{
    for (size_t i = 0; i < family->count; i++)
        series_done(&family->series[i], family->label_count);
    free(family->series);
    free(family);
}

static int compare(const struct series *series, const char *const *values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int order = strcmp(series->values[i], values[i]);
        if (order != 0)
            return order;
    }
    return 0;
}

/* The index of the first series whose first count values are not below these. */
static size_t lower_bound(const struct metric_family *family, const char *const *values,
                          size_t count)
{
    size_t low = 0, high = family->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare(&family->series[middle], values, count) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct series *insert(struct metric_family *family, size_t at, const char *const *values)
{
    if (family->count == family->capacity) {
        family->capacity = family->capacity ? 2 * family->capacity : 4;
        family->series = own_resize(family->series, family->capacity, sizeof(struct series));
    }
    struct series *series = &family->series[at];
    memmove(series + 1, series, (family->count - at) * sizeof(*series));
    *series = (struct series){.values = own_alloc((family->label_count + 1) * sizeof(char *))};
    for (size_t i = 0; i < family->label_count; i++)
        series->values[i] = own_strdup(values[i]);
    if (family->bound_count > 0)
        series->buckets = own_alloc(family->bound_count * sizeof(uint64_t));
    family->count++;
    family->metrics->series_count++;
    return series;
}

/* NULL when there are too many series: one more object must not cost the operator its memory. */
static struct series *find(struct metric_family *family, const char *const *values)
{
    size_t at = lower_bound(family, values, family->label_count);
    if (at < family->count && compare(&family->series[at], values, family->label_count) == 0)
        return &family->series[at];
    if (family->metrics->series_count >= METRICS_SERIES_MAX)
        return NULL;
    return insert(family, at, values);
}

static void observe(struct metric_family *family, struct series *series, double value)
{
    series->value += value;
    series->count++;
    for (size_t i = 0; i < family->bound_count; i++) {
        if (value <= family->bounds[i]) {
            series->buckets[i]++;
            return;
        }
    }
}

/* The text format: label values escape backslash, quote and line feed. */
static int put_escaped(struct buf *text, const char *value, struct error *err)
{
    for (size_t plain; *value; value += plain) {
        plain = strcspn(value, "\\\"\n");
        if (buf_append(text, value, plain, err) < 0)
            return -1;
        if (value[plain] == '\0')
            return 0;
        const char escaped[] = {'\\', value[plain] == '\n' ? 'n' : value[plain]};
        if (buf_append(text, escaped, sizeof(escaped), err) < 0)
            return -1;
        plain++;
    }
    return 0;
}

/* The shortest decimal that reads back as value; infinities and NaN have words of their own. */
static void format_value(double value, char ret_text[VALUE_BYTES])
{
    if (isnan(value) || isinf(value)) {
        snprintf(ret_text, VALUE_BYTES, "%s", isnan(value) ? "NaN" : value > 0 ? "+Inf" : "-Inf");
        return;
    }
    snprintf(ret_text, VALUE_BYTES, "%.15g", value);
    if (strtod(ret_text, NULL) != value)
        snprintf(ret_text, VALUE_BYTES, "%.17g", value);
}

struct line {
    const struct metric_family *family;
    const struct series *series;
    const char *suffix; /* of the name */
    const char *bound;  /* of a bucket, or NULL */
    double value;
};

static int put_labels(struct buf *text, const struct line *line, struct error *err)
{
    const struct metric_family *family = line->family;
    const char *before = "{";
    for (size_t i = 0; i < family->label_count; i++, before = ",") {
        if (buf_format(text, err, "%s%s=\"", before, family->labels[i]) < 0 ||
            put_escaped(text, line->series->values[i], err) < 0 ||
            buf_append(text, "\"", 1, err) < 0)
            return -1;
    }
    if (line->bound) {
        if (buf_format(text, err, "%sle=\"%s\"", before, line->bound) < 0)
            return -1;
        before = ",";
    }
    return *before == ',' ? buf_append(text, "}", 1, err) : 0;
}

static int put_line(struct buf *text, const struct line *line, struct error *err)
{
    char value[VALUE_BYTES];
    format_value(line->value, value);
    if (buf_format(text, err, "%s%s", line->family->name, line->suffix) < 0 ||
        put_labels(text, line, err) < 0)
        return -1;
    return buf_format(text, err, " %s\n", value);
}

static int put_histogram(struct buf *text, struct line line, struct error *err)
{
    const struct series *series = line.series;
    char bound[VALUE_BYTES];
    line.suffix = "_bucket";
    for (size_t i = 0; i < line.family->bound_count; i++) {
        format_value(line.family->bounds[i], bound);
        line.bound = bound;
        line.value += (double)series->buckets[i];
        if (put_line(text, &line, err) < 0)
            return -1;
    }
    const struct line rest[] = {
        {line.family, series, "_bucket", "+Inf", (double)series->count},
        {line.family, series, "_sum", NULL, series->value},
        {line.family, series, "_count", NULL, (double)series->count},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rest); i++)
        if (put_line(text, &rest[i], err) < 0)
            return -1;
    return 0;
}

static int put_family(struct buf *text, const struct metric_family *family, struct error *err)
{
    static const char *const types[] = {
        [METRIC_COUNTER] = "counter", [METRIC_GAUGE] = "gauge", [METRIC_HISTOGRAM] = "histogram"};
    if (buf_format(text, err, "# HELP %s %s\n# TYPE %s %s\n", family->name, family->help,
                   family->name, types[family->type]) < 0)
        return -1;
    for (size_t i = 0; i < family->count; i++) {
        struct line line = {family, &family->series[i], "", NULL, 0};
        int put;
        if (family->type == METRIC_HISTOGRAM) {
            put = put_histogram(text, line, err);
        } else {
            line.value = family->series[i].value;
            put = put_line(text, &line, err);
        }
        if (put < 0)
            return -1;
    }
    return 0;
}

static int put_families(const struct metrics *metrics, struct buf *text, struct error *err)
{
    for (size_t i = 0; i < metrics->count; i++)
        if (put_family(text, metrics->families[i], err) < 0)
            return -1;
    return 0;
}

int metrics_format(struct metrics *metrics, struct buf *ret_text, struct error *err)
{
    pthread_mutex_lock(&metrics->lock);
    int put = put_families(metrics, ret_text, err);
    pthread_mutex_unlock(&metrics->lock);
    return put < 0 ? error_wrap(err, "format metrics") : 0;
}

void metric_forget(struct metric_family *family, const char *const *values, size_t count)
{
    assert(count <= family->label_count);
    pthread_mutex_lock(&family->metrics->lock);
    size_t first = lower_bound(family, values, count), end = first;
    while (end < family->count && compare(&family->series[end], values, count) == 0)
        series_done(&family->series[end++], family->label_count);
    if (end > first)
        memmove(&family->series[first], &family->series[end],
                (family->count - end) * sizeof(struct series));
    family->count -= end - first;
    family->metrics->series_count -= end - first;
    pthread_mutex_unlock(&family->metrics->lock);
}

void metric_observe(struct metric_family *family, const char *const *values, double value)
{
    assert(family->type == METRIC_HISTOGRAM);
    pthread_mutex_lock(&family->metrics->lock);
    struct series *series = find(family, values);
    if (series)
        observe(family, series, value);
    pthread_mutex_unlock(&family->metrics->lock);
}

void metric_set(struct metric_family *family, const char *const *values, double value)
{
    assert(family->type != METRIC_HISTOGRAM);
    pthread_mutex_lock(&family->metrics->lock);
    struct series *series = find(family, values);
    if (series)
        series->value = value;
    pthread_mutex_unlock(&family->metrics->lock);
}

void metric_add(struct metric_family *family, const char *const *values, double amount)
{
    assert(family->type != METRIC_HISTOGRAM && (family->type == METRIC_GAUGE || amount >= 0));
    pthread_mutex_lock(&family->metrics->lock);
    struct series *series = find(family, values);
    if (series)
        series->value += amount;
    pthread_mutex_unlock(&family->metrics->lock);
}

/* Where a family of that name stands or belongs. */
static size_t family_place(const struct metrics *metrics, const char *name)
{
    size_t at = 0;
    while (at < metrics->count && strcmp(metrics->families[at]->name, name) < 0)
        at++;
    assert(at == metrics->count || strcmp(metrics->families[at]->name, name) != 0);
    return at;
}

struct metric_family *metrics_declare(struct metrics *metrics, enum metric_type type,
                                      const char *name, const char *help, const char *const *labels,
                                      const double *buckets)
{
    struct metric_family *family = own_alloc(sizeof(*family));
    *family = (struct metric_family){.metrics = metrics,
                                     .type = type,
                                     .name = name,
                                     .help = help,
                                     .labels = labels,
                                     .bounds = buckets};
    while (labels && labels[family->label_count])
        family->label_count++;
    while (buckets && buckets[family->bound_count] != 0)
        family->bound_count++;
    assert(family->label_count <= METRICS_LABELS_MAX);
    assert((type == METRIC_HISTOGRAM) == (family->bound_count > 0));
    pthread_mutex_lock(&metrics->lock);
    size_t at = family_place(metrics, name);
    metrics->families =
        own_resize(metrics->families, metrics->count + 1, sizeof(metrics->families[0]));
    memmove(&metrics->families[at + 1], &metrics->families[at],
            (metrics->count - at) * sizeof(metrics->families[0]));
    metrics->families[at] = family;
    metrics->count++;
    pthread_mutex_unlock(&metrics->lock);
    return family;
}

void metrics_freep(struct metrics **metrics)
{
    struct metrics *m = TAKE(*metrics);
    if (!m)
        return;
    for (size_t i = 0; i < m->count; i++)
        family_free(m->families[i]);
    free(m->families);
    pthread_mutex_destroy(&m->lock);
    free(m);
}

struct metrics *metrics_new(void)
{
    struct metrics *metrics = own_alloc(sizeof(*metrics));
    pthread_mutex_init(&metrics->lock, NULL);
    return metrics;
}
