// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "recover.h"
#include "same-filled.h"

#include <errno.h>

_Static_assert(ZR_SLOT_SAME == 0 && ZR_SLOT_HUGE == 1 && ZR_SLOT_LZ4 == 2 && ZR_SLOT_ZSTD == 3 &&
                   ZR_SLOT_GROUP == 4 && ZR_SLOT_LOST == 7,
               "in the store");
_Static_assert(ZR_SLOT_KIND_SHIFT == 61 && ZR_SLOT_AGE_SHIFT == 58 && ZR_HANDLE_OFFSET_BITS == 45 &&
                   ZR_HANDLE_UNIT_SHIFT == 4,
               "in the store");
_Static_assert(ZR_LEAF_SLOTS == 512 && ZR_TABLE_LOST == ZR_EXPORT_LOST, "in the store");

#define DIRECTORY_SLOTS (ZR_CHUNK_WORDS * ZR_LEAF_SLOTS)
_Static_assert(DIRECTORY_SLOTS *ZR_PAGE_BYTES == ZR_ROOT_ENTRY_BYTES, "in the store");

#define LOOK_AHEAD 16 // words whose spans are fetched into the cache

struct recovery {
    struct zr_pool *pool;
    uint64_t nr_slots;
    uint32_t min_object_bytes;
    struct zr_recovered *found;
    int rc; // of a read that failed
};

static void lose(struct recovery *recovery, _Atomic uint64_t *entry, uint64_t nr_slots)
{
    atomic_store_explicit(entry, ZR_SLOT_LOST_WORD, memory_order_relaxed);
    recovery->found->nr_new_lost += nr_slots;
}

static bool is_value(uint64_t word)
{
    return (word & ((UINT64_C(1) << ZR_SLOT_AGE_SHIFT) - 1)) <= UINT32_MAX && (uint32_t)word != 0;
}

// A word that is not empty: whether it can be right.  Its object is claimed then.
static bool try_claim_page(struct recovery *recovery, uint64_t word)
{
    zr_handle handle = zr_handle_of_word(word);
    uint32_t length = zr_handle_length_bytes(handle);

    switch (zr_slot_word_kind(word)) {
    case ZR_SLOT_SAME:
        return is_value(word);
    case ZR_SLOT_HUGE:
        return length == recovery->min_object_bytes - 1 + ZR_PAGE_BYTES &&
               zr_pool_claim(recovery->pool, handle, ZR_CLAIM_OBJECT);
    case ZR_SLOT_LZ4:
    case ZR_SLOT_ZSTD:
        return length >= recovery->min_object_bytes &&
               zr_pool_claim(recovery->pool, handle, ZR_CLAIM_OBJECT);
    case ZR_SLOT_GROUP:
        return zr_pool_claim(recovery->pool, handle, ZR_CLAIM_SHARE);
    default:
        return false;
    }
}

// Claims what a leaf refers to.  words is what it holds.
static void recover_leaf(struct recovery *recovery, const uint64_t *words, _Atomic uint64_t *leaf,
                         uint64_t first_slot)
{
    struct zr_recovered *found = recovery->found;
    size_t i;

    for (i = 0; i < ZR_LEAF_SLOTS; i++) {
        const uint64_t word = words[i];

        if (i + LOOK_AHEAD < ZR_LEAF_SLOTS) {
            zr_pool_prefetch_claim(recovery->pool, zr_handle_of_word(words[i + LOOK_AHEAD]));
        }
        if (word == ZR_SLOT_EMPTY || word == ZR_SLOT_LOST_WORD) {
            continue;
        }
        if (first_slot + i >= recovery->nr_slots || !try_claim_page(recovery, word)) {
            lose(recovery, &leaf[i], first_slot + i < recovery->nr_slots);
            continue;
        }
        found->nr_pages++;
        found->stored_bytes += zr_slot_word_length_bytes(word);
        found->has_kind[zr_slot_word_kind(word)] = true;
    }
}

// Claims the chunk that an entry, which holds word, refers to, and reads it.  NULL if there is
// none, or it was or is lost.
static _Atomic uint64_t *claim_chunk(struct recovery *recovery, _Atomic uint64_t *entry,
                                     uint64_t word, uint64_t first_slot, uint64_t nr_slots,
                                     uint64_t words[ZR_CHUNK_WORDS])
{
    const zr_handle handle = {word};
    int rc;

    if (word == 0 || word == ZR_SLOT_LOST_WORD) {
        return NULL;
    }
    // Read through the file: the first touch of each chunk's page in a new mapping took 7 µs on a
    // virtual machine with shadow page tables, half of the whole recovery.
    if (word >> ZR_HANDLE_BITS == 0 && zr_pool_claim(recovery->pool, handle, ZR_CLAIM_CHUNK)) {
        rc = zr_arena_read(&recovery->pool->arena, zr_handle_offset_bytes(handle), words,
                           ZR_CHUNK_BYTES);
        if (rc == 0) {
            return zr_pool_view_chunk(recovery->pool, handle);
        }
        // EIO: the memory itself is damaged, or was swapped out and does not come back.  No other
        // failure says anything of what is there.
        if (rc != -EIO) {
            recovery->rc = rc;
            return NULL;
        }
    }
    if (first_slot + nr_slots > recovery->nr_slots) {
        nr_slots = first_slot < recovery->nr_slots ? recovery->nr_slots - first_slot : 0;
    }
    lose(recovery, entry, nr_slots);
    return NULL;
}

static void recover_directory(struct recovery *recovery, const uint64_t *entries,
                              _Atomic uint64_t *directory, uint64_t first_slot)
{
    uint64_t words[ZR_CHUNK_WORDS];
    _Atomic uint64_t *leaf;
    uint64_t slot = first_slot;
    size_t i;

    for (i = 0; i < ZR_CHUNK_WORDS; i++, slot += ZR_LEAF_SLOTS) {
        leaf = claim_chunk(recovery, &directory[i], entries[i], slot, ZR_LEAF_SLOTS, words);
        if (leaf) {
            recover_leaf(recovery, words, leaf, slot);
        }
    }
}

int zr_recover(struct zr_pool *pool, _Atomic uint64_t *region, uint64_t nr_slots,
               uint32_t min_object_bytes, struct zr_recovered *found)
{
    struct recovery recovery = {pool, nr_slots, min_object_bytes, found, 0};
    uint64_t words[ZR_CHUNK_WORDS];
    _Atomic uint64_t *entry = region + 1, *directory;
    uint64_t slot;

    for (slot = 0; slot < nr_slots; slot += DIRECTORY_SLOTS, entry++) {
        directory = claim_chunk(&recovery, entry, atomic_load_explicit(entry, memory_order_relaxed),
                                slot, DIRECTORY_SLOTS, words);
        if (directory) {
            recover_directory(&recovery, words, directory, slot);
        }
    }
    return recovery.rc;
}
