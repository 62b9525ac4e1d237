// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "cold-forms.h"
#include "bench.h"
#include "store/group.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define ZSTD_STATIC_LINKING_ONLY // for ZSTD_c_useRowMatchFinder
#include <zstd.h>

#define NR_ROUNDS 3
#define GROUP_PAGES_MAX 32u
#define SAMPLE_PAGES 2048u // 8 MiB, from all over the page file
#define NR_FORMS (sizeof forms / sizeof *forms)

static struct form {
    const char *name;
    int level;
    int search_log; // of the parameters of store/group.c, but for this; 0: the level's own
    bool has_rows;  // as zstd would choose
    bool is_ours;   // store/group.c itself
    ZSTD_CCtx *compressor;
} forms[] = {
    {.name = "ours", .is_ours = true},
    {.name = "zstd 1", .level = 1},
    {.name = "zstd 3", .level = 3},
    {.name = "zstd 5", .level = 5},
    {.name = "zstd 6", .level = 6},
    {.name = "lazy, searchLog 1", .level = 5, .search_log = 1},
    {.name = "lazy, searchLog 2", .level = 5, .search_log = 2},
    {.name = "lazy, searchLog 3", .level = 5, .search_log = 3},
    {.name = "lazy, searchLog 1, rows", .level = 5, .search_log = 1, .has_rows = true},
};

static unsigned char *sample, *shuffled, *frame, *restored;
static size_t max_frame_bytes;
static struct zr_group_maker maker;
static ZSTD_DCtx *decompressor;

static void set(const struct form *form, ZSTD_cParameter parameter, int value)
{
    if (ZSTD_isError(ZSTD_CCtx_setParameter(form->compressor, parameter, value))) {
        bench_die("%s: zstd does not take a parameter", form->name);
    }
}

static void open_form(struct form *form)
{
    form->compressor = ZSTD_createCCtx();
    if (!form->compressor) {
        bench_die("no memory for a codec context");
    }
    set(form, ZSTD_c_compressionLevel, form->level);
    set(form, ZSTD_c_contentSizeFlag, 0);
    set(form, ZSTD_c_checksumFlag, 0);
    if (form->search_log > 0) {
        set(form, ZSTD_c_windowLog, 16);
        set(form, ZSTD_c_chainLog, 14);
        set(form, ZSTD_c_hashLog, 16);
        set(form, ZSTD_c_searchLog, form->search_log);
        set(form, ZSTD_c_minMatch, 4);
        set(form, ZSTD_c_targetLength, 8);
        set(form, ZSTD_c_strategy, ZSTD_lazy);
        set(form, ZSTD_c_useRowMatchFinder, form->has_rows ? ZSTD_ps_enable : ZSTD_ps_disable);
    }
}

// Runs as long as the largest group, the same distance from one to the next.
static void take_sample(void)
{
    const uint32_t nr_runs = SAMPLE_PAGES / GROUP_PAGES_MAX;
    const size_t run_bytes = GROUP_PAGES_MAX * (size_t)BENCH_PAGE_BYTES;
    const uint64_t nr_file_runs = bench_pages.nr_pages / GROUP_PAGES_MAX;
    uint32_t *order = bench_random_order(SAMPLE_PAGES, 1);
    uint32_t i;

    sample = bench_alloc(SAMPLE_PAGES * (size_t)BENCH_PAGE_BYTES);
    shuffled = bench_alloc(SAMPLE_PAGES * (size_t)BENCH_PAGE_BYTES);
    for (i = 0; i < nr_runs; i++) {
        memcpy(sample + i * run_bytes, bench_page(i * nr_file_runs / nr_runs * GROUP_PAGES_MAX),
               run_bytes);
    }
    for (i = 0; i < SAMPLE_PAGES; i++) {
        memcpy(shuffled + i * (size_t)BENCH_PAGE_BYTES,
               sample + order[i] * (size_t)BENCH_PAGE_BYTES, BENCH_PAGE_BYTES);
    }
    free(order);
}

// The length of the frame, and where it lies; CPU time of its making is added to cpu_ns.
static size_t compress(const struct form *form, const unsigned char *pages, unsigned nr_pages,
                       const unsigned char **at, uint64_t *cpu_ns)
{
    static const uint16_t slots[ZR_GROUP_PAGES];
    uint64_t start_ns;
    size_t bytes;

    if (!form->is_ours) {
        start_ns = bench_thread_cpu_ns();
        bytes = ZSTD_compress2(form->compressor, frame, max_frame_bytes, pages,
                               nr_pages * (size_t)BENCH_PAGE_BYTES);
        *cpu_ns += bench_thread_cpu_ns() - start_ns;
        *at = frame;
        return bytes;
    }
    memcpy(maker.pages, pages, nr_pages * (size_t)BENCH_PAGE_BYTES);
    start_ns = bench_thread_cpu_ns();
    zr_group_make(&maker, 1, 0, slots, nr_pages);
    *cpu_ns += bench_thread_cpu_ns() - start_ns;
    *at = zr_group_frame(maker.group);
    return zr_group_frame_bytes(maker.group);
}

