// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "unit.h"
#include "fault.h"

#include "allocator/pool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MAX_PER_SPAN (ZR_SPAN_BYTES / ZR_OBJECT_MAX_BYTES)

static struct zr_pool pool;

static void start_pool(uint64_t limit_bytes)
{
    ck_assert_int_eq(zr_pool_init(&pool, limit_bytes, NULL), 0);
}

static void end_pool(void)
{
    struct zr_pool_stats stats;

    zr_pool_get_stats(&pool, &stats);
    ck_assert_uint_eq(stats.nr_objects, 0);
    ck_assert_uint_eq(stats.nr_chunks, 0);
    ck_assert_uint_eq(stats.stored_bytes, 0);
    ck_assert(zr_pool_is_valid(&pool));
    zr_pool_fini(&pool);
}

static struct zr_pool_stats get_stats(void)
{
    struct zr_pool_stats stats;

    zr_pool_get_stats(&pool, &stats);
    return stats;
}

static zr_handle alloc(uint32_t bytes)
{
    zr_handle handle;

    ck_assert_int_eq(zr_pool_alloc(&pool, bytes, &handle), 0);
    return handle;
}

static zr_handle alloc_chunk(void)
{
    zr_handle handle;

    ck_assert_int_eq(zr_pool_alloc_chunk(&pool, &handle), 0);
    return handle;
}

static void free_one(zr_handle handle)
{
    zr_pool_free(&pool, &handle.bits, 1);
}

// Fills the pool with the largest objects, each filled with its number; returns how many there are.
static size_t fill_pool(uint64_t *words, size_t nr_max)
{
    zr_handle handle;
    size_t nr = 0;

    while (nr < nr_max && zr_pool_alloc(&pool, ZR_OBJECT_MAX_BYTES, &handle) == 0) {
        memset(zr_pool_view(&pool, handle), (int)nr, ZR_OBJECT_MAX_BYTES);
        words[nr++] = handle.bits;
    }
    return nr;
}

static bool is_filled_with(zr_handle handle, size_t number)
{
    const unsigned char *bytes = zr_pool_view(&pool, handle);

    return bytes[0] == (unsigned char)number &&
           memcmp(bytes, bytes + 1, zr_handle_length_bytes(handle) - 1) == 0;
}

START_TEST(a_new_pool_holds_nothing_and_uses_nothing)
{
    static const uint64_t limits[] = {1, ZR_SPAN_BYTES, ZR_SPAN_BYTES + 1, 100 * GiB};

    for (size_t i = 0; i < NR_OF(limits); i++) {
        struct zr_pool_stats stats;

        start_pool(limits[i]);
        stats = get_stats();
        ck_assert_uint_eq(stats.used_bytes, 0);
        ck_assert_uint_eq(stats.peak_used_bytes, 0);
        ck_assert_uint_ge(stats.limit_bytes, limits[i]);
        ck_assert_uint_lt(stats.limit_bytes, limits[i] + ZR_SPAN_BYTES);
        end_pool();
    }
}
END_TEST

static bool is_chunk(zr_handle handle)
{
    return zr_span_class(zr_pool_span_of(&pool, handle)) == zr_size_class_chunk(&pool.classes);
}

START_TEST(an_object_of_any_size_is_aligned_and_lies_within_the_opened_arena)
{
    uint64_t words[ZR_OBJECT_MAX_BYTES];
    uint64_t stored = 0;
    uint32_t bytes;

    start_pool(64 * MiB);
    for (bytes = 1; bytes <= ZR_OBJECT_MAX_BYTES; bytes++) {
        zr_handle handle = alloc(bytes);
        uint64_t offset = zr_handle_offset_bytes(handle);

        words[bytes - 1] = handle.bits;
        stored += bytes;
        ck_assert_uint_eq(zr_handle_length_bytes(handle), bytes);
        ck_assert_uint_eq((uintptr_t)zr_pool_view(&pool, handle) % 16, 0);
        ck_assert_uint_le(offset + bytes, pool.arena.open_bytes);
        ck_assert(!is_chunk(handle));
        memset(zr_pool_view(&pool, handle), 0xff, bytes);
    }
    ck_assert_uint_eq(get_stats().nr_objects, ZR_OBJECT_MAX_BYTES);
    ck_assert_uint_eq(get_stats().stored_bytes, stored);
    ck_assert(zr_pool_is_valid(&pool));
    zr_pool_free(&pool, words, NR_OF(words));
    end_pool();
}
END_TEST

