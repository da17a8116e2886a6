// SPDX-License-Identifier: Apache-2.0
#include "sidecar/server.h"

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "common/cancel.h"
#include "common/clock.h"
#include "common/crew.h"
#include "common/log.h"
#include "common/message.h"
#include "common/own.h"
#include "sidecar/archiver.h"
#include "sidecar/channel_client.h"
#include "sidecar/configuration.h"
#include "sidecar/database_watch.h"
#include "sidecar/inquiry.h"
#include "sidecar/policy.h"
#include "sidecar/report.h"
#include "sidecar/results.h"
#include "sidecar/wal_duty.h"
#include "sidecar/work.h"

enum {
    TICK_MS = 1000,
    HEARTBEAT_SECONDS = 10, /* until the operator says another */
    PROGRESS_MS = 1000,
    SHUTDOWN_GRACE_MS = 2000, /* of a job, when PostgreSQL or we are told to end */
    STOP_PATIENCE_MS = 5000,
    WAL_PATIENCE_MS = 12 * 1000, /* what came of WAL may be all that is left of it */
    NAME_BYTES = 256,
};

/* Which descriptors are waited for, in this order. */
enum {
    POLL_CANCEL,
    POLL_CHANNEL,
    POLL_DATABASE,
    POLL_WORK,
    POLL_INQUIRY = POLL_WORK + JOB_POLL_FDS,
    POLL_ARCHIVER = POLL_INQUIRY + JOB_POLL_FDS,
    POLL_COUNT = POLL_ARCHIVER + JOB_POLL_FDS,
};

struct server {
    const struct server_options *options;
    struct cancel threads; /* ends the threads below */
    struct crew *crew;
    struct channel_client *channel;
    struct database_watch *watch;
    struct configuration configuration;
    char *policy_path;
    struct database_status database;
    struct results results;
    struct inquiry inquiry;
    struct work work;
    struct archiver archiver;
    int64_t started_ms, connected_ms; /* monotonic; the last moment with an operator, 0: none */
    struct {                          /* what the operator said of us */
        char namespace[NAME_BYTES], policy[NAME_BYTES], region[NAME_BYTES];
        int64_t heartbeat_ms;
        enum message_wal wal;
    } assigned;
    char *other_policy; /* NULL unless the loaded policy is not the assigned one */
    bool news;          /* the state has changed */
    int64_t look_at_ms, tell_at_ms, progress_at_ms; /* monotonic */
    struct job_progress told_progress;
};

/* What the operator is told */

static void send_message(struct server *server, const struct message *message)
{
    struct error err;
    if (channel_client_send(server->channel, message, &err) < 0)
        log_error(&err, "Could not tell the operator");
}

static void tell_state(struct server *server)
{
    const struct report_facts facts = {
        .configuration = &server->configuration,
        .other_policy = server->other_policy,
        .database = &server->database,
        .work = &server->work,
        .results = &server->results,
        .inquiry = &server->inquiry,
        .archiver = &server->archiver,
    };
    CLEANUP(report_done) struct report report;
    report_init(&report, &facts);
    send_message(server, &report.message);
    server->news = false;
    server->tell_at_ms = clock_monotonic_ms() + server->assigned.heartbeat_ms;
}

static void tell_done(struct server *server, const struct message_done *done)
{
    const struct message message = {.type = MESSAGE_DONE, .done = *done};
    send_message(server, &message);
}

/* A run that is not even started; it may be sent again. */
static void refuse_run(struct server *server, const struct message_run *run,
                       const struct error *why)
{
    const struct message_done done = {
        .id = run->id,
        .kind = run->kind,
        .error_kind = error_kind_name(why->kind),
        .error = why->text,
    };
    log_error(why, "Refused a job", S("job", run->id));
    tell_done(server, &done);
}

static void tell_progress(struct server *server)
{
    const int64_t now_ms = clock_monotonic_ms();
    if (!server->work.job || now_ms < server->progress_at_ms)
        return;
    const struct job_progress *progress = job_progress(server->work.job);
    if (memcmp(progress, &server->told_progress, sizeof(*progress)) == 0)
        return;
    const struct message message = {.type = MESSAGE_PROGRESS,
                                    .progress = work_progress(&server->work)};
    send_message(server, &message);
    server->told_progress = *progress;
    server->progress_at_ms = now_ms + PROGRESS_MS;
}

static void tell_what_is_new(struct server *server)
{
    if (!channel_client_connected(server->channel))
        return;
    tell_progress(server);
    if (server->news || clock_monotonic_ms() >= server->tell_at_ms)
        tell_state(server);
}

