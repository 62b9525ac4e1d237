// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// The engine alone: what it adds to the codec, what a trim costs, and how both grow with the data.
#include "engine-bench.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>

#define STORED_SLOTS (1u << 16) // 256 MiB: far more than the caches hold
#define TRIM_SLOTS (32u * ZR_LEAF_SLOTS)
#define RING_BYTES (64u << 20)

static char export_name[] = "";

void engine_bench_open(struct engine_bench *bench, const struct bench_pages *pages,
                       const struct zr_codec_ops *codec, uint64_t nr_slots, bool has_threads)
{
    struct zr_export_config export = {
        .name = export_name, .size_bytes = nr_slots * ZR_PAGE_BYTES, .limit_bytes = UINT64_MAX};
    const struct zr_server_config config = {
        .exports = &export,
        .nr_exports = 1,
        .codec = codec,
        .level = codec->default_level,
    };
    unsigned i;
    int rc;

    *bench = (struct engine_bench){
        .pages = pages,
        .nr_slots = (uint32_t)nr_slots,
        .nr_rounds = 25,
        .ring = bench_alloc(RING_BYTES),
        .ring_bytes = RING_BYTES / ENGINE_BENCH_THREADS_MAX,
    };
    rc = zr_server_init(&bench->server, &config);
    if (rc == 0 && has_threads) {
        rc = zr_server_start(&bench->server);
    }
    if (rc < 0) {
        bench_die("cannot start the engine: %s", strerror(-rc));
    }
    bench->device = zr_server_find(&bench->server, export_name);
    for (i = 0; i < ENGINE_BENCH_THREADS_MAX; i++) {
        bench->contexts[i] = codec->create(codec->default_level);
        if (!bench->contexts[i]) {
            bench_die("no memory for codec contexts");
        }
    }
}

void engine_bench_close(struct engine_bench *bench)
{
    unsigned i;

    for (i = 0; i < ENGINE_BENCH_THREADS_MAX; i++) {
        bench->server.codec.ops->destroy(bench->contexts[i]);
    }
    zr_server_fini(&bench->server);
    bench_free(bench->ring, RING_BYTES);
}

struct fill {
    struct engine_bench *bench;
    uint64_t first, end;
    unsigned nr_threads;
};

static void fill_part(void *arg, unsigned index)
{
    const struct fill *fill = arg;
    uint64_t nr = fill->end - fill->first;
    uint64_t slot = fill->first + nr * index / fill->nr_threads;
    uint64_t end = fill->first + nr * (index + 1) / fill->nr_threads;

    for (; slot < end; slot++) {
        int rc = zr_device_write(fill->bench->device,
                                 bench_page(fill->bench->pages, slot + fill->bench->shift),
                                 ZR_PAGE_BYTES, slot * ZR_PAGE_BYTES);

        if (rc < 0) {
            bench_die("write of slot %llu: %s", (unsigned long long)slot, strerror(-rc));
        }
    }
}

void engine_bench_fill(struct engine_bench *bench, uint64_t first, uint64_t end,
                       unsigned nr_threads)
{
    struct fill fill = {bench, first, end, nr_threads};

    bench_run_threads(nr_threads, fill_part, &fill);
    // What was overwritten is gone before anything is measured.
    zr_deferred_free_drain(bench->server.deferred);
}

void engine_bench_verify(struct engine_bench *bench, uint64_t first, uint64_t end)
{
    unsigned char page[ZR_PAGE_BYTES];
    uint64_t slot;

    for (slot = first; slot < end; slot++) {
        int rc = zr_device_read(bench->device, page, sizeof page, slot * (uint64_t)sizeof page);

        if (rc < 0 ||
            memcmp(page, bench_page(bench->pages, slot + bench->shift), sizeof page) != 0) {
            bench_die("slot %llu does not read back", (unsigned long long)slot);
        }
    }
}

