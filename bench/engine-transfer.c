// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Reads and writes: the bare codec loop, the engine, and zram take turns on the same slots.
//
// The bare loop is what no store can be faster than: it compresses a page and copies the result
// into memory, or decompresses the very objects that the engine holds, in the same order.
#include "engine-bench.h"
#include "allocator/rcu.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define TIMED_PAGES 8192u

// Not timed, before: caches are warm then, and the engine's background has got used to writes.
#define READ_LEAD_IN_PAGES 1024u
#define WRITE_LEAD_IN_PAGES 8192u

#define HOT_PAGES 256u // 1 MiB

#define BURST_PAGES 4096u // a burst of 16 MiB after silence
#define BURST_PAUSE_NS 300000000
#define BURST_ROUNDS 11

struct object {
    const void *data;
    uint64_t word;
};

// What all threads of one pass work on; thread t does every nr_threads-th request from t on.
struct pass {
    struct engine_bench *bench;
    unsigned nr_threads;
    unsigned pages_per_request;
    uint32_t lead_in_pages, timed_pages; // of a turn
    uint64_t pause_ns;                   // before a turn
    uint32_t nr_requests;
    const uint32_t *requests; // in units of pages_per_request slots
    bool is_read;
    struct object *objects; // for the bare loop's reads, in the order of requests
    unsigned char *buffers; // for reads, one page a thread
};

// What is written: from a part of the page file that fits a CPU's cache, another part each round,
// since in a server the page has just come off the socket.
static const unsigned char *request_pages(const struct pass *pass, uint64_t slot)
{
    return bench_page_run(slot % HOT_PAGES + pass->bench->shift, pass->pages_per_request);
}

// An object as the loop stores it: raw if it saves nothing.
static void store_in_ring(struct engine_bench *bench, unsigned thread, const unsigned char *page)
{
    unsigned char object[ZR_CODEC_BOUND_MAX_BYTES];
    unsigned char *ring = bench->ring + thread * bench->ring_bytes;
    size_t bytes = bench->server.codec.ops->compress(bench->contexts[thread], page, object);
    bool is_raw = bytes >= ZR_PAGE_BYTES;

    bytes = is_raw ? ZR_PAGE_BYTES : bytes;
    if (bench->ring_at[thread] + ZR_PAGE_BYTES > bench->ring_bytes) {
        bench->ring_at[thread] = 0;
    }
    memcpy(ring + bench->ring_at[thread], is_raw ? page : object, bytes);
    bench->ring_at[thread] += (bytes + 15) & ~(size_t)15;
}

static void write_loop(void *arg, unsigned thread)
{
    const struct pass *pass = arg;
    uint32_t i;
    unsigned page;

    for (i = thread; i < pass->nr_requests; i += pass->nr_threads) {
        const unsigned char *pages =
            request_pages(pass, (uint64_t)pass->requests[i] * pass->pages_per_request);

        for (page = 0; page < pass->pages_per_request; page++) {
            store_in_ring(pass->bench, thread, pages + page * ZR_PAGE_BYTES);
        }
    }
}

static void write_engine(void *arg, unsigned thread)
{
    const struct pass *pass = arg;
    uint32_t i;

    for (i = thread; i < pass->nr_requests; i += pass->nr_threads) {
        uint64_t slot = (uint64_t)pass->requests[i] * pass->pages_per_request;
        int rc = zr_device_write(pass->bench->device, request_pages(pass, slot),
                                 (uint64_t)pass->pages_per_request * ZR_PAGE_BYTES,
                                 slot * ZR_PAGE_BYTES);

        if (rc < 0) {
            bench_die("write of slot %llu: %s", (unsigned long long)slot, strerror(-rc));
        }
    }
}

static void write_zram(void *arg, unsigned thread)
{
    const struct pass *pass = arg;
    uint32_t i;

    for (i = thread; i < pass->nr_requests; i += pass->nr_threads) {
        uint64_t slot = (uint64_t)pass->requests[i] * pass->pages_per_request;

        zram_device_write(pass->bench->zram, request_pages(pass, slot),
                          (uint64_t)pass->pages_per_request * ZR_PAGE_BYTES, slot * ZR_PAGE_BYTES);
    }
}

