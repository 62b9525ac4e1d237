// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "ager.h"
#include "../allocator/rcu.h"

#include <string.h>

#define INTERVAL_S 60
#define INTERVAL_NS (INTERVAL_S * UINT64_C(1000000000))
#define SLICE_NS 500000
#define PAUSE_NS 5000000 // after a slice: a tenth of a CPU while it walks
#define STEP_SHIFT 2     // each age lasts four times as long as the one before

uint64_t zr_ager_least_s(unsigned age)
{
    uint64_t nr_intervals = 0;
    unsigned i;

    // Age 1 may have come at once.  Age i comes in walks whose number is divisible by 4^(i-1), and
    // i + 1 in a later one of them: it lasts so many walks at least.
    for (i = 1; i < age; i++) {
        nr_intervals += UINT64_C(1) << (i - 1) * STEP_SHIFT;
    }
    return nr_intervals * INTERVAL_S;
}

// Whether pages of this age become older in this walk.
static bool is_due(const struct zr_ager *ager, unsigned age)
{
    uint64_t every = UINT64_C(1) << age * STEP_SHIFT;

    return age < ZR_SLOT_AGE_MAX && ager->nr_walks % every == 0;
}

// A hole keeps the word 0.
static bool is_due_word(const struct zr_ager *ager, uint64_t word)
{
    return word != ZR_SLOT_EMPTY && is_due(ager, zr_slot_word_age(word));
}

static void age_words(const struct zr_ager *ager, struct zr_slot_table *table, uint64_t slot,
                      const struct zr_leaf *leaf)
{
    size_t i;

    for (i = 0; i < ZR_LEAF_SLOTS; i++) {
        uint64_t word = zr_leaf_word(leaf, i);

        // A failure only means that the page was just written.
        if (is_due_word(ager, word)) {
            zr_slot_table_replace(table, slot + i, word, zr_slot_word_older(word));
        }
    }
}

// A packed leaf never changes: an older copy takes its place.  Returns the handle that is of no use
// any more, if there is one.
static zr_handle age_packed(const struct zr_ager *ager, struct zr_slot_table *table, uint64_t slot,
                            const struct zr_leaf *leaf)
{
    const zr_handle none = {0};
    size_t nr_words = zr_packed_chunk_nr_words(leaf->packed);
    size_t nr_due = 0, i;
    struct zr_packed_chunk *copy;
    zr_handle handle;

    for (i = 0; i < nr_words; i++) {
        nr_due += is_due_word(ager, leaf->packed->words[i]);
    }
    if (nr_due == 0 ||
        zr_pool_alloc_copy(table->pool, zr_handle_length_bytes(leaf->handle), &handle) < 0) {
        return none;
    }
    copy = zr_pool_view(table->pool, handle);
    memcpy(copy, leaf->packed, zr_handle_length_bytes(leaf->handle));
    for (i = 0; i < nr_words; i++) {
        if (is_due_word(ager, copy->words[i])) {
            copy->words[i] = zr_slot_word_older(copy->words[i]);
        }
    }
    if (zr_slot_table_replace_packed(table, slot, leaf->handle, handle) < 0) {
        zr_pool_free(table->pool, &handle.bits, 1); // a writer was faster
        return none;
    }
    return leaf->handle;
}

static void age_leaf(const struct zr_ager *ager, struct zr_slot_table *table, uint64_t slot)
{
    zr_handle old = {0};
    struct zr_leaf leaf;

    zr_rcu_read_lock();
    leaf = zr_slot_table_leaf(table, slot);
    if (leaf.packed) {
        old = age_packed(ager, table, slot, &leaf);
    } else if (leaf.words) {
        age_words(ager, table, slot, &leaf);
    }
    zr_rcu_read_unlock();
    if (zr_handle_has_object(old)) {
        zr_deferred_free_words(table->deferred, &old.bits, 1);
    }
}

static void begin_walk(struct zr_ager *ager)
{
    ager->nr_walks++;
    ager->is_walking = true;
    ager->table = 0;
    ager->slot = 0;
}

// Goes on until the time is over, or to the end of the walk.
static void continue_walk(struct zr_ager *ager, uint64_t until_ns)
{
    while (ager->table < ager->nr_tables) {
        struct zr_slot_table *table = ager->tables[ager->table];

        zr_rcu_read_lock();
        ager->slot = zr_slot_table_next_leaf(table, ager->slot);
        zr_rcu_read_unlock();
        if (ager->slot >= table->nr_slots) {
            ager->table++;
            ager->slot = 0;
            continue;
        }
        age_leaf(ager, table, ager->slot);
        ager->slot += ZR_LEAF_SLOTS;
        if (zr_worker_now_ns() >= until_ns) {
            return;
        }
    }
    ager->is_walking = false;
}

static uint64_t work(void *opaque)
{
    struct zr_ager *ager = opaque;
    uint64_t now_ns = zr_worker_now_ns();

    if (!ager->is_walking && now_ns >= ager->next_walk_ns) {
        begin_walk(ager);
        ager->next_walk_ns = now_ns + INTERVAL_NS;
    }
    if (ager->is_walking) {
        continue_walk(ager, now_ns + SLICE_NS);
        return PAUSE_NS;
    }
    return ager->next_walk_ns - now_ns;
}

void zr_ager_init(struct zr_ager *ager, struct zr_slot_table **tables, size_t nr_tables)
{
    *ager = (struct zr_ager){.tables = tables, .nr_tables = nr_tables};
}

int zr_ager_start(struct zr_ager *ager)
{
    return zr_worker_start(&ager->worker, work, ager);
}

void zr_ager_stop(struct zr_ager *ager)
{
    zr_worker_stop(&ager->worker);
}

void zr_ager_walk(struct zr_ager *ager)
{
    begin_walk(ager);
    continue_walk(ager, UINT64_MAX);
}
