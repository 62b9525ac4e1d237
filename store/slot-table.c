// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "slot-table.h"
#include "../allocator/rcu.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DIRECTORY_SLOTS (ZR_CHUNK_WORDS * ZR_LEAF_SLOTS)

static uint32_t length_of(uint64_t word)
{
    return zr_handle_length_bytes(zr_handle_of_word(word));
}

int zr_slot_table_init(struct zr_slot_table *table, struct zr_pool *pool,
                       struct zr_deferred_free *deferred, uint64_t nr_slots, uint64_t limit_bytes)
{
    *table = (struct zr_slot_table){
        .pool = pool,
        .deferred = deferred,
        .account.limit_bytes = limit_bytes,
        .nr_slots = nr_slots,
        .nr_root_entries = (nr_slots + DIRECTORY_SLOTS - 1) / DIRECTORY_SLOTS,
    };
    table->root = calloc(table->nr_root_entries, sizeof *table->root);
    return table->root ? 0 : -ENOMEM;
}

void zr_slot_table_fini(struct zr_slot_table *table)
{
    zr_slot_table_extract(table, 0, table->nr_slots);
    zr_deferred_free_drain(table->deferred); // the account is in use until then
    free(table->root);
    table->root = NULL;
}

// In an entry of a directory, beside ZR_HANDLE_IS_PACKED: the full leaf is about to be packed.
#define IS_MARKED (UINT64_C(1) << 62)

// What an entry of the root refers to, NULL if nothing.
static _Atomic uint64_t *directory_of(const struct zr_slot_table *table, uint64_t slot)
{
    _Atomic uint64_t *entry = &table->root[slot / DIRECTORY_SLOTS];
    zr_handle handle = {atomic_load_explicit(entry, memory_order_acquire)};

    return zr_handle_has_object(handle) ? zr_pool_view_chunk(table->pool, handle) : NULL;
}

// The entry of a leaf in its directory, NULL if there is no directory.
static _Atomic uint64_t *leaf_entry(const struct zr_slot_table *table, uint64_t slot)
{
    _Atomic uint64_t *directory = directory_of(table, slot);

    return directory ? &directory[slot / ZR_LEAF_SLOTS % ZR_CHUNK_WORDS] : NULL;
}

struct zr_leaf zr_slot_table_leaf(const struct zr_slot_table *table, uint64_t slot)
{
    const _Atomic uint64_t *entry = leaf_entry(table, slot);
    uint64_t found = entry ? atomic_load_explicit(entry, memory_order_acquire) : 0;
    struct zr_leaf leaf = {.handle = zr_handle_of_word(found)};

    if (found & ZR_HANDLE_IS_PACKED) {
        leaf.packed = zr_pool_view(table->pool, leaf.handle);
    } else if (found != 0) {
        leaf.words = zr_pool_view_chunk(table->pool, leaf.handle);
    }
    return leaf;
}

// What an entry refers to, made if there is nothing; 0 without memory for it.
static uint64_t get_chunk(struct zr_slot_table *table, _Atomic uint64_t *entry)
{
    uint64_t found = atomic_load_explicit(entry, memory_order_acquire);
    zr_handle handle;

    if (found != 0 || zr_pool_alloc_chunk(table->pool, &handle) < 0) {
        return found;
    }
    if (atomic_compare_exchange_strong_explicit(entry, &found, handle.bits, memory_order_acq_rel,
                                                memory_order_acquire)) {
        return handle.bits;
    }
    zr_pool_free(table->pool, &handle.bits, 1); // another writer was first; nobody saw ours
    return found;
}

// The words of the leaf that an entry refers to, to be written to until the end of the read-side
// section.  0, or -EAGAIN: it is packed.
static int open_leaf(const struct zr_slot_table *table, _Atomic uint64_t *entry, uint64_t found,
                     _Atomic uint64_t **words)
{
    *words = NULL;
    if (found & ZR_HANDLE_IS_PACKED) {
        return -EAGAIN;
    }
    // Pairs with the grace period in pack: who saw no mark is waited for, who sees it takes it
    // away.
    if (found & IS_MARKED) {
        if (!atomic_compare_exchange_strong_explicit(entry, &found, found & ~IS_MARKED,
                                                     memory_order_acq_rel, memory_order_acquire)) {
            return open_leaf(table, entry, found, words);
        }
    }
    if (found != 0) {
        *words = zr_pool_view_chunk(table->pool, zr_handle_of_word(found));
    }
    return 0;
}

