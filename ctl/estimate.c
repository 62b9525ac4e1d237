// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// zramswapctl estimate: what files, or the memory of processes, would take in a server.  It uses
// the server's own codecs and size classes.
#include "commands.h"
#include "human.h"
#include "message.h"
#include "page-source.h"
#include "statistics.h"
#include "table.h"
#include "trial.h"

#include "../plugin/parse.h"
#include "../store/same-filled.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_TRIALS 16
#define COLD "cold"

enum {
    NAME,
    CODEC,
    PAGES,
    ZERO,
    SAME,
    HUGE_PAGES,
    DATA,
    COMPR,
    RATIO,
    RESIDENT,
    SAVED,
    LEFT_OUT,
    COMPRESS,
    DECOMPRESS,
    FILES,
    SWAPPED,
    HUGETLB,
    NR_COLUMNS
};

static const struct zr_column columns[] = {
    [NAME] = {"NAME", ZR_COLUMN_TEXT, true, "file, or process"},
    [CODEC] = {"CODEC", ZR_COLUMN_TEXT, true, "codec, and its level if it has levels"},
    [PAGES] = {"PAGES", ZR_COLUMN_COUNT, true, "pages of 4 KiB"},
    [ZERO] = {"ZERO", ZR_COLUMN_COUNT, false, "of them: all zeros, take nothing"},
    [SAME] = {"SAME", ZR_COLUMN_COUNT, true, "repeat one value other than zero, take nothing"},
    [HUGE_PAGES] = {"HUGE", ZR_COLUMN_COUNT, true, "stored raw: they do not compress"},
    [DATA] = {"DATA", ZR_COLUMN_SIZE, true, "uncompressed size of all but zero pages"},
    [COMPR] = {"COMPR", ZR_COLUMN_SIZE, true, "compressed size of them"},
    [RATIO] = {"RATIO", ZR_COLUMN_RATIO, true, "DATA / COMPR"},
    [RESIDENT] = {"RESIDENT", ZR_COLUMN_SIZE, true, "the server's memory for it, with rounding"},
    [SAVED] = {"SAVED", ZR_COLUMN_SIZE, true, "all pages less RESIDENT"},
    [LEFT_OUT] = {"LEFT-OUT", ZR_COLUMN_SIZE, true, "memory of the process that is not counted"},
    [COMPRESS] = {"COMPRESS", ZR_COLUMN_COUNT, true, "MB/s on one CPU of this machine"},
    [DECOMPRESS] = {"DECOMPRESS", ZR_COLUMN_COUNT, true, "MB/s on one CPU of this machine"},
    [FILES] = {"FILES", ZR_COLUMN_SIZE, false, "left out: pages of files, which are not swapped"},
    [SWAPPED] = {"SWAPPED", ZR_COLUMN_SIZE, false, "left out: in swap already"},
    [HUGETLB] = {"HUGETLB", ZR_COLUMN_SIZE, false, "left out: hugetlbfs, which is not swapped"},
    [NR_COLUMNS] = {0},
};

static const struct zr_option options[] = {
    {"codec", 'c', "CODEC[:LEVEL]", "lz4, zstd:1, or cold; may be repeated; default all of them"},
    ZR_TABLE_OPTIONS,
    {0},
};

struct estimate {
    struct zr_size_classes classes;
    struct zr_trial trials[MAX_TRIALS];
    size_t nr_trials;
    uint64_t nr_pages, nr_zero, nr_same; // the same for every codec
    struct codec_choice {
        const struct zr_codec_ops *ops;
        int level;
        bool is_cold; // all pages are, that the codec makes smaller
    } choices[MAX_TRIALS];
};

static void print_more_help(void)
{
    zr_columns_print_help(columns);
    printf(
        "\nA number is a process, of which the memory counts that would be swapped: anonymous and\n"
        "shared (memfd, tmpfs), each page once.  All else is a file.\n");
}

static void choose(struct estimate *estimate, const struct codec_choice *choice,
                   const char *argument)
{
    if (estimate->nr_trials == MAX_TRIALS) {
        zr_die_of_misuse("--codec %s: more than %d of them", argument, MAX_TRIALS);
    }
    estimate->choices[estimate->nr_trials++] = *choice;
}

// What a server with the default codec makes of pages that are not written for long.
static void choose_cold(struct estimate *estimate)
{
    const struct codec_choice cold = {
        .ops = zr_codecs[0],
        .level = zr_codecs[0]->default_level,
        .is_cold = true,
    };

    choose(estimate, &cold, COLD);
}

