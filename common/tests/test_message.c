// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/message.h"
#include "common/own.h"

#define POD "\"pod\":{\"namespace\":\"shop\",\"name\":\"db-0\",\"uid\":\"7f0e\"}"
#define BACKUP                                                                                     \
    "{\"id\":\"20261121T082118Z-full-3fa2\",\"type\":\"full\",\"timeline\":1,"                     \
    "\"startLSN\":\"0/3000028\",\"stopLSN\":\"0/3000120\",\"started\":\"2026-11-21T08:21:18Z\","   \
    "\"finished\":\"2026-11-21T08:22:18.042Z\",\"bytesTotal\":9,\"bytesRead\":8,"                  \
    "\"bytesStored\":7,\"bytesReused\":0,\"files\":3,\"pageErrors\":0,\"changeSource\":\"all\","   \
    "\"regions\":[\"eu\",\"us\"],\"missingRegions\":[],"                                           \
    "\"systemIdentifier\":\"7351234567890123456\",\"versionNum\":170002,\"sha256\":\"ab12\"}"

static struct message parsed(const char *text)
{
    struct message message;
    struct error err;
    if (message_parse(&message, text, strlen(text), &err) < 0)
        fail_msg("%s: %s", text, err.text);
    return message;
}

static char *formatted(const struct message *message)
{
    char *text;
    struct error err;
    if (message_format(message, &text, &err) < 0)
        fail_msg("%s", err.text);
    return text;
}

/* Parses text, formats it, and expects the same JSON, whatever the order of members. */
static void expect_round_trip(const char *text)
{
    CLEANUP(message_clear) struct message message = parsed(text);
    CLEANUP(own_freep) char *again = formatted(&message);
    json_auto_t *expected = json_loads(text, 0, NULL);
    json_auto_t *got = json_loads(again, 0, NULL);
    if (!json_equal(expected, got))
        fail_msg("sent %s, came back %s", text, again);
}

static void expect_corrupt(const char *text, const char *problem)
{
    struct message message;
    struct error err;
    if (message_parse(&message, text, strlen(text), &err) == 0)
        fail_msg("accepted: %s", text);
    assert_int_equal(err.kind, ERROR_CORRUPT);
    if (!strstr(err.text, problem))
        fail_msg("'%s' does not say '%s'", err.text, problem);
}

static void every_message_comes_back_as_it_was(void **state)
{
    (void)state;
    expect_round_trip("{\"version\":1,\"type\":\"hello\"," POD
                      ",\"sidecarVersion\":\"0.1.0\",\"epoch\":7}");
    expect_round_trip("{\"version\":1,\"type\":\"assign\",\"epoch\":7,\"policy\":{\"namespace\":"
                      "\"shop\",\"name\":\"orders\"},\"generation\":3,\"region\":\"eu\","
                      "\"heartbeatSeconds\":10}");
    expect_round_trip("{\"version\":1,\"type\":\"assign\",\"epoch\":7,\"policy\":{\"namespace\":"
                      "\"shop\",\"name\":\"orders\"},\"generation\":3,\"heartbeatSeconds\":10,"
                      "\"wal\":\"none\"}");
    expect_round_trip("{\"version\":1,\"type\":\"run\",\"epoch\":7,\"id\":\"20261121T082118Z-full-"
                      "3fa2\",\"kind\":\"backup\",\"generation\":3,\"deadlineSeconds\":3600,"
                      "\"backup\":{\"name\":\"orders-nightly-202611210820\",\"uid\":\"11ee\","
                      "\"type\":\"incremental\"}}");
    expect_round_trip("{\"version\":1,\"type\":\"run\",\"epoch\":7,\"id\":\"copy-1\",\"kind\":"
                      "\"restore\",\"generation\":0,\"deadlineSeconds\":60,\"restore\":{\"backup\":"
                      "\"Latest\",\"region\":\"us\",\"excludeRegions\":[\"eu\"],\"to\":"
                      "\"/restore/pgdata\",\"workers\":4}}");
    expect_round_trip("{\"version\":1,\"type\":\"cancel\",\"epoch\":7,\"id\":\"copy-1\","
                      "\"reason\":\"deadline passed\"}");
    expect_round_trip("{\"version\":1,\"type\":\"state\",\"epoch\":7,\"lookup\":[\"a\",\"b\"]}");
    expect_round_trip("{\"version\":1,\"type\":\"progress\",\"id\":\"copy-1\",\"phase\":\"copy\","
                      "\"bytes\":5,\"totalBytes\":9223372036854775807,\"files\":2}");
    expect_round_trip("{\"version\":1,\"type\":\"done\",\"id\":\"b\",\"kind\":\"backup\",\"ok\":"
                      "true,\"backup\":" BACKUP "}");
    expect_round_trip("{\"version\":1,\"type\":\"done\",\"id\":\"copy-1\",\"kind\":\"restore\","
                      "\"ok\":true,\"restore\":{\"backup\":\"b\",\"region\":\"eu\",\"files\":3,"
                      "\"bytes\":4,\"fetchedBytes\":2,\"seconds\":1}}");
    expect_round_trip("{\"version\":1,\"type\":\"done\",\"id\":\"b\",\"kind\":\"backup\",\"ok\":"
                      "false,\"error\":{\"kind\":\"transient\",\"text\":\"no region left\"}}");
}

