// SPDX-License-Identifier: Apache-2.0
/*
 * What fault loops do over and over: a backup of a small server of their own, and a look at what
 * has come of it. A backup that failed must have left the committed one as it was, one that was
 * successful must restore. What goes wrong fails the test.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/digest.h"
#include "common/error.h"
#include "sidecar/backup_id.h"
#include "sidecar/tests/helper_repo.h"

struct helper_postgres;

struct helper_loop {
    struct helper_postgres *server;
    struct helper_repo repo;
    uint8_t relations[DIGEST_BYTES]; /* of the server: nobody changes them */
    char id[BACKUP_ID_BYTES];        /* the first backup that was committed … */
    uint8_t content[DIGEST_BYTES];   /* … and what it restores to */
};

void helper_loop_start(struct helper_loop *loop);
void helper_loop_stop(struct helper_loop *loop);

/* A new repository in so many regions, "r0" and so on, of which one is enough to commit. */
void helper_loop_open(struct helper_loop *loop, size_t regions);
void helper_loop_close(struct helper_loop *loop);

/* ret_id is "" unless it was committed. */
MUST_CHECK int helper_loop_back_up(struct helper_loop *loop, enum backup_type type,
                                   char ret_id[BACKUP_ID_BYTES], struct error *err);
/* After a backup into the one region, with the id and error that it gave. No fault may happen any
 * more. The first that was committed stays; a later one goes again, so that the next finds things
 * as it did. Whether a backup that failed is there all the same, and whole: the answer to its last
 * call may be what failed. */
bool helper_loop_check(struct helper_loop *loop, const char *id, const struct error *err);
/* Whether a region has a backup, which must then restore from there. */
bool helper_loop_restores(struct helper_loop *loop, const char *region, const char *id);
