// SPDX-License-Identifier: Apache-2.0
#include "sidecar/copy_mover.h"

#include <string.h>

#include "common/buf.h"
#include "common/cancel.h"
#include "common/crew.h"
#include "common/digest.h"
#include "common/log.h"
#include "common/own.h"
#include "common/text.h"
#include "sidecar/copy_heartbeat.h"
#include "sidecar/findings.h"
#include "sidecar/progress.h"
#include "sidecar/repo.h"

struct work {
    struct copy_mover *mover;
    const struct copy_load *load;
    atomic_size_t next, failed;
};

/* Fetching */

static int check(const struct copy_mover *mover, const struct copy_item *item,
                 const struct buf *object, struct error *err)
{
    if (item->kind == 0)
        return 0;
    const struct container_identity identity =
        repo_identity(mover->repo, item->kind, item->name->name);
    struct container container;
    if (container_open(&container, &identity, &mover->repo->keyring, object->data, object->size,
                       object->size, err) < 0)
        return -1;
    container_done(&container);
    return 0;
}

static int fetch_from(const struct copy_mover *mover, size_t region, const struct copy_item *item,
                      struct buf *object, struct error *err)
{
    CLEANUP(own_freep) char *full = repo_full_name(mover->repo, item->name->name);
    buf_clear(object);
    if (store_get_all(regions_at(mover->repo->regions, region)->store, full, object, err) < 0)
        return -1;
    return check(mover, item, object, err);
}

/* Whoever did not answer for so long is not asked for thousands of objects more. */
static void give_up(struct copy_mover *mover, size_t region, const struct error *err)
{
    const unsigned bit = 1u << region;
    if (!(atomic_fetch_or(&mover->down, bit) & bit))
        log_error(err, "Lost a region for the rest of the job",
                  S("region", regions_at(mover->repo->regions, region)->name));
}

static bool is_usable(const struct copy_mover *mover, size_t region)
{
    const unsigned bit = 1u << region;
    return !(bit & mover->scene.to) && !(bit & atomic_load(&mover->down)) &&
           regions_usable(mover->repo->regions, region);
}

static bool anybody_answers(const struct copy_mover *mover)
{
    for (size_t i = 0; i < regions_count(mover->repo->regions); i++)
        if (is_usable(mover, i))
            return true;
    return false;
}

/* Why the region that is asked first did not give it; err: what it said, if it was asked. */
static struct error reason(const struct copy_mover *mover, const struct copy_item *item,
                           const struct error *err)
{
    struct error why = *err;
    if (why.kind != ERROR_NONE)
        return why;
    if (item->name->regions & mover->scene.from)
        error_set(&why, ERROR_TRANSIENT, "the region does not answer any more");
    else
        error_set(&why, ERROR_NOT_FOUND, "the region lacks it");
    return why;
}

static void tell_detour(const struct copy_mover *mover, const struct copy_item *item,
                        const char *backup, size_t region, const struct error *first)
{
    const struct error why = reason(mover, item, first);
    findings_add(mover->findings,
                 FINDING(.kind = finding_kind_of(&why), .note = true,
                         .region = mover->scene.from_name, .backup = backup,
                         .object = item->name->name),
                 "%s; it was taken from region '%s'", why.text,
                 regions_at(mover->repo->regions, region)->name);
}

static void tell_loss(const struct copy_mover *mover, const struct copy_item *item,
                      const char *backup, const struct error *first)
{
    const struct error why = reason(mover, item, first);
    findings_add(mover->findings,
                 FINDING(.kind = finding_kind_of(&why), .region = mover->scene.from_name,
                         .backup = backup, .object = item->name->name),
                 "%s; no region has it intact", why.text);
}

/* As copy_mover_fetch, but that no region has it is not told: ret_first is why the first has it
 * not. */
static int fetch(struct copy_mover *mover, const struct copy_item *item, const char *backup,
                 struct buf *object, struct error *ret_first, struct error *err)
{
    *ret_first = (struct error){0};
    for (size_t i = 0; i < regions_count(mover->repo->regions); i++) {
        if (!(item->name->regions & 1u << i) || !is_usable(mover, i))
            continue;
        if (fetch_from(mover, i, item, object, err) == 0) {
            if (!(mover->scene.from & 1u << i))
                tell_detour(mover, item, backup, i, ret_first);
            return 1;
        }
        if (err->kind == ERROR_CANCELED)
            return -1;
        if (err->kind == ERROR_TRANSIENT)
            give_up(mover, i, err);
        if (ret_first->kind == ERROR_NONE)
            *ret_first = *err;
    }
    return anybody_answers(mover) ? 0 : -1;
}

