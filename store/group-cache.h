// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Group cache: reads pages of groups.  Decompressing a group brings 16 pages, or its first block 8,
// and a program that wakes up wants the neighbours of the first one that it reads, so the last few
// are kept.
//
// A cached group is known by its id, read from the group itself inside the read-side section in
// which its word was loaded: it is never out of date, and nobody needs to be told of a free.
//
// What is cached is a guest's memory, decompressed, and may be freed and overwritten meanwhile: it
// is wiped when nobody has asked for it for a second (zr_group_cache_expire).
//
// Threads: all calls but init and fini may overlap.  A reader takes an entry that is free; it waits
// only if all are in use, two for each CPU.  Nothing allocates after init.
#ifndef ZR_GROUP_CACHE_H
#define ZR_GROUP_CACHE_H

#include "group.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct zr_group_entry {
    pthread_mutex_t busy;     // held by who reads from it or fills it
    _Atomic uint64_t id;      // of the group that is in it; 0: none
    _Atomic uint64_t used_ns; // when; 0: there is nothing in it
    uint32_t checksum;
    uint32_t device_seed;
    uint32_t leaf;
    unsigned nr_members;
    uint16_t slots[ZR_GROUP_PAGES];
    unsigned char *pages; // ZR_GROUP_RAW_BYTES
    size_t pages_bytes;   // that are decompressed so far,
    size_t frame_bytes;   // of so much of the frame
    size_t next_bytes;    // of it that zstd wants next; 0: it is at its end, or has failed
    struct ZSTD_DCtx_s *decompressor;
} __attribute__((aligned(64)));

struct zr_group_cache {
    unsigned nr_entries;
    struct zr_group_entry *entries;
    _Atomic uint64_t nr_hits, nr_misses;
};

// 0 or -ENOMEM.
int zr_group_cache_init(struct zr_group_cache *cache);
void zr_group_cache_fini(struct zr_group_cache *cache);

// Reads the page of a slot out of a group of the device with this seed, which lies in max_bytes. 0,
// or -EIO: there is no such group, or no such page in it.  Inside the read-side section in which
// the word was loaded.
int zr_group_cache_read(struct zr_group_cache *cache, const struct zr_group *group,
                        size_t max_bytes, uint32_t device_seed, uint64_t slot, void *page);

// Notes that the page of a slot was read.  True if it had been already, since the group was made.
bool zr_group_note_read(struct zr_group *group, uint64_t slot);

// Wipes what was not used since the monotonic clock showed before_ns, and gives the memory of all
// entries but one back.
void zr_group_cache_expire(struct zr_group_cache *cache, uint64_t before_ns);

#endif
