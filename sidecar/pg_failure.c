// SPDX-License-Identifier: Apache-2.0
#include "sidecar/pg_failure.h"

#include <string.h>

#include "common/own.h"

enum { SQLSTATE_CHARACTERS = 5, ADDRESS_CHARACTERS_MAX = 45 };

/* What to do; gives the caller's text (own_freep). */
typedef char *(*advise)(const struct pg_failure *failure);

/* The first rule that fits counts: sqlstate is a prefix, "" fits failures of libpq only; needle,
 * unless NULL, is looked for in the message. */
struct rule {
    const char *sqlstate, *needle;
    enum error_kind kind;
    advise advise;
};

static char *check_password(const struct pg_failure *failure)
{
    CLEANUP(own_freep) char *role = pg_failure_quote(failure->role);
    return own_format("check role %s (does it exist, has it a password?) and the password that "
                      "connection.passwordKey names",
                      role);
}

static char *give_password(const struct pg_failure *failure)
{
    CLEANUP(own_freep) char *role = pg_failure_quote(failure->role);
    return own_format("put the password of role %s into the key that connection.passwordKey names",
                      role);
}

/* pg_hba.conf's address of the client that the server names in its message, the first thing there
 * in double quotes; "" for Unix sockets. */
static char *client_address(const char *message)
{
    const char *start = strchr(message, '"');
    if (!start)
        return own_strdup("");
    start++;
    size_t size = strspn(start, "0123456789abcdef.:");
    if (size == 0 || size > ADDRESS_CHARACTERS_MAX || start[size] != '"')
        return own_strdup("");
    return own_format("%.*s/%s", (int)size, start, memchr(start, ':', size) ? "128" : "32");
}

static char *add_hba_line(const struct pg_failure *failure)
{
    CLEANUP(own_freep) char *role = pg_failure_quote(failure->role);
    CLEANUP(own_freep) char *database = pg_failure_quote(failure->database);
    CLEANUP(own_freep) char *address = client_address(failure->message);
    return own_format("add to pg_hba.conf above other lines that fit, and reload: '%s %s %s%s%s "
                      "scram-sha-256'",
                      *address ? "host" : "local", failure->replication ? "replication" : database,
                      role, *address ? " " : "", address);
}

static char *create_role(const struct pg_failure *failure)
{
    CLEANUP(own_freep) char *role = pg_failure_quote(failure->role);
    return own_format("the role %s must exist with LOGIN (role.sql creates \"lifeboat\"); "
                      "connection.user names the role",
                      role);
}

static char *name_database(const struct pg_failure *failure)
{
    (void)failure;
    return own_strdup("connection.database names the database");
}

static char *grant(const struct pg_failure *failure)
{
    CLEANUP(own_freep) char *role = pg_failure_quote(failure->role);
    CLEANUP(own_freep) char *database = pg_failure_quote(failure->database);
    if (failure->replication)
        return own_format("run as a superuser: ALTER ROLE %s REPLICATION;", role);
    if (!failure->connected)
        return own_format("run as a superuser: GRANT CONNECT ON DATABASE %s TO %s;", database,
                          role);
    return own_format("run role.sql as a superuser in database %s", database);
}

static char *raise_connections(const struct pg_failure *failure)
{
    return own_strdup(failure->replication ? "raise max_wal_senders" : "raise max_connections");
}

static char *raise_slots(const struct pg_failure *failure)
{
    (void)failure;
    return own_strdup("raise max_replication_slots, or drop a slot that nobody uses");
}

static char *wait_for_slot(const struct pg_failure *failure)
{
    (void)failure;
    return own_strdup("another process uses it; if none should, end that one");
}

static char *raise_wal_level(const struct pg_failure *failure)
{
    (void)failure;
    return own_strdup("set wal_level = replica and restart PostgreSQL");
}

static char *avoid_pooler(const struct pg_failure *failure)
{
    (void)failure;
    return own_strdup("connection.port must be PostgreSQL's own, not that of a pooler");
}

static char *check_certificates(const struct pg_failure *failure)
{
    (void)failure;
    return own_strdup("check connection.sslMode and the server's certificate");
}

static char *check_address(const struct pg_failure *failure)
{
    (void)failure;
    return own_strdup("is PostgreSQL running there? (connection.port, or --host and --port)");
}

