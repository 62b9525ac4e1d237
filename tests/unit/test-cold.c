// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// What is cold, and the thread that sees to it.
#include "shadowed-device.h"

#include "store/slot-counts.h"

#include <stdlib.h>
#include <string.h>

#define DEVICE_BYTES (8 * MiB)
#define DEVICE_PAGES (DEVICE_BYTES / PAGE_BYTES)
#define NR_STORED 1000000
#define MAX_READS (NR_STORED / 500)

// ---- The law

static struct zr_cold cold;

static void start_law(unsigned min_age)
{
    cold = (struct zr_cold){.nr_stored = NR_STORED, .min_age = min_age};
}

START_TEST(too_many_reads_make_cold_pages_older_at_once)
{
    start_law(3);
    ck_assert_uint_eq(zr_cold_judge(&cold, MAX_READS), 3);
    ck_assert_uint_eq(zr_cold_judge(&cold, MAX_READS + 1), 4);
    ck_assert_uint_eq(zr_cold_judge(&cold, UINT64_MAX / 2), 5);
    ck_assert_uint_eq(cold.min_age, 5);
    for (int i = 0; i < 10; i++) {
        zr_cold_judge(&cold, MAX_READS * 2);
    }
    ck_assert_uint_eq(cold.min_age, ZR_SLOT_AGE_MAX);
}
END_TEST

START_TEST(five_calm_minutes_make_them_younger_by_one_step)
{
    start_law(5);
    for (int i = 1; i <= 15; i++) {
        ck_assert_uint_eq(zr_cold_judge(&cold, MAX_READS / 2), 5 - (unsigned)i / 5);
    }
    for (int i = 0; i < 20; i++) {
        ck_assert_uint_eq(zr_cold_judge(&cold, 0), 2); // a minute is the least
    }
}
END_TEST

START_TEST(a_minute_that_is_not_calm_makes_the_five_begin_anew)
{
    static const uint64_t reads[] = {MAX_READS / 2 + 1, MAX_READS, MAX_READS + 1};

    for (size_t i = 0; i < NR_OF(reads); i++) {
        unsigned min_age = 4;

        start_law(min_age);
        for (int minute = 0; minute < 4; minute++) {
            ck_assert_uint_eq(zr_cold_judge(&cold, 0), min_age);
        }
        min_age += reads[i] > MAX_READS;
        ck_assert_uint_eq(zr_cold_judge(&cold, reads[i]), min_age);
        for (int minute = 0; minute < 4; minute++) {
            ck_assert_uint_eq(zr_cold_judge(&cold, 0), min_age);
        }
        ck_assert_uint_eq(zr_cold_judge(&cold, 0), min_age - 1);
    }
}
END_TEST

START_TEST(at_the_greatest_age_calm_minutes_count_too)
{
    start_law(ZR_SLOT_AGE_MAX);
    ck_assert_uint_eq(zr_cold_judge(&cold, MAX_READS * 9), ZR_SLOT_AGE_MAX);
    for (int minute = 0; minute < 4; minute++) {
        zr_cold_judge(&cold, 0);
    }
    ck_assert_uint_eq(zr_cold_judge(&cold, 0), ZR_SLOT_AGE_MAX - 1);
}
END_TEST

START_TEST(with_hardly_any_page_stored_a_read_is_one_too_many_and_none_is_calm)
{
    start_law(3);
    cold.nr_stored = 10;
    ck_assert_uint_eq(zr_cold_judge(&cold, 0), 3);
    ck_assert_uint_eq(zr_cold_judge(&cold, 1), 4);
}
END_TEST

// ---- Ages

