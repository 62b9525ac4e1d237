// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// A store whose memory is measured: an nbdkit server, or else a zram device.
#ifndef ZR_BENCH_MEMORY_STORE_H
#define ZR_BENCH_MEMORY_STORE_H

#include "load.h"
#include "zram-device.h"

#define LARGE_PAGES 32u  // 128 KiB, the largest write that Linux's nbd sends
#define TRIM_PAGES 512u  // 2 MiB, the largest trim that Linux's swap sends
#define NR_CONNECTIONS 2 // as a guest has with nbd-client -C 2

struct store {
    const char *name;
    uint32_t nr_slots; // of a page
    struct server *server;
    struct nbd_handle *connections[NR_CONNECTIONS];
    bool has_stats; // the server's
    const struct zram_device *zram;
    bool is_told; // to compact
};

// Requests of nr_pages each, all over the store in order, or, one page each, to the first nr slots
// of an order.
void store_transfer(const struct store *store, enum load_kind kind, uint32_t nr_pages,
                    const uint32_t *order, uint32_t nr, uint64_t first_page);

void store_fill(const struct store *store);
void store_trim_all(const struct store *store);

// What a server has mapped and touched, and what it keeps in memory files without having it mapped.
uint64_t store_used_bytes(const struct store *store);
uint64_t store_compressed_bytes(const struct store *store); // 0: it cannot say

// Lets a server touch what belongs to it when empty.
void store_warm_up(const struct store *store);

#endif
