// SPDX-License-Identifier: Apache-2.0
/* How to reach the server: what the command line says, else libpq's environment, else the policy's
 * spec.connection; and the password, read from the Secret anew. */
#pragma once

#include "common/buf.h"
#include "common/error.h"
#include "sidecar/pg.h"

struct cancel;
struct policy_connection;
struct secrets;

struct connection_choice { /* each NULL: not said */
    const char *host, *port, *user;
};

struct connection {
    struct pg_options pg; /* lends from here, the policy, the choice and the environment */
    char *port;
    struct buf password;
};

/* As secrets_get fails. */
MUST_CHECK int connection_init(struct connection *ret_connection,
                               const struct policy_connection *policy,
                               const struct connection_choice *choice,
                               const struct secrets *secrets, struct error *err);
void connection_done(struct connection *connection); /* for CLEANUP; zeroed is empty */
/* The value of an environment variable, where it is not empty, else the fallback. */
const char *connection_environment(const char *variable, const char *fallback);
