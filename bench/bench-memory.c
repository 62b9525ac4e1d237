// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Memory of the whole server process beyond what it took when empty, over the compressed bytes in
// it, through fill, rewrite and trims; beside zram and nbdkit's memory plugin.
//
// Each store goes through the same chapters, then is left alone: nobody tells it anything
// meanwhile, unless it is a zram that is told to compact at the end of each chapter.
#include "load.h"
#include "zram-device.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LARGE_PAGES 32u  // 128 KiB, the largest write that Linux's nbd sends
#define TRIM_PAGES 512u  // 2 MiB, the largest trim that Linux's swap sends
#define NR_CONNECTIONS 2 // as a guest has with nbd-client -C 2
#define DEPTH 16
#define NR_SAMPLES_MAX 20000u
#define SAMPLE_NS UINT64_C(200000000)
#define SECOND_NS UINT64_C(1000000000)
#define SETTLE_S 5u
#define NR_REWRITES 5u
#define NR_LATENCY_ROUNDS 5

enum { FILL, REWRITE, HALF, MOST, EMPTY, NR_CHAPTERS };

static const char *const works[NR_CHAPTERS] = {
    "after fill", "after 5 × random rewrite", "after trimming a random half",
    "after trimming a random 90 %", "after trimming all"};
static const char *const captions[NR_CHAPTERS] = {"fill", "rewrite 5 ×, random",
                                                  "trim a random half", "trim to 90 %", "trim all"};

// A store of slots of a page: an nbdkit server, or else a zram device.
struct store {
    const char *name;
    uint32_t nr_slots;
    struct server *server;
    struct nbd_handle *connections[NR_CONNECTIONS];
    bool has_stats; // the server's
    const struct zram_device *zram;
    bool is_told; // to compact

    uint64_t empty_bytes;
    uint64_t starts_ns[NR_CHAPTERS]; // the chapter's work
    uint64_t ends_ns[NR_CHAPTERS];   // and what comes after it starts
};

// Requests of nr_pages each, all over the store in order, or, one page each, to the first nr slots
// of an order.
static void transfer(const struct store *store, enum load_kind kind, uint32_t nr_pages,
                     const uint32_t *order, uint32_t nr, uint64_t first_page)
{
    const uint32_t bytes = nr_pages * BENCH_PAGE_BYTES;
    const struct load load = {
        .kind = kind,
        .bytes = bytes,
        .length = (uint64_t)nr * bytes,
        .is_sequential = true,
        .order = order,
        .first_page = first_page,
    };
    struct stream streams[NR_CONNECTIONS];
    uint32_t i;

    if (!store->zram) {
        for (i = 0; i < NR_CONNECTIONS; i++) {
            streams[i] = (struct stream){
                .load = &load,
                .nbd = store->connections[i],
                .depth = DEPTH,
                .share = i,
                .nr_shares = NR_CONNECTIONS,
            };
        }
        load_run(streams, NR_CONNECTIONS);
        return;
    }
    for (i = 0; i < nr; i++) {
        const uint64_t offset = (uint64_t)(order ? order[i] : i) * bytes;

        if (kind == LOAD_WRITE) {
            zram_device_write(store->zram,
                              bench_page_run(first_page + (uint64_t)i * nr_pages, nr_pages), bytes,
                              offset);
        } else {
            zram_device_discard(store->zram, bytes, offset);
        }
    }
}

static void fill(const struct store *store)
{
    transfer(store, LOAD_WRITE, LARGE_PAGES, NULL, store->nr_slots / LARGE_PAGES, 0);
}

static void trim_all(const struct store *store)
{
    transfer(store, LOAD_TRIM, TRIM_PAGES, NULL, store->nr_slots / TRIM_PAGES, 0);
}

// What it keeps in memory files without having it mapped.
static uint64_t memory_file_bytes(pid_t pid)
{
    char path[80], target[100];
    uint64_t bytes = 0;
    struct dirent *entry;
    DIR *fds = opendir(BENCH_NAME(path, "/proc/%d/fd", pid));

    while (fds && (entry = readdir(fds))) {
        struct stat stat;
        ssize_t length = readlinkat(dirfd(fds), entry->d_name, target, sizeof target - 1);

        target[length > 0 ? length : 0] = '\0';
        if (strncmp(target, "/memfd:", 7) == 0 &&
            fstatat(dirfd(fds), entry->d_name, &stat, 0) == 0) {
            bytes += (uint64_t)stat.st_blocks * 512;
        }
    }
    if (fds) {
        closedir(fds);
    }
    return bytes;
}

// What a server has mapped and touched, and what it keeps in memory files without having it mapped.
static uint64_t used_bytes(const struct store *store)
{
    struct zram_stats stats;
    uint64_t mapped, files;

    if (store->zram) {
        zram_device_get_stats(store->zram, &stats);
        return stats.mem_used_total;
    }
    mapped = server_status_bytes_of(store->server, "RssShmem");
    files = memory_file_bytes(store->server->pid);
    return server_status_bytes_of(store->server, "RssAnon") +
           server_status_bytes_of(store->server, "RssFile") + (files > mapped ? files : mapped);
}

