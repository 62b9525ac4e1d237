// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// The engine alone: what it adds to the codec, what a trim costs, and how both grow with the data.
#include "engine-bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>

#define STORED_SLOTS (1u << 16) // 256 MiB: far more than the caches hold
#define TRIM_SLOTS (32u * ZR_LEAF_SLOTS)
#define DEVICE_BYTES (UINT64_C(8) << 30) // of growth, unless --bytes says otherwise; 0: none
#define RING_BYTES (64u << 20)
#define NR_ROUNDS 25
#define NR_GROWTH_ROUNDS 9
#define NR_SHORT_ROUNDS 11
#define NR_CHECKSUM_ROUNDS 201
#define CHECKSUM_READS 4096u // in a turn of some ms, so that both see the same machine

static char export_name[] = "";

void engine_bench_open(struct engine_bench *bench, const struct zr_codec_ops *codec,
                       uint64_t nr_slots, bool has_threads)
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
        .nr_slots = (uint32_t)nr_slots,
        .nr_rounds = NR_ROUNDS,
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
        int rc = zr_device_write(fill->bench->device, bench_page(slot + fill->bench->shift),
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

        if (rc < 0 || memcmp(page, bench_page(slot + bench->shift), sizeof page) != 0) {
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

    BENCH_NAME(subject, "engine %s", codec);
    getrusage(RUSAGE_THREAD, &before);
    start = bench_now_ns();
    engine_bench_fill(bench, 0, bench->nr_slots, 1);
    bench_add("first fill of a fresh server, 1 thread", subject, "pages/s",
              bench->nr_slots * 1e9 / (double)(bench_now_ns() - start));
    getrusage(RUSAGE_THREAD, &after);
    bench_add("first fill of a fresh server, 1 thread", subject, "page faults per million pages",
              (double)(after.ru_minflt - before.ru_minflt) * 1e6 / bench->nr_slots);
    engine_bench_verify(bench, 0, bench->nr_slots);
}

static void fill_zram(const struct engine_bench *bench)
{
    unsigned char *page = bench_alloc(ZR_PAGE_BYTES);
    uint64_t slot;

    for (slot = 0; slot < bench->nr_slots; slot++) {
        zram_device_write(bench->zram, bench_page(slot), ZR_PAGE_BYTES, slot * ZR_PAGE_BYTES);
    }
    for (slot = 0; slot < bench->nr_slots; slot++) {
        zram_device_read(bench->zram, page, ZR_PAGE_BYTES, slot * ZR_PAGE_BYTES);
        if (memcmp(page, bench_page(slot), ZR_PAGE_BYTES) != 0) {
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
    for (round = 0; round < bench_nr_rounds(NR_SHORT_ROUNDS); round++) {
        bench_begin_round();
        for (nr_threads = 1; nr_threads <= 2; nr_threads++) {
            counting.cpu_ns = 0;
            bench_run_threads(nr_threads, count_requests, &counting);
            BENCH_NAME(what, "counting a request, %u thread%s", nr_threads,
                       nr_threads > 1 ? "s" : "");
            bench_add(what, "request statistics", "ns CPU",
                      (double)counting.cpu_ns / nr_threads / COUNTED_REQUESTS);
        }
    }
    zr_request_stats_fini(&counting.stats);
}

static void add_ms(const char *what, uint64_t start_ns)
{
    bench_add(what, "engine lz4", "ms CPU", (double)(bench_thread_cpu_ns() - start_ns) / 1e6);
}

// What walks over all slot words cost, who asks for statistics and the background.
static void bench_walks(struct engine_bench *bench)
{
    struct zr_server_stats stats;
    struct zr_ager ager; // another one than the server's
    unsigned round;
    uint64_t start_ns;

    for (round = 0; round < bench_nr_rounds(NR_SHORT_ROUNDS); round++) {
        bench_begin_round();
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

// What a checksum costs a read: two engines that hold the same pages, one with and one without,
// read the same slots in turns.
static double read_turn(struct engine_bench *bench, const uint32_t *slots)
{
    unsigned char page[ZR_PAGE_BYTES];
    uint64_t start = bench_thread_cpu_ns();
    unsigned i;

    for (i = 0; i < CHECKSUM_READS; i++) {
        int rc = zr_device_read(bench->device, page, sizeof page, slots[i] * (uint64_t)sizeof page);

        if (rc < 0) {
            bench_die("slot %u: %s", slots[i], strerror(-rc));
        }
    }
    return (double)(bench_thread_cpu_ns() - start) / CHECKSUM_READS;
}

static void bench_checksum(const struct zr_codec_ops *codec)
{
    static const char *const work = "random 4 KiB reads in turns, checksum on and off";
    const unsigned nr_rounds = bench_nr_rounds(NR_CHECKSUM_ROUNDS);
    struct engine_bench engines[2];
    uint32_t *order;
    char names[2][40];
    unsigned i, round;

    if (!bench_wants(work)) {
        return;
    }
    order = bench_random_order(STORED_SLOTS, STORED_SLOTS);
    bench_progress("engine %s: checksum", codec->name);
    for (i = 0; i < 2; i++) {
        BENCH_NAME(names[i], "checksum=%s %s", i == 0 ? "on" : "off", codec->name);
        engine_bench_open(&engines[i], codec, STORED_SLOTS, false);
        if (i == 1) {
            engines[i].server.codec.checksum_bytes = 0;
        }
        engine_bench_fill(&engines[i], 0, STORED_SLOTS, 1);
    }
    for (round = 0; round <= nr_rounds; round++) {
        const uint32_t *slots = order + round % (STORED_SLOTS / CHECKSUM_READS) * CHECKSUM_READS;

        bench_begin_round();
        for (i = 0; i < 2; i++) {
            unsigned engine = (i + round) % 2;
            double ns = read_turn(&engines[engine], slots);

            if (round > 0) { // the first one warms up
                bench_add(work, names[engine], "ns CPU/page", ns);
            }
        }
    }
    engine_bench_close(&engines[0]);
    engine_bench_close(&engines[1]);
    free(order);
}

static void bench_codec(const struct zr_codec_ops *codec, const struct zram_device *zram)
{
    struct engine_bench bench;
    struct zr_server_stats stats;
    char subject[40];

    bench_progress("engine %s: reads and writes", codec->name);
    engine_bench_open(&bench, codec, STORED_SLOTS, true);
    first_fill(&bench);
    if (codec == &zr_codec_lz4 && zram) {
        bench.zram = zram;
        fill_zram(&bench);
    }

    BENCH_NAME(subject, "engine %s", codec->name);
    zr_server_get_stats(&bench.server, &stats);
    bench_add("page file: original ÷ compressed", subject, "×",
              (double)stats.total.orig_data_size / (double)stats.total.compr_data_size);
    bench_add("page file: stored raw", subject, "% of pages",
              (double)stats.total.huge_pages * 100 / bench.nr_slots);
    bench_add("page file: same-filled", subject, "% of pages",
              (double)stats.total.same_pages * 100 / bench.nr_slots);

    engine_bench_writes(&bench, "4 KiB writes, warm, 1 thread", 1, 1);
    engine_bench_writes(&bench, "4 KiB writes, warm, 2 threads", 1, 2);
    engine_bench_writes(&bench, "128 KiB writes, warm, 1 thread", 32, 1);
    engine_bench_bursts(&bench, "4 KiB writes, 16 MiB after a pause");
    engine_bench_reads(&bench, "random 4 KiB reads, 1 thread", 1);
    engine_bench_reads(&bench, "random 4 KiB reads, 2 threads", 2);
    if (codec == &zr_codec_lz4) {
        bench_progress("engine %s: walks, trims", codec->name);
        if (bench_wants("walk of the ager")) {
            bench_walks(&bench);
        }
        if (bench_wants("trim")) {
            engine_bench_trims(&bench);
        }
    }
    engine_bench_close(&bench);
    bench_checksum(codec);
}

static void bench_trim_cpu(void)
{
    struct engine_bench bench;

    bench_progress("engine lz4: CPU of a trim");
    engine_bench_open(&bench, &zr_codec_lz4, TRIM_SLOTS, false);
    engine_bench_trim_cpu(&bench);
    engine_bench_close(&bench);
}

// The same reads and writes with more and more stored, up to the whole device; then its trim.
static void bench_growth(uint64_t device_bytes)
{
    const uint64_t sizes[] = {UINT64_C(64) << 20, UINT64_C(1) << 30, device_bytes};
    struct engine_bench bench;
    uint64_t filled = 0;
    unsigned i;

    engine_bench_open(&bench, &zr_codec_lz4, device_bytes / ZR_PAGE_BYTES, true);
    bench.nr_rounds = NR_GROWTH_ROUNDS;
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
        BENCH_NAME(what, "4 KiB writes, %llu MiB stored", (unsigned long long)sizes[i] >> 20);
        engine_bench_writes(&bench, what, 1, 1);
        BENCH_NAME(what, "random 4 KiB reads, %llu MiB stored", (unsigned long long)sizes[i] >> 20);
        engine_bench_reads(&bench, what, 1);
    }
    bench_progress("engine lz4: trims of the whole device");
    engine_bench_trim_device(&bench, 2);
    engine_bench_close(&bench);
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
    uint64_t device_bytes;
    struct zram_device zram;
    bool has_zram;

    bench_parse_options(argc, argv);
    device_bytes = bench_options.bytes == UINT64_MAX ? DEVICE_BYTES : bench_options.bytes;
    // First, while this process is small: it forks.
    has_zram = zram_device_open(&zram, (uint64_t)STORED_SLOTS * ZR_PAGE_BYTES);
    bench_pages_load();
    if (bench_wants("counting a request")) {
        bench_counting();
    }
    bench_codec(&zr_codec_lz4, has_zram ? &zram : NULL);
    if (bench_wants("trim, CPU")) {
        bench_trim_cpu();
    }
    bench_codec(&zr_codec_zstd, NULL);
    if (device_bytes > 0 && (bench_wants("stored") || bench_wants("trim of the whole device"))) {
        bench_growth(fit_device(device_bytes & ~UINT64_C(0x1fffff)));
    }
    return 0;
}
