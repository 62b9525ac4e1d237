// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// zramswapctl status: a row for each export, and one for all of them.
#include "commands.h"
#include "human.h"
#include "message.h"
#include "statistics.h"
#include "table.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <stdio.h>

enum {
    NAME,
    DISKSIZE,
    DATA,
    COMPR,
    ALGORITHM,
    TOTAL,
    RATIO,
    SAME,
    HUGE_PAGES,
    PENDING,
    LIMIT,
    STATE,
    COLD,
    COLD_COMPR,
    COLD_READS,
    LOST,
    LIMIT_HITS,
    MEM_USED,
    MIGRATED,
    READS,
    WRITES,
    TRIMS,
    BLOCK_STATUS,
    FAILED,
    CONNECTIONS,
    NR_COLUMNS
};

static const struct zr_column columns[] = {
    [NAME] = {"NAME", ZR_COLUMN_TEXT, true, "export; (total): all of them"},
    [DISKSIZE] = {"DISKSIZE", ZR_COLUMN_SIZE, true, "size of the swap device"},
    [DATA] = {"DATA", ZR_COLUMN_SIZE, true, "uncompressed size of what is stored"},
    [COMPR] = {"COMPR", ZR_COLUMN_SIZE, true, "compressed size of it"},
    [ALGORITHM] = {"ALGORITHM", ZR_COLUMN_TEXT, true, "the codec"},
    [TOTAL] = {"TOTAL", ZR_COLUMN_SIZE, true, "memory taken, tables and fragmentation included"},
    [RATIO] = {"RATIO", ZR_COLUMN_RATIO, true, "DATA / COMPR"},
    [SAME] = {"SAME", ZR_COLUMN_COUNT, true, "pages that repeat one value, other than zero"},
    [HUGE_PAGES] = {"HUGE", ZR_COLUMN_COUNT, true, "pages stored raw: they do not compress"},
    [PENDING] = {"PENDING", ZR_COLUMN_SIZE, true, "trimmed or overwritten, not freed yet"},
    [LIMIT] = {"LIMIT", ZR_COLUMN_SIZE, true, "most memory; of an export: most of COMPR"},
    [STATE] = {"STATE", ZR_COLUMN_TEXT, true,
               "served; kept: in the store only; lost: some pages are"},
    [COLD] = {"COLD", ZR_COLUMN_SIZE, true, "of DATA: not written for long, in a denser form"},
    [COLD_COMPR] = {"COLD-COMPR", ZR_COLUMN_SIZE, false, "compressed size of COLD"},
    [COLD_READS] = {"COLD-READS", ZR_COLUMN_COUNT, false, "reads of cold pages"},
    [LOST] = {"LOST", ZR_COLUMN_COUNT, false, "pages that were lost: they cannot be read"},
    [LIMIT_HITS] = {"LIMIT-HITS", ZR_COLUMN_COUNT, false, "writes refused at the limit"},
    [MEM_USED] = {"MEM-USED", ZR_COLUMN_SIZE, false, "the most that TOTAL ever was"},
    [MIGRATED] = {"MIGRATED", ZR_COLUMN_COUNT, false, "pages moved by compaction"},
    [READS] = {"READS", ZR_COLUMN_COUNT, false, "read requests"},
    [WRITES] = {"WRITES", ZR_COLUMN_COUNT, false, "write requests"},
    [TRIMS] = {"TRIMS", ZR_COLUMN_COUNT, false, "trim requests"},
    [BLOCK_STATUS] = {"BLOCK-STATUS", ZR_COLUMN_COUNT, false, "block status requests"},
    [FAILED] = {"FAILED", ZR_COLUMN_COUNT, false, "requests that failed"},
    [CONNECTIONS] = {"CONNECTIONS", ZR_COLUMN_COUNT, false, "connections of clients now"},
    [NR_COLUMNS] = {0},
};

static const struct zr_option options[] = {
    {"export", 'e', "NAME", "the export that holds the statistics; default " ZR_DEFAULT_EXPORT},
    ZR_TABLE_OPTIONS,
    {0},
};

static void print_more_help(void)
{
    zr_columns_print_help(columns);
    printf("\nURI is as nbd+unix:///" ZR_DEFAULT_EXPORT "?socket=" ZR_DEFAULT_SOCKET ", the\n"
           "default, or as ZRAMSWAP_URI in the environment says; SOCKET a path.\n"
           "'" ZR_PROGRAM " COMMAND --help' prints the options of the other commands.\n");
}

// Of all kinds of requests.
static uint64_t nr_failed(const struct json_object *object)
{
    struct json_object *requests = zr_statistics_requests(object);
    uint64_t nr, sum = ZR_ABSENT;

    if (!requests) {
        return ZR_ABSENT;
    }
    json_object_object_foreach(requests, kind, counts)
    {
        (void)kind;
        nr = zr_statistics_number(counts, "/failed");
        if (nr != ZR_ABSENT) {
            sum = nr + (sum == ZR_ABSENT ? 0 : sum);
        }
    }
    return sum;
}

