// SPDX-License-Identifier: Apache-2.0
#include "sidecar/pg.h"

#include <stdio.h>
#include <string.h>

#include <libpq-fe.h>

#include "common/own.h"
#include "common/text.h"
#include "sidecar/changes.h"
#include "sidecar/lsn.h"
#include "sidecar/pg_failure.h"
#include "sidecar/pg_page.h"
#include "sidecar/pg_replication.h"
#include "sidecar/pg_session.h"

enum { VERSION_MIN = 150000, VERSION_END = 190000, VERSION_TRANSACTION_TIMEOUT = 170000 };

struct pg {
    struct pg_session *session;
    uint64_t start_lsn; /* of the backup of this session, as is what follows */
    bool started_in_recovery;
};

/* What the session's role may do; session_user, as nothing here changes roles. */
static const char sql_privileges[] =
    "SELECT r.rolsuper, r.rolreplication,"
    " pg_catalog.pg_has_role(r.oid, 'pg_read_all_settings', 'USAGE'),"
    " pg_catalog.pg_has_role(r.oid, 'pg_monitor', 'USAGE'),"
    " pg_catalog.has_function_privilege(r.oid, 'pg_catalog.pg_backup_start(text, boolean)',"
    " 'EXECUTE'),"
    " pg_catalog.has_function_privilege(r.oid, 'pg_catalog.pg_backup_stop(boolean)', 'EXECUTE')"
    " FROM pg_catalog.pg_roles AS r"
    " WHERE r.rolname OPERATOR(pg_catalog.=) session_user";

/* Role 10 is the one that initdb made (BOOTSTRAP_SUPERUSERID). pg_settings counts segment_size in
 * blocks, the others here in bytes. */
static const char sql_server[] =
    "SELECT (SELECT c.system_identifier FROM pg_catalog.pg_control_system() AS c),"
    " pg_catalog.pg_is_in_recovery(),"
    " pg_catalog.current_setting('data_checksums') OPERATOR(pg_catalog.=) 'on',"
    " coalesce(pg_catalog.current_setting('summarize_wal', true), 'off')"
    " OPERATOR(pg_catalog.=) 'on',"
    " (SELECT s.setting FROM pg_catalog.pg_settings AS s"
    " WHERE s.name OPERATOR(pg_catalog.=) 'block_size'),"
    " (SELECT s.setting FROM pg_catalog.pg_settings AS s"
    " WHERE s.name OPERATOR(pg_catalog.=) 'segment_size'),"
    " (SELECT s.setting FROM pg_catalog.pg_settings AS s"
    " WHERE s.name OPERATOR(pg_catalog.=) 'wal_segment_size'),"
    " pg_catalog.floor(pg_catalog.date_part('epoch', pg_catalog.pg_postmaster_start_time())"
    " OPERATOR(pg_catalog.*) 1000)::pg_catalog.int8,"
    " pg_catalog.current_setting('data_directory'),"
    " (SELECT r.rolname FROM pg_catalog.pg_roles AS r WHERE r.oid OPERATOR(pg_catalog.=) 10)";

/* A standby's timeline is what it has replayed or what it receives, whichever is later; a primary's
 * is in the name of the WAL file that it writes. A standby that has all that it received, from a
 * source that still sends, is not behind, however long ago the last transaction was. */
