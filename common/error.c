// SPDX-License-Identifier: Apache-2.0
#include "common/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Takes back the bytes of a UTF-8 sequence that a cut at the end of text has split. */
static void drop_split_character(char *text)
{
    size_t end = strlen(text), start = end;
    while (start > 0 && ((unsigned char)text[start - 1] & 0xC0) == 0x80)
        start--;
    if (start == 0)
        return;
    unsigned char lead = (unsigned char)text[start - 1];
    size_t wanted = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1;
    if (end - start + 1 < wanted)
        text[start - 1] = '\0';
}

/* "<format>" or, with a tail, "<format>: <tail>"; built aside, as arguments may be err's own text.
 */
__attribute__((format(printf, 3, 0))) static void compose(struct error *err, const char *tail,
                                                          const char *format, va_list args)
{
    char text[sizeof(err->text)];
    int length = vsnprintf(text, sizeof(text), format, args);
    if (length < 0)
        length = snprintf(text, sizeof(text), "%s", format);
    if (tail && (size_t)length < sizeof(text))
        length += snprintf(text + length, sizeof(text) - (size_t)length, ": %s", tail);
    if ((size_t)length >= sizeof(text))
        drop_split_character(text);
    memcpy(err->text, text, sizeof(text));
}

static enum error_kind kind_of_errno(int errnum)
{
    switch (errnum) {
    case ENOENT:
        return ERROR_NOT_FOUND;
    case EEXIST:
    case ENOTEMPTY:
        return ERROR_CONFLICT;
    case EAGAIN:
    case EINTR:
    case ETIMEDOUT:
    case ECONNREFUSED:
    case ECONNRESET:
    case ECONNABORTED:
    case EPIPE:
    case EHOSTUNREACH:
    case ENETUNREACH:
        return ERROR_TRANSIENT;
    default:
        return ERROR_PERMANENT;
    }
}

const char *error_kind_name(enum error_kind kind)
{
    static const char *const names[] = {
        [ERROR_NONE] = "none",           [ERROR_TRANSIENT] = "transient",
        [ERROR_PERMANENT] = "permanent", [ERROR_NOT_FOUND] = "not-found",
        [ERROR_CONFLICT] = "conflict",   [ERROR_CORRUPT] = "corrupt",
        [ERROR_CANCELED] = "canceled",
    };
    return names[kind];
}

int error_errno(struct error *err, int errnum, const char *format, ...)
{
    const char *description = strerrordesc_np(errnum);
    va_list args;
    va_start(args, format);
    compose(err, description ? description : "unknown error", format, args);
    va_end(args);
    err->kind = kind_of_errno(errnum);
    return -1;
}

int error_wrap(struct error *err, const char *format, ...)
{
    char tail[sizeof(err->text)];
    memcpy(tail, err->text, sizeof(tail));
    va_list args;
    va_start(args, format);
    compose(err, tail, format, args);
    va_end(args);
    return -1;
}

int error_set(struct error *err, enum error_kind kind, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    compose(err, NULL, format, args);
    va_end(args);
    err->kind = kind;
    return -1;
}
