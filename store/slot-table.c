// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "slot-table.h"
#include "../allocator/rcu.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DIRECTORY_SLOTS (ZR_CHUNK_WORDS * ZR_LEAF_SLOTS)

#define LOST4 ZR_SLOT_LOST_WORD, ZR_SLOT_LOST_WORD, ZR_SLOT_LOST_WORD, ZR_SLOT_LOST_WORD
#define LOST32 LOST4, LOST4, LOST4, LOST4, LOST4, LOST4, LOST4, LOST4
#define LOST128 LOST32, LOST32, LOST32, LOST32

// What is read below a lost entry.  Read-only: a write to it would be a signal.
static const _Atomic uint64_t lost_leaf[ZR_LEAF_SLOTS] = {LOST128, LOST128, LOST128, LOST128};
_Static_assert(ZR_LEAF_SLOTS == 512, "as many as there are above");

uint64_t zr_slot_table_nr_root_entries(uint64_t nr_slots)
{
    return (nr_slots + DIRECTORY_SLOTS - 1) / DIRECTORY_SLOTS;
}

int zr_slot_table_init(struct zr_slot_table *table, struct zr_pool *pool,
                       struct zr_deferred_free *deferred, uint64_t nr_slots, uint64_t limit_bytes,
                       _Atomic uint64_t *stored, uint64_t stored_bytes)
{
    *table = (struct zr_slot_table){
        .pool = pool,
        .deferred = deferred,
        .account = {.limit_bytes = limit_bytes, .stored_bytes = stored_bytes},
        .nr_slots = nr_slots,
        .nr_root_entries = zr_slot_table_nr_root_entries(nr_slots),
        .state = stored,
        .is_stored = stored != NULL,
    };
    if (!stored) {
        table->state = calloc(1 + table->nr_root_entries, sizeof *table->state);
    }
    if (!table->state) {
        return -ENOMEM;
    }
    table->root = table->state + 1;
    return 0;
}

void zr_slot_table_fini(struct zr_slot_table *table)
{
    if (!table->is_stored) {
        zr_slot_table_extract(table, 0, table->nr_slots);
    }
    zr_deferred_free_drain(table->deferred); // the account is in use until then
    if (!table->is_stored) {
        free(table->state);
    }
    table->state = table->root = NULL;
}

static bool is_lost(uint64_t entry)
{
    return entry == ZR_SLOT_LOST_WORD;
}

// The chunk below an entry; NULL if there is none.
static _Atomic uint64_t *chunk_of(const struct zr_slot_table *table, uint64_t entry)
{
    zr_handle handle = {entry};

    return !is_lost(entry) && zr_handle_has_object(handle) ? zr_pool_view_chunk(table->pool, handle)
                                                           : NULL;
}

static _Atomic uint64_t *root_entry(const struct zr_slot_table *table, uint64_t slot)
{
    return &table->root[slot / DIRECTORY_SLOTS];
}

// The entry of a leaf in its directory, NULL if there is no directory.
static _Atomic uint64_t *leaf_entry(const struct zr_slot_table *table, uint64_t slot)
{
    _Atomic uint64_t *directory =
        chunk_of(table, atomic_load_explicit(root_entry(table, slot), memory_order_acquire));

    return directory ? &directory[slot / ZR_LEAF_SLOTS % ZR_CHUNK_WORDS] : NULL;
}

// The lowest entry that stands for a slot, and how many slots it stands for: that of its leaf, or
// of the root where there is no directory.
static uint64_t lowest_entry(const struct zr_slot_table *table, uint64_t slot, uint64_t *nr_slots)
{
    uint64_t entry = atomic_load_explicit(root_entry(table, slot), memory_order_acquire);
    const _Atomic uint64_t *directory = chunk_of(table, entry);

    *nr_slots = directory ? ZR_LEAF_SLOTS : DIRECTORY_SLOTS;
    return directory ? atomic_load_explicit(&directory[slot / ZR_LEAF_SLOTS % ZR_CHUNK_WORDS],
                                            memory_order_acquire)
                     : entry;
}

_Atomic uint64_t *zr_slot_table_leaf(const struct zr_slot_table *table, uint64_t slot)
{
    uint64_t nr_slots;
    uint64_t entry = lowest_entry(table, slot, &nr_slots);

    return is_lost(entry) ? (_Atomic uint64_t *)(uintptr_t)lost_leaf : chunk_of(table, entry);
}