static const char sql_standing[] =
    "SELECT pg_catalog.pg_is_in_recovery(),"
    " (SELECT c.system_identifier FROM pg_catalog.pg_control_system() AS c),"
    " greatest((SELECT k.timeline_id FROM pg_catalog.pg_control_checkpoint() AS k),"
    " (SELECT v.min_recovery_end_timeline FROM pg_catalog.pg_control_recovery() AS v),"
    " (SELECT w.received_tli FROM pg_catalog.pg_stat_wal_receiver AS w)),"
    " CASE WHEN pg_catalog.pg_is_in_recovery() THEN NULL"
    " ELSE pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()) END,"
    " coalesce(CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn()"
    " ELSE pg_catalog.pg_current_wal_lsn() END, '0/0'::pg_catalog.pg_lsn),"
    " CASE WHEN NOT pg_catalog.pg_is_in_recovery() THEN NULL"
    " WHEN pg_catalog.pg_last_wal_receive_lsn() OPERATOR(pg_catalog.=)"
    " pg_catalog.pg_last_wal_replay_lsn() AND EXISTS (SELECT FROM pg_catalog.pg_stat_wal_receiver"
    " AS w WHERE w.status OPERATOR(pg_catalog.=) 'streaming') THEN 0"
    " ELSE pg_catalog.floor(pg_catalog.date_part('epoch', greatest(pg_catalog.clock_timestamp()"
    " OPERATOR(pg_catalog.-) pg_catalog.pg_last_xact_replay_timestamp(),"
    " '0'::pg_catalog.interval)))::pg_catalog.int8 END,"
    " pg_catalog.floor(pg_catalog.date_part('epoch', pg_catalog.pg_postmaster_start_time())"
    " OPERATOR(pg_catalog.*) 1000)::pg_catalog.int8,"
    " (SELECT s.setting FROM pg_catalog.pg_settings AS s"
    " WHERE s.name OPERATOR(pg_catalog.=) 'data_directory')";

static const char sql_start[] =
    "SELECT pg_catalog.pg_backup_start(label => $1, fast => true), pg_catalog.pg_is_in_recovery()";

/* greatest() takes no notice of NULL, which a primary says. */
static const char sql_stop[] =
    "SELECT b.lsn, greatest(b.lsn, pg_catalog.pg_last_wal_replay_lsn()), b.labelfile, b.spcmapfile"
    " FROM pg_catalog.pg_backup_stop(wait_for_archive => false) AS b";

static const char sql_in_recovery[] = "SELECT pg_catalog.pg_is_in_recovery()";

static const char sql_summaries[] =
    "SELECT s.tli, s.start_lsn, s.end_lsn FROM pg_catalog.pg_available_wal_summaries() AS s";

/* Fork 0 is the main one. */
static const char sql_summary[] =
    "SELECT c.reltablespace, c.reldatabase, c.relfilenode, c.relblocknumber, c.is_limit_block"
    " FROM pg_catalog.pg_wal_summary_contents($1::pg_catalog.int8, $2::pg_catalog.pg_lsn,"
    " $3::pg_catalog.pg_lsn) AS c WHERE c.relforknumber OPERATOR(pg_catalog.=) 0";

static const char sql_replayed[] =
    "SELECT coalesce(pg_catalog.pg_last_wal_replay_lsn(), '0/0'::pg_catalog.pg_lsn)";

/* The last row is there without a slot as well. */
static const char sql_slot[] =
    "SELECT s.slot_name IS NOT NULL,"
    " coalesce(s.wal_status OPERATOR(pg_catalog.=) 'lost', false),"
    " coalesce(s.active, false),"
    " coalesce(s.restart_lsn, '0/0'::pg_catalog.pg_lsn),"
    " greatest(coalesce(s.safe_wal_size, 9223372036854775807), 0),"
    " CASE WHEN pg_catalog.pg_is_in_recovery() THEN greatest(pg_catalog.pg_last_wal_receive_lsn(),"
    " pg_catalog.pg_last_wal_replay_lsn(), '0/0'::pg_catalog.pg_lsn)"
    " ELSE pg_catalog.pg_current_wal_flush_lsn() END,"
    " pg_catalog.current_setting('synchronous_standby_names')"
    " FROM (VALUES (1)) AS one LEFT JOIN pg_catalog.pg_replication_slots AS s"
    " ON s.slot_name OPERATOR(pg_catalog.=) $1::pg_catalog.name";

static const char sql_advance[] =
    "SELECT pg_catalog.pg_replication_slot_advance($1::pg_catalog.name, $2::pg_catalog.pg_lsn)";

/* Unknown to PostgreSQL before 17, so it cannot be in the startup packet. */
static const char sql_no_transaction_timeout[] =
    "SELECT pg_catalog.set_config('transaction_timeout', '0', false)";

