// SPDX-License-Identifier: Apache-2.0
#include "sidecar/wal_duty.h"

/* One that streams goes on, whatever its server has become. */
static enum wal_duty decide_alone(const struct wal_duty_facts *facts)
{
    if (facts->present == WAL_DUTY_STREAM)
        return WAL_DUTY_STREAM;
    if (!facts->asked)
        return WAL_DUTY_LEAVE;
    return facts->in_recovery ? WAL_DUTY_HOLD : WAL_DUTY_STREAM;
}

static bool has_operator(const struct wal_duty_facts *facts)
{
    return facts->connected_ms != 0 && facts->now_ms - facts->connected_ms < WAL_DUTY_SILENCE_MS;
}

/* By the last one that could be used, however, the slot can be dropped: the operator has it dropped
 * when the policy is deleted, and what was mounted may go before that is done. */
static enum wal_duty decide_without_policy(const struct wal_duty_facts *facts)
{
    return facts->assigned == MESSAGE_WAL_NONE && facts->known ? WAL_DUTY_NONE : WAL_DUTY_LEAVE;
}

enum wal_duty wal_duty_decide(const struct wal_duty_facts *facts)
{
    static const enum wal_duty duties[] = {[MESSAGE_WAL_STREAM] = WAL_DUTY_STREAM,
                                           [MESSAGE_WAL_HOLD] = WAL_DUTY_HOLD,
                                           [MESSAGE_WAL_NONE] = WAL_DUTY_NONE};
    if (facts->foreign)
        return WAL_DUTY_STOP;
    if (!facts->usable)
        return decide_without_policy(facts);
    if (facts->mode != POLICY_WAL_STREAM)
        return WAL_DUTY_NONE;
    /* a slot that was to be dropped is not made again because nobody is there to say so */
    if (facts->assigned == MESSAGE_WAL_NONE ||
        (facts->assigned != MESSAGE_WAL_UNSAID && has_operator(facts)))
        return duties[facts->assigned];
    if (!facts->member && has_operator(facts)) /* the pod of a restore */
        return WAL_DUTY_LEAVE;
    if (facts->assigned == MESSAGE_WAL_UNSAID &&
        facts->now_ms - facts->started_ms < WAL_DUTY_WAIT_MS)
        return WAL_DUTY_LEAVE;
    return decide_alone(facts);
}
