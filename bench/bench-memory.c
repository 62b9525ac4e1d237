// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Memory of the whole server process beyond what it took when empty, over the compressed bytes in
// it, through fill, rewrite and trims; beside zram and nbdkit's memory plugin.
//
// Each store goes through the same chapters, then is left alone: nobody tells it anything
// meanwhile, unless it is a zram that is told to compact at the end of each chapter.
#include "memory-store.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NR_SAMPLES_MAX 20000u
#define SAMPLE_NS UINT64_C(200000000)
#define SECOND_NS UINT64_C(1000000000)
#define PATIENCE_NS (120 * SECOND_NS)
#define NR_REWRITES 5u
#define NR_LATENCY_ROUNDS 5
#define NR_CHAPTERS 5

enum event { FILL, REWRITE, HOUR, HALF, MOST, EMPTY };

struct story {
    bool is_cold;      // pages that nobody writes become cold
    unsigned settle_s; // after each chapter
    struct {
        enum event event;
        const char *work, *caption;
    } chapters[NR_CHAPTERS];
};

static const struct story rewritten = {
    .settle_s = 5,
    .chapters = {{FILL, "after fill", "fill"},
                 {REWRITE, "after 5 × random rewrite", "rewrite 5 ×, random"},
                 {HALF, "after trimming a random half", "trim a random half"},
                 {MOST, "after trimming a random 90 %", "trim to 90 %"},
                 {EMPTY, "after trimming all", "trim all"}},
};
static const struct story an_hour_later = {
    .is_cold = true,
    .settle_s = 1,
    .chapters = {{FILL, "an hour later: before", "fill"},
                 {HOUR, "an hour later", "an hour later"},
                 {HALF, "an hour later: a random half trimmed", "trim a random half"},
                 {MOST, "an hour later: a random 90 % trimmed", "trim to 90 %"},
                 {EMPTY, "an hour later: all trimmed", "trim all"}},
};

// A store on its way through a story.
struct tale {
    const struct store *store;
    const struct story *story;
    uint64_t empty_bytes;
    uint64_t starts_ns[NR_CHAPTERS]; // the chapter's work
    uint64_t ends_ns[NR_CHAPTERS];   // and what comes after it starts
};

// What a fill has stored in a slot.
static const unsigned char *filled_page(uint32_t slot)
{
    return bench_page_run(slot - slot % LARGE_PAGES, LARGE_PAGES) +
           slot % LARGE_PAGES * BENCH_PAGE_BYTES;
}

// Some of all over is enough to know that it keeps what it is given.
static void verify(const struct tale *tale, const uint32_t *slots, uint32_t first, uint32_t end,
                   uint64_t first_page)
{
    const struct store *store = tale->store;
    unsigned char *page = bench_alloc(BENCH_PAGE_BYTES);
    uint32_t i;

    for (i = first; i < end; i += 1 + (end - first) / 2000) {
        const uint64_t offset = (uint64_t)slots[i] * BENCH_PAGE_BYTES;

        if (store->zram) {
            zram_device_read(store->zram, page, BENCH_PAGE_BYTES, offset);
        } else if (nbd_pread(store->connections[0], page, BENCH_PAGE_BYTES, offset, 0) < 0) {
            bench_die("%s: %s", store->name, nbd_get_error());
        }
        if (memcmp(page, tale->story->is_cold ? filled_page(slots[i]) : bench_page(first_page + i),
                   BENCH_PAGE_BYTES) != 0) {
            bench_die("%s: slot %u does not read back", store->name, slots[i]);
        }
    }
    bench_free(page, BENCH_PAGE_BYTES);
}

// ---- the chapters ------------------------------------------------------------------------------

static double mib_beyond_empty(const struct tale *tale, uint64_t bytes)
{
    return ((double)bytes - (double)tale->empty_bytes) / 1048576;
}

static const char *name_work(char work[80], const struct tale *tale, int chapter)
{
    const char *name = tale->story->chapters[chapter].work;

    if (tale->story->is_cold) { // of as much as the page file has
        snprintf(work, 80, "%s", name);
    } else {
        snprintf(work, 80, "%s, %u MiB", name, tale->store->nr_slots / 256);
    }
    return work;
}

static void add_rows(const struct tale *tale, int chapter, unsigned seconds_later)
{
    const struct store *store = tale->store;
    double mib = mib_beyond_empty(tale, store_used_bytes(store));
    double compressed_mib = (double)store_compressed_bytes(store) / 1048576;
    char work[80], unit[60];

    name_work(work, tale, chapter);
    if (seconds_later == 0 || seconds_later == tale->story->settle_s) {
        bench_add(work, store->name,
                  BENCH_NAME(unit, "MiB beyond empty, %u s later", seconds_later), mib);
    }
    if (tale->story->is_cold && seconds_later == tale->story->settle_s) {
        bench_add(work, store->name, "MiB beyond empty, a GiB of pages",
                  mib * 262144 / store->nr_slots);
    }
    if (compressed_mib > 0 && tale->story->chapters[chapter].event != EMPTY) {
        bench_add(work, store->name,
                  BENCH_NAME(unit, "× compressed bytes, %u s later", seconds_later),
                  mib / compressed_mib);
    }
}

