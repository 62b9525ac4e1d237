// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Packed chunks, and leaves of the slot table in that form.
#include "table.h"

#include "allocator/packed-chunk.h"
#include "allocator/rcu.h"

#include <errno.h>
#include <string.h>

#define NR_USED 40 // slots of the leaf under test
#define SLOT(i) (ZR_LEAF_SLOTS + (i)*12)

static uint64_t words[NR_USED];

static void start_sparse_leaf(void)
{
    start_table(NR_SLOTS);
    for (uint64_t i = 0; i < NR_USED; i++) {
        words[i] = make_object(SLOT(i));
        ck_assert_int_eq(store(SLOT(i), words[i]), 0);
    }
}

static void check_words(void)
{
    for (uint64_t slot = ZR_LEAF_SLOTS; slot < 2 * ZR_LEAF_SLOTS; slot++) {
        uint64_t i = (slot - ZR_LEAF_SLOTS) / 12;
        bool is_used = (slot - ZR_LEAF_SLOTS) % 12 == 0 && i < NR_USED;

        ck_assert_uint_eq(load(slot), is_used ? words[i] : ZR_SLOT_EMPTY);
        ck_assert(!is_used || words[i] == ZR_SLOT_EMPTY || is_object_of(words[i], slot));
    }
}

START_TEST(a_packed_chunk_has_the_words_of_the_chunk)
{
    static uint64_t chunk[ZR_CHUNK_WORDS];
    static _Atomic uint64_t unpacked[ZR_CHUNK_WORDS];
    static uint64_t memory[ZR_CHUNK_WORDS + 16];
    static const unsigned every[] = {1, 2, 3, 63, 64, 65, 511, 512};
    struct zr_packed_chunk *packed = (struct zr_packed_chunk *)memory;

    for (size_t n = 0; n < NR_OF(every); n++) {
        size_t nr = 0;

        memset((void *)unpacked, 0, sizeof unpacked);
        for (size_t i = 0; i < ZR_CHUNK_WORDS; i++) {
            chunk[i] = i % every[n] == every[n] - 1 ? i + 1 : 0;
            nr += chunk[i] != 0;
        }
        zr_packed_chunk_pack(packed, chunk);
        ck_assert_uint_eq(zr_packed_chunk_nr_words(packed), nr);
        zr_packed_chunk_unpack(packed, unpacked);
        for (size_t i = 0; i < ZR_CHUNK_WORDS; i++) {
            ck_assert_uint_eq(zr_packed_chunk_word(packed, i), chunk[i]);
            ck_assert_uint_eq(unpacked[i], chunk[i]);
        }
    }
}
END_TEST

START_TEST(a_sparse_leaf_is_packed_and_takes_an_object_for_a_chunk)
{
    struct zr_slot_counts counts;

    start_sparse_leaf();
    ck_assert_uint_eq(nr_chunks(), 2);
    pack_leaf(SLOT(0));
    ck_assert(is_leaf_packed(SLOT(0)));
    check_words();
    ck_assert_uint_eq(nr_chunks(), 1);
    ck_assert_uint_eq(nr_objects(), NR_USED + 1);
    zr_slot_table_count(&table, &counts);
    ck_assert_uint_eq(counts.nr_compressed, NR_USED);
    ck_assert_uint_eq(counts.stored_bytes, NR_USED * OBJECT_BYTES);
    ck_assert_uint_eq(counts.nr_packed_leaves, 1);
    ck_assert_uint_eq(counts.packed_leaf_bytes, zr_packed_chunk_bytes(NR_USED));
    end_table();
}
END_TEST