START_TEST(a_chunk_is_zeroed_page_aligned_and_told_from_an_object)
{
    uint64_t words[2 * MAX_PER_SPAN];
    zr_handle object;

    start_pool(MiB);
    object = alloc(ZR_OBJECT_MAX_BYTES);
    // Twice, so that the second time the memory is that of chunks that were written to.
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < NR_OF(words); i++) {
            zr_handle chunk = alloc_chunk();
            const _Atomic uint64_t *view = zr_pool_view_chunk(&pool, chunk);

            words[i] = chunk.bits;
            ck_assert(is_chunk(chunk));
            ck_assert_uint_eq((uintptr_t)view % ZR_CHUNK_BYTES, 0);
            ck_assert_uint_eq(zr_handle_length_bytes(chunk), ZR_CHUNK_BYTES);
            for (size_t word = 0; word < ZR_CHUNK_WORDS; word++) {
                if (view[word] != 0) {
                    ck_abort_msg("word %zu of a new chunk is not 0", word);
                }
            }
            memset(zr_pool_view(&pool, chunk), 0xff, ZR_CHUNK_BYTES);
        }
        ck_assert(!is_chunk(object));
        ck_assert_uint_eq(get_stats().nr_chunks, NR_OF(words));
        ck_assert_uint_eq(get_stats().nr_objects, 1);
        zr_pool_free(&pool, words, NR_OF(words));
    }
    free_one(object);
    end_pool();
}
END_TEST

START_TEST(only_the_largest_class_counts_as_max_objects)
{
    zr_handle largest, small, chunk;

    start_pool(MiB);
    largest = alloc(ZR_OBJECT_MAX_BYTES);
    small = alloc(ZR_OBJECT_MAX_BYTES / 2);
    chunk = alloc_chunk();
    ck_assert_uint_eq(get_stats().nr_max_objects, 1);
    ck_assert_uint_eq(get_stats().nr_objects, 2);
    ck_assert_uint_eq(get_stats().nr_chunks, 1);
    free_one(largest);
    ck_assert_uint_eq(get_stats().nr_max_objects, 0);
    free_one(small);
    free_one(chunk);
    end_pool();
}
END_TEST

START_TEST(at_the_limit_alloc_is_enospc_and_what_is_stored_stays)
{
    // A limit of one byte is a span.
    static const uint64_t nr_spans[] = {1, 2, 9};
    uint64_t words[9 * MAX_PER_SPAN + 1];

    for (size_t i = 0; i < NR_OF(nr_spans); i++) {
        size_t capacity = nr_spans[i] * MAX_PER_SPAN;
        zr_handle handle;
        size_t nr;

        start_pool((nr_spans[i] - 1) * ZR_SPAN_BYTES + 1);
        nr = fill_pool(words, NR_OF(words));
        ck_assert_uint_eq(nr, capacity);
        ck_assert_int_eq(zr_pool_alloc(&pool, 1, &handle), -ENOSPC);
        ck_assert_int_eq(zr_pool_alloc_chunk(&pool, &handle), -ENOSPC);
        ck_assert_uint_eq(get_stats().used_bytes, get_stats().limit_bytes);
        ck_assert_uint_eq(get_stats().nr_objects, capacity);
        for (size_t n = 0; n < nr; n++) {
            ck_assert(is_filled_with((zr_handle){words[n]}, n));
        }
        // Any one that goes makes room for one.
        free_one((zr_handle){words[nr / 2]});
        words[nr / 2] = alloc(ZR_OBJECT_MAX_BYTES).bits;
        ck_assert_int_eq(zr_pool_alloc(&pool, ZR_OBJECT_MAX_BYTES, &handle), -ENOSPC);
        ck_assert(zr_pool_is_valid(&pool));
        zr_pool_free(&pool, words, nr);
        end_pool();
    }
}
END_TEST

START_TEST(a_freed_span_serves_any_other_class)
{
    uint64_t words[4 * MAX_PER_SPAN];
    zr_handle handle;

    start_pool(4 * ZR_SPAN_BYTES);
    for (int round = 0; round < 20; round++) {
        uint32_t bytes = 1 + (uint32_t)random_below(ZR_OBJECT_MAX_BYTES);
        bool is_chunk = round % 5 == 4;
        size_t nr = 0;

        while (nr < NR_OF(words) && (is_chunk ? zr_pool_alloc_chunk(&pool, &handle)
                                              : zr_pool_alloc(&pool, bytes, &handle)) == 0) {
            words[nr++] = handle.bits;
        }
        ck_assert_uint_ge(nr, NR_OF(words)); // smaller objects would fit more often
        ck_assert(zr_pool_is_valid(&pool));
        zr_pool_free(&pool, words, nr);
    }
    end_pool();
}
END_TEST

