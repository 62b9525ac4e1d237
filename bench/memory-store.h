// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// A store of 4 KiB slots whose memory is looked at: an nbdkit server, or a zram device.
#ifndef ZR_BENCH_MEMORY_STORE_H
#define ZR_BENCH_MEMORY_STORE_H

#include "bench.h"
#include "zram-device.h"

#include <stdint.h>

struct memory_store {
    const char *name;
    uint32_t nr_slots;
    const struct bench_pages *pages;
    void *state;

    // Writes all slots in order with pages from 0 on, in large requests.
    void (*fill)(struct memory_store *store);
    // Writes slots[i] with page first_page + i, for all i.
    void (*write)(struct memory_store *store, const uint32_t *slots, uint32_t nr_slots,
                  uint64_t first_page);
    // Trims slot by slot.
    void (*trim)(struct memory_store *store, const uint32_t *slots, uint32_t nr_slots);
    void (*trim_all)(struct memory_store *store);
    void (*read)(struct memory_store *store, uint32_t slot, unsigned char *page);
    // Reads random slots one at a time for so long; NULL: not measured of this store.
    void (*read_random)(struct memory_store *store, uint64_t duration_ns,
                        struct bench_samples *latencies_ns);
    uint64_t (*used_bytes)(struct memory_store *store);       // may be called beside the others
    uint64_t (*compressed_bytes)(struct memory_store *store); // the same; NULL: it cannot say
    void (*tell_to_compact)(struct memory_store *store);      // NULL: nobody does
    void (*close)(struct memory_store *store);
};

// has_stats: a zramswap with stats-export=stats.  arguments as for nbd_server_start; its disk must
// have nr_slots.
void memory_store_open_nbd(struct memory_store *store, const char *name,
                           const char *const *arguments, bool has_stats, uint32_t nr_slots,
                           const struct bench_pages *pages);

// The device must be empty; it stays the caller's.
void memory_store_open_zram(struct memory_store *store, const char *name,
                            const struct zram_device *zram, bool is_told, uint32_t nr_slots,
                            const struct bench_pages *pages);

#endif
