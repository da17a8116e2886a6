// SPDX-License-Identifier: Apache-2.0
/*
 * The directory that a restore writes to. Nothing is ever written outside it or its tablespaces:
 * every path is opened below a directory file descriptor with openat2(2), RESOLVE_BENEATH |
 * RESOLVE_NO_SYMLINKS, so that neither a path from a backup nor somebody who swaps a directory for
 * a symbolic link leads elsewhere. It is locked while it is open. One that is not empty is changed
 * in place: files keep their bytes where these are right.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

struct buf;
struct cancel;
struct entry;
struct target;
struct throttle;

/* Where a tablespace goes: OLD=NEW. */
struct target_tablespace {
    const char *old_location, *new_location;
};

enum target_use {
    TARGET_EMPTY,
    TARGET_USED, /* may have content, which stays until it is removed or written over */
};

/* Makes the directory (0700) and its parents unless it exists. CONFLICT: it is not empty
 * (TARGET_EMPTY), PostgreSQL runs in it, or another restore writes to it. */
MUST_CHECK int target_open(struct target **ret_target, const char *path, enum target_use use,
                           struct error *err);
void target_closep(struct target **target);
/* Without symbolic links; lent. */
const char *target_path(const struct target *target);
/* How fast files are written from then on, by all threads together. Lends both; cancel ends the
 * waiting. */
void target_limit(struct target *target, struct throttle *limit, const struct cancel *cancel);
/* The directory itself gets the permission bits of a directory of the backup, as PostgreSQL derives
 * from them whether the group may read (0700 or 0750). */
MUST_CHECK int target_set_mode(struct target *target, uint32_t mode, struct error *err);
/* To be called before anything is written: nobody else can write there any more. uid and gid are
 * whose all that is made or written shall be, if we are root; others are who they are. */
MUST_CHECK int target_prepare(struct target *target, uint32_t uid, uint32_t gid, struct error *err);

/* What lies in a directory of the target, or of a tablespace that was placed. */
enum target_kind { TARGET_FILE, TARGET_DIRECTORY, TARGET_LINK, TARGET_OTHER };
struct target_item {
    const char *path; /* as in a backup; lent during the call */
    enum target_kind kind;
    bool mount;    /* something else is mounted there */
    bool writable; /* a file that is written without harm: ours to write, and with no other name */
};
typedef int (*target_each)(void *arg, const struct target_item *item, struct error *err);
/* In no order; path "" is the target itself. What each returns but 0 ends it. */
MUST_CHECK int target_list(struct target *target, const char *path, target_each each, void *arg,
                           struct error *err);
/* The content of a regular file, appended. NOT_FOUND, PERMANENT (also when it does not fit). */
MUST_CHECK int target_read(struct target *target, const char *path, struct buf *content,
                           struct error *err);
/* Whether a link "pg_tblspc/<oid>" of the target leads to where it was placed. */
bool target_link_fits(struct target *target, const char *path);
/* Removes a file or link, or an empty directory. 0 also if it is not there. */
MUST_CHECK int target_remove(struct target *target, const char *path, enum target_kind kind,
                             struct error *err);
/* The directory that path stands in is on disk: what was made and removed there. */
MUST_CHECK int target_sync_parent(struct target *target, const char *path, struct error *err);

/* A directory of the backup, unless it is there; parents come first. */
MUST_CHECK int target_make_directory(struct target *target, const struct entry *entry,
                                     struct error *err);
/* Where the files below a tablespace link "pg_tblspc/<oid>" go: location (already relocated,
 * absolute) is made or must be empty, unless the target is TARGET_USED and its link leads there
 * already. To be called for all links before anything is written. CONFLICT: not empty, or inside
 * the target or another tablespace, or the other way round. */
MUST_CHECK int target_place_tablespace(struct target *target, const struct entry *entry,
                                       const char *location, struct error *err);
/* The link itself, to where it was placed; unless it is there. */
MUST_CHECK int target_make_link(struct target *target, const struct entry *entry,
                                struct error *err);

/* A file being written; by any number of threads, each with its own. */
struct target_file {
    struct target *target; /* lent */
    const char *path;      /* lent, for messages */
    int fd;                /* -1: none */
};

struct target_attributes {
    uint32_t mode; /* permission bits */
    int64_t mtime_s;
    uint64_t size; /* bytes; what was not written is a hole */
};

/* Opens it for writing, made (0600) if missing. PERMANENT: path refused, disk full … */
MUST_CHECK int target_open_file(struct target *target, const char *path,
                                struct target_file *ret_file, struct error *err);
/* The same for one that is there, also for reading. NOT_FOUND. */
MUST_CHECK int target_reopen_file(struct target *target, const char *path,
                                  struct target_file *ret_file, struct error *err);
/* Its bytes, with zeros behind its end. */
MUST_CHECK int target_pread(const struct target_file *file, void *data, size_t size,
                            uint64_t offset, struct error *err);
/* Bytes [from, to) become a hole; zeros where the file system has none. */
MUST_CHECK int target_clear(const struct target_file *file, uint64_t from, uint64_t to,
                            struct error *err);
MUST_CHECK int target_resize(const struct target_file *file, uint64_t size, struct error *err);
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
/* The same, and it is on disk afterwards: the whole of it or, after a crash at any moment, nothing.
 * At the top of the target and in directories of its file system. */
MUST_CHECK int target_save_file(struct target *target, const char *path,
                                const struct target_attributes *attributes, const void *data,
                                struct error *err);
/* What such a file is called until it is whole. */
extern const char target_unfinished[];

/* Everything written so far is on disk: syncfs(2) of every file system involved. */
MUST_CHECK int target_sync(struct target *target, struct error *err);
