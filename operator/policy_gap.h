// SPDX-License-Identifier: Apache-2.0
/*
 * The last gap in the WAL that a policy's regions have, as status.gap keeps it: found by the pod
 * that streams, it makes a full Backup due, and another one when that did not help, and is closed
 * once a backup that starts behind it is committed, whichever that is, for good. One that comes
 * while it is open makes it longer. It is one of a database system: when the server is another one,
 * it is forgotten. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

struct message_state;

struct policy_gap_facts {
    const json_t *before;              /* status.gap; NULL: none */
    const struct message_state *state; /* of the pod that streams; NULL: not told */
    const json_t *backups;             /* of the policy: an array */
    int64_t now_ms;
};

/* status.gap as it is now: the caller's (json_decref); NULL: there is none. */
json_t *policy_gap(const struct policy_gap_facts *facts);
/* No backup behind it is committed; false for NULL. */
bool policy_gap_open(const json_t *gap);
/* Whether both are the same gap; either may be NULL. */
bool policy_gap_same(const json_t *one, const json_t *other);
/* The name of the Backup that is to be made now for a gap, which no other gap has:
 * <policy>-gap-<timeline>-<its end, 16 hexadecimal digits>, with -2, -3 … for those after the
 * first; own_freep. NULL: none is, and ret_wait_ms, how soon one may be, stays as it is unless that
 * is known. */
char *policy_gap_due(const json_t *gap, const struct policy_gap_facts *facts, const char *policy,
                     int64_t *ret_wait_ms);
/* For a person: "0/3000000 to 0/5000000 of timeline 1". */
enum { POLICY_GAP_TEXT_BYTES = 80 };
void policy_gap_text(const json_t *gap, char ret_text[POLICY_GAP_TEXT_BYTES]);
