// SPDX-License-Identifier: Apache-2.0
#include "sidecar/connection.h"

#include <stdlib.h>

#include "common/own.h"
#include "sidecar/policy.h"
#include "sidecar/secrets.h"

const char *connection_environment(const char *variable, const char *fallback)
{
    const char *value = getenv(variable);
    return value && value[0] ? value : fallback;
}

static const char *choose(const char *said, const char *variable, const char *policy)
{
    return said ? said : connection_environment(variable, policy);
}

void connection_done(struct connection *connection)
{
    own_freep(&connection->port);
    buf_done(&connection->password);
    *connection = (struct connection){0};
}

int connection_init(struct connection *ret_connection, const struct policy_connection *policy,
                    const struct connection_choice *choice, const struct secrets *secrets,
                    struct error *err)
{
    struct connection *connection = ret_connection;
    *connection = (struct connection){.password = BUF_SECRET(SECRETS_VALUE_MAX)};
    if (policy->password_key && secrets_get(secrets, "spec.connection.passwordKey",
                                            policy->password_key, &connection->password, err) < 0) {
        connection_done(connection);
        return -1;
    }
    connection->port = own_format("%u", policy->port);
    connection->pg = (struct pg_options){
        .host = choice->host,
        .port = choose(choice->port, "PGPORT", connection->port),
        .user = choose(choice->user, "PGUSER", policy->user),
        .database = choose(NULL, "PGDATABASE", policy->database),
        .password = connection->password.size > 0 ? &connection->password : NULL,
        .ssl_mode = choose(NULL, "PGSSLMODE", policy->ssl_mode),
    };
    return 0;
}
