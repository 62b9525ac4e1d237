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
// The atomics: entries and words are published by release (exchange, compare-exchange) and read by
// acquire, so a thread that sees a word sees the object.  A detached leaf, and every object whose
// word was replaced, stays readable until the read-side sections that were open then have ended.  A
// writer that still held the leaf when a trim detached it ran beside that trim: either order is
// right, and its object goes with the leaf.
//
// An entry may be lost, as a word may (slot-word.h): all pages below it are.  Who makes a chunk in
// its place fills that with lost words.  A trim of part of what is below leaves it: EIO instead of
// zeros until the rest is trimmed or written, but a trim needs no memory.
//
// Threads: all calls but init and fini may overlap.
#ifndef ZR_SLOT_TABLE_H
#define ZR_SLOT_TABLE_H

#include "../allocator/deferred-free.h"
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
    _Atomic uint64_t *state; // in front of the root: ZR_TABLE_LOST or 0
    bool is_stored;          // the root is the store's, and all outlives the table
};

// All of the table was lost, and its owner has not begun anew.
#define ZR_TABLE_LOST 1u

// The root entries for so many slots.
uint64_t zr_slot_table_nr_root_entries(uint64_t nr_slots);

// For objects of limit_bytes at most (UINT64_MAX: no limit).  stored: the root region in a store, a
// word of state and the entries, whose objects are claimed and come to stored_bytes; NULL: a new
// one in memory of its own.  0 or -ENOMEM.  Allocates 8 bytes per GiB of device.
int zr_slot_table_init(struct zr_slot_table *table, struct zr_pool *pool,
                       struct zr_deferred_free *deferred, uint64_t nr_slots, uint64_t limit_bytes,
                       _Atomic uint64_t *stored, uint64_t stored_bytes);

// Extracts everything, unless it is stored, and drains; then frees the root.
void zr_slot_table_fini(struct zr_slot_table *table);

// The words of the leaf of a slot, ZR_LEAF_SLOTS of them; NULL if nothing is stored in its 2 MiB.
// Where an entry is lost, a leaf of lost words that nobody may change.  Inside a read-side section,
// and valid until its end.
_Atomic uint64_t *zr_slot_table_leaf(const struct zr_slot_table *table, uint64_t slot);

// The word of a slot in its leaf; empty if there is no leaf.
static inline uint64_t zr_leaf_word(const _Atomic uint64_t *leaf, uint64_t slot)
{
    return leaf ? atomic_load_explicit(&leaf[slot % ZR_LEAF_SLOTS], memory_order_acquire)
                : ZR_SLOT_EMPTY;
}

// The first slot from slot on, and before end, whose leaf may exist: skips ranges without leaves,
// 1 GiB at a stride.  end if there is none.  Inside a read-side section.
uint64_t zr_slot_table_next_leaf(const struct zr_slot_table *table, uint64_t slot, uint64_t end);

// The same, and stops at slots below lost entries too.
uint64_t zr_slot_table_next_used(const struct zr_slot_table *table, uint64_t slot, uint64_t end);

// How many slots are below lost entries.  Outside a read-side section.
uint64_t zr_slot_table_nr_below_lost(const struct zr_slot_table *table);

// Makes all of it lost: what is there is extracted, and remembered is that all is lost, until heal.
// Both beside requests: what they store meanwhile stays.  Outside a read-side section.
void zr_slot_table_lose(struct zr_slot_table *table);

// Its owner begins anew: whatever is lost becomes empty, what was stored since stays.
void zr_slot_table_heal(struct zr_slot_table *table);

static inline bool zr_slot_table_is_lost(const struct zr_slot_table *table)
{
    return (atomic_load_explicit(table->state, memory_order_relaxed) & ZR_TABLE_LOST) != 0;
}

// How many bytes of objects may be stored in slots of one leaf: what the limit leaves and what is
// there now.  UINT64_MAX without a limit.  Racy: asked before objects are made in vain, it does not
// replace the account's answer.
uint64_t zr_slot_table_room_bytes(const struct zr_slot_table *table, uint64_t first_slot,
                                  size_t nr_slots);

// Exchanges the words of nr_words slots, all in one leaf, for those in words, and hands the objects
// of the old ones to deferred free.  0; -ENOSPC: no memory for a leaf; -EDQUOT: over the limit.  On
// failure nothing was exchanged.  Writers that race may pass the limit by what they exchange.
// words is used as scratch space.  Outside a read-side section; never allocates from the heap.
int zr_slot_table_store(struct zr_slot_table *table, uint64_t first_slot, uint64_t *words,
                        size_t nr_words);

// Exchanges one word if it still is old.  0; -EAGAIN: it is not; -ENOSPC, -EDQUOT as above.  Inside
// the read-side section in which old was loaded, so that its handle cannot have come back
// meanwhile.  The caller hands old to deferred free when it has left the section.
int zr_slot_table_replace(struct zr_slot_table *table, uint64_t slot, uint64_t old, uint64_t word);

// Gives a page another object without change of its content: exchanges a word if it still is old,
// and moves the account from one length to the other; no limit is asked, since neither is a growth
// by the owner.  True: the caller hands old to deferred free, outside of the section.  False: word
// is still the caller's.  As replace.
bool zr_slot_table_move(struct zr_slot_table *table, _Atomic uint64_t *entry, uint64_t old,
                        uint64_t word);

// Extract: empties the slots of a range and hands what was in them to deferred free.  Whole leaves
// and directories go by one exchange each.  Never fails, never allocates.  Outside a read-side
// section.
void zr_slot_table_extract(struct zr_slot_table *table, uint64_t first_slot, uint64_t nr_slots);

#endif
