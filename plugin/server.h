// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Server: everything that one process serves from, put together: one pool with its keeper and
// compactor, one codec, the exports with a device each; and the statistics.  The plugin above adds
// nbdkit, tests and benchmarks stand on it without.
#ifndef ZR_SERVER_H
#define ZR_SERVER_H

#include "../allocator/keeper.h"
#include "ager.h"
#include "compactor.h"
#include "device.h"

#include <stdint.h>
#include <stdio.h>

struct zr_export_config {
    char *name;           // "" is the default export
    uint64_t size_bytes;  // of the disk
    uint64_t limit_bytes; // of what it may hold, compressed; UINT64_MAX: no limit of its own
};

struct zr_server_config {
    struct zr_export_config *exports; // names stay borrowed while the server lives
    size_t nr_exports;
    uint64_t limit_bytes; // of all memory for what is stored; 0, or more than the RAM and swap of
                          // the machine: those
    const struct zr_codec_ops *codec;
    int level; // ignored if the codec has none
};

struct zr_server {
    struct zr_pool pool;
    struct zr_deferred_free *deferred;
    struct zr_keeper keeper;
    struct zr_codec codec;
    struct zr_compactor compactor;
    struct zr_ager ager;
    size_t nr_devices;
    struct zr_device *devices;     // one an export
    struct zr_slot_table **tables; // theirs, for the compactor and the ager
};

// 0 or -errno.  Allocates.  Threads start with zr_server_start, after a fork if there is one.
int zr_server_init(struct zr_server *server, const struct zr_server_config *config);
int zr_server_start(struct zr_server *server);

// Ends the threads and frees everything.  No request may be under way.
void zr_server_fini(struct zr_server *server);

// The device of an export, NULL if there is none of that name.
struct zr_device *zr_server_find(struct zr_server *server, const char *name);

// zram's names and units where zram has them: bytes, and counts of 4 KiB pages.
struct zr_device_stats {
    uint64_t disksize;
    uint64_t orig_data_size;  // pages that hold something but zeros, in bytes
    uint64_t compr_data_size; // lengths of the objects in the table
    uint64_t same_pages;      // same-filled, but not with zeros: those are not stored at all
    uint64_t huge_pages;      // stored raw
    uint64_t nr_packed_leaves, packed_leaf_bytes; // of the slot table, which are objects too
};

struct zr_server_stats {
    struct zr_device_stats total; // of all exports
    uint64_t mem_used_total;      // memory taken for objects and tables, warm spans included
    uint64_t mem_limit;
    uint64_t mem_used_max;
    uint64_t pages_compacted;
    uint64_t spans_compacted; // that became free by it
    uint64_t pending_free_bytes;
    uint64_t pending_free_objects;
    uint64_t drained_batches;
    uint64_t cold_spans; // taken without their memory having been populated ahead
};

// Walks the table: some ms per GiB stored; exact when nothing is written meanwhile.
void zr_server_get_stats(struct zr_server *server, struct zr_server_stats *stats);

// As one JSON object, with one for each export in it.
// 0 or -ENOMEM; mem_limit 0 stands for none.
int zr_server_print_stats(struct zr_server *server, FILE *out);

#endif
