// SPDX-License-Identifier: Apache-2.0
/*
 * Before a backup starts: is the data directory that of the server we talk to? Files of another
 * server would make a backup that restores to garbage.
 */
#pragma once

#include "common/error.h"

struct cancel;
struct pg_server;
struct source;

/* PERMANENT: another database system, another server of the same system (a primary's connection
 * with a standby's files), or a server that is not running; the text names both sides. */
MUST_CHECK int preflight_same_server(const struct source *source, const char *pgdata,
                                     const struct pg_server *server, const struct cancel *cancel,
                                     struct error *err);
