// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include "common/cancel.h"
#include "common/crew.h"
#include "common/log.h"
#include "common/own.h"
#include "sidecar/cli.h"
#include "sidecar/command.h"
#include "sidecar/output.h"
#include "sidecar/policy.h"
#include "sidecar/progress.h"
#include "sidecar/session.h"
#include "sidecar/wal_board.h"
#include "sidecar/wal_follow.h"
#include "sidecar/wal_hold.h"
#include "sidecar/wal_news.h"
#include "sidecar/wal_slot.h"

struct receiver {
    const struct cli_options *options;
    const struct session *session;
    const struct cancel *cancel;
    struct progress *progress;
    struct wal_board board;
};

static struct connection_choice choice(const struct cli_options *options)
{
    return (struct connection_choice){
        .host = options->host, .port = options->port, .user = options->user};
}

/* Elsewhere than on a terminal only changes are told. */
static struct progress *new_progress(const struct cli_options *options)
{
    return isatty(STDERR_FILENO) && !options->progress && !options->hold
               ? progress_new("Receiving WAL", PROGRESS_TERMINAL)
               : NULL;
}

static int stream(struct receiver *receiver, struct error *err)
{
    const struct wal_follow_options follow = {
        .policy = receiver->session->policy,
        .secrets = receiver->session->secrets,
        .connection = choice(receiver->options),
        .stop = receiver->cancel,
        .board = &receiver->board,
        .progress = receiver->progress,
    };
    return wal_follow_run(&follow, err);
}

static int hold(struct receiver *receiver, struct error *err)
{
    const struct wal_hold_options hold = {
        .policy = receiver->session->policy,
        .secrets = receiver->session->secrets,
        .connection = choice(receiver->options),
        .stop = receiver->cancel,
        .board = &receiver->board,
    };
    return wal_hold_run(&hold, err);
}

/* Until it is told to stop, and while a thread beside it says how it goes. */
static int receive(struct receiver *receiver, struct error *err)
{
    const struct cli_options *options = receiver->options;
    struct cancel ended;
    if (cancel_init(&ended, err) < 0)
        return -1;
    struct wal_news_options news = {
        .board = &receiver->board,
        .policy = receiver->session->policy,
        .mode = options->hold ? MESSAGE_WAL_HOLD : MESSAGE_WAL_STREAM,
        .pgdata = options->pgdata ? options->pgdata : connection_environment("PGDATA", NULL),
        .json = options->progress,
        .progress = receiver->progress = new_progress(options),
        .cancel = &ended,
    };
    struct crew *crew = crew_new(&ended);
    int result = crew_start(crew, "wal-news", wal_news_run, &news, err);
    if (result == 0)
        result = options->hold ? hold(receiver, err) : stream(receiver, err);
    crew_freep(&crew);
    progress_freep(&receiver->progress);
    cancel_done(&ended);
    if (result == 0)
        log_info("Stopped on request", S("slot", receiver->board.state.slot));
    return result;
}

static int drop(const struct cli_options *options, const struct session *session,
                const struct cancel *cancel, struct error *err)
{
    char name[WAL_SLOT_NAME_BYTES];
    bool dropped;
    CLEANUP(connection_done) struct connection connection = {0};
    const struct connection_choice chosen = choice(options);
    if (connection_init(&connection, &session->policy->connection, &chosen, session->secrets, err) <
        0)
        return -1;
    connection.pg.cancel = cancel;
    wal_slot_name(session->policy->namespace, session->policy->name, name);
    const struct wal_slot slot = {.name = name, .pg = &connection.pg};
    if (wal_slot_drop(&slot, &dropped, err) < 0)
        return -1;
    if (dropped)
        log_info("Dropped the replication slot", S("slot", name));
    if (options->json)
        return output_json(json_pack("{s:s, s:b}", "slot", name, "dropped", dropped), err);
    return 0;
}

int command_wal_receive(const struct cli_options *options, struct cancel *cancel, struct error *err)
{
    CLEANUP(session_done) struct session session = {0};
    struct receiver receiver = {.options = options, .session = &session, .cancel = cancel};
    char slot[WAL_SLOT_NAME_BYTES];
    if (session_init(&session, options, err) < 0)
        return -1;
    if (options->drop_slot)
        return drop(options, &session, cancel, err);
    if (session.policy->wal.mode == POLICY_WAL_BACKUP_ONLY)
        return error_set(err, ERROR_PERMANENT,
                         "spec.wal.mode is BackupOnly, so no WAL is streamed: set it to Stream");
    wal_slot_name(session.policy->namespace, session.policy->name, slot);
    wal_board_init(&receiver.board, slot);
    const int result = receive(&receiver, err);
    wal_board_done(&receiver.board);
    return result;
}