START_TEST(a_packed_leaf_is_unpacked_by_whoever_changes_a_word)
{
    start_sparse_leaf();
    pack_leaf(SLOT(0));
    words[7] = make_object(SLOT(7));
    ck_assert_int_eq(store(SLOT(7), words[7]), 0); // overwrite
    ck_assert(!is_leaf_packed(SLOT(0)));
    check_words();

    pack_leaf(SLOT(0));
    words[8] = ZR_SLOT_EMPTY;
    ck_assert_int_eq(zr_slot_table_extract(&table, SLOT(8), 1), 0);
    ck_assert(!is_leaf_packed(SLOT(0)));
    check_words();
    ck_assert_uint_eq(nr_objects(), NR_USED - 1);
    ck_assert_uint_eq(table.account.stored_bytes, (NR_USED - 1) * OBJECT_BYTES);

    pack_leaf(SLOT(0));
    zr_rcu_read_lock();
    ck_assert_int_eq(zr_slot_table_replace(&table, SLOT(9), words[9], zr_slot_word_same(1)),
                     -EAGAIN);
    zr_rcu_read_unlock();
    ck_assert_int_eq(zr_slot_table_unpack(&table, SLOT(9)), 0);
    ck_assert_int_eq(zr_slot_table_unpack(&table, SLOT(9)), 0); // nothing to do
    check_words();
    end_table();
}
END_TEST

START_TEST(a_packed_leaf_goes_with_all_its_objects)
{
    start_sparse_leaf();
    pack_leaf(SLOT(0));
    ck_assert_int_eq(zr_slot_table_extract(&table, ZR_LEAF_SLOTS, ZR_LEAF_SLOTS), 0); // by itself
    ck_assert_uint_eq(nr_objects(), 0);
    ck_assert_uint_eq(table.account.stored_bytes, 0);
    end_table();

    start_sparse_leaf();
    pack_leaf(SLOT(0));
    ck_assert_int_eq(zr_slot_table_extract(&table, 0, DIRECTORY_SLOTS), 0); // with its directory
    ck_assert_uint_eq(nr_objects(), 0);
    ck_assert_uint_eq(nr_chunks(), 0);
    ck_assert_uint_eq(table.account.stored_bytes, 0);
    end_table();
}
END_TEST

// What is there when a grace period begins.
static struct {
    bool is_packed;
    uint64_t nr_chunks;
} at_grace_period[2];
static unsigned nr_grace_periods = NR_OF(at_grace_period); // so many were looked at

void __real_urcu_bp_synchronize_rcu(void);
void __wrap_urcu_bp_synchronize_rcu(void);

void __wrap_urcu_bp_synchronize_rcu(void)
{
    struct zr_pool_stats stats;

    if (nr_grace_periods < NR_OF(at_grace_period)) {
        zr_pool_get_stats(&pool, &stats);
        at_grace_period[nr_grace_periods].nr_chunks = stats.nr_chunks;
        at_grace_period[nr_grace_periods++].is_packed = is_leaf_packed(SLOT(0));
    }
    __real_urcu_bp_synchronize_rcu();
}

START_TEST(a_leaf_is_packed_after_a_grace_period_for_writers_and_freed_after_one_for_readers)
{
    struct zr_pool_stats before, after;
    const uint64_t slot = SLOT(0);

    start_sparse_leaf();
    ck_assert(mark_leaf(slot));
    zr_pool_get_stats(&pool, &before);
    nr_grace_periods = 0;
    zr_slot_table_pack(&table, &slot, 1);
    ck_assert_uint_eq(nr_grace_periods, 2);
    ck_assert(!at_grace_period[0].is_packed);
    ck_assert(at_grace_period[1].is_packed);
    ck_assert_uint_eq(at_grace_period[1].nr_chunks, before.nr_chunks);
    zr_pool_get_stats(&pool, &after);
    ck_assert_uint_eq(after.nr_chunks, before.nr_chunks - 1);
    end_table();
}
END_TEST

