// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Device: a disk of bytes over a slot table.  Splits byte ranges into whole pages, which never read
// what was there, and partial ones, which are read, changed, and stored unless another request won
// the race.
//
// Each page changes at one instant, from all old to all new, whatever else runs; a request over
// several pages is not atomic as a whole (no disk promises that).  When memory is short a write
// first has what waits to be freed drained, then sparse spans compacted.  If that does not help, or
// the device is at its own limit, it fails with -ENOSPC.  Each aligned 2 MiB of the request is all
// or nothing.
//
// A page that is lost (slot-word.h) fails with -EIO: to be read, and to be written in part.  A
// write of all of it and a trim heal it.  A whole device may be lost: a server came up without what
// it had. Then it heals as a whole when its guest begins anew: writes page 0, as mkswap does, or
// trims all.
//
// Threads: all calls but init and fini may overlap.  Ranges must lie within the device.
#ifndef ZR_DEVICE_H
#define ZR_DEVICE_H

#include "codec.h"
#include "compactor.h"
#include "group-cache.h"
#include "slot-table.h"

#include <stdint.h>

// 1 PiB: its root table takes 8 MiB.
#define ZR_DEVICE_MAX_BYTES (UINT64_C(1) << 50)

struct zr_demoter;

struct zr_device {
    const char *name;       // of the export; borrowed
    uint32_t checksum_seed; // of its first slot
    uint64_t size_bytes;
    struct zr_codec *codec;
    struct zr_pool *pool;
    struct zr_deferred_free *deferred;
    struct zr_compactor *compactor;
    struct zr_group_cache *groups; // NULL: no page is in a group
    struct zr_demoter *demoter;    // who makes groups; NULL: nobody
    struct zr_slot_table table;
    _Atomic uint64_t nr_corrupt;        // how often an object was found damaged
    _Atomic uint64_t nr_cold_reads;     // of pages in groups
    _Atomic uint64_t nr_promoted_pages; // read again, and so taken out of their group
};

// limit_bytes bounds the compressed bytes that it may hold; UINT64_MAX: no limit of its own.
// stored: the root region that it has in a store, and the bytes of the objects there, claimed;
// NULL: it lives in memory.  0 or -ENOMEM.  All that is pointed to is borrowed and may be shared
// between devices.
int zr_device_init(struct zr_device *device, const char *name, uint64_t size_bytes,
                   uint64_t limit_bytes, struct zr_codec *codec, struct zr_pool *pool,
                   struct zr_deferred_free *deferred, struct zr_compactor *compactor,
                   _Atomic uint64_t *stored, uint64_t stored_bytes);

// The page that a word of this device stands for.  0 or -EIO, as a read, but not counted as one.
// Inside the read-side section in which the word was loaded.
int zr_device_load_page(struct zr_device *device, uint64_t slot, uint64_t word, void *page);

// Frees what is stored, unless that lies in a store.
void zr_device_fini(struct zr_device *device);

// The root entries that a store must have for a device of a size, and the seed that goes by a name.
uint64_t zr_device_nr_root_entries(uint64_t size_bytes);
uint32_t zr_device_checksum_seed(const char *name);

// Makes the whole device lost: what it holds is not what its guest stored.  Remembered in the store
// until the guest begins anew.
void zr_device_lose(struct zr_device *device);

// 0 or -EIO (an object is damaged, or a page lost).  Never blocks, but for zstd's decoders while
// their holders are preempted (codec.h).
int zr_device_read(struct zr_device *device, void *buffer, uint64_t bytes, uint64_t offset);

// 0, -ENOSPC, or -EIO (a partial page over a damaged object or a lost page).  May help to free
// memory.
int zr_device_write(struct zr_device *device, const void *buffer, uint64_t bytes, uint64_t offset);

// Makes the range read as zeros: this is trim and zero alike.  Whole pages are extracted, which
// cannot fail and costs one exchange per aligned 2 MiB or 1 GiB; a partial page at either end is
// written, and fails like a write.
int zr_device_zero(struct zr_device *device, uint64_t bytes, uint64_t offset);

// Block status: reports the extents of the range in order and without gaps, each as long as it is;
// is_hole means nothing is stored and it reads as zeros.  Ends before the range does, after one
// extent at least, when 128 MiB of it were found stored in part: what a request costs is bounded,
// and a client asks on.  Stops when report returns non-zero, and returns that; else 0.
typedef int (*zr_device_report_extent)(void *opaque, uint64_t offset, uint64_t bytes, bool is_hole);
int zr_device_extents(struct zr_device *device, uint64_t bytes, uint64_t offset,
                      zr_device_report_extent report, void *opaque);

#endif
