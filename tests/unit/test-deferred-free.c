// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "unit.h"
#include "fault.h"

#include "allocator/deferred-free.h"
#include "allocator/rcu.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static struct zr_pool pool;
static struct zr_deferred_free *deferred;

static void start(void)
{
    ck_assert_int_eq(zr_pool_init(&pool, 256 * MiB, NULL), 0);
    ck_assert_int_eq(zr_deferred_free_create(&pool, &deferred), 0);
}

static struct zr_pool_stats pool_stats(void)
{
    struct zr_pool_stats stats;

    zr_pool_get_stats(&pool, &stats);
    return stats;
}

static struct zr_deferred_free_stats deferred_stats(void)
{
    struct zr_deferred_free_stats stats;

    zr_deferred_free_get_stats(deferred, &stats);
    return stats;
}

// Whatever was done: nothing may be left of it.
static void end(void)
{
    zr_deferred_free_destroy(deferred);
    ck_assert(zr_pool_is_valid(&pool));
    ck_assert_uint_eq(pool_stats().nr_objects, 0);
    ck_assert_uint_eq(pool_stats().nr_chunks, 0);
    zr_pool_fini(&pool);
}

static uint64_t make_object(uint32_t bytes)
{
    zr_handle handle;

    ck_assert_int_eq(zr_pool_alloc(&pool, bytes, &handle), 0);
    memset(zr_pool_view(&pool, handle), 'x', bytes);
    return handle.bits;
}

static void make_objects(uint64_t *words, size_t nr_words)
{
    for (size_t i = 0; i < nr_words; i++) {
        words[i] = make_object(1 + (uint32_t)random_below(200));
    }
}

static zr_handle make_chunk(void)
{
    zr_handle chunk;

    ck_assert_int_eq(zr_pool_alloc_chunk(&pool, &chunk), 0);
    return chunk;
}

// A chunk that refers to nr_objects objects, at places that are spread over it.
static zr_handle make_leaf(size_t nr_objects)
{
    zr_handle leaf = make_chunk();
    _Atomic uint64_t *words = zr_pool_view_chunk(&pool, leaf);

    for (size_t i = 0; i < ZR_CHUNK_WORDS; i++) {
        words[i] = UINT32_MAX; // no object, as a same-filled page
    }
    for (size_t i = 0; i < nr_objects; i++) {
        words[ZR_CHUNK_WORDS - 1 - i * ZR_CHUNK_WORDS / nr_objects] = make_object(100);
    }
    return leaf;
}

static bool is_all_freed(void)
{
    return pool_stats().nr_objects == 0 && deferred_stats().nr_chunks == 0;
}

// ---- Without a thread ---------------------------------------------------------------------------

START_TEST(an_unused_one_leaves_nothing_in_the_pool)
{
    start();
    ck_assert_uint_eq(pool_stats().nr_objects, 0);
    ck_assert_uint_eq(deferred_stats().nr_chunks, 0);
    ck_assert(!zr_deferred_free_drain(deferred));
    ck_assert_uint_eq(deferred_stats().nr_drains, 0);
    end();
}
END_TEST

START_TEST(words_are_freed_by_a_drain_and_not_before)
{
    static const size_t counts[] = {
        1, 2, ZR_CHUNK_WORDS - 1, ZR_CHUNK_WORDS, ZR_CHUNK_WORDS + 1, 3 * ZR_CHUNK_WORDS + 7};
    static uint64_t words[4 * ZR_CHUNK_WORDS];

    start();
    for (size_t i = 0; i < NR_OF(counts); i++) {
        make_objects(words, counts[i]);
        zr_deferred_free_words(deferred, words, counts[i]);
        ck_assert_uint_eq(pool_stats().nr_objects, counts[i]);
        ck_assert(zr_deferred_free_drain(deferred));
        ck_assert(is_all_freed());
        ck_assert(!zr_deferred_free_drain(deferred));
        ck_assert_uint_eq(deferred_stats().nr_drains, i + 1);
    }
    end();
}
END_TEST

