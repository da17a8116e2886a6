// SPDX-License-Identifier: Apache-2.0
/* An encrypted repository in fresh directories, one for each of its regions ("r0", "r1" …). All of
 * it asserts that it works; what it holds goes with it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cancel.h"
#include "common/error.h"

struct buf;
struct manifest_wal_range;
struct policy;
struct regions;
struct repo;
struct secrets;

struct helper_repo {
    struct cancel cancel;
    char directory[64]; /* holds the regions' directories and "secrets" */
    struct policy *policy;
    struct secrets *secrets;
    struct regions *regions;
    struct repo *repo;
    int64_t patience_ms; /* as in regions_choice, for what is opened from now on */
};

enum { HELPER_REPO_SYSTEM = 7351234 };

/* system_identifier 0: HELPER_REPO_SYSTEM. Any region is enough to go on. */
void helper_repo_open(struct helper_repo *helper, size_t regions, uint64_t system_identifier);
/* The same up to policy and secrets: no region is opened yet. */
void helper_repo_prepare(struct helper_repo *helper, size_t regions, unsigned quorum);
/* Closes what is open, and opens it as another process would. */
MUST_CHECK int helper_repo_reopen(struct helper_repo *helper, bool write,
                                  uint64_t system_identifier, struct error *err);
void helper_repo_close(struct helper_repo *helper);
/* Puts another user key in the place of k1. */
void helper_repo_change_key(const struct helper_repo *helper);
/* Adds another user key, k2, and makes it the active one. */
void helper_repo_rotate_key(struct helper_repo *helper);

/* The manifest of a full backup, and nothing else of it, that starts and stops with that WAL. */
void helper_repo_put_manifest(const struct helper_repo *helper, const char *id,
                              const struct manifest_wal_range *wal);

/* The file of an object; name is below the repository. The caller's (own_freep). */
char *helper_repo_path(const struct helper_repo *helper, size_t region, const char *name);
/* Its bytes; content is cleared. Writing replaces what is there. */
void helper_repo_read_object(const struct helper_repo *helper, size_t region, const char *name,
                             struct buf *content);
void helper_repo_write_object(const struct helper_repo *helper, size_t region, const char *name,
                              const struct buf *content);
void helper_repo_remove_object(const struct helper_repo *helper, size_t region, const char *name);
/* Flips a bit of an object's first frame. */
void helper_repo_damage(const struct helper_repo *helper, size_t region, const char *name);
/* The only name that starts with prefix; below the repository. The caller's (own_freep). */
char *helper_repo_name(const struct helper_repo *helper, const char *prefix);