// The same for a slot; the leaf is made if there is none.  0, -EAGAIN (or it went), -ENOSPC.
static int get_leaf(struct zr_slot_table *table, uint64_t slot, _Atomic uint64_t **words)
{
    zr_handle directory = {get_chunk(table, &table->root[slot / DIRECTORY_SLOTS])};
    _Atomic uint64_t *entry;
    uint64_t found;
    int rc;

    if (!zr_handle_has_object(directory)) {
        return -ENOSPC;
    }
    entry = &zr_pool_view_chunk(table->pool, directory)[slot / ZR_LEAF_SLOTS % ZR_CHUNK_WORDS];
    found = get_chunk(table, entry);
    if (found == 0) {
        return -ENOSPC;
    }
    rc = open_leaf(table, entry, found, words);
    return rc == 0 && !*words ? -EAGAIN : rc; // trimmed meanwhile
}

uint64_t zr_slot_table_next_leaf(const struct zr_slot_table *table, uint64_t slot)
{
    while (slot < table->nr_slots) {
        _Atomic uint64_t *entry = leaf_entry(table, slot);

        if (!entry) {
            slot = (slot / DIRECTORY_SLOTS + 1) * DIRECTORY_SLOTS;
        } else if (atomic_load_explicit(entry, memory_order_acquire) == 0) {
            slot = (slot / ZR_LEAF_SLOTS + 1) * ZR_LEAF_SLOTS;
        } else {
            return slot;
        }
    }
    return table->nr_slots;
}

static int try_store(struct zr_slot_table *table, uint64_t first_slot, uint64_t *words,
                     size_t nr_words)
{
    uint64_t new_bytes = 0, seen_bytes = 0, old_bytes = 0, growth = 0;
    _Atomic uint64_t *leaf;
    int rc;
    size_t i;

    zr_rcu_read_lock();
    rc = get_leaf(table, first_slot, &leaf);
    if (rc == 0) {
        leaf += first_slot % ZR_LEAF_SLOTS;
        for (i = 0; i < nr_words; i++) {
            new_bytes += length_of(words[i]);
            seen_bytes += length_of(atomic_load_explicit(&leaf[i], memory_order_relaxed));
        }
        // An owner at its limit may still overwrite, so only the growth is charged ahead.
        growth = new_bytes > seen_bytes ? new_bytes - seen_bytes : 0;
        rc = zr_account_try_charge(&table->account, growth) ? 0 : -EDQUOT;
    }
    for (i = 0; rc == 0 && i < nr_words; i++) {
        words[i] = atomic_exchange_explicit(&leaf[i], words[i], memory_order_acq_rel);
        old_bytes += length_of(words[i]);
    }
    zr_rcu_read_unlock();
    if (rc == 0) {
        // Unsigned: where new is more than growth and old, this adds the difference.
        zr_account_uncharge(&table->account, growth + old_bytes - new_bytes);
        zr_deferred_free_words(table->deferred, words, nr_words);
    }
    return rc;
}

int zr_slot_table_store(struct zr_slot_table *table, uint64_t first_slot, uint64_t *words,
                        size_t nr_words)
{
    int rc;

    do {
        rc = try_store(table, first_slot, words, nr_words);
    } while (rc == -EAGAIN && (rc = zr_slot_table_unpack(table, first_slot)) == 0);
    return rc;
}

