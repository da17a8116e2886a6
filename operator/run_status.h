// SPDX-License-Identifier: Apache-2.0
/*
 * The status of a Backup or RestoreJob as it is to be written: always whole, as server-side apply
 * takes away what is left out. It starts as a copy of what is there. Texts are cut to what the
 * schema allows and are valid UTF-8 whatever they quote. Pure. Reference: docs/resources.md.
 */
#pragma once

#include <stdint.h>

#include <jansson.h>

#include "operator/run.h"
#include "operator/verdict.h"

struct message_progress;

json_t *run_status_copy(const struct run *run); /* the caller's */

/* conditions and observedGeneration */
void run_status_set_verdict(json_t *status, const struct run *run, const struct verdict *verdict,
                            int64_t now_ms);
void run_status_add_attempt(json_t *status, const char *id_member,
                            const struct run_attempt *attempt);
/* The last attempt: that is its pod. */
void run_status_set_pod(json_t *status, const char *pod, const char *pod_uid);
/* The last attempt: over, for that reason (NULL: it succeeded). */
void run_status_end_attempt(json_t *status, const char *reason, const char *error, int64_t now_ms);
/* NULL: none. Left as it is if it was written less than ten seconds ago in the same phase. */
void run_status_set_progress(json_t *status, const struct message_progress *progress,
                             int64_t now_ms);

/* One member; NULL takes it away. */
void run_status_set_text(json_t *status, const char *name, const char *text);
void run_status_set_time(json_t *status, const char *name, int64_t ms);
/* "1.2 GB"; "4m12s" */
void run_status_set_size(json_t *status, const char *name, uint64_t bytes);
void run_status_set_duration(json_t *status, const char *name, int64_t ms);
/* Takes over those members that are there, under their own names; names is NULL-terminated. */
void run_status_take_over(json_t *status, const json_t *from, const char *const *names);