// The chunk that an entry refers to, made if there is none; NULL without memory for it.
static _Atomic uint64_t *get_chunk(struct zr_slot_table *table, _Atomic uint64_t *entry)
{
    uint64_t found = atomic_load_explicit(entry, memory_order_acquire);
    _Atomic uint64_t *chunk = chunk_of(table, found);
    zr_handle made;
    size_t i;

    // Again if somebody lost it or healed it meanwhile.
    while (!chunk) {
        if (zr_pool_alloc_chunk(table->pool, &made) < 0) {
            return NULL;
        }
        chunk = zr_pool_view_chunk(table->pool, made);
        for (i = 0; is_lost(found) && i < ZR_CHUNK_WORDS; i++) {
            atomic_store_explicit(&chunk[i], ZR_SLOT_LOST_WORD, memory_order_relaxed);
        }
        if (!atomic_compare_exchange_strong_explicit(entry, &found, made.bits, memory_order_acq_rel,
                                                     memory_order_acquire)) {
            zr_pool_free(table->pool, &made.bits, 1); // lost the race; nobody saw ours
            chunk = chunk_of(table, found);
        }
    }
    return chunk;
}

// The leaf of a slot, made if there is none; NULL without memory for it.
static _Atomic uint64_t *get_leaf(struct zr_slot_table *table, uint64_t slot)
{
    _Atomic uint64_t *directory = get_chunk(table, root_entry(table, slot));

    return directory ? get_chunk(table, &directory[slot / ZR_LEAF_SLOTS % ZR_CHUNK_WORDS]) : NULL;
}

static uint64_t find_next(const struct zr_slot_table *table, uint64_t slot, uint64_t end,
                          bool with_lost)
{
    while (slot < end) {
        uint64_t stride;
        uint64_t entry = lowest_entry(table, slot, &stride);

        if (is_lost(entry) ? with_lost : entry != 0) {
            return slot;
        }
        slot = (slot / stride + 1) * stride;
    }
    return end;
}

uint64_t zr_slot_table_next_leaf(const struct zr_slot_table *table, uint64_t slot, uint64_t end)
{
    return find_next(table, slot, end, false);
}

uint64_t zr_slot_table_next_used(const struct zr_slot_table *table, uint64_t slot, uint64_t end)
{
    return find_next(table, slot, end, true);
}

// Slots from slot on that one entry of so many slots stands for.
static uint64_t slots_below(const struct zr_slot_table *table, uint64_t slot, uint64_t nr_slots)
{
    uint64_t left = slot < table->nr_slots ? table->nr_slots - slot : 0;

    return left < nr_slots ? left : nr_slots;
}

static uint64_t nr_below_lost_of(const struct zr_slot_table *table, uint64_t slot)
{
    uint64_t entry, nr = 0;
    const _Atomic uint64_t *directory;
    size_t i;

    zr_rcu_read_lock();
    entry = atomic_load_explicit(root_entry(table, slot), memory_order_acquire);
    directory = chunk_of(table, entry);
    for (i = 0; directory && i < ZR_CHUNK_WORDS; i++) {
        if (is_lost(atomic_load_explicit(&directory[i], memory_order_relaxed))) {
            nr += slots_below(table, slot + i * ZR_LEAF_SLOTS, ZR_LEAF_SLOTS);
        }
    }
    zr_rcu_read_unlock();
    return is_lost(entry) ? slots_below(table, slot, DIRECTORY_SLOTS) : nr;
}

uint64_t zr_slot_table_nr_below_lost(const struct zr_slot_table *table)
{
    uint64_t slot, nr = 0;

    for (slot = 0; slot < table->nr_slots; slot += DIRECTORY_SLOTS) {
        nr += nr_below_lost_of(table, slot);
    }
    return nr;
}