START_TEST(seconds_become_walks_of_the_ager)
{
    static const uint64_t seconds[] = {1,   2,    30,   59,   60,    61,    119,   299,
                                       300, 1260, 3600, 5100, 20460, 81900, 86400, 31536000};

    for (size_t i = 0; i < NR_OF(seconds); i++) {
        struct zr_cold_config config = {.mode = ZR_COLD_FIXED, .seconds = seconds[i]};
        uint64_t interval_s, claimed_s;
        unsigned min_age;

        zr_cold_choose_ages(&config, &interval_s, &min_age);
        ck_assert_uint_ge(min_age, 2);
        ck_assert_uint_le(min_age, ZR_SLOT_AGE_MAX);
        ck_assert_uint_ge(interval_s, 1);
        claimed_s = interval_s * zr_ager_least_walks(min_age);
        // Not earlier than asked for, and not much later; as often as each minute, but where the
        // greatest age would not be enough.
        if (claimed_s < seconds[i] || claimed_s * 10 > seconds[i] * 11 ||
            (interval_s > ZR_AGER_INTERVAL_S + 1 && min_age < ZR_SLOT_AGE_MAX)) {
            ck_abort_msg("%u s: age %u, each %u s", (unsigned)seconds[i], min_age,
                         (unsigned)interval_s);
        }
    }
}
END_TEST

START_TEST(without_seconds_the_ager_walks_each_minute_and_the_law_begins_at_five)
{
    for (enum zr_cold_mode mode = ZR_COLD_AUTO; mode <= ZR_COLD_OFF; mode++) {
        struct zr_cold_config config = {.mode = mode, .seconds = 7};
        uint64_t interval_s;
        unsigned min_age;

        zr_cold_choose_ages(&config, &interval_s, &min_age);
        ck_assert_uint_eq(interval_s, 60);
        ck_assert_uint_eq(interval_s * zr_ager_least_walks(min_age), 300);
    }
}
END_TEST

// ---- The thread

static void start_server(enum zr_cold_mode mode, uint64_t seconds)
{
    struct zr_export_config export = {
        .name = (char *)(uintptr_t)"", .size_bytes = DEVICE_BYTES, .limit_bytes = UINT64_MAX};
    struct zr_server_config config = {
        .exports = &export,
        .nr_exports = 1,
        .limit_bytes = 64 * MiB,
        .codec = &zr_codec_lz4,
        .cold = {.mode = mode, .seconds = seconds, .cpu_percent = 100},
    };

    ck_assert_int_eq(zr_server_init(&server, &config), 0);
    device = server.devices;
    shadow = calloc(1, DEVICE_BYTES + PAGE_BYTES);
    write_both(0, DEVICE_BYTES, CONTENT_TEXT);
}

static uint64_t nr_cold(void)
{
    struct zr_slot_counts counts;

    zr_slot_counts_get(&device->table, &counts);
    return counts.nr_cold;
}

// Some may lose a race against the ager, until the next walk.
static bool are_nearly_all_cold(void *unused)
{
    (void)unused;
    return nr_cold() >= DEVICE_PAGES * 9 / 10;
}

static bool is_cache_wiped(void *unused)
{
    (void)unused;
    for (unsigned i = 0; i < server.groups.nr_entries; i++) {
        if (server.groups.entries[i].used_ns != 0) {
            return false;
        }
    }
    return true;
}

static bool has_cleaned(void *unused)
{
    (void)unused;
    return server.demoter.nr_cleaned_spans > 0;
}

static void zero_every_other(void)
{
    for (uint64_t slot = 0; slot < DEVICE_PAGES; slot += 2) {
        zero_both(slot * PAGE_BYTES, PAGE_BYTES);
    }
}

START_TEST(after_the_seconds_pages_become_cold_by_themselves_and_spans_are_cleaned)
{
    start_server(ZR_COLD_FIXED, 1);
    ck_assert_uint_eq(server.ager.interval_s, 1);
    ck_assert_int_eq(zr_server_start(&server), 0);
    ck_assert(unit_await(are_nearly_all_cold, NULL));
    ck_assert_uint_gt(server.cold.cpu_ns, 0);
    compare_both();
    ck_assert_uint_gt(server.groups.nr_misses, 0);
    ck_assert(unit_await(is_cache_wiped, NULL));
    zero_every_other();
    ck_assert(unit_await(has_cleaned, NULL));
    compare_both();
    end_device();
}
END_TEST

