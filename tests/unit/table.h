// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// A slot table for the tests of it, without a background thread.
#ifndef ZR_TESTS_TABLE_H
#define ZR_TESTS_TABLE_H

#include "unit.h"

#include "store/slot-table.h"

#define DIRECTORY_SLOTS (ZR_LEAF_SLOTS * ZR_LEAF_SLOTS) // 1 GiB
#define OBJECT_BYTES 64

// Two whole directories, and a third that ends in its fourth leaf.
#define NR_SLOTS (2 * DIRECTORY_SLOTS + 3 * ZR_LEAF_SLOTS + 77)

// The slots on both sides of each boundary.
#define NR_EDGES 12
extern const uint64_t edges[NR_EDGES];

extern struct zr_pool pool;
extern struct zr_deferred_free *deferred;
extern struct zr_slot_table table;

// On one CPU from then on, so that chunks can be counted: deferred free keeps one for each.
void start_table(uint64_t nr_slots);

// Checks that nothing of the table is left.
void end_table(void);

// The word of a new object that says which slot it belongs to.
uint64_t make_object(uint64_t slot);
bool is_object_of(uint64_t word, uint64_t slot);

int store(uint64_t slot, uint64_t word);
uint64_t load(uint64_t slot);

// When all that was handed to deferred free is freed.  Chunks: directories and leaves.
uint64_t nr_objects(void);
uint64_t nr_chunks(void);

#endif
