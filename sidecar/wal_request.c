// SPDX-License-Identifier: Apache-2.0
#include "sidecar/wal_request.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/backoff.h"
#include "common/buf.h"
#include "common/cancel.h"
#include "common/clock.h"
#include "common/own.h"
#include "sidecar/wal_protocol.h"

enum {
    CHUNK_BYTES = 256 * 1024,
    FILE_MODE = 0640, /* PostgreSQL's umask says whether the group may */
    BACKOFF_MS = 50,
    BACKOFF_MAX_MS = 5000,
};

/* One connection. */
struct asking {
    const struct wal_request *request;
    int64_t deadline_ms; /* monotonic; INT64_MAX: none */
    int socket, file;
    int handed;           /* a file that came with the answer; -1: none */
    char *part;           /* the file, until it is whole; NULL: not there */
    uint8_t *bytes;       /* CHUNK_BYTES of what was received … */
    size_t begin, filled; /* … of which these were not taken yet */
};

static void asking_done(struct asking *asking)
{
    if (asking->part)
        unlink(asking->part);
    free(asking->part);
    free(asking->bytes);
    own_closep(&asking->handed);
    own_closep(&asking->file);
    own_closep(&asking->socket);
}

static int time_left_ms(const struct asking *asking)
{
    if (asking->deadline_ms == INT64_MAX)
        return -1;
    const int64_t left_ms = asking->deadline_ms - clock_monotonic_ms();
    return left_ms < 0 ? 0 : left_ms < INT_MAX ? (int)left_ms : INT_MAX;
}

static int await(const struct asking *asking, short events, struct error *err)
{
    const int ready =
        cancel_poll(asking->request->cancel, asking->socket, events, time_left_ms(asking), err);
    if (ready == 0)
        return error_set(err, ERROR_TRANSIENT, "'%s' does not answer", asking->request->socket);
    return ready < 0 ? -1 : 0;
}

/* NOT_FOUND: nobody listens. */
static int connect_socket(struct asking *asking, struct error *err)
{
    const char *path = asking->request->socket;
    struct sockaddr_un address;
    if (wal_protocol_address(path, &address, err) < 0)
        return -1;
    asking->socket = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (asking->socket >= 0 &&
        connect(asking->socket, (const struct sockaddr *)&address, sizeof(address)) == 0)
        return 0;
    if (errno == ENOENT || errno == ECONNREFUSED)
        return error_set(err, ERROR_NOT_FOUND, "nobody listens at '%s'", path);
    return error_errno(err, errno, "connect to '%s'", path);
}

static int ask(const struct asking *asking, struct error *err)
{
    char line[WAL_PROTOCOL_LINE_MAX];
    struct wal_question question = {.stop_at_gaps = asking->request->stop_at_gaps};
    if (strlen(asking->request->name) > WAL_PROTOCOL_NAME_MAX)
        return error_set(err, ERROR_CORRUPT, "'%s' is no name of a file of WAL",
                         asking->request->name);
    memcpy(question.name, asking->request->name, strlen(asking->request->name) + 1);
    if (wal_protocol_format_question(&question, line, err) < 0 || await(asking, POLLOUT, err) < 0)
        return -1;
    /* a new socket has room for a line */
    if (send(asking->socket, line, strlen(line), MSG_NOSIGNAL) != (ssize_t)strlen(line))
        return error_set(err, ERROR_TRANSIENT, "'%s' was closed", asking->request->socket);
    return 0;
}

static void keep_file(struct asking *asking, struct msghdr *message)
{
    const struct cmsghdr *control = CMSG_FIRSTHDR(message);
    if (!control || control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS ||
        control->cmsg_len < CMSG_LEN(sizeof(asking->handed)))
        return;
    own_closep(&asking->handed);
    memcpy(&asking->handed, CMSG_DATA(control), sizeof(asking->handed));
}