// Until a number has not changed for so long.
static void wait_until_calm(const struct store *store, uint64_t (*number)(const struct store *),
                            uint64_t calm_ns)
{
    const uint64_t start_ns = bench_now_ns();
    uint64_t change_ns = start_ns, seen = number(store);

    while (bench_now_ns() - change_ns < calm_ns) {
        uint64_t now = number(store);

        if (now != seen) {
            seen = now;
            change_ns = bench_now_ns();
        }
        if (bench_now_ns() - start_ns > PATIENCE_NS) {
            bench_progress("%s: still at work after two minutes", store->name);
            return;
        }
        bench_sleep_until_ns(bench_now_ns() + SECOND_NS / 10);
    }
}

static uint64_t nr_demoted(const struct store *store)
{
    return load_server_stat(store->server, "cold_demoted_pages");
}

static uint64_t nr_cleaned(const struct store *store)
{
    return load_server_stat(store->server, "cold_cleaned_spans");
}

// A page that was not written for a second is cold after four more at most.
static void let_an_hour_pass(const struct store *store)
{
    if (!store->zram) {
        wait_until_calm(store, nr_demoted, 6 * SECOND_NS);
        if (nr_demoted(store) == 0) {
            bench_die("%s: no page became cold", store->name);
        }
    }
}

// Only the story of cold pages says what is left when it has had the time.
static void let_it_clean(const struct tale *tale)
{
    if (tale->story->is_cold && !tale->store->zram) {
        wait_until_calm(tale->store, nr_cleaned, 4 * SECOND_NS);
    }
}

static void do_chapter(const struct tale *tale, int chapter, uint32_t *const *orders)
{
    const struct store *store = tale->store;
    const uint32_t *last = orders[NR_REWRITES - 1];
    const uint64_t last_page = 977 * (NR_REWRITES - 1);
    uint32_t half = store->nr_slots / 2, most = store->nr_slots / 10 * 9;
    unsigned i;

    switch (tale->story->chapters[chapter].event) {
    case FILL:
        store_fill(store);
        break;
    case REWRITE:
        for (i = 0; i < NR_REWRITES; i++) {
            store_transfer(store, LOAD_WRITE, 1, orders[i], store->nr_slots, 977 * i);
        }
        verify(tale, last, 0, store->nr_slots, last_page);
        break;
    case HOUR:
        let_an_hour_pass(store);
        break;
    case HALF:
        store_transfer(store, LOAD_TRIM, 1, last, half, 0);
        let_it_clean(tale);
        break;
    case MOST:
        store_transfer(store, LOAD_TRIM, 1, last + half, most - half, 0);
        let_it_clean(tale);
        verify(tale, last, most, store->nr_slots, last_page);
        break;
    case EMPTY:
        store_trim_all(store);
        break;
    }
    if (store->is_told) {
        zram_device_compact(store->zram);
    }
}

struct sampler {
    const struct tale *tale;
    pthread_t thread;
    _Atomic bool is_over;
    struct {
        uint64_t when_ns, used_bytes, compressed_bytes;
    } samples[NR_SAMPLES_MAX];
    unsigned nr_samples;
};

static void *sample_until_over(void *arg)
{
    struct sampler *sampler = arg;

    while (!atomic_load(&sampler->is_over) && sampler->nr_samples < NR_SAMPLES_MAX) {
        uint64_t now_ns = bench_now_ns();
        unsigned nr = sampler->nr_samples++;

        sampler->samples[nr].when_ns = now_ns;
        sampler->samples[nr].used_bytes = store_used_bytes(sampler->tale->store);
        sampler->samples[nr].compressed_bytes = store_compressed_bytes(sampler->tale->store);
        bench_sleep_until_ns(now_ns + SAMPLE_NS);
    }
    return NULL;
}

// Every chapter is one unit wide: what is done takes the first part, the time after it the rest.
static double chapter_position(const struct tale *tale, uint64_t when_ns)
{
    const double done = 0.6;
    int chapter = NR_CHAPTERS - 1;
    double fraction;

    while (chapter > 0 && when_ns < tale->starts_ns[chapter]) {
        chapter--;
    }
    if (when_ns < tale->starts_ns[chapter]) {
        return 0;
    }
    if (when_ns < tale->ends_ns[chapter]) {
        fraction = done * (double)(when_ns - tale->starts_ns[chapter]) /
                   (double)(tale->ends_ns[chapter] - tale->starts_ns[chapter]);
    } else {
        fraction = done + (1 - done) * (double)(when_ns - tale->ends_ns[chapter]) /
                              (tale->story->settle_s * 1e9);
    }
    return chapter + (fraction < 1 ? fraction : 1);
}

