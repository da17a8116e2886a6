// SPDX-License-Identifier: Apache-2.0
/*
 * The marker of a restore that is not complete: a file in the target that names the backup and the
 * repository. It is on disk before anything else is changed and removed when all else is on disk,
 * so who finds it knows that nothing there can be trusted, and whose it is.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/digest.h"
#include "common/error.h"
#include "sidecar/backup_id.h"

struct target;

#define RESTORE_MARKER_PATH "lifeboat_restore.json"

enum { RESTORE_MARKER_MAX = 4096 }; /* bytes */

struct restore_marker {
    char backup[BACKUP_ID_BYTES];
    uint8_t repository[DIGEST_BYTES];
};

/* The file as text; the caller's (own_freep). Pure, as is parsing it. */
char *restore_marker_format(const struct restore_marker *marker);
/* CORRUPT: no marker; PERMANENT: of a newer version. */
MUST_CHECK int restore_marker_parse(const void *text, size_t size,
                                    struct restore_marker *ret_marker, struct error *err);

/* That of a target; NOT_FOUND. */
MUST_CHECK int restore_marker_load(struct target *target, struct restore_marker *ret_marker,
                                   struct error *err);
/* That of a directory which may not exist, before it is locked. NOT_FOUND. */
MUST_CHECK int restore_marker_peek(const char *directory, struct restore_marker *ret_marker,
                                   struct error *err);
/* Puts it there; on disk when it returns. */
MUST_CHECK int restore_marker_save(struct target *target, const struct restore_marker *marker,
                                   struct error *err);
/* One that comes back after a power failure is taken for what it is: that of a complete restore. */
MUST_CHECK int restore_marker_remove(struct target *target, struct error *err);
