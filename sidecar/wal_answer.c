// SPDX-License-Identifier: Apache-2.0
#include "sidecar/wal_answer.h"

#include <inttypes.h>

#include "sidecar/lsn.h"
#include "sidecar/timeline.h"

/* Where the timeline is left for that of a history; 0: it is not. */
static uint64_t left_at(const struct wal_answer_facts *facts, const struct timeline *history)
{
    const struct timeline_span *span = timeline_find(history, facts->timeline);
    return span && span->end_lsn != UINT64_MAX ? span->end_lsn : 0;
}

/* What lies behind the last fork in the segment belongs to a timeline that was left there. If the
 * timeline was left before, who asks follows it beyond. */
static uint64_t last_wanted(const struct wal_answer_facts *facts)
{
    uint64_t last = 0;
    for (size_t i = 0; i < facts->history_count; i++) {
        const uint64_t fork = left_at(facts, &facts->histories[i]);
        last = fork > last ? fork : last;
    }
    return last > facts->end ? last : UINT64_MAX;
}

/* There is later WAL. */
static bool is_gap(const struct wal_answer_facts *facts, struct error *ret_why)
{
    const uint64_t last = last_wanted(facts);
    const struct wal_span *next = NULL;
    char from[LSN_TEXT_BYTES], to[LSN_TEXT_BYTES];
    for (size_t i = 0; i < facts->span_count; i++) {
        const struct wal_span *span = &facts->spans[i];
        if (span->timeline == facts->timeline && span->to > facts->end && span->from < last &&
            (!next || span->from < next->from))
            next = span;
    }
    if (!next)
        return false;
    lsn_format(facts->end, from);
    lsn_format(next->from, to);
    error_set(ret_why, ERROR_TRANSIENT,
              "WAL of timeline %" PRIu32 " from %s on is missing, but there is more from %s on",
              facts->timeline, from, to);
    return true;
}

/* Another timeline goes on from a later segment, so all up to there was written. (The segment of
 * the fork itself is in both.) */
static bool is_before_fork(const struct wal_answer_facts *facts, struct error *ret_why)
{
    char from[LSN_TEXT_BYTES], to[LSN_TEXT_BYTES];
    for (size_t i = 0; i < facts->history_count; i++) {
        const struct timeline *history = &facts->histories[i];
        const uint64_t fork = left_at(facts, history);
        if (fork / facts->segment_bytes <= facts->from / facts->segment_bytes)
            continue;
        lsn_format(facts->end, from);
        lsn_format(fork, to);
        error_set(ret_why, ERROR_TRANSIENT,
                  "WAL of timeline %" PRIu32 " from %s on is missing, but timeline %" PRIu32
                  " goes on from it at %s",
                  facts->timeline, from, history->spans[history->count - 1].timeline, to);
        return true;
    }
    return false;
}

enum wal_answer_kind wal_answer_decide(const struct wal_answer_facts *facts, struct error *ret_why)
{
    if (facts->end - facts->from == facts->segment_bytes)
        return WAL_CONTENT;
    if (facts->got->kind != ERROR_NOT_FOUND) {
        *ret_why = *facts->got;
        return WAL_AGAIN;
    }
    if (facts->unasked) {
        *ret_why = *facts->unasked;
        return WAL_AGAIN;
    }
    if (!facts->stop_at_gaps) {
        if (facts->unread) {
            *ret_why = *facts->unread;
            return WAL_AGAIN;
        }
        if (is_gap(facts, ret_why) || is_before_fork(facts, ret_why))
            return WAL_AGAIN;
    }
    return facts->end > facts->from ? WAL_CONTENT : WAL_NONE;
}
