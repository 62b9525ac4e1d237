// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "table.h"

#include "allocator/rcu.h"

#include <sched.h>

struct zr_pool pool;
struct zr_deferred_free *deferred;
struct zr_slot_table table;

const uint64_t edges[NR_EDGES] = {
    0,
    1,
    ZR_LEAF_SLOTS - 1,
    ZR_LEAF_SLOTS,
    ZR_LEAF_SLOTS + 1,
    DIRECTORY_SLOTS - 1,
    DIRECTORY_SLOTS,
    2 * DIRECTORY_SLOTS - 1,
    2 * DIRECTORY_SLOTS,
    NR_SLOTS - 78,
    NR_SLOTS - 77,
    NR_SLOTS - 1,
};

static uint64_t nr_set_aside; // chunks of deferred free

uint64_t make_object(uint64_t slot)
{
    zr_handle handle;

    ck_assert_int_eq(zr_pool_alloc(&pool, OBJECT_BYTES, &handle), 0);
    *(uint64_t *)zr_pool_view(&pool, handle) = slot;
    return zr_slot_word_make(ZR_SLOT_LZ4, handle);
}

bool is_object_of(uint64_t word, uint64_t slot)
{
    return *(uint64_t *)zr_pool_view(&pool, zr_handle_of_word(word)) == slot;
}

static struct zr_pool_stats drained_stats(void)
{
    // With something to free, the batch that is kept for this CPU is flushed too.
    uint64_t word = make_object(0);
    struct zr_pool_stats stats;

    zr_deferred_free_words(deferred, &word, 1);
    zr_deferred_free_drain(deferred);
    zr_pool_get_stats(&pool, &stats);
    return stats;
}

uint64_t nr_objects(void)
{
    return drained_stats().nr_objects;
}

uint64_t nr_chunks(void)
{
    return drained_stats().nr_chunks - nr_set_aside;
}

void start_table(uint64_t nr_slots)
{
    cpu_set_t one_cpu;

    CPU_ZERO(&one_cpu);
    CPU_SET((size_t)sched_getcpu(), &one_cpu);
    sched_setaffinity(0, sizeof one_cpu, &one_cpu);
    ck_assert_int_eq(zr_pool_init(&pool, 16 * MiB, NULL), 0);
    ck_assert_int_eq(zr_deferred_free_create(&pool, &deferred), 0);
    ck_assert_int_eq(zr_slot_table_init(&table, &pool, deferred, nr_slots, UINT64_MAX, NULL, 0), 0);
    nr_set_aside = drained_stats().nr_chunks;
}

void end_table(void)
{
    zr_slot_table_fini(&table);
    ck_assert_uint_eq(table.account.stored_bytes, 0);
    ck_assert_uint_eq(nr_objects(), 0);
    ck_assert_uint_eq(nr_chunks(), 0);
    zr_deferred_free_destroy(deferred);
    ck_assert(zr_pool_is_valid(&pool));
    zr_pool_fini(&pool);
}

uint64_t load(uint64_t slot)
{
    uint64_t word;

    zr_rcu_read_lock();
    word = zr_leaf_word(zr_slot_table_leaf(&table, slot), slot);
    zr_rcu_read_unlock();
    return word;
}

int store(uint64_t slot, uint64_t word)
{
    return zr_slot_table_store(&table, slot, &word, 1);
}