#define STATE                                                                                      \
    "{\"version\":1,\"type\":\"state\",\"generation\":3,\"policyUID\":\"u\",\"configError\":"      \
    "\"spec.quorum: too "                                                                          \
    "large\",\"configErrorKind\":\"permanent\","                                                   \
    "\"database\":{\"reachable\":true,\"role\":\"standby\",\"versionNum\":170002,"                 \
    "\"systemIdentifier\":\"7351234567890123456\",\"timeline\":2,\"lsn\":\"A/3000028\","           \
    "\"lagSeconds\":4},"                                                                           \
    "\"job\":{\"id\":\"b\",\"kind\":\"backup\",\"started\":\"2026-11-21T08:21:18Z\",\"phase\":"    \
    "\"copy\",\"bytes\":5,\"totalBytes\":0,\"files\":2},"                                          \
    "\"finished\":[{\"id\":\"a\",\"kind\":\"backup\",\"ok\":true,\"backup\":" BACKUP "},"          \
    "{\"id\":\"r\",\"kind\":\"restore\",\"ok\":false,\"error\":{\"kind\":\"permanent\",\"text\":"  \
    "\"full\"}}],"                                                                                 \
    "\"lookup\":[{\"backupID\":\"a\",\"running\":false,\"backup\":" BACKUP "},"                    \
    "{\"backupID\":\"c\",\"running\":true,\"error\":\"bucket away\"}],"                            \
    "\"regions\":[{\"name\":\"eu\",\"reachable\":true,\"backups\":2,\"bytes\":17,"                 \
    "\"lastBackup\":\"a\"},{\"name\":\"us\",\"reachable\":false,\"error\":\"403\",\"backups\":0,"  \
    "\"bytes\":0}]}"

static void a_state_is_read_whole_and_comes_back(void **state)
{
    (void)state;
    expect_round_trip(STATE);
    CLEANUP(message_clear) struct message message = parsed(STATE);
    const struct message_state *s = &message.state;
    assert_int_equal(message.type, MESSAGE_STATE);
    assert_int_equal(s->generation, 3);
    assert_int_equal(message_state_generation(s, "u"), 3);
    assert_int_equal(message_state_generation(s, "v"), 0);
    assert_string_equal(s->config_error_kind, "permanent");
    assert_true(s->database.reachable && s->database.standby);
    assert_int_equal(s->database.lag_seconds, 4);
    assert_string_equal(s->database.lsn, "A/3000028");
    assert_true(s->busy);
    assert_string_equal(s->job.id, "b");
    assert_int_equal(s->job.progress.bytes, 5);
    assert_int_equal(s->finished_count, 2);
    assert_true(s->finished[0].ok && s->finished[0].backup);
    assert_string_equal(s->finished[1].error, "full");
    assert_int_equal(s->lookup_count, 2);
    assert_non_null(s->lookup[0].backup);
    assert_null(s->lookup[1].backup);
    assert_true(s->lookup[1].running);
    assert_int_equal(s->region_count, 2);
    assert_string_equal(s->regions[1].error, "403");
}

