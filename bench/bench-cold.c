// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Cold pages in the engine alone: what each form saves, what demotion costs, and how long reads of
// cold pages take.
#include "bench.h"
#include "cold-forms.h"
#include "plugin/stats.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STORED_SLOTS (1u << 16) // 256 MiB, or all that the page file has: no page twice
#define NR_ROUNDS 3
#define NR_READ_ROUNDS 7
#define SHIFT_PAGES 512u // every overwrite moves on by so many

static struct subject {
    const char *name;
    const struct zr_codec_ops *codec; // of its requests
    bool is_cold;                     // everything is demoted
    struct zr_server server;
    struct zr_device *device;
} subjects[] = {
    {.name = "lz4", .codec = &zr_codec_lz4},
    {.name = "zstd", .codec = &zr_codec_zstd},
    {.name = "groups", .codec = &zr_codec_lz4, .is_cold = true},
    {.name = "groups, of zstd", .codec = &zr_codec_zstd, .is_cold = true},
};
enum { LZ4, ZSTD, GROUPS, GROUPS_OF_ZSTD, NR_SUBJECTS };

static uint32_t nr_slots;

static void open_subject(struct subject *subject)
{
    static char export_name[] = "";
    struct zr_export_config export = {.name = export_name,
                                      .size_bytes = nr_slots * (uint64_t)ZR_PAGE_BYTES,
                                      .limit_bytes = UINT64_MAX};
    const struct zr_server_config config = {
        .exports = &export,
        .nr_exports = 1,
        .codec = subject->codec,
        .level = subject->codec->default_level,
    };
    int rc = zr_server_init(&subject->server, &config); // its threads are not started

    if (rc < 0) {
        bench_die("cannot start the engine: %s", strerror(-rc));
    }
    subject->device = zr_server_find(&subject->server, export_name);
}

static void drain(struct subject *subject)
{
    while (zr_deferred_free_drain(subject->server.deferred)) {
    }
}

static void fill(struct subject *subject, uint64_t shift)
{
    uint64_t slot;

    for (slot = 0; slot < nr_slots; slot++) {
        int rc = zr_device_write(subject->device, bench_page(slot + shift), ZR_PAGE_BYTES,
                                 slot * ZR_PAGE_BYTES);

        if (rc < 0) {
            bench_die("write of slot %llu: %s", (unsigned long long)slot, strerror(-rc));
        }
    }
    drain(subject);
}

static void read_slot(const struct subject *subject, uint64_t slot, void *page)
{
    int rc = zr_device_read(subject->device, page, ZR_PAGE_BYTES, slot * ZR_PAGE_BYTES);

    if (rc < 0) {
        bench_die("slot %llu: %s", (unsigned long long)slot, strerror(-rc));
    }
}

static void demote(struct subject *subject)
{
    uint64_t slot = 0, nr_stored = 0;

    while (slot < nr_slots) {
        zr_demoter_demote(&subject->server.demoter, subject->device, &slot, 0, &nr_stored);
    }
}

// ---- demotion ----------------------------------------------------------------------------------

// By the clock of the thread that demotes: reading, compressing, publishing, and freeing what the
// pages had before, which a server's keeper does.
static void run_demotion(struct subject *subject, uint64_t shift, bool is_counted)
{
    uint64_t nr = subject->server.demoter.nr_demoted_pages, start_ns, cpu_ns;
    char work[60];

    fill(subject, shift);
    start_ns = bench_thread_cpu_ns();
    demote(subject);
    drain(subject);
    cpu_ns = bench_thread_cpu_ns() - start_ns;
    if (is_counted) {
        double nr_pages = (double)(subject->server.demoter.nr_demoted_pages - nr);

        BENCH_NAME(work, "demotion of %s pages, by CPU time", subject->codec->name);
        bench_add(work, "demoter", "MB/s", nr_pages * ZR_PAGE_BYTES * 1e3 / (double)cpu_ns);
        bench_add(work, "demoter", "µs CPU/page", (double)cpu_ns / 1e3 / nr_pages);
    }
}

