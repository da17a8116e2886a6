// SPDX-License-Identifier: Apache-2.0
/*
 * The database beside us, watched so that it is never hurt: postmaster.pid is looked at each
 * second, and only a server that says it is ready is asked, by a session that ends at once. When it
 * says that it stops, that session is closed and whoever waits is told, because one idle session
 * holds a smart shutdown until the kubelet kills it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "sidecar/pg.h"

struct cancel;
struct database_watch;
struct policy_connection;

struct database_watch_options { /* all lent */
    const char *host;
    const char *pgdata;  /* NULL: what the server says, as soon as it does */
    const char *secrets; /* directory */
    const struct cancel *cancel;
    int look_ms, ask_ms, answer_ms; /* 0: 1 s, 10 s and 15 s */
};

enum database_phase {
    DATABASE_UNKNOWN,  /* nobody said where its data directory is */
    DATABASE_ABSENT,   /* no postmaster.pid: it does not run, or the directory is not mounted */
    DATABASE_STARTING, /* or in recovery without hot_standby */
    DATABASE_READY,
    DATABASE_STOPPING,
};

struct database_status {
    enum database_phase phase;
    bool reachable;              /* it answered the last time */
    struct error error;          /* unless reachable: why */
    struct pg_standing standing; /* what it said last; zeroed: never */
};

MUST_CHECK int database_watch_new(struct database_watch **ret_watch,
                                  const struct database_watch_options *options, struct error *err);
void database_watch_freep(struct database_watch **watch); /* after database_watch_run ended */
int database_watch_run(void *watch, struct error *err);   /* crew_main; ends with the cancel */

/* From any thread. */

/* How to log in from now on; copied. NULL: not known. */
void database_watch_set_login(struct database_watch *watch, const struct policy_connection *login);
void database_watch_get(struct database_watch *watch, struct database_status *ret_status);
/* Readable (poll(2)) after anything but LSN and lag has changed, until database_watch_get. */
int database_watch_fd(const struct database_watch *watch);
