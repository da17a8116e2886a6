// SPDX-License-Identifier: Apache-2.0
/* The index of a backup: all entries, sorted by path, written into index frames of its packs. */
#pragma once

#include <stddef.h>

#include "common/error.h"

struct entry;
struct manifest;
struct packer;
struct scan;
struct source;

struct backup_index {
    struct scan *scan;           /* its files */
    const struct source *source; /* its directories and links */
    const struct entry *content; /* what does not come from the walk, sorted by path */
    size_t content_count;
};

/* Writes the frames with packer and notes them, the number of files and their bytes in the
 * manifest. */
MUST_CHECK int backup_index_write(const struct backup_index *index, struct packer *packer,
                                  struct manifest *manifest, struct error *err);
