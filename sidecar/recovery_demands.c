// SPDX-License-Identifier: Apache-2.0
#include "sidecar/recovery_demands.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "common/cancel.h"
#include "common/crew.h"
#include "common/own.h"
#include "sidecar/lsn.h"
#include "sidecar/pg_demands.h"
#include "sidecar/progress.h"
#include "sidecar/recovery_choice.h"
#include "sidecar/recovery_survey.h"
#include "sidecar/wal_search.h"

/* A thread reads so many at once; where its records go on behind them it reads another one. */
enum { STRETCH_SEGMENTS = 8 };

struct work {
    const struct recovery_way *way;
    struct wal_search search; /* all of it */
    atomic_size_t next;       /* stretch */
    pthread_mutex_t lock;
    struct pg_demands demands; /* guarded by it */
};

/* Where stretch number begins, or the end of all. */
static uint64_t stretch_start(const struct work *work, size_t number)
{
    const struct wal_search *search = &work->search;
    const uint64_t first = wal_segment_start(search->from, search->segment_bytes);
    const uint64_t bytes = STRETCH_SEGMENTS * (uint64_t)search->segment_bytes;
    if (number == 0)
        return search->from;
    if (number > (search->to - first) / bytes)
        return search->to;
    return first + number * bytes;
}

static int read_stretches(void *arg, struct error *err)
{
    struct work *work = arg;
    struct pg_demands found = {0};
    struct wal_search search = work->search;
    for (;;) {
        const size_t number = atomic_fetch_add(&work->next, 1);
        const uint64_t limit = stretch_start(work, number + 1);
        search.from = stretch_start(work, number);
        if (search.from >= limit)
            break;
        if (wal_search_demands(&search, limit, &found, err) < 0)
            return -1;
        progress_add(work->way->progress, limit - search.from);
    }
    pthread_mutex_lock(&work->lock);
    pg_demands_raise(&work->demands, &found);
    pthread_mutex_unlock(&work->lock);
    return 0;
}

static int run_crew(struct work *work, struct error *err)
{
    CLEANUP(crew_freep) struct crew *crew = crew_new(work->way->cancel);
    for (size_t i = 0; i < work->way->threads; i++)
        if (crew_start(crew, "wal-demands", read_stretches, work, err) < 0)
            return -1;
    return crew_join(crew, err);
}

int recovery_demands_find(const struct recovery_way *way, struct pg_demands *demands,
                          struct error *err)
{
    const struct recovery_choice *choice = way->choice;
    struct work work = {
        .way = way,
        .search =
            {
                .repo = way->survey->options.repo,
                .history = recovery_survey_history(way->survey, choice->timeline),
                .segment_bytes = choice->segment_bytes,
                .from = choice->from_lsn,
                .to = choice->to_lsn,
                .cancel = way->cancel,
            },
        .demands = *demands,
    };
    if (choice->from_lsn >= choice->to_lsn)
        return 0;
    pthread_mutex_init(&work.lock, NULL);
    const int result = run_crew(&work, err);
    pthread_mutex_destroy(&work.lock);
    *demands = work.demands;
    return result;
}
