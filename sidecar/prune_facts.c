// SPDX-License-Identifier: Apache-2.0
#include "sidecar/prune_facts.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/own.h"
#include "common/text.h"
#include "sidecar/heartbeat_note.h"
#include "sidecar/manifest.h"
#include "sidecar/timeline.h"
#include "sidecar/wal_archive.h"

enum { TIMELINE_DIGITS = 8 };

/* A region that cannot be listed is asked no more, so that the others need not wait for it again
 * and again. */
static int list(struct prune_facts *facts, const char *prefix, struct repo_names *ret_names,
                struct error *err)
{
    struct regions *regions = facts->repo->regions;
    if (repo_list(facts->repo, prefix, ret_names, err) < 0)
        return -1;
    for (size_t i = 0; i < regions_count(regions); i++) {
        struct error why = ret_names->unlisted_error;
        if (ret_names->unlisted & 1u << i && regions_usable(regions, i) &&
            regions_lose(regions, i, &why) < 0)
            log_error(&why, "Lost a region for the rest of the job",
                      S("region", regions_at(regions, i)->name));
    }
    facts->unlisted |= ret_names->unlisted;
    return 0;
}

/* The stores' clocks: the one that is furthest behind makes everything younger. */
static int64_t now_of(struct prune_facts *facts)
{
    const int64_t ours_ms = clock_now_ms();
    int64_t now_ms = INT64_MAX;
    for (size_t i = 0; i < regions_count(facts->repo->regions); i++) {
        const struct region *region = regions_at(facts->repo->regions, i);
        if (!region->store || facts->unlisted & 1u << i)
            continue;
        const int64_t theirs_ms = ours_ms + atomic_load(&region->store->clock_skew_ms);
        now_ms = theirs_ms < now_ms ? theirs_ms : now_ms;
    }
    return now_ms == INT64_MAX ? ours_ms : now_ms;
}

/* Running backups */

static struct prune_running *running_of(struct prune_facts *facts, const char *id)
{
    struct prune_scene *scene = &facts->scene;
    for (size_t i = 0; i < scene->running_count; i++)
        if (strcmp(facts->running[i].id, id) == 0)
            return &facts->running[i];
    facts->running =
        own_resize(facts->running, scene->running_count + 1, sizeof(facts->running[0]));
    scene->running = facts->running;
    struct prune_running *running = &facts->running[scene->running_count++];
    *running = (struct prune_running){.newest_ms = INT64_MIN};
    memcpy(running->id, id, strlen(id) + 1);
    return running;
}

static int get_note(struct prune_facts *facts, const struct repo_name *name,
                    struct heartbeat_note *ret_note, struct error *err)
{
    CLEANUP(own_freep) char *full = repo_full_name(facts->repo, name->name);
    struct regions *regions = facts->repo->regions;
    for (size_t i = 0; i < regions_count(regions); i++) {
        CLEANUP(buf_done) struct buf text = BUF(HEARTBEAT_NOTE_MAX);
        if (!(name->regions & 1u << i))
            continue;
        if (store_get_all(regions_at(regions, i)->store, full, &text, err) == 0 &&
            heartbeat_note_parse(text.data, text.size, ret_note, err) == 0)
            return 0;
        if (err->kind == ERROR_CANCELED)
            return -1;
    }
    return -1;
}

/* All heartbeats of a backup say the same, so one that can be read suffices. */
static int add_heartbeat(struct prune_facts *facts, const struct repo_name *name, struct error *err)
{
    char id[BACKUP_ID_BYTES];
    const char *start = name->name + strlen("running/");
    const size_t length = strcspn(start, "/");
    enum backup_type type;
    int64_t start_ms;
    struct heartbeat_note said;
    if (length >= sizeof(id))
        return 0;
    memcpy(id, start, length);
    id[length] = '\0';
    if (!backup_id_parse(id, &type, &start_ms))
        return 0;
    struct prune_running *running = running_of(facts, id);
    if (name->modified_ms > running->newest_ms)
        running->newest_ms = name->modified_ms;
    if (running->readable)
        return 0;
    if (get_note(facts, name, &said, err) < 0) {
        if (err->kind == ERROR_CANCELED)
            return -1;
        if (err->kind != ERROR_NOT_FOUND) /* that backup has just ended */
            log_warn("Could not read a heartbeat", S("object", name->name), S("error", err->text));
        return 0;
    }
    running->readable = true;
    running->timeline = said.timeline;
    running->start_lsn = said.start_lsn;
    memcpy(running->parent, said.parent, sizeof(said.parent));
    return 0;
}