static void add_curves(const struct sampler *sampler, const char *chart)
{
    const struct tale *tale = sampler->tale;
    char compressed[80];
    unsigned i;

    BENCH_NAME(compressed, "%s, compressed bytes", tale->store->name);
    for (i = 0; i < sampler->nr_samples; i++) {
        double x = chapter_position(tale, sampler->samples[i].when_ns);

        bench_point(chart, tale->store->name, x,
                    mib_beyond_empty(tale, sampler->samples[i].used_bytes));
        if (sampler->samples[i].compressed_bytes > 0) {
            bench_point(chart, compressed, x,
                        (double)sampler->samples[i].compressed_bytes / 1048576);
        }
    }
}

static void tell(const struct story *story, const struct store *store, const char *chart)
{
    static const unsigned looks_s[] = {0, 1, 2, 5};
    struct tale tale = {.store = store, .story = story, .empty_bytes = store_used_bytes(store)};
    struct sampler *sampler = bench_alloc(sizeof *sampler);
    uint32_t *orders[NR_REWRITES];
    char work[80];
    unsigned i;
    int chapter;

    for (i = 0; i < NR_REWRITES; i++) {
        orders[i] = bench_random_order(store->nr_slots, i + 1);
    }
    sampler->tale = &tale;
    if (chart && pthread_create(&sampler->thread, NULL, sample_until_over, sampler) != 0) {
        bench_die("cannot start a thread");
    }
    for (chapter = 0; chapter < NR_CHAPTERS; chapter++) {
        bench_progress("memory: %s, %s", store->name, name_work(work, &tale, chapter));
        tale.starts_ns[chapter] = bench_now_ns();
        do_chapter(&tale, chapter, orders);
        tale.ends_ns[chapter] = bench_now_ns();
        for (i = 0; i < sizeof looks_s / sizeof *looks_s && looks_s[i] <= story->settle_s; i++) {
            // What was told to compact has done so, and does no more.
            if (!store->is_told) {
                bench_sleep_until_ns(tale.ends_ns[chapter] + looks_s[i] * SECOND_NS);
            }
            add_rows(&tale, chapter, looks_s[i]);
        }
    }
    if (chart) {
        atomic_store(&sampler->is_over, true);
        pthread_join(sampler->thread, NULL);
        add_curves(sampler, chart);
    }
    bench_free(sampler, sizeof *sampler);
    for (i = 0; i < NR_REWRITES; i++) {
        free(orders[i]);
    }
}

// Reads one at a time, of a full store at rest and right after a random half was trimmed, while it
// compacts.
static void add_latencies(const struct store *store)
{
    const char *const names[] = {"4 KiB reads one at a time, at rest",
                                 "4 KiB reads one at a time, after trimming a random half"};
    const struct load reads = {"reads", LOAD_READ, BENCH_PAGE_BYTES,
                               .length = (uint64_t)store->nr_slots * BENCH_PAGE_BYTES};
    const unsigned nr_rounds = bench_nr_rounds(NR_LATENCY_ROUNDS);
    uint32_t *order = bench_random_order(store->nr_slots, 1);
    unsigned round, i;

    bench_progress("memory: %s, reads while it compacts", store->name);
    for (round = 0; round < nr_rounds; round++) {
        store_fill(store);
        bench_sleep_until_ns(bench_now_ns() + 2 * SECOND_NS);
        for (i = 0; i < 2; i++) {
            struct stream stream = {
                .load = &reads,
                .nbd = store->connections[0],
                .depth = 1,
                .duration_ns = SECOND_NS * 3 / 2,
            };
            struct turn turn;

            if (i == 1) {
                store_transfer(store, LOAD_TRIM, 1, order, store->nr_slots / 2, 0);
            }
            turn = load_turn(store->server, &stream, 1, 1);
            load_add_latency(names[i], store->name, &turn);
        }
    }
    store_trim_all(store);
    free(order);
}

// ---- the stores --------------------------------------------------------------------------------

static void tell_of_server(const struct story *story, struct store *store, struct server *server,
                           const char *chart, bool with_latencies)
{
    unsigned i;

    store->server = server;
    for (i = 0; i < NR_CONNECTIONS; i++) {
        store->connections[i] = load_connect(server, "");
    }
    store_warm_up(store);
    tell(story, store, chart);
    if (with_latencies) {
        add_latencies(store);
    }
    for (i = 0; i < NR_CONNECTIONS; i++) {
        server_disconnect(store->connections[i]);
    }
    server_close(server);
}

