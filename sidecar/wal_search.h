// SPDX-License-Identifier: Apache-2.0
/*
 * Finds records in the WAL of a repository by what recovery targets name: the times of commits,
 * transactions, restore points; and what it demands of a server. Reads as recovery does: along the
 * history of a timeline, each segment from the newest timeline that has it. Takes the memory of one
 * segment.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "sidecar/wal_record.h"

struct cancel;
struct repo;
struct timeline;

/* Where to look: all lent. */
struct wal_search {
    struct repo *repo;              /* its regions are asked in their order */
    const struct timeline *history; /* of the timeline that recovery follows */
    uint32_t segment_bytes;
    /* Records that begin at from or after and end at to or before. Any LSNs: need be no record's.
     */
    uint64_t from, to;
    const struct cancel *cancel;
};

struct wal_search_wish {
    enum {
        WAL_SEARCH_TIME, /* a transaction's end at time_us or later … */
        WAL_SEARCH_XID,  /* the end of transaction xid, commit or abort: recovery stops at both */
        WAL_SEARCH_NAME, /* the restore point of this name */
        WAL_SEARCH_LSN,  /* any record that begins at lsn or after */
    } by;
    int64_t time_us; /* since 1970 */
    bool later; /* … or only later: recovery that includes its target time stops before that */
    uint32_t xid;
    const char *name;
    uint64_t lsn;
};

/*
 * The first such record; of kind WAL_RECORD_NONE if there is none. TIME is searched by bisection:
 * the end of a transaction before the one that is found is of no such time, but some earlier one
 * may be if the server's clock was set back. XID reads the WAL in which the transaction may have
 * ended, NAME all up to the record. NOT_FOUND: WAL is missing, names the LSN; CORRUPT: what is
 * there is not the WAL of these LSNs; CONFLICT, and others as wal_archive_get; CANCELED.
 */
MUST_CHECK int wal_search_first(const struct wal_search *search, const struct wal_search_wish *wish,
                                struct wal_record *ret_record, struct error *err);
/* The last end of a transaction (commit; or abort, at which recovery to a time stops as well), or
 * NONE. Reads backwards from the end, as many segments as it takes. Errors as above. */
MUST_CHECK int wal_search_last(const struct wal_search *search, struct wal_record *ret_record,
                               struct error *err);
/* Raises demands to what the records demand that begin before limit; reads all of them. Errors as
 * above. */
MUST_CHECK int wal_search_demands(const struct wal_search *search, uint64_t limit,
                                  struct pg_demands *demands, struct error *err);
