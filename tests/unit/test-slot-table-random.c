// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// The slot table against a model, at random and by several threads.
#include "table.h"

#include "allocator/rcu.h"
#include "store/walk.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

static uint64_t model[NR_SLOTS];

// Near an edge half of the time.
static uint64_t random_slot(void)
{
    uint64_t slot = random_below(NR_SLOTS);

    if (random_below(2) == 0) {
        slot = edges[random_below(NR_EDGES)] + random_below(5);
    }
    return slot < NR_SLOTS ? slot : NR_SLOTS - 1;
}

static void store_at_random(void)
{
    uint64_t first = random_slot();
    uint64_t nr = 1 + random_below(ZR_LEAF_SLOTS - first % ZR_LEAF_SLOTS);
    uint64_t words[ZR_LEAF_SLOTS];

    nr = nr < NR_SLOTS - first ? nr : NR_SLOTS - first;
    nr = nr < 40 ? nr : 40;
    for (uint64_t i = 0; i < nr; i++) {
        words[i] = random_below(4) == 0 ? zr_slot_word_same((uint32_t)random_below(3))
                                        : make_object(first + i);
    }
    memcpy(&model[first], words, nr * sizeof words[0]);
    ck_assert_int_eq(zr_slot_table_store(&table, first, words, nr), 0);
}

static void extract_at_random(void)
{
    uint64_t first = random_slot(), nr = random_below(3 * ZR_LEAF_SLOTS);

    if (random_below(2) == 0) {
        first -= first % ZR_LEAF_SLOTS;
    }
    if (random_below(3) == 0) {
        nr = random_slot();
        nr = nr > first ? nr - first : 0;
    }
    nr = nr < NR_SLOTS - first ? nr : NR_SLOTS - first;
    memset(&model[first], 0, nr * sizeof model[0]);
    zr_slot_table_extract(&table, first, nr);
}

static void compare_with_model(void)
{
    uint64_t nr_expected = 0;

    for (uint64_t slot = 0; slot < NR_SLOTS; slot++) {
        if (load(slot) != model[slot]) {
            ck_abort_msg("slot %llu is not what was stored", (unsigned long long)slot);
        }
        if (zr_handle_has_object(zr_handle_of_word(model[slot]))) {
            nr_expected++;
            if (!is_object_of(model[slot], slot)) {
                ck_abort_msg("the object of slot %llu was freed", (unsigned long long)slot);
            }
        }
    }
    ck_assert_uint_eq(nr_objects(), nr_expected);
    ck_assert_uint_eq(table.account.stored_bytes, nr_expected * OBJECT_BYTES);
}

START_TEST(the_table_agrees_with_a_model_whatever_the_order)
{
    start_table(NR_SLOTS);
    for (int step = 0; step < 2000; step++) {
        if (random_below(5) == 0) {
            extract_at_random();
        } else {
            store_at_random();
        }
        if (step % 500 == 0) {
            compare_with_model();
        }
    }
    compare_with_model();
    end_table();
}
END_TEST

// Two leaves that everybody writes, reads and trims.
#define NR_SHARED (2 * ZR_LEAF_SLOTS)

static cpu_set_t all_cpus;

static void read_shared(uint64_t slot)
{
    uint64_t word;

    zr_rcu_read_lock();
    word = zr_leaf_word(zr_slot_table_leaf(&table, slot), slot);
    if (zr_handle_has_object(zr_handle_of_word(word)) && !is_object_of(word, slot)) {
        ck_abort_msg("slot %llu led to another's object", (unsigned long long)slot);
    }
    zr_rcu_read_unlock();
}

static void *use_shared(void *number)
{
    sched_setaffinity(0, sizeof all_cpus, &all_cpus);
    random_seed((uintptr_t)number);
    for (int step = 0; step < 20000; step++) {
        uint64_t slot = random_below(NR_SHARED);

        if (step % 500 == 0) {
            zr_slot_table_extract(&table, slot - slot % ZR_LEAF_SLOTS, ZR_LEAF_SLOTS);
        } else if (step % 1777 == 0) {
            zr_slot_table_extract(&table, 0, NR_SLOTS);
        } else if (step % 16 == 0) {
            zr_slot_table_extract(&table, slot, 1);
        } else if (step % 4 == 0) {
            ck_assert_int_eq(store(slot, make_object(slot)), 0);
        } else {
            read_shared(slot);
        }
        if (step % 1000 == 0) {
            zr_deferred_free_drain(deferred);
        }
    }
    return NULL;
}

