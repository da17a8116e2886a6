// SPDX-License-Identifier: Apache-2.0
#include "sidecar/prune_plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/own.h"
#include "common/text.h"
#include "sidecar/manifest.h"
#include "sidecar/pack_set.h"
#include "sidecar/prune_wal.h"
#include "sidecar/wal_archive.h"

static const char packs_prefix[] = "packs/", manifests_prefix[] = "manifests/",
                  running_prefix[] = "running/", retired_prefix[] = "retired/",
                  wal_prefix[] = "wal/";

const char *const prune_step_names[] = {"heartbeats", "manifests", "packs", "wal", "markers", NULL};

/* A plan in the making. */
struct making {
    const struct prune_scene *scene;
    uint32_t region;
    struct prune_plan *plan;
    struct pack_set packs; /* of the backups that stay */
    struct prune_wal wal;
    uint32_t segment_bytes;  /* 0: unknown, or several */
    uint32_t first_timeline; /* the earliest that is needed; UINT32_MAX: none is */
};

static void add(struct making *making, enum prune_step step, const struct repo_name *name)
{
    struct prune_objects *objects = &making->plan->objects[step];
    if ((objects->count & (objects->count - 1)) == 0) /* full: it holds a power of two, or none */
        objects->names = own_resize(objects->names, objects->count > 0 ? 2 * objects->count : 1,
                                    sizeof(const struct repo_name *));
    objects->names[objects->count++] = name;
    objects->bytes += name->size;
}

static bool is_old(const struct making *making, int64_t modified_ms)
{
    return making->scene->now_ms - modified_ms >= PRUNE_GRACE_MS;
}

/* The id in "packs/<id>/000001", "running/<id>/0" or "manifests/<id>"; false if there is none. */
static bool parse_id(const char *name, const char *prefix, char ret_id[BACKUP_ID_BYTES])
{
    enum backup_type type;
    int64_t start_ms;
    if (!text_starts_with(name, prefix))
        return false;
    const char *id = name + strlen(prefix);
    const size_t length = strcspn(id, "/");
    if (length >= BACKUP_ID_BYTES)
        return false;
    memcpy(ret_id, id, length);
    ret_id[length] = '\0';
    return backup_id_parse(ret_id, &type, &start_ms);
}

static int compare_backup(const void *key, const void *element)
{
    return strcmp(key, ((const struct prune_backup *)element)->id);
}

static const struct prune_backup *find_backup(const struct prune_scene *scene, const char *id)
{
    return scene->backup_count == 0 ? NULL
                                    : bsearch(id, scene->backups, scene->backup_count,
                                              sizeof(scene->backups[0]), compare_backup);
}

static const struct prune_running *find_running(const struct prune_scene *scene, const char *id)
{
    for (size_t i = 0; i < scene->running_count; i++)
        if (strcmp(scene->running[i].id, id) == 0)
            return &scene->running[i];
    return NULL;
}

static bool is_alive(const struct making *making, const struct prune_running *running)
{
    return running && !is_old(making, running->newest_ms);
}

static bool is_parent(const struct making *making, const char *id)
{
    const struct prune_scene *scene = making->scene;
    for (size_t i = 0; i < scene->running_count; i++)
        if (is_alive(making, &scene->running[i]) &&
            (!scene->running[i].readable || strcmp(scene->running[i].parent, id) == 0))
            return true;
    return false;
}

/* Backups */

static struct retention_backup describe(const struct making *making,
                                        const struct prune_backup *backup)
{
    const struct manifest *manifest = backup->manifest;
    struct retention_backup described = {
        .id = backup->id,
        .started_ms = backup->started_ms,
        .unreadable = !manifest || manifest->wal_count == 0,
        .held = backup->held != 0, /* in whatever region it says so */
        .parent = is_parent(making, backup->id),
        .locked = (backup->locked & making->region) != 0,
        .retired = (backup->retired & making->region) != 0,
    };
    if (described.unreadable)
        return described;
    described.type = manifest->type;
    described.finished_ms = manifest->finished_ms;
    described.timeline = manifest->wal[manifest->wal_count - 1].timeline;
    described.stop_lsn = manifest->stop_lsn;
    return described;
}

/* Whether a is the earlier one. Ids have no more than seconds, manifests have. */
static bool is_earlier(const struct retention_backup *a, const struct retention_backup *b)
{
    return a->started_ms != b->started_ms ? a->started_ms < b->started_ms
                                          : a->finished_ms < b->finished_ms;
}

/* Puts a backup where it belongs among those before it; its index in the scene goes along. */
static void insert_in_time(struct retention_backup *backups, size_t *indexes, size_t count)
{
    for (size_t i = count; i > 0 && is_earlier(&backups[i], &backups[i - 1]); i--) {
        const struct retention_backup backup = backups[i];
        const size_t index = indexes[i];
        backups[i] = backups[i - 1];
        indexes[i] = indexes[i - 1];
        backups[i - 1] = backup;
        indexes[i - 1] = index;
    }
}

