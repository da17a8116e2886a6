// SPDX-License-Identifier: Apache-2.0
#include "sidecar/wal_tails.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/crew.h"
#include "common/fifo.h"
#include "common/log.h"
#include "common/own.h"
#include "sidecar/repo.h"
#include "sidecar/wal_archive.h"

enum { TO_GO_MAX = 1024 }; /* more are left for the next time */

struct tail {
    char name[WAL_ARCHIVE_NAME_MAX];
    struct wal_piece piece;
};

struct wal_tails {
    struct repo *repo;
    struct tail *tails;
    size_t count;
    struct fifo *to_go;     /* of names */
    _Atomic size_t waiting; /* in to_go */
};

/* Retention that somebody put on it keeps it, and does no harm. */
static int remove_from(struct store *store, const char *full, struct error *err)
{
    int64_t locked_until_ms;
    if (store_locked_until(store, full, &locked_until_ms, err) < 0)
        return err->kind == ERROR_NOT_FOUND ? 0 : -1;
    return locked_until_ms != 0 ? 0 : store_remove(store, full, err);
}

void wal_tails_remove(struct repo *repo, const char *name)
{
    CLEANUP(own_freep) char *full = repo_full_name(repo, name);
    for (size_t i = 0; i < regions_count(repo->regions); i++) {
        struct region *region = regions_at(repo->regions, i);
        struct error err;
        if (!region->writable || !regions_usable(repo->regions, i))
            continue;
        if (remove_from(region->store, full, &err) < 0 && err.kind != ERROR_CANCELED)
            log_warn("Left a part of a WAL segment that is of no more use", S("object", name),
                     S("region", region->name), S("error", err.text));
    }
}

static int sweep_main(void *arg, struct error *err)
{
    struct wal_tails *tails = arg;
    void *item;
    while (fifo_pop(tails->to_go, &item, err) == 0) {
        CLEANUP(own_freep) char *name = item;
        tails->waiting--;
        wal_tails_remove(tails->repo, name);
    }
    return err->kind == ERROR_CANCELED ? 0 : -1;
}

static void let_go(struct wal_tails *tails, const struct tail *tail)
{
    struct error ignored; /* cancelled: the next time will do */
    CLEANUP(own_freep) char *name = own_strdup(tail->name);
    if (tails->waiting >= TO_GO_MAX)
        return;
    tails->waiting++;
    if (fifo_push(tails->to_go, name, &ignored) == 0)
        name = NULL;
}

static bool is_within(const struct wal_piece *inner, const struct wal_piece *outer)
{
    return inner->timeline == outer->timeline && inner->segment_lsn == outer->segment_lsn &&
           inner->from >= outer->from && inner->to <= outer->to;
}

void wal_tails_cover(struct wal_tails *tails, const char *name, const struct wal_piece *piece)
{
    size_t kept = 0;
    for (size_t i = 0; i < tails->count; i++) {
        const struct tail *tail = &tails->tails[i];
        if (is_within(&tail->piece, piece) && strcmp(tail->name, name) != 0)
            let_go(tails, tail);
        else
            tails->tails[kept++] = *tail;
    }
    tails->count = kept;
}

void wal_tails_add(struct wal_tails *tails, const char *name, const struct wal_piece *piece)
{
    tails->tails = own_resize(tails->tails, tails->count + 1, sizeof(tails->tails[0]));
    struct tail *tail = &tails->tails[tails->count++];
    *tail = (struct tail){.piece = *piece};
    strncpy(tail->name, name, sizeof(tail->name) - 1);
}

void wal_tails_freep(struct wal_tails **tails)
{
    struct wal_tails *t = TAKE(*tails);
    if (!t)
        return;
    for (void *name; (name = fifo_take_left(t->to_go));)
        free(name);
    fifo_freep(&t->to_go);
    free(t->tails);
    free(t);
}

int wal_tails_new(struct wal_tails **ret_tails, struct repo *repo, struct crew *crew,
                  const struct cancel *cancel, struct error *err)
{
    CLEANUP(wal_tails_freep) struct wal_tails *tails = own_alloc(sizeof(*tails));
    tails->repo = repo;
    tails->to_go = fifo_new(TO_GO_MAX, cancel);
    if (crew_start(crew, "wal-sweep", sweep_main, tails, err) < 0)
        return -1;
    *ret_tails = TAKE(tails);
    return 0;
}