START_TEST(off_means_nothing_becomes_cold_but_what_is_cached_is_wiped)
{
    start_server(ZR_COLD_OFF, 0);
    for (int i = 0; i < 64; i++) {
        zr_ager_walk(&server.ager);
    }
    server.groups.entries[0].used_ns = 1;
    ck_assert_int_eq(zr_server_start(&server), 0);
    ck_assert(unit_await(is_cache_wiped, NULL)); // so the thread has run
    ck_assert(!server.cold.is_walking);
    ck_assert_uint_eq(nr_cold(), 0);
    compare_both();
    end_device();
}
END_TEST

START_TEST(off_means_that_what_is_cold_already_is_cleaned)
{
    uint64_t slot = 0, nr_stored = 0;

    start_server(ZR_COLD_OFF, 0);
    while (slot < DEVICE_PAGES) {
        zr_demoter_demote(&server.demoter, device, &slot, 0, &nr_stored);
    }
    ck_assert_uint_gt(nr_cold(), DEVICE_PAGES / 2);
    zero_every_other();
    ck_assert_int_eq(zr_server_start(&server), 0);
    ck_assert(unit_await(has_cleaned, NULL));
    compare_both();
    end_device();
}
END_TEST

START_TEST(walks_that_follow_at_once_leave_time_to_clean)
{
    start_server(ZR_COLD_FIXED, 1);
    server.cold.interval_s = 0;
    ck_assert_int_eq(zr_server_start(&server), 0);
    ck_assert(unit_await(are_nearly_all_cold, NULL));
    zero_every_other();
    ck_assert(unit_await(has_cleaned, NULL));
    compare_both();
    end_device();
}
END_TEST

START_TEST(auto_makes_cold_what_is_older_than_five_minutes_at_its_first_walk)
{
    start_server(ZR_COLD_AUTO, 0);
    for (int i = 0; i < 16; i++) {
        zr_ager_walk(&server.ager);
    }
    ck_assert_int_eq(zr_server_start(&server), 0);
    ck_assert(unit_await(are_nearly_all_cold, NULL));
    compare_both();
    end_device();
}
END_TEST

START_TEST(a_stop_in_the_middle_leaves_every_byte_and_the_compactor_free_to_work)
{
    for (int i = 0; i < 5; i++) {
        start_server(ZR_COLD_AUTO, 0);
        for (int walk = 0; walk < 16; walk++) {
            zr_ager_walk(&server.ager);
        }
        ck_assert_int_eq(zr_server_start(&server), 0);
        unit_sleep_ms((unsigned)random_below(20)); // wherever it is then
        zr_cold_stop(&server.cold);
        ck_assert(!server.compactor.must_wait);
        compare_both();
        end_device();
    }
}
END_TEST

UNIT_MAIN("cold", too_many_reads_make_cold_pages_older_at_once,
          five_calm_minutes_make_them_younger_by_one_step,
          a_minute_that_is_not_calm_makes_the_five_begin_anew,
          at_the_greatest_age_calm_minutes_count_too,
          with_hardly_any_page_stored_a_read_is_one_too_many_and_none_is_calm,
          seconds_become_walks_of_the_ager,
          without_seconds_the_ager_walks_each_minute_and_the_law_begins_at_five,
          after_the_seconds_pages_become_cold_by_themselves_and_spans_are_cleaned,
          off_means_nothing_becomes_cold_but_what_is_cached_is_wiped,
          off_means_that_what_is_cold_already_is_cleaned,
          walks_that_follow_at_once_leave_time_to_clean,
          auto_makes_cold_what_is_older_than_five_minutes_at_its_first_walk,
          a_stop_in_the_middle_leaves_every_byte_and_the_compactor_free_to_work)