#define ARCHIVING                                                                                  \
    "{\"mode\":\"stream\",\"streaming\":false,\"slot\":\"lifeboat_0a\",\"since\":"                 \
    "\"2026-11-21T08:21:18Z\",\"error\":\"403\",\"errorKind\":\"transient\",\"timeline\":2,"       \
    "\"serverLSN\":\"0/9000000\",\"receivedLSN\":\"0/8000000\",\"durableLSN\":\"0/7000000\","      \
    "\"lagSeconds\":0,\"keptBytes\":5,\"leftBytes\":0,\"leftSeconds\":7,"                          \
    "\"gap\":{\"systemIdentifier\":\"7412053120118894621\",\"timeline\":1,\"from\":\"0/"           \
    "1000000\",\"to\":\"0/2000000\"},"                                                             \
    "\"lostRegions\":[\"us\"]}"
#define STATE_OF(archiving)                                                                        \
    "{\"version\":1,\"type\":\"state\",\"generation\":3,\"database\":{\"reachable\":false,"        \
    "\"role\":\"primary\",\"versionNum\":0,\"timeline\":0},\"job\":null,\"finished\":[],"          \
    "\"lookup\":[],\"regions\":[{\"name\":\"eu\",\"reachable\":true,\"backups\":2,\"bytes\":17,"   \
    "\"recoverableFrom\":\"2026-11-20T08:21:18Z\",\"recoverableTo\":\"2026-11-21T08:21:18Z\","     \
    "\"windows\":[{\"timeline\":1,\"fromLSN\":\"0/28\",\"toLSN\":\"0/3000028\",\"from\":"          \
    "\"2026-11-20T08:21:18Z\",\"to\":\"2026-11-21T08:21:18Z\",\"ended\":true},{\"timeline\":2,"    \
    "\"fromLSN\":"                                                                                 \
    "\"0/4000028\",\"toLSN\":\"0/5000028\"}]}],\"archiving\":" archiving "}"

static void what_is_said_of_wal_comes_back(void **state)
{
    (void)state;
    expect_round_trip(STATE_OF(ARCHIVING));
    CLEANUP(message_clear) struct message message = parsed(STATE_OF(ARCHIVING));
    const struct message_archiving *archiving = &message.state.archiving;
    assert_int_equal(archiving->mode, MESSAGE_WAL_STREAM);
    assert_false(archiving->streaming);
    assert_string_equal(archiving->slot, "lifeboat_0a");
    assert_string_equal(archiving->error_kind, "transient");
    assert_string_equal(archiving->durable_lsn, "0/7000000");
    assert_int_equal(archiving->lag_seconds, 0);
    assert_int_equal(archiving->left_bytes, 0);
    assert_string_equal(archiving->gap.from, "0/1000000");
    assert_string_equal(archiving->gap.system_identifier, "7412053120118894621");
    assert_int_equal(archiving->lost_count, 1);
    const struct message_region *region = &message.state.regions[0];
    assert_string_equal(region->recoverable_to, "2026-11-21T08:21:18Z");
    assert_int_equal(region->window_count, 2);
    assert_int_equal(region->windows[1].timeline, 2);
    assert_string_equal(region->windows[1].from_lsn, "0/4000028");
    assert_null(region->windows[1].to);
    assert_true(region->windows[0].ended && !region->windows[1].ended);
}

static void what_is_said_of_wal_can_be_said_alone(void **state)
{
    (void)state;
    struct message_archiving archiving;
    struct error err;
    json_auto_t *said = json_loads(ARCHIVING, 0, NULL);
    assert_int_equal(message_read_archiving(&archiving, said, &err), 0);
    json_auto_t *again = message_format_archiving(&archiving);
    assert_true(json_equal(said, again));
    json_object_set_new(said, "durableLSN", json_string("7"));
    assert_int_equal(message_read_archiving(&archiving, said, &err), -1);
    assert_int_equal(err.kind, ERROR_CORRUPT);
    assert_int_equal(archiving.timeline, 2); /* what was there stays */
}