static int run(struct pg *pg, const char *sql, int columns, PGresult **ret_result,
               struct error *err)
{
    struct pg_command command = {.sql = sql, .columns = columns};
    return pg_session_run(pg->session, &command, ret_result, err);
}

static int check_version(const struct pg *pg, uint32_t *ret_version_num, struct error *err)
{
    int version = PQserverVersion(pg->session->conn);
    if (version < VERSION_MIN || version >= VERSION_END)
        return error_set(err, ERROR_PERMANENT,
                         "PostgreSQL %s is not supported: 15, 16, 17 and 18 are",
                         PQparameterStatus(pg->session->conn, "server_version"));
    *ret_version_num = (uint32_t)version;
    return 0;
}

static int check_privileges(struct pg *pg, struct error *err)
{
    CLEANUP(pg_result_clearp) PGresult *result = NULL;
    if (run(pg, sql_privileges, 6, &result, err) < 0)
        return error_wrap(err, "read the privileges of role '%s'", pg->session->role);
    struct pg_row row = {.result = result};
    bool superuser = pg_row_bool(&row), replication = pg_row_bool(&row);
    bool settings = pg_row_bool(&row), monitor = pg_row_bool(&row);
    bool start = pg_row_bool(&row), stop = pg_row_bool(&row);
    if (pg_row_end(&row, "read the privileges", err) < 0)
        return -1;
    if (superuser)
        return error_set(err, ERROR_PERMANENT,
                         "role '%s' is a superuser, which Lifeboat refuses to use; run role.sql "
                         "and let connection.user name its role \"lifeboat\"",
                         pg->session->role);
    if (replication && settings && monitor && start && stop)
        return 0;

    CLEANUP(own_freep) char *role = pg_failure_quote(pg->session->role);
    CLEANUP(own_freep) char *attribute = own_format("ALTER ROLE %s REPLICATION; ", role);
    CLEANUP(own_freep)
    char *membership =
        own_format("GRANT %s%s%s TO %s; ", settings ? "" : "pg_read_all_settings",
                   settings || monitor ? "" : ", ", monitor ? "" : "pg_monitor", role);
    CLEANUP(own_freep)
    char *execute = own_format("GRANT EXECUTE ON FUNCTION %s%s%s TO %s; ",
                               start ? "" : "pg_catalog.pg_backup_start(text, boolean)",
                               start || stop ? "" : ", ",
                               stop ? "" : "pg_catalog.pg_backup_stop(boolean)", role);
    return error_set(err, ERROR_PERMANENT,
                     "role '%s' lacks privileges; run as a superuser in database '%s': %s%s%s"
                     "(or role.sql)",
                     pg->session->role, pg->session->database, replication ? "" : attribute,
                     settings && monitor ? "" : membership, start && stop ? "" : execute);
}

static bool copy_text(char *ret_text, size_t size, const char *text)
{
    return snprintf(ret_text, size, "%s", text) < (int)size && *text;
}

static int read_server(struct pg *pg, struct pg_server *ret_server, struct error *err)
{
    CLEANUP(pg_result_clearp) PGresult *result = NULL;
    if (run(pg, sql_server, 10, &result, err) < 0)
        return error_wrap(err, "read the server's settings");
    struct pg_row row = {.result = result};
    struct pg_server server = {.version_num = ret_server->version_num};
    server.system_identifier = pg_row_number(&row, UINT64_MAX);
    server.in_recovery = pg_row_bool(&row);
    server.checksums = pg_row_bool(&row);
    server.summarizes_wal = pg_row_bool(&row);
    server.block_bytes = (uint32_t)pg_row_number(&row, UINT32_MAX);
    server.segment_blocks = (uint32_t)pg_row_number(&row, UINT32_MAX);
    server.wal_segment_bytes = (uint32_t)pg_row_number(&row, UINT32_MAX);
    server.postmaster_started_ms = (int64_t)pg_row_number(&row, INT64_MAX);
    row.bad |= !copy_text(server.data_directory, sizeof(server.data_directory), pg_row_text(&row));
    row.bad |= !copy_text(server.bootstrap_superuser, sizeof(server.bootstrap_superuser),
                          pg_row_text(&row));
    if (pg_row_end(&row, "read the server's settings", err) < 0)
        return -1;
    *ret_server = server;
    return 0;
}

