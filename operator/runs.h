// SPDX-License-Identifier: Apache-2.0
/*
 * What the reconcilers of Backup and RestoreJob share between calls and workers: whose turn is just
 * being taken (so that two Backups of one policy never start at once), and the metrics of runs. All
 * of it may be lost at any moment. From any thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct metrics;
struct runs;

struct runs *runs_new(struct metrics *metrics); /* lends metrics for its life */
void runs_freep(struct runs **runs);

/* Between these two, nobody else gets the turn of that policy. false: somebody has it now. */
bool runs_take_turn(struct runs *runs, const char *namespace, const char *policy);
void runs_give_turn(struct runs *runs, const char *namespace, const char *policy);

/* There is that policy: what counts its ends begins with 0, as a counter that begins with the first
 * failure hides it from Prometheus' increase(). */
void runs_expect(struct runs *runs, const char *namespace, const char *policy);
/* lifeboat_backups_running{namespace,policy} */
void runs_count_running(struct runs *runs, const char *namespace, const char *policy,
                        unsigned running);

struct runs_end {
    const char *namespace, *policy;
    const char *type;   /* of a Backup: "Full" …; NULL: a RestoreJob */
    const char *reason; /* of its condition */
    bool ok;
    double seconds;        /* of the run; negative: never began */
    uint64_t bytes_stored; /* of a Backup */
    uint64_t bytes;        /* read by a Backup, written by a RestoreJob */
};
/* lifeboat_backups_total{…,type,result}, lifeboat_backup_duration_seconds,
 * lifeboat_backup_read_bytes_total and …_stored_bytes_total; the same of restores. */
void runs_count_end(struct runs *runs, const struct runs_end *end);
/* lifeboat_backup_failed_attempts_total{namespace,policy}; the same of restores. */
enum runs_kind { RUNS_BACKUP, RUNS_RESTORE };
void runs_count_failed_attempt(struct runs *runs, enum runs_kind kind, const char *namespace,
                               const char *policy);
/* The policy is gone, and all of that with it. */
void runs_forget(struct runs *runs, const char *namespace, const char *policy);