// 100 MiB of the largest objects, not written to: the arena is opened in several steps.
START_TEST(objects_stay_distinct_however_far_the_arena_is_opened)
{
    const size_t nr_max = 100 * MiB / ZR_SPAN_BYTES * MAX_PER_SPAN;
    const size_t nr_places = 100 * MiB / ZR_OBJECT_MAX_BYTES;
    uint64_t *words = calloc(nr_max, sizeof *words);
    bool *is_used = calloc(nr_places, sizeof *is_used);
    size_t nr;

    start_pool(100 * MiB);
    for (nr = 0; nr < nr_max; nr++) {
        zr_handle handle;
        uint64_t place;

        if (zr_pool_alloc(&pool, ZR_OBJECT_MAX_BYTES, &handle) < 0) {
            break;
        }
        words[nr] = handle.bits;
        place = zr_handle_offset_bytes(handle) / ZR_OBJECT_MAX_BYTES;
        if (place >= nr_places || is_used[place]) {
            ck_abort_msg("object %zu at %llu", nr, (unsigned long long)place);
        }
        is_used[place] = true;
    }
    ck_assert_uint_eq(nr, nr_max);
    ck_assert_int_eq(zr_pool_alloc(&pool, 1, &(zr_handle){0}), -ENOSPC);
    ck_assert_uint_eq(get_stats().used_bytes, 100 * MiB);
    ck_assert(zr_pool_is_valid(&pool));
    zr_pool_free(&pool, words, nr);
    end_pool();
    free(is_used);
    free(words);
}
END_TEST

START_TEST(free_skips_words_without_an_object_and_owner_bits)
{
    static const size_t counts[] = {0, 1, 2, 63, 64, 65, 1023, 1024, 1025, 5000};
    const uint64_t owner_bits = ~((UINT64_C(1) << ZR_HANDLE_BITS) - 1);
    static uint64_t words[3 * 5000];

    start_pool(32 * MiB);
    for (size_t i = 0; i < NR_OF(counts); i++) {
        for (size_t n = 0; n < counts[i]; n++) {
            uint32_t bytes = 1 + (uint32_t)random_below(ZR_OBJECT_MAX_BYTES);

            words[3 * n] = 0;
            words[3 * n + 1] = UINT32_MAX | owner_bits; // as a same-filled page has it
            words[3 * n + 2] = (n % 10 == 0 ? alloc_chunk() : alloc(bytes)).bits | owner_bits;
        }
        zr_pool_free(&pool, words, 3 * counts[i]);
        ck_assert_uint_eq(get_stats().nr_objects, 0);
        ck_assert_uint_eq(get_stats().nr_chunks, 0);
        ck_assert(zr_pool_is_valid(&pool));
    }
    end_pool();
}
END_TEST

static void free_twice(void *words)
{
    zr_pool_free(&pool, words, 1);
    zr_pool_free(&pool, words, 1);
}

START_TEST(freeing_twice_aborts)
{
    zr_handle kept, handle;

    start_pool(MiB);
    handle = alloc(100); // the only one of its span, which is free then
    ck_assert(unit_aborts(free_twice, &handle));
    kept = alloc(100);
    ck_assert(unit_aborts(free_twice, &handle));
    free_one(handle);
    free_one(kept);
    end_pool();
}
END_TEST

// ---- Isolation ----------------------------------------------------------------------------------

START_TEST(an_isolated_span_gives_no_object_out_until_it_is_put_back)
{
    uint64_t words[MAX_PER_SPAN / 2];
    struct zr_span *span;
    zr_handle handle;
    uint32_t class_nr;

    start_pool(MiB);
    fill_pool(words, NR_OF(words));
    span = zr_pool_span_of(&pool, (zr_handle){words[0]});
    class_nr = zr_span_class(span);
    ck_assert(zr_pool_try_isolate(&pool, span, class_nr));
    ck_assert(zr_span_is_isolated(span));
    handle = alloc(ZR_OBJECT_MAX_BYTES);
    ck_assert_ptr_ne(zr_pool_span_of(&pool, handle), span);
    ck_assert(zr_pool_is_valid(&pool));
    free_one(handle);

    zr_pool_put_back(&pool, span);
    ck_assert(!zr_span_is_isolated(span));
    handle = alloc(ZR_OBJECT_MAX_BYTES);
    ck_assert_ptr_eq(zr_pool_span_of(&pool, handle), span);
    free_one(handle);
    zr_pool_free(&pool, words, NR_OF(words));
    end_pool();
}
END_TEST

