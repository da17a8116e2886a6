// SPDX-License-Identifier: Apache-2.0
#include "sidecar/wal_shelf.h"

#include <assert.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#include "common/buf.h"
#include "common/cancel.h"
#include "common/crew.h"
#include "common/fifo.h"
#include "common/own.h"
#include "sidecar/wal_ahead.h"
#include "sidecar/wal_lookup.h"

enum { FILE_MODE = 0640 };

/* Of segments that wait for being asked for. */
static const uint64_t shelf_bytes_max = UINT64_C(256) << 20;

enum place_state {
    PLACE_EMPTY,
    PLACE_QUEUED,  /* in the queue … */
    PLACE_FETCHED, /* … taken out of it by a worker, who alone touches file and content now */
    PLACE_FULL,
};

struct place {
    enum place_state state;
    bool wanted;
    struct wal_ahead_segment segment;
    int file;           /* with the segment, or -1 … */
    struct buf content; /* … and it is here */
    int done;           /* eventfd: readable but while it is fetched */
};

struct wal_shelf {
    struct wal_shelf_options options;
    struct fifo *queue; /* of places */
    size_t count;
    pthread_mutex_t lock; /* guards the places */
    struct place places[WAL_SHELF_PLACES_MAX];
};

static bool is_same(const struct wal_ahead_segment *one, const struct wal_ahead_segment *other)
{
    return one->timeline == other->timeline && one->lsn == other->lsn;
}

/* The one that has a segment, or will have it. With the lock, as all below that take places. */
static struct place *find(struct wal_shelf *shelf, const struct wal_ahead_segment *segment)
{
    for (size_t i = 0; i < shelf->count; i++) {
        struct place *place = &shelf->places[i];
        if (place->state != PLACE_EMPTY && place->wanted && is_same(&place->segment, segment))
            return place;
    }
    return NULL;
}

static struct place *find_empty(struct wal_shelf *shelf)
{
    for (size_t i = 0; i < shelf->count; i++)
        if (shelf->places[i].state == PLACE_EMPTY)
            return &shelf->places[i];
    return NULL;
}

static void empty(struct place *place)
{
    own_closep(&place->file);
    buf_done(&place->content);
    place->state = PLACE_EMPTY;
}

/* Fetching */

/* Whether it is wanted still. */
static bool begin(struct wal_shelf *shelf, struct place *place)
{
    eventfd_t ignored;
    pthread_mutex_lock(&shelf->lock);
    const bool wanted = place->wanted;
    if (wanted) {
        place->state = PLACE_FETCHED;
        (void)eventfd_read(place->done, &ignored);
    } else {
        empty(place);
    }
    pthread_mutex_unlock(&shelf->lock);
    return wanted;
}

/* Negative: there can be none. It is PostgreSQL's umask that says whether its group may read. */
static int write_file(const struct wal_shelf *shelf, const struct buf *content)
{
    struct error ignored;
    CLEANUP(own_closep)
    int file = open(shelf->options.directory, O_TMPFILE | O_RDWR | O_CLOEXEC, FILE_MODE);
    if (file < 0 || buf_pwrite(file, content->data, content->size, 0, &ignored) < 0)
        return -1;
    return TAKE_FD(file);
}

/* content is taken where there can be no file. */
static bool fetch(const struct wal_shelf *shelf, struct place *place, struct buf *content)
{
    struct error ignored; /* whoever asks for it finds out by himself */
    if (wal_lookup_whole(shelf->options.lookup, &place->segment, content, &ignored) < 0)
        return false;
    place->file = write_file(shelf, content);
    if (place->file < 0) {
        place->content = *content;
        *content = BUF(content->limit);
    }
    return true;
}

static void end(struct wal_shelf *shelf, struct place *place, bool fetched)
{
    pthread_mutex_lock(&shelf->lock);
    if (fetched && place->wanted)
        place->state = PLACE_FULL;
    else
        empty(place);
    pthread_mutex_unlock(&shelf->lock);
    eventfd_write(place->done, 1);
}

static int work(void *arg, struct error *err)
{
    struct wal_shelf *shelf = arg;
    void *item;
    CLEANUP(buf_done) struct buf content = BUF(shelf->options.lookup->segment_bytes);
    while (fifo_pop(shelf->queue, &item, err) == 0)
        if (begin(shelf, item))
            end(shelf, item, fetch(shelf, item, &content));
    return 0; /* stopped on request */
}

/* Asking */

size_t wal_shelf_places(const struct wal_shelf *shelf)
{
    return shelf->count;
}

static bool is_among(const struct wal_ahead_segment *segment,
                     const struct wal_ahead_segment *segments, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (is_same(segment, &segments[i]))
            return true;
    return false;
}

