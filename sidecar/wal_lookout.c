// SPDX-License-Identifier: Apache-2.0
#include "sidecar/wal_lookout.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/cancel.h"
#include "common/crew.h"
#include "common/log.h"
#include "common/own.h"
#include "sidecar/keys.h"
#include "sidecar/lsn.h"
#include "sidecar/repo.h"
#include "sidecar/wal_archive.h"
#include "sidecar/wal_rivals.h"
#include "sidecar/wal_stream.h"
#include "sidecar/wal_tails.h"

struct name {
    char text[WAL_ARCHIVE_NAME_MAX];
};

struct names { /* of objects of one segment */
    uint64_t segment_lsn;
    struct name *names;
    size_t count;
};

struct wal_lookout {
    struct wal_lookout_options options;
    const struct cancel *cancel;
    pthread_mutex_t lock; /* guards what follows */
    struct wal_lookout_view view;
    struct names own;
    uint64_t durable_lsn;
    struct error conflict;
    uint64_t differs_lsn; /* its first byte */

    /* the looking thread's */
    struct names seen;     /* need not be read again */
    uint64_t looked_lsn;   /* durable_lsn at the last look */
    uint64_t unshared_lsn; /* all before that was stored when a look showed nobody else's for it */
};

/* What one look knows. */
struct look {
    struct wal_lookout *lookout;
    uint64_t segment_lsn;
    uint64_t durable_lsn;
    size_t landed;  /* of our own names: the first so many are not on their way any more */
    bool undecided; /* an object says more than came, so far the same */
};

/* Names */

static void names_add(struct names *names, uint64_t segment_lsn, const char *text)
{
    if (names->segment_lsn != segment_lsn)
        names->count = 0;
    names->segment_lsn = segment_lsn;
    names->names = own_resize(names->names, names->count + 1, sizeof(names->names[0]));
    struct name *name = &names->names[names->count++];
    memset(name, 0, sizeof(*name));
    strncpy(name->text, text, sizeof(name->text) - 1);
}

static bool names_have(const struct names *names, const char *text)
{
    for (size_t i = 0; i < names->count; i++)
        if (strcmp(names->names[i].text, text) == 0)
            return true;
    return false;
}

/* Of the first so many, those that are in no region any more. */
static void names_forget(struct names *names, size_t count, const struct repo_names *there)
{
    size_t kept = 0;
    for (size_t i = 0; i < names->count; i++)
        if (i >= count || repo_names_find(there, names->names[i].text))
            names->names[kept++] = names->names[i];
    names->count = kept;
}

static int parse(const struct wal_lookout *lookout, const char *name, struct wal_piece *ret_piece)
{
    return wal_archive_parse_name(name, lookout->options.segment_bytes, ret_piece);
}

/* Looking */

static bool is_own(struct wal_lookout *lookout, const char *name)
{
    pthread_mutex_lock(&lookout->lock);
    const bool own = names_have(&lookout->own, name);
    pthread_mutex_unlock(&lookout->lock);
    return own;
}

/* The bytes that both have; false: none, as it is about others or the stream has gone on. */
static bool overlap(const struct wal_lookout_view *view, const struct wal_piece *piece,
                    uint64_t *ret_from, uint64_t *ret_to)
{
    const struct wal_span span = wal_piece_span(piece);
    *ret_from = span.from > view->from_lsn ? span.from : view->from_lsn;
    *ret_to = span.to < view->to_lsn ? span.to : view->to_lsn;
    return view->data && *ret_from < *ret_to;
}

static bool may_differ(struct wal_lookout *lookout, const struct wal_piece *piece)
{
    uint64_t from, to;
    pthread_mutex_lock(&lookout->lock);
    const bool common = overlap(&lookout->view, piece, &from, &to);
    pthread_mutex_unlock(&lookout->lock);
    return common;
}

/* Whether its name says what came, which needs no reading. */
static bool is_same(struct wal_lookout *lookout, const struct wal_piece *piece, const char *name)
{
    const struct wal_span span = wal_piece_span(piece);
    char id[KEY_ID_TEXT_BYTES] = "";
    pthread_mutex_lock(&lookout->lock);
    const struct wal_lookout_view *view = &lookout->view;
    if (view->data && view->from_lsn <= span.from && span.to <= view->to_lsn)
        key_content_id(&lookout->options.repo->keyring.id_key,
                       (const uint8_t *)view->data + (span.from - view->from_lsn),
                       (size_t)(span.to - span.from), id);
    pthread_mutex_unlock(&lookout->lock);
    return strcmp(id, strrchr(name, '-') + 1) == 0;
}

