// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// The compactor and the evacuation under it.  Linked with --wrap for zr_pool_alloc_copy, so that a
// writer can win the race.
#include "shadowed-device.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#define DEVICE_BYTES (8 * MiB)

static uint64_t nr_page_objects(void)
{
    return pool_stats().nr_objects;
}

static uint64_t used_bytes(void)
{
    return pool_stats().used_bytes;
}

// Trims every page but each nr-th, so that every span stays in use for a little.
static void thin_out(uint64_t bytes, uint64_t nr)
{
    for (uint64_t page = 0; page < bytes / PAGE_BYTES; page++) {
        if (page % nr != 0) {
            zero_both(page * PAGE_BYTES, PAGE_BYTES);
        }
    }
    zr_deferred_free_drain(server.deferred);
}

START_TEST(a_pass_empties_sparse_spans_and_every_page_stays)
{
    uint64_t nr_objects, nr_freed;

    start_device(DEVICE_BYTES, 64 * MiB, &zr_codec_lz4);
    write_both(0, DEVICE_BYTES, CONTENT_RANDOM);
    thin_out(DEVICE_BYTES, 8);
    nr_objects = nr_page_objects();
    nr_freed = zr_compactor_pass(&server.compactor, ZR_URGENCY_FULL);
    // Seven of eight, but for what cannot be divided.
    ck_assert_uint_ge(nr_freed, DEVICE_BYTES / ZR_SPAN_BYTES / 8 * 7 - 2);
    ck_assert_uint_gt(server.compactor.nr_moved_pages, 0);
    ck_assert_uint_eq(server.compactor.nr_freed_spans, nr_freed);
    compare_both();
    ck_assert_uint_eq(nr_page_objects(), nr_objects);
    ck_assert(zr_pool_is_valid(&server.pool));
    ck_assert_uint_eq(zr_compactor_pass(&server.compactor, ZR_URGENCY_FULL),
                      0); // nothing is left to do
    end_device();
}
END_TEST

START_TEST(objects_of_every_size_are_moved_whole)
{
    start_device(DEVICE_BYTES, 64 * MiB, &zr_codec_zstd);
    for (int round = 0; round < 3; round++) {
        write_both(0, DEVICE_BYTES, CONTENT_MIXED);
        thin_out(DEVICE_BYTES, 5);
        zr_compactor_pass(&server.compactor, ZR_URGENCY_FULL);
        compare_both();
        ck_assert(zr_pool_is_valid(&server.pool));
    }
    ck_assert_uint_gt(server.compactor.nr_freed_spans, 0);
    end_device();
}
END_TEST

// As the keeper would after two windows.
static void make_all_quiet(void)
{
    for (uint64_t i = 0; i < server.pool.nr_opened_spans; i++) {
        zr_span_set_quiet_windows(zr_pool_span_at(&server.pool, i), ZR_SPAN_QUIET);
    }
}

START_TEST(what_little_is_in_a_class_goes_into_a_coarser_one_once)
{
    uint64_t nr_objects, nr_moved;

    start_device(DEVICE_BYTES, 64 * MiB, &zr_codec_zstd);
    write_both(0, MiB, CONTENT_MIXED);
    nr_objects = nr_page_objects();
    make_all_quiet();
    ck_assert_uint_gt(zr_compactor_pass(&server.compactor, ZR_URGENCY_QUIET), 0);
    compare_both();
    ck_assert_uint_eq(nr_page_objects(), nr_objects);
    for (uint32_t i = 0; i < server.pool.classes.nr_classes; i++) {
        ck_assert(server.pool.classes.coarse[i] == i || server.pool.class[i].nr_objects == 0);
    }
    ck_assert(zr_pool_is_valid(&server.pool));

    nr_moved = server.compactor.nr_moved_pages;
    make_all_quiet();
    zr_compactor_pass(&server.compactor, ZR_URGENCY_QUIET);
    ck_assert_uint_eq(server.compactor.nr_moved_pages, nr_moved);
    end_device();
}
END_TEST

START_TEST(a_dense_pool_is_left_alone)
{
    start_device(DEVICE_BYTES, 64 * MiB, &zr_codec_lz4);
    ck_assert_uint_eq(zr_compactor_pass(&server.compactor, ZR_URGENCY_FULL), 0);
    write_both(0, DEVICE_BYTES, CONTENT_RANDOM);
    ck_assert_uint_eq(zr_compactor_pass(&server.compactor, ZR_URGENCY_FULL), 0);
    ck_assert_uint_eq(server.compactor.nr_moved_pages, 0);
    compare_both();
    end_device();
}
END_TEST

