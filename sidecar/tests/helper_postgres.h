// SPDX-License-Identifier: Apache-2.0
/*
 * Throw-away PostgreSQL servers for tests: one directory holds data, socket and log; a guard
 * process ends the server and removes the directory when the test stops it, fails, crashes or is
 * killed. The programs come from LIFEBOAT_TEST_PG_BIN, else from the newest /usr/lib/postgresql;
 * without any the test is skipped (exit status 77). As root, they run as the user postgres (else
 * nobody). What goes wrong fails the test, so nothing here returns an error.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "sidecar/pg.h"

struct cancel;

struct helper_postgres {
    char *directory; /* holds all that is made here, the socket too; goes with the server */
    char *data;      /* PGDATA */
    char *bin;       /* directory of the programs */
    int major;       /* 15 to 18 */
    char port[6];
    int guard; /* the guard acts when this descriptor is closed */
};

struct helper_postgres_options {
    const char *initdb;   /* one more argument for initdb, as "--data-checksums" */
    const char *settings; /* lines for postgresql.conf */
    const char *hba;      /* pg_hba.conf; NULL: everybody is trusted on the Unix socket */
    bool tcp;             /* listens on 127.0.0.1 too, at the same port */
};

/* A new cluster with the superuser "postgres", started. options may be NULL. Those that a process
 * makes without an argument for initdb have the same system identifier. */
struct helper_postgres *helper_postgres_start(const struct helper_postgres_options *options);
/* A streaming standby of primary, started and consistent. */
struct helper_postgres *helper_postgres_standby(const struct helper_postgres *primary);
/* Starts a server on a data directory that something else has made, a restore for example: it keeps
 * its configuration but for port and socket, now belongs to the server's user, and stays at the
 * end. Its parents must be open to that user: below another server's directory is a good place. */
struct helper_postgres *helper_postgres_adopt(const char *data);
/* Ends the server, removes its directory and sets *server to NULL. */
void helper_postgres_stop(struct helper_postgres **server);

/* Shuts down as pg_ctl's mode says ("fast", "smart", "immediate") and keeps the data. */
void helper_postgres_shut_down(const struct helper_postgres *server, const char *mode);
void helper_postgres_resume(const struct helper_postgres *server);
void helper_postgres_promote(const struct helper_postgres *standby);

/* Where and as whom to connect: the Unix socket, database "postgres". Strings are lent. */
struct pg_options helper_postgres_login(const struct helper_postgres *server, const char *user,
                                        const struct cancel *cancel);
/* Runs SQL in database "postgres" as the superuser and gives the rows: columns separated by '|',
 * lines by '\n', none at the end. The caller's (own_freep). */
char *helper_postgres_sql(const struct helper_postgres *server, const char *sql);
/* The same without an answer; psql's commands work too. */
void helper_postgres_do(const struct helper_postgres *server, const char *sql);
/* Waits until SQL gives these rows; fails the test after minutes. The clock must not be faked. */
void helper_postgres_await(const struct helper_postgres *server, const char *sql,
                           const char *answer);
/* The process that is of a backend_type of pg_stat_activity, the postmaster for NULL. Never 0 or 1,
 * so it can be given to kill(), for which 0 is all of the test's own process group. */
pid_t helper_postgres_process(const struct helper_postgres *server, const char *type);
/* Runs one of the programs as the server's user with PGHOST, PGPORT, PGUSER and PGDATABASE set; a
 * status other than 0 fails the test. What it printed is the caller's (own_freep). arguments are
 * NULL-terminated. */
char *helper_postgres_run(const struct helper_postgres *server, const char *program,
                          const char *const arguments[]);
/* Replaces pg_hba.conf and has it loaded. */
void helper_postgres_set_hba(const struct helper_postgres *server, const char *lines);
/* Runs role.sql and gives role "lifeboat" a password. */
void helper_postgres_add_role(const struct helper_postgres *server, const char *password);
