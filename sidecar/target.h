// SPDX-License-Identifier: Apache-2.0
/*
 * The directory that a restore writes to. Nothing is ever written outside it or its tablespaces:
 * every path is opened below a directory file descriptor with openat2(2), RESOLVE_BENEATH |
 * RESOLVE_NO_SYMLINKS, so that neither a path from a backup nor somebody who swaps a directory for
 * a symbolic link leads elsewhere. It is locked while it is open.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

struct entry;
struct target;

/* Where a tablespace goes: OLD=NEW. */
struct target_tablespace {
    const char *old_location, *new_location;
};

/* Makes the directory (0700) and its parents unless it exists. CONFLICT: it is not empty,
 * PostgreSQL runs in it, or another restore writes to it. */
MUST_CHECK int target_open(struct target **ret_target, const char *path, struct error *err);
void target_closep(struct target **target);
/* The directory itself gets the permission bits of a directory of the backup, as PostgreSQL derives
 * from them whether the group may read (0700 or 0750). */
MUST_CHECK int target_set_mode(struct target *target, uint32_t mode, struct error *err);

/* A directory of the backup; parents come first. */
MUST_CHECK int target_make_directory(struct target *target, const struct entry *entry,
                                     struct error *err);
/* Where the files below a tablespace link "pg_tblspc/<oid>" go: location (already relocated,
 * absolute) is made or must be empty. To be called for all links before anything is written.
 * CONFLICT: not empty, or inside the target or another tablespace, or the other way round. */
MUST_CHECK int target_place_tablespace(struct target *target, const struct entry *entry,
                                       const char *location, struct error *err);
/* The link itself, to where it was placed. */
MUST_CHECK int target_make_link(struct target *target, const struct entry *entry,
                                struct error *err);

/* A file being written; by any number of threads, each with its own. */
struct target_file {
    const char *path; /* lent, for messages */
    int fd;           /* -1: none */
};

struct target_attributes {
    uint32_t mode; /* permission bits */
    int64_t mtime_s;
    uint64_t size; /* bytes; what was not written is a hole */
};

/* Opens it for writing, made (0600) if missing. PERMANENT: path refused, disk full … */
MUST_CHECK int target_open_file(struct target *target, const char *path,
                                struct target_file *ret_file, struct error *err);
MUST_CHECK int target_write(const struct target_file *file, const void *data, size_t size,
                            uint64_t offset, struct error *err);
/* After the last write. */
MUST_CHECK int target_finish(const struct target_file *file,
                             const struct target_attributes *attributes, struct error *err);
void target_close_file(struct target_file *file);
/* Opens, writes, finishes and closes a small file. */
MUST_CHECK int target_write_file(struct target *target, const char *path,
                                 const struct target_attributes *attributes, const void *data,
                                 struct error *err);

/* Everything written so far is on disk: syncfs(2) of every file system involved. */
MUST_CHECK int target_sync(struct target *target, struct error *err);
