// SPDX-License-Identifier: Apache-2.0
/*
 * What wal-receive says of itself while it runs: each second, if it has changed, a line of JSON on
 * stderr for the server that started it ({"archiving": …}, as in the state that this tells the
 * operator), how far it is on a terminal, and a warning in the log before what is kept on the
 * server fills its disk.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "common/error.h"
#include "common/message.h"

struct cancel;
struct policy;
struct progress;
struct wal_board;
struct wal_follow_state;

struct wal_news_options { /* all lent */
    struct wal_board *board;
    const struct policy *policy;
    enum message_wal mode; /* MESSAGE_WAL_STREAM or MESSAGE_WAL_HOLD */
    const char *pgdata;    /* of which pg_wal is looked at; NULL: nobody knows where */
    bool json;
    struct progress *progress; /* where a terminal shows how far it is; may be NULL */
    const struct cancel *cancel;
};

/* Until the cancel; a crew_main, with the options. The last thing it says is how it ended. */
int wal_news_run(void *options, struct error *err);

/* Whether room for WAL that is not stored runs out: pure. */
struct wal_news_room {
    uint64_t kept_bytes;
    int64_t left_bytes, left_seconds; /* -1: not known */
};
bool wal_news_is_urgent(const struct wal_news_room *room);

/* Whether it streams, for those who act on it: a connection that comes and goes while nothing gets
 * into the regions is none. Pure; zeroed at first. */
struct wal_news_calm {
    bool streaming;
    int64_t since_ms;     /* of the clock */
    struct error error;   /* why not; kind NONE: no reason, or it streams */
    uint64_t durable_lsn; /* when it was lost */
};
void wal_news_calm(struct wal_news_calm *calm, const struct wal_follow_state *state,
                   int64_t now_ms);