START_TEST(a_writer_finds_room_in_a_pool_that_is_full_of_holes)
{
    start_device(DEVICE_BYTES, DEVICE_BYTES + 8 * ZR_SPAN_BYTES, &zr_codec_lz4);
    write_both(0, DEVICE_BYTES, CONTENT_RANDOM);
    thin_out(DEVICE_BYTES, 8);
    // Of other sizes, so that none fits into the holes, and too many for what is left beside them.
    for (uint64_t offset = PAGE_BYTES; offset < DEVICE_BYTES / 2; offset += 8 * PAGE_BYTES) {
        write_both(offset, 4 * PAGE_BYTES, CONTENT_HALF_TEXT);
    }
    ck_assert_uint_gt(server.compactor.nr_moved_pages, 0);
    compare_both();
    end_device();
}
END_TEST

START_TEST(reclaim_says_whether_anything_was_gained)
{
    start_device(DEVICE_BYTES, 64 * MiB, &zr_codec_lz4);
    ck_assert(!zr_compactor_reclaim(&server.compactor, 1));
    write_both(0, DEVICE_BYTES, CONTENT_RANDOM);
    zero_both(0, PAGE_BYTES);
    ck_assert(zr_compactor_reclaim(&server.compactor, 1)); // drained
    thin_out(DEVICE_BYTES, 8);
    ck_assert(zr_compactor_reclaim(&server.compactor, 1)); // compacted
    ck_assert(!zr_compactor_reclaim(&server.compactor, 1));
    compare_both();
    end_device();
}
END_TEST

// What was drained is only of use to whoever stores the same length: the second try compacts.
START_TEST(the_second_try_compacts_though_there_was_something_to_drain)
{
    start_device(DEVICE_BYTES, 64 * MiB, &zr_codec_lz4);
    write_both(0, DEVICE_BYTES, CONTENT_RANDOM);
    thin_out(DEVICE_BYTES, 8);
    zero_both(0, PAGE_BYTES);
    ck_assert(zr_compactor_reclaim(&server.compactor, 1));
    ck_assert_uint_eq(server.compactor.nr_freed_spans, 0);
    zero_both(8 * PAGE_BYTES, PAGE_BYTES);
    ck_assert(zr_compactor_reclaim(&server.compactor, 2));
    ck_assert_uint_gt(server.compactor.nr_freed_spans, 0);
    compare_both();
    end_device();
}
END_TEST

// A failed search shuts no later one out, however soon that comes.
START_TEST(holes_made_after_a_search_in_vain_are_found_at_once)
{
    start_device(DEVICE_BYTES, DEVICE_BYTES + 8 * ZR_SPAN_BYTES, &zr_codec_lz4);
    write_both(0, DEVICE_BYTES, CONTENT_RANDOM);
    while (zr_compactor_reclaim(&server.compactor, 2)) {
    }
    thin_out(DEVICE_BYTES, 8);
    ck_assert(zr_compactor_reclaim(&server.compactor, 2));
    ck_assert_uint_gt(server.compactor.nr_freed_spans, 0);
    compare_both();
    end_device();
}
END_TEST

// Whatever a pass under way is for, an urgent one is a whole one.
START_TEST(a_writer_that_meets_a_pass_for_less_gets_a_pass_for_itself)
{
    start_device(DEVICE_BYTES, 64 * MiB, &zr_codec_lz4);
    write_both(0, DEVICE_BYTES, CONTENT_RANDOM);
    thin_out(DEVICE_BYTES, 8);
    // As a pass that found nothing to empty and is at its end.
    server.compactor.is_passing = true;
    zr_walk_begin(&server.compactor.walk, server.compactor.tables, 0);
    ck_assert_uint_gt(zr_compactor_pass(&server.compactor, ZR_URGENCY_FULL), 0);
    compare_both();
    end_device();
}
END_TEST

static bool is_writer_first;

int __real_zr_pool_alloc_copy(struct zr_pool *pool, uint32_t bytes, zr_handle *handle);
int __wrap_zr_pool_alloc_copy(struct zr_pool *pool, uint32_t bytes, zr_handle *handle);

// A writer that comes between the load of the word and its exchange.
int __wrap_zr_pool_alloc_copy(struct zr_pool *pool, uint32_t bytes, zr_handle *handle)
{
    if (is_writer_first) {
        write_both(server.compactor.walk.slot * PAGE_BYTES, LEAF_BYTES, CONTENT_SAME);
    }
    return __real_zr_pool_alloc_copy(pool, bytes, handle);
}