START_TEST(who_writes_to_a_marked_leaf_takes_the_mark_away)
{
    const uint64_t slot = SLOT(0);

    start_sparse_leaf();
    ck_assert(mark_leaf(slot));
    ck_assert(!mark_leaf(slot) || !is_leaf_packed(slot)); // marked already, and still full
    check_words();
    words[3] = make_object(SLOT(3));
    ck_assert_int_eq(store(SLOT(3), words[3]), 0);
    zr_slot_table_pack(&table, &slot, 1);
    ck_assert(!is_leaf_packed(slot));
    check_words();

    ck_assert(mark_leaf(slot));
    words[4] = ZR_SLOT_EMPTY;
    ck_assert_int_eq(zr_slot_table_extract(&table, SLOT(4), 1), 0);
    zr_slot_table_pack(&table, &slot, 1);
    ck_assert(!is_leaf_packed(slot));
    check_words();

    ck_assert(mark_leaf(slot)); // a trim of all of it takes the leaf
    ck_assert_int_eq(zr_slot_table_extract(&table, ZR_LEAF_SLOTS, ZR_LEAF_SLOTS), 0);
    zr_slot_table_pack(&table, &slot, 1);
    ck_assert_uint_eq(nr_objects(), 0);
    end_table();
}
END_TEST

START_TEST(a_leaf_that_is_empty_goes_and_one_that_is_too_full_stays)
{
    const uint64_t slot = 2 * ZR_LEAF_SLOTS;
    uint64_t i;

    start_sparse_leaf();
    for (i = 0; i < NR_USED; i++) {
        ck_assert_int_eq(zr_slot_table_extract(&table, SLOT(i), 1), 0);
    }
    ck_assert_uint_eq(nr_chunks(), 2);
    pack_leaf(SLOT(0));
    ck_assert_uint_eq(nr_chunks(), 1);
    for (i = 0; i < ZR_PACK_MAX_WORDS; i++) {
        ck_assert_int_eq(store(slot + i, zr_slot_word_same(1)), 0);
    }
    pack_leaf(slot);
    ck_assert(is_leaf_packed(slot));
    ck_assert_int_eq(store(slot + i, zr_slot_word_same(1)), 0);
    pack_leaf(slot);
    ck_assert(!is_leaf_packed(slot));
    ck_assert(mark_leaf(slot)); // its mark was taken away
    end_table();
}
END_TEST

START_TEST(without_memory_a_packed_leaf_stays_as_it_is)
{
    uint64_t taken[16 * MiB / ZR_CHUNK_BYTES];
    size_t nr_taken = 0;
    zr_handle handle;
    uint64_t word = zr_slot_word_same(1);

    start_sparse_leaf();
    pack_leaf(SLOT(0));
    while (zr_pool_alloc_chunk(&pool, &handle) == 0) {
        taken[nr_taken++] = handle.bits;
    }
    ck_assert_int_eq(zr_slot_table_store(&table, SLOT(0) + 1, &word, 1), -ENOSPC);
    ck_assert_int_eq(zr_slot_table_extract(&table, SLOT(0), 1), -ENOSPC);
    ck_assert_int_eq(zr_slot_table_unpack(&table, SLOT(0)), -ENOSPC);
    check_words();
    ck_assert_int_eq(zr_slot_table_extract(&table, ZR_LEAF_SLOTS, ZR_LEAF_SLOTS), 0); // whole: free
    zr_pool_free(&pool, taken, nr_taken);
    end_table();
}
END_TEST

UNIT_MAIN("packed-leaf", a_packed_chunk_has_the_words_of_the_chunk,
          a_sparse_leaf_is_packed_and_takes_an_object_for_a_chunk,
          a_packed_leaf_is_unpacked_by_whoever_changes_a_word,
          a_packed_leaf_goes_with_all_its_objects,
          a_leaf_is_packed_after_a_grace_period_for_writers_and_freed_after_one_for_readers,
          who_writes_to_a_marked_leaf_takes_the_mark_away,
          a_leaf_that_is_empty_goes_and_one_that_is_too_full_stays,
          without_memory_a_packed_leaf_stays_as_it_is)