/* What the operator says */

/* A mount of the wrong ConfigMap would back up under another policy's name. */
static void compare_policies(struct server *server)
{
    const struct policy *policy = server->configuration.policy;
    own_freep(&server->other_policy);
    if (!policy || !server->assigned.policy[0] ||
        (strcmp(policy->name, server->assigned.policy) == 0 &&
         strcmp(policy->namespace, server->assigned.namespace) == 0))
        return;
    server->other_policy = own_format(
        "the mounted configuration is that of policy '%s/%s', but the pod is a member of "
        "'%s/%s': mount the ConfigMap lifeboat-%s",
        policy->namespace, policy->name, server->assigned.namespace, server->assigned.policy,
        server->assigned.policy);
}

static void copy_name(char ret_name[NAME_BYTES], const char *name)
{
    snprintf(ret_name, NAME_BYTES, "%s", name ? name : "");
}

static void take_assign(struct server *server, const struct message_assign *assign)
{
    copy_name(server->assigned.namespace, assign->policy_namespace);
    copy_name(server->assigned.policy, assign->policy);
    copy_name(server->assigned.region, assign->region);
    server->assigned.heartbeat_ms = (int64_t)assign->heartbeat_seconds * 1000;
    server->assigned.wal = assign->wal;
    compare_policies(server);
    server->look_at_ms = 0;
    server->news = true;
}

static int check_configuration(const struct server *server, int64_t needed, struct error *err)
{
    const struct configuration *configuration = &server->configuration;
    if (configuration->problem.kind != ERROR_NONE) {
        *err = configuration->problem;
        if (err->kind == ERROR_NOT_FOUND) /* what is missing may come; no backup is meant by it */
            err->kind = ERROR_TRANSIENT;
        return error_wrap(err, "the configuration");
    }
    if (server->other_policy)
        return error_set(err, ERROR_CONFLICT, "%s", server->other_policy);
    if (configuration->generation < needed)
        return error_set(err, ERROR_TRANSIENT,
                         "generation %jd of the configuration has not come yet, only %jd",
                         (intmax_t)needed, (intmax_t)configuration->generation);
    return 0;
}

static int check_database(const struct server *server, enum message_kind kind, struct error *err)
{
    const enum database_phase phase = server->database.phase;
    if (kind == MESSAGE_KIND_RESTORE && (phase == DATABASE_READY || phase == DATABASE_STARTING))
        return error_set(err, ERROR_PERMANENT,
                         "a database runs in this pod: restores have pods of their own");
    if (kind == MESSAGE_KIND_BACKUP && phase == DATABASE_STOPPING)
        return error_set(err, ERROR_TRANSIENT, "PostgreSQL is stopping");
    return 0;
}

static void look_at_configuration(struct server *server);

static void take_run(struct server *server, const struct message_run *run)
{
    const char *running = server->results.running.id;
    struct error err;
    server->news = true; /* its answer, where it is known */
    if (strcmp(running, run->id) == 0 || results_find(&server->results, run->id))
        return;
    if (work_is_busy(&server->work)) {
        error_set(&err, ERROR_TRANSIENT, "busy with '%s'", running);
        return refuse_run(server, run, &err);
    }
    server->look_at_ms = 0;
    look_at_configuration(server);
    if (check_configuration(server, run->generation, &err) < 0 ||
        check_database(server, run->kind, &err) < 0 ||
        work_start(&server->work, run, server->assigned.region[0] ? server->assigned.region : NULL,
                   &err) < 0)
        refuse_run(server, run, &err);
    server->told_progress = (struct job_progress){0};
}

static void take_cancel(struct server *server, const struct message_cancel *cancel)
{
    if (strcmp(server->results.running.id, cancel->id) == 0)
        work_cancel(&server->work, cancel->reason ? cancel->reason : "the operator asked for it",
                    JOB_GRACE_MS);
    server->news = true;
}

static void take_message(struct server *server, const struct message *message)
{
    switch (message->type) {
    case MESSAGE_ASSIGN:
        return take_assign(server, &message->assign);
    case MESSAGE_RUN:
        return take_run(server, &message->run);
    case MESSAGE_CANCEL:
        return take_cancel(server, &message->cancel);
    case MESSAGE_QUESTION:
        inquiry_ask(&server->inquiry, &message->question);
        server->news = server->news || message->question.lookup_count == 0;
        return;
    default: /* the channel lets nothing else through */
        return;
    }
}

