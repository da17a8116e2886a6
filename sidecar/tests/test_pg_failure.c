// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/own.h"
#include "sidecar/pg_failure.h"

/* What an error must say; role "lifeboat", database "shop". */
struct expectation {
    struct pg_failure failure;
    enum error_kind kind;
    const char *text;
};

static const struct expectation expectations[] = {
    {{.sqlstate = "28P01", .message = "password authentication failed for user \"lifeboat\""},
     ERROR_PERMANENT,
     "password authentication failed for user \"lifeboat\" (28P01); check role \"lifeboat\" (does "
     "it exist, has it a password?) and the password that connection.passwordKey names"},
    {{.sqlstate = "28000",
      .message = "no pg_hba.conf entry for host \"10.1.2.3\", user \"lifeboat\", database "
                 "\"shop\", no encryption"},
     ERROR_PERMANENT,
     "'host \"shop\" \"lifeboat\" 10.1.2.3/32 scram-sha-256'"},
    {{.sqlstate = "28000",
      .message = "no pg_hba.conf entry for replication connection from host \"fd00::7\", user "
                 "\"lifeboat\", SSL encryption",
      .replication = true},
     ERROR_PERMANENT,
     "'host replication \"lifeboat\" fd00::7/128 scram-sha-256'"},
    {{.sqlstate = "28000",
      .message = "pg_hba.conf rejects connection for host \"[local]\", user \"lifeboat\", "
                 "database \"shop\", no encryption"},
     ERROR_PERMANENT,
     "'local \"shop\" \"lifeboat\" scram-sha-256'"},
    {{.sqlstate = "28000", .message = "role \"lifeboat\" does not exist"},
     ERROR_PERMANENT,
     "must exist with LOGIN"},
    {{.sqlstate = "3D000", .message = "database \"shop\" does not exist"},
     ERROR_PERMANENT,
     "connection.database"},
    {{.sqlstate = "42501", .message = "permission denied for database \"shop\""},
     ERROR_PERMANENT,
     "GRANT CONNECT ON DATABASE \"shop\" TO \"lifeboat\";"},
    {{.sqlstate = "42501", .message = "permission denied to start WAL sender", .replication = true},
     ERROR_PERMANENT,
     "ALTER ROLE \"lifeboat\" REPLICATION;"},
    {{.sqlstate = "42501", .message = "permission denied for function f", .connected = true},
     ERROR_PERMANENT,
     "role.sql"},
    {{.sqlstate = "57P03", .message = "the database system is starting up"},
     ERROR_TRANSIENT,
     "the database system is starting up (57P03)"},
    {{.sqlstate = "57P01", .message = "terminating connection", .connected = true},
     ERROR_TRANSIENT,
     "terminating connection (57P01)"},
    {{.sqlstate = "53300", .message = "sorry, too many clients already"},
     ERROR_TRANSIENT,
     "max_connections"},
    {{.sqlstate = "53300", .message = "too many", .replication = true},
     ERROR_TRANSIENT,
     "max_wal_senders"},
    {{.sqlstate = "55006",
      .message = "replication slot \"s\" is active for PID 7",
      .connected = true},
     ERROR_TRANSIENT,
     "another process uses it"},
    {{.sqlstate = "53400", .message = "all replication slots are in use", .connected = true},
     ERROR_PERMANENT,
     "max_replication_slots"},
    {{.sqlstate = "55000",
      .message = "WAL level not sufficient for making an online backup",
      .connected = true},
     ERROR_PERMANENT,
     "wal_level = replica"},
    {{.sqlstate = "XX000", .message = "odd", .hint = "Do this.\nOr that.", .connected = true},
     ERROR_PERMANENT,
     "odd (XX000); Do this."},
    {{.sqlstate = "",
      .message = "connection to server at \"localhost\" (::1), port 1 failed: Connection refused\n"
                 "\tIs the server running on that host?\n"},
     ERROR_TRANSIENT,
     "port 1 failed: Connection refused; is PostgreSQL running there?"},
    {{.sqlstate = "", .message = "server closed the connection unexpectedly\n", .connected = true},
     ERROR_TRANSIENT,
     "server closed the connection unexpectedly; it crashed or was ended"},
    {{.sqlstate = "",
      .message = "connection to server failed: fe_sendauth: no password supplied\n"},
     ERROR_PERMANENT,
     "put the password of role \"lifeboat\" into the key that connection.passwordKey names"},
    {{.sqlstate = "", .message = "SSL error: certificate verify failed"},
     ERROR_PERMANENT,
     "connection.sslMode"},
    {{.sqlstate = "", .message = "server does not support SSL, but SSL was required"},
     ERROR_PERMANENT,
     "connection.sslMode"},
    {{.sqlstate = "", .message = "invalid sslmode value: \"maybe\""},
     ERROR_PERMANENT,
     "invalid sslmode value: \"maybe\""},
};

static void every_failure_says_what_to_do(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(expectations); i++) {
        struct pg_failure failure = expectations[i].failure;
        failure.role = "lifeboat";
        failure.database = "shop";
        struct error err;
        assert_int_equal(pg_failure_set(&failure, &err), -1);
        if (!strstr(err.text, expectations[i].text) || strchr(err.text, '\n'))
            fail_msg("'%s' lacks '%s'", err.text, expectations[i].text);
        assert_int_equal(err.kind, expectations[i].kind);
    }
}

static void a_refusal_is_split_into_sqlstate_and_message(void **state)
{
    (void)state;
    char sqlstate[6];
    const char *message = pg_failure_split(
        "connection to server on socket \"/s\" failed: FATAL:  28P01: wrong\nLOCATION:  x",
        sqlstate);
    assert_string_equal(sqlstate, "28P01");
    assert_string_equal(message, "wrong\nLOCATION:  x");
}

static void a_failure_of_libpq_has_no_sqlstate(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "", "FATAL:  ", "FATAL:  28P0", "a:  28p01: b", "a:  28P011: b", "a: 28P01: b"};
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        char sqlstate[6] = "?";
        assert_ptr_equal(pg_failure_split(texts[i], sqlstate), texts[i]);
        assert_string_equal(sqlstate, "");
    }
}

static void a_name_cannot_leave_its_quotes(void **state)
{
    (void)state;
    CLEANUP(own_freep) char *quoted = pg_failure_quote("a\"; DROP");
    assert_string_equal(quoted, "\"a\"\"; DROP\"");
    CLEANUP(own_freep) char *empty = pg_failure_quote("");
    assert_string_equal(empty, "\"\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_failure_says_what_to_do),
        cmocka_unit_test(a_refusal_is_split_into_sqlstate_and_message),
        cmocka_unit_test(a_failure_of_libpq_has_no_sqlstate),
        cmocka_unit_test(a_name_cannot_leave_its_quotes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
