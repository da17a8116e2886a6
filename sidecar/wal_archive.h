// SPDX-License-Identifier: Apache-2.0
/*
 * WAL in the repository: complete segments, parts of segments and timeline history files, under
 * names that say their content. Any contiguous cover of a segment by parts serves. What is read is
 * held against its name and footer; a damaged object is passed over for another that serves as
 * well, and intact objects that contradict each other are never chosen from.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/error.h"
#include "sidecar/store.h"
#include "sidecar/wal_gap.h"

struct region_guard;
struct repo;
struct timeline;

struct wal_piece {
    uint32_t timeline;
    uint64_t segment_lsn; /* of the segment's first byte */
    uint32_t segment_bytes;
    uint32_t from, to; /* [from, to) within the segment; all of it: 0 and segment_bytes */
};

struct wal_span wal_piece_span(const struct wal_piece *piece);

/* Name below the repository; pure. */
enum { WAL_ARCHIVE_NAME_MAX = 128 };
void wal_archive_format_name(const struct wal_piece *piece, const char *content_id,
                             char ret_name[WAL_ARCHIVE_NAME_MAX]);
/* The other way; -1 if name is none of ours. */
MUST_CHECK int wal_archive_parse_name(const char *name, uint32_t segment_bytes,
                                      struct wal_piece *ret_piece);
/* The same where the size is not known, as pg_resetwal --wal-segsize changes it: by this one (0:
 * none), or another by which it can be. Timeline and log (see below) are right in any case. */
MUST_CHECK int wal_archive_guess_name(const char *name, uint32_t segment_bytes,
                                      struct wal_piece *ret_piece);
/* The timeline whose history has this name; false: it is no history's. Pure. */
bool wal_archive_parse_history_name(const char *name, uint32_t *ret_timeline);

/* What the names of all WAL of a timeline, of one of its logs (lsn >> WAL_LOG_SHIFT), of a piece's
 * segment, and of its history begin with; the first two end with a slash. Pure. */
void wal_archive_timeline_prefix(uint32_t timeline, char ret_prefix[WAL_ARCHIVE_NAME_MAX]);
void wal_archive_log_prefix(uint32_t timeline, uint64_t log, char ret_prefix[WAL_ARCHIVE_NAME_MAX]);
void wal_archive_segment_prefix(const struct wal_piece *piece,
                                char ret_prefix[WAL_ARCHIVE_NAME_MAX]);
void wal_archive_history_prefix(uint32_t timeline, char ret_prefix[WAL_ARCHIVE_NAME_MAX]);

/* What the footer of an object says of it: all of a piece, of a history its timeline. Pure.
 * CORRUPT: that is no footer, or of a piece that cannot be. */
void wal_archive_format_footer(const struct wal_piece *piece, struct buf *footer);
MUST_CHECK int wal_archive_parse_footer(const void *footer, size_t size,
                                        struct wal_piece *ret_piece, struct error *err);
MUST_CHECK int wal_archive_parse_history_footer(const void *footer, size_t size,
                                                uint32_t *ret_timeline, struct error *err);

/* A piece that is sealed but not put yet. */
struct wal_sealed {
    char name[WAL_ARCHIVE_NAME_MAX];
    struct buf object;
    struct store_bytes bytes; /* lends object */
};
/* Seals data (to - from bytes), which is not needed after that. */
MUST_CHECK int wal_archive_seal(struct repo *repo, const struct wal_piece *piece, const void *data,
                                struct wal_sealed *ret_sealed, struct error *err);
/* guard may be NULL; its CONFLICT, or the errors of repo_put_beside. */
MUST_CHECK int wal_archive_put_sealed(struct repo *repo, const struct wal_sealed *sealed,
                                      const struct region_guard *guard, struct error *err);
void wal_sealed_done(struct wal_sealed *sealed);

/* Both; adds the object's size to *stored_bytes. */
MUST_CHECK int wal_archive_put(struct repo *repo, const struct wal_piece *piece, const void *data,
                               uint64_t *stored_bytes, struct error *err);
/* Before wal_archive_put_history: CONFLICT if another history of the timeline is there. */
MUST_CHECK int wal_archive_check_history(struct repo *repo, uint32_t timeline, const void *content,
                                         size_t size, struct error *err);
MUST_CHECK int wal_archive_put_history(struct repo *repo, uint32_t timeline, const void *content,
                                       size_t size, uint64_t *stored_bytes, struct error *err);

/* Puts the segment together that holds lsn, zero-padded to its size, into segment (cleared first;
 * its limit must allow segment_bytes), so that it is complete up to lsn_end (above lsn) at least,
 * or to the segment's end. NOT_FOUND: names the first missing byte's LSN; TRANSIENT: so
 * it does, but a region that could not be listed may have it; CORRUPT names the object;
 * CONFLICT: two intact objects say different things of the same bytes, both are named. */
MUST_CHECK int wal_archive_get(struct repo *repo, uint32_t timeline, uint64_t lsn, uint64_t lsn_end,
                               uint32_t segment_bytes, struct buf *segment, struct error *err);
/* A whole segment. On an error segment holds what could be had of it, from its first byte on; the
 * error, as above, says what keeps it from going on. */
MUST_CHECK int wal_archive_get_whole(struct repo *repo, const struct wal_piece *whole,
                                     struct buf *segment, struct error *err);
/* Puts zeros behind what there is of a segment. PERMANENT: it does not fit into its limit. */
MUST_CHECK int wal_archive_pad(struct buf *segment, uint32_t segment_bytes, struct error *err);
/* Reads one object, WAL or history, and holds it against its name: footer, size, content id. Gives
 * what it is, of a history only the timeline: the size of its segments no name says, and it may
 * have changed since other WAL of the repository (pg_resetwal --wal-segsize). CORRUPT also if the
 * name is none of the archive's. */
MUST_CHECK int wal_archive_check(struct repo *repo, const char *name, struct wal_piece *ret_piece,
                                 struct error *err);
/* The same, and gives the content: plain is cleared first, its limit CONTAINER_BYTES_MAX. */
MUST_CHECK int wal_archive_read(struct repo *repo, const char *name, struct buf *plain,
                                struct wal_piece *ret_piece, struct error *err);
/* What an object of that name and size (from a listing) says that it is: by its tail alone, of its
 * content nothing is read. CORRUPT also if that is not what the name says. */
MUST_CHECK int wal_archive_describe(struct repo *repo, const char *name, uint64_t size,
                                    struct wal_piece *ret_piece, struct error *err);
/* Cleared first. NOT_FOUND if there is none, TRANSIENT if it may be in a region that could not be
 * listed; CONFLICT if there are several that differ. */
MUST_CHECK int wal_archive_get_history(struct repo *repo, uint32_t timeline, struct buf *content,
                                       struct error *err);
/* The same, read: the caller's (timeline_done). Of timeline 1, which has none, that it comes from
 * nowhere. */
MUST_CHECK int wal_archive_load_history(struct repo *repo, uint32_t timeline,
                                        struct timeline *ret_history, struct error *err);
