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
    _Atomic int64_t phase_ms, next_ms; /* monotonic: the start of the phase, the next line */
    _Atomic uint64_t total_bytes, done_bytes, done_files;
    _Atomic uint64_t phase_bytes; /* that were done before the phase */
    _Atomic(const char *) phase;
    pthread_mutex_t lock; /* one line at a time, and: */
    char note[PROGRESS_NOTE_BYTES];
};

/* A moment of the work. */
struct moment {
    const char *phase;
    uint64_t done, total, rate; /* bytes; in a second, of the phase alone */
    int64_t elapsed_ms;         /* since the phase began */
};

static struct moment look(const struct progress *progress)
{
    struct moment now = {
        .phase = atomic_load(&progress->phase),
        .done = atomic_load(&progress->done_bytes),
        .total = atomic_load(&progress->total_bytes),
        .elapsed_ms = clock_monotonic_ms() - atomic_load(&progress->phase_ms),
    };
    const uint64_t before = atomic_load(&progress->phase_bytes);
    if (now.elapsed_ms > 0 && now.done > before)
        now.rate = (now.done - before) * 1000 / (uint64_t)now.elapsed_ms;
    return now;
}

/* own_freep */
static char *describe(const struct moment *now)
{
    char done_text[16], total_text[16], rate_text[16], left_text[24];
    text_size(now->done, done_text);
    text_size(now->rate, rate_text);
    if (now->rate == 0 && now->done == 0)
        return own_strdup(now->phase);
    if (now->rate == 0)
        return own_format("%s, %s", now->phase, done_text);
    if (now->total == 0)
        return own_format("%s, %s/s", done_text, rate_text);
    const uint64_t done = now->done < now->total ? now->done : now->total; /* files grow */
    text_size(now->total, total_text);
    text_duration((int64_t)((now->total - done) * 1000 / now->rate), left_text);
    return own_format("%3d %%  %s of %s, %s/s, %s left", (int)(done * 100 / now->total), done_text,
                      total_text, rate_text, left_text);
}

/* "Backing up:  46 %  1.4 GB of 3.0 GB, 620 MB/s, 3 s left", "Backing up: finishing, 3.0 GB": one
 * line of a terminal of 80 columns, written at once. */
static void draw(const struct progress *progress, const struct moment *now)
{
    CLEANUP(own_freep) char *text = describe(now);
    dprintf(STDERR_FILENO, "\r\033[K%s: %s%s%s", progress->verb, text,
            progress->note[0] ? ", " : "", progress->note);
}

/* The log writes whole lines at once, and so does this. */
static void print_json(const struct progress *progress, const struct moment *now)
{
    dprintf(STDERR_FILENO,
            "{\"progress\":{\"phase\":\"%s\",\"bytes\":%" PRIu64 ",\"totalBytes\":%" PRIu64
            ",\"files\":%" PRIu64 "}}\n",
            now->phase, now->done, now->total, atomic_load(&progress->done_files));
}

static void show(struct progress *progress)
{
    const struct moment now = look(progress);
    pthread_mutex_lock(&progress->lock);
    if (progress->mode == PROGRESS_TERMINAL)
        draw(progress, &now);
    else if (progress->mode == PROGRESS_JSON)
        print_json(progress, &now);
    else
        log_info("Made progress", S("job", progress->verb), S("phase", now.phase),
                 U("bytes", now.done), U("totalBytes", now.total), U("bytesPerSecond", now.rate));
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
    atomic_store(&progress->phase_ms, clock_monotonic_ms());
    atomic_store(&progress->phase_bytes, atomic_load(&progress->done_bytes));
    if (progress->mode != PROGRESS_LOG)
        show(progress);
}

void progress_note(struct progress *progress, const char *note)
{
    if (!progress)
        return;
    pthread_mutex_lock(&progress->lock);
    snprintf(progress->note, sizeof(progress->note), "%s", note);
    pthread_mutex_unlock(&progress->lock);
    if (progress->mode == PROGRESS_TERMINAL)
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
    progress->phase_ms = clock_monotonic_ms();
    progress->next_ms = progress->phase_ms + progress->interval_ms;
    pthread_mutex_init(&progress->lock, NULL);
    return progress;
}