static void what_is_not_known_of_wal_is_left_out(void **state)
{
    (void)state;
    CLEANUP(message_clear)
    struct message message = parsed(STATE_OF("{\"mode\":\"hold\",\"streaming\":false}"));
    const struct message_archiving *archiving = &message.state.archiving;
    assert_int_equal(archiving->mode, MESSAGE_WAL_HOLD);
    assert_int_equal(archiving->lag_seconds, -1);
    assert_int_equal(archiving->left_bytes, -1);
    assert_int_equal(archiving->left_seconds, -1);
    assert_null(archiving->gap.from);
    assert_null(archiving->server_lsn);
    CLEANUP(message_clear) struct message silent = parsed(STATE_OF("null"));
    assert_int_equal(silent.state.archiving.mode, MESSAGE_WAL_UNSAID);
}

static void what_is_wrong_about_wal_is_named(void **state)
{
    (void)state;
    expect_corrupt("{\"version\":1,\"type\":\"assign\",\"epoch\":7,\"policy\":{\"namespace\":"
                   "\"shop\",\"name\":\"orders\"},\"heartbeatSeconds\":10,\"wal\":\"dance\"}",
                   "wal: expected stream");
    expect_corrupt(STATE_OF("{\"streaming\":true}"), "archiving.mode: required");
    expect_corrupt(STATE_OF("{\"mode\":\"none\",\"streaming\":true}"), "archiving.mode: expected");
    expect_corrupt(STATE_OF("{\"mode\":\"hold\"}"), "archiving.streaming: required");
    expect_corrupt(STATE_OF("{\"mode\":\"hold\",\"streaming\":true,\"durableLSN\":\"7\"}"),
                   "archiving.durableLSN: expected an LSN");
    expect_corrupt(STATE_OF("{\"mode\":\"hold\",\"streaming\":true,\"gap\":{\"timeline\":1}}"),
                   "archiving.gap.from: required");
    expect_corrupt(STATE_OF("{\"mode\":\"hold\",\"streaming\":true,\"leftBytes\":-1}"),
                   "archiving.leftBytes");
    expect_corrupt(STATE_OF("{\"mode\":\"hold\",\"streaming\":true,\"lostRegions\":[\"a\",\"b\","
                            "\"c\",\"d\",\"e\",\"f\",\"g\",\"h\",\"i\"]}"),
                   "archiving.lostRegions: expected at most 8");
    expect_corrupt("{\"version\":1,\"type\":\"state\",\"generation\":0,\"database\":{"
                   "\"reachable\":false},\"regions\":[{\"name\":\"eu\",\"reachable\":true,"
                   "\"windows\":[{},{},{},{},{}]}]}",
                   "regions[0].windows: expected at most 4");
    expect_corrupt("{\"version\":1,\"type\":\"state\",\"generation\":0,\"database\":{"
                   "\"reachable\":false},\"regions\":[{\"name\":\"eu\",\"reachable\":true,"
                   "\"windows\":[{\"timeline\":0}]}]}",
                   "regions[0].windows[0].timeline");
}

static void what_an_idle_sidecar_leaves_out_has_defaults(void **state)
{
    (void)state;
    CLEANUP(message_clear)
    struct message message = parsed("{\"version\":1,\"type\":\"state\",\"generation\":0,"
                                    "\"database\":{\"reachable\":false,\"error\":\"refused\"},"
                                    "\"job\":null}");
    assert_false(message.state.busy);
    assert_int_equal(message.state.finished_count, 0);
    assert_int_equal(message.state.database.lag_seconds, -1);
    assert_null(message.state.config_error);
    assert_null(message.state.config_error_kind);
    assert_null(message.state.database.lsn);
}

static void members_of_later_versions_are_ignored(void **state)
{
    (void)state;
    CLEANUP(message_clear)
    struct message message =
        parsed("{\"version\":1,\"type\":\"cancel\",\"epoch\":1,\"id\":\"a\",\"new\":[{}],"
               "\"reason\":\"x\"}");
    assert_string_equal(message.cancel.id, "a");
    message_clear(&message);
    message =
        parsed("{\"version\":1,\"type\":\"done\",\"id\":\"b\",\"kind\":\"backup\",\"ok\":true,"
               "\"backup\":{\"id\":\"b\",\"type\":\"full\",\"colour\":5},\"more\":1}");
    assert_non_null(json_object_get(message.done.backup, "colour"));
}

