// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "table.h"
#include "fault.h"

#include "allocator/rcu.h"
#include "store/slot-counts.h"

#include <errno.h>

static bool has_leaf(uint64_t slot)
{
    bool has;

    zr_rcu_read_lock();
    has = zr_slot_table_leaf(&table, slot) != NULL;
    zr_rcu_read_unlock();
    return has;
}

static uint64_t next_leaf(uint64_t slot)
{
    zr_rcu_read_lock();
    slot = zr_slot_table_next_leaf(&table, slot, table.nr_slots);
    zr_rcu_read_unlock();
    return slot;
}

static int replace(uint64_t slot, uint64_t old, uint64_t word)
{
    int rc;

    zr_rcu_read_lock();
    rc = zr_slot_table_replace(&table, slot, old, word);
    zr_rcu_read_unlock();
    return rc;
}

static void store_at_edges(void)
{
    for (size_t i = 0; i < NR_EDGES; i++) {
        ck_assert_int_eq(store(edges[i], make_object(edges[i])), 0);
    }
}

// Exactly the slots of [first, end) that are edges are empty, the other edges are not.
static void check_emptied(uint64_t first, uint64_t end_slot)
{
    uint64_t nr_left = 0;

    for (size_t i = 0; i < NR_EDGES; i++) {
        bool is_gone = edges[i] >= first && edges[i] < end_slot;
        uint64_t word = load(edges[i]);

        ck_assert_msg((word == ZR_SLOT_EMPTY) == is_gone, "slot %llu, emptied [%llu, %llu)",
                      (unsigned long long)edges[i], (unsigned long long)first,
                      (unsigned long long)end_slot);
        nr_left += !is_gone;
        if (!is_gone) {
            ck_assert(is_object_of(word, edges[i]));
        }
    }
    ck_assert_uint_eq(nr_objects(), nr_left);
}

START_TEST(a_new_table_is_empty_and_takes_nothing_from_the_pool)
{
    static const uint64_t sizes[] = {1, ZR_LEAF_SLOTS, DIRECTORY_SLOTS, NR_SLOTS, 1 << 28};

    for (size_t i = 0; i < NR_OF(sizes); i++) {
        struct zr_slot_counts counts;

        start_table(sizes[i]);
        ck_assert(!has_leaf(0));
        ck_assert(!has_leaf(sizes[i] - 1));
        ck_assert_uint_eq(next_leaf(0), sizes[i]);
        zr_slot_counts_get(&table, &counts);
        ck_assert_uint_eq(counts.nr_same + counts.nr_huge + counts.nr_compressed, 0);
        ck_assert_uint_eq(counts.stored_bytes, 0);
        zr_slot_table_extract(&table, 0, sizes[i]);
        ck_assert_uint_eq(nr_chunks(), 0);
        end_table();
    }
}
END_TEST

START_TEST(a_stored_word_is_found_in_its_slot_and_no_other)
{
    for (size_t i = 0; i < NR_EDGES; i++) {
        start_table(NR_SLOTS);
        ck_assert_int_eq(store(edges[i], zr_slot_word_same(1)), 0);
        for (size_t other = 0; other < NR_EDGES; other++) {
            ck_assert_uint_eq(load(edges[other]), other == i ? zr_slot_word_same(1) : 0);
        }
        ck_assert_uint_eq(nr_chunks(), 2); // a directory and a leaf
        end_table();
    }
}
END_TEST

START_TEST(a_run_is_stored_whole_and_what_it_replaces_is_freed)
{
    static const size_t lengths[] = {1, 2, ZR_LEAF_SLOTS - 1, ZR_LEAF_SLOTS};

    for (size_t i = 0; i < NR_OF(lengths); i++) {
        uint64_t first = 2 * ZR_LEAF_SLOTS - lengths[i]; // up to the leaf's end
        uint64_t words[ZR_LEAF_SLOTS];

        start_table(NR_SLOTS);
        for (int round = 0; round < 3; round++) {
            for (size_t n = 0; n < lengths[i]; n++) {
                words[n] = make_object(first + n);
            }
            ck_assert_int_eq(zr_slot_table_store(&table, first, words, lengths[i]), 0);
            ck_assert_uint_eq(nr_objects(), lengths[i]);
        }
        for (size_t n = 0; n < lengths[i]; n++) {
            ck_assert(is_object_of(load(first + n), first + n));
        }
        ck_assert_uint_eq(load(first - 1), ZR_SLOT_EMPTY);
        ck_assert_uint_eq(load(first + lengths[i]), ZR_SLOT_EMPTY);
        end_table();
    }
}
END_TEST

