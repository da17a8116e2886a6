// SPDX-License-Identifier: Apache-2.0
#include "operator/kube_stream.h"

#include <string.h>

#include "operator/kube_json.h"
#include "operator/kube_status.h"

static bool is_change(const char *type)
{
    static const char *const types[] = {"ADDED", "MODIFIED", "DELETED", "BOOKMARK", NULL};
    for (const char *const *known = types; *known; known++)
        if (strcmp(type, *known) == 0)
            return true;
    return false;
}

static int take_event(struct kube_stream *stream, const json_t *event, struct error *err)
{
    const char *type = json_string_value(json_object_get(event, "type"));
    json_t *object = json_object_get(event, "object");
    if (!type || !json_is_object(object))
        return error_set(err, ERROR_CORRUPT, "an event without type or object");
    if (is_change(type))
        return stream->on_event(stream->arg, type, object, err);
    if (strcmp(type, "ERROR") != 0)
        return error_set(err, ERROR_CORRUPT, "an event of unknown type '%.32s'", type);
    int code = kube_status_code(object);
    stream->expired = code == KUBE_STATUS_GONE;
    return kube_status_fail(code ? code : 500, object, err);
}

static int take_line(struct kube_stream *stream, struct error *err)
{
    json_auto_t *event = NULL;
    if (stream->line.size == 0)
        return 0;
    int result = kube_json_parse((char *)stream->line.data, stream->line.size, &event, err);
    buf_clear(&stream->line);
    return result < 0 ? error_wrap(err, "an event") : take_event(stream, event, err);
}

void kube_stream_init(struct kube_stream *stream, kube_on_event on_event, void *arg)
{
    *stream =
        (struct kube_stream){.line = BUF(KUBE_STREAM_LINE_MAX), .on_event = on_event, .arg = arg};
}

void kube_stream_done(struct kube_stream *stream)
{
    buf_done(&stream->line);
}

int kube_stream_end(const struct kube_stream *stream, struct error *err)
{
    if (stream->line.size == 0)
        return 0;
    return error_set(err, ERROR_TRANSIENT, "the answer ended in the middle of an event");
}

int kube_stream_feed(struct kube_stream *stream, const void *data, size_t size, struct error *err)
{
    const char *at = data, *end = at + size;
    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        size_t piece = (size_t)((newline ? newline : end) - at);
        if (stream->line.size + piece > KUBE_STREAM_LINE_MAX)
            return error_set(err, ERROR_CORRUPT, "an event larger than %d bytes",
                             KUBE_STREAM_LINE_MAX);
        if (buf_append(&stream->line, at, piece, err) < 0)
            return -1;
        if (newline && take_line(stream, err) < 0)
            return -1;
        at += piece + (newline ? 1 : 0);
    }
    return 0;
}
