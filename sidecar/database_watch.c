// SPDX-License-Identifier: Apache-2.0
#include "sidecar/database_watch.h"

#include <fcntl.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/cancel.h"
#include "common/clock.h"
#include "common/crew.h"
#include "common/log.h"
#include "common/own.h"
#include "sidecar/connection.h"
#include "sidecar/policy.h"
#include "sidecar/postmaster_file.h"
#include "sidecar/secrets.h"

enum { LOOK_MS = 1000, ASK_MS = 10 * 1000, ANSWER_MS = 15 * 1000, CONNECT_TIMEOUT_SECONDS = 5 };

/* How to log in, a copy of its own; zeroed: not known. */
struct login {
    char *user, *database, *password_key, *ssl_mode;
    unsigned port;
};

/* One question to the server, on a thread of its own, which a shutdown cuts short. */
struct probe {
    struct cancel cancel;
    struct crew *crew;
    struct login login;
    const struct database_watch_options *options;
    atomic_bool over;
    bool answered; /* the rest is valid once over */
    struct error error;
    struct pg_standing standing;
};

struct database_watch {
    struct database_watch_options options;
    char *pgdata;         /* given, or found; NULL: not yet */
    int changed;          /* eventfd */
    pthread_mutex_t lock; /* guards login and status */
    struct login login;
    struct database_status status;
    struct probe *probe; /* NULL: none runs */
    int64_t ask_at_ms;   /* monotonic */
    int64_t answer_by_ms;
    atomic_bool ask_now; /* there is a new login */
};

/* Logins */

static void login_done(struct login *login)
{
    own_freep(&login->user);
    own_freep(&login->database);
    own_freep(&login->password_key);
    own_freep(&login->ssl_mode);
    *login = (struct login){0};
}

static struct login login_copy(const struct login *login)
{
    return (struct login){
        .user = own_strdup(login->user),
        .database = own_strdup(login->database),
        .password_key = own_strdup(login->password_key),
        .ssl_mode = own_strdup(login->ssl_mode),
        .port = login->port,
    };
}

/* Probes */

static int ask(struct probe *probe, struct error *err)
{
    const struct policy_connection policy = {
        .port = probe->login.port,
        .user = probe->login.user,
        .database = probe->login.database,
        .password_key = probe->login.password_key,
        .ssl_mode = probe->login.ssl_mode,
    };
    const struct connection_choice choice = {.host = probe->options->host};
    CLEANUP(secrets_closep) struct secrets *secrets = NULL;
    CLEANUP(connection_done) struct connection connection = {0};
    CLEANUP(pg_closep) struct pg *pg = NULL;
    if (secrets_open(&secrets, probe->options->secrets, err) < 0 ||
        connection_init(&connection, &policy, &choice, secrets, err) < 0)
        return -1;
    connection.pg.cancel = &probe->cancel;
    connection.pg.connect_timeout_seconds = CONNECT_TIMEOUT_SECONDS;
    if (pg_open(&pg, &connection.pg, err) < 0)
        return -1;
    return pg_look(pg, &probe->standing, err);
}

/* A server that does not answer is no failure of ours. */
static int probe_main(void *arg, struct error *err)
{
    struct probe *probe = arg;
    (void)err;
    probe->answered = ask(probe, &probe->error) == 0;
    atomic_store(&probe->over, true);
    return 0;
}

static void probe_freep(struct probe **probe)
{
    struct probe *p = TAKE(*probe);
    if (!p)
        return;
    crew_freep(&p->crew); /* cancels */
    cancel_done(&p->cancel);
    login_done(&p->login);
    free(p);
}

static int probe_new(struct probe **ret_probe, const struct database_watch *watch,
                     const struct login *login, struct error *err)
{
    struct probe *probe = own_alloc(sizeof(*probe));
    probe->options = &watch->options;
    probe->login = login_copy(login);
    if (cancel_init(&probe->cancel, err) < 0) {
        login_done(&probe->login);
        free(probe);
        return -1;
    }
    probe->crew = crew_new(&probe->cancel);
    if (crew_start(probe->crew, "probe", probe_main, probe, err) < 0) {
        probe_freep(&probe);
        return -1;
    }
    *ret_probe = probe;
    return 0;
}