START_TEST(a_span_emptied_in_isolation_is_free_when_it_is_put_back)
{
    uint64_t words[MAX_PER_SPAN];
    struct zr_span *span;
    zr_handle handle;
    uint32_t class_nr;

    start_pool(ZR_SPAN_BYTES);
    handle = alloc(100);
    span = zr_pool_span_of(&pool, handle);
    class_nr = zr_span_class(span);
    ck_assert(zr_pool_try_isolate(&pool, span, class_nr));
    free_one(handle);
    ck_assert_msg(fill_pool(words, 1) == 0, "it is not free yet");
    zr_pool_put_back(&pool, span);
    ck_assert_uint_eq(fill_pool(words, NR_OF(words)), NR_OF(words));
    zr_pool_free(&pool, words, NR_OF(words));
    end_pool();
}
END_TEST

START_TEST(only_a_partly_used_span_can_be_isolated_and_only_once)
{
    uint64_t words[MAX_PER_SPAN];
    struct zr_span *span;
    uint32_t class_nr;

    start_pool(ZR_SPAN_BYTES);
    fill_pool(words, NR_OF(words));
    span = zr_pool_span_of(&pool, (zr_handle){words[0]});
    class_nr = zr_span_class(span);
    ck_assert_msg(!zr_pool_try_isolate(&pool, span, class_nr), "a full one");
    zr_pool_free(&pool, words, 1);
    ck_assert(zr_pool_try_isolate(&pool, span, class_nr));
    ck_assert_msg(!zr_pool_try_isolate(&pool, span, class_nr), "an isolated one");
    zr_pool_put_back(&pool, span);
    zr_pool_free(&pool, words + 1, NR_OF(words) - 1);
    ck_assert_msg(!zr_pool_try_isolate(&pool, span, class_nr), "a free one");
    end_pool();
}
END_TEST

// Whoever collects spans under the lock of a class, lets go, and acts, names that class.
START_TEST(a_span_that_went_to_another_class_is_not_isolated)
{
    struct zr_span *span;
    uint32_t class_nr;
    zr_handle handle;

    start_pool(ZR_SPAN_BYTES);
    handle = alloc(100);
    span = zr_pool_span_of(&pool, handle);
    class_nr = zr_span_class(span);
    free_one(handle);
    ck_assert_uint_eq(zr_span_class(span), ZR_CLASS_NONE);
    handle = alloc(200);
    ck_assert_ptr_eq(zr_pool_span_of(&pool, handle), span);
    ck_assert(!zr_pool_try_isolate(&pool, span, class_nr));
    ck_assert(zr_pool_try_isolate(&pool, span, zr_span_class(span)));
    zr_pool_put_back(&pool, span);
    ck_assert_ptr_eq(zr_pool_span_of(&pool, handle), span);
    free_one(handle);
    end_pool();
}
END_TEST

START_TEST(a_copy_goes_into_the_copy_class_or_else_its_own)
{
    uint32_t class_nr, coarse;
    zr_handle first, copy, own;

    start_pool(MiB);
    first = alloc(ZR_OBJECT_MIN_BYTES);
    class_nr = zr_span_class(zr_pool_span_of(&pool, first));
    coarse = pool.classes.coarse[class_nr];
    ck_assert_uint_ne(coarse, class_nr);
    pool.class[class_nr].copy_class = (uint8_t)coarse;
    ck_assert_int_eq(zr_pool_alloc_copy(&pool, ZR_OBJECT_MIN_BYTES, &copy), 0);
    ck_assert_uint_eq(zr_span_class(zr_pool_span_of(&pool, copy)), coarse);
    ck_assert_uint_eq(zr_handle_length_bytes(copy), ZR_OBJECT_MIN_BYTES);
    free_one(copy);

    while (zr_pool_alloc(&pool, ZR_OBJECT_MAX_BYTES, &copy) == 0) {
    }
    ck_assert_int_eq(zr_pool_alloc_copy(&pool, ZR_OBJECT_MIN_BYTES, &own), 0);
    ck_assert_uint_eq(zr_span_class(zr_pool_span_of(&pool, own)), class_nr);
    ck_assert(zr_pool_is_valid(&pool));
    zr_pool_fini(&pool);
}
END_TEST