static uint64_t decompress(const struct form *form, const unsigned char *at, size_t bytes,
                           const unsigned char *pages, size_t raw_bytes)
{
    uint64_t start_ns = bench_thread_cpu_ns(), ns;
    size_t restored_bytes = ZSTD_decompressDCtx(decompressor, restored, raw_bytes, at, bytes);

    ns = bench_thread_cpu_ns() - start_ns;
    if (restored_bytes != raw_bytes || memcmp(restored, pages, raw_bytes) != 0) {
        bench_die("%s: a group does not read back", form->name);
    }
    return ns;
}

static void run(const char *work, const struct form *form, const unsigned char *pages,
                unsigned nr_pages)
{
    const size_t raw_bytes = nr_pages * (size_t)BENCH_PAGE_BYTES;
    const uint32_t nr_groups = SAMPLE_PAGES / nr_pages;
    uint64_t bytes = 0, make_ns = 0, read_ns = 0;
    uint32_t i;

    for (i = 0; i < nr_groups; i++, pages += raw_bytes) {
        const unsigned char *at;
        size_t frame_bytes = compress(form, pages, nr_pages, &at, &make_ns);

        bytes += frame_bytes;
        read_ns += decompress(form, at, frame_bytes, pages, raw_bytes);
    }
    bench_add(work, form->name, "×", (double)nr_groups * (double)raw_bytes / (double)bytes);
    bench_add(work, form->name, "MB/s",
              (double)nr_groups * (double)raw_bytes * 1e3 / (double)make_ns);
    bench_add(work, form->name, "µs CPU to decompress one",
              (double)read_ns / 1e3 / (double)nr_groups);
}

void cold_forms_bench(void)
{
    static const unsigned sizes[] = {1, 4, 8, 16, 32, 16};
    const unsigned nr_sizes = sizeof sizes / sizeof *sizes;
    const unsigned nr_rounds = bench_nr_rounds(NR_ROUNDS);
    unsigned round, i, k;
    char work[60];

    if (!bench_wants("groups of")) {
        return;
    }
    max_frame_bytes = ZSTD_compressBound(GROUP_PAGES_MAX * (size_t)BENCH_PAGE_BYTES);
    frame = bench_alloc(max_frame_bytes);
    restored = bench_alloc(GROUP_PAGES_MAX * (size_t)BENCH_PAGE_BYTES);
    decompressor = ZSTD_createDCtx();
    if (!decompressor || zr_group_maker_init(&maker) < 0) {
        bench_die("no memory for codec contexts");
    }
    for (i = 0; i < NR_FORMS; i++) {
        open_form(&forms[i]);
    }
    take_sample();
    for (round = 1; round <= nr_rounds; round++) {
        bench_progress("groups by size and parameters, round %u of %u", round, nr_rounds);
        bench_begin_round();
        for (k = 0; k < nr_sizes; k++) {
            const bool is_shuffled = k == nr_sizes - 1;

            BENCH_NAME(work, "groups of %u page%s%s", sizes[k], sizes[k] > 1 ? "s" : "",
                       is_shuffled ? " that are no neighbours" : "");
            for (i = 0; i < NR_FORMS; i++) {
                const struct form *form = &forms[(i + round) % NR_FORMS];

                if (!form->is_ours || sizes[k] <= ZR_GROUP_PAGES) {
                    run(work, form, is_shuffled ? shuffled : sample, sizes[k]);
                }
            }
        }
    }
    for (i = 0; i < NR_FORMS; i++) {
        ZSTD_freeCCtx(forms[i].compressor);
    }
    ZSTD_freeDCtx(decompressor);
    zr_group_maker_fini(&maker);
    bench_free(sample, SAMPLE_PAGES * (size_t)BENCH_PAGE_BYTES);
    bench_free(shuffled, SAMPLE_PAGES * (size_t)BENCH_PAGE_BYTES);
    bench_free(frame, max_frame_bytes);
    bench_free(restored, GROUP_PAGES_MAX * (size_t)BENCH_PAGE_BYTES);
}