/* More bytes behind those that were not taken yet, of which there is room for some. */
static int receive(struct asking *asking, struct error *err)
{
    union {
        struct cmsghdr aligned;
        char bytes[CMSG_SPACE(sizeof(asking->handed))];
    } control;
    struct iovec room = {asking->bytes + asking->filled, CHUNK_BYTES - asking->filled};
    struct msghdr message = {
        .msg_iov = &room,
        .msg_iovlen = 1,
        .msg_control = &control,
        .msg_controllen = sizeof(control),
    };
    if (await(asking, POLLIN, err) < 0)
        return -1;
    const ssize_t got = recvmsg(asking->socket, &message, MSG_CMSG_CLOEXEC);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (got <= 0)
        return error_set(err, ERROR_TRANSIENT, "'%s' was closed in the middle of an answer",
                         asking->request->socket);
    asking->filled += (size_t)got;
    keep_file(asking, &message);
    return 0;
}

static int receive_line(struct asking *asking, struct wal_answer_line *ret_answer,
                        struct error *err)
{
    const char *end = NULL;
    while (!end) {
        if (asking->filled >= WAL_PROTOCOL_LINE_MAX)
            return error_set(err, ERROR_CORRUPT, "'%s' gives no answer for WAL",
                             asking->request->socket);
        if (receive(asking, err) < 0)
            return -1;
        end = memchr(asking->bytes, '\n', asking->filled);
    }
    const size_t size = (size_t)(end - (const char *)asking->bytes);
    asking->begin = size + 1;
    return wal_protocol_parse_answer((const char *)asking->bytes, size, ret_answer, err);
}

/* Beside its place, so that it can be moved there when it is whole. */
static char *name_part(const struct asking *asking)
{
    char *part = own_format("%s.lifeboat-%d", asking->request->path, getpid());
    unlink(part); /* of another one of that number, who was killed */
    return part;
}

static int open_part(struct asking *asking, struct error *err)
{
    CLEANUP(own_freep) char *part = name_part(asking);
    asking->file = open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, FILE_MODE);
    if (asking->file < 0)
        return error_errno(err, errno, "create '%s'", part);
    asking->part = TAKE(part);
    return 0;
}

static int move_part(struct asking *asking, struct error *err)
{
    const char *path = asking->request->path;
    if (rename(asking->part, path) < 0)
        return error_errno(err, errno, "rename '%s' to '%s'", asking->part, path);
    free(TAKE(asking->part));
    return 0;
}

static int receive_file(struct asking *asking, uint64_t size, struct error *err)
{
    const char *path = asking->request->path;
    if (open_part(asking, err) < 0)
        return -1;
    for (uint64_t written = 0; written < size;) {
        if (asking->begin == asking->filled) {
            asking->begin = asking->filled = 0;
            if (receive(asking, err) < 0)
                return -1;
        }
        const size_t there = asking->filled - asking->begin;
        const size_t next = there < size - written ? there : (size_t)(size - written);
        if (buf_pwrite(asking->file, asking->bytes + asking->begin, next, written, err) < 0)
            return error_wrap(err, "write '%s'", path);
        asking->begin += next;
        written += next;
    }
    return move_part(asking, err);
}

/* The file that was handed over gets a name here. false: it cannot, as on another file system, or
 * it would be another user's, whom PostgreSQL could not write to when it uses the file again. */
static bool link_handed(struct asking *asking, const struct stat *handed)
{
    if (handed->st_uid != geteuid())
        return false;
    CLEANUP(own_freep) char *open_file = own_format("/proc/self/fd/%d", asking->handed);
    CLEANUP(own_freep) char *part = name_part(asking);
    if (linkat(AT_FDCWD, open_file, AT_FDCWD, part, AT_SYMLINK_FOLLOW) < 0)
        return false;
    asking->part = TAKE(part);
    return true;
}

static int copy_handed(struct asking *asking, uint64_t size, struct error *err)
{
    if (open_part(asking, err) < 0)
        return -1;
    for (uint64_t copied = 0; copied < size;) {
        const ssize_t got = buf_pread(asking->handed, asking->bytes, CHUNK_BYTES, copied, err);
        if (got == 0)
            return error_set(err, ERROR_TRANSIENT, "the file that was handed over has shrunk");
        if (got < 0 || buf_pwrite(asking->file, asking->bytes, (size_t)got, copied, err) < 0)
            return error_wrap(err, "copy to '%s'", asking->request->path);
        copied += (uint64_t)got;
    }
    return 0;
}

