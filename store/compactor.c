// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "compactor.h"
#include "../allocator/rcu.h"

#include <errno.h>
#include <string.h>

#define SLICE_NS 500000
#define QUIET_PAUSE_NS 500000
#define BUSY_PAUSE_NS 5000000
#define IDLE_PAUSE_NS 100000000
#define FRUITLESS_NS 20000000       // a full pool is not searched more often
#define NS_PER_BUSY_REQUEST 1000000 // more than one in this time: the server is busy

void zr_compactor_init(struct zr_compactor *compactor, struct zr_pool *pool,
                       struct zr_deferred_free *deferred, struct zr_codec *codec,
                       struct zr_slot_table **tables, size_t nr_tables)
{
    memset(compactor, 0, sizeof *compactor);
    compactor->pool = pool;
    compactor->deferred = deferred;
    compactor->codec = codec;
    compactor->tables = tables;
    compactor->nr_tables = nr_tables;
    pthread_mutex_init(&compactor->pass_lock, NULL);
}

void zr_compactor_fini(struct zr_compactor *compactor)
{
    pthread_mutex_destroy(&compactor->pass_lock);
}

// Moves the object of a word.  True if it was moved: the old one is to be freed then.  Inside the
// read-side section in which the word was loaded.
static bool move_object(struct zr_compactor *compactor, struct zr_slot_table *table, uint64_t slot,
                        uint64_t word)
{
    zr_handle old = zr_handle_of_word(word);
    zr_handle new;

    if (zr_pool_alloc_copy(compactor->pool, zr_handle_length_bytes(old), &new) < 0) {
        return false;
    }
    memcpy(zr_pool_view(compactor->pool, new), zr_pool_view(compactor->pool, old),
           zr_handle_length_bytes(old));
    if (zr_slot_table_replace(table, slot, word, (word ^ old.bits) | new.bits) < 0) {
        zr_pool_free(compactor->pool, &new.bits, 1); // a writer was faster
        return false;
    }
    return true;
}

// Whether something in a packed leaf, or the leaf itself, is in the way.
static bool wants_packed(const struct zr_compactor *compactor, const struct zr_leaf *leaf)
{
    size_t nr_words = zr_packed_chunk_nr_words(leaf->packed);
    size_t i;

    if (zr_evacuation_wants(compactor->pool, leaf->handle)) {
        return true;
    }
    for (i = 0; i < nr_words; i++) {
        zr_handle handle = zr_handle_of_word(leaf->packed->words[i]);

        if (zr_handle_has_object(handle) && zr_evacuation_wants(compactor->pool, handle)) {
            return true;
        }
    }
    return false;
}

// Does the leaf of a slot, which is its first.  False: it is packed, and something is to move.
static bool try_compact_leaf(struct zr_compactor *compactor, struct zr_slot_table *table,
                             uint64_t slot)
{
    uint64_t moved[ZR_LEAF_SLOTS];
    size_t nr_moved = 0, nr_used = 0;
    struct zr_leaf leaf;
    bool is_done = true;
    size_t i;

    zr_rcu_read_lock();
    leaf = zr_slot_table_leaf(table, slot);
    if (leaf.packed) {
        is_done = !wants_packed(compactor, &leaf);
    }
    for (i = 0; leaf.words && i < ZR_LEAF_SLOTS; i++) {
        uint64_t word = zr_leaf_word(&leaf, i);
        zr_handle handle = zr_handle_of_word(word);

        nr_used += word != ZR_SLOT_EMPTY;
        if (zr_handle_has_object(handle) && zr_evacuation_wants(compactor->pool, handle) &&
            move_object(compactor, table, slot + i, word)) {
            moved[nr_moved++] = word;
        }
    }
    if (leaf.words && nr_used <= ZR_PACK_MAX_WORDS) {
        // Not while the server is busy: a leaf may just be filling up.
        if (compactor->is_busy) {
            compactor->has_passed_over_sparse = true;
        } else if (zr_slot_table_try_mark(table, slot)) {
            compactor->sparse[compactor->nr_sparse++] = slot;
        }
    }
    zr_rcu_read_unlock();
    zr_deferred_free_words(compactor->deferred, moved, nr_moved);
    atomic_fetch_add_explicit(&compactor->nr_moved_pages, nr_moved, memory_order_relaxed);
    return is_done;
}

static void compact_leaf(struct zr_compactor *compactor, struct zr_slot_table *table, uint64_t slot)
{
    if (!try_compact_leaf(compactor, table, slot) && zr_slot_table_unpack(table, slot) == 0) {
        try_compact_leaf(compactor, table, slot);
    }
}

static void pack_sparse(struct zr_compactor *compactor, struct zr_slot_table *table)
{
    if (compactor->nr_sparse > 0) {
        zr_slot_table_pack(table, compactor->sparse, compactor->nr_sparse);
        compactor->nr_sparse = 0;
    }
}

