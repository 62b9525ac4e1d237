// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Trims.  Three ways to free the slots of a range, each on freshly stored pages:
//
//     synchronous   per slot: take the word out, free its object there and then (what a store does
//                   that frees in the request, as zram does)
//     batch         a trim of all but one page of 2 MiB: words are taken out one by one, handed to
//                   deferred free together
//     whole leaf    an aligned 2 MiB trim: one exchange
#include "engine-bench.h"

#include <stdio.h>
#include <string.h>

#define LEAF_BYTES ((uint64_t)ZR_LEAF_SLOTS * ZR_PAGE_BYTES)

// Trims in a row: fewer than the batches that deferred free has set aside, as in a burst at the
// exit of a program, and freed before the next burst.
#define BURST_LEAVES 32u
#define BURST_SLOTS (BURST_LEAVES * ZR_LEAF_SLOTS)
#define NR_ROUNDS 15

// The synchronous way is not the engine's, so it goes through the table's words by itself.
static void free_synchronously(struct engine_bench *bench, uint64_t first_slot)
{
    _Atomic uint64_t *leaf = engine_bench_leaf(bench->device, first_slot);
    unsigned i;

    if (!leaf) {
        bench_die("nothing stored at slot %llu", (unsigned long long)first_slot);
    }
    for (i = 0; i < ZR_LEAF_SLOTS; i++) {
        uint64_t word = atomic_exchange_explicit(&leaf[i], ZR_SLOT_EMPTY, memory_order_acq_rel);

        if (zr_handle_has_object(zr_handle_of_word(word))) {
            zr_pool_free(&bench->server.pool, &word, 1);
        }
    }
}

static void trim(struct engine_bench *bench, uint64_t offset, uint64_t bytes)
{
    int rc = zr_device_zero(bench->device, bytes, offset);

    if (rc < 0) {
        bench_die("trim at %llu: %s", (unsigned long long)offset, strerror(-rc));
    }
}

static void free_in_batch(struct engine_bench *bench, uint64_t first_slot)
{
    trim(bench, (first_slot + 1) * ZR_PAGE_BYTES, LEAF_BYTES - ZR_PAGE_BYTES);
}

static void free_whole_leaf(struct engine_bench *bench, uint64_t first_slot)
{
    trim(bench, first_slot * ZR_PAGE_BYTES, LEAF_BYTES);
}

static const struct way {
    const char *name;
    void (*free)(struct engine_bench *bench, uint64_t first_slot);
} ways[] = {
    {"synchronous", free_synchronously},
    {"batch", free_in_batch},
    {"whole leaf", free_whole_leaf},
};

#define NR_WAYS (sizeof ways / sizeof ways[0])

static void refill(struct engine_bench *bench)
{
    bench->shift += 977;
    engine_bench_fill(bench, 0, BURST_SLOTS, 1);
}

static void free_burst(struct engine_bench *bench, const struct way *way)
{
    uint64_t slot;

    for (slot = 0; slot < BURST_SLOTS; slot += ZR_LEAF_SLOTS) {
        way->free(bench, slot);
    }
}

static void bench_ways(struct engine_bench *bench)
{
    const unsigned nr_rounds = bench_nr_rounds(NR_ROUNDS);
    unsigned round, turn;

    for (round = 0; round <= nr_rounds; round++) {
        bench_begin_round();
        for (turn = 0; turn < NR_WAYS; turn++) {
            const struct way *way = &ways[(turn + round) % NR_WAYS];
            uint64_t start;

            refill(bench);
            start = bench_now_ns();
            free_burst(bench, way);
            if (round > 0) {
                bench_add("trim, request path per slot", way->name, "ns",
                          (double)(bench_now_ns() - start) / BURST_SLOTS);
            }
            zr_deferred_free_drain(bench->server.deferred);
        }
    }
}

// One burst of aligned 2 MiB trims; times[i] is how long the i-th took.
static void add_burst(const char *subject, const uint64_t *times)
{
    struct bench_samples samples;
    uint64_t sum = 0;
    unsigned i;

    bench_samples_init(&samples, BURST_LEAVES);
    for (i = 0; i < BURST_LEAVES; i++) {
        bench_samples_add(&samples, times[i]);
        sum += times[i];
    }
    bench_add("2 MiB trim, mean of a burst", subject, "ns", (double)sum / BURST_LEAVES);
    bench_add("2 MiB trim, p50 of a burst", subject, "ns", bench_samples_percentile(&samples, 50));
    bench_add("2 MiB trim, slowest of a burst", subject, "ns",
              bench_samples_percentile(&samples, 100));
    bench_samples_fini(&samples);
}