uint64_t zr_slot_table_room_bytes(const struct zr_slot_table *table, uint64_t first_slot,
                                  size_t nr_slots)
{
    const _Atomic uint64_t *leaf;
    uint64_t bytes;
    size_t i;

    if (!zr_account_has_limit(&table->account)) {
        return UINT64_MAX;
    }
    bytes = zr_account_room_bytes(&table->account);
    zr_rcu_read_lock();
    leaf = zr_slot_table_leaf(table, first_slot);
    for (i = 0; leaf && i < nr_slots; i++) {
        bytes += zr_slot_word_length_bytes(zr_leaf_word(leaf, first_slot + i));
    }
    zr_rcu_read_unlock();
    return bytes;
}

int zr_slot_table_store(struct zr_slot_table *table, uint64_t first_slot, uint64_t *words,
                        size_t nr_words)
{
    uint64_t new_bytes = 0, seen_bytes = 0, old_bytes = 0, growth = 0;
    _Atomic uint64_t *leaf;
    int rc;
    size_t i;

    zr_rcu_read_lock();
    leaf = get_leaf(table, first_slot);
    rc = leaf ? 0 : -ENOSPC;
    if (leaf) {
        leaf += first_slot % ZR_LEAF_SLOTS;
        for (i = 0; i < nr_words; i++) {
            new_bytes += zr_slot_word_length_bytes(words[i]);
            seen_bytes +=
                zr_slot_word_length_bytes(atomic_load_explicit(&leaf[i], memory_order_relaxed));
        }
        // An owner at its limit may still overwrite, so only the growth is charged ahead.
        growth = new_bytes > seen_bytes ? new_bytes - seen_bytes : 0;
        rc = zr_account_try_charge(&table->account, growth) ? 0 : -EDQUOT;
    }
    for (i = 0; rc == 0 && i < nr_words; i++) {
        words[i] = atomic_exchange_explicit(&leaf[i], words[i], memory_order_acq_rel);
        old_bytes += zr_slot_word_length_bytes(words[i]);
    }
    zr_rcu_read_unlock();
    if (rc == 0) {
        // Unsigned: where new is more than growth and old, this adds the difference.
        zr_account_uncharge(&table->account, growth + old_bytes - new_bytes);
        zr_deferred_free_words(table->deferred, words, nr_words);
    }
    return rc;
}