static void drop_others(struct wal_shelf *shelf, const struct wal_ahead_segment *segments,
                        size_t count)
{
    for (size_t i = 0; i < shelf->count; i++) {
        struct place *place = &shelf->places[i];
        place->wanted = is_among(&place->segment, segments, count);
        if (place->state == PLACE_FULL && !place->wanted)
            empty(place);
    }
}

/* A place for a segment that has none yet; NULL: it has one, or there is no room. */
static struct place *assign(struct wal_shelf *shelf, const struct wal_ahead_segment *segment)
{
    struct place *place = find(shelf, segment) ? NULL : find_empty(shelf);
    if (place) {
        place->segment = *segment;
        place->wanted = true;
        place->state = PLACE_QUEUED;
    }
    return place;
}

void wal_shelf_want(struct wal_shelf *shelf, const struct wal_ahead_segment *segments, size_t count)
{
    struct place *assigned[WAL_SHELF_PLACES_MAX];
    size_t assigned_count = 0;
    struct error stopped; /* nobody waits for what is not queued */
    assert(count <= shelf->count);
    pthread_mutex_lock(&shelf->lock);
    drop_others(shelf, segments, count);
    for (size_t i = 0; i < count; i++) {
        struct place *place = assign(shelf, &segments[i]);
        if (place)
            assigned[assigned_count++] = place;
    }
    pthread_mutex_unlock(&shelf->lock);
    for (size_t i = 0; i < assigned_count; i++)
        if (fifo_push(shelf->queue, assigned[i], &stopped) < 0)
            return;
}

/* Where to wait for it; negative: it is here, or it is none of ours. */
static int find_waiting(struct wal_shelf *shelf, const struct wal_ahead_segment *segment)
{
    int done = -1;
    pthread_mutex_lock(&shelf->lock);
    struct place *place = find(shelf, segment);
    if (place && place->state == PLACE_FETCHED)
        done = place->done;
    else if (place && place->state == PLACE_QUEUED)
        place->wanted = false; /* whoever asks need not wait for its turn */
    pthread_mutex_unlock(&shelf->lock);
    return done;
}

int wal_shelf_take(struct wal_shelf *shelf, const struct wal_ahead_segment *segment,
                   struct buf *content, int *ret_file, struct error *err)
{
    const int done = find_waiting(shelf, segment);
    if (done >= 0 && cancel_poll(shelf->options.cancel, done, POLLIN, -1, err) < 0)
        return -1;
    pthread_mutex_lock(&shelf->lock);
    struct place *place = find(shelf, segment);
    const bool here = place && place->state == PLACE_FULL;
    if (here) {
        *ret_file = TAKE_FD(place->file);
        if (*ret_file < 0) {
            buf_done(content);
            *content = place->content;
            place->content = (struct buf){0};
        }
        place->state = PLACE_EMPTY;
    }
    pthread_mutex_unlock(&shelf->lock);
    return here;
}

void wal_shelf_freep(struct wal_shelf **shelf)
{
    struct wal_shelf *s = TAKE(*shelf);
    if (!s)
        return;
    for (size_t i = 0; i < s->count; i++) {
        empty(&s->places[i]);
        own_closep(&s->places[i].done);
    }
    fifo_freep(&s->queue);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

/* Twice as many as workers: some are full while others are fetched. */
static size_t count_places(uint32_t segment_bytes, size_t workers)
{
    const size_t fitting = shelf_bytes_max / segment_bytes;
    return 2 * workers < fitting ? 2 * workers : fitting;
}

int wal_shelf_open(struct wal_shelf **ret_shelf, const struct wal_shelf_options *options,
                   struct error *err)
{
    struct wal_shelf *shelf = own_alloc(sizeof(*shelf));
    *ret_shelf = shelf; /* freed by the caller in any case, when the threads have ended */
    shelf->options = *options;
    pthread_mutex_init(&shelf->lock, NULL);
    const size_t count = count_places(options->lookup->segment_bytes, options->workers);
    assert(count <= WAL_SHELF_PLACES_MAX);
    for (; shelf->count < count; shelf->count++) {
        struct place *place = &shelf->places[shelf->count];
        place->file = -1;
        place->done = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
        if (place->done < 0)
            return error_set(err, ERROR_PERMANENT, "no file descriptors are left");
    }
    shelf->queue = fifo_new(count + 1, options->cancel);
    for (size_t i = 0; i < options->workers && i < count; i++)
        if (crew_start(options->crew, "wal-ahead", work, shelf, err) < 0)
            return -1;
    return 0;
}