// ---- Without memory -----------------------------------------------------------------------------

START_TEST(an_init_that_fails_at_any_step_leaves_nothing_behind)
{
    unsigned nth;
    int rc;

    for (nth = 1;; nth++) {
        fault_arm(nth);
        rc = zr_pool_init(&pool, GiB, NULL);
        if (!fault_disarm()) {
            break;
        }
        ck_assert_int_eq(rc, -ENOMEM);
        ck_assert_int_eq(fault_nr_live(), 0);
    }
    ck_assert_int_eq(rc, 0);
    ck_assert_uint_gt(nth, 1);
    fault_arm(0);
    zr_pool_fini(&pool);
    fault_disarm();
    ck_assert_int_eq(fault_nr_live(), 0);
}
END_TEST

START_TEST(an_alloc_that_cannot_open_the_arena_is_enospc_and_works_later)
{
    zr_handle handle;
    unsigned nth;
    int rc;

    for (nth = 1;; nth++) {
        start_pool(MiB);
        fault_arm(nth);
        rc = zr_pool_alloc(&pool, 100, &handle);
        if (!fault_disarm()) {
            break;
        }
        ck_assert_int_eq(rc, -ENOSPC);
        ck_assert(zr_pool_is_valid(&pool));
        free_one(alloc(100));
        end_pool();
    }
    ck_assert_int_eq(rc, 0);
    ck_assert_uint_gt(nth, 1);
    free_one(handle);
    end_pool();
}
END_TEST

START_TEST(more_than_deferred_free_has_places_for_is_einval)
{
    ck_assert_int_eq(zr_pool_init(&pool, ZR_POOL_MAX_BYTES + 1, NULL), -EINVAL);
    ck_assert_int_eq(zr_pool_init(&pool, UINT64_C(1) << 60, NULL), -EINVAL);
#ifndef __SANITIZE_THREAD__ // which leaves a process 3 TiB of addresses
    start_pool(ZR_POOL_MAX_BYTES);
    free_one(alloc(1));
    end_pool();
#endif
}
END_TEST

// Not even from the heap, and not however much there is to do: who frees memory is short of it.
START_TEST(no_call_but_init_allocates)
{
    static uint64_t words[100 * MAX_PER_SPAN];
    zr_handle handle;
    size_t nr;

    start_pool(16 * MiB);
    free_one(alloc(1)); // opens all of the arena
    fault_arm(0);
    for (nr = 0; nr < NR_OF(words); nr++) {
        if (zr_pool_alloc(&pool, ZR_OBJECT_MAX_BYTES, &handle) < 0) {
            break;
        }
        words[nr] = handle.bits;
    }
    zr_pool_free(&pool, words, nr);
    fault_disarm();
    ck_assert_uint_eq(nr, NR_OF(words));
    ck_assert_uint_eq(fault_nr_heap_calls(), 0);
    end_pool();
}
END_TEST

UNIT_MAIN("pool", a_new_pool_holds_nothing_and_uses_nothing,
          an_object_of_any_size_is_aligned_and_lies_within_the_opened_arena,
          a_chunk_is_zeroed_page_aligned_and_told_from_an_object,
          only_the_largest_class_counts_as_max_objects,
          at_the_limit_alloc_is_enospc_and_what_is_stored_stays,
          a_freed_span_serves_any_other_class,
          objects_stay_distinct_however_far_the_arena_is_opened,
          free_skips_words_without_an_object_and_owner_bits, freeing_twice_aborts,
          an_isolated_span_gives_no_object_out_until_it_is_put_back,
          a_span_emptied_in_isolation_is_free_when_it_is_put_back,
          only_a_partly_used_span_can_be_isolated_and_only_once,
          a_span_that_went_to_another_class_is_not_isolated,
          a_copy_goes_into_the_copy_class_or_else_its_own,
          an_init_that_fails_at_any_step_leaves_nothing_behind,
          an_alloc_that_cannot_open_the_arena_is_enospc_and_works_later,
          more_than_deferred_free_has_places_for_is_einval, no_call_but_init_allocates)
