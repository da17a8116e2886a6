// SPDX-License-Identifier: Apache-2.0
/*
 * A segment of WAL of which a repository has a part, and which becomes complete while that is read:
 * the whole segment comes, and the part goes. One at a time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct helper_repo;
struct wal_piece;

/* whole: of which there is one part, whose bytes are those of text, and zeros. regions: in which it
 * becomes complete, a bit mask. */
void helper_completion_open(const struct helper_repo *helper, const struct wal_piece *whole,
                            const char *text, unsigned regions);
void helper_completion_close(void);
/* Before which call it becomes complete (helper_completion_watch). */
void helper_completion_set(unsigned call);
/* For store_plan.watch. */
void helper_completion_watch(unsigned call);
/* In its regions there is the part again, and no whole segment. */
void helper_completion_undo(void);
/* Whether a region has the part, or the whole segment; and removes them. */
bool helper_completion_has_any(size_t region);
void helper_completion_remove(size_t region);
