// SPDX-License-Identifier: Apache-2.0
#include "sidecar/wal_anchor.h"

#include <stdbool.h>
#include <string.h>

#include "common/own.h"
#include "sidecar/backup_id.h"
#include "sidecar/manifest.h"
#include "sidecar/repo.h"
#include "sidecar/timeline.h"

static const char manifests[] = "manifests/";

static bool is_on(const struct timeline *history, const struct manifest *backup)
{
    for (size_t i = 0; i < backup->wal_count; i++) {
        const struct timeline_span *line = timeline_find(history, backup->wal[i].timeline);
        if (!line || backup->wal[i].stop_lsn > line->end_lsn)
            return false;
    }
    return true;
}

/* 1: it is one; 0: it is not, or there is nothing of it that can be used. */
static int look_at(struct repo *repo, const struct timeline *history, const char *id,
                   uint64_t *ret_lsn, struct error *err)
{
    CLEANUP(manifest_done) struct manifest backup = {0};
    if (repo_load_manifest(repo, id, &backup, err) < 0)
        return err->kind == ERROR_TRANSIENT || err->kind == ERROR_CANCELED ? -1 : 0;
    if (!is_on(history, &backup))
        return 0;
    *ret_lsn = backup.start_lsn;
    return 1;
}

int wal_anchor_find(struct repo *repo, const struct timeline *history, int64_t before_ms,
                    uint64_t *ret_lsn, struct error *err)
{
    CLEANUP(repo_names_done) struct repo_names names = {0};
    *ret_lsn = 0;
    if (repo_list(repo, manifests, &names, err) < 0)
        return -1;
    int found = 0;
    for (size_t i = names.count; i > 0 && found == 0; i--) {
        const char *id = names.names[i - 1].name + strlen(manifests);
        enum backup_type type;
        int64_t start_ms;
        if (backup_id_parse(id, &type, &start_ms) && start_ms <= before_ms)
            found = look_at(repo, history, id, ret_lsn, err);
    }
    return found < 0 ? -1 : names.unlisted == 0;
}
