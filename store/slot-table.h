// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Slot table: page number → slot word.
//
//     root, one entry per GiB → directory, 512 entries → leaf, 512 slot words: 4 KiB for 2 MiB
//
// Directories and leaves are chunks of the pool that come with the first page written in their
// range and go when it is trimmed.  A leaf covers just what Linux trims when a swap cluster is
// free: an aligned 2 MiB trim exchanges one directory entry for 0, an aligned 1 GiB trim one root
// entry, and what hangs below it is handed to deferred free as it is.
//
// A leaf with few words in use is packed: the directory entry then refers to a packed chunk, which
// nobody writes to.  Whoever wants to change a word unpacks it first.  Packing takes two steps, so
// that no writer is lost (and none ever waits): the entry of a full leaf is marked; a grace period
// later no writer that saw it unmarked is left, and any that saw the mark has taken it away; where
// it still is, the leaf cannot change, and its packed copy takes its place by compare-exchange.
//
// The atomics: entries and words are published by release (exchange, compare-exchange) and read by
// acquire, so whoever sees a word sees the object.  A detached leaf, and every object whose word
// was replaced, stays readable until the read-side sections that were open then have ended.  A
// writer that still held the leaf when a trim detached it ran beside that trim: either order is
// right, and its object goes with the leaf.
//
// Threads: all calls but init and fini may overlap.
#ifndef ZR_SLOT_TABLE_H
#define ZR_SLOT_TABLE_H

#include "../allocator/deferred-free.h"
#include "../allocator/packed-chunk.h"
#include "slot-word.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define ZR_LEAF_SLOTS ZR_CHUNK_WORDS

struct zr_slot_table {
    struct zr_pool *pool;
    struct zr_deferred_free *deferred;
    struct zr_account account; // of the objects in it
    uint64_t nr_slots;
    uint64_t nr_root_entries;
    _Atomic uint64_t *root;
};

// For objects of limit_bytes at most (UINT64_MAX: no limit).  0 or -ENOMEM.  Allocates 8 bytes per
// GiB of device.
int zr_slot_table_init(struct zr_slot_table *table, struct zr_pool *pool,
                       struct zr_deferred_free *deferred, uint64_t nr_slots, uint64_t limit_bytes);

// Extracts and drains everything, then frees the root.
void zr_slot_table_fini(struct zr_slot_table *table);

// A leaf in either form.
struct zr_leaf {
    zr_handle handle;                     // 0: there is none
    const _Atomic uint64_t *words;        // of a full one, else NULL
    const struct zr_packed_chunk *packed; // a packed one, else NULL
};

// The leaf of a slot; none if nothing is stored in its 2 MiB.  Inside a read-side section, and
// valid until its end.
struct zr_leaf zr_slot_table_leaf(const struct zr_slot_table *table, uint64_t slot);

// The word of a slot in its leaf; empty if there is no leaf.
static inline uint64_t zr_leaf_word(const struct zr_leaf *leaf, uint64_t slot)
{
    size_t index = slot % ZR_LEAF_SLOTS;

    if (leaf->words) {
        return atomic_load_explicit(&leaf->words[index], memory_order_acquire);
    }
    return leaf->packed ? zr_packed_chunk_word(leaf->packed, index) : ZR_SLOT_EMPTY;
}

// The first slot from slot on whose leaf may exist: skips ranges without leaves, 1 GiB at a stride.
// nr_slots of the table if there is none.  Inside a read-side section.
uint64_t zr_slot_table_next_leaf(const struct zr_slot_table *table, uint64_t slot);

// Exchanges the words of nr_words slots, all in one leaf, for those in words, and hands the objects
// of the old ones to deferred free.  0; -ENOSPC: no memory for a leaf; -EDQUOT: over the limit.  On
// failure nothing was exchanged.  Writers that race may pass the limit by what they exchange.
// words is used as scratch space.  Outside a read-side section; never allocates from the heap.
int zr_slot_table_store(struct zr_slot_table *table, uint64_t first_slot, uint64_t *words,
                        size_t nr_words);

// Exchanges one word if it still is old.  0; -EAGAIN: it is not, or its leaf is packed (unpack it);
// -ENOSPC, -EDQUOT as above.  Inside the read-side section in which old was loaded, so that its
// handle cannot have come back meanwhile. The caller hands old to deferred free when it has left
// the section.
int zr_slot_table_replace(struct zr_slot_table *table, uint64_t slot, uint64_t old, uint64_t word);

// Extract: empties the slots of a range and hands what was in them to deferred free.  Whole leaves
// and directories go by one exchange each, which cannot fail.  -ENOSPC: no memory to unpack a leaf
// of which a part was to be emptied; leaves before it were.  Outside a read-side section.
int zr_slot_table_extract(struct zr_slot_table *table, uint64_t first_slot, uint64_t nr_slots);

// Exchanges the packed leaf of a slot for another one, if it still is old.  0 or -EAGAIN.  Inside
// the read-side section in which old was found; the caller hands old to deferred free when it has
// left it.
int zr_slot_table_replace_packed(struct zr_slot_table *table, uint64_t slot, zr_handle old,
                                 zr_handle packed);

// Unpacks the leaf of a slot, if it is packed.  0 or -ENOSPC.  Outside a read-side section.
int zr_slot_table_unpack(struct zr_slot_table *table, uint64_t slot);

// Packing, by one thread at a time (the compactor).  try_mark: the leaf of a slot is full and is
// marked now; inside a read-side section.  pack: packs those leaves, each named by a slot of it,
// whose mark is still there, and removes those in which nothing is left.  Outside a read-side
// section; blocks for two grace periods.  At most ZR_PACK_LEAVES.
#define ZR_PACK_LEAVES 64
#define ZR_PACK_MAX_WORDS 320 // in use: a leaf with more saves less than a third
bool zr_slot_table_try_mark(struct zr_slot_table *table, uint64_t slot);
void zr_slot_table_pack(struct zr_slot_table *table, const uint64_t *slots, size_t nr_slots);

#define ZR_NR_LENGTHS 8
#define ZR_LENGTH_BYTES 512

struct zr_slot_counts {
    uint64_t nr_same; // same-filled but not zero
    uint64_t nr_huge; // stored raw
    uint64_t nr_compressed;
    uint64_t stored_bytes; // lengths of the objects
    uint64_t nr_packed_leaves;
    uint64_t packed_leaf_bytes;           // lengths of the objects that these are
    uint64_t nr_by_length[ZR_NR_LENGTHS]; // nr_compressed and nr_huge; the last: and above
    uint64_t nr_by_age[ZR_SLOT_AGE_MAX + 1];
};

// Counts by a walk over all words (8 bytes per page stored, some ms per GiB), so that no request
// pays for counters.  Exact when nothing is written meanwhile.
void zr_slot_table_count(const struct zr_slot_table *table, struct zr_slot_counts *counts);

#endif
