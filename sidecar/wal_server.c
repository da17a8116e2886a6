// SPDX-License-Identifier: Apache-2.0
#include "sidecar/wal_server.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/cancel.h"
#include "common/clock.h"
#include "common/crew.h"
#include "common/log.h"
#include "common/own.h"
#include "sidecar/lsn.h"
#include "sidecar/policy.h"
#include "sidecar/postmaster_file.h"
#include "sidecar/repo.h"
#include "sidecar/timeline.h"
#include "sidecar/wal_ahead.h"
#include "sidecar/wal_lookup.h"
#include "sidecar/wal_protocol.h"
#include "sidecar/wal_shelf.h"

enum {
    ANSWERERS = 4, /* questions at once; more wait at the socket */
    BACKLOG = 64,
    PATIENCE_MS = 60 * 1000, /* with who asks, between bytes */
    WATCH_MS = 1000,
};

struct server {
    const struct wal_server_options *options;
    int lock, listener;
    struct stat socket_stat; /* of the one that is ours */
    char *directory;         /* that it lies in */
    int64_t started_s;       /* of the postmaster; 0: there was none */
    struct regions *regions;
    struct repo *repo;
    struct wal_lookup lookup;
    struct crew *crew;
    struct wal_shelf *shelf;
    struct error failure; /* why there is no repository; set before anybody is answered */
    _Atomic int64_t asked_ms;
    atomic_uint answering;
    pthread_mutex_t course_lock;
    struct timeline course; /* guarded by it: the history that was given last; count 0: none */
};

/* What is given to who asks. */
struct found {
    int file; /* -1: it is content */
    struct buf content;
};

static void found_done(struct found *found)
{
    own_closep(&found->file);
    buf_done(&found->content);
}

/* The socket */

static bool is_same_file(const struct stat *one, const struct stat *other)
{
    return one->st_dev == other->st_dev && one->st_ino == other->st_ino;
}

/* Whoever has the lock may have removed it from under its name meanwhile. 1: it is ours, 0: try
 * again. */
static int try_lock(const char *path, int *ret_lock, struct error *err)
{
    struct stat here, there;
    CLEANUP(own_closep) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return error_errno(err, errno, "open '%s'", path);
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        return errno == EWOULDBLOCK
                   ? error_set(err, ERROR_CONFLICT, "another process has '%s'", path)
                   : error_errno(err, errno, "lock '%s'", path);
    if (fstat(fd, &here) < 0 || stat(path, &there) < 0 || !is_same_file(&here, &there))
        return 0;
    *ret_lock = TAKE_FD(fd);
    return 1;
}

static int lock_socket(struct server *server, struct error *err)
{
    CLEANUP(own_freep) char *path = own_format("%s.lock", server->options->socket);
    int locked;
    while ((locked = try_lock(path, &server->lock, err)) == 0)
        if (cancel_check(server->options->cancel, err) < 0)
            return -1;
    return locked < 0 ? -1 : 0;
}

