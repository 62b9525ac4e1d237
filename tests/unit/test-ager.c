// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "shadowed-device.h"

#include <pthread.h>
#include <stdatomic.h>

#define DEVICE_BYTES (8 * MiB)

static unsigned age_of(uint64_t slot)
{
    return zr_slot_word_age(load_word(slot));
}

static void walk(unsigned nr_times)
{
    while (nr_times-- > 0) {
        zr_ager_walk(&server.ager);
    }
}

START_TEST(an_age_stands_for_four_times_as_long_as_the_one_before)
{
    static const uint64_t minutes[] = {0, 0, 1, 5, 21, 85, 341, 1365};

    for (unsigned age = 0; age <= ZR_SLOT_AGE_MAX; age++) {
        ck_assert_uint_eq(zr_ager_least_walks(age), minutes[age]);
    }
}
END_TEST

// Written before any walk, a page is of an age when it was through at least as many walks, less the
// first, as the age claims minutes, and less than four times as many.
START_TEST(a_page_is_as_old_as_the_walks_that_it_went_through)
{
    start_device(DEVICE_BYTES, 64 * MiB, &zr_codec_lz4);
    for (unsigned first = 0; first < 70; first++) {
        uint64_t slot = first;

        write_both(slot * PAGE_BYTES, PAGE_BYTES, CONTENT_MIXED);
        write_both(slot * PAGE_BYTES, PAGE_BYTES, CONTENT_TEXT);
        for (unsigned nr_walks = 0; nr_walks < 400; nr_walks++) {
            uint64_t claimed = zr_ager_least_walks(age_of(slot));

            if (nr_walks > 0 ? claimed > nr_walks - 1 : claimed > 0) {
                ck_abort_msg("%u walks: claims to be %u minutes old", nr_walks, (unsigned)claimed);
            }
            if (nr_walks > 4 * (claimed + 1) * 4) {
                ck_abort_msg("%u walks: claims only %u minutes", nr_walks, (unsigned)claimed);
            }
            walk(1);
        }
        walk(1); // so that the next one starts elsewhere in the cycle
    }
    end_device();
}
END_TEST

START_TEST(the_greatest_age_stays)
{
    start_device(DEVICE_BYTES, 64 * MiB, &zr_codec_lz4);
    write_both(0, 2 * PAGE_BYTES, CONTENT_RANDOM);
    write_both(PAGE_BYTES, PAGE_BYTES, CONTENT_SAME);
    walk(4096);
    ck_assert_uint_eq(age_of(0), ZR_SLOT_AGE_MAX);
    ck_assert_uint_eq(age_of(1), ZR_SLOT_AGE_MAX);
    walk(4096);
    ck_assert_uint_eq(age_of(0), ZR_SLOT_AGE_MAX);
    compare_both();
    end_device();
}
END_TEST

START_TEST(pages_of_every_kind_age_and_read_as_before)
{
    start_device(DEVICE_BYTES, 64 * MiB, &zr_codec_zstd);
    write_both(0, DEVICE_BYTES, CONTENT_MIXED);
    walk(64);
    for (uint64_t slot = 0; slot < DEVICE_BYTES / PAGE_BYTES; slot++) {
        bool is_hole = reads_as_zeros(PAGE_BYTES, slot * PAGE_BYTES);

        ck_assert_uint_eq(age_of(slot), is_hole ? 0 : 4);
    }
    compare_both();
    end_device();
}
END_TEST

START_TEST(a_write_of_any_part_makes_a_page_young_and_a_read_does_not)
{
    start_device(DEVICE_BYTES, 64 * MiB, &zr_codec_lz4);
    write_both(0, 4 * PAGE_BYTES, CONTENT_TEXT);
    walk(16);
    write_both(0, PAGE_BYTES, CONTENT_TEXT);
    write_both(PAGE_BYTES + 100, 50, CONTENT_RANDOM);
    zero_both(2 * PAGE_BYTES, PAGE_BYTES);
    compare_both();
    ck_assert_uint_eq(age_of(0), 0);
    ck_assert_uint_eq(age_of(1), 0);
    ck_assert_uint_eq(age_of(2), 0);
    ck_assert_uint_eq(age_of(3), 3);
    end_device();
}
END_TEST