/* How far both say the same: to the first byte that differs, or the end of what both have, which is
 * ret_end. */
static uint64_t compare(struct wal_lookout *lookout, const struct wal_piece *piece,
                        const struct buf *plain, uint64_t *ret_end)
{
    uint64_t at, to;
    pthread_mutex_lock(&lookout->lock);
    if (overlap(&lookout->view, piece, &at, &to)) {
        const uint8_t *ours = lookout->view.data, *theirs = plain->data;
        const uint64_t theirs_lsn = wal_piece_span(piece).from;
        while (at < to && ours[at - lookout->view.from_lsn] == theirs[at - theirs_lsn])
            at++;
    } else {
        at = to = 0;
    }
    pthread_mutex_unlock(&lookout->lock);
    *ret_end = to;
    return at;
}

static int judge(struct look *look, const char *name, uint64_t differs_lsn, struct error *err)
{
    struct wal_lookout *lookout = look->lookout;
    wal_rivals_refuse(name, err);
    if (differs_lsn < lookout->unshared_lsn) {
        log_error(
            err, "Found another server that puts other WAL and came later: see to it that it ends");
        names_add(&lookout->seen, look->segment_lsn, name);
        return 0;
    }
    pthread_mutex_lock(&lookout->lock);
    lookout->conflict = *err;
    lookout->differs_lsn = differs_lsn;
    pthread_mutex_unlock(&lookout->lock);
    return -1;
}

/* What is damaged or gone, or other WAL from before the size of segments was changed, says nothing.
 */
static int read_and_compare(struct look *look, const char *name, const struct wal_piece *piece,
                            struct error *err)
{
    struct wal_lookout *lookout = look->lookout;
    CLEANUP(buf_done) struct buf plain = BUF(CONTAINER_BYTES_MAX);
    struct wal_piece said;
    uint64_t end;
    const int read = wal_archive_read(lookout->options.repo, name, &plain, &said, err);
    if (read < 0 && err->kind != ERROR_CORRUPT && err->kind != ERROR_NOT_FOUND)
        return -1;
    if (read == 0 && said.segment_bytes == piece->segment_bytes) {
        const uint64_t same_to = compare(lookout, piece, &plain, &end);
        if (same_to < end)
            return judge(look, name, same_to, err);
        if (end < wal_piece_span(piece).to) {
            look->undecided = true;
            return 0;
        }
    }
    names_add(&lookout->seen, look->segment_lsn, name);
    return 0;
}

static int look_at(struct look *look, const char *name, struct error *err)
{
    struct wal_lookout *lookout = look->lookout;
    struct wal_piece piece;
    if (parse(lookout, name, &piece) < 0 || names_have(&lookout->seen, name) ||
        is_own(lookout, name) || !may_differ(lookout, &piece))
        return 0;
    if (!is_same(lookout, &piece, name))
        return read_and_compare(look, name, &piece, err);
    names_add(&lookout->seen, look->segment_lsn, name);
    return 0;
}

/* Tails that later ones have taken the place of: a segment may take days to fill. */
static void forget(struct look *look, const struct repo_names *there)
{
    struct wal_lookout *lookout = look->lookout;
    names_forget(&lookout->seen, lookout->seen.count, there);
    pthread_mutex_lock(&lookout->lock);
    if (lookout->own.segment_lsn == look->segment_lsn)
        names_forget(&lookout->own, look->landed, there);
    pthread_mutex_unlock(&lookout->lock);
}

static int look_at_all(struct look *look, struct error *err)
{
    const struct wal_lookout_options *options = &look->lookout->options;
    CLEANUP(repo_names_done) struct repo_names names = {0};
    char prefix[WAL_ARCHIVE_NAME_MAX];
    const struct wal_piece segment = {.timeline = options->timeline,
                                      .segment_lsn = look->segment_lsn,
                                      .segment_bytes = options->segment_bytes};
    wal_archive_segment_prefix(&segment, prefix);
    if (repo_list(options->repo, prefix, &names, err) < 0)
        return -1;
    for (size_t i = 0; i < names.count; i++)
        if (look_at(look, names.names[i].name, err) < 0)
            return -1;
    if (names.unlisted == 0)
        forget(look, &names);
    return 0;
}

