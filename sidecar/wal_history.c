// SPDX-License-Identifier: Apache-2.0
#include "sidecar/wal_history.h"

#include <stdbool.h>

#include "common/buf.h"
#include "common/log.h"
#include "common/own.h"
#include "sidecar/pg_replication.h"
#include "sidecar/repo.h"
#include "sidecar/timeline.h"
#include "sidecar/wal_archive.h"

static int take(const struct wal_history_source *source, uint32_t timeline, struct buf *content,
                uint64_t *stored_bytes, struct error *err)
{
    struct repo *repo = source->repo;
    if (pg_replication_history(source->replication, timeline, content, err) < 0 ||
        wal_archive_check_history(repo, timeline, content->data, content->size, err) < 0)
        return -1;
    return wal_archive_put_history(repo, timeline, content->data, content->size, stored_bytes, err);
}

static bool is_everywhere(const struct wal_history_source *source, const struct repo_names *names,
                          uint32_t timeline)
{
    const uint32_t all = regions_mask(source->repo->regions, false);
    uint32_t there = 0, named;
    for (size_t i = 0; i < names->count; i++)
        if (wal_archive_parse_history_name(names->names[i].name, &named) && named == timeline)
            there |= names->names[i].regions;
    return (there & all) == all;
}

/* A server that was made of a copy need not have it, and can do without. */
static int take_older(const struct wal_history_source *source, uint32_t timeline,
                      uint64_t *stored_bytes, struct error *err)
{
    CLEANUP(buf_done) struct buf content = BUF(TIMELINE_HISTORY_MAX);
    if (take(source, timeline, &content, stored_bytes, err) == 0)
        return 0;
    if (err->kind != ERROR_PERMANENT && err->kind != ERROR_CONFLICT)
        return -1;
    log_warn("Could not take the history of a timeline before the server's own",
             U("timeline", timeline), S("error", err->text));
    return 0;
}

/* Those of the timelines that led to the server's, as far as they have one: the first has none. */
static int take_all_older(const struct wal_history_source *source, const struct timeline *history,
                          uint64_t *stored_bytes, struct error *err)
{
    CLEANUP(repo_names_done) struct repo_names names = {0};
    bool listed = false;
    for (size_t i = 0; i + 1 < history->count; i++) {
        const uint32_t timeline = history->spans[i].timeline;
        if (timeline == 1)
            continue;
        if (!listed && repo_list_level(source->repo, "wal/", &names, err) < 0)
            return -1;
        listed = true;
        if (!is_everywhere(source, &names, timeline) &&
            take_older(source, timeline, stored_bytes, err) < 0)
            return -1;
    }
    return 0;
}

int wal_history_take(const struct wal_history_source *source, struct timeline *ret_history,
                     uint64_t *stored_bytes, struct error *err)
{
    CLEANUP(buf_done) struct buf content = BUF(TIMELINE_HISTORY_MAX);
    CLEANUP(timeline_done) struct timeline history = {0};
    if (source->timeline > 1 && take(source, source->timeline, &content, stored_bytes, err) < 0)
        return -1;
    if (timeline_parse(source->timeline, content.data, content.size, &history, err) < 0 ||
        take_all_older(source, &history, stored_bytes, err) < 0)
        return -1;
    *ret_history = history;
    history = (struct timeline){0};
    return 0;
}