static void hear_operator(struct server *server)
{
    for (;;) {
        struct channel_event event = {0};
        channel_client_next(server->channel, &event);
        if (event.type == CHANNEL_NONE)
            return;
        if (event.type == CHANNEL_CONNECTED)
            server->news = true;
        if (event.type != CHANNEL_MESSAGE)
            continue;
        take_message(server, &event.message);
        message_clear(&event.message);
    }
}

/* What happens around us */

static int tick_ms(const struct server *server)
{
    return server->options->tick_ms > 0 ? server->options->tick_ms : TICK_MS;
}

static void look_at_configuration(struct server *server)
{
    struct configuration *configuration = &server->configuration;
    const int64_t now_ms = clock_monotonic_ms();
    if (now_ms < server->look_at_ms)
        return;
    server->look_at_ms = now_ms + tick_ms(server);
    if (!configuration_refresh(configuration))
        return;
    channel_client_set_target(server->channel, configuration->endpoint, configuration->ca);
    database_watch_set_login(server->watch,
                             configuration->policy ? &configuration->policy->connection : NULL);
    compare_policies(server);
    inquiry_refresh(&server->inquiry);
    archiver_retry(&server->archiver);
    server->news = true;
}

/* A job with an SQL session must not hold a shutdown up. */
static void look_at_database(struct server *server)
{
    const enum database_phase before = server->database.phase;
    struct database_status status;
    database_watch_get(server->watch, &status);
    if (status.phase != before || status.reachable != server->database.reachable ||
        status.standing.in_recovery != server->database.standing.in_recovery ||
        strcmp(status.error.text, server->database.error.text) != 0)
        server->news = true;
    server->database = status;
    if (status.phase == DATABASE_STOPPING && before != DATABASE_STOPPING &&
        server->results.running.kind == MESSAGE_KIND_BACKUP)
        work_cancel(&server->work, "PostgreSQL is stopping, which a backup must not hold up",
                    SHUTDOWN_GRACE_MS);
}

static void do_work(struct server *server)
{
    const struct message_done *done = work_step(&server->work, &server->inquiry);
    if (done) {
        tell_done(server, done);
        inquiry_refresh(&server->inquiry);
        server->news = true;
    }
    const struct configuration *configuration = &server->configuration;
    if (inquiry_step(&server->inquiry, configuration->usable ? configuration->policy : NULL,
                     !work_is_busy(&server->work)))
        server->news = true;
}

static enum wal_duty wal_duty(const struct server *server)
{
    const struct configuration *configuration = &server->configuration;
    const struct wal_duty_facts facts = {
        .known = configuration->policy,
        .usable = configuration->usable,
        .foreign = server->other_policy,
        .mode = configuration->usable ? configuration->policy->wal.mode : POLICY_WAL_UNSAID,
        .member = server->assigned.policy[0],
        .assigned = server->assigned.wal,
        .now_ms = clock_monotonic_ms(),
        .started_ms = server->started_ms,
        .connected_ms = server->connected_ms,
        .asked = server->database.standing.system_identifier != 0,
        .in_recovery = server->database.standing.in_recovery,
        .present = archiver_duty(&server->archiver),
    };
    return wal_duty_decide(&facts);
}

static void archive(struct server *server)
{
    const char *told = server->database.standing.data_directory;
    const struct archiver_wish wish = {
        .duty = wal_duty(server),
        .policy = server->configuration.policy,
        .policy_file = server->configuration.policy_file,
        .ready = server->database.reachable,
        .pgdata = server->options->pgdata ? server->options->pgdata
                  : told[0]               ? told
                                          : NULL,
    };
    if (channel_client_connected(server->channel))
        server->connected_ms = clock_monotonic_ms();
    if (archiver_step(&server->archiver, &wish))
        server->news = true;
}

/* Until something comes, or something is due. */
static void wait_for_events(const struct server *server)
{
    struct pollfd fds[POLL_COUNT] = {
        [POLL_CANCEL] = {.fd = server->options->cancel->fd, .events = POLLIN},
        [POLL_CHANNEL] = {.fd = channel_client_fd(server->channel), .events = POLLIN},
        [POLL_DATABASE] = {.fd = database_watch_fd(server->watch), .events = POLLIN},
    };
    work_poll_fds(&server->work, &fds[POLL_WORK]);
    inquiry_poll_fds(&server->inquiry, &fds[POLL_INQUIRY]);
    archiver_poll_fds(&server->archiver, &fds[POLL_ARCHIVER]);
    int64_t left_ms = work_due_ms(&server->work) - clock_monotonic_ms();
    if (left_ms < 0)
        left_ms = 0;
    poll(fds, POLL_COUNT, (int)(left_ms < tick_ms(server) ? left_ms : tick_ms(server)));
}