// A fresh server has to get its memory from the system: first touch is the subject here.
static void first_fill(struct engine_bench *bench)
{
    const char *codec = bench->server.codec.ops->name;
    struct rusage before, after;
    char subject[40];
    uint64_t start;

    snprintf(subject, sizeof subject, "engine %s", codec);
    getrusage(RUSAGE_THREAD, &before);
    start = bench_now_ns();
    engine_bench_fill(bench, 0, bench->nr_slots, 1);
    bench_add(bench_row("first fill of a fresh server, 1 thread", subject, "pages/s", BENCH_HIGHER),
              bench->nr_slots * 1e9 / (double)(bench_now_ns() - start));
    getrusage(RUSAGE_THREAD, &after);
    bench_add(bench_row("first fill of a fresh server, 1 thread", subject,
                        "page faults per million pages", BENCH_LOWER),
              (double)(after.ru_minflt - before.ru_minflt) * 1e6 / bench->nr_slots);
    engine_bench_verify(bench, 0, bench->nr_slots);
}

static void fill_zram(const struct engine_bench *bench)
{
    unsigned char *page = bench_alloc(ZR_PAGE_BYTES);
    uint64_t slot;

    for (slot = 0; slot < bench->nr_slots; slot++) {
        zram_device_write(bench->zram, bench_page(bench->pages, slot), ZR_PAGE_BYTES,
                          slot * ZR_PAGE_BYTES);
    }
    for (slot = 0; slot < bench->nr_slots; slot++) {
        zram_device_read(bench->zram, page, ZR_PAGE_BYTES, slot * ZR_PAGE_BYTES);
        if (memcmp(page, bench_page(bench->pages, slot), ZR_PAGE_BYTES) != 0) {
            bench_die("zram: slot %llu does not read back", (unsigned long long)slot);
        }
    }
    bench_free(page, ZR_PAGE_BYTES);
}

#define COUNTED_REQUESTS 1000000u

struct counting {
    struct zr_request_stats stats;
    _Atomic uint64_t cpu_ns; // of all threads
};

static void count_requests(void *arg, unsigned thread)
{
    struct counting *counting = arg;
    uint64_t cpu_ns = bench_thread_cpu_ns();
    unsigned i;

    (void)thread;
    for (i = 0; i < COUNTED_REQUESTS; i++) {
        uint64_t start_ns = zr_worker_now_ns();

        zr_request_stats_count(&counting->stats, ZR_REQUEST_READ, ZR_PAGE_BYTES,
                               zr_worker_now_ns() - start_ns, 0);
    }
    counting->cpu_ns += bench_thread_cpu_ns() - cpu_ns;
}

// What the plugin adds to each request: two looks at the clock, and the counters of this CPU.
static void bench_counting(void)
{
    struct counting counting;
    unsigned round, nr_threads;
    char what[60];

    bench_progress("counting requests");
    if (zr_request_stats_init(&counting.stats) < 0) {
        bench_die("no memory for counters");
    }
    for (round = 0; round < 11; round++) {
        for (nr_threads = 1; nr_threads <= 2; nr_threads++) {
            counting.cpu_ns = 0;
            bench_run_threads(nr_threads, count_requests, &counting);
            snprintf(what, sizeof what, "counting a request, %u thread%s", nr_threads,
                     nr_threads > 1 ? "s" : "");
            bench_add(bench_row(what, "request statistics", "ns CPU", BENCH_LOWER),
                      (double)counting.cpu_ns / nr_threads / COUNTED_REQUESTS);
        }
    }
    zr_request_stats_fini(&counting.stats);
}

static void add_ms(const char *what, uint64_t start_ns)
{
    bench_add(bench_row(what, "engine lz4", "ms CPU", BENCH_LOWER),
              (double)(bench_thread_cpu_ns() - start_ns) / 1e6);
}

