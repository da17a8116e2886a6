// SPDX-License-Identifier: Apache-2.0
#include "sidecar/parent.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "sidecar/lsn.h"
#include "sidecar/manifest.h"
#include "sidecar/timeline.h"

enum { ID_TIME_BYTES = 16 }; /* "20261121T082118Z" */

__attribute__((format(printf, 2, 3))) static bool refuse(char ret_reason[PARENT_REASON_BYTES],
                                                         const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(ret_reason, PARENT_REASON_BYTES, format, arguments);
    va_end(arguments);
    return true;
}

static const struct manifest_wal_range *last_range(const struct parent_candidate *candidate)
{
    return &candidate->wal[candidate->wal_count - 1];
}

/* Every byte of WAL that the candidate stands for must be in the child's past. */
static bool is_diverged(const struct parent_child *child, const struct parent_candidate *candidate,
                        char ret_reason[PARENT_REASON_BYTES])
{
    for (size_t i = 0; i < candidate->wal_count; i++) {
        const struct manifest_wal_range *range = &candidate->wal[i];
        const struct timeline_span *span = timeline_find(child->timeline, range->timeline);
        char stop[LSN_TEXT_BYTES], fork[LSN_TEXT_BYTES];
        if (!span)
            return refuse(ret_reason, "its timeline %" PRIu32 " is not in the server's history",
                          range->timeline);
        if (range->stop_lsn <= span->end_lsn)
            continue;
        lsn_format(range->stop_lsn, stop);
        lsn_format(span->end_lsn, fork);
        return refuse(ret_reason, "it stops at %s, but the server left timeline %" PRIu32 " at %s",
                      stop, range->timeline, fork);
    }
    return false;
}

static bool is_ahead(const struct parent_child *child, const struct parent_candidate *candidate,
                     char ret_reason[PARENT_REASON_BYTES])
{
    char theirs[LSN_TEXT_BYTES], ours[LSN_TEXT_BYTES];
    uint64_t start_lsn = candidate->wal[0].start_lsn, stop_lsn = last_range(candidate)->stop_lsn;
    if (start_lsn > child->start_lsn) {
        lsn_format(start_lsn, theirs);
        lsn_format(child->start_lsn, ours);
        return refuse(ret_reason, "it starts at %s, behind this one's start at %s", theirs, ours);
    }
    if (stop_lsn > child->stop_lsn) {
        lsn_format(stop_lsn, theirs);
        lsn_format(child->stop_lsn, ours);
        return refuse(ret_reason, "it stops at %s, but the server has come to %s only", theirs,
                      ours);
    }
    return false;
}

bool parent_refuse(const struct parent_child *child, const struct parent_candidate *candidate,
                   char ret_reason[PARENT_REASON_BYTES])
{
    if (candidate->refused[0] != '\0')
        return refuse(ret_reason, "%s", candidate->refused);
    if (candidate->system_identifier != child->system_identifier)
        return refuse(ret_reason, "it is of database system %" PRIu64,
                      candidate->system_identifier);
    if (candidate->retired)
        return refuse(ret_reason, "it is retired");
    if ((child->regions & ~candidate->regions) != 0)
        return refuse(ret_reason, "it is not in every region");
    if (candidate->checksums != child->checksums)
        return refuse(ret_reason, "data checksums were switched %s since",
                      child->checksums ? "on" : "off");
    if (candidate->wal_count == 0)
        return refuse(ret_reason, "it says nothing of its WAL");
    if (candidate->pack_ranges > PARENT_PACKS_MAX)
        return refuse(ret_reason, "its data is scattered over %zu rows of packs",
                      candidate->pack_ranges);
    return is_diverged(child, candidate, ret_reason) || is_ahead(child, candidate, ret_reason);
}

/* Both are in the history of the server's timeline, where numbers grow. */
static bool is_newer(const struct parent_candidate *a, const struct parent_candidate *b)
{
    const struct manifest_wal_range *x = last_range(a), *y = last_range(b);
    if (x->timeline != y->timeline)
        return x->timeline > y->timeline;
    if (x->stop_lsn != y->stop_lsn)
        return x->stop_lsn > y->stop_lsn;
    if (a->wal[0].start_lsn != b->wal[0].start_lsn)
        return a->wal[0].start_lsn > b->wal[0].start_lsn;
    return strcmp(a->id, b->id) > 0; /* of an idle standby: any would do */
}

/* By the time in their ids, which is all that is known of some: for messages only. In doubt it is,
 * so that it is told. */
static bool is_later(const struct parent_candidate *a, const struct parent_candidate *b)
{
    int order = strncmp(a->id, b->id, ID_TIME_BYTES);
    return order > 0 || (order == 0 && (a->wal_count == 0 || (b->wal_count > 0 && is_newer(a, b))));
}

struct parent_choice parent_choose(const struct parent_child *child,
                                   const struct parent_candidate *candidates, size_t count)
{
    struct parent_choice choice = {.index = SIZE_MAX};
    const struct parent_candidate *refused = NULL; /* the latest that had to be passed over */
    char reason[PARENT_REASON_BYTES], why[PARENT_REASON_BYTES] = "";
    if (child->type == BACKUP_FULL)
        return choice;
    for (size_t i = 0; i < count; i++) {
        const struct parent_candidate *candidate = &candidates[i];
        if (child->type == BACKUP_DIFFERENTIAL && candidate->type != BACKUP_FULL)
            continue;
        if (!parent_refuse(child, candidate, reason)) {
            if (choice.index == SIZE_MAX || is_newer(candidate, &candidates[choice.index]))
                choice.index = i;
        } else if (!refused || is_later(candidate, refused)) {
            refused = candidate;
            memcpy(why, reason, sizeof(why));
        }
    }
    if (choice.index == SIZE_MAX && !refused)
        refuse(choice.reason, "there is no earlier %sbackup",
               child->type == BACKUP_DIFFERENTIAL ? "full " : "");
    else if (refused && (choice.index == SIZE_MAX || is_later(refused, &candidates[choice.index])))
        refuse(choice.reason, "backup '%s' cannot be the parent: %.240s", refused->id, why);
    return choice;
}
