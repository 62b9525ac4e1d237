// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "memory-story.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NR_SAMPLES_MAX 20000u
#define SAMPLE_NS 200000000
#define SETTLE_S 5u
#define NR_REWRITES 5u

static const char *const chapter_names[MEMORY_NR_CHAPTERS] = {
    "after fill", "after 5 × random rewrite", "after trimming a random half",
    "after trimming a random 90 %", "after trimming all"};

const char *memory_chapter_work(int chapter, uint32_t nr_slots)
{
    static char text[80];

    snprintf(text, sizeof text, "%s, %u MiB", chapter_names[chapter],
             nr_slots / (1048576 / BENCH_PAGE_BYTES));
    return text;
}

void memory_story_name_chapters(void)
{
    static const char *const names[MEMORY_NR_CHAPTERS] = {
        "fill", "rewrite 5 ×, random", "trim a random half", "trim to 90 %", "trim all"};
    int chapter;

    for (chapter = 0; chapter < MEMORY_NR_CHAPTERS; chapter++) {
        bench_point("chapters", names[chapter], chapter, 0);
    }
}

struct sample {
    uint64_t when_ns;
    uint64_t used_bytes, compressed_bytes;
};

struct story {
    struct memory_store *store;
    uint64_t empty_bytes;
    uint64_t starts_ns[MEMORY_NR_CHAPTERS]; // the chapter's work
    uint64_t ends_ns[MEMORY_NR_CHAPTERS];   // and what comes after it starts

    pthread_t sampler;
    _Atomic bool is_over;
    struct sample *samples;
    unsigned nr_samples;
};

static void *sample_until_over(void *arg)
{
    struct story *story = arg;

    while (!atomic_load(&story->is_over) && story->nr_samples < NR_SAMPLES_MAX) {
        struct sample *sample = &story->samples[story->nr_samples++];

        sample->when_ns = bench_now_ns();
        sample->used_bytes = story->store->used_bytes(story->store);
        sample->compressed_bytes =
            story->store->compressed_bytes ? story->store->compressed_bytes(story->store) : 0;
        bench_sleep_until_ns(sample->when_ns + SAMPLE_NS);
    }
    return NULL;
}

static double mib_beyond_empty(const struct story *story, uint64_t used_bytes)
{
    return ((double)used_bytes - (double)story->empty_bytes) / 1048576;
}

static void look(const struct story *story, int chapter, unsigned seconds_later)
{
    struct memory_store *store = story->store;
    const char *work = memory_chapter_work(chapter, store->nr_slots);
    double mib = mib_beyond_empty(story, store->used_bytes(store));
    char unit[60];

    if (seconds_later == 0 || seconds_later == SETTLE_S) {
        snprintf(unit, sizeof unit, MEMORY_UNIT_MIB, seconds_later);
        bench_add(bench_row(work, store->name, unit, BENCH_LOWER), mib);
    }
    if (store->compressed_bytes && chapter != MEMORY_EMPTY) {
        double compressed_mib = (double)store->compressed_bytes(store) / 1048576;

        snprintf(unit, sizeof unit, MEMORY_UNIT_RATIO, seconds_later);
        bench_add(bench_row(work, store->name, unit, BENCH_LOWER), mib / compressed_mib);
    }
}

static void verify(struct memory_store *store, const uint32_t *slots, uint32_t first, uint32_t end,
                   uint64_t first_page)
{
    unsigned char *page = bench_alloc(BENCH_PAGE_BYTES);
    uint32_t i;

    // Some of all over is enough to know that it keeps what it is given.
    for (i = first; i < end; i += 1 + (end - first) / 2000) {
        store->read(store, slots[i], page);
        if (memcmp(page, bench_page(store->pages, first_page + i), BENCH_PAGE_BYTES) != 0) {
            bench_die("%s: slot %u does not read back", store->name, slots[i]);
        }
    }
    bench_free(page, BENCH_PAGE_BYTES);
}

static void do_chapter(struct memory_store *store, int chapter, uint32_t *const *orders)
{
    const uint32_t *last = orders[NR_REWRITES - 1];
    uint32_t half = store->nr_slots / 2, most = store->nr_slots / 10 * 9;
    unsigned i;

    switch (chapter) {
    case MEMORY_FILL:
        store->fill(store);
        break;
    case MEMORY_REWRITE:
        for (i = 0; i < NR_REWRITES; i++) {
            store->write(store, orders[i], store->nr_slots, 977 * i);
        }
        verify(store, last, 0, store->nr_slots, 977 * (NR_REWRITES - 1));
        break;
    case MEMORY_HALF:
        store->trim(store, last, half);
        break;
    case MEMORY_MOST:
        store->trim(store, last + half, most - half);
        verify(store, last, most, store->nr_slots, 977 * (NR_REWRITES - 1));
        break;
    case MEMORY_EMPTY:
        store->trim_all(store);
        break;
    }
    if (store->tell_to_compact) {
        store->tell_to_compact(store);
    }
}