// An export's limit of its own; else the server's, in the row that stands for all of it.
static uint64_t limit_of(const struct json_object *object, const struct json_object *document,
                         bool is_all)
{
    uint64_t bytes = zr_statistics_number(object, "/mem_limit");

    if (bytes == 0 || bytes == ZR_ABSENT) {
        bytes = is_all ? zr_statistics_number(document, "/mem_limit") : 0;
    }
    return bytes == 0 ? ZR_ABSENT : bytes;
}

// Of an export.  NULL: the server is of a version that does not say.
static const char *state_of(const struct json_object *export)
{
    uint64_t lost = zr_statistics_number(export, "/lost_pages");

    switch (zr_statistics_number(export, "/served")) {
    case ZR_ABSENT:
        return NULL;
    case 0:
        return "kept";
    default:
        return lost == 0 || lost == ZR_ABSENT ? "served" : "lost";
    }
}

// is_all: the row counts everything that is stored, so the server-wide numbers go into it.
static void add_row(struct zr_table *table, const struct json_object *document,
                    const struct json_object *object, const char *name, bool is_all)
{
    uint64_t data = zr_statistics_number(object, "/orig_data_size");
    uint64_t compressed = zr_statistics_number(object, "/compr_data_size");
    const char *algorithm = zr_statistics_text(document, "/compression");
    char ratio[ZR_HUMAN_BYTES];

#define OF_SERVER(path) {.number = is_all ? zr_statistics_number(document, path) : ZR_ABSENT}
#define OF_ROW(path) {.number = zr_statistics_number(object, path)}
    const struct zr_cell cells[NR_COLUMNS] = {
        [NAME] = {.text = name},
        [DISKSIZE] = OF_ROW("/disksize"),
        [DATA] = {.number = data},
        [COMPR] = {.number = compressed},
        [ALGORITHM] = {.text = *algorithm ? algorithm : NULL},
        [TOTAL] = OF_SERVER("/mem_used_total"),
        [RATIO] = {.text = zr_human_ratio(ratio, data, compressed)},
        [SAME] = OF_ROW("/same_pages"),
        [HUGE_PAGES] = OF_ROW("/huge_pages"),
        [PENDING] = OF_SERVER("/pending_free_bytes"),
        [LIMIT] = {.number = limit_of(object, document, is_all)},
        [STATE] = {.text = object == document ? NULL : state_of(object)},
        [COLD] = {.number = zr_statistics_cold_bytes(object)},
        [COLD_COMPR] = OF_ROW("/cold_data_size"),
        [COLD_READS] = OF_ROW("/cold_reads"),
        [LOST] = OF_ROW("/lost_pages"),
        [LIMIT_HITS] = OF_ROW("/limit_hits"),
        [MEM_USED] = OF_SERVER("/mem_used_max"),
        [MIGRATED] = OF_SERVER("/pages_compacted"),
        [READS] = OF_ROW("/requests/read/requests"),
        [WRITES] = OF_ROW("/requests/write/requests"),
        [TRIMS] = OF_ROW("/requests/trim/requests"),
        [BLOCK_STATUS] = OF_ROW("/requests/block_status/requests"),
        [FAILED] = {.number = nr_failed(object)},
        [CONNECTIONS] = OF_ROW("/connections"),
    };
#undef OF_ROW
#undef OF_SERVER
    zr_table_add(table, cells);
}

static int run(const struct zr_command *command, int argc, char **argv)
{
    struct zr_table_style style = {0};
    const char *export_name = NULL;
    struct zr_address address;
    struct json_object *document;
    struct zr_table *table;
    size_t i, nr_exports;
    int letter;

    while ((letter = zr_options_next(command, argc, argv)) != -1) {
        if (letter == 'e') {
            export_name = optarg;
        } else {
            zr_table_style_set(&style, letter, optarg);
        }
    }
    address = zr_address_choose(zr_single_operand(argc, argv), export_name);
    table = zr_table_create("zramswap", columns, &style);

    document = zr_statistics_fetch(&address);
    nr_exports = zr_statistics_nr_exports(document);
    for (i = 0; i < nr_exports; i++) {
        const struct json_object *export = zr_statistics_export(document, i);

        const char *name = zr_statistics_text(export, "/name");

        // People get a visible word, JSON the empty name itself.
        name = *name || style.is_json ? name : "(default)";
        add_row(table, document, export, name, nr_exports == 1);
    }
    if (nr_exports > 1) {
        add_row(table, document, document, "(total)", true);
    }
    zr_table_print(table);
    json_object_put(document);
    return 0;
}

const struct zr_command zr_command_status = {
    .name = "status",
    .usage = " " ZR_PROGRAM " [status] [OPTIONS] [URI|SOCKET]\n"
             " " ZR_PROGRAM " top [OPTIONS] [URI|SOCKET]\n"
             " " ZR_PROGRAM " estimate [OPTIONS] FILE|PID...\n",
    .about = "Shows what a zramswap server stores (status), what it does (top), and what a file's\n"
             "or a process's memory would take in one (estimate).",
    .options = options,
    .print_more_help = print_more_help,
    .run = run,
};
