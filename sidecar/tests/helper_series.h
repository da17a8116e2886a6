// SPDX-License-Identifier: Apache-2.0
/*
 * A repository with a series of backups, made without a server, each as small as can be: for tests
 * that read all of it hundreds of times. What goes wrong fails the test.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct helper_repo;

enum {
    HELPER_SERIES_SYSTEM = 12345 /* that of helper_tree's pg_control */,
    HELPER_SERIES_TIMELINE = 2
};

/* Where a relation lies, and one of its pages that is damaged where asked for. */
#define HELPER_SERIES_RELATION "base/5/16384"
enum { HELPER_SERIES_PAGES = 40, HELPER_SERIES_BAD_BLOCK = 7 };

struct helper_series {
    const char *id;
    /* The id of an earlier one that it is incremental to, NULL: it is full. Since then the relation
     * grew by a page. */
    const char *parent;
    bool scattered; /* it has two files whose maps are too long for their entries, of which one is
                       the same in each backup and the other nearly so */
    uint64_t start_lsn; /* WAL is stored from its segment's start to stop_lsn */
    uint64_t stop_lsn;
    uint32_t segment_bytes; /* of WAL; 0: 16 MiB */
    bool bad_page;          /* HELPER_SERIES_BAD_BLOCK has a wrong checksum … */
    bool unseen;            /* … which the backup did not see */
    uint64_t lie;           /* files that the manifest says too many */
    bool without_wal;
};

void helper_series_add(struct helper_repo *repo, const struct helper_series *backup);
