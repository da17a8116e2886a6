// SPDX-License-Identifier: Apache-2.0
/* The backup that recovery can begin with, whatever WAL is missing before it. */
#pragma once

#include <stdint.h>

#include "common/error.h"

struct repo;
struct timeline;

/* Where the newest backup of this history begins that was begun before_ms (since 1970, by its id)
 * or earlier; ret_lsn 0: there is none. One that is damaged or may not be read is passed over. 1;
 * 0: a region that was not listed may have a newer one; -1: TRANSIENT, PERMANENT, nothing can be
 * listed, or a manifest not be fetched; CANCELED. */
MUST_CHECK int wal_anchor_find(struct repo *repo, const struct timeline *history, int64_t before_ms,
                               uint64_t *ret_lsn, struct error *err);