static void read_loop(void *arg, unsigned thread)
{
    const struct pass *pass = arg;
    const struct zr_codec_ops *ops = pass->bench->server.codec.ops;
    unsigned char *page = pass->buffers + thread * ZR_PAGE_BYTES;
    uint32_t i;

    for (i = thread; i < pass->nr_requests; i += pass->nr_threads) {
        const struct object *object = &pass->objects[i];
        enum zr_slot_kind kind = zr_slot_word_kind(object->word);

        if (kind == ZR_SLOT_SAME) {
            zr_fill_page(page, zr_slot_word_value(object->word));
        } else if (kind == ZR_SLOT_HUGE) {
            memcpy(page, object->data, ZR_PAGE_BYTES);
        } else if (ops->decompress(pass->bench->contexts[thread], object->data,
                                   zr_handle_length_bytes(zr_handle_of_word(object->word)) -
                                       pass->bench->server.codec.checksum_bytes,
                                   page) < 0) {
            bench_die("an object of slot %u does not decompress", pass->requests[i]);
        }
    }
}

static void read_engine(void *arg, unsigned thread)
{
    const struct pass *pass = arg;
    unsigned char *page = pass->buffers + thread * ZR_PAGE_BYTES;
    uint32_t i;

    for (i = thread; i < pass->nr_requests; i += pass->nr_threads) {
        if (zr_device_read(pass->bench->device, page, ZR_PAGE_BYTES,
                           (uint64_t)pass->requests[i] * ZR_PAGE_BYTES) < 0) {
            bench_die("slot %u cannot be read", pass->requests[i]);
        }
    }
}

static void read_zram(void *arg, unsigned thread)
{
    const struct pass *pass = arg;
    unsigned char *page = pass->buffers + thread * ZR_PAGE_BYTES;
    uint32_t i;

    for (i = thread; i < pass->nr_requests; i += pass->nr_threads) {
        zram_device_read(pass->bench->zram, page, ZR_PAGE_BYTES,
                         (uint64_t)pass->requests[i] * ZR_PAGE_BYTES);
    }
}

// They stay valid to the end of the read-side section in which this is called.
static void find_objects(const struct pass *pass)
{
    uint32_t i;

    for (i = 0; i < pass->nr_requests; i++) {
        uint64_t slot = pass->requests[i];
        const _Atomic uint64_t *leaf = engine_bench_leaf(pass->bench->device, slot);
        uint64_t word =
            leaf ? atomic_load_explicit(&leaf[slot % ZR_LEAF_SLOTS], memory_order_acquire) : 0;

        pass->objects[i] =
            (struct object){zr_pool_view(&pass->bench->server.pool, zr_handle_of_word(word)), word};
    }
}

struct subject {
    const char *name;
    void (*work)(void *arg, unsigned thread);
    bool is_engine;
};

// Of the calling thread: the request path's, not the background's.
static uint64_t page_faults(void)
{
    struct rusage usage;

    getrusage(RUSAGE_THREAD, &usage);
    return (uint64_t)usage.ru_minflt;
}

// Runs a part of the subject's turn: the nr requests at from.
static uint64_t run_part(struct pass *pass, const struct subject *subject, const uint32_t *from,
                         uint32_t nr)
{
    uint64_t wall;

    pass->requests = from;
    pass->nr_requests = nr;
    if (subject->work != read_loop) {
        return bench_run_threads(pass->nr_threads, subject->work, pass);
    }
    zr_rcu_read_lock(); // for all threads: the objects stay where they are
    find_objects(pass);
    wall = bench_run_threads(pass->nr_threads, subject->work, pass);
    zr_rcu_read_unlock();
    return wall;
}

