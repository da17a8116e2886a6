// SPDX-License-Identifier: Apache-2.0
#include "sidecar/copy_heartbeat.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/own.h"
#include "sidecar/heartbeat_note.h"
#include "sidecar/keys.h"
#include "sidecar/manifest.h"
#include "sidecar/repo.h"

enum { INTERVAL_MS = 5 * 60 * 1000 };

struct copy_heartbeat {
    struct repo *repo;
    char backup[BACKUP_ID_BYTES];
    struct heartbeat_note note;
    uint64_t first; /* of our numbers: nobody else has them */
    atomic_uint written;
    _Atomic int64_t due_ms; /* monotonic */
};

static char *object_name(const struct copy_heartbeat *heartbeat, unsigned n)
{
    return own_format("running/%s/%" PRIu64, heartbeat->backup, heartbeat->first + n);
}

static int put(struct copy_heartbeat *heartbeat, struct error *err)
{
    CLEANUP(own_freep) char *text = heartbeat_note_format(&heartbeat->note, clock_now_ms());
    CLEANUP(own_freep)
    char *name = object_name(heartbeat, atomic_fetch_add(&heartbeat->written, 1));
    struct store_bytes bytes = {.data = text, .size = strlen(text), .passing = true};
    digest_sha256(bytes.data, bytes.size, bytes.sha256);
    return repo_put(heartbeat->repo, name, &bytes, PUT_NEW, err);
}

int copy_heartbeat_beat(struct copy_heartbeat *heartbeat, struct error *err)
{
    const int64_t now_ms = clock_monotonic_ms();
    int64_t due_ms = atomic_load(&heartbeat->due_ms);
    /* whoever moves the time on puts this one */
    if (now_ms < due_ms ||
        !atomic_compare_exchange_strong(&heartbeat->due_ms, &due_ms, now_ms + INTERVAL_MS))
        return 0;
    return put(heartbeat, err);
}

bool copy_heartbeat_is_backups(const char *name)
{
    const char *number = strrchr(name, '/');
    return number && strtoull(number + 1, NULL, 10) < COPY_HEARTBEAT_FIRST;
}

static void remove_all(struct copy_heartbeat *heartbeat)
{
    struct regions *regions = heartbeat->repo->regions;
    for (unsigned n = 0; n < atomic_load(&heartbeat->written); n++) {
        CLEANUP(own_freep) char *name = object_name(heartbeat, n);
        CLEANUP(own_freep) char *full = repo_full_name(heartbeat->repo, name);
        for (size_t i = 0; i < regions_count(regions); i++) {
            struct error err;
            if (regions_usable(regions, i) &&
                store_remove(regions_at(regions, i)->store, full, &err) < 0)
                log_warn("Left a heartbeat behind", S("object", name), S("error", err.text));
        }
    }
}

void copy_heartbeat_freep(struct copy_heartbeat **heartbeat)
{
    struct copy_heartbeat *h = TAKE(*heartbeat);
    if (!h)
        return;
    remove_all(h);
    free(h);
}

int copy_heartbeat_new(struct copy_heartbeat **ret_heartbeat, struct repo *repo,
                       const struct manifest *manifest, struct error *err)
{
    uint32_t dice;
    if (key_random(&dice, sizeof(dice), err) < 0)
        return -1;
    CLEANUP(copy_heartbeat_freep) struct copy_heartbeat *heartbeat = own_alloc(sizeof(*heartbeat));
    heartbeat->repo = repo;
    heartbeat->first = COPY_HEARTBEAT_FIRST + (uint64_t)dice;
    memcpy(heartbeat->backup, manifest->id, sizeof(heartbeat->backup));
    memcpy(heartbeat->note.parent, manifest->parent, sizeof(heartbeat->note.parent));
    if (manifest->wal_count > 0) {
        heartbeat->note.timeline = manifest->wal[0].timeline;
        heartbeat->note.start_lsn = manifest->wal[0].start_lsn;
    }
    atomic_init(&heartbeat->due_ms, clock_monotonic_ms() + INTERVAL_MS);
    if (put(heartbeat, err) < 0)
        return -1;
    *ret_heartbeat = TAKE(heartbeat);
    return 0;
}
