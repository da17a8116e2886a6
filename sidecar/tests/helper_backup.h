// SPDX-License-Identifier: Apache-2.0
/*
 * A committed backup without a server: a tree that looks like a data directory goes through the
 * real walk, scan, packers and archive into a repository of directories. It has what is hard to
 * restore: empty files, holes, maps in map frames, files over several packs, a tablespace, WAL on
 * two timelines. Failures abort the test program.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "sidecar/tests/helper_packs.h"
#include "sidecar/tests/helper_repo.h"
#include "sidecar/tests/helper_tree.h"

struct manifest;

enum { HELPER_BACKUP_SEGMENT = 1 << 20 }; /* bytes of a WAL segment */
#define HELPER_BACKUP_LABEL "START WAL LOCATION: 0/100028\n"

struct helper_backup {
    struct helper_repo repo;
    struct helper_tree tree;                 /* the source */
    char tablespace[96];                     /* its location, outside the tree's data */
    uint8_t wal[3 * HELPER_BACKUP_SEGMENT];  /* from LSN 0 on */
    void (*edit)(struct manifest *manifest); /* called before the commit; may be NULL */
};

/* Makes repository and tree, both to be changed before helper_backup_commit. */
void helper_backup_open(struct helper_backup *backup, size_t regions);
void helper_backup_commit(struct helper_backup *backup);
void helper_backup_close(struct helper_backup *backup);