START_TEST(words_without_an_object_are_not_kept)
{
    static uint64_t words[ZR_CHUNK_WORDS];

    start();
    zr_deferred_free_words(deferred, words, 0);
    for (size_t i = 0; i < NR_OF(words); i++) {
        words[i] = i % 2 == 0 ? 0 : UINT32_MAX;
    }
    for (int round = 0; round < 1000; round++) {
        zr_deferred_free_words(deferred, words, NR_OF(words));
    }
    ck_assert_uint_eq(deferred_stats().nr_chunks, 0);
    ck_assert(!zr_deferred_free_drain(deferred));
    end();
}
END_TEST

START_TEST(a_chunk_goes_with_all_that_it_refers_to)
{
    static const size_t counts[] = {0, 1, 100, ZR_CHUNK_WORDS};

    start();
    for (size_t i = 0; i < NR_OF(counts); i++) {
        zr_deferred_free_chunk(deferred, make_leaf(counts[i]), ZR_CHUNK_OF_OBJECTS, NULL);
        ck_assert_uint_eq(deferred_stats().nr_chunks, 1);
        ck_assert_uint_eq(pool_stats().nr_objects, counts[i]);
        ck_assert(zr_deferred_free_drain(deferred));
        ck_assert(is_all_freed());
    }
    end();
}
END_TEST

START_TEST(a_directory_goes_with_its_leaves_and_their_objects)
{
    // None, the first and the last place, all.
    static const struct {
        size_t first, step;
    } cases[] = {{ZR_CHUNK_WORDS, 1}, {0, ZR_CHUNK_WORDS - 1}, {0, 1}};

    start();
    for (size_t i = 0; i < NR_OF(cases); i++) {
        uint64_t nr_chunks = pool_stats().nr_chunks;
        zr_handle directory = make_chunk();
        _Atomic uint64_t *entries = zr_pool_view_chunk(&pool, directory);

        for (size_t n = cases[i].first; n < ZR_CHUNK_WORDS; n += cases[i].step) {
            entries[n] = make_leaf(n % 5).bits;
        }
        zr_deferred_free_chunk(deferred, directory, ZR_CHUNK_OF_CHUNKS, NULL);
        zr_deferred_free_drain(deferred);
        ck_assert(is_all_freed());
        ck_assert_uint_eq(pool_stats().nr_chunks, nr_chunks);
    }
    end();
}
END_TEST

// Objects of 100 bytes, as make_leaf makes them.
START_TEST(the_objects_of_a_chunk_are_taken_off_its_account_when_they_are_freed)
{
    struct zr_account account = {.limit_bytes = 1000000};
    struct zr_account other = {.stored_bytes = 7, .limit_bytes = UINT64_MAX};
    zr_handle directory;

    start();
    directory = make_chunk();
    zr_pool_view_chunk(&pool, directory)[0] = make_leaf(5).bits;
    zr_pool_view_chunk(&pool, directory)[9] = make_leaf(6).bits;
    account.stored_bytes = (5 + 6 + 70) * 100 + 1;
    zr_deferred_free_chunk(deferred, directory, ZR_CHUNK_OF_CHUNKS, &account);
    zr_deferred_free_chunk(deferred, make_leaf(70), ZR_CHUNK_OF_OBJECTS, &account);
    zr_deferred_free_chunk(deferred, make_leaf(0), ZR_CHUNK_OF_OBJECTS, &other);
    zr_deferred_free_chunk(deferred, make_leaf(8), ZR_CHUNK_OF_OBJECTS, NULL);
    ck_assert_uint_eq(account.stored_bytes, (5 + 6 + 70) * 100 + 1);
    ck_assert(zr_account_has_detached(&account));
    zr_deferred_free_drain(deferred);
    ck_assert_uint_eq(account.stored_bytes, 1);
    ck_assert(!zr_account_has_detached(&account));
    ck_assert_uint_eq(other.stored_bytes, 7);
    end();
}
END_TEST

START_TEST(chunks_and_words_may_be_handed_over_in_any_order)
{
    uint64_t words[40];

    start();
    for (int round = 0; round < 300; round++) {
        size_t nr_words = random_below(NR_OF(words) + 1);

        if (random_below(2) == 0) {
            zr_deferred_free_chunk(deferred, make_leaf(random_below(40)), ZR_CHUNK_OF_OBJECTS,
                                   NULL);
        }
        make_objects(words, nr_words);
        zr_deferred_free_words(deferred, words, nr_words);
        if (random_below(50) == 0) {
            zr_deferred_free_drain(deferred);
            ck_assert(is_all_freed());
        }
    }
    end(); // what was not drained yet is now
}
END_TEST

