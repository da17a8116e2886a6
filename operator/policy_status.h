// SPDX-License-Identifier: Apache-2.0
/*
 * The parts of a policy's status that show what its pods, regions and Backups are like, as
 * docs/resources.md describes them. What nobody can tell at the moment is taken over from the
 * status before, which is better than nothing. Pure; results are the caller's (json_decref).
 */
#pragma once

#include <stdint.h>

#include <jansson.h>

struct message_archiving;
struct policy_spec_schedule;
struct policy_view;

struct policy_status_regions_facts {
    const struct policy_view *view;
    const struct message_archiving *archiving; /* how WAL gets there; NULL: not told */
    const json_t *gap;                         /* status.gap; may be NULL */
    const json_t *before;                      /* status.regions */
    int64_t now_ms;
};

json_t *policy_status_pods(const struct policy_view *view);
json_t *policy_status_regions(const struct policy_status_regions_facts *facts);
json_t *policy_status_members(const struct policy_view *view); /* "2/3" */

/* Of these Backups (an array) the one that succeeded last, of a schedule (NULL: of any); lent, or
 * NULL. */
const json_t *policy_status_newest(const json_t *backups, const char *schedule);
/* lastBackup from that Backup (NULL: none), or from the status before if that is newer; or NULL. */
json_t *policy_status_last_backup(const json_t *newest, const json_t *before);
