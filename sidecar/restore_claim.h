// SPDX-License-Identifier: Apache-2.0
/*
 * Whether a restore may change a target that has content: one that the same restore left half-way,
 * or, if the user said --delta, a data directory of the same database system. Changes nothing.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"

struct restore_marker;
struct target;

struct restore_claim { /* all lent */
    struct target *target;
    const struct restore_marker *marker; /* of this restore */
    uint64_t system_identifier;          /* of the backup … */
    const uint8_t *control_bytes;        /* … and its pg_control: PG_CONTROL_BYTES */
    bool delta;                          /* the user wants what is there to be changed */
};

/* CONFLICT: says whose the target is and what to do. */
MUST_CHECK int restore_claim_check(const struct restore_claim *claim, bool *ret_is_empty,
                                   struct error *err);