// A chunk that was freed may be set aside as the next batch.
START_TEST(of_a_chunk_that_becomes_a_batch_no_old_word_is_freed_again)
{
    static const size_t counts[] = {1, ZR_CHUNK_WORDS - 1, ZR_CHUNK_WORDS};
    static uint64_t words[ZR_CHUNK_WORDS + 1];

    start();
    for (size_t i = 0; i < NR_OF(counts); i++) {
        make_objects(words, NR_OF(words));
        zr_deferred_free_words(deferred, words, NR_OF(words));
        zr_deferred_free_chunk(deferred, make_leaf(ZR_CHUNK_WORDS), ZR_CHUNK_OF_OBJECTS, NULL);
        zr_deferred_free_drain(deferred);
        make_objects(words, counts[i]);
        zr_deferred_free_words(deferred, words, counts[i]);
        zr_deferred_free_drain(deferred);
        ck_assert(is_all_freed());
    }
    end();
}
END_TEST

START_TEST(who_finds_no_batch_left_helps_and_nothing_is_lost)
{
    static uint64_t words[3000];
    size_t nr_handed_over = 0;

    start();
    // However many batches are set aside, this is more.
    while (deferred_stats().nr_drains < 3 && nr_handed_over < 1000000) {
        make_objects(words, NR_OF(words));
        zr_deferred_free_words(deferred, words, NR_OF(words));
        nr_handed_over += NR_OF(words);
    }
    ck_assert_uint_eq(deferred_stats().nr_drains, 3);
    ck_assert_uint_lt(pool_stats().nr_objects, nr_handed_over);
    zr_deferred_free_drain(deferred);
    ck_assert(is_all_freed());
    end();
}
END_TEST

START_TEST(handing_over_and_draining_never_allocate)
{
    static uint64_t words[100000];
    zr_handle leaf, other;

    start();
    make_objects(words, NR_OF(words));
    leaf = make_leaf(ZR_CHUNK_WORDS);
    other = make_leaf(1);
    zr_deferred_free_chunk(deferred, other, ZR_CHUNK_OF_OBJECTS, NULL);
    zr_deferred_free_drain(deferred); // makes this thread known to RCU, which allocates
    fault_arm(0);
    zr_deferred_free_chunk(deferred, leaf, ZR_CHUNK_OF_OBJECTS, NULL);
    zr_deferred_free_words(deferred, words, NR_OF(words));
    zr_deferred_free_drain(deferred);
    fault_disarm();
    ck_assert_uint_eq(fault_nr_calls(), 0);
    ck_assert(is_all_freed());
    end();
}
END_TEST

// ---- Readers ------------------------------------------------------------------------------------

struct reader {
    pthread_t thread;
    atomic_bool is_inside, may_leave;
};

static void *read_until_told(void *argument)
{
    struct reader *reader = argument;

    zr_rcu_read_lock();
    reader->is_inside = true;
    while (!reader->may_leave) {
        unit_sleep_ms(1);
    }
    zr_rcu_read_unlock();
    return NULL;
}

static void enter_reader(struct reader *reader)
{
    ck_assert_int_eq(pthread_create(&reader->thread, NULL, read_until_told, reader), 0);
    while (!reader->is_inside) {
        unit_sleep_ms(1);
    }
}

static void leave_reader(struct reader *reader)
{
    reader->may_leave = true;
    pthread_join(reader->thread, NULL);
}

static atomic_int nr_drained;

static void *drain(void *unused)
{
    zr_deferred_free_drain(deferred);
    nr_drained++;
    return unused;
}