static void bench_demotion(void)
{
    const unsigned nr_rounds = bench_nr_rounds(NR_ROUNDS);
    unsigned round, i;

    if (!bench_wants("demotion")) {
        return;
    }
    for (round = 0; round <= nr_rounds; round++) {
        bench_progress("demotion, round %u of %u", round, nr_rounds);
        bench_begin_round();
        for (i = 0; i < 2; i++) {
            run_demotion(&subjects[GROUPS + (i + round) % 2], (round + 1) * SHIFT_PAGES, round > 0);
        }
    }
}

// ---- what each form saves ----------------------------------------------------------------------

static void add_forms(void)
{
    static const char *const work = "page file";
    struct zr_server_stats stats;
    unsigned i;

    if (!bench_wants(work)) {
        return;
    }
    for (i = 0; i < NR_SUBJECTS; i++) {
        zr_server_get_stats(&subjects[i].server, &stats);
        bench_add(work, subjects[i].name, "original ÷ compressed",
                  (double)stats.total.orig_data_size / (double)stats.total.compr_data_size);
        bench_add(work, subjects[i].name, "% of pages in groups",
                  (double)stats.total.cold_pages * 100 / nr_slots);
        if (stats.cold_groups > 0) {
            bench_add(work, subjects[i].name, "pages a group",
                      (double)stats.cold_demoted_pages / (double)stats.cold_groups);
        }
        bench_add(work, subjects[i].name, "% of pages stored raw",
                  (double)stats.total.huge_pages * 100 / nr_slots);
    }
}

// ---- reads -------------------------------------------------------------------------------------

#define NR_READ_SUBJECTS 3u

// What a group made of 16 neighbours is read by: one of them, the others, the first again.
enum { ALONE, NEIGHBOURS, AGAIN, NR_READS };
static const char *const reads[NR_READS] = {
    "read of a page at random",
    "reads of its 15 neighbours after it",
    "second read of it",
};

static struct bench_samples samples[NR_READ_SUBJECTS][NR_READS];

// The groups that hold all of 16 neighbours, by number, shuffled.
static uint32_t *find_whole_groups(uint32_t *nr)
{
    const struct zr_device *device = subjects[GROUPS].device;
    uint32_t *order = bench_random_order(nr_slots / ZR_GROUP_PAGES, 1);
    uint32_t i, k;

    *nr = 0;
    for (i = 0; i < nr_slots / ZR_GROUP_PAGES; i++) {
        const uint64_t first = order[i] * (uint64_t)ZR_GROUP_PAGES;
        const _Atomic uint64_t *leaf = zr_slot_table_leaf(&device->table, first);
        uint64_t object = zr_handle_offset_bytes(zr_handle_of_word(zr_leaf_word(leaf, first)));

        for (k = 0; k < ZR_GROUP_PAGES; k++) {
            uint64_t word = zr_leaf_word(leaf, first + k);

            if (zr_slot_word_kind(word) != ZR_SLOT_GROUP ||
                zr_handle_offset_bytes(zr_handle_of_word(word)) != object) {
                break;
            }
        }
        if (k == ZR_GROUP_PAGES) {
            order[(*nr)++] = order[i];
        }
    }
    return order;
}

static void timed_read(const struct subject *subject, uint64_t slot, struct bench_samples *into,
                       bool is_verified)
{
    unsigned char page[ZR_PAGE_BYTES];
    uint64_t start_ns = bench_now_ns();

    read_slot(subject, slot, page);
    bench_samples_add(into, bench_now_ns() - start_ns);
    if (is_verified && memcmp(page, bench_page(slot), sizeof page) != 0) {
        bench_die("%s: slot %llu does not read back", subject->name, (unsigned long long)slot);
    }
}