// 0: it cannot say.
static uint64_t compressed_bytes(const struct store *store)
{
    struct zram_stats stats;

    if (store->zram) {
        zram_device_get_stats(store->zram, &stats);
        return stats.compr_data_size;
    }
    return store->has_stats ? load_server_stat(store->server, "compr_data_size") : 0;
}

// Some of all over is enough to know that it keeps what it is given.
static void verify(const struct store *store, const uint32_t *slots, uint32_t first, uint32_t end,
                   uint64_t first_page)
{
    unsigned char *page = bench_alloc(BENCH_PAGE_BYTES);
    uint32_t i;

    for (i = first; i < end; i += 1 + (end - first) / 2000) {
        const uint64_t offset = (uint64_t)slots[i] * BENCH_PAGE_BYTES;

        if (store->zram) {
            zram_device_read(store->zram, page, BENCH_PAGE_BYTES, offset);
        } else if (nbd_pread(store->connections[0], page, BENCH_PAGE_BYTES, offset, 0) < 0) {
            bench_die("%s: %s", store->name, nbd_get_error());
        }
        if (memcmp(page, bench_page(first_page + i), BENCH_PAGE_BYTES) != 0) {
            bench_die("%s: slot %u does not read back", store->name, slots[i]);
        }
    }
    bench_free(page, BENCH_PAGE_BYTES);
}

// ---- the chapters ------------------------------------------------------------------------------

static double mib_beyond_empty(const struct store *store, uint64_t bytes)
{
    return ((double)bytes - (double)store->empty_bytes) / 1048576;
}

static const char *name_work(char work[80], const struct store *store, int chapter)
{
    snprintf(work, 80, "%s, %u MiB", works[chapter], store->nr_slots / 256);
    return work;
}

static void add_rows(const struct store *store, int chapter, unsigned seconds_later)
{
    double mib = mib_beyond_empty(store, used_bytes(store));
    double compressed_mib = (double)compressed_bytes(store) / 1048576;
    char work[80], unit[60];

    name_work(work, store, chapter);
    if (seconds_later == 0 || seconds_later == SETTLE_S) {
        bench_add(work, store->name,
                  BENCH_NAME(unit, "MiB beyond empty, %u s later", seconds_later), mib);
    }
    if (compressed_mib > 0 && chapter != EMPTY) {
        bench_add(work, store->name,
                  BENCH_NAME(unit, "× compressed bytes, %u s later", seconds_later),
                  mib / compressed_mib);
    }
}

static void do_chapter(const struct store *store, int chapter, uint32_t *const *orders)
{
    const uint32_t *last = orders[NR_REWRITES - 1];
    const uint64_t last_page = 977 * (NR_REWRITES - 1);
    uint32_t half = store->nr_slots / 2, most = store->nr_slots / 10 * 9;
    unsigned i;

    switch (chapter) {
    case FILL:
        fill(store);
        break;
    case REWRITE:
        for (i = 0; i < NR_REWRITES; i++) {
            transfer(store, LOAD_WRITE, 1, orders[i], store->nr_slots, 977 * i);
        }
        verify(store, last, 0, store->nr_slots, last_page);
        break;
    case HALF:
        transfer(store, LOAD_TRIM, 1, last, half, 0);
        break;
    case MOST:
        transfer(store, LOAD_TRIM, 1, last + half, most - half, 0);
        verify(store, last, most, store->nr_slots, last_page);
        break;
    case EMPTY:
        trim_all(store);
        break;
    }
    if (store->is_told) {
        zram_device_compact(store->zram);
    }
}

struct sampler {
    const struct store *store;
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
        sampler->samples[nr].used_bytes = used_bytes(sampler->store);
        sampler->samples[nr].compressed_bytes = compressed_bytes(sampler->store);
        bench_sleep_until_ns(now_ns + SAMPLE_NS);
    }
    return NULL;
}

// Every chapter is one unit wide: what is done takes the first part, the time after it the rest.
static double chapter_position(const struct store *store, uint64_t when_ns)
{
    const double done = 0.6;
    int chapter = NR_CHAPTERS - 1;
    double fraction;

    while (chapter > 0 && when_ns < store->starts_ns[chapter]) {
        chapter--;
    }
    if (when_ns < store->starts_ns[chapter]) {
        return 0;
    }
    if (when_ns < store->ends_ns[chapter]) {
        fraction = done * (double)(when_ns - store->starts_ns[chapter]) /
                   (double)(store->ends_ns[chapter] - store->starts_ns[chapter]);
    } else {
        fraction =
            done + (1 - done) * (double)(when_ns - store->ends_ns[chapter]) / (SETTLE_S * 1e9);
    }
    return chapter + (fraction < 1 ? fraction : 1);
}

static void add_curves(const struct sampler *sampler, const char *chart)
{
    const struct store *store = sampler->store;
    char compressed[80];
    unsigned i;

    BENCH_NAME(compressed, "%s, compressed bytes", store->name);
    for (i = 0; i < sampler->nr_samples; i++) {
        double x = chapter_position(store, sampler->samples[i].when_ns);

        bench_point(chart, store->name, x, mib_beyond_empty(store, sampler->samples[i].used_bytes));
        if (sampler->samples[i].compressed_bytes > 0) {
            bench_point(chart, compressed, x,
                        (double)sampler->samples[i].compressed_bytes / 1048576);
        }
    }
}

