// SPDX-License-Identifier: Apache-2.0
/* Backup ids: 20261121T082118Z-full-3fa2 (start in UTC, type, four random hexadecimal digits). Pure
 * but for the dice. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"

enum { BACKUP_ID_BYTES = 32 }; /* with NUL, longest is 27 */

enum backup_type { BACKUP_FULL, BACKUP_DIFFERENTIAL, BACKUP_INCREMENTAL };

/* NULL-terminated: "full", "differential", "incremental"; indexed by backup_type */
extern const char *const backup_type_names[];
/* The same as they stand in ids: "full", "diff", "incr". */
extern const char *const backup_type_words[];

MUST_CHECK int backup_id_new(enum backup_type type, int64_t start_ms, char ret_id[BACKUP_ID_BYTES],
                             struct error *err);
/* false if text is not a backup id. */
bool backup_id_parse(const char *text, enum backup_type *ret_type, int64_t *ret_start_ms);
