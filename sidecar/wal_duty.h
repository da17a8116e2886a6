// SPDX-License-Identifier: Apache-2.0
/*
 * What a sidecar does about the WAL of its server: what the operator says, and where nobody says
 * anything, what keeps the archive going. Two that stream at once do no harm, none would. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/message.h"
#include "sidecar/policy.h"

enum wal_duty {
    WAL_DUTY_LEAVE,  /* it cannot be told: what runs goes on, nothing is started */
    WAL_DUTY_STOP,   /* what runs ends; the slot stays */
    WAL_DUTY_STREAM, /* into the regions */
    WAL_DUTY_HOLD,   /* keep a slot, advanced to what the regions have */
    WAL_DUTY_NONE,   /* nothing runs, and the slot is dropped */
};

enum {
    WAL_DUTY_WAIT_MS = 30 * 1000,    /* for the operator's first word */
    WAL_DUTY_SILENCE_MS = 60 * 1000, /* without an operator after which its word is no more */
};

struct wal_duty_facts {
    bool known;                 /* a policy that could be used was there at some time … */
    bool usable;                /* … and is there now … */
    bool foreign;               /* … but is not the one that was assigned */
    enum policy_wal_mode mode;  /* of it */
    bool member;                /* an operator has assigned a policy, as it does at once … */
    enum message_wal assigned;  /* … and this is its last word about WAL */
    int64_t now_ms, started_ms; /* of this sidecar; monotonic */
    int64_t connected_ms;       /* when an operator was connected last; 0: never */
    bool asked, in_recovery;    /* the server said what it is, and what */
    enum wal_duty present;      /* what is done */
};

enum wal_duty wal_duty_decide(const struct wal_duty_facts *facts);
