// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/own.h"
#include "sidecar/wal_duty.h"

enum { STARTED_MS = 1000, NOW_MS = 10 * 60 * 1000 };

/* A primary whose operator says that it streams, and is there. */
static const struct wal_duty_facts settled = {
    .known = true,
    .usable = true,
    .mode = POLICY_WAL_STREAM,
    .member = true,
    .assigned = MESSAGE_WAL_STREAM,
    .now_ms = NOW_MS,
    .started_ms = STARTED_MS,
    .connected_ms = NOW_MS,
    .asked = true,
};

static void expect(const struct wal_duty_facts *facts, enum wal_duty duty)
{
    assert_int_equal(wal_duty_decide(facts), duty);
}

static void the_operator_is_obeyed(void **state)
{
    (void)state;
    static const struct {
        enum message_wal word;
        enum wal_duty duty;
    } table[] = {{MESSAGE_WAL_STREAM, WAL_DUTY_STREAM},
                 {MESSAGE_WAL_HOLD, WAL_DUTY_HOLD},
                 {MESSAGE_WAL_NONE, WAL_DUTY_NONE}};
    for (size_t i = 0; i < ARRAY_SIZE(table); i++)
        for (int in_recovery = 0; in_recovery <= 1; in_recovery++) {
            struct wal_duty_facts facts = settled;
            facts.assigned = table[i].word;
            facts.in_recovery = in_recovery;
            facts.present = WAL_DUTY_STREAM;
            expect(&facts, table[i].duty);
        }
}

static void without_stream_in_the_policy_the_slot_goes_whatever_is_said(void **state)
{
    (void)state;
    static const enum policy_wal_mode modes[] = {POLICY_WAL_UNSAID, POLICY_WAL_BACKUP_ONLY};
    for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
        struct wal_duty_facts facts = settled;
        facts.mode = modes[i];
        expect(&facts, WAL_DUTY_NONE);
        facts.assigned = MESSAGE_WAL_UNSAID;
        facts.now_ms = STARTED_MS;
        expect(&facts, WAL_DUTY_NONE);
    }
}

static void without_a_policy_nothing_is_changed(void **state)
{
    (void)state;
    struct wal_duty_facts facts = settled;
    facts.usable = false;
    facts.mode = POLICY_WAL_UNSAID;
    facts.present = WAL_DUTY_STREAM;
    expect(&facts, WAL_DUTY_LEAVE);
}

static void by_a_policy_that_is_gone_for_good_the_slot_is_dropped(void **state)
{
    (void)state;
    struct wal_duty_facts facts = settled;
    facts.usable = false;
    facts.mode = POLICY_WAL_UNSAID;
    facts.assigned = MESSAGE_WAL_NONE;
    facts.present = WAL_DUTY_STREAM;
    expect(&facts, WAL_DUTY_NONE);
    facts.present = WAL_DUTY_NONE;
    expect(&facts, WAL_DUTY_NONE);
    facts.known = false; /* it was not there when this sidecar started */
    facts.present = WAL_DUTY_LEAVE;
    expect(&facts, WAL_DUTY_LEAVE);
}

static void under_a_foreign_policy_nothing_runs_and_no_slot_is_dropped(void **state)
{
    (void)state;
    struct wal_duty_facts facts = settled;
    facts.foreign = true;
    expect(&facts, WAL_DUTY_STOP);
    facts.mode = POLICY_WAL_BACKUP_ONLY;
    expect(&facts, WAL_DUTY_STOP);
}

static void the_first_word_is_waited_for_half_a_minute(void **state)
{
    (void)state;
    struct wal_duty_facts facts = settled;
    facts.assigned = MESSAGE_WAL_UNSAID;
    facts.member = false;
    facts.connected_ms = 0;
    facts.now_ms = STARTED_MS + WAL_DUTY_WAIT_MS - 1;
    expect(&facts, WAL_DUTY_LEAVE);
    facts.now_ms++;
    expect(&facts, WAL_DUTY_STREAM);
    facts.in_recovery = true;
    expect(&facts, WAL_DUTY_HOLD);
    facts.connected_ms = facts.now_ms; /* an operator that says nothing of WAL is like none */
    facts.member = true;
    expect(&facts, WAL_DUTY_HOLD);
}

static void a_pod_that_an_operator_assigns_nothing_to_is_no_member(void **state)
{
    (void)state;
    struct wal_duty_facts facts = settled;
    facts.assigned = MESSAGE_WAL_UNSAID;
    facts.member = false;
    expect(&facts, WAL_DUTY_LEAVE);
    facts.connected_ms = NOW_MS - WAL_DUTY_SILENCE_MS;
    expect(&facts, WAL_DUTY_STREAM);
}

static void a_word_holds_for_a_minute_of_silence(void **state)
{
    (void)state;
    struct wal_duty_facts facts = settled;
    facts.assigned = MESSAGE_WAL_HOLD;
    facts.present = WAL_DUTY_HOLD;
    facts.connected_ms = NOW_MS - WAL_DUTY_SILENCE_MS + 1;
    expect(&facts, WAL_DUTY_HOLD);
    facts.connected_ms--;
    expect(&facts, WAL_DUTY_STREAM); /* a primary, and perhaps nobody else streams */
    facts.in_recovery = true;
    expect(&facts, WAL_DUTY_HOLD);
}

static void alone_a_standby_that_streams_goes_on(void **state)
{
    (void)state;
    struct wal_duty_facts facts = settled;
    facts.connected_ms = NOW_MS - WAL_DUTY_SILENCE_MS;
    facts.in_recovery = true;
    facts.present = WAL_DUTY_STREAM;
    expect(&facts, WAL_DUTY_STREAM);
}

static void alone_a_server_that_never_answered_is_left(void **state)
{
    (void)state;
    struct wal_duty_facts facts = settled;
    facts.assigned = MESSAGE_WAL_UNSAID;
    facts.asked = false;
    expect(&facts, WAL_DUTY_LEAVE);
}

static void a_slot_that_was_to_be_dropped_stays_dropped(void **state)
{
    (void)state;
    struct wal_duty_facts facts = settled;
    facts.assigned = MESSAGE_WAL_NONE;
    facts.connected_ms = NOW_MS - 10 * WAL_DUTY_SILENCE_MS;
    expect(&facts, WAL_DUTY_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_operator_is_obeyed),
        cmocka_unit_test(without_stream_in_the_policy_the_slot_goes_whatever_is_said),
        cmocka_unit_test(without_a_policy_nothing_is_changed),
        cmocka_unit_test(by_a_policy_that_is_gone_for_good_the_slot_is_dropped),
        cmocka_unit_test(under_a_foreign_policy_nothing_runs_and_no_slot_is_dropped),
        cmocka_unit_test(the_first_word_is_waited_for_half_a_minute),
        cmocka_unit_test(a_pod_that_an_operator_assigns_nothing_to_is_no_member),
        cmocka_unit_test(a_word_holds_for_a_minute_of_silence),
        cmocka_unit_test(alone_a_standby_that_streams_goes_on),
        cmocka_unit_test(alone_a_server_that_never_answered_is_left),
        cmocka_unit_test(a_slot_that_was_to_be_dropped_stays_dropped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