static int take_handed(struct asking *asking, uint64_t size, struct error *err)
{
    struct stat handed;
    if (asking->handed < 0 || fstat(asking->handed, &handed) < 0 || handed.st_size != (int64_t)size)
        return error_set(err, ERROR_TRANSIENT, "'%s' handed over no file of %" PRIu64 " bytes",
                         asking->request->socket, size);
    if (!link_handed(asking, &handed) && copy_handed(asking, size, err) < 0)
        return -1;
    return move_part(asking, err);
}

/* The exit status, or -1: ask again, unless the kind is CORRUPT. NOT_FOUND: nobody listens. */
static int attempt(const struct wal_request *request, int64_t deadline_ms, struct error *err)
{
    CLEANUP(asking_done)
    struct asking asking = {
        .request = request, .deadline_ms = deadline_ms, .socket = -1, .file = -1, .handed = -1};
    struct wal_answer_line answer;
    asking.bytes = own_alloc(CHUNK_BYTES);
    if (connect_socket(&asking, err) < 0 || ask(&asking, err) < 0 ||
        receive_line(&asking, &answer, err) < 0)
        return -1;
    switch (answer.kind) {
    case WAL_CONTENT:
        return receive_file(&asking, answer.size, err) < 0 ? -1 : WAL_REQUEST_DELIVERED;
    case WAL_FILE:
        return take_handed(&asking, answer.size, err) < 0 ? -1 : WAL_REQUEST_DELIVERED;
    case WAL_NONE:
        return WAL_REQUEST_NONE;
    case WAL_AGAIN:
        return error_set(err, ERROR_TRANSIENT, "%s", answer.text);
    case WAL_REFUSED:
        break;
    }
    return error_set(err, ERROR_CORRUPT, "%s", answer.text);
}

/* Attempts once more after it made somebody listen where nobody does. */
static int attempt_with_start(const struct wal_request *request, int64_t deadline_ms,
                              struct error *err)
{
    const int status = attempt(request, deadline_ms, err);
    if (status >= 0 || err->kind != ERROR_NOT_FOUND || !request->start)
        return status;
    if (request->start(request->arg, err) < 0)
        return -1;
    return attempt(request, deadline_ms, err);
}

static void tell(const struct wal_request *request, const struct error *why, struct error *told)
{
    if (request->tell && strcmp(why->text, told->text) != 0)
        request->tell(request->arg, why);
    *told = *why;
}

/* Waits before the next attempt; -1: there is no time for one. */
static int pause_within(const struct wal_request *request, int64_t deadline_ms,
                        struct backoff *backoff, struct error *err)
{
    const uint32_t delay_ms = backoff_next_ms(backoff, backoff_random(), 0);
    if (deadline_ms - clock_monotonic_ms() <= delay_ms)
        return -1;
    return cancel_sleep(request->cancel, (int)delay_ms, err);
}

int wal_request_run(const struct wal_request *request, struct error *err)
{
    const int64_t deadline_ms =
        request->patience_ms < 0 ? INT64_MAX : clock_monotonic_ms() + request->patience_ms;
    struct backoff backoff = {.base_ms = BACKOFF_MS, .cap_ms = BACKOFF_MAX_MS};
    struct error told = {0};
    for (;;) {
        const int status = attempt_with_start(request, deadline_ms, err);
        if (status >= 0)
            return status;
        if (err->kind != ERROR_CANCELED && err->kind != ERROR_CORRUPT) {
            tell(request, err, &told);
            if (pause_within(request, deadline_ms, &backoff, err) == 0)
                continue;
        }
        return err->kind == ERROR_CANCELED ? WAL_REQUEST_STOPPED : WAL_REQUEST_FAILED;
    }
}
