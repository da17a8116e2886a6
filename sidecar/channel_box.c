// SPDX-License-Identifier: Apache-2.0
#include "sidecar/channel_box.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/own.h"

enum {
    IN_MAX = 64,
    IN_RESERVE = 16, /* what comes before reading stops; beyond that it is dropped */
    OUT_MAX = 16,
};

struct outgoing {
    enum message_type type;
    char *text;
};

struct channel_box {
    int fd;
    pthread_mutex_t lock; /* guards what follows */
    struct channel_event in[IN_MAX + IN_RESERVE];
    size_t in_count;
    bool open;
    struct outgoing out[OUT_MAX];
    size_t out_count;
};

int channel_box_fd(const struct channel_box *box)
{
    return box->fd;
}

/* A connection that came and went unseen leaves nothing behind: only the last tells. */
static void drop_all(struct channel_box *box)
{
    for (size_t i = 0; i < box->in_count; i++)
        message_clear(&box->in[i].message);
    box->in_count = 0;
}

void channel_box_put(struct channel_box *box, enum channel_event_type type, struct message *message)
{
    static const uint64_t one = 1;
    pthread_mutex_lock(&box->lock);
    if (type != CHANNEL_MESSAGE)
        drop_all(box); /* what the former connection said is void */
    if (box->in_count < ARRAY_SIZE(box->in)) {
        struct channel_event *event = &box->in[box->in_count++];
        *event = (struct channel_event){.type = type};
        if (message)
            event->message = *message;
        if (message)
            *message = (struct message){0};
        ssize_t put = write(box->fd, &one, sizeof(one));
        (void)put; /* fails only if the counter is full, and so readable already */
    }
    pthread_mutex_unlock(&box->lock);
}

bool channel_box_full(struct channel_box *box)
{
    pthread_mutex_lock(&box->lock);
    bool full = box->in_count >= IN_MAX;
    pthread_mutex_unlock(&box->lock);
    return full;
}

bool channel_box_take(struct channel_box *box, struct channel_event *ret_event)
{
    uint64_t count;
    *ret_event = (struct channel_event){.type = CHANNEL_NONE};
    pthread_mutex_lock(&box->lock);
    bool was_full = box->in_count >= IN_MAX;
    if (box->in_count > 0) {
        *ret_event = box->in[0];
        box->in_count--;
        memmove(&box->in[0], &box->in[1], box->in_count * sizeof(box->in[0]));
    }
    ssize_t drained = box->in_count == 0 ? read(box->fd, &count, sizeof(count)) : 0;
    (void)drained; /* EAGAIN: it was empty already */
    pthread_mutex_unlock(&box->lock);
    return was_full;
}

static void drop_out(struct channel_box *box)
{
    for (size_t i = 0; i < box->out_count; i++)
        free(box->out[i].text);
    box->out_count = 0;
}

void channel_box_open(struct channel_box *box, bool open)
{
    pthread_mutex_lock(&box->lock);
    box->open = open;
    drop_out(box);
    pthread_mutex_unlock(&box->lock);
}

bool channel_box_is_open(struct channel_box *box)
{
    pthread_mutex_lock(&box->lock);
    bool open = box->open;
    pthread_mutex_unlock(&box->lock);
    return open;
}

static bool is_latest_only(enum message_type type)
{
    return type == MESSAGE_STATE || type == MESSAGE_PROGRESS;
}

/* Takes *text if it finds a place for it. A newer state goes to the end, behind what it knows of.
 */
static void queue(struct channel_box *box, enum message_type type, char **text)
{
    for (size_t i = 0; is_latest_only(type) && i < box->out_count; i++) {
        if (box->out[i].type != type)
            continue;
        free(box->out[i].text);
        box->out_count--;
        memmove(&box->out[i], &box->out[i + 1], (box->out_count - i) * sizeof(box->out[0]));
        break;
    }
    if (box->open && box->out_count < OUT_MAX)
        box->out[box->out_count++] = (struct outgoing){.type = type, .text = TAKE(*text)};
}

int channel_box_send(struct channel_box *box, const struct message *message, struct error *err)
{
    CLEANUP(own_freep) char *text = NULL;
    if (message_format(message, &text, err) < 0)
        return -1;
    pthread_mutex_lock(&box->lock);
    queue(box, message->type, &text);
    pthread_mutex_unlock(&box->lock);
    return 0;
}

char *channel_box_next(struct channel_box *box)
{
    char *text = NULL;
    pthread_mutex_lock(&box->lock);
    if (box->out_count > 0) {
        text = box->out[0].text;
        box->out_count--;
        memmove(&box->out[0], &box->out[1], box->out_count * sizeof(box->out[0]));
    }
    pthread_mutex_unlock(&box->lock);
    return text;
}

void channel_box_freep(struct channel_box **box)
{
    struct channel_box *b = TAKE(*box);
    if (!b)
        return;
    drop_all(b);
    drop_out(b);
    own_closep(&b->fd);
    pthread_mutex_destroy(&b->lock);
    free(b);
}

int channel_box_new(struct channel_box **ret_box, struct error *err)
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0)
        return error_errno(err, errno, "create eventfd");
    struct channel_box *box = own_alloc(sizeof(*box));
    box->fd = fd;
    pthread_mutex_init(&box->lock, NULL);
    *ret_box = box;
    return 0;
}
