// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Tables as util-linux prints them, by its own library: columns to choose from, for people, raw or
// as JSON.
#ifndef ZR_CTL_TABLE_H
#define ZR_CTL_TABLE_H

#include "options.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct zr_column {
    const char *name;
    enum {
        ZR_COLUMN_TEXT,
        ZR_COLUMN_SIZE,  // bytes
        ZR_COLUMN_COUNT, // a whole number
        ZR_COLUMN_RATIO  // text, but a number in JSON
    } kind;
    bool is_default;
    const char *help;
};

struct zr_cell {
    const char *text; // of TEXT and RATIO; NULL: empty
    uint64_t number;  // of SIZE and COUNT; ZR_ABSENT: empty
};

struct zr_table_style { // zeroed before the first option
    const char *output;
    bool has_all, has_bytes, has_no_headings, is_raw, is_json;
};

enum { ZR_OPTION_OUTPUT_ALL = ZR_OPTION_WITHOUT_LETTER, ZR_OPTION_TABLE_END };

// clang-format off
#define ZR_TABLE_OPTIONS                                                                           \
    {"output", 'o', "LIST", "the columns to print; +LIST adds them to the usual ones"},            \
    {"output-all", ZR_OPTION_OUTPUT_ALL, NULL, "print all columns"},                               \
    {"bytes", 'b', NULL, "sizes in bytes instead of 1.2G"},                                        \
    {"noheadings", 'n', NULL, "no headings"},                                                      \
    {"raw", 'r', NULL, "unaligned columns"},                                                       \
    {"json", 'J', NULL, "JSON; sizes are numbers with --bytes"}
// clang-format on

// Takes one of ZR_TABLE_OPTIONS.
void zr_table_style_set(struct zr_table_style *style, int letter, const char *argument);

void zr_columns_print_help(const struct zr_column *columns);

struct zr_table;

// columns: the last one's name is NULL; they must stay.  name: of the array in JSON.  Exits with 2
// at a column that is not among them.
struct zr_table *zr_table_create(const char *name, const struct zr_column *columns,
                                 const struct zr_table_style *style);

// cells: one for each of the columns, chosen or not.  Copied.
void zr_table_add(struct zr_table *table, const struct zr_cell *cells);

// To stdout; frees the table.
void zr_table_print(struct zr_table *table);

#endif