static void tell_of_all(uint32_t nr_slots, const struct zram_device *zram, bool is_largest)
{
    struct store lz4 = {"zramswap lz4", nr_slots, .has_stats = true};
    struct store zstd = {"zramswap zstd", nr_slots, .has_stats = true};
    struct store memory = {"memory", .nr_slots = nr_slots};
    struct store alone = {"zram lz4", nr_slots, .zram = zram};
    struct store told = {"zram lz4, told to compact", nr_slots, .zram = zram, .is_told = true};
    const char *const plugin = bench_options.plugin, *const more = bench_options.parameter;
    char size[40], title[80], *chart = is_largest ? title : NULL;

    BENCH_NAME(size, "size=%llu", (unsigned long long)nr_slots * BENCH_PAGE_BYTES);
    BENCH_NAME(title, "%u MiB of real pages stored", nr_slots / 256);
    tell_of_server(&rewritten, &lz4,
                   server_open(plugin, size, "compression=lz4", "stats-export=stats", more), chart,
                   is_largest);
    tell_of_server(&rewritten, &zstd,
                   server_open(plugin, size, "compression=zstd", "stats-export=stats", more), chart,
                   false);
    if (!is_largest) {
        return;
    }
    if (zram) {
        tell(&rewritten, &alone, chart);
        store_trim_all(&alone);
        tell(&rewritten, &told, NULL);
        store_trim_all(&told);
    }
    tell_of_server(&rewritten, &memory, server_open("memory", size), chart, false);
}

// An hour in some seconds: cold is what was not written for one, and demotion may take all of a
// CPU.  No page is stored twice.
static void tell_of_an_hour(uint32_t nr_slots, const struct zram_device *zram)
{
    struct store lz4 = {"zramswap lz4", nr_slots, .has_stats = true};
    struct store zstd = {"zramswap zstd", nr_slots, .has_stats = true};
    struct store alone = {"zram lz4", nr_slots, .zram = zram};
    const char *const plugin = bench_options.plugin, *const more = bench_options.parameter;
    char size[40], title[80];

    BENCH_NAME(size, "size=%llu", (unsigned long long)nr_slots * BENCH_PAGE_BYTES);
    BENCH_NAME(title, "%u MiB of real pages, an hour later", nr_slots / 256);
    bench_add(an_hour_later.chapters[0].work, "all", "MiB stored", nr_slots / 256);
    tell_of_server(&an_hour_later, &lz4,
                   server_open(plugin, size, "compression=lz4", "cold=1", "cold-cpu=100",
                               "stats-export=stats", more),
                   title, false);
    tell_of_server(&an_hour_later, &zstd,
                   server_open(plugin, size, "compression=zstd", "cold=1", "cold-cpu=100",
                               "stats-export=stats", more),
                   title, false);
    if (zram) {
        tell(&an_hour_later, &alone, title);
    }
}

static bool wants(const struct story *story)
{
    unsigned i;

    for (i = 0; i < NR_CHAPTERS && !bench_wants(story->chapters[i].work); i++) {
    }
    return i < NR_CHAPTERS;
}

static void add_captions(const struct story *story)
{
    unsigned i;

    for (i = 0; i < NR_CHAPTERS; i++) {
        bench_point("chapters", story->chapters[i].caption, i, 0);
    }
}

int main(int argc, char *argv[])
{
    uint64_t sizes[] = {UINT64_C(64) << 20, UINT64_C(1) << 30}, file_bytes, cold_bytes;
    unsigned nr_sizes = 2, i;
    struct zram_device zram;
    bool has_zram;

    bench_parse_options(argc, argv);
    if (bench_options.bytes != UINT64_MAX) {
        sizes[0] = bench_options.bytes & ~UINT64_C(0x1fffff); // whole trims
        nr_sizes = 1;
    }
    // First, while this process is small: it forks.
    has_zram = zram_device_open(&zram, sizes[nr_sizes - 1]);
    bench_pages_load();
    if (wants(&rewritten)) {
        add_captions(&rewritten);
        for (i = 0; i < nr_sizes; i++) {
            tell_of_all((uint32_t)(sizes[i] / BENCH_PAGE_BYTES), has_zram ? &zram : NULL,
                        i == nr_sizes - 1);
        }
    }
    if (wants(&an_hour_later)) {
        add_captions(&an_hour_later);
        file_bytes = bench_pages.nr_pages * (uint64_t)BENCH_PAGE_BYTES & ~UINT64_C(0x1fffff);
        cold_bytes = sizes[nr_sizes - 1] < file_bytes ? sizes[nr_sizes - 1] : file_bytes;
        tell_of_an_hour((uint32_t)(cold_bytes / BENCH_PAGE_BYTES), has_zram ? &zram : NULL);
    }
    return 0;
}
