// SPDX-License-Identifier: Apache-2.0
/* Looks through the names of WAL in the regions for the place where a stream of it goes on. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

struct repo;
struct timeline;
struct wal_place;
struct wal_span;
struct wal_tails;

struct wal_survey_options { /* all lent */
    struct repo *repo;
    struct wal_tails *tails; /* is told of the parts of segments that it meets; may be NULL */
    const struct timeline *history; /* of the server's timeline */
    uint32_t segment_bytes;
    uint64_t kept_lsn;   /* the server has all WAL from there on */
    uint64_t server_lsn; /* the end of its WAL */
    size_t region_count; /* of the policy: gaps are told only of all of them */
};

/* Of what a quorum of regions has. Lists only what is behind kept_lsn, unless WAL is missing right
 * before it. Errors as repo_list. */
MUST_CHECK int wal_survey_run(const struct wal_survey_options *options, struct wal_place *ret_place,
                              struct error *err);
/* What of a gap that the survey found no region has: from the first byte to the last; its to is 0
 * if they have it all. 1; 0: it cannot be told, as a region was not listed, and gap is as it was;
 * -1: errors as repo_list. */
MUST_CHECK int wal_survey_gap(const struct wal_survey_options *options, struct wal_span *gap,
                              struct error *err);
/* The same of all WAL before an LSN that the newest backup of the history does not make up for; to
 * 0 also where there is no backup. 0 also if the backups cannot be read. */
MUST_CHECK int wal_survey_look_back(const struct wal_survey_options *options, uint64_t end_lsn,
                                    struct wal_span *ret_gap, struct error *err);
