// SPDX-License-Identifier: Apache-2.0
/*
 * A table for people: columns as wide as what stands in them, two spaces apart. Where it does not
 * fit into a terminal it leaves out the columns that can be spared, rather than break its lines.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum { TABLE_COLUMNS_MAX = 12 };

struct table_column {
    const char *title;
    bool right;      /* numbers, right-aligned */
    unsigned spared; /* 1: left out first, then 2 …; 0: never */
};

struct table;

/* Lends columns, at most TABLE_COLUMNS_MAX. */
struct table *table_new(const struct table_column *columns, size_t count);
void table_freep(struct table **table);
/* Copies a cell for each column: UTF-8 of one line. */
void table_add_row(struct table *table, const char *const *cells);
/* A row whose first cell is followed by a free text that counts for no column's width. */
void table_add_note(struct table *table, const char *first, const char *text);
/* All lines, the titles first; own_freep. width: of the terminal, in characters; 0: any. */
char *table_format(const struct table *table, size_t width);
