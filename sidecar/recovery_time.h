// SPDX-License-Identifier: Apache-2.0
/* Moments of recovery as people write and read them: to the microsecond, as PostgreSQL's WAL has
 * them. Pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* A date, a time and a zone as RFC 3339 or PostgreSQL write them: "2026-11-21T16:15:00.25Z",
 * "2026-11-21 17:15:00+01". What is below a microsecond is dropped. false: it is none. */
bool recovery_time_parse(const char *text, int64_t *ret_us);
enum { RECOVERY_TIME_BYTES = 40 };
/* "2026-11-21T16:15:00.250000Z" */
void recovery_time_format(int64_t us, char ret_text[RECOVERY_TIME_BYTES]);