// Every chapter is one unit wide: what is done takes the first part, the time after it the rest.
static double chapter_position(const struct story *story, uint64_t when_ns)
{
    const double done = 0.6;
    int chapter = MEMORY_NR_CHAPTERS - 1;
    double fraction;

    while (chapter > 0 && when_ns < story->starts_ns[chapter]) {
        chapter--;
    }
    if (when_ns < story->starts_ns[chapter]) {
        return 0;
    }
    if (when_ns < story->ends_ns[chapter]) {
        fraction = done * (double)(when_ns - story->starts_ns[chapter]) /
                   (double)(story->ends_ns[chapter] - story->starts_ns[chapter]);
    } else {
        fraction =
            done + (1 - done) * (double)(when_ns - story->ends_ns[chapter]) / (SETTLE_S * 1e9);
    }
    return chapter + (fraction < 1 ? fraction : 1);
}

static void add_curves(const struct story *story, const char *chart)
{
    const struct memory_store *store = story->store;
    char compressed[80];
    unsigned i;

    snprintf(compressed, sizeof compressed, "%s, compressed bytes", store->name);
    for (i = 0; i < story->nr_samples; i++) {
        const struct sample *sample = &story->samples[i];
        double x = chapter_position(story, sample->when_ns);

        bench_point(chart, store->name, x, mib_beyond_empty(story, sample->used_bytes));
        if (store->compressed_bytes) {
            bench_point(chart, compressed, x, (double)sample->compressed_bytes / 1048576);
        }
    }
}

void memory_story_tell(struct memory_store *store, const char *chart)
{
    static const unsigned looks_s[] = {0, 1, 2, SETTLE_S};
    struct story story = {.store = store};
    uint32_t *orders[NR_REWRITES];
    size_t samples_bytes = NR_SAMPLES_MAX * sizeof *story.samples;
    unsigned i;
    int chapter;

    for (i = 0; i < NR_REWRITES; i++) {
        orders[i] = bench_random_order(store->nr_slots, i + 1);
    }
    story.samples = bench_alloc(samples_bytes);
    story.empty_bytes = store->used_bytes(store);
    if (chart && pthread_create(&story.sampler, NULL, sample_until_over, &story) != 0) {
        bench_die("cannot start a thread");
    }
    for (chapter = 0; chapter < MEMORY_NR_CHAPTERS; chapter++) {
        bench_progress("memory: %s, %s", store->name,
                       memory_chapter_work(chapter, store->nr_slots));
        story.starts_ns[chapter] = bench_now_ns();
        do_chapter(store, chapter, orders);
        story.ends_ns[chapter] = bench_now_ns();
        for (i = 0; i < sizeof looks_s / sizeof looks_s[0]; i++) {
            // What was told to compact has done so, and does no more.
            if (!store->tell_to_compact) {
                bench_sleep_until_ns(story.ends_ns[chapter] + looks_s[i] * UINT64_C(1000000000));
            }
            look(&story, chapter, looks_s[i]);
        }
    }
    if (chart) {
        atomic_store(&story.is_over, true);
        pthread_join(story.sampler, NULL);
        add_curves(&story, chart);
    }
    bench_free(story.samples, samples_bytes);
    for (i = 0; i < NR_REWRITES; i++) {
        free(orders[i]);
    }
}

void memory_story_read_latency(struct memory_store *store, unsigned nr_rounds)
{
    const char *const works[] = {"4 KiB reads one at a time, at rest",
                                 "4 KiB reads one at a time, after trimming a random half"};
    uint32_t *order = bench_random_order(store->nr_slots, 1);
    struct bench_samples samples;
    unsigned round, i;

    bench_progress("memory: %s, reads while it compacts", store->name);
    bench_samples_init(&samples, 1u << 18);
    for (round = 0; round < nr_rounds; round++) {
        store->fill(store);
        bench_sleep_until_ns(bench_now_ns() + UINT64_C(2000000000));
        for (i = 0; i < 2; i++) {
            if (i == 1) {
                store->trim(store, order, store->nr_slots / 2);
            }
            bench_samples_clear(&samples);
            store->read_random(store, UINT64_C(1500000000), &samples);
            bench_add(bench_row(works[i], store->name, "µs p50", BENCH_LOWER),
                      bench_samples_percentile(&samples, 50) / 1e3);
            bench_add(bench_row(works[i], store->name, "µs p99", BENCH_LOWER),
                      bench_samples_percentile(&samples, 99) / 1e3);
        }
    }
    bench_target_ratio("p99 of reads while it compacts ÷ at rest",
                       bench_row(works[1], store->name, "µs p99", BENCH_LOWER),
                       bench_row(works[0], store->name, "µs p99", BENCH_LOWER), "<=", 1.5);
    store->trim_all(store);
    bench_samples_fini(&samples);
    free(order);
}