START_TEST(replace_exchanges_only_the_expected_word)
{
    uint64_t old, other;

    start_table(NR_SLOTS);
    old = make_object(5);
    other = make_object(6);
    ck_assert_int_eq(replace(5, zr_slot_word_same(1), old), -EAGAIN);
    ck_assert_uint_eq(load(5), ZR_SLOT_EMPTY);
    ck_assert_int_eq(replace(5, ZR_SLOT_EMPTY, old), 0); // makes the leaf
    ck_assert_uint_eq(load(5), old);
    ck_assert_int_eq(replace(5, ZR_SLOT_EMPTY, other), -EAGAIN);
    ck_assert_uint_eq(load(5), old);
    ck_assert_int_eq(replace(5, old, other), 0);
    ck_assert_uint_eq(load(5), other);
    ck_assert_msg(nr_objects() == 2, "the old object is still the caller's");
    zr_deferred_free_words(deferred, &old, 1);
    ck_assert_uint_eq(nr_objects(), 1);
    end_table();
}
END_TEST

START_TEST(without_memory_for_a_leaf_nothing_is_exchanged)
{
    uint64_t words[2] = {zr_slot_word_same(1), zr_slot_word_same(2)};
    zr_handle handle;

    start_table(NR_SLOTS);
    ck_assert_int_eq(store(0, zr_slot_word_same(7)), 0);
    while (zr_pool_alloc_chunk(&pool, &handle) == 0) {
        // Fills the pool, and goes with it.
    }
    // Neither where only a leaf is missing nor where a directory is.
    for (uint64_t slot = ZR_LEAF_SLOTS; slot < NR_SLOTS; slot += DIRECTORY_SLOTS) {
        ck_assert_int_eq(zr_slot_table_store(&table, slot, words, 2), -ENOSPC);
        ck_assert_uint_eq(words[0], zr_slot_word_same(1));
        ck_assert_uint_eq(words[1], zr_slot_word_same(2));
        ck_assert_int_eq(replace(slot, ZR_SLOT_EMPTY, words[0]), -ENOSPC);
        ck_assert_uint_eq(load(slot), ZR_SLOT_EMPTY);
    }
    ck_assert_uint_eq(load(0), zr_slot_word_same(7));
    ck_assert_int_eq(zr_slot_table_store(&table, 0, words, 2), 0); // needs no memory
    zr_slot_table_extract(&table, 0, NR_SLOTS);                    // nor does this
    ck_assert_uint_eq(load(0), ZR_SLOT_EMPTY);
    zr_slot_table_fini(&table);
    zr_deferred_free_destroy(deferred);
    zr_pool_fini(&pool);
}
END_TEST

// ---- The table's own limit ----------------------------------------------------------------------

START_TEST(what_would_pass_the_limit_is_edquot_and_nothing_is_exchanged)
{
    const uint64_t elsewhere = 2 * DIRECTORY_SLOTS; // in a leaf of its own
    uint64_t first, refused;

    start_table(NR_SLOTS);
    table.account.limit_bytes = 2 * OBJECT_BYTES;
    first = make_object(0);
    refused = make_object(elsewhere);
    ck_assert_int_eq(store(0, first), 0);
    ck_assert_int_eq(store(1, make_object(1)), 0);
    ck_assert_int_eq(store(elsewhere, refused), -EDQUOT);
    ck_assert_int_eq(replace(elsewhere, ZR_SLOT_EMPTY, refused), -EDQUOT);
    ck_assert_uint_eq(load(elsewhere), ZR_SLOT_EMPTY);
    ck_assert_uint_eq(load(0), first);
    ck_assert_uint_eq(table.account.stored_bytes, 2 * OBJECT_BYTES);

    // At the limit, what takes no more room still may be stored.
    ck_assert_int_eq(store(0, refused), 0);
    ck_assert_int_eq(store(2, zr_slot_word_same(1)), 0);
    ck_assert_int_eq(store(1, zr_slot_word_same(1)), 0);
    ck_assert_uint_eq(table.account.stored_bytes, OBJECT_BYTES);
    end_table();
}
END_TEST