int copy_mover_fetch(struct copy_mover *mover, const struct copy_item *item, const char *backup,
                     struct buf *object, struct error *err)
{
    struct error first;
    const int fetched = fetch(mover, item, backup, object, &first, err);
    if (fetched == 0)
        tell_loss(mover, item, backup, &first);
    return fetched;
}

/* Putting */

int copy_mover_put(struct copy_mover *mover, const char *name, const struct buf *object,
                   struct error *err)
{
    struct store_bytes bytes = {
        .data = object->data, .size = object->size, .passing = text_starts_with(name, "holds/")};
    digest_sha256(object->data, object->size, bytes.sha256);
    if (repo_put(mover->target, name, &bytes, PUT_SAME, err) < 0)
        return -1;
    atomic_fetch_add(&mover->objects, 1);
    atomic_fetch_add(&mover->bytes, object->size);
    progress_add_file(mover->progress);
    return 0;
}

/* Who streams takes away the parts of a segment once that is complete: then it is copied itself. */
static bool is_complete_now(const struct copy_mover *mover, const struct copy_item *part,
                            struct repo_names *ret_whole)
{
    struct error ignored; /* then the part is told as lost */
    char prefix[REPO_NAME_MAX];
    return copy_plan_whole_prefix(part->name->name, prefix) &&
           repo_list(mover->repo, prefix, ret_whole, &ignored) == 0 && ret_whole->count > 0;
}

static int move(struct work *work, const struct copy_item *item, struct buf *object,
                struct error *err)
{
    struct copy_mover *mover = work->mover;
    const char *backup = work->load->backup;
    CLEANUP(repo_names_done) struct repo_names whole = {0};
    struct copy_item moved = *item;
    bool is_there = false; /* whoever streams has put it into that region, too */
    struct error first;
    int fetched = fetch(mover, item, backup, object, &first, err);
    if (fetched == 0 && first.kind == ERROR_NOT_FOUND && is_complete_now(mover, item, &whole)) {
        moved.name = &whole.names[0];
        is_there = moved.name->regions & mover->scene.to;
        fetched = is_there ? 0 : copy_mover_fetch(mover, &moved, backup, object, err);
    } else if (fetched == 0) {
        tell_loss(mover, item, backup, &first);
    }
    if (fetched < 0)
        return -1;
    if (fetched > 0 && copy_mover_put(mover, moved.name->name, object, err) < 0)
        return error_wrap(err, "region '%s' (--to)", mover->scene.to_name);
    if (fetched == 0 && !is_there)
        atomic_fetch_add(&work->failed, 1);
    progress_add(mover->progress, item->name->size);
    return 0;
}

static int work_main(void *arg, struct error *err)
{
    struct work *work = arg;
    const struct copy_items *items = work->load->items;
    CLEANUP(buf_done) struct buf object = BUF(CONTAINER_BYTES_MAX);
    for (size_t i; (i = atomic_fetch_add(&work->next, 1)) < items->count;)
        if (cancel_check(work->mover->cancel, err) < 0 ||
            (work->load->heartbeat && copy_heartbeat_beat(work->load->heartbeat, err) < 0) ||
            move(work, &items->items[i], &object, err) < 0)
            return -1;
    return 0;
}

int copy_mover_move(struct copy_mover *mover, const struct copy_load *load, size_t *ret_failed,
                    struct error *err)
{
    struct work work = {.mover = mover, .load = load};
    CLEANUP(crew_freep) struct crew *crew = crew_new(mover->cancel);
    const size_t count = load->items->count;
    for (size_t i = 0; i < mover->workers && i < count; i++)
        if (crew_start(crew, "copy", work_main, &work, err) < 0)
            return -1;
    if (crew_join(crew, err) < 0)
        return -1;
    *ret_failed = atomic_load(&work.failed);
    return 0;
}
