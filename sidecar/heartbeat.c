// SPDX-License-Identifier: Apache-2.0
#include "sidecar/heartbeat.h"

#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/cancel.h"
#include "common/clock.h"
#include "common/crew.h"
#include "common/log.h"
#include "common/own.h"
#include "sidecar/heartbeat_note.h"
#include "sidecar/repo.h"

enum { INTERVAL_MS = 5 * 60 * 1000, DEAD_AFTER_MS = 60 * 60 * 1000 };

struct heartbeat {
    struct repo *repo;
    const char *backup_id;
    struct heartbeat_note note;
    const struct cancel *cancel; /* of the job */
    struct cancel stop;          /* of the thread alone */
    unsigned written;
    int64_t last_ms; /* monotonic */
};

static char *object_name(const struct heartbeat *heartbeat, unsigned n)
{
    return own_format("running/%s/%u", heartbeat->backup_id, n);
}

static int put_heartbeat(struct heartbeat *heartbeat, struct error *err)
{
    CLEANUP(own_freep) char *text = heartbeat_note_format(&heartbeat->note, clock_now_ms());
    CLEANUP(own_freep) char *name = object_name(heartbeat, heartbeat->written);
    struct store_bytes bytes = {.data = text, .size = strlen(text), .passing = true};
    digest_sha256(bytes.data, bytes.size, bytes.sha256);
    if (repo_put(heartbeat->repo, name, &bytes, PUT_NEW, err) < 0)
        return -1;
    heartbeat->written++;
    heartbeat->last_ms = clock_monotonic_ms();
    return 0;
}

/* One beat of the thread; a failure counts only when the last success is too old. */
static int beat(struct heartbeat *heartbeat, struct error *err)
{
    if (put_heartbeat(heartbeat, err) == 0)
        return 0;
    if (clock_monotonic_ms() - heartbeat->last_ms > DEAD_AFTER_MS)
        return error_wrap(err, "no heartbeat could be written for an hour");
    log_warn("Could not write a heartbeat", S("backup", heartbeat->backup_id),
             S("error", err->text));
    return 0;
}

static int heartbeat_main(void *arg, struct error *err)
{
    struct heartbeat *heartbeat = arg;
    for (;;) {
        int stopped = cancel_poll(heartbeat->cancel, heartbeat->stop.fd, POLLIN, INTERVAL_MS, err);
        if (stopped != 0)
            return stopped < 0 ? -1 : 0;
        if (beat(heartbeat, err) < 0)
            return -1;
    }
}

int heartbeat_check(struct heartbeat *heartbeat, struct error *err)
{
    struct regions *regions = heartbeat->repo->regions;
    CLEANUP(own_freep) char *name = object_name(heartbeat, 0);
    CLEANUP(own_freep) char *full = repo_full_name(heartbeat->repo, name);
    for (size_t i = 0; i < regions_count(regions); i++) {
        const struct region *region = regions_at(regions, i);
        bool there;
        if (!region->writable || !regions_usable(regions, i))
            continue;
        if (store_has(region->store, full, &there, err) < 0) {
            if (regions_lose(regions, i, err) < 0)
                return -1;
        } else if (!there) {
            return error_set(err, ERROR_CONFLICT,
                             "its heartbeats were removed from region '%s': it was silent for so "
                             "long that it was taken for dead",
                             region->name);
        }
    }
    return 0;
}

void heartbeat_stop(struct heartbeat *heartbeat)
{
    cancel_trigger(&heartbeat->stop);
}

void heartbeat_remove(struct heartbeat *heartbeat)
{
    struct regions *regions = heartbeat->repo->regions;
    for (unsigned n = 0; n < heartbeat->written; n++) {
        CLEANUP(own_freep) char *name = object_name(heartbeat, n);
        CLEANUP(own_freep) char *full = repo_full_name(heartbeat->repo, name);
        for (size_t i = 0; i < regions_count(regions); i++) {
            struct error err;
            if (regions_at(regions, i)->writable && regions_usable(regions, i) &&
                store_remove(regions_at(regions, i)->store, full, &err) < 0)
                log_warn("Left a heartbeat behind", S("object", name), S("error", err.text));
        }
    }
}

void heartbeat_freep(struct heartbeat **heartbeat)
{
    struct heartbeat *h = TAKE(*heartbeat);
    if (!h)
        return;
    cancel_done(&h->stop);
    free(h);
}

int heartbeat_start(struct heartbeat *heartbeat, struct crew *crew, const struct cancel *cancel,
                    struct error *err)
{
    heartbeat->cancel = cancel;
    return crew_start(crew, "heartbeat", heartbeat_main, heartbeat, err);
}

int heartbeat_new(struct heartbeat **ret_heartbeat, struct repo *repo, const char *backup_id,
                  const struct heartbeat_note *note, struct error *err)
{
    CLEANUP(own_freep) struct heartbeat *heartbeat = own_alloc(sizeof(*heartbeat));
    heartbeat->repo = repo;
    heartbeat->backup_id = backup_id;
    heartbeat->note = *note;
    if (cancel_init(&heartbeat->stop, err) < 0)
        return -1;
    if (put_heartbeat(heartbeat, err) < 0) {
        cancel_done(&heartbeat->stop);
        return -1;
    }
    *ret_heartbeat = TAKE(heartbeat);
    return 0;
}