START_TEST(a_page_that_is_moved_keeps_its_age)
{
    start_device(DEVICE_BYTES, 64 * MiB, &zr_codec_lz4);
    write_both(0, DEVICE_BYTES, CONTENT_RANDOM);
    walk(16);
    for (uint64_t slot = 0; slot < DEVICE_BYTES / PAGE_BYTES; slot++) {
        if (slot % 8 != 0) {
            zero_both(slot * PAGE_BYTES, PAGE_BYTES);
        }
    }
    zr_deferred_free_drain(server.deferred);
    zr_compactor_pass(&server.compactor, ZR_URGENCY_FULL);
    ck_assert_uint_gt(server.compactor.nr_moved_pages, 0);
    for (uint64_t slot = 0; slot < DEVICE_BYTES / PAGE_BYTES; slot += 8) {
        ck_assert_uint_eq(age_of(slot), 3);
    }
    compare_both();
    end_device();
}
END_TEST

START_TEST(ageing_charges_and_frees_nothing)
{
    struct zr_pool_stats before, after;
    uint64_t stored_bytes;

    start_device(DEVICE_BYTES, 64 * MiB, &zr_codec_lz4);
    write_both(0, DEVICE_BYTES, CONTENT_MIXED);
    before = pool_stats();
    stored_bytes = device->table.account.stored_bytes;
    walk(100);
    after = pool_stats();
    ck_assert_uint_eq(after.nr_objects, before.nr_objects);
    ck_assert_uint_eq(after.nr_chunks, before.nr_chunks);
    ck_assert_uint_eq(device->table.account.stored_bytes, stored_bytes);
    end_device();
}
END_TEST

static atomic_bool must_stop;

// So that every walk is due for every age.
static void *age_all_the_time(void *unused)
{
    while (!must_stop) {
        server.ager.nr_walks = UINT64_MAX;
        zr_ager_walk(&server.ager);
    }
    return unused;
}

// Parts of pages, and moves, compare and exchange the very words that grow older.
START_TEST(writes_and_moves_beside_a_walk_lose_nothing)
{
    pthread_t ager;

    start_device(DEVICE_BYTES, 64 * MiB, &zr_codec_lz4);
    write_both(0, DEVICE_BYTES, CONTENT_MIXED);
    ck_assert_int_eq(pthread_create(&ager, NULL, age_all_the_time, NULL), 0);
    for (int round = 0; round < 6000; round++) {
        uint64_t offset = random_below(DEVICE_BYTES - 2 * PAGE_BYTES);

        if (round % 4 == 0) {
            zero_both(offset, 1 + random_below(2 * PAGE_BYTES));
        } else {
            write_both(offset, 1 + random_below(2 * PAGE_BYTES), CONTENT_MIXED);
        }
        if (round % 500 == 0) {
            zr_deferred_free_drain(server.deferred);
            zr_compactor_pass(&server.compactor, ZR_URGENCY_FULL);
        }
    }
    must_stop = true;
    pthread_join(ager, NULL);
    ck_assert_uint_gt(server.compactor.nr_moved_pages, 0);
    compare_both();
    end_device();
}
END_TEST

static bool has_aged(void *unused)
{
    (void)unused;
    return age_of(0) == 1;
}

START_TEST(a_started_ager_walks_at_once_and_stops_before_the_minute_is_over)
{
    start_device(DEVICE_BYTES, 64 * MiB, &zr_codec_lz4);
    write_both(0, DEVICE_BYTES, CONTENT_TEXT);
    ck_assert_int_eq(zr_server_start(&server), 0);
    ck_assert(unit_await(has_aged, NULL));
    end_device();
}
END_TEST

UNIT_MAIN("ager", an_age_stands_for_four_times_as_long_as_the_one_before,
          a_page_is_as_old_as_the_walks_that_it_went_through, the_greatest_age_stays,
          pages_of_every_kind_age_and_read_as_before,
          a_write_of_any_part_makes_a_page_young_and_a_read_does_not,
          a_page_that_is_moved_keeps_its_age, ageing_charges_and_frees_nothing,
          writes_and_moves_beside_a_walk_lose_nothing,
          a_started_ager_walks_at_once_and_stops_before_the_minute_is_over)
