// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// The parts of bench-engine: an engine without nbdkit, beside the bare codec loop and zram.
//
// A device is filled with the pages of the page file in order, repeated; every overwrite moves on
// by some pages, so that sizes change as they do in life.
#ifndef ZR_ENGINE_BENCH_H
#define ZR_ENGINE_BENCH_H

#include "bench.h"
#include "zram-device.h"
#include "plugin/stats.h"

#define ENGINE_BENCH_THREADS_MAX 16

struct engine_bench {
    const struct zram_device *zram; // NULL: none, or another codec than lz4
    struct zr_server server;
    struct zr_device *device; // its only one
    uint32_t nr_slots;        // stored
    unsigned nr_rounds;       // of reads and writes
    uint64_t shift;           // slot s holds page s + shift, if it was stored in order

    // The bare loop: its own memory to copy objects to, one part and one codec context a thread.
    void *contexts[ENGINE_BENCH_THREADS_MAX];
    unsigned char *ring;
    size_t ring_bytes; // of one thread
    size_t ring_at[ENGINE_BENCH_THREADS_MAX];
};

// The words of the leaf of a slot; NULL if there is none.  bench/compare builds this with older
// engines as well, where a leaf could be packed too.
static inline _Atomic uint64_t *engine_bench_leaf(const struct zr_device *device, uint64_t slot)
{
#ifdef ZR_PACKED_CHUNK_H
    return (_Atomic uint64_t *)zr_slot_table_leaf(&device->table, slot).words;
#else
    return zr_slot_table_leaf(&device->table, slot);
#endif
}

// A server of so many slots, empty; has_threads: with its background threads.
void engine_bench_open(struct engine_bench *bench, const struct zr_codec_ops *codec,
                       uint64_t nr_slots, bool has_threads);
void engine_bench_close(struct engine_bench *bench);

// Stores slots [first, end) in order, and reads them back and compares.
void engine_bench_fill(struct engine_bench *bench, uint64_t first, uint64_t end,
                       unsigned nr_threads);
void engine_bench_verify(struct engine_bench *bench, uint64_t first, uint64_t end);

// ---- engine-transfer.c: rows "WHAT" of codec loop, engine and zram -----------------------------
void engine_bench_writes(struct engine_bench *bench, const char *what, unsigned pages_per_request,
                         unsigned nr_threads);
// The same after a pause each time, in which the engine may tidy up.
void engine_bench_bursts(struct engine_bench *bench, const char *what);
void engine_bench_reads(struct engine_bench *bench, const char *what, unsigned nr_threads);

// ---- engine-trim.c -----------------------------------------------------------------------------
// On the request path: 2 MiB trims beside zram's discard; cost per slot of the three ways to free.
void engine_bench_trims(struct engine_bench *bench);

// CPU time until everything is freed, of the three ways.  The server has no threads of its own.
void engine_bench_trim_cpu(struct engine_bench *bench);

// Trims all of a full device, and fills it again.
void engine_bench_trim_device(struct engine_bench *bench, unsigned nr_threads);

#endif
