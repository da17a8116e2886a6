// SPDX-License-Identifier: Apache-2.0
/* A temporary directory for a test, and what it expects to lie there. What goes wrong fails the
 * test, so nothing here returns an error. */
#pragma once

#include <stddef.h>

/* Makes memory the place of TMPDIR for a test of hundreds of small files that are fsynced, unless
 * that is set or there is too little: first in main. */
void helper_directory_in_memory(void);
/* Below TMPDIR or /tmp; for helper_directory_remove. */
char *helper_directory_new(void);
/* Removes it with all that is in it, following no links; frees the path. */
void helper_directory_remove(char *directory);

/* Writes a file (text without its NUL), makes the directories that are missing. */
void helper_directory_write(const char *directory, const char *path, const char *text);
/* Reading follows links. */
void helper_directory_expect(const char *directory, const char *path, const char *text);
void helper_directory_expect_missing(const char *directory, const char *path);
