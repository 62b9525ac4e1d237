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

// What an entry of the root or of a directory refers to, NULL if nothing.
static _Atomic uint64_t *chunk_of(const struct zr_slot_table *table, _Atomic uint64_t *entry)
{
    zr_handle handle = {atomic_load_explicit(entry, memory_order_acquire)};

    return zr_handle_has_object(handle) ? zr_pool_view_chunk(table->pool, handle) : NULL;
}

static _Atomic uint64_t *root_entry(const struct zr_slot_table *table, uint64_t slot)
{
    return &table->root[slot / DIRECTORY_SLOTS];
}

static uint64_t directory_index(uint64_t slot)
{
    return slot / ZR_LEAF_SLOTS % ZR_CHUNK_WORDS;
}

static _Atomic uint64_t *find_leaf(const struct zr_slot_table *table, uint64_t slot)
{
    _Atomic uint64_t *directory = chunk_of(table, root_entry(table, slot));

    return directory ? chunk_of(table, &directory[directory_index(slot)]) : NULL;
}

// The chunk of an entry, made if there is none; NULL without memory for it.
static _Atomic uint64_t *get_chunk(struct zr_slot_table *table, _Atomic uint64_t *entry)
{
    _Atomic uint64_t *chunk = chunk_of(table, entry);
    uint64_t none = 0;
    zr_handle handle;

    if (chunk || zr_pool_alloc_chunk(table->pool, &handle) < 0) {
        return chunk;
    }
    if (!atomic_compare_exchange_strong_explicit(entry, &none, handle.bits, memory_order_acq_rel,
                                                 memory_order_acquire)) {
        zr_pool_free(table->pool, &handle.bits, 1); // another writer was first; nobody saw ours
        handle.bits = none;
    }
    return zr_pool_view_chunk(table->pool, handle);
}

static _Atomic uint64_t *get_leaf(struct zr_slot_table *table, uint64_t slot)
{
    _Atomic uint64_t *directory = get_chunk(table, root_entry(table, slot));

    return directory ? get_chunk(table, &directory[directory_index(slot)]) : NULL;
}

const _Atomic uint64_t *zr_slot_table_leaf(const struct zr_slot_table *table, uint64_t slot)
{
    return find_leaf(table, slot);
}

uint64_t zr_slot_table_next_leaf(const struct zr_slot_table *table, uint64_t slot)
{
    while (slot < table->nr_slots) {
        _Atomic uint64_t *directory = chunk_of(table, root_entry(table, slot));

        if (!directory) {
            slot = (slot / DIRECTORY_SLOTS + 1) * DIRECTORY_SLOTS;
        } else if (!chunk_of(table, &directory[directory_index(slot)])) {
            slot = (slot / ZR_LEAF_SLOTS + 1) * ZR_LEAF_SLOTS;
        } else {
            return slot;
        }
    }
    return table->nr_slots;
}

int zr_slot_table_store(struct zr_slot_table *table, uint64_t first_slot, uint64_t *words,
                        size_t nr_words)
{
    uint64_t new_bytes = 0, seen_bytes = 0, old_bytes = 0, growth = 0;
    _Atomic uint64_t *leaf;
    int rc = 0;
    size_t i;

    zr_rcu_read_lock();
    leaf = get_leaf(table, first_slot);
    if (leaf) {
        leaf += first_slot % ZR_LEAF_SLOTS;
        for (i = 0; i < nr_words; i++) {
            new_bytes += length_of(words[i]);
            seen_bytes += length_of(atomic_load_explicit(&leaf[i], memory_order_relaxed));
        }
        // An owner at its limit may still overwrite, so only the growth is charged ahead.
        growth = new_bytes > seen_bytes ? new_bytes - seen_bytes : 0;
        rc = zr_account_try_charge(&table->account, growth) ? 0 : -EDQUOT;
    } else {
        rc = -ENOSPC;
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

int zr_slot_table_replace(struct zr_slot_table *table, uint64_t slot, uint64_t old, uint64_t word)
{
    uint64_t old_bytes = length_of(old), new_bytes = length_of(word);
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

// Detaches what an entry refers to.  Looking before exchanging keeps empty tables in shared cache.
static void detach(struct zr_slot_table *table, _Atomic uint64_t *entry)
{
    zr_handle handle;

    if (atomic_load_explicit(entry, memory_order_relaxed) == 0) {
        return;
    }
    handle.bits = atomic_exchange_explicit(entry, 0, memory_order_acq_rel);
    if (zr_handle_has_object(handle)) {
        zr_deferred_free_chunk(table->deferred, handle, &table->account);
    }
}

static void extract_in_leaf(struct zr_slot_table *table, uint64_t first_slot, uint64_t nr_slots)
{
    uint64_t words[ZR_LEAF_SLOTS];
    _Atomic uint64_t *leaf;
    uint64_t bytes = 0;
    size_t nr_words = 0;
    uint64_t i;

    zr_rcu_read_lock();
    leaf = find_leaf(table, first_slot);
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
            detach(table, root_entry(table, slot));
            continue;
        }
        next = (slot / ZR_LEAF_SLOTS + 1) * ZR_LEAF_SLOTS;
        if (slot % ZR_LEAF_SLOTS == 0 && end >= next) {
            _Atomic uint64_t *directory;

            zr_rcu_read_lock();
            directory = chunk_of(table, root_entry(table, slot));
            if (directory) {
                detach(table, &directory[directory_index(slot)]);
            }
            zr_rcu_read_unlock();
            continue;
        }
        next = next < end ? next : end;
        extract_in_leaf(table, slot, next - slot);
    }
}

void zr_slot_table_count(const struct zr_slot_table *table, struct zr_slot_counts *counts)
{
    uint64_t slot;

    memset(counts, 0, sizeof *counts);
    for (slot = 0; slot < table->nr_slots; slot += ZR_LEAF_SLOTS) {
        const _Atomic uint64_t *leaf;
        size_t i;

        zr_rcu_read_lock();
        slot = zr_slot_table_next_leaf(table, slot);
        leaf = slot < table->nr_slots ? find_leaf(table, slot) : NULL;
        for (i = 0; leaf && i < ZR_LEAF_SLOTS; i++) {
            uint64_t word = atomic_load_explicit(&leaf[i], memory_order_relaxed);
            enum zr_slot_kind kind = zr_slot_word_kind(word);

            if (kind == ZR_SLOT_SAME) {
                counts->nr_same += word != ZR_SLOT_EMPTY;
                continue;
            }
            counts->nr_huge += kind == ZR_SLOT_HUGE;
            counts->nr_compressed += kind != ZR_SLOT_HUGE;
            counts->stored_bytes += length_of(word);
        }
        zr_rcu_read_unlock();
    }
}
