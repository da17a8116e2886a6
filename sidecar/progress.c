// SPDX-License-Identifier: Apache-2.0
#include "sidecar/progress.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/own.h"
#include "common/text.h"

enum { TERMINAL_INTERVAL_MS = 200, LOG_INTERVAL_MS = 30000, JSON_INTERVAL_MS = 1000 };

struct progress {
    const char *verb;
    enum progress_mode mode;
    int interval_ms;
    int64_t started_ms; /* monotonic */
    _Atomic int64_t next_ms;
    _Atomic uint64_t total_bytes, done_bytes, done_files;
    _Atomic(const char *) phase;
    pthread_mutex_t lock; /* one line at a time */
};

/* "  46 %  1.4 GB of 3.0 GB, 620 MB/s, 3 s left" */
static void draw(const struct progress *progress, uint64_t done, uint64_t total, int64_t elapsed_ms)
{
    char done_text[16], total_text[16], rate_text[16], left_text[24];
    uint64_t rate = elapsed_ms > 0 ? done * 1000 / (uint64_t)elapsed_ms : 0;
    text_size(done, done_text);
    text_size(rate, rate_text);
    if (total == 0) {
        fprintf(stderr, "\r\033[K%s: %s, %s/s", progress->verb, done_text, rate_text);
        return;
    }
    if (done > total)
        done = total; /* files grow */
    text_size(total, total_text);
    text_duration(rate > 0 ? (int64_t)((total - done) * 1000 / rate) : 0, left_text);
    fprintf(stderr, "\r\033[K%s: %3d %%  %s of %s, %s/s, %s left", progress->verb,
            (int)(done * 100 / total), done_text, total_text, rate_text, left_text);
}

/* The log writes whole lines at once, and so does this. */
static void print_json(const struct progress *progress, uint64_t done, uint64_t total)
{
    dprintf(STDERR_FILENO,
            "{\"progress\":{\"phase\":\"%s\",\"bytes\":%" PRIu64 ",\"totalBytes\":%" PRIu64
            ",\"files\":%" PRIu64 "}}\n",
            atomic_load(&progress->phase), done, total, atomic_load(&progress->done_files));
}

static void show(struct progress *progress)
{
    uint64_t done = atomic_load(&progress->done_bytes), total = atomic_load(&progress->total_bytes);
    int64_t elapsed_ms = clock_monotonic_ms() - progress->started_ms;
    pthread_mutex_lock(&progress->lock);
    if (progress->mode == PROGRESS_TERMINAL)
        draw(progress, done, total, elapsed_ms);
    else if (progress->mode == PROGRESS_JSON)
        print_json(progress, done, total);
    else
        log_info("Made progress", S("job", progress->verb), U("bytes", done),
                 U("totalBytes", total), I("milliseconds", elapsed_ms));
    pthread_mutex_unlock(&progress->lock);
}

void progress_add(struct progress *progress, uint64_t bytes)
{
    if (!progress)
        return;
    atomic_fetch_add(&progress->done_bytes, bytes);
    int64_t now_ms = clock_monotonic_ms(), due_ms = atomic_load(&progress->next_ms);
    /* whoever moves the next time on shows this one */
    if (now_ms >= due_ms &&
        atomic_compare_exchange_strong(&progress->next_ms, &due_ms, now_ms + progress->interval_ms))
        show(progress);
}

void progress_add_file(struct progress *progress)
{
    if (progress)
        atomic_fetch_add(&progress->done_files, 1);
}

void progress_set_total(struct progress *progress, uint64_t total_bytes)
{
    if (progress)
        atomic_store(&progress->total_bytes, total_bytes);
}

void progress_set_phase(struct progress *progress, const char *phase)
{
    if (!progress)
        return;
    atomic_store(&progress->phase, phase);
    if (progress->mode == PROGRESS_JSON)
        show(progress);
}

void progress_freep(struct progress **progress)
{
    struct progress *p = TAKE(*progress);
    if (!p)
        return;
    if (p->mode == PROGRESS_TERMINAL)
        fputs("\r\033[K", stderr);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

struct progress *progress_new(const char *verb, enum progress_mode mode)
{
    static const int intervals_ms[] = {
        [PROGRESS_TERMINAL] = TERMINAL_INTERVAL_MS,
        [PROGRESS_LOG] = LOG_INTERVAL_MS,
        [PROGRESS_JSON] = JSON_INTERVAL_MS,
    };
    if (mode == PROGRESS_TERMINAL && !isatty(STDERR_FILENO))
        mode = PROGRESS_LOG;
    struct progress *progress = own_alloc(sizeof(*progress));
    progress->verb = verb;
    progress->mode = mode;
    progress->interval_ms = intervals_ms[mode];
    atomic_init(&progress->phase, "starting");
    progress->started_ms = clock_monotonic_ms();
    progress->next_ms = progress->started_ms + progress->interval_ms;
    pthread_mutex_init(&progress->lock, NULL);
    return progress;
}
