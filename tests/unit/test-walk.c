// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "table.h"

#include "allocator/rcu.h"
#include "store/walk.h"

static struct zr_slot_table *const tables[] = {&table, &table, &table};

static uint64_t seen[3 * NR_EDGES];
static size_t nr_seen;

static uint64_t see(void *opaque, struct zr_slot_table *of, uint64_t slot, uint64_t word)
{
    ck_assert_ptr_eq(of, &table);
    ck_assert_ptr_eq(opaque, seen);
    ck_assert(word != ZR_SLOT_EMPTY && word == load(slot));
    if (nr_seen == NR_OF(seen)) {
        ck_abort_msg("a word was visited twice");
    }
    seen[nr_seen++] = slot;
    return word;
}

static void start_edges(void)
{
    start_table(NR_SLOTS);
    for (size_t i = 0; i < NR_EDGES; i++) {
        ck_assert_int_eq(store(edges[i], make_object(edges[i])), 0);
    }
    nr_seen = 0;
}

START_TEST(every_word_of_every_table_is_visited_once_and_in_order)
{
    struct zr_walk walk;

    for (size_t nr_tables = 0; nr_tables <= NR_OF(tables); nr_tables++) {
        start_edges();
        zr_walk_begin(&walk, tables, nr_tables);
        ck_assert(zr_walk_continue(&walk, UINT64_MAX, see, seen));
        ck_assert_uint_eq(nr_seen, nr_tables * NR_EDGES);
        for (size_t i = 0; i < nr_seen; i++) {
            ck_assert_uint_eq(seen[i], edges[i % NR_EDGES]);
        }
        ck_assert_uint_eq(walk.nr_replaced, 0);
        ck_assert(zr_walk_continue(&walk, UINT64_MAX, see, seen)); // it stays at the end
        ck_assert_uint_eq(nr_seen, nr_tables * NR_EDGES);
        end_table();
    }
}
END_TEST

START_TEST(a_slice_without_time_is_one_leaf)
{
    struct zr_walk walk;
    unsigned nr_slices = 1;

    start_edges();
    zr_walk_begin(&walk, tables, 1);
    while (!zr_walk_continue(&walk, 0, see, seen)) {
        nr_slices++;
    }
    ck_assert_uint_eq(nr_slices, 8 + 1); // leaves, and the end
    ck_assert_uint_eq(nr_seen, NR_EDGES);
    end_table();
}
END_TEST

// What a visitor does to one slot, at the first visit.
static uint64_t victim;
static bool is_writer_first;

static uint64_t copy(void *opaque, struct zr_slot_table *of, uint64_t slot, uint64_t word)
{
    uint64_t made;
    zr_handle handle;

    (void)opaque;
    (void)of;
    if (slot != victim) {
        return word;
    }
    ck_assert_int_eq(zr_pool_alloc(&pool, OBJECT_BYTES / 2, &handle), 0);
    *(uint64_t *)zr_pool_view(&pool, handle) = slot;
    made = zr_slot_word_make(ZR_SLOT_ZSTD, handle);
    if (is_writer_first) {
        ck_assert_int_eq(store(slot, make_object(slot)), 0);
    }
    return made;
}

START_TEST(a_new_word_takes_the_place_of_the_old_one_whose_object_is_freed)
{
    struct zr_walk walk;

    for (size_t i = 0; i < NR_EDGES; i++) {
        start_edges();
        victim = edges[i];
        zr_walk_begin(&walk, tables, 1);
        ck_assert(zr_walk_continue(&walk, UINT64_MAX, copy, NULL));
        ck_assert_uint_eq(walk.nr_replaced, 1);
        ck_assert_uint_eq(zr_slot_word_kind(load(victim)), ZR_SLOT_ZSTD);
        ck_assert(is_object_of(load(victim), victim));
        ck_assert_uint_eq(nr_objects(), NR_EDGES);
        ck_assert_uint_eq(table.account.stored_bytes, NR_EDGES * OBJECT_BYTES - OBJECT_BYTES / 2);
        end_table();
    }
}
END_TEST

START_TEST(where_a_writer_wins_the_race_the_new_object_is_freed)
{
    struct zr_walk walk;

    is_writer_first = true;
    start_edges();
    victim = edges[3];
    zr_walk_begin(&walk, tables, 1);
    ck_assert(zr_walk_continue(&walk, UINT64_MAX, copy, NULL));
    ck_assert_uint_eq(walk.nr_replaced, 0);
    ck_assert_uint_eq(zr_slot_word_kind(load(victim)), ZR_SLOT_LZ4);
    ck_assert_uint_eq(nr_objects(), NR_EDGES);
    ck_assert_uint_eq(table.account.stored_bytes, NR_EDGES * OBJECT_BYTES);
    end_table();
}
END_TEST

// A leaf that goes while it is visited goes with what was published in it.
static uint64_t copy_and_trim(void *opaque, struct zr_slot_table *of, uint64_t slot, uint64_t word)
{
    uint64_t made = copy(opaque, of, slot, word);

    if (slot == victim) {
        zr_slot_table_extract(&table, 0, ZR_LEAF_SLOTS);
    }
    return made;
}

START_TEST(what_is_published_in_a_leaf_that_was_trimmed_goes_with_it)
{
    struct zr_walk walk;

    is_writer_first = false;
    start_edges();
    victim = 1;
    zr_walk_begin(&walk, tables, 1);
    ck_assert(zr_walk_continue(&walk, UINT64_MAX, copy_and_trim, NULL));
    ck_assert_uint_eq(load(victim), ZR_SLOT_EMPTY);
    ck_assert_uint_eq(nr_objects(), NR_EDGES - 3);
    ck_assert_uint_eq(table.account.stored_bytes, (NR_EDGES - 3) * OBJECT_BYTES);
    end_table();
}
END_TEST

UNIT_MAIN("walk", every_word_of_every_table_is_visited_once_and_in_order,
          a_slice_without_time_is_one_leaf,
          a_new_word_takes_the_place_of_the_old_one_whose_object_is_freed,
          where_a_writer_wins_the_race_the_new_object_is_freed,
          what_is_published_in_a_leaf_that_was_trimmed_goes_with_it)
