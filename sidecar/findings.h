// SPDX-License-Identifier: Apache-2.0
/*
 * What a verification found, from any thread: every finding is counted, the first ones are kept. A
 * finding is something wrong, or a note: worth knowing, but no harm to any restore.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

enum finding_kind {
    FINDING_UNREADABLE,   /* could not be fetched: says nothing about the object itself */
    FINDING_MISSING,      /* an object that should be there is not */
    FINDING_DAMAGED,      /* an object or frame that is not authentic or not whole */
    FINDING_INCONSISTENT, /* intact objects that contradict each other or break a rule */
    FINDING_PAGE,         /* a page of the database with a wrong checksum */
    FINDING_GAP,          /* WAL that is not there */
    FINDING_ROLLBACK,     /* a backup that somebody saw is gone or another */
    FINDING_ORPHAN,       /* an object that nobody refers to */
    FINDING_KINDS
};

enum { FINDINGS_KEPT_MAX = 200 }; /* of each: wrong, notes */

struct finding {
    enum finding_kind kind;
    bool note;
    int64_t frame, block; /* -1: none; a block is within its file */
    const char *region;   /* this and the following may be NULL */
    const char *backup;   /* whose restore it concerns */
    const char *object;   /* name below the repository */
    const char *file;     /* path in the data directory */
    const char *text;
};
/* No frame, no block. */
#define FINDING(...) (&(struct finding){.frame = -1, .block = -1, __VA_ARGS__})

struct findings;

struct findings *findings_new(void);
void findings_freep(struct findings **findings);
/* Copies what is there; the text is formatted from format. */
void findings_add(struct findings *findings, const struct finding *finding, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* How many there were, and those that were kept, in the order of their coming; lent. */
uint64_t findings_get(const struct findings *findings, bool notes, const struct finding **ret_kept,
                      size_t *ret_count);
/* Of an object that could not be read: CORRUPT is damaged, NOT_FOUND missing; anything else, also a
 * wrong key, says nothing about it: unreadable. */
enum finding_kind finding_kind_of(const struct error *err);
const char *finding_kind_name(enum finding_kind kind); /* "missing" … */
