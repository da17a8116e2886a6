// SPDX-License-Identifier: Apache-2.0
#include "sidecar/prune_remove.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/cancel.h"
#include "common/crew.h"
#include "common/own.h"
#include "sidecar/prune_plan.h"
#include "sidecar/regions.h"
#include "sidecar/repo.h"
#include "sidecar/store.h"

struct work {
    struct prune_removal *removal;
    const struct prune_objects *objects;
    bool passing;
    atomic_size_t next;
    atomic_bool failed;
    pthread_mutex_t lock; /* guards what is counted in removal, and failure */
    struct error failure;
};

static void count(struct work *work, const struct repo_name *name)
{
    pthread_mutex_lock(&work->lock);
    work->removal->count++;
    work->removal->bytes += name->size;
    pthread_mutex_unlock(&work->lock);
}

static void pass_over(struct work *work, const struct repo_name *name, const char *why)
{
    struct prune_removal *removal = work->removal;
    pthread_mutex_lock(&work->lock);
    removal->locked =
        own_resize(removal->locked, removal->locked_count + 1, sizeof(removal->locked[0]));
    removal->locked[removal->locked_count++] =
        (struct prune_locked){own_strdup(name->name), own_strdup(why)};
    pthread_mutex_unlock(&work->lock);
}

/* Not to the crew: its cancel would end the other regions too. */
static void fail(struct work *work, const struct error *why)
{
    pthread_mutex_lock(&work->lock);
    if (!atomic_exchange(&work->failed, true))
        work->failure = *why;
    pthread_mutex_unlock(&work->lock);
}

/* Whether retention keeps an object. */
static int ask(struct work *work, const struct repo_name *name, const char *full, bool *ret_locked,
               struct error *err)
{
    char text[STORE_LOCK_TEXT_BYTES];
    int64_t until_ms = 0;
    if (!work->passing &&
        store_locked_until(work->removal->region->store, full, &until_ms, err) < 0)
        return -1;
    *ret_locked = until_ms > 0;
    if (until_ms > 0) {
        store_lock_text(until_ms, text);
        pass_over(work, name, text);
    }
    return 0;
}

/* A bucket with versions would only hide what is locked, so it is asked before. */
static int remove_one(struct work *work, const struct repo_name *name, struct error *err)
{
    const struct prune_removal *removal = work->removal;
    CLEANUP(own_freep) char *full = repo_full_name(removal->repo, name->name);
    bool locked;
    if (ask(work, name, full, &locked, err) < 0)
        return -1;
    if (locked)
        return 0;
    if (removal->dry_run || store_remove(removal->region->store, full, err) == 0)
        count(work, name);
    else if (err->kind == ERROR_CONFLICT)
        pass_over(work, name, err->text);
    else
        return -1;
    return 0;
}

static int work_main(void *arg, struct error *err)
{
    struct work *work = arg;
    for (size_t i; !atomic_load(&work->failed) &&
                   (i = atomic_fetch_add(&work->next, 1)) < work->objects->count;) {
        if (cancel_check(work->removal->cancel, err) < 0)
            return -1;
        if (remove_one(work, work->objects->names[i], err) < 0)
            fail(work, err);
    }
    return 0;
}

void prune_removal_done(struct prune_removal *removal)
{
    for (size_t i = 0; i < removal->locked_count; i++) {
        free(removal->locked[i].object);
        free(removal->locked[i].message);
    }
    free(removal->locked);
    removal->locked = NULL;
    removal->locked_count = 0;
}

const char *prune_removal_lock(const struct prune_removal *removal, const char *object)
{
    for (size_t i = 0; i < removal->locked_count; i++)
        if (strcmp(removal->locked[i].object, object) == 0)
            return removal->locked[i].message;
    return NULL;
}

int prune_remove(struct prune_removal *removal, const struct prune_objects *objects, bool passing,
                 struct error *err)
{
    struct work work = {.removal = removal,
                        .objects = objects,
                        .passing = passing,
                        .lock = PTHREAD_MUTEX_INITIALIZER};
    CLEANUP(crew_freep) struct crew *crew = crew_new(removal->cancel);
    for (size_t i = 0; i < removal->workers && i < objects->count; i++)
        if (crew_start(crew, "prune", work_main, &work, err) < 0)
            break; /* crew_join says it again */
    if (crew_join(crew, err) < 0)
        return -1;
    if (!atomic_load(&work.failed))
        return 0;
    *err = work.failure;
    return -1;
}