static void tell(struct store *store, const char *chart)
{
    static const unsigned looks_s[] = {0, 1, 2, SETTLE_S};
    struct sampler *sampler = bench_alloc(sizeof *sampler);
    uint32_t *orders[NR_REWRITES];
    char work[80];
    unsigned i;
    int chapter;

    for (i = 0; i < NR_REWRITES; i++) {
        orders[i] = bench_random_order(store->nr_slots, i + 1);
    }
    store->empty_bytes = used_bytes(store);
    sampler->store = store;
    if (chart && pthread_create(&sampler->thread, NULL, sample_until_over, sampler) != 0) {
        bench_die("cannot start a thread");
    }
    for (chapter = 0; chapter < NR_CHAPTERS; chapter++) {
        bench_progress("memory: %s, %s", store->name, name_work(work, store, chapter));
        store->starts_ns[chapter] = bench_now_ns();
        do_chapter(store, chapter, orders);
        store->ends_ns[chapter] = bench_now_ns();
        for (i = 0; i < sizeof looks_s / sizeof looks_s[0]; i++) {
            // What was told to compact has done so, and does no more.
            if (!store->is_told) {
                bench_sleep_until_ns(store->ends_ns[chapter] + looks_s[i] * SECOND_NS);
            }
            add_rows(store, chapter, looks_s[i]);
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
        fill(store);
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
                transfer(store, LOAD_TRIM, 1, order, store->nr_slots / 2, 0);
            }
            turn = load_turn(store->server, &stream, 1, 1);
            load_add_latency(names[i], store->name, &turn);
        }
    }
    trim_all(store);
    free(order);
}

// ---- the stores --------------------------------------------------------------------------------

// nbdkit's own buffers, one per thread, belong to the empty server, not to what is stored in it:
// let every thread have a large read and a large write of nothing, which stores nothing.  The same
// for the connections that ask for statistics: the first ones leave some heap behind.
static void warm_up(const struct store *store)
{
    static const unsigned char zeros[LARGE_PAGES * BENCH_PAGE_BYTES];
    unsigned i, k;

    for (k = 0; k < 2; k++) {
        const uint64_t most = 512 * sizeof zeros;
        const uint64_t bytes = (uint64_t)store->nr_slots * BENCH_PAGE_BYTES;
        const struct load load = {"warm up",
                                  k == 0 ? LOAD_READ : LOAD_WRITE,
                                  sizeof zeros,
                                  0,
                                  bytes < most ? bytes : most,
                                  true,
                                  .data = zeros};
        struct stream streams[NR_CONNECTIONS];

        for (i = 0; i < NR_CONNECTIONS; i++) {
            streams[i] = (struct stream){.load = &load,
                                         .nbd = store->connections[i],
                                         .depth = DEPTH,
                                         .share = i,
                                         .nr_shares = NR_CONNECTIONS};
        }
        load_run(streams, NR_CONNECTIONS);
    }
    trim_all(store);
    for (i = 0; i < 16; i++) {
        compressed_bytes(store);
    }
    bench_sleep_until_ns(bench_now_ns() + 2 * SECOND_NS);
}

static void tell_of_server(struct store *store, struct server *server, const char *chart,
                           bool with_latencies)
{
    unsigned i;

    store->server = server;
    for (i = 0; i < NR_CONNECTIONS; i++) {
        store->connections[i] = load_connect(server, "");
    }
    warm_up(store);
    tell(store, chart);
    if (with_latencies) {
        add_latencies(store);
    }
    for (i = 0; i < NR_CONNECTIONS; i++) {
        server_disconnect(store->connections[i]);
    }
    server_close(server);
}

static void tell_of_zram(struct store *store, const char *chart)
{
    tell(store, chart);
    transfer(store, LOAD_TRIM, TRIM_PAGES, NULL, store->nr_slots / TRIM_PAGES, 0);
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
    tell_of_server(&lz4, server_open(plugin, size, "compression=lz4", "stats-export=stats", more),
                   chart, is_largest);
    tell_of_server(&zstd, server_open(plugin, size, "compression=zstd", "stats-export=stats", more),
                   chart, false);
    if (!is_largest) {
        return;
    }
    if (zram) {
        tell_of_zram(&alone, chart);
        tell_of_zram(&told, NULL);
    }
    tell_of_server(&memory, server_open("memory", size), chart, false);
}

int main(int argc, char *argv[])
{
    uint64_t sizes[] = {UINT64_C(64) << 20, UINT64_C(1) << 30};
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
    for (i = 0; i < NR_CHAPTERS; i++) {
        bench_point("chapters", captions[i], i, 0);
    }
    for (i = 0; i < nr_sizes; i++) {
        tell_of_all((uint32_t)(sizes[i] / BENCH_PAGE_BYTES), has_zram ? &zram : NULL,
                    i == nr_sizes - 1);
    }
    return 0;
}
