// SPDX-License-Identifier: Apache-2.0
/* Time: milliseconds since the epoch (UTC) for what people read, monotonic milliseconds for
 * measuring. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

int64_t clock_now_ms(void);
int64_t clock_monotonic_ms(void);
/* Tests: from now on clock_now_ms and clock_monotonic_ms give this value; negative ends it. */
void clock_fake(int64_t now_ms);

enum { CLOCK_TEXT_BYTES = 32 };

/* "2026-11-21T08:21:18Z" (RFC 3339, seconds) */
void clock_format(int64_t ms, char ret_text[CLOCK_TEXT_BYTES]);
/* "2026-11-21T08:21:18.042Z" */
void clock_format_ms(int64_t ms, char ret_text[CLOCK_TEXT_BYTES]);
/* "2026-11-21T08:21:18.042000Z": always six digits, as Kubernetes' MicroTime wants them */
void clock_format_us(int64_t ms, char ret_text[CLOCK_TEXT_BYTES]);
/* "20261121T082118Z" (ISO 8601 basic format), as in backup ids and in AWS signatures */
void clock_format_basic(int64_t ms, char ret_text[CLOCK_TEXT_BYTES]);
/* "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110, 5.6.7) */
void clock_format_http(int64_t ms, char ret_text[CLOCK_TEXT_BYTES]);
/* Reads either of the two, fractions of a second and numeric zones allowed in the first; false if
 * it is neither. */
bool clock_parse(const char *text, int64_t *ret_ms);
/* Reads an HTTP date, "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110, 5.6.7, IMF-fixdate only). */
bool clock_parse_http(const char *text, int64_t *ret_ms);
