// SPDX-License-Identifier: Apache-2.0
#include "sidecar/wal_rivals.h"

#include <stdbool.h>
#include <string.h>

#include "common/own.h"
#include "sidecar/lsn.h"
#include "sidecar/wal_archive.h"

/* The same bytes, but for the hash of their content. */
static bool is_rival(const char *name, const char *other)
{
    const size_t bare = (size_t)(strrchr(name, '-') + 1 - name);
    return strlen(name) == strlen(other) && memcmp(name, other, bare) == 0 &&
           strcmp(name + bare, other + bare) != 0;
}

static int check_rival(const struct wal_rivals *rivals, const char *rival, struct error *err)
{
    struct wal_piece piece;
    if (wal_archive_check(rivals->repo, rival, &piece, err) < 0)
        return err->kind == ERROR_CORRUPT || err->kind == ERROR_NOT_FOUND ? 0 : -1;
    if (piece.segment_bytes != rivals->segment_bytes)
        return 0; /* other WAL, from before the size of segments was changed */
    return error_set(err, ERROR_CONFLICT,
                     "'%s' says something else of the same WAL: another server wrote on this "
                     "timeline, or this one went back in time; give the policy another prefix, or "
                     "move away the WAL whose history you do not want",
                     rival);
}

int wal_rivals_check(const struct wal_rivals *rivals, const char *name, struct error *err)
{
    for (size_t i = 0; i < WAL_RIVALS_LOGS; i++)
        for (size_t j = 0; j < rivals->names[i].count; j++) {
            const char *other = rivals->names[i].names[j].name;
            if (is_rival(name, other) && check_rival(rivals, other, err) < 0)
                return -1;
        }
    return 0;
}

void wal_rivals_done(struct wal_rivals *rivals)
{
    for (size_t i = 0; i < WAL_RIVALS_LOGS; i++)
        repo_names_done(&rivals->names[i]);
}

int wal_rivals_load(struct wal_rivals *ret_rivals, struct repo *repo,
                    const struct wal_rivals_place *place, struct error *err)
{
    CLEANUP(wal_rivals_done)
    struct wal_rivals rivals = {.repo = repo, .segment_bytes = place->segment_bytes};
    for (size_t i = 0; i < WAL_RIVALS_LOGS; i++) {
        char prefix[WAL_ARCHIVE_NAME_MAX];
        wal_archive_log_prefix(place->timeline, (place->lsn >> WAL_LOG_SHIFT) + i, prefix);
        if (repo_list(repo, prefix, &rivals.names[i], err) < 0)
            return -1;
    }
    *ret_rivals = rivals;
    memset(rivals.names, 0, sizeof(rivals.names));
    return 0;
}
