// SPDX-License-Identifier: Apache-2.0
#include "sidecar/table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/own.h"

enum { GAP = 2 };

struct row {
    char *cells[TABLE_COLUMNS_MAX]; /* of a note the first two: the cell and the text */
    bool is_note;
};

struct table {
    const struct table_column *columns;
    size_t column_count;
    struct row *rows;
    size_t row_count;
};

/* Characters; none of ours is wider than one column of a terminal. */
static size_t width_of(const char *text)
{
    size_t width = 0;
    for (; *text; text++)
        width += ((unsigned char)*text & 0xC0) != 0x80;
    return width;
}

/* A layout: the width of each column, 0 for those that are left out. */

static void measure(const struct table *table, size_t widths[TABLE_COLUMNS_MAX])
{
    for (size_t i = 0; i < table->column_count; i++) {
        widths[i] = width_of(table->columns[i].title);
        for (size_t j = 0; j < table->row_count; j++) {
            const struct row *row = &table->rows[j];
            const size_t width = row->is_note && i > 0 ? 0 : width_of(row->cells[i]);
            widths[i] = width > widths[i] ? width : widths[i];
        }
    }
}

static size_t sum(const struct table *table, const size_t widths[TABLE_COLUMNS_MAX])
{
    size_t total = 0;
    for (size_t i = 0; i < table->column_count; i++)
        total += widths[i] > 0 ? widths[i] + (total > 0 ? GAP : 0) : 0;
    return total;
}

static void lay_out(const struct table *table, size_t width, size_t widths[TABLE_COLUMNS_MAX])
{
    measure(table, widths);
    for (unsigned rank = 1; width > 0 && rank <= TABLE_COLUMNS_MAX; rank++)
        for (size_t i = 0; i < table->column_count && sum(table, widths) > width; i++)
            if (table->columns[i].spared == rank)
                widths[i] = 0;
}

/* Lines */

struct line {
    char *end;
    size_t owed; /* spaces before the next text: none stand at the end of a line */
};

static void put(struct line *line, const char *text)
{
    if (*text == '\0')
        return;
    memset(line->end, ' ', line->owed);
    line->end = stpcpy(line->end + line->owed, text);
    line->owed = 0;
}

static void put_cell(struct line *line, const struct table_column *column, size_t width,
                     const char *text)
{
    const size_t room = width - width_of(text);
    line->owed += column->right ? room : 0;
    put(line, text);
    line->owed += GAP + (column->right ? 0 : room);
}

static char *put_row(char *to, const struct table *table, const size_t widths[TABLE_COLUMNS_MAX],
                     const struct row *row)
{
    struct line line = {.end = to};
    for (size_t i = 0; i < table->column_count; i++) {
        if (row->is_note && i == 1) {
            put(&line, row->cells[1]);
            break;
        }
        if (widths[i] > 0)
            put_cell(&line, &table->columns[i], widths[i], row->cells[i]);
    }
    return stpcpy(line.end, "\n");
}

char *table_format(const struct table *table, size_t width)
{
    size_t widths[TABLE_COLUMNS_MAX], bytes = 1;
    struct row titles = {0};
    lay_out(table, width, widths);
    for (size_t i = 0; i < table->column_count; i++)
        titles.cells[i] = own_strdup(table->columns[i].title);
    for (size_t i = 0; i <= table->row_count; i++) {
        const struct row *row = i < table->row_count ? &table->rows[i] : &titles;
        bytes += sum(table, widths) + GAP + 1;
        for (size_t j = 0; j < TABLE_COLUMNS_MAX; j++)
            bytes += row->cells[j] ? strlen(row->cells[j]) : 0;
    }
    char *text = own_alloc(bytes), *to = put_row(text, table, widths, &titles);
    for (size_t i = 0; i < table->row_count; i++)
        to = put_row(to, table, widths, &table->rows[i]);
    for (size_t i = 0; i < table->column_count; i++)
        free(titles.cells[i]);
    return text;
}

static struct row *add_row(struct table *table)
{
    table->rows = own_resize(table->rows, table->row_count + 1, sizeof(table->rows[0]));
    table->rows[table->row_count] = (struct row){0};
    return &table->rows[table->row_count++];
}

void table_add_note(struct table *table, const char *first, const char *text)
{
    struct row *row = add_row(table);
    row->is_note = true;
    row->cells[0] = own_strdup(first);
    row->cells[1] = own_strdup(text);
}

void table_add_row(struct table *table, const char *const *cells)
{
    struct row *row = add_row(table);
    for (size_t i = 0; i < table->column_count; i++)
        row->cells[i] = own_strdup(cells[i]);
}

void table_freep(struct table **table)
{
    struct table *t = TAKE(*table);
    if (!t)
        return;
    for (size_t i = 0; i < t->row_count; i++)
        for (size_t j = 0; j < TABLE_COLUMNS_MAX; j++)
            free(t->rows[i].cells[j]);
    free(t->rows);
    free(t);
}

struct table *table_new(const struct table_column *columns, size_t count)
{
    assert(count <= TABLE_COLUMNS_MAX);
    struct table *table = own_alloc(sizeof(*table));
    table->columns = columns;
    table->column_count = count;
    return table;
}