static void what_is_wrong_is_named(void **state)
{
    (void)state;
    expect_corrupt("", "not JSON");
    expect_corrupt("[1]", "object");
    expect_corrupt("{}", "version: required");
    expect_corrupt("{\"version\":2,\"type\":\"hello\"}", "version: expected");
    expect_corrupt("{\"version\":1}", "type: required");
    expect_corrupt("{\"version\":1,\"type\":\"dance\"}", "type: expected hello");
    expect_corrupt("{\"version\":1,\"type\":\"hello\"}", "pod");
    expect_corrupt("{\"version\":1,\"version\":1,\"type\":\"hello\"}", "duplicate");
    expect_corrupt("{\"version\":1,\"type\":\"cancel\",\"id\":\"a\"}", "epoch: required");
    expect_corrupt("{\"version\":1,\"type\":\"cancel\",\"epoch\":-1,\"id\":\"a\"}", "epoch");
    expect_corrupt("{\"version\":1,\"type\":\"cancel\",\"epoch\":1,\"id\":\"../x\"}",
                   "id: expected");
    expect_corrupt("{\"version\":1,\"type\":\"cancel\",\"epoch\":1,\"id\":\"--to\"}",
                   "id: expected");
    expect_corrupt("{\"version\":1,\"type\":\"cancel\",\"epoch\":1,\"id\":\"\"}", "id: expected");
    expect_corrupt("{\"version\":1,\"type\":\"state\",\"epoch\":1,\"lookup\":[\"a\",\"b\",\"c\","
                   "\"d\",\"e\"]}",
                   "at most 4");
    expect_corrupt("{\"version\":1,\"type\":\"state\",\"epoch\":1,\"lookup\":[\"a b\"]}", "lookup");
    expect_corrupt("{\"version\":1,\"type\":\"run\",\"epoch\":1,\"id\":\"a\",\"kind\":\"restore\","
                   "\"deadlineSeconds\":1,\"restore\":{\"backup\":\"Latest\",\"to\":\"etc\"}}",
                   "restore.to: expected an absolute path");
    expect_corrupt("{\"version\":1,\"type\":\"run\",\"epoch\":1,\"id\":\"a\",\"kind\":\"backup\","
                   "\"deadlineSeconds\":0,\"backup\":{}}",
                   "deadlineSeconds");
    expect_corrupt("{\"version\":1,\"type\":\"done\",\"id\":\"a\",\"kind\":\"backup\",\"ok\":true}",
                   "backup: required");
    expect_corrupt(
        "{\"version\":1,\"type\":\"done\",\"id\":\"a\",\"kind\":\"backup\",\"ok\":false}", "error");
    expect_corrupt("{\"version\":1,\"type\":\"done\",\"id\":\"a\",\"kind\":\"backup\",\"ok\":true,"
                   "\"backup\":{\"id\":\"a\",\"type\":\"full\",\"startLSN\":\"zz\"}}",
                   "backup.startLSN: expected an LSN");
    expect_corrupt("{\"version\":1,\"type\":\"state\",\"generation\":0,\"database\":"
                   "{\"reachable\":true}}",
                   "database.role: required");
}

/* {"version":1,"type":"cancel","epoch":1,"id":"a","reason":"xxx…"} of exactly size bytes. */
static char *cancel_of(size_t size)
{
    static const char start[] =
        "{\"version\":1,\"type\":\"cancel\",\"epoch\":1,\"id\":\"a\",\"more\":\"";
    char *text = own_alloc(size + 1);
    memset(text, 'x', size);
    memcpy(text, start, sizeof(start) - 1);
    memcpy(text + size - 2, "\"}", 2);
    return text;
}

static void a_message_of_64_kib_is_read_and_a_byte_more_is_not(void **state)
{
    (void)state;
    CLEANUP(own_freep) char *most = cancel_of(MESSAGE_BYTES_MAX);
    CLEANUP(own_freep) char *more = cancel_of(MESSAGE_BYTES_MAX + 1);
    CLEANUP(message_clear) struct message message = parsed(most);
    assert_int_equal(message.type, MESSAGE_CANCEL);
    expect_corrupt(more, "65537 bytes");
}

