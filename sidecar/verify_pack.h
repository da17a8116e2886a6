// SPDX-License-Identifier: Apache-2.0
/*
 * One pack under verification. It is read whole once: the seals of its frames, their checksums,
 * its hashes, and the pages in it that the backup at hand knows the block numbers of. What is wrong
 * with it is kept for the backups that come later and refer to it too.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "sidecar/findings.h"
#include "sidecar/piece_set.h"

struct pack_reader;
struct piece_hash;

struct verify_flaw {
    enum finding_kind kind; /* FINDING_PAGE: one piece, harmless where WAL replaces it */
    int64_t frame;          /* -1: the pack as a whole */
    struct piece_range pieces;
    uint64_t lsn; /* of a page */
    char *text;
    bool told; /* in a finding */
};

struct verify_pack { /* {0} is one that was not looked at */
    bool read;
    bool referenced;        /* by a manifest */
    struct piece_set data;  /* the pieces that its data frames have */
    struct piece_set paged; /* those whose page was checked */
    struct verify_flaw *flaws;
    size_t flaw_count;
};

struct verify_pages {             /* of a relation, in a row in the pack */
    uint32_t piece, count, block; /* block: within the relation's fork */
};

struct verify_pack_source {
    struct pack_reader *reader; /* PACK_READER_SALVAGE */
    const struct piece_hash *hash;
    const char *backup;
    uint32_t number;
    const struct verify_pages *pages; /* ascending */
    size_t page_count;
};

void verify_pack_done(struct verify_pack *pack);
/* Whether anything of it is still to be read. */
bool verify_pack_wants(const struct verify_pack *pack, const struct verify_pages *pages,
                       size_t page_count);
/* Whatever is wrong becomes a flaw; an error is only CANCELED. */
MUST_CHECK int verify_pack_read(struct verify_pack *pack, const struct verify_pack_source *source,
                                struct error *err);