START_TEST(where_a_writer_wins_the_race_the_copy_is_dropped)
{
    start_device(DEVICE_BYTES, 64 * MiB, &zr_codec_lz4);
    write_both(0, DEVICE_BYTES, CONTENT_RANDOM);
    thin_out(DEVICE_BYTES, 8);
    is_writer_first = true;
    zr_compactor_pass(&server.compactor, ZR_URGENCY_FULL);
    is_writer_first = false;
    ck_assert_uint_eq(server.compactor.nr_moved_pages, 0);
    ck_assert_uint_eq(nr_page_objects(), 0); // neither the old nor a copy
    compare_both();
    ck_assert(zr_pool_is_valid(&server.pool));
    end_device();
}
END_TEST

// ---- Beside requests ----------------------------------------------------------------------------

#define NR_WORKERS 3
#define WORKER_BYTES (2 * MiB)

// Each has a part of the device, and of the shadow, for itself.
static void *write_trim_and_read(void *number)
{
    const uint64_t start = (uintptr_t)number * WORKER_BYTES;

    random_seed((uintptr_t)number);
    for (int round = 0; round < 3000; round++) {
        uint64_t offset = start + random_below(WORKER_BYTES / PAGE_BYTES) * PAGE_BYTES;

        if (round % 3 == 0) {
            write_both(offset, PAGE_BYTES, CONTENT_MIXED);
        } else if (round % 3 == 1) {
            zero_both(offset, PAGE_BYTES);
        } else if (!reads_as(&shadow[offset], PAGE_BYTES, offset)) {
            ck_abort_msg("the page at %llu was lost", (unsigned long long)offset);
        }
    }
    return NULL;
}

static atomic_bool must_stop;

static void *compact_all_the_time(void *unused)
{
    while (!must_stop) {
        zr_compactor_pass(&server.compactor, ZR_URGENCY_FULL);
    }
    return unused;
}

START_TEST(passes_beside_requests_lose_nothing_and_leave_no_copy)
{
    pthread_t workers[NR_WORKERS], compacting;

    start_device(NR_WORKERS * WORKER_BYTES, 64 * MiB, &zr_codec_lz4);
    ck_assert_int_eq(zr_server_start(&server), 0);
    write_both(0, device->size_bytes, CONTENT_MIXED);
    ck_assert_int_eq(pthread_create(&compacting, NULL, compact_all_the_time, NULL), 0);
    for (uintptr_t i = 0; i < NR_WORKERS; i++) {
        ck_assert_int_eq(pthread_create(&workers[i], NULL, write_trim_and_read, (void *)i), 0);
    }
    for (size_t i = 0; i < NR_WORKERS; i++) {
        pthread_join(workers[i], NULL);
    }
    must_stop = true;
    pthread_join(compacting, NULL);
    ck_assert_uint_gt(server.compactor.nr_moved_pages, 0);
    compare_both();
    end_device(); // sees whether a copy was left
}
END_TEST

static bool is_half_given_back(void *before_bytes)
{
    return used_bytes() < *(uint64_t *)before_bytes / 2;
}

START_TEST(a_started_compactor_works_by_itself_and_stops_in_the_middle)
{
    for (int is_waited_for = 0; is_waited_for < 2; is_waited_for++) {
        uint64_t before_bytes;

        start_device(DEVICE_BYTES, 64 * MiB, &zr_codec_lz4);
        write_both(0, DEVICE_BYTES, CONTENT_RANDOM);
        thin_out(DEVICE_BYTES, 8);
        before_bytes = used_bytes();
        ck_assert_int_eq(zr_server_start(&server), 0);
        ck_assert(!is_waited_for || unit_await(is_half_given_back, &before_bytes));
        zr_compactor_stop(&server.compactor);
        compare_both();
        end_device();
    }
}
END_TEST

UNIT_MAIN("compactor", a_pass_empties_sparse_spans_and_every_page_stays,
          objects_of_every_size_are_moved_whole,
          what_little_is_in_a_class_goes_into_a_coarser_one_once, a_dense_pool_is_left_alone,
          a_writer_finds_room_in_a_pool_that_is_full_of_holes,
          reclaim_says_whether_anything_was_gained,
          the_second_try_compacts_though_there_was_something_to_drain,
          holes_made_after_a_search_in_vain_are_found_at_once,
          a_writer_that_meets_a_pass_for_less_gets_a_pass_for_itself,
          where_a_writer_wins_the_race_the_copy_is_dropped,
          passes_beside_requests_lose_nothing_and_leave_no_copy,
          a_started_compactor_works_by_itself_and_stops_in_the_middle)
