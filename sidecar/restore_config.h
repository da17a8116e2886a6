// SPDX-License-Identifier: Apache-2.0
/*
 * Configuration files for a restored data directory whose source kept its own elsewhere (Debian: in
 * /etc), so that PostgreSQL starts: what pg_control demands, and access for nobody but the server's
 * own user. Pure.
 */
#pragma once

#include <stddef.h>

struct pg_control;

enum { RESTORE_CONFIG_FILES = 3 };

extern const char *const restore_config_paths[RESTORE_CONFIG_FILES];

/* The content of restore_config_paths[index]; the caller's (own_freep). */
char *restore_config_format(size_t index, const struct pg_control *control);