// What walks over all slot words cost, who asks for statistics and the background.
static void bench_walks(struct engine_bench *bench)
{
    struct zr_server_stats stats;
    struct zr_ager ager; // another one than the server's
    unsigned round;
    uint64_t start_ns;

    for (round = 0; round < 11; round++) {
        start_ns = bench_thread_cpu_ns();
        zr_server_get_stats(&bench->server, &stats);
        add_ms("statistics, 256 MiB stored", start_ns);
        engine_bench_fill(bench, 0, bench->nr_slots, 1); // young again
        zr_ager_init(&ager, bench->server.tables, bench->server.nr_devices);
        start_ns = bench_thread_cpu_ns();
        zr_ager_walk(&ager);
        add_ms("walk of the ager, all pages change", start_ns);
        start_ns = bench_thread_cpu_ns();
        zr_ager_walk(&ager);
        add_ms("walk of the ager, no page changes", start_ns);
    }
}

static void bench_codec(const struct bench_pages *pages, const struct zr_codec_ops *codec,
                        const struct zram_device *zram)
{
    struct engine_bench bench;
    struct zr_server_stats stats;
    char subject[40];

    bench_progress("engine %s: reads and writes", codec->name);
    engine_bench_open(&bench, pages, codec, STORED_SLOTS, true);
    first_fill(&bench);
    if (codec == &zr_codec_lz4 && zram) {
        bench.zram = zram;
        fill_zram(&bench);
    }

    snprintf(subject, sizeof subject, "engine %s", codec->name);
    zr_server_get_stats(&bench.server, &stats);
    bench_add(bench_row("page file: original ÷ compressed", subject, "×", BENCH_NEITHER),
              (double)stats.total.orig_data_size / (double)stats.total.compr_data_size);
    bench_add(bench_row("page file: stored raw", subject, "% of pages", BENCH_NEITHER),
              (double)stats.total.huge_pages * 100 / bench.nr_slots);
    bench_add(bench_row("page file: same-filled", subject, "% of pages", BENCH_NEITHER),
              (double)stats.total.same_pages * 100 / bench.nr_slots);

    engine_bench_writes(&bench, "4 KiB writes, warm, 1 thread", 1, 1);
    engine_bench_writes(&bench, "4 KiB writes, warm, 2 threads", 1, 2);
    engine_bench_writes(&bench, "128 KiB writes, warm, 1 thread", 32, 1);
    engine_bench_bursts(&bench, "4 KiB writes, 16 MiB after a pause");
    engine_bench_reads(&bench, "random 4 KiB reads, 1 thread", 1);
    engine_bench_reads(&bench, "random 4 KiB reads, 2 threads", 2);
    if (codec == &zr_codec_lz4) {
        bench_progress("engine %s: walks, trims", codec->name);
        bench_walks(&bench);
        engine_bench_trims(&bench);
    }
    engine_bench_close(&bench);
    bench_progress("engine %s: checksum", codec->name);
    engine_bench_checksum(pages, codec);
}

static void bench_trim_cpu(const struct bench_pages *pages)
{
    struct engine_bench bench;

    bench_progress("engine lz4: CPU of a trim");
    engine_bench_open(&bench, pages, &zr_codec_lz4, TRIM_SLOTS, false);
    engine_bench_trim_cpu(&bench);
    engine_bench_close(&bench);
}

