// SPDX-License-Identifier: Apache-2.0
/*
 * Page checksums of what was just read from a running server. A page that fails may be torn, caught
 * while it was being written: it is read again a few times with a short wait, and only what stays
 * wrong is bad.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "sidecar/frame.h"

struct cancel;

struct page_check {
    uint32_t block; /* of the first page, within the relation's fork */
    uint64_t start_lsn;
    const struct cancel *cancel;
    /* Reads page index (from 0) again; a page that is gone by now becomes zero. */
    int (*reread)(void *arg, size_t index, uint8_t *page, struct error *err);
    void *arg;
};

struct page_check_result {
    uint32_t bad[FRAME_PIECES]; /* indices, ascending */
    size_t count;
};

/* Checks up to FRAME_PIECES pages; those that were torn are replaced by what they are now. Errors
 * are those of reread, and CANCELED. */
MUST_CHECK int page_check_run(const struct page_check *check, uint8_t *pages, size_t count,
                              struct page_check_result *ret_result, struct error *err);