int wal_lookout_look(struct wal_lookout *lookout, struct error *err)
{
    struct look look = {.lookout = lookout};
    pthread_mutex_lock(&lookout->lock);
    const bool empty = !lookout->view.data;
    look.segment_lsn = wal_segment_start(lookout->view.from_lsn, lookout->options.segment_bytes);
    look.durable_lsn = lookout->durable_lsn;
    if (lookout->own.segment_lsn == look.segment_lsn && lookout->own.count > WAL_STREAM_FLYING_MAX)
        look.landed = lookout->own.count - WAL_STREAM_FLYING_MAX;
    pthread_mutex_unlock(&lookout->lock);
    if (empty)
        return 0;
    if (look_at_all(&look, err) < 0)
        return -1;
    lookout->looked_lsn = look.durable_lsn;
    lookout->unshared_lsn = look.undecided ? 0 : look.durable_lsn;
    return 0;
}

static bool has_news(struct wal_lookout *lookout)
{
    pthread_mutex_lock(&lookout->lock);
    const bool news = lookout->durable_lsn != lookout->looked_lsn;
    pthread_mutex_unlock(&lookout->lock);
    return news;
}

static int look_main(void *arg, struct error *err)
{
    struct wal_lookout *lookout = arg;
    while (cancel_sleep(lookout->cancel, WAL_LOOKOUT_MS, err) == 0) {
        if (!has_news(lookout) || wal_lookout_look(lookout, err) == 0)
            continue;
        if (err->kind == ERROR_CONFLICT)
            return 0; /* wal_lookout_check says it */
        log_debug("Could not look for the WAL of others", S("error", err->text));
    }
    return err->kind == ERROR_CANCELED ? 0 : -1;
}

/* The stream's side */

void wal_lookout_show(struct wal_lookout *lookout, const struct wal_lookout_view *view)
{
    pthread_mutex_lock(&lookout->lock);
    lookout->view = *view;
    pthread_mutex_unlock(&lookout->lock);
}

void wal_lookout_own(struct wal_lookout *lookout, const char *name)
{
    struct wal_piece piece;
    if (parse(lookout, name, &piece) < 0)
        return;
    pthread_mutex_lock(&lookout->lock);
    names_add(&lookout->own, piece.segment_lsn, name);
    pthread_mutex_unlock(&lookout->lock);
}

void wal_lookout_store(struct wal_lookout *lookout, uint64_t durable_lsn)
{
    pthread_mutex_lock(&lookout->lock);
    lookout->durable_lsn = durable_lsn;
    pthread_mutex_unlock(&lookout->lock);
}

int wal_lookout_check(struct wal_lookout *lookout, struct error *err)
{
    pthread_mutex_lock(&lookout->lock);
    const bool found = lookout->conflict.kind != ERROR_NONE;
    if (found)
        *err = lookout->conflict;
    pthread_mutex_unlock(&lookout->lock);
    return found ? -1 : 0;
}

void wal_lookout_withdraw(struct wal_lookout *lookout)
{
    struct wal_piece piece;
    for (size_t i = 0; i < lookout->own.count; i++) {
        const char *name = lookout->own.names[i].text;
        if (parse(lookout, name, &piece) < 0 ||
            piece.to - piece.from == lookout->options.segment_bytes ||
            wal_piece_span(&piece).to <= lookout->differs_lsn)
            continue;
        wal_tails_remove(lookout->options.repo, name);
    }
}

int wal_lookout_start(struct wal_lookout *lookout, struct crew *crew, const struct cancel *cancel,
                      struct error *err)
{
    lookout->cancel = cancel;
    return crew_start(crew, "wal-lookout", look_main, lookout, err);
}

void wal_lookout_freep(struct wal_lookout **lookout)
{
    struct wal_lookout *l = TAKE(*lookout);
    if (!l)
        return;
    pthread_mutex_destroy(&l->lock);
    free(l->own.names);
    free(l->seen.names);
    free(l);
}

struct wal_lookout *wal_lookout_new(const struct wal_lookout_options *options)
{
    struct wal_lookout *lookout = own_alloc(sizeof(*lookout));
    lookout->options = *options;
    pthread_mutex_init(&lookout->lock, NULL);
    return lookout;
}