// One subject's turn: a lead-in that is not timed, then what is.
static void run_turn(struct pass *pass, const struct subject *subject, const uint32_t *requests,
                     const char *what, bool is_recorded)
{
    uint32_t nr_lead_in = pass->lead_in_pages / pass->pages_per_request;
    uint32_t nr = pass->timed_pages / pass->pages_per_request;
    double nr_pages = (double)nr * pass->pages_per_request;
    uint64_t wall, cpu, faults;
    char name[40];

    bench_sleep_until_ns(bench_now_ns() + pass->pause_ns);
    if (nr_lead_in > 0) {
        run_part(pass, subject, requests, nr_lead_in);
    }
    cpu = bench_thread_cpu_ns();
    faults = page_faults();
    wall = run_part(pass, subject, requests + nr_lead_in, nr);
    cpu = bench_thread_cpu_ns() - cpu;
    faults = page_faults() - faults;
    if (subject->is_engine && !pass->is_read) {
        // What is left to free belongs to this turn, not to the next one's.
        uint64_t start = bench_now_ns();

        zr_deferred_free_drain(pass->bench->server.deferred);
        wall += bench_now_ns() - start;
    }
    if (!is_recorded) {
        return;
    }
    BENCH_NAME(name, "%s %s", subject->name, pass->bench->server.codec.ops->name);
    bench_add(what, name, "pages/s", nr_pages * 1e9 / (double)wall);
    if (pass->nr_threads > 1) {
        return;
    }
    bench_add(what, name, "ns CPU/page", (double)cpu / nr_pages);
    if (subject->is_engine && !pass->is_read) {
        bench_add(what, name, "page faults per million pages", (double)faults * 1e6 / nr_pages);
    }
}

// Rounds in which every subject takes a turn, each time another one first and each turn on other
// slots, so that none finds them in the cache because of the one before.
static void run_rounds(struct pass *pass, const struct subject *subjects, unsigned nr_rounds,
                       const char *what)
{
    struct engine_bench *bench = pass->bench;
    unsigned nr_subjects = bench->zram ? 3 : 2;
    uint32_t nr_all = bench->nr_slots / pass->pages_per_request;
    uint32_t nr_turn = (pass->lead_in_pages + pass->timed_pages) / pass->pages_per_request;
    uint32_t *order = bench_random_order(nr_all, nr_all);
    size_t objects_bytes = (pass->lead_in_pages + pass->timed_pages) * sizeof *pass->objects;
    size_t buffers_bytes = (size_t)pass->nr_threads * ZR_PAGE_BYTES;
    unsigned round, turn, nr_turns = 0;

    if (!bench_wants(what)) {
        free(order);
        return;
    }
    nr_rounds = bench_nr_rounds(nr_rounds);
    pass->objects = bench_alloc(objects_bytes);
    pass->buffers = bench_alloc(buffers_bytes);
    for (round = 0; round <= nr_rounds; round++) {
        bench_begin_round();
        bench->shift += pass->is_read ? 0 : 977;
        for (turn = 0; turn < nr_subjects; turn++) {
            const uint32_t *requests = order + nr_turns++ % (nr_all / nr_turn) * nr_turn;

            // The first round warms up.
            run_turn(pass, &subjects[(turn + round) % nr_subjects], requests, what, round > 0);
        }
    }
    bench_free(pass->objects, objects_bytes);
    bench_free(pass->buffers, buffers_bytes);
    free(order);
}

static const struct subject writers[] = {
    {"codec loop", write_loop, false},
    {"engine", write_engine, true},
    {"zram", write_zram, false},
};

static const struct subject readers[] = {
    {"codec loop", read_loop, false},
    {"engine", read_engine, true},
    {"zram", read_zram, false},
};

void engine_bench_writes(struct engine_bench *bench, const char *what, unsigned pages_per_request,
                         unsigned nr_threads)
{
    struct pass pass = {
        .bench = bench,
        .nr_threads = nr_threads,
        .pages_per_request = pages_per_request,
        .lead_in_pages = WRITE_LEAD_IN_PAGES,
        .timed_pages = TIMED_PAGES,
    };

    run_rounds(&pass, writers, bench->nr_rounds, what);
}

void engine_bench_bursts(struct engine_bench *bench, const char *what)
{
    struct pass pass = {
        .bench = bench,
        .nr_threads = 1,
        .pages_per_request = 1,
        .timed_pages = BURST_PAGES,
        .pause_ns = BURST_PAUSE_NS,
    };

    run_rounds(&pass, writers, BURST_ROUNDS, what);
}

void engine_bench_reads(struct engine_bench *bench, const char *what, unsigned nr_threads)
{
    struct pass pass = {
        .bench = bench,
        .nr_threads = nr_threads,
        .pages_per_request = 1,
        .lead_in_pages = READ_LEAD_IN_PAGES,
        .timed_pages = TIMED_PAGES,
        .is_read = true,
    };

    run_rounds(&pass, readers, bench->nr_rounds, what);
}
