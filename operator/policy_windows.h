// SPDX-License-Identifier: Apache-2.0
/*
 * To which points in time a region can be restored, as the status and the condition Recoverable
 * show it. The end of the window that grows all the time is left out where it matters to be quiet.
 * Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

struct message_archiving;
struct policy_view_region;

/* Whether the newest window of that region grows: WAL of its timeline gets there, and nothing is
 * missing in between. Either may be NULL: status.gap, and what the pod that streams says. */
bool policy_windows_grow(const struct policy_view_region *region,
                         const struct message_archiving *archiving, const json_t *gap);
/* Of an element of status.regions that nobody looks at any more: a window that grew ends, for all
 * that is known, at recoverableTo. */
void policy_windows_close(json_t *formatted);
/* Sets recoverableFrom, recoverableTo and windows of an element of status.regions. */
void policy_windows_format(json_t *formatted, const struct policy_view_region *region, bool grows);
/* For a person, appended: "region 'eu': any time since 2026-11-20T03:10:00Z"; false: there are no
 * windows, and nothing is appended. text has a NUL. */
bool policy_windows_tell(const struct policy_view_region *region, bool grows, char *text,
                         size_t capacity);