/* The timeline that a WAL file's name begins with, eight hexadecimal digits; "": not known. */
static uint32_t timeline_of_file(const char *name, uint32_t fallback)
{
    enum { TIMELINE_BYTES = 4 };
    uint8_t bytes[TIMELINE_BYTES];
    char digits[2 * TIMELINE_BYTES + 1] = "";
    if (strlen(name) < 2 * TIMELINE_BYTES)
        return fallback;
    memcpy(digits, name, 2 * TIMELINE_BYTES);
    if (!text_parse_hex(digits, bytes, sizeof(bytes)))
        return fallback;
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

int pg_look(struct pg *pg, struct pg_standing *ret_standing, struct error *err)
{
    CLEANUP(pg_result_clearp) PGresult *result = NULL;
    struct pg_standing standing = {.lag_seconds = -1};
    if (check_version(pg, &standing.version_num, err) < 0)
        return -1;
    if (run(pg, sql_standing, 8, &result, err) < 0)
        return error_wrap(err, "ask where the server stands");
    struct pg_row row = {.result = result};
    standing.in_recovery = pg_row_bool(&row);
    standing.system_identifier = pg_row_number(&row, UINT64_MAX);
    standing.timeline = (uint32_t)pg_row_number(&row, UINT32_MAX);
    standing.timeline = timeline_of_file(pg_row_text(&row), standing.timeline);
    standing.lsn = pg_row_lsn(&row);
    if (PQgetisnull(result, 0, row.column))
        row.column++;
    else
        standing.lag_seconds = (int64_t)pg_row_number(&row, INT64_MAX);
    standing.postmaster_started_ms = (int64_t)pg_row_number(&row, INT64_MAX);
    copy_text(standing.data_directory, sizeof(standing.data_directory), pg_row_text(&row));
    if (pg_row_end(&row, "ask where the server stands", err) < 0)
        return -1;
    *ret_standing = standing;
    return 0;
}

static int disable_transaction_timeout(struct pg *pg, struct error *err)
{
    if (PQserverVersion(pg->session->conn) < VERSION_TRANSACTION_TIMEOUT)
        return 0;
    CLEANUP(pg_result_clearp) PGresult *result = NULL;
    return run(pg, sql_no_transaction_timeout, 1, &result, err);
}

int pg_in_recovery(struct pg *pg, bool *ret_in_recovery, struct error *err)
{
    CLEANUP(pg_result_clearp) PGresult *result = NULL;
    if (run(pg, sql_in_recovery, 1, &result, err) < 0)
        return error_wrap(err, "ask whether the server is in recovery");
    struct pg_row row = {.result = result};
    bool in_recovery = pg_row_bool(&row);
    if (pg_row_end(&row, "ask whether the server is in recovery", err) < 0)
        return -1;
    *ret_in_recovery = in_recovery;
    return 0;
}

struct summaries {
    struct changes_range *ranges;
    size_t count;
};

static int add_summary(void *arg, const PGresult *result, struct error *err)
{
    struct summaries *summaries = arg;
    struct pg_row row = {.result = result};
    struct changes_range range = {.timeline = (uint32_t)pg_row_number(&row, UINT32_MAX)};
    range.start_lsn = pg_row_lsn(&row);
    range.end_lsn = pg_row_lsn(&row);
    summaries->ranges =
        own_resize(summaries->ranges, summaries->count + 1, sizeof(summaries->ranges[0]));
    summaries->ranges[summaries->count++] = range;
    return pg_row_end(&row, "list the WAL summaries", err);
}

int pg_summaries(struct pg *pg, struct changes_range **ret_summaries, size_t *ret_count,
                 struct error *err)
{
    struct pg_command command = {.sql = sql_summaries};
    struct summaries summaries = {0};
    if (pg_session_each(pg->session, &command, add_summary, &summaries, err) < 0) {
        own_freep(&summaries.ranges);
        return error_wrap(err, "list the WAL summaries");
    }
    *ret_summaries = summaries.ranges;
    *ret_count = summaries.count;
    return 0;
}

static int add_change(void *arg, const PGresult *result, struct error *err)
{
    struct pg_row row = {.result = result};
    struct changes_row change;
    change.key.tablespace = (uint32_t)pg_row_number(&row, UINT32_MAX);
    change.key.database = (uint32_t)pg_row_number(&row, UINT32_MAX);
    change.key.relfilenode = (uint32_t)pg_row_number(&row, UINT32_MAX);
    change.block = (uint32_t)pg_row_number(&row, UINT32_MAX);
    change.is_limit = pg_row_bool(&row);
    if (pg_row_end(&row, "read a WAL summary", err) < 0)
        return -1;
    changes_add(arg, &change);
    return 0;
}

int pg_summary_read(struct pg *pg, const struct changes_range *summary, struct changes *changes,
                    struct error *err)
{
    char start[LSN_TEXT_BYTES], end[LSN_TEXT_BYTES], timeline[16];
    snprintf(timeline, sizeof(timeline), "%u", (unsigned)summary->timeline);
    lsn_format(summary->start_lsn, start);
    lsn_format(summary->end_lsn, end);
    const char *const parameters[] = {timeline, start, end};
    struct pg_command command = {
        .sql = sql_summary, .parameters = parameters, .parameter_count = 3};
    if (pg_session_each(pg->session, &command, add_change, changes, err) < 0)
        return error_wrap(err, "read the WAL summary from %s to %s", start, end);
    return 0;
}

int pg_replayed_lsn(struct pg *pg, uint64_t *ret_lsn, struct error *err)
{
    CLEANUP(pg_result_clearp) PGresult *result = NULL;
    if (run(pg, sql_replayed, 1, &result, err) < 0)
        return error_wrap(err, "ask how far the standby has replayed");
    struct pg_row row = {.result = result};
    uint64_t lsn = pg_row_lsn(&row);
    if (pg_row_end(&row, "ask how far the standby has replayed", err) < 0)
        return -1;
    *ret_lsn = lsn;
    return 0;
}

int pg_slot_look(struct pg *pg, const char *name, struct pg_slot *ret_slot, struct error *err)
{
    struct pg_command command = {
        .sql = sql_slot, .parameters = &name, .parameter_count = 1, .columns = 7};
    CLEANUP(pg_result_clearp) PGresult *result = NULL;
    if (pg_session_run(pg->session, &command, &result, err) < 0)
        return error_wrap(err, "look at replication slot '%s'", name);
    struct pg_row row = {.result = result};
    struct pg_slot slot = {.found = pg_row_bool(&row)};
    slot.lost = pg_row_bool(&row);
    slot.active = pg_row_bool(&row);
    slot.restart_lsn = pg_row_lsn(&row);
    slot.left_bytes = pg_row_number(&row, INT64_MAX);
    slot.server_lsn = pg_row_lsn(&row);
    slot.may_make_synchronous = pg_replication_may_be_synchronous(pg_row_text(&row));
    if (pg_row_end(&row, "look at the replication slot", err) < 0)
        return -1;
    *ret_slot = slot;
    return 0;
}

int pg_slot_advance(struct pg *pg, const char *name, uint64_t lsn, struct error *err)
{
    char text[LSN_TEXT_BYTES];
    lsn_format(lsn, text);
    const char *const parameters[] = {name, text};
    struct pg_command command = {
        .sql = sql_advance, .parameters = parameters, .parameter_count = 2, .columns = 1};
    CLEANUP(pg_result_clearp) PGresult *result = NULL;
    if (pg_session_run(pg->session, &command, &result, err) < 0)
        return error_wrap(err, "advance replication slot '%s' to %s", name, text);
    return 0;
}

/* PostgreSQL refuses to end a backup that began before a promotion, with a SQLSTATE that means many
 * things; the server's state is plain. */
static int fail_stop(struct pg *pg, struct error *err)
{
    struct error ignored;
    bool in_recovery;
    if (err->kind == ERROR_PERMANENT && pg->started_in_recovery &&
        pg_in_recovery(pg, &in_recovery, &ignored) == 0 && !in_recovery)
        return error_set(err, ERROR_PERMANENT,
                         "the standby was promoted during the backup, which is lost; take another");
    return error_wrap(err, "end the backup");
}

void pg_backup_end_done(struct pg_backup_end *end)
{
    own_freep(&end->backup_label);
    own_freep(&end->tablespace_map);
}

int pg_backup_stop(struct pg *pg, struct pg_backup_end *ret_end, struct error *err)
{
    CLEANUP(pg_result_clearp) PGresult *result = NULL;
    if (run(pg, sql_stop, 4, &result, err) < 0)
        return fail_stop(pg, err);
    struct pg_row row = {.result = result};
    uint64_t consistent_lsn = pg_row_lsn(&row), stop_lsn = pg_row_lsn(&row);
    const char *label = pg_row_text(&row), *map = pg_row_text(&row);
    if (pg_row_end(&row, "end the backup", err) < 0)
        return -1;
    if (consistent_lsn <= pg->start_lsn)
        return error_set(err, ERROR_PERMANENT,
                         "end the backup: the server says that it stopped before it started");
    *ret_end = (struct pg_backup_end){
        .consistent_lsn = consistent_lsn,
        .stop_lsn = stop_lsn,
        .backup_label = own_strdup(label),
        .tablespace_map = own_strdup(map),
    };
    return 0;
}

int pg_backup_start(struct pg *pg, const char *label, uint64_t *ret_start_lsn, struct error *err)
{
    struct pg_command command = {
        .sql = sql_start, .parameters = &label, .parameter_count = 1, .columns = 2};
    CLEANUP(pg_result_clearp) PGresult *result = NULL;
    if (pg_session_run(pg->session, &command, &result, err) < 0)
        return error_wrap(err, "start the backup");
    struct pg_row row = {.result = result};
    uint64_t start_lsn = pg_row_lsn(&row);
    pg->started_in_recovery = pg_row_bool(&row);
    if (pg_row_end(&row, "start the backup", err) < 0)
        return -1;
    *ret_start_lsn = pg->start_lsn = start_lsn;
    return 0;
}

int pg_inspect(struct pg *pg, struct pg_server *ret_server, struct error *err)
{
    struct pg_server server = {0};
    if (check_version(pg, &server.version_num, err) < 0 || check_privileges(pg, err) < 0 ||
        read_server(pg, &server, err) < 0)
        return -1;
    if (server.block_bytes != PG_PAGE_BYTES)
        return error_set(err, ERROR_PERMANENT,
                         "PostgreSQL was built with a block size of %u: only %d is supported",
                         server.block_bytes, PG_PAGE_BYTES);
    if (!wal_segment_bytes_valid(server.wal_segment_bytes) || server.segment_blocks == 0)
        return error_set(err, ERROR_PERMANENT,
                         "the server says that its WAL segments have %u bytes and its files %u "
                         "blocks, which no PostgreSQL has",
                         server.wal_segment_bytes, server.segment_blocks);
    *ret_server = server;
    return 0;
}

void pg_closep(struct pg **pg)
{
    if (!*pg)
        return;
    pg_session_closep(&(*pg)->session);
    own_freep(pg);
}

int pg_open(struct pg **ret_pg, const struct pg_options *options, struct error *err)
{
    CLEANUP(pg_closep) struct pg *pg = own_alloc(sizeof(*pg));
    if (pg_session_open(&pg->session, options, false, err) < 0 ||
        disable_transaction_timeout(pg, err) < 0)
        return -1;
    *ret_pg = TAKE(pg);
    return 0;
}