static _Atomic bool is_over;

// A copy of the object, as the compactor makes one.
static uint64_t visit_copy(void *opaque, struct zr_slot_table *of, uint64_t slot, uint64_t word)
{
    (void)opaque;
    (void)of;
    return zr_handle_has_object(zr_handle_of_word(word)) ? make_object(slot) : word;
}

// As the compactor does, on leaves that are written to all the time.
static void *walk_shared(void *nr_replaced)
{
    struct zr_slot_table *tables[] = {&table};
    struct zr_walk walk;

    sched_setaffinity(0, sizeof all_cpus, &all_cpus);
    while (!is_over) {
        zr_walk_begin(&walk, tables, 1);
        zr_walk_continue(&walk, UINT64_MAX, visit_copy, NULL);
        *(uint64_t *)nr_replaced += walk.nr_replaced;
    }
    return NULL;
}

START_TEST(threads_may_store_read_extract_and_walk_the_same_slots)
{
    pthread_t threads[3], walker;
    uint64_t nr_replaced = 0;

    sched_getaffinity(0, sizeof all_cpus, &all_cpus);
    start_table(NR_SLOTS);
    is_over = false;
    ck_assert_int_eq(pthread_create(&walker, NULL, walk_shared, &nr_replaced), 0);
    for (uintptr_t i = 0; i < NR_OF(threads); i++) {
        ck_assert_int_eq(pthread_create(&threads[i], NULL, use_shared, (void *)i), 0);
    }
    for (size_t i = 0; i < NR_OF(threads); i++) {
        pthread_join(threads[i], NULL);
    }
    is_over = true;
    pthread_join(walker, NULL);
    ck_assert_uint_gt(nr_replaced, 0);
    zr_slot_table_extract(&table, 0, NR_SLOTS);
    zr_slot_table_fini(&table);
    ck_assert_uint_eq(table.account.stored_bytes, 0);
    ck_assert_uint_eq(nr_objects(), 0);
    zr_deferred_free_destroy(deferred);
    ck_assert(zr_pool_is_valid(&pool));
    zr_pool_fini(&pool);
}
END_TEST

#define NR_RACERS 3

static pthread_barrier_t at_start, at_end;

static void *race_for_a_leaf(void *number)
{
    sched_setaffinity(0, sizeof all_cpus, &all_cpus);
    for (int round = 0; round < 1000; round++) {
        pthread_barrier_wait(&at_start);
        ck_assert_int_eq(store((uintptr_t)number, zr_slot_word_same(1)), 0);
        pthread_barrier_wait(&at_end);
        zr_slot_table_extract(&table, 0, NR_SLOTS);
    }
    return NULL;
}

START_TEST(a_leaf_is_made_once_and_freed_once_however_many_race_for_it)
{
    pthread_t threads[NR_RACERS];

    sched_getaffinity(0, sizeof all_cpus, &all_cpus);
    start_table(NR_SLOTS);
    pthread_barrier_init(&at_start, NULL, NR_RACERS);
    pthread_barrier_init(&at_end, NULL, NR_RACERS);
    for (uintptr_t i = 0; i < NR_RACERS; i++) {
        ck_assert_int_eq(pthread_create(&threads[i], NULL, race_for_a_leaf, (void *)i), 0);
    }
    for (size_t i = 0; i < NR_RACERS; i++) {
        pthread_join(threads[i], NULL);
    }
    pthread_barrier_destroy(&at_start);
    pthread_barrier_destroy(&at_end);
    zr_slot_table_fini(&table);
    ck_assert_uint_eq(nr_objects(), 0);
    zr_deferred_free_destroy(deferred);
    ck_assert_uint_eq(pool.class[zr_size_class_chunk(&pool.classes)].nr_objects, 0);
    zr_pool_fini(&pool);
}
END_TEST

UNIT_MAIN("slot-table-random", the_table_agrees_with_a_model_whatever_the_order,
          threads_may_store_read_extract_and_walk_the_same_slots,
          a_leaf_is_made_once_and_freed_once_however_many_race_for_it)