static void decide(struct making *making)
{
    const struct prune_scene *scene = making->scene;
    CLEANUP(own_freep)
    struct retention_backup *here = own_alloc((scene->backup_count + 1) * sizeof(*here));
    CLEANUP(own_freep)
    struct retention_verdict *verdicts = own_alloc((scene->backup_count + 1) * sizeof(*verdicts));
    CLEANUP(own_freep) size_t *indexes = own_alloc((scene->backup_count + 1) * sizeof(*indexes));
    struct retention_facts facts = {
        .rules = scene->rules,
        .now_ms = scene->now_ms,
        .backups = here,
        .lines = scene->lines,
        .line_count = scene->line_count,
        .retired_only = scene->retired_only,
    };
    for (size_t i = 0; i < scene->backup_count; i++) {
        if (!(scene->backups[i].regions & making->region))
            continue;
        here[facts.count] = describe(making, &scene->backups[i]);
        indexes[facts.count] = i;
        insert_in_time(here, indexes, facts.count++);
    }
    retention_decide(&facts, verdicts);
    for (size_t i = 0; i < facts.count; i++)
        making->plan->verdicts[indexes[i]] = verdicts[i];
}

/* What stays */

static void note(char ret_note[PRUNE_NOTE_BYTES], const char *text, const char *id)
{
    if (ret_note[0] == '\0')
        snprintf(ret_note, PRUNE_NOTE_BYTES, "%s '%s'", text, id);
}

static void need_timeline(struct making *making, uint32_t timeline)
{
    if (timeline < making->first_timeline)
        making->first_timeline = timeline;
}

static void need_backup(struct making *making, const struct manifest *manifest, bool continuous)
{
    pack_set_add(&making->packs, manifest);
    for (size_t i = 0; i < manifest->wal_count; i++) {
        const struct manifest_wal_range *range = &manifest->wal[i];
        const bool last = i + 1 == manifest->wal_count;
        prune_wal_add_root(&making->wal, range->timeline, range->start_lsn,
                           continuous && last ? UINT64_MAX : range->stop_lsn);
        need_timeline(making, range->timeline);
    }
}

static void need_backups(struct making *making)
{
    const struct prune_scene *scene = making->scene;
    struct prune_plan *plan = making->plan;
    for (size_t i = 0; i < scene->backup_count; i++) {
        const struct prune_backup *backup = &scene->backups[i];
        const struct manifest *manifest = backup->manifest;
        if (!(backup->regions & making->region))
            continue;
        if (!manifest || manifest->wal_count == 0) {
            note(plan->packs_kept, "nobody knows which packs are those of the unreadable backup",
                 backup->id);
            note(plan->wal_kept, "nobody knows what WAL belongs to the unreadable backup",
                 backup->id);
            continue;
        }
        if (making->segment_bytes != 0 && making->segment_bytes != manifest->wal_segment_bytes)
            note(plan->wal_kept, "there is WAL in segments of several sizes, as of backup",
                 backup->id);
        making->segment_bytes = manifest->wal_segment_bytes;
        if (plan->verdicts[i].reasons != 0)
            need_backup(making, manifest, plan->verdicts[i].continuous);
    }
    if (making->wal.root_count == 0)
        snprintf(plan->wal_kept, sizeof(plan->wal_kept), "there is no backup");
}

static void need_running(struct making *making)
{
    const struct prune_scene *scene = making->scene;
    for (size_t i = 0; i < scene->running_count; i++) {
        const struct prune_running *running = &scene->running[i];
        if (!is_alive(making, running))
            continue;
        if (running->timeline == 0)
            note(making->plan->wal_kept, "nobody knows what WAL is needed by the running backup",
                 running->id);
        else
            prune_wal_add_root(&making->wal, running->timeline, running->start_lsn, UINT64_MAX);
        need_timeline(making, running->timeline);
    }
}

static void gather_needs(struct making *making)
{
    const struct prune_scene *scene = making->scene;
    making->first_timeline = UINT32_MAX;
    need_backups(making);
    need_running(making);
    pack_set_seal(&making->packs);
    for (size_t i = 0; i < scene->line_count; i++)
        prune_wal_add_line(&making->wal, scene->lines[i].timeline, scene->lines[i].history);
}

/* What goes */

static void plan_heartbeat(struct making *making, const struct repo_name *name)
{
    char id[BACKUP_ID_BYTES];
    if (parse_id(name->name, running_prefix, id) &&
        !is_alive(making, find_running(making->scene, id)) && is_old(making, name->modified_ms))
        add(making, PRUNE_HEARTBEATS, name);
}

