// SPDX-License-Identifier: Apache-2.0
/*
 * Restores of a helper_backup into "pg" and "fast" (its tablespace) below a test's directory, and
 * what they must have made there. What goes wrong fails the test.
 */
#pragma once

#include <stddef.h>

#include "common/error.h"

struct helper_backup;
struct restore_options;
struct restore_result;

/* extra: options but for where from and where to; without a cancel it gets its own. */
MUST_CHECK int helper_restore(const struct helper_backup *from, const char *directory,
                              const struct restore_options *extra,
                              struct restore_result *ret_result, struct error *err);
/* The source byte for byte, with its modes and times; nothing more but what a restore adds. */
void helper_restore_expect_source(const struct helper_backup *from, const char *directory);
/* Does what pg_verifybackup does: every file listed is there with its size and CRC. Gives how many
 * there are. */
size_t helper_restore_check_manifest(const char *directory);