int zr_slot_table_replace(struct zr_slot_table *table, uint64_t slot, uint64_t old, uint64_t word)
{
    uint64_t old_bytes = length_of(old), new_bytes = length_of(word);
    uint64_t growth = new_bytes > old_bytes ? new_bytes - old_bytes : 0;
    _Atomic uint64_t *leaf;
    int rc = get_leaf(table, slot, &leaf);

    if (rc < 0) {
        return rc;
    }
    if (!zr_account_try_charge(&table->account, growth)) {
        return -EDQUOT;
    }
    if (!atomic_compare_exchange_strong_explicit(&leaf[slot % ZR_LEAF_SLOTS], &old, word,
                                                 memory_order_acq_rel, memory_order_relaxed)) {
        zr_account_uncharge(&table->account, growth);
        return -EAGAIN;
    }
    zr_account_uncharge(&table->account, growth + old_bytes - new_bytes);
    return 0;
}

// Takes what an entry refers to out of it.  Looking before exchanging keeps empty tables in shared
// cache.
static uint64_t take(_Atomic uint64_t *entry)
{
    if (atomic_load_explicit(entry, memory_order_relaxed) == 0) {
        return 0;
    }
    return atomic_exchange_explicit(entry, 0, memory_order_acq_rel);
}

// Hands over what was taken, and all below it.  A packed leaf is as it was when it was packed, so
// its words can be handed over here; a full one may still be written to.  Outside a read-side
// section.
static void drop(struct zr_slot_table *table, uint64_t taken)
{
    zr_handle handle = zr_handle_of_word(taken);
    const struct zr_packed_chunk *packed;
    uint64_t words[ZR_PACK_MAX_WORDS + 1];
    uint64_t bytes = 0;
    size_t nr_words, i;

    if (!(taken & ZR_HANDLE_IS_PACKED)) {
        if (zr_handle_has_object(handle)) {
            zr_deferred_free_chunk(table->deferred, handle, &table->account);
        }
        return;
    }
    packed = zr_pool_view(table->pool, handle);
    nr_words = zr_packed_chunk_nr_words(packed);
    for (i = 0; i < nr_words; i++) {
        words[i] = packed->words[i];
        bytes += length_of(words[i]);
    }
    words[nr_words] = handle.bits;
    zr_account_uncharge(&table->account, bytes);
    zr_deferred_free_words(table->deferred, words, nr_words + 1);
}

// 0, or -EAGAIN: the leaf is packed.
static int try_extract_in_leaf(struct zr_slot_table *table, uint64_t first_slot, uint64_t nr_slots)
{
    uint64_t words[ZR_LEAF_SLOTS];
    _Atomic uint64_t *entry, *leaf = NULL;
    uint64_t bytes = 0;
    size_t nr_words = 0;
    uint64_t i;
    int rc = 0;

    zr_rcu_read_lock();
    entry = leaf_entry(table, first_slot);
    if (entry) {
        rc = open_leaf(table, entry, atomic_load_explicit(entry, memory_order_acquire), &leaf);
    }
    if (leaf) {
        leaf += first_slot % ZR_LEAF_SLOTS;
        for (i = 0; i < nr_slots; i++) {
            if (atomic_load_explicit(&leaf[i], memory_order_relaxed) != ZR_SLOT_EMPTY) {
                words[nr_words] =
                    atomic_exchange_explicit(&leaf[i], ZR_SLOT_EMPTY, memory_order_acq_rel);
                bytes += length_of(words[nr_words++]);
            }
        }
    }
    zr_rcu_read_unlock();
    zr_account_uncharge(&table->account, bytes);
    zr_deferred_free_words(table->deferred, words, nr_words);
    return rc;
}

static int extract_in_leaf(struct zr_slot_table *table, uint64_t first_slot, uint64_t nr_slots)
{
    int rc;

    do {
        rc = try_extract_in_leaf(table, first_slot, nr_slots);
    } while (rc == -EAGAIN && (rc = zr_slot_table_unpack(table, first_slot)) == 0);
    return rc;
}

static void extract_leaf(struct zr_slot_table *table, uint64_t slot)
{
    _Atomic uint64_t *entry;
    uint64_t taken;

    zr_rcu_read_lock();
    entry = leaf_entry(table, slot);
    taken = entry ? take(entry) : 0;
    zr_rcu_read_unlock();
    drop(table, taken);
}

