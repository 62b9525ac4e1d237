// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "walk.h"
#include "../allocator/rcu.h"
#include "../allocator/worker.h"

void zr_walk_begin(struct zr_walk *walk, struct zr_slot_table *const *tables, size_t nr_tables)
{
    *walk = (struct zr_walk){.tables = tables, .nr_tables = nr_tables};
}

static bool is_same_object(uint64_t a, uint64_t b)
{
    return zr_handle_of_word(a).bits == zr_handle_of_word(b).bits;
}

// True if word took the place of old, and old's object is to be freed.
static bool publish(struct zr_walk *walk, struct zr_slot_table *table, _Atomic uint64_t *entry,
                    uint64_t old, uint64_t word)
{
    bool is_published = zr_slot_table_move(table, entry, old, word);

    walk->nr_replaced += is_published;
    if (is_same_object(old, word)) {
        return false;
    }
    if (!is_published) {
        zr_pool_free(table->pool, &word, 1); // lost the race; nobody saw it
    }
    return is_published;
}

// The leaf of a slot, which is its first.
static void visit_leaf(struct zr_walk *walk, struct zr_slot_table *table, zr_visit visit,
                       void *opaque)
{
    uint64_t replaced[ZR_LEAF_SLOTS];
    size_t nr_replaced = 0, i;
    _Atomic uint64_t *leaf;

    zr_rcu_read_lock();
    leaf = zr_slot_table_leaf(table, walk->slot);
    for (i = 0; leaf && i < ZR_LEAF_SLOTS; i++) {
        uint64_t old = zr_leaf_word(leaf, i);
        uint64_t word = old == ZR_SLOT_EMPTY ? old : visit(opaque, table, walk->slot + i, old);

        if (word != old && publish(walk, table, &leaf[i], old, word)) {
            replaced[nr_replaced++] = old;
        }
    }
    zr_rcu_read_unlock();
    zr_deferred_free_words(table->deferred, replaced, nr_replaced);
}

bool zr_walk_find_leaf(struct zr_walk *walk)
{
    for (; walk->table < walk->nr_tables; walk->table++, walk->slot = 0) {
        struct zr_slot_table *table = walk->tables[walk->table];

        zr_rcu_read_lock();
        walk->slot = zr_slot_table_next_leaf(table, walk->slot, table->nr_slots);
        zr_rcu_read_unlock();
        if (walk->slot < table->nr_slots) {
            return true;
        }
    }
    return false;
}

bool zr_walk_continue(struct zr_walk *walk, uint64_t until_ns, zr_visit visit, void *opaque)
{
    while (zr_walk_find_leaf(walk)) {
        visit_leaf(walk, walk->tables[walk->table], visit, opaque);
        walk->slot += ZR_LEAF_SLOTS;
        if (zr_worker_now_ns() >= until_ns) {
            return false;
        }
    }
    return true;
}