START_TEST(a_run_is_exchanged_whole_or_not_at_all_at_the_limit)
{
    uint64_t words[ZR_LEAF_SLOTS], made[ZR_LEAF_SLOTS];

    start_table(NR_SLOTS);
    table.account.limit_bytes = ZR_LEAF_SLOTS * OBJECT_BYTES - 1;
    for (size_t i = 0; i < ZR_LEAF_SLOTS; i++) {
        made[i] = words[i] = make_object(i);
    }
    ck_assert_int_eq(zr_slot_table_store(&table, 0, words, ZR_LEAF_SLOTS), -EDQUOT);
    ck_assert_mem_eq(words, made, sizeof words);
    ck_assert_uint_eq(load(0), ZR_SLOT_EMPTY);
    ck_assert_uint_eq(table.account.stored_bytes, 0);
    table.account.limit_bytes++;
    ck_assert_int_eq(zr_slot_table_store(&table, 0, words, ZR_LEAF_SLOTS), 0);
    ck_assert_uint_eq(table.account.stored_bytes, ZR_LEAF_SLOTS * OBJECT_BYTES);
    end_table();
}
END_TEST

// ---- Extract ------------------------------------------------------------------------------------

START_TEST(extract_empties_its_range_and_nothing_beside_it)
{
    // Every range between edges: within a leaf, whole leaves, whole directories, and mixtures.
    for (size_t from = 0; from < NR_EDGES; from++) {
        for (size_t to = from; to < NR_EDGES; to++) {
            for (uint64_t end_slot = edges[to]; end_slot <= edges[to] + 1; end_slot++) {
                start_table(NR_SLOTS);
                store_at_edges();
                zr_slot_table_extract(&table, edges[from], end_slot - edges[from]);
                check_emptied(edges[from], end_slot);
                end_table();
            }
        }
    }
}
END_TEST

START_TEST(a_leaf_goes_when_all_of_it_is_extracted)
{
    start_table(NR_SLOTS);
    store_at_edges();
    zr_slot_table_extract(&table, 0, ZR_LEAF_SLOTS - 1);
    ck_assert(has_leaf(0));
    zr_slot_table_extract(&table, 0, ZR_LEAF_SLOTS);
    ck_assert(!has_leaf(0));
    ck_assert(has_leaf(ZR_LEAF_SLOTS));
    end_table();
}
END_TEST

START_TEST(a_directory_goes_when_all_of_it_is_extracted)
{
    start_table(NR_SLOTS);
    store_at_edges();
    ck_assert_uint_eq(nr_chunks(), 3 + 8);
    zr_slot_table_extract(&table, 0, DIRECTORY_SLOTS);
    ck_assert_uint_eq(nr_chunks(), 2 + 5);
    zr_slot_table_extract(&table, DIRECTORY_SLOTS, DIRECTORY_SLOTS);
    ck_assert_uint_eq(nr_chunks(), 1 + 3);
    end_table();
}
END_TEST

START_TEST(the_last_leaf_goes_whole_though_the_table_ends_within_it)
{
    start_table(NR_SLOTS);
    store_at_edges();
    zr_slot_table_extract(&table, NR_SLOTS - 77, 77);
    ck_assert(!has_leaf(NR_SLOTS - 1));
    ck_assert(has_leaf(NR_SLOTS - 78));
    check_emptied(NR_SLOTS - 77, NR_SLOTS);
    zr_slot_table_extract(&table, 2 * DIRECTORY_SLOTS, NR_SLOTS - 2 * DIRECTORY_SLOTS);
    ck_assert_uint_eq(nr_chunks(), 2 + 5); // nothing of the last directory
    end_table();
}
END_TEST

START_TEST(extracting_everything_leaves_no_memory_taken)
{
    start_table(NR_SLOTS);
    store_at_edges();
    zr_slot_table_extract(&table, 0, NR_SLOTS);
    check_emptied(0, NR_SLOTS);
    ck_assert_uint_eq(nr_chunks(), 0);
    ck_assert_uint_eq(next_leaf(0), NR_SLOTS);
    end_table();
}
END_TEST

// ---- Walks --------------------------------------------------------------------------------------

