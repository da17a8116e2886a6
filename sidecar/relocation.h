// SPDX-License-Identifier: Apache-2.0
/* Where the tablespaces of a backup go: to the locations they had, or OLD=NEW as the user says.
 * Pure. */
#pragma once

#include <stddef.h>

#include "common/error.h"

struct entry;
struct target_tablespace;

/* entries: those of a backup that are not files. PERMANENT: an OLD that no tablespace has (lists
 * those there are) or that is named twice, a NEW that is not absolute. Trailing slashes do not
 * matter. */
MUST_CHECK int relocation_check(const struct target_tablespace *tablespaces, size_t count,
                                const struct entry *entries, size_t entry_count, struct error *err);
/* The new location of the tablespace that was at location; the caller's (own_freep). */
char *relocation_find(const struct target_tablespace *tablespaces, size_t count,
                      const char *location);