int zr_slot_table_extract(struct zr_slot_table *table, uint64_t first_slot, uint64_t nr_slots)
{
    uint64_t end = first_slot + nr_slots;
    uint64_t slot, next;
    int rc = 0;

    // Nothing lies behind the last slot, so a range up to there covers its leaf and directory
    // whole.
    if (end == table->nr_slots) {
        end = table->nr_root_entries * DIRECTORY_SLOTS;
    }
    for (slot = first_slot; slot < end && rc == 0; slot = next) {
        if (slot % DIRECTORY_SLOTS == 0 && end - slot >= DIRECTORY_SLOTS) {
            next = slot + DIRECTORY_SLOTS;
            drop(table, take(&table->root[slot / DIRECTORY_SLOTS]));
            continue;
        }
        next = (slot / ZR_LEAF_SLOTS + 1) * ZR_LEAF_SLOTS;
        if (slot % ZR_LEAF_SLOTS == 0 && end >= next) {
            extract_leaf(table, slot);
            continue;
        }
        next = next < end ? next : end;
        rc = extract_in_leaf(table, slot, next - slot);
    }
    return rc;
}

int zr_slot_table_unpack(struct zr_slot_table *table, uint64_t slot)
{
    _Atomic uint64_t *entry;
    uint64_t found;
    zr_handle chunk, packed = {0};
    int rc = 0;

    zr_rcu_read_lock();
    entry = leaf_entry(table, slot);
    found = entry ? atomic_load_explicit(entry, memory_order_acquire) : 0;
    if (found & ZR_HANDLE_IS_PACKED) {
        rc = zr_pool_alloc_chunk(table->pool, &chunk);
    }
    if (found & ZR_HANDLE_IS_PACKED && rc == 0) {
        packed = zr_handle_of_word(found);
        zr_packed_chunk_unpack(zr_pool_view(table->pool, packed),
                               zr_pool_view_chunk(table->pool, chunk));
        if (!atomic_compare_exchange_strong_explicit(entry, &found, chunk.bits,
                                                     memory_order_acq_rel, memory_order_relaxed)) {
            zr_pool_free(table->pool, &chunk.bits, 1); // another was faster; nobody saw ours
            packed.bits = 0;
        }
    }
    zr_rcu_read_unlock();
    if (zr_handle_has_object(packed)) {
        zr_deferred_free_words(table->deferred, &packed.bits, 1);
    }
    return rc;
}

int zr_slot_table_replace_packed(struct zr_slot_table *table, uint64_t slot, zr_handle old,
                                 zr_handle packed)
{
    _Atomic uint64_t *entry = leaf_entry(table, slot);
    uint64_t found = old.bits | ZR_HANDLE_IS_PACKED;

    return entry && atomic_compare_exchange_strong_explicit(
                        entry, &found, packed.bits | ZR_HANDLE_IS_PACKED, memory_order_acq_rel,
                        memory_order_relaxed)
               ? 0
               : -EAGAIN;
}

bool zr_slot_table_try_mark(struct zr_slot_table *table, uint64_t slot)
{
    _Atomic uint64_t *entry = leaf_entry(table, slot);
    uint64_t found = entry ? atomic_load_explicit(entry, memory_order_relaxed) : 0;

    return found != 0 && !(found & ZR_HANDLE_IS_PACKED) &&
           atomic_compare_exchange_strong_explicit(entry, &found, found | IS_MARKED,
                                                   memory_order_acq_rel, memory_order_relaxed);
}

