// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Group: up to 16 pages of one leaf, compressed together: how cold pages are stored.  One object of
// a log (allocator/log.h) with a page for each owner:
//
//     struct zr_group | members: their slots in the leaf, 2 bytes each | one zstd frame of the
//     pages, a block for each half
//
// Neighbours resemble each other: of real pages, zstd saves a fifth more in groups of 16 than one
// by one.  The pages of a group are found by their slot words alone; the group says which they are,
// so that it can be found by its span when that is cleaned.
//
// Immutable but for `read`, which readers set.  Part of the format of a store (superblock.h).
#ifndef ZR_GROUP_H
#define ZR_GROUP_H

#include "same-filled.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifndef ZR_GROUP_PAGES // tests/schedule/small.h has fewer
#define ZR_GROUP_PAGES 16u
#endif
#define ZR_GROUP_RAW_BYTES ((size_t)ZR_GROUP_PAGES * ZR_PAGE_BYTES)

struct zr_group {
    uint32_t checksum;     // of all from bytes on, seeded by the device
    _Atomic uint16_t read; // bit i: member i was read since the group was made
    uint16_t unused;
    uint32_t bytes;       // of all
    uint32_t device_seed; // of the device's checksums
    uint64_t id;          // no other group has it: what a cache knows it by
    uint32_t leaf;        // of the device
    uint16_t nr_members;
    uint16_t slots[]; // of the members in that leaf, ascending
};

// Makes groups.  One thread at a time.
struct zr_group_maker {
    struct ZSTD_CCtx_s *compressor;
    uint64_t next_id;
    unsigned char *pages;   // ZR_GROUP_RAW_BYTES, to be filled by the caller
    struct zr_group *group; // the last that was made
    size_t max_frame_bytes;
};

// 0 or -errno.  Allocates; so does zstd again where many small groups came before a large one.
int zr_group_maker_init(struct zr_group_maker *maker);
void zr_group_maker_fini(struct zr_group_maker *maker);

// Compresses the first nr of its pages, which lie in these slots of a device's leaf, into
// maker->group.  Returns the group's length; UINT32_MAX if zstd fails.
uint32_t zr_group_make(struct zr_group_maker *maker, uint32_t device_seed, uint32_t leaf,
                       const uint16_t *slots, unsigned nr);

// Copies a group to where nobody sees it yet.
void zr_group_copy(void *to, const struct zr_group *group);

// True if what lies there, in max_bytes, is a whole group.  Reads all of it.
bool zr_group_is_sound(const struct zr_group *group, size_t max_bytes);

// Where its frame begins.
static inline const unsigned char *zr_group_frame(const struct zr_group *group)
{
    return (const unsigned char *)&group->slots[group->nr_members];
}

static inline size_t zr_group_frame_bytes(const struct zr_group *group)
{
    return group->bytes - offsetof(struct zr_group, slots) -
           group->nr_members * sizeof group->slots[0];
}

#endif