// Each group is read once in a run: a page that is read again leaves it.
static void read_groups(const struct subject *subject, struct bench_samples *into,
                        const uint32_t *groups, uint32_t nr, bool is_verified)
{
    struct bench_rng rng = {1};
    uint32_t i, k;

    for (i = 0; i < NR_READS; i++) {
        bench_samples_clear(&into[i]);
    }
    for (i = 0; i < nr; i++) {
        const uint64_t first = groups[i] * (uint64_t)ZR_GROUP_PAGES;
        const uint64_t one = bench_random_below(&rng, ZR_GROUP_PAGES);

        for (k = 0; k < ZR_GROUP_PAGES; k++) {
            timed_read(subject, first + (one + k) % ZR_GROUP_PAGES,
                       &into[k == 0 ? ALONE : NEIGHBOURS], is_verified);
        }
        timed_read(subject, first + one, &into[AGAIN], is_verified);
    }
}

static void add_latencies(void)
{
    double p50_us[NR_READ_SUBJECTS][NR_READS];
    unsigned i, k;

    for (i = 0; i < NR_READ_SUBJECTS; i++) {
        for (k = 0; k < NR_READS; k++) {
            p50_us[i][k] = bench_samples_percentile(&samples[i][k], 50) / 1e3;
            bench_add(reads[k], subjects[i].name, "µs p50", p50_us[i][k]);
            bench_add(reads[k], subjects[i].name, "µs p99",
                      bench_samples_percentile(&samples[i][k], 99) / 1e3);
        }
    }
    bench_add(reads[ALONE], "groups", "µs p50 beyond an lz4 page's",
              p50_us[GROUPS][ALONE] - p50_us[LZ4][ALONE]);
    bench_add(reads[ALONE], "groups", "µs p50 beyond a zstd page's",
              p50_us[GROUPS][ALONE] - p50_us[ZSTD][ALONE]);
}

static void bench_reads(void)
{
    const unsigned nr_rounds = bench_nr_rounds(NR_READ_ROUNDS);
    uint32_t nr_groups, nr_in_round, *groups;
    unsigned round, turn, i;

    if (!bench_wants("read")) {
        return;
    }
    groups = find_whole_groups(&nr_groups);
    nr_in_round = nr_groups / (nr_rounds + 1);
    if (nr_in_round == 0) {
        bench_die("the page file makes only %u whole groups", nr_groups);
    }
    for (turn = 0; turn < NR_READ_SUBJECTS; turn++) {
        for (i = 0; i < NR_READS; i++) {
            bench_samples_init(&samples[turn][i], (size_t)nr_in_round * ZR_GROUP_PAGES);
        }
    }
    bench_progress("reads, %u rounds of %u groups", nr_rounds, nr_in_round);
    for (round = 0; round <= nr_rounds; round++) {
        bench_begin_round();
        for (turn = 0; turn < NR_READ_SUBJECTS; turn++) {
            i = (turn + round) % NR_READ_SUBJECTS;
            read_groups(&subjects[i], samples[i], groups + round * nr_in_round, nr_in_round,
                        round == 0);
        }
        if (round > 0) { // the first one warms up, and compares
            add_latencies();
        }
    }
    for (turn = 0; turn < NR_READ_SUBJECTS; turn++) {
        for (i = 0; i < NR_READS; i++) {
            bench_samples_fini(&samples[turn][i]);
        }
    }
    free(groups);
}

int main(int argc, char *argv[])
{
    unsigned i;

    bench_parse_options(argc, argv);
    bench_pages_load();
    nr_slots = STORED_SLOTS < bench_pages.nr_pages ? STORED_SLOTS : (uint32_t)bench_pages.nr_pages;
    nr_slots -= nr_slots % ZR_LEAF_SLOTS;
    if (bench_wants("demotion") || bench_wants("page file") || bench_wants("read")) {
        for (i = 0; i < NR_SUBJECTS; i++) {
            open_subject(&subjects[i]);
        }
        bench_demotion();
        for (i = 0; i < NR_SUBJECTS; i++) {
            bench_progress("%s: fill", subjects[i].name);
            fill(&subjects[i], 0);
            if (subjects[i].is_cold) {
                demote(&subjects[i]);
                drain(&subjects[i]);
            }
        }
        add_forms();
        bench_reads();
        for (i = 0; i < NR_SUBJECTS; i++) {
            zr_server_fini(&subjects[i].server);
        }
    }
    cold_forms_bench();
    return 0;
}