static void trim_burst_of_engine(struct engine_bench *bench, uint64_t *times)
{
    unsigned i;

    refill(bench);
    for (i = 0; i < BURST_LEAVES; i++) {
        uint64_t start = bench_now_ns();

        trim(bench, i * LEAF_BYTES, LEAF_BYTES);
        times[i] = bench_now_ns() - start;
    }
    zr_deferred_free_drain(bench->server.deferred);
}

static void trim_burst_of_zram(struct engine_bench *bench, uint64_t *times)
{
    unsigned i;

    for (i = 0; i < BURST_SLOTS; i++) {
        zram_device_write(bench->zram, bench_page(i + bench->shift), ZR_PAGE_BYTES,
                          (uint64_t)i * ZR_PAGE_BYTES);
    }
    for (i = 0; i < BURST_LEAVES; i++) {
        uint64_t start = bench_now_ns();

        zram_device_discard(bench->zram, LEAF_BYTES, i * LEAF_BYTES);
        times[i] = bench_now_ns() - start;
    }
}

void engine_bench_trims(struct engine_bench *bench)
{
    uint64_t times[BURST_LEAVES];
    const unsigned nr_rounds = bench_nr_rounds(NR_ROUNDS);
    unsigned round;

    for (round = 0; round <= nr_rounds; round++) {
        bench_begin_round();
        trim_burst_of_engine(bench, times);
        if (round > 0) {
            add_burst("engine lz4", times);
        }
        if (bench->zram) {
            trim_burst_of_zram(bench, times);
            if (round > 0) {
                add_burst("zram lz4", times);
            }
        }
    }
    bench_ways(bench);
}

void engine_bench_trim_cpu(struct engine_bench *bench)
{
    const unsigned nr_rounds = bench_nr_rounds(NR_ROUNDS);
    unsigned round, turn;

    for (round = 0; round <= nr_rounds; round++) {
        bench_begin_round();
        for (turn = 0; turn < NR_WAYS; turn++) {
            const struct way *way = &ways[(turn + round) % NR_WAYS];
            uint64_t start;

            refill(bench);
            start = bench_thread_cpu_ns();
            free_burst(bench, way);
            // There is no background thread: its work is done here, and counted.
            zr_deferred_free_drain(bench->server.deferred);
            if (round > 0) {
                bench_add("trim, CPU per slot until freed", way->name, "ns CPU",
                          (double)(bench_thread_cpu_ns() - start) / BURST_SLOTS);
            }
        }
    }
}

// From the first byte or, as swapon does, from the second page on.
static void trim_whole(struct engine_bench *bench, const char *what, uint64_t offset)
{
    struct zr_device *device = bench->device;
    uint64_t start = bench_now_ns();

    trim(bench, offset, device->size_bytes - offset);
    bench_add(what, "engine lz4", "ms", (double)(bench_now_ns() - start) / 1e6);
    zr_deferred_free_drain(bench->server.deferred);
    bench_add("all of a whole device freed after", "engine lz4", "ms",
              (double)(bench_now_ns() - start) / 1e6);
}

void engine_bench_trim_device(struct engine_bench *bench, unsigned nr_threads)
{
    uint64_t nr_slots = bench->device->table.nr_slots;
    unsigned char page[ZR_PAGE_BYTES], zeros[ZR_PAGE_BYTES] = {0};
    unsigned round;

    for (round = 0; round < 4; round++) {
        if (round > 0) {
            engine_bench_fill(bench, 0, nr_slots, nr_threads);
        }
        if (round % 2 == 0) {
            trim_whole(bench, "trim of the whole device", 0);
        } else {
            trim_whole(bench, "trim of the whole device but a page", ZR_PAGE_BYTES);
        }
        if (zr_device_read(bench->device, page, sizeof page, (nr_slots - 1) * ZR_PAGE_BYTES) < 0 ||
            memcmp(page, zeros, sizeof page) != 0) {
            bench_die("the device is not empty after its trim");
        }
    }
}