static void choose_by_name(struct estimate *estimate, const char *argument)
{
    size_t length = strcspn(argument, ":");
    const char *level_text = argument[length] ? argument + length + 1 : NULL;
    char *name = zr_must_have(strndup(argument, length));
    const struct zr_codec_ops *ops = zr_codec_find(name);
    const bool is_cold = strcmp(name, COLD) == 0;
    int level;

    free(name);
    if (is_cold && level_text) {
        zr_die_of_misuse("--codec %s: %s has no levels", argument, COLD);
    }
    if (is_cold) {
        choose_cold(estimate);
        return;
    }
    if (!ops) {
        zr_die_of_misuse("--codec %s: no such codec (lz4, zstd or cold)", argument);
    }
    level = ops->default_level;
    if (level_text && !ops->has_level) {
        zr_die_of_misuse("--codec %s: %s has no levels", argument, ops->name);
    }
    if (level_text && (zr_parse_int(level_text, &level) < 0 || level < ops->min_level() ||
                       level > ops->max_level())) {
        zr_die_of_misuse("--codec %s: the level is a whole number from %d to %d", argument,
                         ops->min_level(), ops->max_level());
    }
    choose(estimate, &(struct codec_choice){.ops = ops, .level = level}, argument);
}

static void choose_every(struct estimate *estimate)
{
    const struct zr_codec_ops *const *ops;

    for (ops = zr_codecs; *ops; ops++) {
        choose(estimate, &(struct codec_choice){.ops = *ops, .level = (*ops)->default_level},
               (*ops)->name);
    }
    choose_cold(estimate);
}

#define PROGRESS_WIDTH 72

// Leaves the cursor at the start of the line: the next output replaces it.  No escape codes, so
// that every terminal can show it.
static void print_progress(const struct zr_page_source *source, const struct estimate *estimate)
{
    uint64_t bytes = estimate->nr_pages * ZR_PAGE_BYTES;
    char size[ZR_HUMAN_BYTES], text[PROGRESS_WIDTH + 1];

    if (source->total_bytes == 0 || bytes > source->total_bytes) {
        snprintf(text, sizeof text, "%s %s", zr_human_size(size, bytes), source->name);
    } else {
        snprintf(text, sizeof text, "%3u %% of %s %s",
                 (unsigned)(bytes * 100 / source->total_bytes),
                 zr_human_size(size, source->total_bytes), source->name);
    }
    fprintf(stderr, "%-*s\r", PROGRESS_WIDTH, text);
}

static void add_pages(struct estimate *estimate, const unsigned char *pages, size_t nr_pages)
{
    const unsigned char *others[ZR_TRIAL_BATCH];
    uint64_t numbers[ZR_TRIAL_BATCH];
    size_t i, nr_others = 0;
    uint32_t value;

    for (i = 0; i < nr_pages; i++) {
        const unsigned char *page = pages + i * ZR_PAGE_BYTES;

        if (!zr_is_same_filled(page, &value)) {
            numbers[nr_others] = estimate->nr_pages + i;
            others[nr_others++] = page;
        } else if (value == 0) {
            estimate->nr_zero++;
        } else {
            estimate->nr_same++;
        }
    }
    estimate->nr_pages += nr_pages;
    for (i = 0; i < estimate->nr_trials; i++) {
        zr_trial_add(&estimate->trials[i], &estimate->classes, others, numbers, nr_others);
    }
}

static void read_all(struct estimate *estimate, struct zr_page_source *source)
{
    static unsigned char pages[ZR_TRIAL_BATCH * ZR_PAGE_BYTES];
    bool has_progress = isatty(STDERR_FILENO);
    size_t nr_pages, nr_batches = 0;

    while ((nr_pages = source->read(source, pages, ZR_TRIAL_BATCH)) > 0) {
        add_pages(estimate, pages, nr_pages);
        if (has_progress && ++nr_batches % 16 == 0) {
            print_progress(source, estimate);
        }
    }
    if (has_progress && nr_batches >= 16) {
        fprintf(stderr, "%*s\r", PROGRESS_WIDTH, "");
    }
}

static uint64_t mb_per_s(uint64_t nr_pages, uint64_t ns)
{
    return ns > 0 ? nr_pages * ZR_PAGE_BYTES * 1000 / ns : 0;
}