// The same reads and writes with more and more stored, up to the whole device; then its trim.
static void bench_growth(const struct bench_pages *pages, uint64_t device_bytes)
{
    const uint64_t sizes[] = {UINT64_C(64) << 20, UINT64_C(1) << 30, device_bytes};
    struct engine_bench bench;
    uint64_t filled = 0;
    unsigned i;

    engine_bench_open(&bench, pages, &zr_codec_lz4, device_bytes / ZR_PAGE_BYTES, true);
    bench.nr_rounds = 9;
    for (i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        uint64_t slots = sizes[i] / ZR_PAGE_BYTES;
        char what[60];

        if (slots <= filled || sizes[i] > device_bytes) {
            continue;
        }
        bench_progress("engine lz4: %llu MiB stored", (unsigned long long)sizes[i] >> 20);
        bench.shift = 0;
        engine_bench_fill(&bench, 0, slots, 2);
        filled = slots;
        bench.nr_slots = (uint32_t)slots;
        snprintf(what, sizeof what, "4 KiB writes, %llu MiB stored",
                 (unsigned long long)sizes[i] >> 20);
        engine_bench_writes(&bench, what, 1, 1);
        snprintf(what, sizeof what, "random 4 KiB reads, %llu MiB stored",
                 (unsigned long long)sizes[i] >> 20);
        engine_bench_reads(&bench, what, 1);
    }
    bench_progress("engine lz4: trims of the whole device");
    engine_bench_trim_device(&bench, 2);
    engine_bench_close(&bench);
}

static void hold_against(const char *name, const char *work, const char *unit, const char *subject,
                         const char *reference, const char *op, double limit)
{
    const struct bench_row *row = bench_row(work, subject, unit, BENCH_HIGHER);
    const struct bench_row *other = bench_row(work, reference, unit, BENCH_HIGHER);

    bench_target_ratio(name, row, other, op, limit);
}

static void set_targets(bool has_lz4, bool has_zstd, bool has_zram, uint64_t device_bytes)
{
    const char *const writes = "4 KiB writes, warm, 1 thread";
    const char *const writes2 = "4 KiB writes, warm, 2 threads";
    const char *const reads = "random 4 KiB reads, 1 thread";
    const char *const reads2 = "random 4 KiB reads, 2 threads";
    const char *const slots = "trim, request path per slot";
    const char *const cpu = "trim, CPU per slot until freed";
    char name[80];

    if (has_lz4) {
        hold_against("engine ÷ codec loop, 4 KiB writes, lz4", writes, "pages/s", "engine lz4",
                     "codec loop lz4", ">=", 0.92);
    }
    if (has_zstd) {
        hold_against("engine ÷ codec loop, 4 KiB writes, zstd", writes, "pages/s", "engine zstd",
                     "codec loop zstd", ">=", 0.97);
    }
    if (has_lz4) {
        hold_against("engine ÷ codec loop, random reads, lz4", reads, "pages/s", "engine lz4",
                     "codec loop lz4", ">=", 0.92);
    }
    if (has_zstd) {
        hold_against("engine ÷ codec loop, random reads, zstd", reads, "pages/s", "engine zstd",
                     "codec loop zstd", ">=", 0.97);
    }
    if (!has_lz4) {
        return;
    }
    if (has_zram) {
        hold_against("engine ÷ zram, 4 KiB writes, 1 thread", writes, "pages/s", "engine lz4",
                     "zram lz4", ">=", 1.4);
        hold_against("engine ÷ zram, 4 KiB writes, 2 threads", writes2, "pages/s", "engine lz4",
                     "zram lz4", ">=", 1.4);
        hold_against("engine ÷ zram, random reads, 1 thread", reads, "pages/s", "engine lz4",
                     "zram lz4", ">=", 3);
        hold_against("engine ÷ zram, random reads, 2 threads", reads2, "pages/s", "engine lz4",
                     "zram lz4", ">=", 3);
        hold_against("zram's 2 MiB discard ÷ engine's 2 MiB trim", "2 MiB trim, mean of a burst",
                     "ns", "zram lz4", "engine lz4", ">=", 200);
    }
    hold_against("synchronous free ÷ batch, request path", slots, "ns", "synchronous", "batch",
                 ">=", 4);
    hold_against("synchronous free ÷ whole leaf, request path", slots, "ns", "synchronous",
                 "whole leaf", ">=", 100);
    hold_against("batch ÷ synchronous free, all CPU", cpu, "ns CPU", "batch", "synchronous",
                 "<=", 1);
    hold_against("whole leaf ÷ synchronous free, all CPU", cpu, "ns CPU", "whole leaf",
                 "synchronous", "<=", 1);
    snprintf(name, sizeof name, "trim of a whole device of %llu MiB, full",
             (unsigned long long)device_bytes >> 20);
    if (device_bytes == 0) {
        return;
    }
    bench_target_row(name, bench_row("trim of the whole device", "engine lz4", "ms", BENCH_LOWER),
                     "<=", 2);
    bench_target_row(
        "the same but its first page, as swapon does",
        bench_row("trim of the whole device but a page", "engine lz4", "ms", BENCH_LOWER), "<=", 2);
}