static int load_running(struct prune_facts *facts, struct error *err)
{
    CLEANUP(repo_names_done) struct repo_names names = {0};
    facts->scene.running_count = 0;
    if (list(facts, "running/", &names, err) < 0)
        return -1;
    for (size_t i = 0; i < names.count; i++)
        if (add_heartbeat(facts, &names.names[i], err) < 0)
            return -1;
    return 0;
}

/* Backups */

static const struct manifest *known_manifest(const struct prune_facts *facts, const char *id)
{
    for (size_t i = 0; i < facts->manifest_count; i++)
        if (strcmp(facts->manifests[i]->id, id) == 0)
            return facts->manifests[i];
    return NULL;
}

static int load_manifest(struct prune_facts *facts, struct prune_backup *backup, struct error *err)
{
    struct manifest manifest;
    backup->manifest = known_manifest(facts, backup->id);
    if (backup->manifest)
        return 0;
    if (repo_load_manifest(facts->repo, backup->id, &manifest, err) < 0) {
        if (err->kind == ERROR_CANCELED)
            return -1;
        log_warn("Could not read a manifest", S("backup", backup->id), S("error", err->text));
        return 0;
    }
    facts->manifests =
        own_resize(facts->manifests, facts->manifest_count + 1, sizeof(facts->manifests[0]));
    struct manifest *kept = own_alloc(sizeof(*kept));
    *kept = manifest;
    facts->manifests[facts->manifest_count++] = kept;
    backup->manifest = kept;
    return 0;
}

/* The backup of an object's name, made known if it is not; NULL: it names none. */
static struct prune_backup *backup_of(struct prune_facts *facts, const char *id)
{
    struct prune_scene *scene = &facts->scene;
    enum backup_type type;
    int64_t start_ms;
    size_t at = 0;
    if (!backup_id_parse(id, &type, &start_ms))
        return NULL;
    for (at = scene->backup_count; at > 0 && strcmp(facts->backups[at - 1].id, id) > 0;)
        at--;
    if (at > 0 && strcmp(facts->backups[at - 1].id, id) == 0)
        return &facts->backups[at - 1];
    facts->backups = own_resize(facts->backups, scene->backup_count + 1, sizeof(facts->backups[0]));
    scene->backups = facts->backups;
    memmove(facts->backups + at + 1, facts->backups + at,
            (scene->backup_count++ - at) * sizeof(facts->backups[0]));
    facts->backups[at] = (struct prune_backup){.started_ms = start_ms};
    memcpy(facts->backups[at].id, id, strlen(id) + 1);
    return &facts->backups[at];
}

/* What an object says of the backup that it is named after. */
enum mark { MARK_COMMITTED, MARK_RETIRED, MARK_HELD };

static int mark(struct prune_facts *facts, const char *prefix, enum mark meaning, struct error *err)
{
    CLEANUP(repo_names_done) struct repo_names names = {0};
    if (list(facts, prefix, &names, err) < 0)
        return -1;
    for (size_t i = 0; i < names.count; i++) {
        struct prune_backup *backup = backup_of(facts, names.names[i].name + strlen(prefix));
        if (!backup)
            continue;
        uint32_t *regions = meaning == MARK_COMMITTED ? &backup->regions
                            : meaning == MARK_RETIRED ? &backup->retired
                                                      : &backup->held;
        *regions |= names.names[i].regions;
    }
    return 0;
}

static int load_backups(struct prune_facts *facts, struct error *err)
{
    facts->scene.backup_count = 0;
    if (mark(facts, "manifests/", MARK_COMMITTED, err) < 0)
        return -1;
    const size_t committed = facts->scene.backup_count;
    for (size_t i = 0; i < committed; i++)
        if (load_manifest(facts, &facts->backups[i], err) < 0)
            return -1;
    if (mark(facts, "retired/", MARK_RETIRED, err) < 0)
        return -1;
    return mark(facts, "holds/", MARK_HELD, err);
}