static void plan_manifest(struct making *making, const struct repo_name *name)
{
    char id[BACKUP_ID_BYTES];
    const struct prune_backup *backup =
        parse_id(name->name, manifests_prefix, id) ? find_backup(making->scene, id) : NULL;
    if (backup && (backup->regions & making->region) &&
        making->plan->verdicts[backup - making->scene->backups].reasons == 0)
        add(making, PRUNE_MANIFESTS, name);
}

/* Packs of a backup that is removed go with it, those of a crashed one after a while. */
static void plan_pack(struct making *making, const struct repo_name *name)
{
    char id[BACKUP_ID_BYTES], again[REPO_NAME_MAX];
    if (making->plan->packs_kept[0] != '\0' || !parse_id(name->name, packs_prefix, id))
        return;
    const struct prune_backup *backup = find_backup(making->scene, id);
    const char *number_text = strrchr(name->name, '/') + 1;
    const unsigned long number = strtoul(number_text, NULL, 10);
    if (number == 0 || number > UINT32_MAX)
        return;
    repo_pack_name(id, (uint32_t)number, again);
    if (strcmp(again, name->name) != 0 || pack_set_has(&making->packs, id, (uint32_t)number) ||
        is_alive(making, find_running(making->scene, id)))
        return;
    const bool here = backup && (backup->regions & making->region);
    const bool going = here && making->plan->verdicts[backup - making->scene->backups].reasons == 0;
    const bool gone = backup && !here && (backup->retired & making->region);
    if (going || gone || is_old(making, name->modified_ms))
        add(making, PRUNE_PACKS, name);
}

/* The history of a timeline goes when all that is needed is of later ones. */
static void plan_wal(struct making *making, const struct repo_name *name)
{
    struct wal_piece piece;
    uint32_t timeline;
    if (making->plan->wal_kept[0] != '\0')
        return;
    const bool goes =
        wal_archive_parse_history_name(name->name, &timeline)
            ? timeline < making->first_timeline
            : wal_archive_parse_name(name->name, making->segment_bytes, &piece) == 0 &&
                  !prune_wal_needs(&making->wal, &piece);
    if (goes)
        add(making, PRUNE_WAL, name);
}

static bool is_witnessed(const struct prune_scene *scene, const char *id)
{
    for (size_t i = 0; i < scene->backup_count; i++) {
        const struct manifest *manifest = scene->backups[i].manifest;
        for (size_t j = 0; manifest && j < manifest->witness_count; j++)
            if (strcmp(manifest->witnesses[j].backup, id) == 0)
                return true;
    }
    return false;
}

/* A marker tells verify that a backup is not missing, so it stays while anybody may miss it. */
static void plan_marker(struct making *making, const struct repo_name *name)
{
    char id[BACKUP_ID_BYTES];
    if (!making->scene->complete || !is_old(making, name->modified_ms) ||
        !parse_id(name->name, retired_prefix, id))
        return;
    const struct prune_backup *backup = find_backup(making->scene, id);
    for (size_t i = 0; i < making->scene->backup_count; i++)
        if (making->scene->backups[i].regions != 0 && !making->scene->backups[i].manifest)
            return; /* who knows what it saw */
    if ((!backup || backup->regions == 0) && !is_witnessed(making->scene, id))
        add(making, PRUNE_MARKERS, name);
}

static void plan_objects(struct making *making)
{
    static const struct {
        const char *prefix;
        void (*plan)(struct making *making, const struct repo_name *name);
    } kinds[] = {
        {running_prefix, plan_heartbeat}, {manifests_prefix, plan_manifest},
        {packs_prefix, plan_pack},        {wal_prefix, plan_wal},
        {retired_prefix, plan_marker},
    };
    const struct repo_names *objects = making->scene->objects;
    for (size_t i = 0; i < objects->count; i++) {
        const struct repo_name *name = &objects->names[i];
        for (size_t j = 0; (name->regions & making->region) && j < ARRAY_SIZE(kinds); j++)
            if (text_starts_with(name->name, kinds[j].prefix))
                kinds[j].plan(making, name);
    }
}

void prune_plan_done(struct prune_plan *plan)
{
    free(plan->verdicts);
    for (size_t i = 0; i < PRUNE_STEPS; i++)
        free(plan->objects[i].names);
    *plan = (struct prune_plan){0};
}

void prune_plan_make(const struct prune_scene *scene, uint32_t region, struct prune_plan *ret_plan)
{
    struct making making = {.scene = scene, .region = region, .plan = ret_plan};
    *ret_plan = (struct prune_plan){
        .verdicts = own_alloc((scene->backup_count + 1) * sizeof(ret_plan->verdicts[0]))};
    decide(&making);
    gather_needs(&making);
    plan_objects(&making);
    pack_set_done(&making.packs);
    prune_wal_done(&making.wal);
}