int zr_slot_table_replace(struct zr_slot_table *table, uint64_t slot, uint64_t old, uint64_t word)
{
    uint64_t old_bytes = zr_slot_word_length_bytes(old),
             new_bytes = zr_slot_word_length_bytes(word);
    uint64_t growth = new_bytes > old_bytes ? new_bytes - old_bytes : 0;
    _Atomic uint64_t *leaf = get_leaf(table, slot);

    if (!leaf) {
        return -ENOSPC;
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

bool zr_slot_table_move(struct zr_slot_table *table, _Atomic uint64_t *entry, uint64_t old,
                        uint64_t word)
{
    const uint64_t old_bytes = zr_slot_word_length_bytes(old);

    if (!atomic_compare_exchange_strong_explicit(entry, &old, word, memory_order_acq_rel,
                                                 memory_order_relaxed)) {
        return false;
    }
    if (zr_slot_word_length_bytes(word) != old_bytes) {
        // Unsigned: where it became longer, this adds the difference.
        zr_account_uncharge(&table->account, old_bytes - zr_slot_word_length_bytes(word));
    }
    return true;
}

// Hands over what was taken, and all below it.
static void drop(struct zr_slot_table *table, zr_handle chunk, enum zr_chunk_sort sort)
{
    if (zr_handle_has_object(chunk)) {
        zr_deferred_free_chunk(table->deferred, chunk, sort, &table->account);
    }
}

// Takes the chunk that an entry refers to out of it.  Loads first: an exchange would take the cache
// line exclusively even where the entry is 0.
static zr_handle take(_Atomic uint64_t *entry)
{
    if (atomic_load_explicit(entry, memory_order_relaxed) == 0) {
        return (zr_handle){0};
    }
    return (zr_handle){atomic_exchange_explicit(entry, 0, memory_order_acq_rel)};
}

// Some of the slots of one leaf.
static void extract_slots(struct zr_slot_table *table, uint64_t first_slot, uint64_t nr_slots)
{
    uint64_t words[ZR_LEAF_SLOTS];
    _Atomic uint64_t *leaf;
    uint64_t bytes = 0;
    size_t nr_words = 0;
    uint64_t i;

    zr_rcu_read_lock();
    leaf = zr_slot_table_leaf(table, first_slot);
    if (leaf && leaf != lost_leaf) {
        leaf += first_slot % ZR_LEAF_SLOTS;
        for (i = 0; i < nr_slots; i++) {
            if (atomic_load_explicit(&leaf[i], memory_order_relaxed) != ZR_SLOT_EMPTY) {
                words[nr_words] =
                    atomic_exchange_explicit(&leaf[i], ZR_SLOT_EMPTY, memory_order_acq_rel);
                bytes += zr_slot_word_length_bytes(words[nr_words++]);
            }
        }
    }
    zr_rcu_read_unlock();
    zr_account_uncharge(&table->account, bytes);
    zr_deferred_free_words(table->deferred, words, nr_words);
}

static void extract_leaf(struct zr_slot_table *table, uint64_t slot)
{
    _Atomic uint64_t *entry;
    zr_handle leaf = {0};

    zr_rcu_read_lock();
    entry = leaf_entry(table, slot);
    if (entry) {
        leaf = take(entry);
    }
    zr_rcu_read_unlock();
    drop(table, leaf, ZR_CHUNK_OF_OBJECTS);
}

void zr_slot_table_extract(struct zr_slot_table *table, uint64_t first_slot, uint64_t nr_slots)
{
    uint64_t end = first_slot + nr_slots;
    uint64_t slot, next;

    // Nothing lies behind the last slot, so a range up to there covers its leaf and directory
    // whole.
    if (end == table->nr_slots) {
        end = table->nr_root_entries * DIRECTORY_SLOTS;
    }
    for (slot = first_slot; slot < end; slot = next) {
        if (slot % DIRECTORY_SLOTS == 0 && end - slot >= DIRECTORY_SLOTS) {
            next = slot + DIRECTORY_SLOTS;
            drop(table, take(&table->root[slot / DIRECTORY_SLOTS]), ZR_CHUNK_OF_CHUNKS);
            continue;
        }
        next = (slot / ZR_LEAF_SLOTS + 1) * ZR_LEAF_SLOTS;
        if (slot % ZR_LEAF_SLOTS == 0 && end >= next) {
            extract_leaf(table, slot);
            continue;
        }
        next = next < end ? next : end;
        extract_slots(table, slot, next - slot);
    }
}

void zr_slot_table_lose(struct zr_slot_table *table)
{
    uint64_t i;

    atomic_store_explicit(table->state, ZR_TABLE_LOST, memory_order_release);
    for (i = 0; i < table->nr_root_entries; i++) {
        uint64_t old =
            atomic_exchange_explicit(&table->root[i], ZR_SLOT_LOST_WORD, memory_order_acq_rel);

        if (!is_lost(old)) {
            drop(table, (zr_handle){old}, ZR_CHUNK_OF_CHUNKS);
        }
    }
}

// Empties an entry or a word if it is lost.
static void heal(_Atomic uint64_t *entry)
{
    uint64_t found = ZR_SLOT_LOST_WORD;

    if (is_lost(atomic_load_explicit(entry, memory_order_relaxed))) {
        atomic_compare_exchange_strong_explicit(entry, &found, 0, memory_order_acq_rel,
                                                memory_order_relaxed);
    }
}

static void heal_below(const struct zr_slot_table *table, _Atomic uint64_t *root)
{
    _Atomic uint64_t *directory, *leaf;
    size_t i, k;

    // From above: a chunk that a writer makes of a lost entry is there by now, or never will be.
    zr_rcu_read_lock();
    heal(root);
    directory = chunk_of(table, atomic_load_explicit(root, memory_order_acquire));
    for (i = 0; directory && i < ZR_CHUNK_WORDS; i++) {
        heal(&directory[i]);
        leaf = chunk_of(table, atomic_load_explicit(&directory[i], memory_order_acquire));
        for (k = 0; leaf && k < ZR_LEAF_SLOTS; k++) {
            heal(&leaf[k]);
        }
    }
    zr_rcu_read_unlock();
}

void zr_slot_table_heal(struct zr_slot_table *table)
{
    uint64_t i;

    for (i = 0; i < table->nr_root_entries; i++) {
        heal_below(table, &table->root[i]);
    }
    atomic_store_explicit(table->state, 0, memory_order_release);
}