/* The beginning and the end */

/* The job gets a moment to close its sessions and remove its heartbeat, WAL that came is stored. */
static void stop_children(struct server *server)
{
    static const char reason[] = "the sidecar was told to end";
    const struct archiver_wish stop = {.duty = WAL_DUTY_STOP};
    const int64_t begun_ms = clock_monotonic_ms();
    work_cancel(&server->work, reason, SHUTDOWN_GRACE_MS);
    archiver_stop(&server->archiver, reason);
    for (int64_t passed_ms = 0;
         (server->work.job && passed_ms < STOP_PATIENCE_MS) ||
         (archiver_duty(&server->archiver) != WAL_DUTY_LEAVE && passed_ms < WAL_PATIENCE_MS);
         passed_ms = clock_monotonic_ms() - begun_ms) {
        struct pollfd fds[2 * JOB_POLL_FDS];
        work_poll_fds(&server->work, fds);
        archiver_poll_fds(&server->archiver, fds + JOB_POLL_FDS);
        poll(fds, ARRAY_SIZE(fds), SHUTDOWN_GRACE_MS / 4);
        const struct message_done *done = work_step(&server->work, &server->inquiry);
        if (done)
            tell_done(server, done);
        archiver_step(&server->archiver, &stop);
    }
}

static void server_done(struct server *server)
{
    crew_freep(&server->crew); /* cancels and joins */
    work_done(&server->work);
    archiver_done(&server->archiver);
    inquiry_done(&server->inquiry);
    results_done(&server->results);
    configuration_done(&server->configuration);
    database_watch_freep(&server->watch);
    channel_client_freep(&server->channel);
    own_freep(&server->policy_path);
    own_freep(&server->other_policy);
    cancel_done(&server->threads);
}

static int start_threads(struct server *server, struct error *err)
{
    const struct server_options *options = server->options;
    const struct channel_client_options channel = {
        .namespace = options->namespace,
        .pod = options->pod,
        .uid = options->uid,
        .version = LIFEBOAT_VERSION,
        .token_file = options->token,
        .cancel = &server->threads,
    };
    const struct database_watch_options watch = {
        .host = options->host,
        .pgdata = options->pgdata,
        .secrets = options->secrets,
        .cancel = &server->threads,
    };
    if (channel_client_new(&server->channel, &channel, err) < 0 ||
        database_watch_new(&server->watch, &watch, err) < 0)
        return -1;
    server->crew = crew_new(&server->threads);
    if (crew_start(server->crew, "channel", channel_client_run, server->channel, err) < 0)
        return -1;
    return crew_start(server->crew, "database", database_watch_run, server->watch, err);
}

static int server_init(struct server *server, const struct server_options *options,
                       struct error *err)
{
    server->options = options;
    server->threads.fd = -1;
    server->assigned.heartbeat_ms = HEARTBEAT_SECONDS * 1000;
    configuration_init(&server->configuration, options->config, options->secrets);
    server->policy_path = configuration_policy_path(&server->configuration);
    const struct inquiry_options inquiry = {
        .program = options->program, .policy = server->policy_path, .secrets = options->secrets};
    const struct work_options work = {
        .program = options->program,
        .policy = server->policy_path,
        .secrets = options->secrets,
        .host = options->host,
        .pgdata = options->pgdata,
        .pod = options->pod,
    };
    const struct archiver_options archiver = {
        .program = options->program,
        .secrets = options->secrets,
        .host = options->host,
    };
    server->started_ms = clock_monotonic_ms();
    archiver_init(&server->archiver, &archiver);
    results_init(&server->results, options->ledger);
    inquiry_init(&server->inquiry, &inquiry);
    work_init(&server->work, &work, &server->results, &server->inquiry);
    if (cancel_init(&server->threads, err) < 0)
        return -1;
    return start_threads(server, err);
}

int server_run(const struct server_options *options, struct error *err)
{
    CLEANUP(server_done) struct server server = {0};
    if (server_init(&server, options, err) < 0)
        return -1;
    log_info("Started the server", S("version", LIFEBOAT_VERSION), S("pod", options->pod));
    while (!cancel_requested(options->cancel) && !cancel_requested(&server.threads)) {
        look_at_configuration(&server);
        look_at_database(&server);
        hear_operator(&server);
        do_work(&server);
        archive(&server);
        tell_what_is_new(&server);
        wait_for_events(&server);
    }
    stop_children(&server);
    if (cancel_requested(options->cancel)) {
        log_info("Stopped the server on request");
        return 0;
    }
    return crew_join(server.crew, err); /* why a thread could not go on */
}
