// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Walk: visits every slot word of some tables but what is below lost entries, leaf by leaf, in
// slices.  Whatever goes over all pages (compaction, ageing, counting) is a visitor of it.
//
// A visitor may return another word for a page.  The walk publishes it by compare-exchange, so a
// request that changed the page meanwhile wins; it frees the object that lost, and hands the one
// that was replaced to deferred free.
//
// Threads: a walk belongs to one thread at a time; walks may overlap with each other and with all
// requests.  It allocates nothing and blocks only in deferred free, outside read-side sections.
#ifndef ZR_WALK_H
#define ZR_WALK_H

#include "slot-table.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Returns what is to take the place of word, which is not empty: word itself if nothing is, and
// always if it is lost.  An object that it makes for that, no longer than the old one, is the
// walk's from then on.  Inside the read-side section in which word was loaded.
typedef uint64_t (*zr_visit)(void *opaque, struct zr_slot_table *table, uint64_t slot,
                             uint64_t word);

struct zr_walk {
    struct zr_slot_table *const *tables; // borrowed
    size_t nr_tables;
    size_t table; // where it is
    uint64_t slot;
    uint64_t nr_replaced; // words that it published
};

// To the first leaf of the first table.
void zr_walk_begin(struct zr_walk *walk, struct zr_slot_table *const *tables, size_t nr_tables);

// To the next leaf that exists, from where it is: walk->tables[walk->table] has it at walk->slot.
// False at the end of the last table.
bool zr_walk_find_leaf(struct zr_walk *walk);

// Goes on, by one leaf at least, until the monotonic clock shows until_ns.  True at the end of the
// last table.  Outside a read-side section.
bool zr_walk_continue(struct zr_walk *walk, uint64_t until_ns, zr_visit visit, void *opaque);

#endif
