// SPDX-License-Identifier: Apache-2.0
/*
 * The captured entry of each file of a source, of which there may be hundreds of thousands. All but
 * those that were used last are kept coded, each as what differs from the one before it. Safe from
 * any number of threads.
 */
#pragma once

#include <stddef.h>

struct captured;
struct captured_rows;

/* No file exists at first. */
struct captured_rows *captured_rows_new(size_t count);
void captured_rows_freep(struct captured_rows **rows);
/* Takes the content of captured, or gives that of the row, which is empty then. */
void captured_rows_put(struct captured_rows *rows, size_t index, struct captured *captured);
void captured_rows_take(struct captured_rows *rows, size_t index, struct captured *ret_captured);
/* Lent until the next call: for when only one thread is left. */
const struct captured *captured_rows_look(struct captured_rows *rows, size_t index);