static bool begin_pass_locked(struct zr_compactor *compactor, enum zr_urgency urgency)
{
    compactor->table = 0;
    compactor->slot = 0;
    compactor->is_passing = zr_evacuation_begin(&compactor->evacuation, compactor->pool, urgency) ||
                            (urgency == ZR_URGENCY_QUIET && compactor->has_passed_over_sparse);
    compactor->has_passed_over_sparse &= !compactor->is_passing;
    return compactor->is_passing;
}

// Goes on with the pass until the time is over, or to its end; then frees the spans that became
// empty and returns their number.
static uint64_t continue_pass_locked(struct zr_compactor *compactor, uint64_t until_ns)
{
    uint64_t nr_freed;

    while (compactor->table < compactor->nr_tables) {
        struct zr_slot_table *table = compactor->tables[compactor->table];
        bool is_over = false;

        zr_rcu_read_lock();
        compactor->slot = zr_slot_table_next_leaf(table, compactor->slot);
        zr_rcu_read_unlock();
        if (compactor->slot < table->nr_slots) {
            compact_leaf(compactor, table, compactor->slot);
            compactor->slot += ZR_LEAF_SLOTS;
            is_over = zr_worker_now_ns() >= until_ns;
        } else {
            compactor->table++;
            compactor->slot = 0;
        }
        if (is_over || compactor->slot == 0 || compactor->nr_sparse == ZR_PACK_LEAVES) {
            pack_sparse(compactor, table);
        }
        if (is_over) {
            return 0;
        }
    }
    zr_deferred_free_drain(compactor->deferred);
    nr_freed = zr_evacuation_end(&compactor->evacuation);
    atomic_fetch_add_explicit(&compactor->nr_freed_spans, nr_freed, memory_order_relaxed);
    compactor->is_passing = false;
    return nr_freed;
}

// Whether requests came since the last call at more than a thousand a second.
static void look_at_load_locked(struct zr_compactor *compactor)
{
    uint64_t nr_requests = zr_codec_nr_gets(compactor->codec) - compactor->seen_requests;
    uint64_t ns = zr_worker_now_ns() - compactor->seen_ns;

    compactor->seen_requests += nr_requests;
    compactor->seen_ns += ns;
    compactor->is_busy = nr_requests > ns / NS_PER_BUSY_REQUEST;
}

static uint64_t work(void *opaque)
{
    struct zr_compactor *compactor = opaque;
    uint64_t pause_ns = IDLE_PAUSE_NS;

    pthread_mutex_lock(&compactor->pass_lock);
    look_at_load_locked(compactor);
    if (compactor->is_passing ||
        begin_pass_locked(compactor, compactor->is_busy ? ZR_URGENCY_BUSY : ZR_URGENCY_QUIET)) {
        uint64_t nr_freed = continue_pass_locked(compactor, zr_worker_now_ns() + SLICE_NS);

        // A pass for which there was no room would find the same spans at once again.
        if (compactor->is_passing || nr_freed > 0) {
            pause_ns = compactor->is_busy ? BUSY_PAUSE_NS : QUIET_PAUSE_NS;
        }
    }
    pthread_mutex_unlock(&compactor->pass_lock);
    return pause_ns;
}

int zr_compactor_start(struct zr_compactor *compactor)
{
    return zr_worker_start(&compactor->worker, work, compactor);
}

void zr_compactor_stop(struct zr_compactor *compactor)
{
    zr_worker_stop(&compactor->worker);
    pthread_mutex_lock(&compactor->pass_lock);
    zr_evacuation_end(&compactor->evacuation);
    compactor->is_passing = false;
    pthread_mutex_unlock(&compactor->pass_lock);
}

uint64_t zr_compactor_pass(struct zr_compactor *compactor, enum zr_urgency urgency)
{
    uint64_t nr_freed = 0;

    pthread_mutex_lock(&compactor->pass_lock);
    if (compactor->is_passing || begin_pass_locked(compactor, urgency)) {
        nr_freed = continue_pass_locked(compactor, UINT64_MAX);
    }
    pthread_mutex_unlock(&compactor->pass_lock);
    return nr_freed;
}

bool zr_compactor_reclaim(struct zr_compactor *compactor)
{
    uint64_t now = zr_worker_now_ns();

    if (zr_deferred_free_drain(compactor->deferred) || zr_pool_await_transit(compactor->pool)) {
        return true;
    }
    // In a pool that is full for good, not every failing write shall search it all.
    if (now - atomic_load_explicit(&compactor->fruitless_ns, memory_order_relaxed) < FRUITLESS_NS) {
        return false;
    }
    if (zr_compactor_pass(compactor, ZR_URGENCY_FULL) > 0) {
        return true;
    }
    atomic_store_explicit(&compactor->fruitless_ns, now, memory_order_relaxed);
    return false;
}