// What shall be in the entry instead of a leaf that cannot change: the leaf packed, nothing, or, if
// it became too full or there is no memory, the leaf without its mark.
static uint64_t pack_leaf(struct zr_slot_table *table, zr_handle leaf)
{
    const _Atomic uint64_t *slots = zr_pool_view_chunk(table->pool, leaf);
    uint64_t words[ZR_LEAF_SLOTS];
    size_t nr_words = 0, i;
    zr_handle packed;

    // Looked at once: a writer who has just taken the mark away may change the number of words.
    for (i = 0; i < ZR_LEAF_SLOTS; i++) {
        words[i] = atomic_load_explicit(&slots[i], memory_order_relaxed);
        nr_words += words[i] != ZR_SLOT_EMPTY;
    }
    if (nr_words == 0) {
        return 0;
    }
    if (nr_words > ZR_PACK_MAX_WORDS ||
        zr_pool_alloc_copy(table->pool, (uint32_t)zr_packed_chunk_bytes(nr_words), &packed) < 0) {
        return leaf.bits;
    }
    zr_packed_chunk_pack(zr_pool_view(table->pool, packed), words);
    return packed.bits | ZR_HANDLE_IS_PACKED;
}

// The leaf of a slot, if its mark is still there.  Returns the chunk that is of no use any more.
static zr_handle try_pack(struct zr_slot_table *table, uint64_t slot)
{
    _Atomic uint64_t *entry;
    zr_handle leaf = {0};
    uint64_t found, instead;

    zr_rcu_read_lock();
    entry = leaf_entry(table, slot);
    found = entry ? atomic_load_explicit(entry, memory_order_acquire) : 0;
    if (found & IS_MARKED) {
        leaf = zr_handle_of_word(found);
        instead = pack_leaf(table, leaf);
        if (!atomic_compare_exchange_strong_explicit(entry, &found, instead, memory_order_acq_rel,
                                                     memory_order_relaxed)) {
            // A writer or a trim was faster; nobody saw ours.
            if (instead & ZR_HANDLE_IS_PACKED) {
                zr_pool_free(table->pool, &instead, 1);
            }
            leaf.bits = 0;
        } else if (instead == leaf.bits) {
            leaf.bits = 0;
        }
    }
    zr_rcu_read_unlock();
    return leaf;
}

void zr_slot_table_pack(struct zr_slot_table *table, const uint64_t *slots, size_t nr_slots)
{
    uint64_t chunks[ZR_PACK_LEAVES];
    size_t i;

    zr_rcu_synchronize(); // writers that saw no mark
    for (i = 0; i < nr_slots; i++) {
        chunks[i] = try_pack(table, slots[i]).bits;
    }
    zr_rcu_synchronize(); // readers of the full leaves
    zr_pool_free(table->pool, chunks, nr_slots);
}

static size_t step_of(uint32_t length)
{
    size_t step = (length - 1) / ZR_LENGTH_BYTES;

    return step < ZR_NR_LENGTHS ? step : ZR_NR_LENGTHS - 1; // a raw page and its checksum
}

void zr_slot_table_count(const struct zr_slot_table *table, struct zr_slot_counts *counts)
{
    uint64_t slot;

    memset(counts, 0, sizeof *counts);
    for (slot = 0; slot < table->nr_slots; slot += ZR_LEAF_SLOTS) {
        struct zr_leaf leaf = {0};
        size_t i;

        zr_rcu_read_lock();
        slot = zr_slot_table_next_leaf(table, slot);
        if (slot < table->nr_slots) {
            leaf = zr_slot_table_leaf(table, slot);
        }
        if (leaf.packed) {
            counts->nr_packed_leaves++;
            counts->packed_leaf_bytes += zr_handle_length_bytes(leaf.handle);
        }
        for (i = 0; zr_handle_has_object(leaf.handle) && i < ZR_LEAF_SLOTS; i++) {
            uint64_t word = zr_leaf_word(&leaf, i);
            enum zr_slot_kind kind = zr_slot_word_kind(word);

            if (word == ZR_SLOT_EMPTY) {
                continue;
            }
            counts->nr_by_age[zr_slot_word_age(word)]++;
            if (kind == ZR_SLOT_SAME) {
                counts->nr_same++;
                continue;
            }
            counts->nr_huge += kind == ZR_SLOT_HUGE;
            counts->nr_compressed += kind != ZR_SLOT_HUGE;
            counts->stored_bytes += length_of(word);
            counts->nr_by_length[step_of(length_of(word))]++;
        }
        zr_rcu_read_unlock();
    }
}