/* The status */

static void tell(const struct database_watch *watch)
{
    const ssize_t put = write(watch->changed, &(uint64_t){1}, sizeof(uint64_t));
    (void)put; /* fails only if it is readable already */
}

/* What whoever waits wants to know at once. */
static bool differs(const struct database_status *a, const struct database_status *b)
{
    return a->phase != b->phase || a->reachable != b->reachable ||
           strcmp(a->error.text, b->error.text) != 0 ||
           a->standing.in_recovery != b->standing.in_recovery ||
           a->standing.timeline != b->standing.timeline ||
           a->standing.system_identifier != b->standing.system_identifier ||
           a->standing.version_num != b->standing.version_num;
}

static void set_status(struct database_watch *watch, const struct database_status *status)
{
    pthread_mutex_lock(&watch->lock);
    const bool news = differs(&watch->status, status);
    watch->status = *status;
    pthread_mutex_unlock(&watch->lock);
    if (news)
        tell(watch);
}

static void fail_status(struct database_status *status, const char *text)
{
    status->reachable = false;
    error_set(&status->error, ERROR_TRANSIENT, "%s", text);
}

static void log_phase(enum database_phase phase)
{
    static const char *const names[] = {"unknown", "absent", "starting", "ready", "stopping"};
    log_info("The database's phase changed", S("phase", names[phase]));
}

/* Looking at postmaster.pid */

static enum database_phase look(const struct database_watch *watch, struct error *err)
{
    static const enum database_phase phases[] = {
        [POSTMASTER_STARTING] = DATABASE_STARTING,
        [POSTMASTER_READY] = DATABASE_READY,
        [POSTMASTER_STANDBY] = DATABASE_STARTING,
        [POSTMASTER_STOPPING] = DATABASE_STOPPING,
    };
    struct postmaster_file file;
    if (!watch->pgdata)
        return DATABASE_UNKNOWN;
    CLEANUP(own_freep) char *path = own_format("%s/postmaster.pid", watch->pgdata);
    if (postmaster_file_load(AT_FDCWD, path, &file, err) == 0)
        return phases[file.status];
    if (err->kind == ERROR_NOT_FOUND)
        error_set(err, ERROR_TRANSIENT,
                  "no postmaster.pid in '%s': PostgreSQL does not run, or its data directory is "
                  "not mounted in the sidecar at the same path",
                  watch->pgdata);
    return DATABASE_ABSENT;
}

static void enter_phase(struct database_watch *watch, enum database_phase phase,
                        const struct error *err)
{
    struct database_status status = watch->status; /* written by this thread alone */
    if (phase != status.phase)
        log_phase(phase);
    status.phase = phase;
    if (phase == DATABASE_STARTING)
        fail_status(&status, "PostgreSQL is starting, or is a standby with hot_standby off");
    else if (phase == DATABASE_STOPPING)
        fail_status(&status, "PostgreSQL is stopping");
    else if (phase == DATABASE_ABSENT)
        fail_status(&status, err->text);
    if (phase != watch->status.phase)
        watch->ask_at_ms = 0; /* at once, as soon as there is somebody to ask */
    set_status(watch, &status);
    if (phase != DATABASE_READY && phase != DATABASE_UNKNOWN)
        probe_freep(&watch->probe); /* last: a name that is looked up cannot be cut short */
}

/* Asking the server */

static void take_answer(struct database_watch *watch)
{
    const struct probe *probe = watch->probe;
    struct database_status status = watch->status;
    status.reachable = probe->answered;
    status.error = (struct error){0};
    if (!probe->answered)
        status.error = probe->error;
    else
        status.standing = probe->standing;
    if (probe->answered && !watch->pgdata && probe->standing.data_directory[0])
        watch->pgdata = own_strdup(probe->standing.data_directory);
    set_status(watch, &status);
    probe_freep(&watch->probe);
}

static int start_probe(struct database_watch *watch, struct error *err)
{
    pthread_mutex_lock(&watch->lock);
    struct login login = login_copy(&watch->login);
    pthread_mutex_unlock(&watch->lock);
    int result = login.user ? probe_new(&watch->probe, watch, &login, err)
                            : error_set(err, ERROR_TRANSIENT, "no policy says how to log in yet");
    login_done(&login);
    return result;
}