START_TEST(an_object_stays_until_the_readers_that_may_see_it_have_left)
{
    struct reader reader = {0};
    pthread_t drainer;
    zr_handle object, in_leaf, leaf;
    char expected[100];

    start();
    memset(expected, 'x', sizeof expected);
    object.bits = make_object(sizeof expected);
    in_leaf.bits = make_object(sizeof expected);
    leaf = make_chunk();
    zr_pool_view_chunk(&pool, leaf)[17] = in_leaf.bits;

    enter_reader(&reader);
    zr_deferred_free_words(deferred, &object.bits, 1);
    zr_deferred_free_chunk(deferred, leaf, ZR_CHUNK_OF_OBJECTS, NULL);
    ck_assert_int_eq(pthread_create(&drainer, NULL, drain, NULL), 0);
    unit_sleep_ms(100); // long enough for a drain that does not wait
    ck_assert_int_eq(nr_drained, 0);
    ck_assert_uint_eq(pool_stats().nr_objects, 2);
    ck_assert_mem_eq(zr_pool_view(&pool, object), expected, sizeof expected);
    ck_assert_mem_eq(zr_pool_view(&pool, in_leaf), expected, sizeof expected);
    ck_assert_uint_eq(zr_pool_view_chunk(&pool, leaf)[17], in_leaf.bits);

    leave_reader(&reader);
    pthread_join(drainer, NULL);
    ck_assert(is_all_freed());
    end();
}
END_TEST

START_TEST(a_chunk_may_be_handed_over_inside_a_read_side_section)
{
    start();
    zr_rcu_read_lock();
    for (int i = 0; i < 200; i++) { // more than there are batches set aside
        zr_deferred_free_chunk(deferred, make_leaf(1), ZR_CHUNK_OF_OBJECTS, NULL);
    }
    ck_assert_uint_eq(pool_stats().nr_objects, 200);
    zr_rcu_read_unlock();
    zr_deferred_free_drain(deferred);
    ck_assert(is_all_freed());
    end();
}
END_TEST

START_TEST(a_drain_beside_another_frees_what_was_handed_over_before_it)
{
    struct reader reader = {0};
    pthread_t first, second;
    uint64_t word;

    start();
    enter_reader(&reader);
    word = make_object(100);
    zr_deferred_free_words(deferred, &word, 1);
    ck_assert_int_eq(pthread_create(&first, NULL, drain, NULL), 0);
    unit_sleep_ms(20); // it waits for the reader now
    word = make_object(100);
    zr_deferred_free_words(deferred, &word, 1);
    ck_assert_int_eq(pthread_create(&second, NULL, drain, NULL), 0);
    unit_sleep_ms(20);
    ck_assert_int_eq(nr_drained, 0);
    leave_reader(&reader);
    pthread_join(second, NULL);
    pthread_join(first, NULL);
    ck_assert(is_all_freed());
    end();
}
END_TEST

START_TEST(who_finds_nothing_waits_for_what_another_drainer_has_in_hand)
{
    struct reader reader = {0};
    pthread_t first, second;
    uint64_t word;

    start();
    enter_reader(&reader);
    word = make_object(100);
    zr_deferred_free_words(deferred, &word, 1);
    ck_assert_int_eq(pthread_create(&first, NULL, drain, NULL), 0);
    unit_sleep_ms(20); // it waits for the reader now
    ck_assert_int_eq(pthread_create(&second, NULL, drain, NULL), 0);
    unit_sleep_ms(20);
    ck_assert_int_eq(nr_drained, 0); // a writer in need must not be told that there is nothing
    leave_reader(&reader);
    pthread_join(second, NULL);
    ck_assert(is_all_freed());
    pthread_join(first, NULL);
    ck_assert(!zr_deferred_free_drain(deferred));
    end();
}
END_TEST

// ---- Many threads -------------------------------------------------------------------------------

// A slot that everybody reads and replaces: the object in it is whole for as long as one looks.
static _Atomic uint64_t slot;

static void *replace_and_read(void *number)
{
    random_seed((uintptr_t)number);
    for (int round = 0; round < 1500; round++) {
        const unsigned char *object;
        uint64_t word;

        zr_rcu_read_lock();
        object = zr_pool_view(&pool, (zr_handle){atomic_load(&slot)});
        for (int i = 1; i < 100; i++) {
            if (object[i] != object[0]) {
                ck_abort_msg("an object was freed under a reader");
            }
        }
        zr_rcu_read_unlock();

        word = make_object(100);
        memset(zr_pool_view(&pool, (zr_handle){word}), round, 100);
        word = atomic_exchange(&slot, word);
        if (round % 3 == 0) {
            zr_handle leaf = make_chunk();

            atomic_init(&zr_pool_view_chunk(&pool, leaf)[random_below(ZR_CHUNK_WORDS)], word);
            zr_deferred_free_chunk(deferred, leaf, ZR_CHUNK_OF_OBJECTS, NULL);
        } else {
            zr_deferred_free_words(deferred, &word, 1);
        }
        if (random_below(100) == 0) {
            zr_deferred_free_drain(deferred);
        }
    }
    return NULL;
}