START_TEST(next_leaf_skips_what_has_no_leaf)
{
    const uint64_t stored = DIRECTORY_SLOTS + 5 * ZR_LEAF_SLOTS + 3;
    const uint64_t leaf = stored - 3;

    start_table(NR_SLOTS);
    ck_assert_int_eq(store(2 * DIRECTORY_SLOTS, zr_slot_word_same(1)), 0);
    ck_assert_uint_eq(next_leaf(0), 2 * DIRECTORY_SLOTS);
    ck_assert_int_eq(store(stored, zr_slot_word_same(1)), 0);
    ck_assert_uint_eq(next_leaf(0), leaf);
    ck_assert_uint_eq(next_leaf(DIRECTORY_SLOTS - 1), leaf);
    ck_assert_uint_eq(next_leaf(leaf - 1), leaf);
    ck_assert_uint_eq(next_leaf(leaf), leaf);
    ck_assert_uint_eq(next_leaf(leaf + 1), leaf + 1); // a slot in a leaf is its own answer
    ck_assert_uint_eq(next_leaf(leaf + ZR_LEAF_SLOTS - 1), leaf + ZR_LEAF_SLOTS - 1);
    ck_assert_uint_eq(next_leaf(leaf + ZR_LEAF_SLOTS), 2 * DIRECTORY_SLOTS);
    ck_assert_uint_eq(next_leaf(2 * DIRECTORY_SLOTS + ZR_LEAF_SLOTS), NR_SLOTS);
    ck_assert_uint_eq(next_leaf(NR_SLOTS - 1), NR_SLOTS);
    ck_assert_uint_eq(next_leaf(NR_SLOTS), NR_SLOTS);
    end_table();
}
END_TEST

START_TEST(each_kind_of_page_is_counted)
{
    struct zr_slot_counts counts;
    uint64_t stored_bytes = 0;

    start_table(NR_SLOTS);
    for (uint64_t i = 0; i < NR_EDGES; i++) {
        static const enum zr_slot_kind kinds[] = {ZR_SLOT_HUGE, ZR_SLOT_LZ4, ZR_SLOT_ZSTD};
        uint32_t bytes = i % 3 == 0 ? ZR_OBJECT_MAX_BYTES : 100 + (uint32_t)i;
        zr_handle handle;

        ck_assert_int_eq(zr_pool_alloc(&pool, bytes, &handle), 0);
        ck_assert_int_eq(store(edges[i], zr_slot_word_make(kinds[i % 3], handle)), 0);
        stored_bytes += bytes;
    }
    ck_assert_int_eq(store(100, zr_slot_word_same(1)), 0);
    ck_assert_int_eq(store(101, zr_slot_word_same(UINT32_MAX)), 0);
    ck_assert_int_eq(store(102, zr_slot_word_same(0)), 0); // a hole
    zr_slot_counts_get(&table, &counts);
    ck_assert_uint_eq(counts.nr_same, 2);
    ck_assert_uint_eq(counts.nr_huge, NR_EDGES / 3);
    ck_assert_uint_eq(counts.nr_compressed, NR_EDGES - NR_EDGES / 3);
    ck_assert_uint_eq(counts.stored_bytes, stored_bytes);
    ck_assert_uint_eq(counts.nr_by_length[0], NR_EDGES - NR_EDGES / 3);
    ck_assert_uint_eq(counts.nr_by_length[ZR_NR_LENGTHS - 1], NR_EDGES / 3);
    ck_assert_uint_eq(counts.nr_by_age[0], NR_EDGES + 2);
    end_table();
}
END_TEST

START_TEST(init_without_memory_is_enomem)
{
    int rc;

    start_table(1);
    zr_slot_table_fini(&table);
    fault_arm(1);
    rc = zr_slot_table_init(&table, &pool, deferred, NR_SLOTS, UINT64_MAX, NULL, 0);
    fault_disarm();
    ck_assert_int_eq(rc, -ENOMEM);
    ck_assert_int_eq(zr_slot_table_init(&table, &pool, deferred, NR_SLOTS, UINT64_MAX, NULL, 0), 0);
    end_table();
}
END_TEST

UNIT_MAIN("slot-table", a_new_table_is_empty_and_takes_nothing_from_the_pool,
          a_stored_word_is_found_in_its_slot_and_no_other,
          a_run_is_stored_whole_and_what_it_replaces_is_freed,
          replace_exchanges_only_the_expected_word, without_memory_for_a_leaf_nothing_is_exchanged,
          what_would_pass_the_limit_is_edquot_and_nothing_is_exchanged,
          a_run_is_exchanged_whole_or_not_at_all_at_the_limit,
          extract_empties_its_range_and_nothing_beside_it, a_leaf_goes_when_all_of_it_is_extracted,
          a_directory_goes_when_all_of_it_is_extracted,
          the_last_leaf_goes_whole_though_the_table_ends_within_it,
          extracting_everything_leaves_no_memory_taken, next_leaf_skips_what_has_no_leaf,
          each_kind_of_page_is_counted, init_without_memory_is_enomem)