/* A server that takes connections and then says nothing is none that can be used. The question
 * stands: another session would only wait beside it. */
static void tell_silence(struct database_watch *watch)
{
    char text[64];
    struct database_status status = watch->status;
    snprintf(text, sizeof(text), "PostgreSQL has not answered for %d seconds",
             watch->options.answer_ms / 1000);
    fail_status(&status, text);
    set_status(watch, &status);
}

static void ask_when_due(struct database_watch *watch)
{
    struct error err;
    const int64_t now_ms = clock_monotonic_ms();
    if (watch->probe && atomic_load(&watch->probe->over))
        take_answer(watch);
    if (watch->probe && now_ms >= watch->answer_by_ms)
        tell_silence(watch);
    if (watch->probe || (now_ms < watch->ask_at_ms && !atomic_load(&watch->ask_now)))
        return;
    atomic_store(&watch->ask_now, false);
    watch->ask_at_ms = now_ms + watch->options.ask_ms;
    watch->answer_by_ms = now_ms + watch->options.answer_ms;
    if (start_probe(watch, &err) == 0)
        return;
    struct database_status status = watch->status;
    fail_status(&status, err.text);
    set_status(watch, &status);
}

int database_watch_run(void *arg, struct error *err)
{
    struct database_watch *watch = arg;
    for (;;) {
        struct error absent = {0};
        const enum database_phase phase = look(watch, &absent);
        enter_phase(watch, phase, &absent);
        if (phase == DATABASE_READY || phase == DATABASE_UNKNOWN)
            ask_when_due(watch);
        if (cancel_sleep(watch->options.cancel, watch->options.look_ms, err) < 0)
            break;
    }
    probe_freep(&watch->probe);
    return 0;
}

/* From any thread */

void database_watch_set_login(struct database_watch *watch, const struct policy_connection *policy)
{
    struct login login = {0};
    if (policy)
        login = (struct login){
            .user = own_strdup(policy->user),
            .database = own_strdup(policy->database),
            .password_key = own_strdup(policy->password_key),
            .ssl_mode = own_strdup(policy->ssl_mode),
            .port = policy->port,
        };
    pthread_mutex_lock(&watch->lock);
    struct login before = watch->login;
    watch->login = login;
    pthread_mutex_unlock(&watch->lock);
    atomic_store(&watch->ask_now, true);
    login_done(&before);
}

void database_watch_get(struct database_watch *watch, struct database_status *ret_status)
{
    uint64_t count;
    const ssize_t got = read(watch->changed, &count, sizeof(count));
    (void)got; /* fails only if nothing changed */
    pthread_mutex_lock(&watch->lock);
    *ret_status = watch->status;
    pthread_mutex_unlock(&watch->lock);
}

int database_watch_fd(const struct database_watch *watch)
{
    return watch->changed;
}

void database_watch_freep(struct database_watch **watch)
{
    struct database_watch *w = TAKE(*watch);
    if (!w)
        return;
    probe_freep(&w->probe);
    login_done(&w->login);
    own_closep(&w->changed);
    pthread_mutex_destroy(&w->lock);
    free(w->pgdata);
    free(w);
}

int database_watch_new(struct database_watch **ret_watch,
                       const struct database_watch_options *options, struct error *err)
{
    struct database_watch *watch = own_alloc(sizeof(*watch));
    watch->options = *options;
    if (watch->options.look_ms == 0)
        watch->options.look_ms = LOOK_MS;
    if (watch->options.ask_ms == 0)
        watch->options.ask_ms = ASK_MS;
    if (watch->options.answer_ms == 0)
        watch->options.answer_ms = ANSWER_MS;
    watch->pgdata = own_strdup(options->pgdata);
    fail_status(&watch->status, "not asked yet");
    pthread_mutex_init(&watch->lock, NULL);
    watch->changed = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (watch->changed < 0) {
        error_errno(err, errno, "create eventfd");
        database_watch_freep(&watch);
        return -1;
    }
    *ret_watch = watch;
    return 0;
}