static atomic_bool must_stop;

static void *drain_all_the_time(void *unused)
{
    while (!must_stop) {
        zr_deferred_free_drain(deferred);
    }
    return unused;
}

START_TEST(threads_may_hand_over_read_and_drain_at_once)
{
    pthread_t threads[3], drainer;
    uint64_t last;

    start();
    slot = make_object(100);
    ck_assert_int_eq(pthread_create(&drainer, NULL, drain_all_the_time, NULL), 0);
    for (uintptr_t i = 0; i < NR_OF(threads); i++) {
        ck_assert_int_eq(pthread_create(&threads[i], NULL, replace_and_read, (void *)i), 0);
    }
    for (size_t i = 0; i < NR_OF(threads); i++) {
        pthread_join(threads[i], NULL);
    }
    must_stop = true;
    pthread_join(drainer, NULL);
    zr_deferred_free_drain(deferred);
    ck_assert_uint_eq(pool_stats().nr_objects, 1);
    last = slot;
    zr_deferred_free_words(deferred, &last, 1);
    end();
}
END_TEST

// ---- Without memory -----------------------------------------------------------------------------

START_TEST(a_creation_that_fails_at_any_step_leaves_nothing_behind)
{
    unsigned nth;
    int rc;

    for (nth = 1;; nth++) {
        ck_assert_int_eq(zr_pool_init(&pool, 256 * MiB, NULL), 0);
        fault_arm(nth);
        rc = zr_deferred_free_create(&pool, &deferred);
        if (!fault_disarm()) {
            break;
        }
        ck_assert(rc == -ENOMEM || rc == -ENOSPC);
        ck_assert_int_eq(fault_nr_live(), 0);
        ck_assert_uint_eq(pool_stats().nr_chunks, 0);
        ck_assert(zr_pool_is_valid(&pool));
        zr_pool_fini(&pool);
    }
    ck_assert_int_eq(rc, 0);
    ck_assert_uint_gt(nth, 1);
    fault_arm(0);
    zr_deferred_free_destroy(deferred);
    fault_disarm();
    ck_assert_int_eq(fault_nr_live(), 0);
    ck_assert_uint_eq(pool_stats().nr_chunks, 0);
    zr_pool_fini(&pool);
}
END_TEST

START_TEST(a_pool_too_small_for_the_batches_is_enospc)
{
    int rc;

    ck_assert_int_eq(zr_pool_init(&pool, 1, NULL), 0);
    fault_arm(0);
    rc = zr_deferred_free_create(&pool, &deferred);
    fault_disarm();
    ck_assert_int_eq(rc, -ENOSPC);
    ck_assert_int_eq(fault_nr_live(), 0);
    ck_assert_uint_eq(pool_stats().nr_chunks, 0);
    zr_pool_fini(&pool);
}
END_TEST

UNIT_MAIN("deferred-free", an_unused_one_leaves_nothing_in_the_pool,
          words_are_freed_by_a_drain_and_not_before, words_without_an_object_are_not_kept,
          a_chunk_goes_with_all_that_it_refers_to,
          a_directory_goes_with_its_leaves_and_their_objects,
          the_objects_of_a_chunk_are_taken_off_its_account_when_they_are_freed,
          chunks_and_words_may_be_handed_over_in_any_order,
          of_a_chunk_that_becomes_a_batch_no_old_word_is_freed_again,
          who_finds_no_batch_left_helps_and_nothing_is_lost,
          handing_over_and_draining_never_allocate,
          an_object_stays_until_the_readers_that_may_see_it_have_left,
          a_chunk_may_be_handed_over_inside_a_read_side_section,
          a_drain_beside_another_frees_what_was_handed_over_before_it,
          who_finds_nothing_waits_for_what_another_drainer_has_in_hand,
          threads_may_hand_over_read_and_drain_at_once,
          a_creation_that_fails_at_any_step_leaves_nothing_behind,
          a_pool_too_small_for_the_batches_is_enospc)