/* Timelines */

static bool parse_timeline(const char *name, uint32_t *ret_timeline)
{
    char digits[TIMELINE_DIGITS + 1] = "", *end;
    if (wal_archive_parse_history_name(name, ret_timeline))
        return true;
    if (!text_starts_with(name, "wal/") || strlen(name) < strlen("wal/") + TIMELINE_DIGITS)
        return false;
    memcpy(digits, name + strlen("wal/"), TIMELINE_DIGITS);
    *ret_timeline = (uint32_t)strtoul(digits, &end, 16);
    return *end == '\0' && *ret_timeline > 0;
}

static void add_line(struct prune_facts *facts, uint32_t timeline, int64_t modified_ms)
{
    struct prune_scene *scene = &facts->scene;
    size_t at = 0;
    while (at < scene->line_count && facts->lines[at].timeline != timeline)
        at++;
    if (at == scene->line_count) {
        facts->lines = own_resize(facts->lines, at + 1, sizeof(facts->lines[0]));
        scene->lines = facts->lines;
        scene->line_count++;
        facts->lines[at] =
            (struct retention_line){.timeline = timeline, .newest_wal_ms = modified_ms};
    }
    if (modified_ms > facts->lines[at].newest_wal_ms)
        facts->lines[at].newest_wal_ms = modified_ms;
}

static int load_history(struct prune_facts *facts, size_t index, struct error *err)
{
    struct retention_line *line = &facts->lines[index];
    if (wal_archive_load_history(facts->repo, line->timeline, &facts->histories[index], err) == 0) {
        line->history = &facts->histories[index];
        return 0;
    }
    if (err->kind == ERROR_CANCELED)
        return -1;
    log_warn("Could not read the history of a timeline", U("timeline", line->timeline),
             S("error", err->text));
    return 0;
}

static int load_lines(struct prune_facts *facts, struct error *err)
{
    const struct prune_scene *scene = &facts->scene;
    uint32_t timeline;
    for (size_t i = 0; i < facts->objects.count; i++)
        if (parse_timeline(facts->objects.names[i].name, &timeline))
            add_line(facts, timeline, facts->objects.names[i].modified_ms);
    for (size_t i = 0; i < facts->manifest_count; i++)
        for (size_t j = 0; j < facts->manifests[i]->wal_count; j++)
            add_line(facts, facts->manifests[i]->wal[j].timeline, INT64_MIN);
    facts->histories = own_alloc((scene->line_count + 1) * sizeof(facts->histories[0]));
    for (size_t i = 0; i < scene->line_count; i++)
        if (load_history(facts, i, err) < 0)
            return -1;
    return 0;
}

void prune_facts_done(struct prune_facts *facts)
{
    for (size_t i = 0; facts->histories && i < facts->scene.line_count; i++)
        timeline_done(&facts->histories[i]);
    free(facts->histories);
    free(facts->lines);
    for (size_t i = 0; i < facts->manifest_count; i++) {
        manifest_done(facts->manifests[i]);
        free(facts->manifests[i]);
    }
    free(facts->manifests);
    free(facts->backups);
    free(facts->running);
    repo_names_done(&facts->objects);
    *facts = (struct prune_facts){0};
}

int prune_facts_refresh(struct prune_facts *facts, struct error *err)
{
    if (load_running(facts, err) < 0 || load_backups(facts, err) < 0)
        return -1;
    facts->scene.now_ms = now_of(facts);
    facts->scene.complete = facts->unlisted == 0;
    return 0;
}

/* No step of this may be put before another: see prune_plan.h. */
int prune_facts_load(struct prune_facts *ret_facts, struct repo *repo,
                     const struct retention_rules *rules, struct error *err)
{
    *ret_facts = (struct prune_facts){.repo = repo, .scene = {.rules = *rules}};
    if (list(ret_facts, "", &ret_facts->objects, err) < 0 ||
        prune_facts_refresh(ret_facts, err) < 0 || load_lines(ret_facts, err) < 0) {
        prune_facts_done(ret_facts);
        return -1;
    }
    ret_facts->scene.objects = &ret_facts->objects;
    return 0;
}