// A third of the device for its objects, the page file, and as much again for everybody else.
static uint64_t fit_device(uint64_t bytes)
{
    struct sysinfo info;
    uint64_t available;

    sysinfo(&info);
    available = (uint64_t)(info.freeram + info.bufferram) * info.mem_unit;
    while (bytes > (UINT64_C(256) << 20) && bytes / 3 * 2 > available) {
        bytes /= 2;
        bench_progress("too little free memory: a device of %llu MiB instead",
                       (unsigned long long)bytes >> 20);
    }
    return bytes;
}

int main(int argc, char *argv[])
{
    static const struct option options[] = {
        {"pages", required_argument, NULL, 'p'}, {"json", required_argument, NULL, 'j'},
        {"codec", required_argument, NULL, 'c'}, {"device", required_argument, NULL, 'd'},
        {"no-growth", no_argument, NULL, 'g'},   {"checksum", no_argument, NULL, 's'},
        {NULL, 0, NULL, 0},
    };
    const char *pages_path = NULL, *json_path = NULL, *codec = NULL;
    uint64_t device_bytes = UINT64_C(8) << 30;
    bool has_growth = true, only_checksum = false, has_lz4, has_zstd, has_zram;
    struct bench_pages pages;
    struct zram_device zram;
    unsigned i;
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'p':
            pages_path = optarg;
            break;
        case 'j':
            json_path = optarg;
            break;
        case 'c':
            codec = optarg;
            break;
        case 'd':
            device_bytes = bench_parse_bytes(optarg) & ~UINT64_C(0x1fffff);
            break;
        case 'g':
            has_growth = false;
            break;
        case 's':
            only_checksum = true;
            break;
        default:
            return 2;
        }
    }
    if (!pages_path || optind < argc || (codec && !zr_codec_find(codec))) {
        fprintf(stderr, "usage: bench-engine --pages FILE [--json FILE] [--codec lz4|zstd] "
                        "[--device SIZE] [--no-growth] [--checksum]\n");
        return 2;
    }
    has_lz4 = !codec || strcmp(codec, "lz4") == 0;
    has_zstd = !codec || strcmp(codec, "zstd") == 0;

    if (only_checksum) {
        bench_pages_load(&pages, pages_path);
        for (i = 0; zr_codecs[i]; i++) {
            if (!codec || zr_codecs[i] == zr_codec_find(codec)) {
                engine_bench_checksum(&pages, zr_codecs[i]);
            }
        }
        bench_report("engine", json_path);
        return 0;
    }
    // First, while this process is small: it forks.
    has_zram = has_lz4 && zram_device_open(&zram, (uint64_t)STORED_SLOTS * ZR_PAGE_BYTES);
    bench_pages_load(&pages, pages_path);
    bench_counting();
    if (has_lz4) {
        bench_codec(&pages, &zr_codec_lz4, has_zram ? &zram : NULL);
        bench_trim_cpu(&pages);
    }
    if (has_zstd) {
        bench_codec(&pages, &zr_codec_zstd, has_zram ? &zram : NULL);
    }
    if (has_lz4 && has_growth) {
        device_bytes = fit_device(device_bytes);
        bench_growth(&pages, device_bytes);
    }
    set_targets(has_lz4, has_zstd, has_zram, has_growth ? device_bytes : 0);
    bench_report("engine", json_path);
    return 0;
}
