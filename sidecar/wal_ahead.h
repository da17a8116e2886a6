// SPDX-License-Identifier: Apache-2.0
/* Which segments a recovering PostgreSQL asks for next, so that they can be fetched before. Pure.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct timeline;

struct wal_ahead_segment {
    uint32_t timeline;
    uint64_t lsn; /* of its first byte */
};

/* The count that come after asked, in order; fewer only at the end of all LSNs. course: of the
 * timeline that is recovered to, or NULL. PostgreSQL reads the segment in which a timeline begins
 * from the newer one (XLogFileReadAnyTLI in access/transam/xlogrecovery.c). */
size_t wal_ahead_plan(const struct timeline *course, const struct wal_ahead_segment *asked,
                      uint32_t segment_bytes, struct wal_ahead_segment *ret_next, size_t count);
