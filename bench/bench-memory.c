// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Memory of the whole server process beyond what it took when empty, over the compressed bytes in
// it, through fill, rewrite and trims; beside zram and nbdkit's memory plugin.
#include "memory-story.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NR_SIZES_MAX 8
#define NR_PLUGIN_ARGUMENTS_MAX 6

static struct bench_pages pages;
static const char *plugin = "./zramswap.so";
static const char *plugin_arguments[NR_PLUGIN_ARGUMENTS_MAX];
static unsigned nr_plugin_arguments;

static uint64_t bytes_of(uint32_t nr_slots)
{
    return (uint64_t)nr_slots * BENCH_PAGE_BYTES;
}

static void tell_of_zramswap(const char *codec, uint32_t nr_slots, const char *chart,
                             bool with_latency)
{
    const char *arguments[6 + NR_PLUGIN_ARGUMENTS_MAX] = {plugin};
    char size[40], compression[40], name[40];
    struct memory_store store;
    unsigned nr = 1, i;

    snprintf(size, sizeof size, "size=%llu", (unsigned long long)bytes_of(nr_slots));
    snprintf(compression, sizeof compression, "compression=%s", codec);
    snprintf(name, sizeof name, "zramswap %s", codec);
    arguments[nr++] = size;
    arguments[nr++] = compression;
    arguments[nr++] = "stats-export=stats";
    for (i = 0; i < nr_plugin_arguments; i++) {
        arguments[nr++] = plugin_arguments[i];
    }
    memory_store_open_nbd(&store, name, arguments, true, nr_slots, &pages);
    memory_story_tell(&store, chart);
    if (with_latency) {
        memory_story_read_latency(&store, 5);
    }
    store.close(&store);
}

static void tell_of_memory(uint32_t nr_slots, const char *chart)
{
    const char *arguments[] = {"memory", NULL, NULL};
    char size[40];
    struct memory_store store;

    snprintf(size, sizeof size, "size=%llu", (unsigned long long)bytes_of(nr_slots));
    arguments[1] = size;
    memory_store_open_nbd(&store, "memory", arguments, false, nr_slots, &pages);
    memory_story_tell(&store, chart);
    store.close(&store);
}

static void tell_of_zram(const struct zram_device *zram, bool is_told, uint32_t nr_slots,
                         const char *chart)
{
    struct memory_store store;

    memory_store_open_zram(&store, is_told ? "zram lz4, told to compact" : "zram lz4", zram,
                           is_told, nr_slots, &pages);
    memory_story_tell(&store, chart);
    store.close(&store);
}

// What issue-sized stores must show; smaller ones may be off by twice as much.
static void set_targets(uint32_t nr_slots, bool has_zram)
{
    static const struct {
        int chapter;
        unsigned seconds;
        double limit;
    } states[] = {{MEMORY_FILL, 2, 1.025},
                  {MEMORY_REWRITE, 2, 1.03},
                  {MEMORY_HALF, 2, 1.03},
                  {MEMORY_MOST, 5, 1.06}};
    static const char *const names[] = {"zramswap lz4", "zramswap zstd"};
    bool is_small = bytes_of(nr_slots) < UINT64_C(1) << 30;
    char name[160], unit[60];
    unsigned i, state;

    for (i = 0; i < 2; i++) {
        for (state = 0; state < sizeof states / sizeof states[0]; state++) {
            const char *work = memory_chapter_work(states[state].chapter, nr_slots);
            double limit = is_small ? 2 * states[state].limit - 1 : states[state].limit;

            snprintf(unit, sizeof unit, MEMORY_UNIT_RATIO, states[state].seconds);
            snprintf(name, sizeof name, "%s %s", names[i], work);
            bench_target_row(name, bench_row(work, names[i], unit, BENCH_LOWER), "<=", limit);
            if (i == 0 && has_zram) {
                snprintf(name, sizeof name, "zramswap lz4 ÷ zram, %s", work);
                bench_target_ratio(name, bench_row(work, names[i], unit, BENCH_LOWER),
                                   bench_row(work, "zram lz4", unit, BENCH_LOWER), "<=", 1);
            }
        }
        snprintf(unit, sizeof unit, MEMORY_UNIT_MIB, 5u);
        snprintf(name, sizeof name, "%s %s", names[i], memory_chapter_work(MEMORY_EMPTY, nr_slots));
        bench_target_row(
            name,
            bench_row(memory_chapter_work(MEMORY_EMPTY, nr_slots), names[i], unit, BENCH_LOWER),
            "<=", 16);
    }
}

int main(int argc, char *argv[])
{
    static const struct option options[] = {
        {"pages", required_argument, NULL, 'p'},     {"json", required_argument, NULL, 'j'},
        {"plugin", required_argument, NULL, 'l'},    {"bytes", required_argument, NULL, 'b'},
        {"parameter", required_argument, NULL, 'a'}, {NULL, 0, NULL, 0},
    };
    const char *pages_path = NULL, *json_path = NULL;
    uint32_t sizes[NR_SIZES_MAX]; // in slots
    unsigned nr_sizes = 0, i, largest = 0;
    struct zram_device zram;
    bool has_zram;
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'p':
            pages_path = optarg;
            break;
        case 'j':
            json_path = optarg;
            break;
        case 'l':
            plugin = optarg;
            break;
        case 'b':
            if (nr_sizes < NR_SIZES_MAX) {
                // Whole trims of 2 MiB.
                sizes[nr_sizes++] = (uint32_t)(bench_parse_bytes(optarg) >> 21 << 9);
            }
            break;
        case 'a':
            if (nr_plugin_arguments < NR_PLUGIN_ARGUMENTS_MAX) {
                plugin_arguments[nr_plugin_arguments++] = optarg;
            }
            break;
        default:
            return 2;
        }
    }
    if (!pages_path || optind < argc) {
        fprintf(stderr,
                "usage: bench-memory --pages FILE [--json FILE] [--plugin ZRAMSWAP.SO]\n"
                "                    [--bytes SIZE]... [--parameter NAME=VALUE]...\n"
                "--bytes: how much is stored, default 64M and 1G; the largest meets the peers too\n"
                "--parameter: for the plugin, for example mlock=on\n");
        return 2;
    }
    if (nr_sizes == 0) {
        sizes[nr_sizes++] = 64u << 8;
        sizes[nr_sizes++] = 1024u << 8;
    }
    for (i = 0; i < nr_sizes; i++) {
        largest = sizes[i] > sizes[largest] ? i : largest;
    }

    // First, while this process is small: it forks.
    has_zram = zram_device_open(&zram, bytes_of(sizes[largest]));
    bench_pages_load(&pages, pages_path);
    memory_story_name_chapters();
    for (i = 0; i < nr_sizes; i++) {
        char chart[80];
        bool is_largest = i == largest;

        snprintf(chart, sizeof chart, "%u MiB of real pages stored", sizes[i] >> 8);
        tell_of_zramswap("lz4", sizes[i], is_largest ? chart : NULL, is_largest);
        tell_of_zramswap("zstd", sizes[i], is_largest ? chart : NULL, false);
        if (is_largest && has_zram) {
            tell_of_zram(&zram, false, sizes[i], chart);
            tell_of_zram(&zram, true, sizes[i], NULL);
        }
        if (is_largest) {
            tell_of_memory(sizes[i], chart);
        }
        set_targets(sizes[i], is_largest && has_zram);
    }
    bench_report("memory", json_path);
    return 0;
}
