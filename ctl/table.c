// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "table.h"
#include "human.h"
#include "message.h"
#include "statistics.h"

#include <inttypes.h>
#include <libsmartcols/libsmartcols.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MAX_CHOSEN 64

struct zr_table {
    struct libscols_table *lines;
    const struct zr_column *columns;
    const struct zr_table_style *style;
    size_t nr_chosen;
    size_t chosen[MAX_CHOSEN]; // places in columns
};

void zr_table_style_set(struct zr_table_style *style, int letter, const char *argument)
{
    switch (letter) {
    case 'o':
        style->output = argument;
        break;
    case ZR_OPTION_OUTPUT_ALL:
        style->has_all = true;
        break;
    case 'b':
        style->has_bytes = true;
        break;
    case 'n':
        style->has_no_headings = true;
        break;
    case 'r':
        style->is_raw = true;
        break;
    case 'J':
        style->is_json = true;
        break;
    }
    if (style->is_raw && style->is_json) {
        zr_die_of_misuse("--raw and --json exclude each other");
    }
}

void zr_columns_print_help(const struct zr_column *columns)
{
    printf("\nColumns (* are the usual ones):\n");
    for (; columns->name; columns++) {
        printf(" %c %-12s %s\n", columns->is_default ? '*' : ' ', columns->name, columns->help);
    }
}

static void choose(struct zr_table *table, size_t place)
{
    if (table->nr_chosen == MAX_CHOSEN) {
        zr_die_of_misuse("--output %s: too many columns", table->style->output);
    }
    table->chosen[table->nr_chosen++] = place;
}

static void choose_by_name(struct zr_table *table, const char *name, size_t length)
{
    size_t i;

    for (i = 0; table->columns[i].name; i++) {
        if (strlen(table->columns[i].name) == length &&
            strncasecmp(table->columns[i].name, name, length) == 0) {
            choose(table, i);
            return;
        }
    }
    zr_die_of_misuse("--output %s: there is no column '%.*s' (see --help)", table->style->output,
                     (int)length, name);
}

static void choose_all(struct zr_table *table)
{
    const char *list = table->style->output;
    size_t i, length;

    for (i = 0; table->columns[i].name; i++) {
        if (table->style->has_all || ((!list || *list == '+') && table->columns[i].is_default)) {
            choose(table, i);
        }
    }
    if (!list || table->style->has_all) {
        return;
    }
    list += *list == '+';
    for (;; list += length + 1) {
        length = strcspn(list, ",");
        choose_by_name(table, list, length);
        if (list[length] == '\0') {
            return;
        }
    }
}

static void add_column(struct zr_table *table, const struct zr_column *column)
{
    bool is_number = column->kind == ZR_COLUMN_COUNT || column->kind == ZR_COLUMN_RATIO ||
                     (column->kind == ZR_COLUMN_SIZE && table->style->has_bytes);
    struct libscols_column *made = zr_must_have(scols_table_new_column(
        table->lines, column->name, 0.1, column->kind == ZR_COLUMN_TEXT ? 0 : SCOLS_FL_RIGHT));

    if (is_number) {
        scols_column_set_json_type(made, SCOLS_JSON_NUMBER);
    }
}

struct zr_table *zr_table_create(const char *name, const struct zr_column *columns,
                                 const struct zr_table_style *style)
{
    struct zr_table *table = zr_must_have(calloc(1, sizeof *table));
    size_t i;

    table->columns = columns;
    table->style = style;
    table->lines = zr_must_have(scols_new_table());
    scols_table_set_name(table->lines, name);
    scols_table_enable_json(table->lines, style->is_json);
    scols_table_enable_raw(table->lines, style->is_raw);
    scols_table_enable_noheadings(table->lines, style->has_no_headings);
    choose_all(table);
    for (i = 0; i < table->nr_chosen; i++) {
        add_column(table, &columns[table->chosen[i]]);
    }
    return table;
}

// NULL if empty.
static const char *print_cell(char *text, const struct zr_table *table,
                              const struct zr_column *column, const struct zr_cell *cell)
{
    if (column->kind == ZR_COLUMN_TEXT || column->kind == ZR_COLUMN_RATIO) {
        return cell->text;
    }
    if (cell->number == ZR_ABSENT) {
        return NULL;
    }
    if (column->kind == ZR_COLUMN_SIZE && !table->style->has_bytes) {
        return zr_human_size(text, cell->number);
    }
    snprintf(text, ZR_HUMAN_BYTES, "%" PRIu64, cell->number);
    return text;
}

void zr_table_add(struct zr_table *table, const struct zr_cell *cells)
{
    struct libscols_line *line = zr_must_have(scols_table_new_line(table->lines, NULL));
    char buffer[ZR_HUMAN_BYTES];
    const char *text;
    size_t i;

    for (i = 0; i < table->nr_chosen; i++) {
        size_t place = table->chosen[i];

        text = print_cell(buffer, table, &table->columns[place], &cells[place]);
        // Blanks separate the columns, so none may be empty.
        if (!text && table->style->is_raw) {
            text = "-";
        }
        if (scols_line_set_data(line, i, text) < 0) {
            zr_die("out of memory");
        }
    }
}

void zr_table_print(struct zr_table *table)
{
    scols_print_table(table->lines);
    scols_unref_table(table->lines);
    free(table);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        zr_die("cannot write the table: %m");
    }
}
