// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "unit.h"

#include "plugin/histogram.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define NR_TIMES 2000

static void count(struct zr_histogram *histogram, uint64_t ns)
{
    histogram->count[zr_histogram_bucket(ns)]++;
    histogram->sum_ns += ns;
    histogram->max_ns = ns > histogram->max_ns ? ns : histogram->max_ns;
}

START_TEST(a_bound_is_the_last_time_of_its_bucket)
{
    unsigned i;

    for (i = 0; i < ZR_NR_HISTOGRAM_BUCKETS - 1; i++) {
        uint64_t bound_ns = zr_histogram_bound_ns(i);

        ck_assert_uint_eq(zr_histogram_bucket(bound_ns), i);
        ck_assert_uint_eq(zr_histogram_bucket(bound_ns + 1), i + 1);
        ck_assert_uint_lt(bound_ns, zr_histogram_bound_ns(i + 1));
    }
    ck_assert_uint_eq(zr_histogram_bucket(0), 0);
    ck_assert_uint_eq(zr_histogram_bucket(1), 0);
    ck_assert_uint_eq(zr_histogram_bucket(UINT64_MAX), i);
}
END_TEST

START_TEST(bounds_are_at_most_a_quarter_apart_and_each_power_of_two_is_one)
{
    unsigned i;

    ck_assert_uint_eq(zr_histogram_bound_ns(0), 256);
    for (i = 1; i < ZR_NR_HISTOGRAM_BUCKETS; i++) {
        uint64_t below_ns = zr_histogram_bound_ns(i - 1);

        ck_assert_uint_le(zr_histogram_bound_ns(i), below_ns + below_ns / 4);
        if (i % ZR_HISTOGRAM_SUBS == 0) {
            ck_assert_uint_eq(zr_histogram_bound_ns(i), UINT64_C(256) << i / ZR_HISTOGRAM_SUBS);
        }
    }
    ck_assert_uint_eq(zr_histogram_bound_ns(i - 1), UINT64_C(1) << 36);
}
END_TEST

static int compare_times(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

// From nanoseconds to a minute, each order of magnitude as likely as another.
static uint64_t random_time(void)
{
    return random_u64() >> (28 + random_below(36));
}

START_TEST(a_percentile_is_that_of_the_sorted_times_or_up_to_a_quarter_more)
{
    static uint64_t times[NR_TIMES];
    int round;

    for (round = 0; round < 200; round++) {
        struct zr_histogram histogram = {0};
        size_t nr = 1 + random_below(round % 2 ? NR_TIMES : 5), i;
        unsigned percent;

        for (i = 0; i < nr; i++) {
            times[i] = random_time();
            count(&histogram, times[i]);
        }
        qsort(times, nr, sizeof *times, compare_times);
        ck_assert_uint_eq(zr_histogram_nr(&histogram), nr);
        for (percent = 1; percent <= 100; percent++) {
            uint64_t exact_ns = times[(nr * percent + 99) / 100 - 1];
            uint64_t ns = zr_histogram_percentile_ns(&histogram, percent);
            uint64_t most_ns = exact_ns < 256 ? 256 : exact_ns + exact_ns / 4;

            if (ns < exact_ns || ns > most_ns || ns > times[nr - 1]) {
                ck_abort_msg("p%u of %zu is %" PRIu64 ", exactly %" PRIu64, percent, nr, ns,
                             exact_ns);
            }
        }
        ck_assert_uint_eq(zr_histogram_percentile_ns(&histogram, 100), times[nr - 1]);
    }
}
END_TEST

START_TEST(the_percentiles_of_nothing_are_zero)
{
    struct zr_histogram histogram = {0};

    ck_assert_uint_eq(zr_histogram_nr(&histogram), 0);
    ck_assert_uint_eq(zr_histogram_percentile_ns(&histogram, 50), 0);
    ck_assert_uint_eq(zr_histogram_percentile_ns(&histogram, 99), 0);
}
END_TEST

START_TEST(what_is_longer_than_all_bounds_is_told_by_the_longest)
{
    struct zr_histogram histogram = {0};

    count(&histogram, 1000);
    count(&histogram, UINT64_C(1) << 40);
    ck_assert_uint_eq(zr_histogram_percentile_ns(&histogram, 50), 1024);
    ck_assert_uint_eq(zr_histogram_percentile_ns(&histogram, 99), UINT64_C(1) << 40);
}
END_TEST

START_TEST(a_sum_has_counted_what_its_parts_have)
{
    struct zr_histogram parts[3] = {0}, sum = {0}, all = {0};
    int i;

    for (i = 0; i < NR_TIMES; i++) {
        uint64_t ns = random_time();

        count(&parts[i % 3], ns);
        count(&all, ns);
    }
    for (i = 0; i < 3; i++) {
        zr_histogram_add(&sum, &parts[i]);
    }
    ck_assert_mem_eq(&sum, &all, sizeof sum);
}
END_TEST

UNIT_MAIN("histogram", a_bound_is_the_last_time_of_its_bucket,
          bounds_are_at_most_a_quarter_apart_and_each_power_of_two_is_one,
          a_percentile_is_that_of_the_sorted_times_or_up_to_a_quarter_more,
          the_percentiles_of_nothing_are_zero,
          what_is_longer_than_all_bounds_is_told_by_the_longest,
          a_sum_has_counted_what_its_parts_have)