static void a_hello_of_more_than_4_kib_is_refused(void **state)
{
    (void)state;
    char padding[MESSAGE_HELLO_BYTES_MAX];
    memset(padding, ' ', sizeof(padding));
    CLEANUP(own_freep)
    char *text =
        own_format("{\"version\":1,\"type\":\"hello\"," POD "%.*s}", (int)sizeof(padding), padding);
    expect_corrupt(text, "hello of");
}

static void long_texts_are_refused(void **state)
{
    (void)state;
    char reason[2050];
    memset(reason, 'x', sizeof(reason));
    CLEANUP(own_freep)
    char *text = own_format("{\"version\":1,\"type\":\"cancel\",\"epoch\":1,\"id\":\"a\","
                            "\"reason\":\"%.*s\"}",
                            (int)sizeof(reason), reason);
    expect_corrupt(text, "reason: expected at most 2048 bytes");
}

static void errors_in_other_encodings_are_escaped(void **state)
{
    (void)state;
    const struct message failed = {.type = MESSAGE_DONE,
                                   .done = {.id = "a",
                                            .error_kind = "permanent",
                                            .error = "verbindung verweigert: m\xf6glich"}};
    CLEANUP(own_freep) char *text = formatted(&failed);
    assert_non_null(strstr(text, "m\\\\xf6glich"));
    CLEANUP(message_clear) struct message again = parsed(text);
    assert_string_equal(again.done.error_kind, "permanent");
}

static void a_message_that_is_too_large_is_not_sent(void **state)
{
    (void)state;
    CLEANUP(own_freep) char *reason = own_alloc(MESSAGE_BYTES_MAX + 1);
    memset(reason, 'x', MESSAGE_BYTES_MAX);
    const struct message message = {.type = MESSAGE_CANCEL,
                                    .cancel = {.id = "a", .reason = reason}};
    char *text;
    struct error err;
    assert_int_equal(message_format(&message, &text, &err), -1);
    assert_int_equal(err.kind, ERROR_PERMANENT);
}

/* Each example of docs/protocol.md: whole messages, one after the other, in blocks of JSON. */
static void the_examples_of_the_documentation_are_messages(void **state)
{
    (void)state;
    static const char begin[] = "```json\n";
    CLEANUP(buf_done) struct buf page = BUF(1 << 20);
    struct error err;
    json_error_t where;
    unsigned types = 0;
    if (buf_read_file(&page, AT_FDCWD, LIFEBOAT_SOURCE "/docs/protocol.md", &err) < 0)
        fail_msg("%s", err.text);
    CLEANUP(own_freep) char *text = buf_string(&page);
    for (const char *at = text; (at = strstr(at, begin));) {
        at += strlen(begin);
        const char *end = strstr(at, "```");
        assert_non_null(end);
        while (at < end) {
            json_auto_t *example =
                json_loadb(at, (size_t)(end - at), JSON_DISABLE_EOF_CHECK, &where);
            if (!example)
                fail_msg("%s: %.200s", where.text, at);
            CLEANUP(own_freep) char *message = json_dumps(example, JSON_COMPACT);
            expect_round_trip(message);
            CLEANUP(message_clear) struct message known = parsed(message);
            types |= 1U << known.type;
            at += where.position + (int)strspn(at + where.position, "\n");
        }
    }
    assert_int_equal(types, (1U << (MESSAGE_DONE + 1)) - 1); /* none is without */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_message_comes_back_as_it_was),
        cmocka_unit_test(a_state_is_read_whole_and_comes_back),
        cmocka_unit_test(what_is_said_of_wal_comes_back),
        cmocka_unit_test(what_is_said_of_wal_can_be_said_alone),
        cmocka_unit_test(what_is_not_known_of_wal_is_left_out),
        cmocka_unit_test(what_is_wrong_about_wal_is_named),
        cmocka_unit_test(what_an_idle_sidecar_leaves_out_has_defaults),
        cmocka_unit_test(members_of_later_versions_are_ignored),
        cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(a_message_of_64_kib_is_read_and_a_byte_more_is_not),
        cmocka_unit_test(a_hello_of_more_than_4_kib_is_refused),
        cmocka_unit_test(long_texts_are_refused),
        cmocka_unit_test(errors_in_other_encodings_are_escaped),
        cmocka_unit_test(a_message_that_is_too_large_is_not_sent),
        cmocka_unit_test(the_examples_of_the_documentation_are_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