static void add_row(struct zr_table *table, const struct estimate *estimate,
                    const struct zr_trial *trial, const struct zr_page_source *source)
{
    uint64_t data = (estimate->nr_pages - estimate->nr_zero) * ZR_PAGE_BYTES;
    uint64_t all = estimate->nr_pages * ZR_PAGE_BYTES;
    uint64_t resident = zr_trial_resident_bytes(trial, &estimate->classes, estimate->nr_pages);
    const struct zr_left_out *left_out = &source->left_out;
    char codec[64], ratio[ZR_HUMAN_BYTES];

#define OF_PROCESS(bytes) {.number = source->is_process ? (bytes) : ZR_ABSENT}
    snprintf(codec, sizeof codec, trial->ops->has_level ? "%s:%d" : "%s",
             trial->cold ? COLD : trial->ops->name, trial->level);
    const struct zr_cell cells[NR_COLUMNS] = {
        [NAME] = {.text = source->name},
        [CODEC] = {.text = codec},
        [PAGES] = {.number = estimate->nr_pages},
        [ZERO] = {.number = estimate->nr_zero},
        [SAME] = {.number = estimate->nr_same},
        [HUGE_PAGES] = {.number = trial->nr_huge},
        [DATA] = {.number = data},
        [COMPR] = {.number = trial->stored_bytes},
        [RATIO] = {.text = zr_human_ratio(ratio, data, trial->stored_bytes)},
        [RESIDENT] = {.number = resident},
        [SAVED] = {.number = all > resident ? all - resident : 0},
        [LEFT_OUT] =
            OF_PROCESS(left_out->file_bytes + left_out->swapped_bytes + left_out->hugetlb_bytes),
        [COMPRESS] = {.number = mb_per_s(trial->nr_compressed, trial->compress_ns)},
        [DECOMPRESS] = {.number = mb_per_s(trial->nr_decompressed, trial->decompress_ns)},
        [FILES] = OF_PROCESS(left_out->file_bytes),
        [SWAPPED] = OF_PROCESS(left_out->swapped_bytes),
        [HUGETLB] = OF_PROCESS(left_out->hugetlb_bytes),
    };
#undef OF_PROCESS
    zr_table_add(table, cells);
}

// A line for people: what of a process is not in the table, and why.
static void note_left_out(FILE *notes, const struct zr_page_source *source)
{
    const struct {
        uint64_t bytes;
        const char *why;
    } parts[] = {
        {source->left_out.file_bytes, "of files, which are not swapped"},
        {source->left_out.swapped_bytes, "in swap already"},
        {source->left_out.hugetlb_bytes, "of hugetlbfs, which is not swapped"},
    };
    char text[ZR_HUMAN_BYTES];
    size_t i, nr = 0;

    for (i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (parts[i].bytes > 0) {
            fprintf(notes, "%s%s%s %s", nr == 0 ? source->name : "",
                    nr == 0 ? ": left out: " : "; ", zr_human_size(text, parts[i].bytes),
                    parts[i].why);
            nr++;
        }
    }
    fputs(nr > 0 ? "\n" : "", notes);
}

static void estimate_one(struct estimate *estimate, struct zr_table *table, FILE *notes,
                         const char *name)
{
    struct zr_page_source source;
    size_t i;

    estimate->nr_pages = estimate->nr_zero = estimate->nr_same = 0;
    for (i = 0; i < estimate->nr_trials; i++) {
        zr_trial_init(&estimate->trials[i], estimate->choices[i].ops, estimate->choices[i].level,
                      estimate->choices[i].is_cold);
    }
    zr_page_source_open(&source, name);
    read_all(estimate, &source);
    note_left_out(notes, &source);
    for (i = 0; i < estimate->nr_trials; i++) {
        add_row(table, estimate, &estimate->trials[i], &source);
        zr_trial_fini(&estimate->trials[i]);
    }
    zr_page_source_close(&source);
}

static int run(const struct zr_command *command, int argc, char **argv)
{
    static struct estimate estimate;
    struct zr_table_style style = {0};
    struct zr_table *table;
    char *text;
    size_t bytes;
    FILE *notes = zr_must_have(open_memstream(&text, &bytes));
    int letter;

    while ((letter = zr_options_next(command, argc, argv)) != -1) {
        if (letter == 'c') {
            choose_by_name(&estimate, optarg);
        } else {
            zr_table_style_set(&style, letter, optarg);
        }
    }
    if (optind == argc) {
        zr_die_of_misuse("estimate what? Name files or processes (see --help)");
    }
    if (estimate.nr_trials == 0) {
        choose_every(&estimate);
    }
    zr_size_classes_init(&estimate.classes);
    table = zr_table_create("estimate", columns, &style);
    for (; optind < argc; optind++) {
        if (!*argv[optind]) {
            zr_die_of_misuse("'' is neither a file nor a process");
        }
        estimate_one(&estimate, table, notes, argv[optind]);
    }
    zr_table_print(table);
    if (fclose(notes) != 0) {
        zr_die("out of memory");
    }
    // Scripts find the numbers in their columns.
    if (!style.is_raw && !style.is_json && !style.has_no_headings && fputs(text, stdout) >= 0 &&
        fflush(stdout) != 0) {
        zr_die("cannot write: %m");
    }
    free(text);
    return 0;
}

const struct zr_command zr_command_estimate = {
    .name = "estimate",
    .usage = " " ZR_PROGRAM " estimate [OPTIONS] FILE|PID...\n",
    .about = "Estimates what the content of files, or the memory of processes, would take in a "
             "zramswap\n"
             "server, under each codec, and when all of it is cold.",
    .options = options,
    .print_more_help = print_more_help,
    .run = run,
};
