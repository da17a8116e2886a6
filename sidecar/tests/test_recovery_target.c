// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/own.h"
#include "sidecar/recovery_target.h"

#define LONGEST "123456789.123456789.123456789.123456789.123456789.123456789.123"

static struct recovery_target must_parse(const struct recovery_target_words *words)
{
    struct recovery_target target;
    struct error err;
    if (recovery_target_parse(words, &target, &err) < 0)
        fail_msg("%s", err.text);
    return target;
}

static void a_target_is_what_was_given(void **state)
{
    (void)state;
    static const struct {
        struct recovery_target_words words;
        enum recovery_target_kind kind;
        const char *description;
    } targets[] = {
        {{0}, RECOVERY_TARGET_NONE, "the end of the backup"},
        {{.time = "2026-11-21T16:15:00Z"}, RECOVERY_TARGET_TIME, "the time '2026-11-21T16:15:00Z'"},
        {{.lsn = "0/3000148"}, RECOVERY_TARGET_LSN, "LSN '0/3000148'"},
        {{.xid = "4711"}, RECOVERY_TARGET_XID, "transaction '4711'"},
        {{.name = LONGEST}, RECOVERY_TARGET_NAME, "restore point '" LONGEST "'"},
        {{.immediate = true}, RECOVERY_TARGET_IMMEDIATE, "the end of the backup"},
        {{.latest = true}, RECOVERY_TARGET_LATEST, "the end of all WAL"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(targets); i++) {
        const struct recovery_target target = must_parse(&targets[i].words);
        CLEANUP(own_freep) char *description = recovery_target_describe(&target);
        assert_int_equal(target.kind, targets[i].kind);
        assert_int_equal(target.action, RECOVERY_PROMOTE);
        assert_int_equal(target.timeline, RECOVERY_TIMELINE_LATEST);
        assert_string_equal(description, targets[i].description);
    }
}

static void values_are_read(void **state)
{
    (void)state;
    assert_int_equal(must_parse(&(struct recovery_target_words){.lsn = "1/0"}).lsn, UINT64_C(1)
                                                                                        << 32);
    assert_int_equal(must_parse(&(struct recovery_target_words){.xid = "4294967999"}).xid, 703);
    const struct recovery_target target = must_parse(&(struct recovery_target_words){
        .xid = "703", .exclusive = true, .action = "shutdown", .timeline = "7"});
    assert_true(target.exclusive);
    assert_int_equal(target.action, RECOVERY_SHUTDOWN);
    assert_int_equal(target.timeline, RECOVERY_TIMELINE_NUMBER);
    assert_int_equal(target.timeline_number, 7);
    assert_int_equal(
        must_parse(&(struct recovery_target_words){.latest = true, .timeline = "current"}).timeline,
        RECOVERY_TIMELINE_CURRENT);
    assert_int_equal(
        must_parse(&(struct recovery_target_words){.name = "n", .action = "pause"}).action,
        RECOVERY_PAUSE);
}

static void what_contradicts_itself_is_refused(void **state)
{
    (void)state;
    static const struct {
        struct recovery_target_words words;
        const char *text;
    } wrong[] = {
        {{.time = "yesterday"}, "with its zone"},
        {{.time = "2026-11-21 16:15:00"}, "with its zone"},
        {{.lsn = "3000148"}, "--target-lsn '3000148'"},
        {{.lsn = "0/0"}, "--target-lsn '0/0'"},
        {{.xid = "2"}, "--target-xid '2'"},
        {{.xid = "4294967296"}, "--target-xid"},
        {{.xid = "-4"}, "--target-xid"},
        {{.xid = "99999999999999999999999"}, "--target-xid"},
        {{.name = ""}, "--target-name ''"},
        {{.name = LONGEST "4"}, "at most 63 bytes"},
        {{.name = "two\nlines"}, "on one line"},
        {{.lsn = "0/1", .xid = "4711"}, "--target-lsn and --target-xid: recovery has one target"},
        {{.immediate = true, .latest = true}, "recovery has one target"},
        {{.timeline = "2"}, "--target-timeline needs a target"},
        {{.action = "pause"}, "--target-action needs a target"},
        {{.exclusive = true}, "--target-exclusive needs a target"},
        {{.name = "n", .exclusive = true}, "--target-exclusive"},
        {{.latest = true, .exclusive = true}, "--target-exclusive"},
        {{.latest = true, .action = "pause"}, "always promotes"},
        {{.latest = true, .action = "stop"}, "expected promote, pause or shutdown"},
        {{.immediate = true, .timeline = "2"}, "--target-timeline"},
        {{.latest = true, .timeline = "0"}, "expected latest, current or a number"},
        {{.latest = true, .timeline = "4294967296"}, "expected latest, current or a number"},
        {{.latest = true, .timeline = "2x"}, "expected latest, current or a number"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        struct recovery_target target;
        struct error err;
        if (recovery_target_parse(&wrong[i].words, &target, &err) == 0)
            fail_msg("taken, but not '%s'", wrong[i].text);
        assert_int_equal(err.kind, ERROR_PERMANENT);
        if (!strstr(err.text, wrong[i].text))
            fail_msg("'%s', not '%s'", err.text, wrong[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_target_is_what_was_given),
        cmocka_unit_test(values_are_read),
        cmocka_unit_test(what_contradicts_itself_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
