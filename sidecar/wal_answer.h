// SPDX-License-Identifier: Apache-2.0
/*
 * What to answer when WAL is asked for that is not there, or not all of it: PostgreSQL takes "there
 * is none", and zeros in a segment, for the end of the log, and may go on as a primary. So both are
 * said only when every region was asked and none has anything that belongs behind. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "sidecar/wal_gap.h"
#include "sidecar/wal_protocol.h"

struct timeline;

/* All lent. */
struct wal_answer_facts {
    uint32_t timeline, segment_bytes;
    uint64_t from;                /* LSN of the segment's first byte */
    uint64_t end;                 /* all from there to here could be had; from: nothing */
    bool stop_at_gaps;            /* see struct wal_question */
    const struct error *got;      /* why not more: NOT_FOUND, or something is wrong */
    const struct error *unasked;  /* why a region could not be asked; NULL: all were */
    const struct error *unread;   /* why a history of another timeline could not; NULL: all were */
    const struct wal_span *spans; /* of the timeline, in any region */
    size_t span_count;
    const struct timeline *histories; /* of later timelines */
    size_t history_count;
};

/* WAL_CONTENT: what there is, zeros behind; WAL_NONE: not even that; WAL_AGAIN: ret_why says why
 * neither is certain. */
enum wal_answer_kind wal_answer_decide(const struct wal_answer_facts *facts, struct error *ret_why);