static int listen_at_socket(struct server *server, struct error *err)
{
    const char *path = server->options->socket;
    struct sockaddr_un address;
    if (wal_protocol_address(path, &address, err) < 0)
        return -1;
    server->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    unlink(path); /* of one that was killed */
    if (server->listener < 0 ||
        bind(server->listener, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
        chmod(path, 0600) < 0 || stat(path, &server->socket_stat) < 0 ||
        listen(server->listener, BACKLOG) < 0)
        return error_errno(err, errno, "listen at '%s'", path);
    return 0;
}

static bool has_socket(const struct server *server)
{
    struct stat there;
    return stat(server->options->socket, &there) == 0 && is_same_file(&there, &server->socket_stat);
}

/* Both names go while the lock is held. */
static void leave_socket(struct server *server)
{
    if (server->lock < 0)
        return;
    CLEANUP(own_freep) char *path = own_format("%s.lock", server->options->socket);
    if (server->listener >= 0 && has_socket(server))
        unlink(server->options->socket);
    unlink(path);
}

/* Watching */

static bool is_idle(const struct server *server)
{
    const int64_t quiet_ms = clock_monotonic_ms() - atomic_load(&server->asked_ms);
    return server->options->idle_ms > 0 && atomic_load(&server->answering) == 0 &&
           quiet_ms >= server->options->idle_ms;
}

/* 0: there is none. */
static int64_t postmaster_start(const struct server *server)
{
    struct error ignored;
    struct postmaster_file file = {0};
    if (!server->options->postmaster ||
        postmaster_file_load(AT_FDCWD, server->options->postmaster, &file, &ignored) < 0)
        return 0;
    return file.started_s;
}

static int watch(void *arg, struct error *err)
{
    struct server *server = arg;
    const unsigned idle_ms = server->options->idle_ms;
    const int turn_ms = idle_ms > 0 && idle_ms < WATCH_MS ? (int)idle_ms : WATCH_MS;
    while (!is_idle(server) && has_socket(server) && postmaster_start(server) == server->started_s)
        if (cancel_sleep(server->options->cancel, turn_ms, err) < 0)
            return 0;
    cancel_trigger(server->options->cancel);
    return 0;
}

/* Answering */

/* A line without its newline into line. NOT_FOUND: whoever connected left again. */
static int read_line(const struct server *server, int fd, char line[WAL_PROTOCOL_LINE_MAX],
                     size_t *ret_size, struct error *err)
{
    for (size_t size = 0; size < WAL_PROTOCOL_LINE_MAX;) {
        const int ready = cancel_poll(server->options->cancel, fd, POLLIN, PATIENCE_MS, err);
        if (ready <= 0)
            return ready < 0 ? -1 : error_set(err, ERROR_TRANSIENT, "no question came");
        const ssize_t got = recv(fd, line + size, WAL_PROTOCOL_LINE_MAX - size, 0);
        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            continue;
        if (got <= 0)
            return error_set(err, ERROR_NOT_FOUND, "who asks has left");
        const char *end = memchr(line + size, '\n', (size_t)got);
        size += (size_t)got;
        if (end) {
            *ret_size = (size_t)(end - line);
            return 0;
        }
    }
    return error_set(err, ERROR_CORRUPT, "a question of more than %d bytes", WAL_PROTOCOL_LINE_MAX);
}

/* The line of an answer, and with it the file if there is one. A new socket has room for it. */
static int send_line(int fd, const char *line, int file, struct error *err)
{
    union {
        struct cmsghdr aligned;
        char bytes[CMSG_SPACE(sizeof(file))];
    } control = {0};
    struct iovec text = {(char *)(uintptr_t)line, strlen(line)};
    struct msghdr message = {.msg_iov = &text, .msg_iovlen = 1};
    if (file >= 0) {
        message.msg_control = &control;
        message.msg_controllen = sizeof(control);
        *CMSG_FIRSTHDR(&message) = (struct cmsghdr){
            .cmsg_len = CMSG_LEN(sizeof(file)),
            .cmsg_level = SOL_SOCKET,
            .cmsg_type = SCM_RIGHTS,
        };
        memcpy(CMSG_DATA(CMSG_FIRSTHDR(&message)), &file, sizeof(file));
    }
    if (sendmsg(fd, &message, MSG_NOSIGNAL) != (ssize_t)text.iov_len)
        return error_errno(err, errno, "answer");
    return 0;
}

static int send_all(const struct server *server, int fd, const void *data, size_t size,
                    struct error *err)
{
    for (const char *at = data, *end = at + size; at < end;) {
        const int ready = cancel_poll(server->options->cancel, fd, POLLOUT, PATIENCE_MS, err);
        if (ready <= 0)
            return ready < 0 ? -1 : error_set(err, ERROR_TRANSIENT, "who asks does not read");
        const ssize_t put = send(fd, at, (size_t)(end - at), MSG_NOSIGNAL);
        if (put < 0 && errno != EAGAIN && errno != EINTR)
            return error_errno(err, errno, "answer");
        if (put > 0)
            at += put;
    }
    return 0;
}

static void note_course(struct server *server, uint32_t timeline, const struct buf *content)
{
    struct error ignored;
    struct timeline course;
    if (timeline_parse(timeline, content->data, content->size, &course, &ignored) < 0)
        return; /* PostgreSQL will say what it thinks of it */
    pthread_mutex_lock(&server->course_lock);
    timeline_done(&server->course);
    server->course = course;
    pthread_mutex_unlock(&server->course_lock);
}

static void fetch_ahead(struct server *server, const struct wal_ahead_segment *asked)
{
    struct wal_ahead_segment next[WAL_SHELF_PLACES_MAX];
    const size_t places = wal_shelf_places(server->shelf);
    pthread_mutex_lock(&server->course_lock);
    const size_t count = wal_ahead_plan(server->course.count > 0 ? &server->course : NULL, asked,
                                        server->lookup.segment_bytes, next, places);
    pthread_mutex_unlock(&server->course_lock);
    wal_shelf_want(server->shelf, next, count);
}

static enum wal_answer_kind find_segment(struct server *server,
                                         const struct wal_ahead_segment *wanted, bool stop_at_gaps,
                                         struct found *found, struct error *ret_why)
{
    const int taken = wal_shelf_take(server->shelf, wanted, &found->content, &found->file, ret_why);
    if (taken < 0)
        return WAL_AGAIN;
    enum wal_answer_kind kind = found->file < 0 ? WAL_CONTENT : WAL_FILE;
    if (taken == 0)
        kind = wal_lookup_segment(&server->lookup, wanted, stop_at_gaps, &found->content, ret_why);
    if (kind == WAL_CONTENT || kind == WAL_FILE)
        fetch_ahead(server, wanted);
    return kind;
}

static bool is_history(const char *name, uint32_t *ret_timeline)
{
    char again[WAL_PROTOCOL_NAME_MAX + 1];
    unsigned long timeline = strtoul(name, NULL, 16);
    *ret_timeline = (uint32_t)timeline;
    snprintf(again, sizeof(again), "%08" PRIX32 ".history", *ret_timeline);
    return timeline > 0 && strcmp(name, again) == 0;
}

/* What the file of a question holds. */
static enum wal_answer_kind find_file(struct server *server, const struct wal_question *question,
                                      struct found *found, struct error *ret_why)
{
    struct wal_ahead_segment wanted;
    uint32_t timeline;
    if (server->failure.kind != ERROR_NONE) {
        *ret_why = server->failure;
        return WAL_AGAIN;
    }
    if (is_history(question->name, &timeline)) {
        const enum wal_answer_kind kind =
            wal_lookup_history(&server->lookup, timeline, &found->content, ret_why);
        if (kind == WAL_CONTENT)
            note_course(server, timeline, &found->content);
        return kind;
    }
    if (wal_segment_parse(question->name, server->lookup.segment_bytes, &wanted.timeline,
                          &wanted.lsn))
        return find_segment(server, &wanted, question->stop_at_gaps, found, ret_why);
    error_set(ret_why, ERROR_PERMANENT,
              "'%s' is the name neither of a segment of %" PRIu32
              " bytes nor of a timeline's history",
              question->name, server->lookup.segment_bytes);
    return WAL_REFUSED;
}

static enum wal_answer_kind find_answer(struct server *server, const char *line, size_t size,
                                        struct found *found, struct error *ret_why)
{
    struct wal_question question;
    if (wal_protocol_parse_question(line, size, &question, ret_why) < 0)
        return WAL_REFUSED;
    return find_file(server, &question, found, ret_why);
}

/* With another one something may have become better: a region that could not be opened stays lost
 * for this one. */
static bool is_of_use(struct server *server)
{
    struct error ignored;
    return server->failure.kind == ERROR_NONE && !regions_first_loss(server->regions, &ignored);
}

static int answer(struct server *server, int fd, struct error *err)
{
    char line[WAL_PROTOCOL_LINE_MAX];
    size_t size = 0;
    struct error why = {0};
    CLEANUP(found_done)
    struct found found = {.content = BUF(WAL_PROTOCOL_CONTENT_MAX), .file = -1};
    if (read_line(server, fd, line, &size, err) < 0)
        return -1;
    struct wal_answer_line answer = {
        .kind = find_answer(server, line, size, &found, &why),
        .size = found.file < 0 ? found.content.size : server->lookup.segment_bytes,
    };
    snprintf(answer.text, sizeof(answer.text), "%s", why.text);
    wal_protocol_format_answer(&answer, line);
    if (send_line(fd, line, found.file, err) < 0 ||
        (answer.kind == WAL_CONTENT &&
         send_all(server, fd, found.content.data, found.content.size, err) < 0))
        return -1;
    if (answer.kind == WAL_AGAIN && !is_of_use(server))
        cancel_trigger(server->options->cancel);
    return 0;
}

/* One that failed to be answered asks again. */
static void answer_next(struct server *server)
{
    struct error err;
    CLEANUP(own_closep)
    int fd = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return; /* another answerer has it */
    atomic_fetch_add(&server->answering, 1);
    if (answer(server, fd, &err) < 0)
        log_debug("Gave up an answer", S("error", err.text));
    atomic_store(&server->asked_ms, clock_monotonic_ms());
    atomic_fetch_sub(&server->answering, 1);
}

static int work(void *arg, struct error *err)
{
    struct server *server = arg;
    while (cancel_poll(server->options->cancel, server->listener, POLLIN, -1, err) >= 0)
        answer_next(server);
    return 0; /* stopped on request */
}

/* The story */

static int open_repo(struct server *server, struct error *err)
{
    const struct wal_server_options *options = server->options;
    const struct repo_wish wish = {.system_identifier = options->system_identifier};
    if (regions_open(&server->regions, options->policy, options->secrets, &options->regions,
                     options->cancel, err) < 0 ||
        repo_open_read(&server->repo, options->policy, options->secrets, server->regions, &wish,
                       err) < 0)
        return error_wrap(err, "open the repository");
    server->lookup = (struct wal_lookup){server->repo, options->segment_bytes};
    return 0;
}

static int open_shelf(struct server *server, struct error *err)
{
    const struct wal_server_options *options = server->options;
    CLEANUP(own_freep) char *socket = own_strdup(options->socket);
    server->directory = own_strdup(dirname(socket));
    const struct wal_shelf_options shelf = {
        .directory = server->directory,
        .lookup = &server->lookup,
        .workers = options->policy->uploads,
        .crew = server->crew,
        .cancel = options->cancel,
    };
    return wal_shelf_open(&server->shelf, &shelf, err);
}

static int start_answering(struct server *server, struct error *err)
{
    atomic_store(&server->asked_ms, clock_monotonic_ms());
    atomic_store(&server->answering, 0);
    if (server->failure.kind == ERROR_NONE && open_shelf(server, err) < 0)
        return -1;
    for (int i = 0; i < ANSWERERS; i++)
        if (crew_start(server->crew, "wal-answer", work, server, err) < 0)
            return -1;
    return 0;
}

static int serve(struct server *server, struct error *err)
{
    const struct wal_server_options *options = server->options;
    server->crew = crew_new(options->cancel);
    if (crew_start(server->crew, "wal-watch", watch, server, err) < 0)
        return -1;
    if (open_repo(server, err) < 0) {
        if (cancel_requested(options->cancel))
            return 0;
        server->failure = *err;
    }
    if (start_answering(server, err) < 0 || crew_join(server->crew, err) < 0)
        return -1;
    *err = server->failure;
    return server->failure.kind == ERROR_NONE ? 0 : -1;
}

static void server_done(struct server *server)
{
    crew_freep(&server->crew);
    leave_socket(server);
    own_closep(&server->listener);
    wal_shelf_freep(&server->shelf);
    free(server->directory);
    repo_closep(&server->repo);
    regions_closep(&server->regions);
    timeline_done(&server->course);
    pthread_mutex_destroy(&server->course_lock);
    own_closep(&server->lock);
}

int wal_server_run(const struct wal_server_options *options, struct error *err)
{
    CLEANUP(server_done)
    struct server server = {
        .options = options,
        .lock = -1,
        .listener = -1,
        .answering = 1, /* to open the repository may take long */
        .course_lock = PTHREAD_MUTEX_INITIALIZER,
    };
    if (lock_socket(&server, err) < 0 || listen_at_socket(&server, err) < 0)
        return -1;
    server.started_s = postmaster_start(&server);
    if (options->listening)
        options->listening(options->arg);
    return serve(&server, err);
}
