// SPDX-License-Identifier: Apache-2.0
/*
 * The directory that a restore writes to. Nothing is ever written outside it or its tablespaces:
 * every path is opened below a directory file descriptor with openat2(2), RESOLVE_BENEATH |
 * RESOLVE_NO_SYMLINKS. Checked before anything is written.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

struct entry;
struct target;

struct target_tablespace {
    const char *old_location, *new_location;
};

/* Creates the directory (0700) unless it exists. CONFLICT: it is not empty, or PostgreSQL runs in
 * it. */
MUST_CHECK int target_open(struct target **ret_target, const char *path, struct error *err);
void target_closep(struct target **target);
/* A directory of the backup; parents come first. */
MUST_CHECK int target_make_directory(struct target *target, const struct entry *entry,
                                     struct error *err);
/* A tablespace link: its location (already relocated, absolute) is made or must be empty, and the
 * link made. Files below "pg_tblspc/<oid>/" go there. */
MUST_CHECK int target_make_link(struct target *target, const struct entry *entry,
                                const char *location, struct error *err);
/* Opens a file for writing, made with mode if missing. PERMANENT: disk full …, path refused. */
MUST_CHECK int target_open_file(struct target *target, const char *path, uint32_t mode, int *ret_fd,
                                struct error *err);
/* Writes a whole small file. */
MUST_CHECK int target_write_file(struct target *target, const char *path, uint32_t mode,
                                 const void *data, size_t size, struct error *err);
/* Everything written so far is on disk: syncfs(2) of every file system involved. */
MUST_CHECK int target_sync(struct target *target, struct error *err);
