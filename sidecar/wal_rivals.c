// SPDX-License-Identifier: Apache-2.0
#include "sidecar/wal_rivals.h"

#include <stdlib.h>
#include <string.h>

#include "common/own.h"
#include "sidecar/repo.h"
#include "sidecar/wal_archive.h"

/* What is in a store for the same bytes as an object: all but the hash of the content is the same
 * in their names. */
struct place {
    const char *name; /* of the object */
    bool taken;       /* by the object itself */
    char **rivals;    /* by these */
    size_t rival_count;
};

static void place_done(struct place *place)
{
    for (size_t i = 0; i < place->rival_count; i++)
        free(place->rivals[i]);
    free(place->rivals);
}

static int note(void *arg, const struct store_object *object, struct error *err)
{
    struct place *place = arg;
    (void)err;
    if (strcmp(object->name, place->name) == 0) {
        place->taken = true;
    } else if (strlen(object->name) == strlen(place->name)) {
        place->rivals = own_resize(place->rivals, place->rival_count + 1, sizeof(place->rivals[0]));
        place->rivals[place->rival_count++] = own_strdup(object->name);
    }
    return 0;
}

int wal_rivals_refuse(const char *name, struct error *err)
{
    return error_set(err, ERROR_CONFLICT,
                     "'%s' says something else of the same WAL: " WAL_RIVALS_REMEDY, name);
}

static int check_rival(const struct wal_rivals *rivals, const char *rival, struct error *err)
{
    struct wal_piece piece;
    if (wal_archive_check(rivals->repo, rival, &piece, err) < 0)
        return err->kind == ERROR_CORRUPT || err->kind == ERROR_NOT_FOUND ? 0 : -1;
    if (piece.segment_bytes != rivals->segment_bytes)
        return 0; /* other WAL, from before the size of segments was changed */
    return wal_rivals_refuse(rival, err);
}

static int look(const struct region_guard *guard, struct store *store, const char *name,
                bool *ret_there, struct error *err)
{
    const struct wal_rivals *rivals = (const struct wal_rivals *)guard;
    const size_t base = strlen(rivals->repo->prefix);
    CLEANUP(place_done) struct place place = {.name = name};
    CLEANUP(own_freep) char *bare = own_strdup(name);
    strrchr(bare, '-')[1] = '\0';
    if (store_list(store, bare, STORE_SHALLOW, note, &place, err) < 0)
        return -1;
    for (size_t i = 0; i < place.rival_count; i++)
        if (check_rival(rivals, place.rivals[i] + base, err) < 0)
            return -1;
    *ret_there = place.taken;
    return 0;
}

struct wal_rivals wal_rivals_new(struct repo *repo, uint32_t segment_bytes)
{
    return (struct wal_rivals){
        .guard = {.look = look}, .repo = repo, .segment_bytes = segment_bytes};
}
