// SPDX-License-Identifier: Apache-2.0
/*
 * How old the oldest WAL is that is not stored, and how fast new WAL comes: from looks at the end
 * of the server's WAL. Pure; times are monotonic milliseconds.
 *
 * Each look says that what it found new was written since the look before. There is room for some:
 * when it is full every second look is forgotten, and so is from then on what comes sooner after
 * another; its WAL counts as found by the one before it. So the age is rather too high by a part of
 * the whole time than too low.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum { WAL_LAG_LOOKS = 64, WAL_LAG_UNKNOWN = -1 };

struct wal_lag {
    struct {
        uint64_t lsn; /* the end of the WAL … */
        int64_t ms;   /* … of which the oldest part was found then */
    } looks[WAL_LAG_LOOKS];
    size_t count;
    int64_t step_ms;              /* between looks that are kept, at least */
    uint64_t first_lsn, last_lsn; /* of all looks; WAL before first_lsn has no known age */
    int64_t last_ms;
    double rate; /* bytes in a millisecond, of about the last minute */
};

/* The server's WAL ends at lsn; zeroed is one without a look. Of what is before durable_lsn nobody
 * asks any more. */
void wal_lag_look(struct wal_lag *lag, int64_t now_ms, uint64_t lsn, uint64_t durable_lsn);
/* The age of the oldest WAL behind durable_lsn; 0 if there is none; WAL_LAG_UNKNOWN. */
int64_t wal_lag_seconds(const struct wal_lag *lag, int64_t now_ms, uint64_t durable_lsn);
/* How long so many bytes last; WAL_LAG_UNKNOWN: nothing comes, or nobody knows. */
int64_t wal_lag_lasts_seconds(const struct wal_lag *lag, int64_t bytes);