static char *look_at_log(const struct pg_failure *failure)
{
    (void)failure;
    return own_strdup("it crashed or was ended, or a proxy cut the connection: see its log");
}

static const struct rule rules[] = {
    {"28P01", NULL, ERROR_PERMANENT, check_password},
    {"28", "pg_hba.conf", ERROR_PERMANENT, add_hba_line},
    {"28", NULL, ERROR_PERMANENT, create_role},
    {"3D000", NULL, ERROR_PERMANENT, name_database},
    {"42501", NULL, ERROR_PERMANENT, grant},
    {"53300", NULL, ERROR_TRANSIENT, raise_connections},
    {"55006", NULL, ERROR_TRANSIENT, wait_for_slot},
    {"53400", "slot", ERROR_PERMANENT, raise_slots},
    {"53", NULL, ERROR_TRANSIENT, NULL},
    {"55000", "WAL level", ERROR_PERMANENT, raise_wal_level},
    {"57014", NULL, ERROR_TRANSIENT, NULL}, /* somebody canceled our query */
    {"57P", NULL, ERROR_TRANSIENT, NULL},   /* starting up, shutting down, crashed */
    {"08P01", "startup parameter", ERROR_PERMANENT, avoid_pooler},
    {"08", NULL, ERROR_TRANSIENT, NULL},
    {"40", NULL, ERROR_TRANSIENT, NULL},
    {"", "server closed the connection", ERROR_TRANSIENT, look_at_log},
    {"", "no password supplied", ERROR_PERMANENT, give_password},
    {"", "certificate", ERROR_PERMANENT, check_certificates},
    {"", "does not support SSL", ERROR_PERMANENT, check_certificates},
    {"", "invalid ", ERROR_PERMANENT, NULL}, /* a parameter that libpq refuses */
    {"", "Connection refused", ERROR_TRANSIENT, check_address},
    {"", "No such file or directory", ERROR_TRANSIENT, check_address},
    {"", NULL, ERROR_TRANSIENT, NULL},
};

static bool fits(const struct rule *rule, const struct pg_failure *failure)
{
    size_t size = strlen(rule->sqlstate);
    if (size == 0 ? *failure->sqlstate : strncmp(failure->sqlstate, rule->sqlstate, size) != 0)
        return false;
    return !rule->needle || strstr(failure->message, rule->needle);
}

static const struct rule *find_rule(const struct pg_failure *failure)
{
    static const struct rule other = {.kind = ERROR_PERMANENT};
    for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
        if (fits(&rules[i], failure))
            return &rules[i];
    return &other;
}

static bool is_sqlstate(const char *text)
{
    return strspn(text, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") >= SQLSTATE_CHARACTERS &&
           strncmp(text + SQLSTATE_CHARACTERS, ": ", 2) == 0;
}

char *pg_failure_quote(const char *name)
{
    char *quoted = own_alloc(2 * strlen(name) + 3), *at = quoted;
    *at++ = '"';
    for (; *name; name++) {
        if (*name == '"')
            *at++ = '"';
        *at++ = *name;
    }
    *at = '"';
    return quoted;
}

const char *pg_failure_split(const char *text, char ret_sqlstate[6])
{
    memset(ret_sqlstate, 0, SQLSTATE_CHARACTERS + 1);
    for (const char *at = text; (at = strstr(at, ":  ")); at++) {
        if (!is_sqlstate(at + 3))
            continue;
        memcpy(ret_sqlstate, at + 3, SQLSTATE_CHARACTERS);
        return at + 3 + SQLSTATE_CHARACTERS + 2;
    }
    return text;
}

int pg_failure_set(const struct pg_failure *failure, struct error *err)
{
    const struct rule *rule = find_rule(failure);
    CLEANUP(own_freep)
    char *advice =
        rule->advise ? rule->advise(failure) : own_strdup(failure->hint ? failure->hint : "");
    bool has_state = *failure->sqlstate;
    return error_set(err, rule->kind, "%.*s%s%s%s%s%.*s", (int)strcspn(failure->message, "\n"),
                     failure->message, has_state ? " (" : "", failure->sqlstate,
                     has_state ? ")" : "", *advice ? "; " : "", (int)strcspn(advice, "\n"), advice);
}
