// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "unit.h"
#include "fault.h"

#include "plugin/request-stats.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

#define NR_THREADS 4
#define NR_REQUESTS 1000000 // of each: long enough to overlap

static struct zr_request_stats stats;
static struct zr_request_counts counts[ZR_NR_REQUEST_KINDS];

static uint64_t nr_requests(enum zr_request_kind kind)
{
    return zr_histogram_nr(&counts[kind].latency);
}

START_TEST(nothing_is_counted_at_first)
{
    static const struct zr_request_counts none[ZR_NR_REQUEST_KINDS];

    ck_assert_int_eq(zr_request_stats_init(&stats), 0);
    memset(counts, 0xff, sizeof counts);
    zr_request_stats_read(&stats, counts);
    ck_assert_mem_eq(counts, none, sizeof none);
    zr_request_stats_fini(&stats);
}
END_TEST

START_TEST(a_request_counts_for_its_kind_alone)
{
    ck_assert_int_eq(zr_request_stats_init(&stats), 0);
    zr_request_stats_count(&stats, ZR_REQUEST_READ, 4096, 1000, 0);
    zr_request_stats_count(&stats, ZR_REQUEST_READ, 8192, 5000, 0);
    zr_request_stats_count(&stats, ZR_REQUEST_READ, 100, 3000, 0);
    zr_request_stats_count(&stats, ZR_REQUEST_TRIM, UINT32_MAX, 200, 0);
    zr_request_stats_read(&stats, counts);
    ck_assert_uint_eq(nr_requests(ZR_REQUEST_READ), 3);
    ck_assert_uint_eq(counts[ZR_REQUEST_READ].bytes, 4096 + 8192 + 100);
    ck_assert_uint_eq(counts[ZR_REQUEST_READ].latency.sum_ns, 9000);
    ck_assert_uint_eq(counts[ZR_REQUEST_READ].latency.max_ns, 5000);
    ck_assert_uint_eq(counts[ZR_REQUEST_READ].latency.count[zr_histogram_bucket(5000)], 1);
    ck_assert_uint_eq(nr_requests(ZR_REQUEST_WRITE), 0);
    ck_assert_uint_eq(counts[ZR_REQUEST_WRITE].bytes, 0);
    ck_assert_uint_eq(nr_requests(ZR_REQUEST_TRIM), 1);
    ck_assert_uint_eq(counts[ZR_REQUEST_TRIM].bytes, UINT32_MAX);
    ck_assert_uint_eq(counts[ZR_REQUEST_TRIM].latency.max_ns, 200);
    zr_request_stats_fini(&stats);
}
END_TEST

START_TEST(a_request_that_failed_counts_but_moved_no_bytes)
{
    ck_assert_int_eq(zr_request_stats_init(&stats), 0);
    zr_request_stats_count(&stats, ZR_REQUEST_WRITE, 4096, 1000, 0);
    zr_request_stats_count(&stats, ZR_REQUEST_WRITE, 4096, 2000, -EIO);
    zr_request_stats_count(&stats, ZR_REQUEST_WRITE, 4096, 3000, -ENOSPC);
    zr_request_stats_read(&stats, counts);
    ck_assert_uint_eq(nr_requests(ZR_REQUEST_WRITE), 3);
    ck_assert_uint_eq(counts[ZR_REQUEST_WRITE].bytes, 4096);
    ck_assert_uint_eq(counts[ZR_REQUEST_WRITE].nr_failed, 2);
    ck_assert_uint_eq(counts[ZR_REQUEST_WRITE].nr_no_space, 1);
    ck_assert_uint_eq(counts[ZR_REQUEST_WRITE].latency.sum_ns, 6000);
    zr_request_stats_fini(&stats);
}
END_TEST

// Whatever CPU a thread runs on, its requests are in the sum.
START_TEST(requests_of_each_cpu_are_counted)
{
    cpu_set_t all, one;
    int cpu, nr_cpus = 0;

    ck_assert_int_eq(zr_request_stats_init(&stats), 0);
    ck_assert_int_eq(sched_getaffinity(0, sizeof all, &all), 0);
    for (cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &all)) {
            continue;
        }
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        ck_assert_int_eq(sched_setaffinity(0, sizeof one, &one), 0);
        nr_cpus++;
        zr_request_stats_count(&stats, ZR_REQUEST_READ, 1, (uint64_t)nr_cpus * 1000, 0);
    }
    zr_request_stats_read(&stats, counts);
    ck_assert_uint_eq(nr_requests(ZR_REQUEST_READ), nr_cpus);
    ck_assert_uint_eq(counts[ZR_REQUEST_READ].bytes, nr_cpus);
    ck_assert_uint_eq(counts[ZR_REQUEST_READ].latency.max_ns, (uint64_t)nr_cpus * 1000);
    zr_request_stats_fini(&stats);
}
END_TEST

static _Atomic unsigned nr_running;

static void *count_many(void *arg)
{
    (void)arg;
    for (int i = 0; i < NR_REQUESTS; i++) {
        zr_request_stats_count(&stats, ZR_REQUEST_WRITE, 10, (uint64_t)i, i % 4 ? 0 : -ENOSPC);
    }
    nr_running--;
    return NULL;
}

START_TEST(what_is_read_while_others_count_never_falls_and_in_the_end_is_exact)
{
    const uint64_t nr_all = NR_THREADS * NR_REQUESTS;
    struct zr_request_counts before = {0};
    pthread_t threads[NR_THREADS];
    bool is_over = false;

    ck_assert_int_eq(zr_request_stats_init(&stats), 0);
    stats.nr_stripes = 1; // all of them count in the same place
    nr_running = NR_THREADS;
    for (int i = 0; i < NR_THREADS; i++) {
        ck_assert_int_eq(pthread_create(&threads[i], NULL, count_many, NULL), 0);
    }
    while (!is_over) {
        const struct zr_request_counts *now = &counts[ZR_REQUEST_WRITE];

        is_over = nr_running == 0;
        zr_request_stats_read(&stats, counts);
        if (now->bytes < before.bytes || now->nr_no_space < before.nr_no_space ||
            now->latency.sum_ns < before.latency.sum_ns ||
            now->latency.max_ns < before.latency.max_ns ||
            zr_histogram_nr(&now->latency) < zr_histogram_nr(&before.latency) ||
            zr_histogram_nr(&now->latency) > nr_all) {
            ck_abort_msg("a count fell, or is too high");
        }
        before = *now;
    }
    for (int i = 0; i < NR_THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    ck_assert_uint_eq(zr_histogram_nr(&before.latency), nr_all);
    ck_assert_uint_eq(before.bytes, nr_all * 3 / 4 * 10);
    ck_assert_uint_eq(before.nr_failed, nr_all / 4);
    ck_assert_uint_eq(before.nr_no_space, nr_all / 4);
    ck_assert_uint_eq(before.latency.sum_ns,
                      NR_THREADS * (uint64_t)NR_REQUESTS * (NR_REQUESTS - 1) / 2);
    ck_assert_uint_eq(before.latency.max_ns, NR_REQUESTS - 1);
    zr_request_stats_fini(&stats);
}
END_TEST

START_TEST(without_memory_init_is_enomem)
{
    int rc;

    fault_arm(1);
    rc = zr_request_stats_init(&stats);
    ck_assert(fault_disarm());
    ck_assert_int_eq(rc, -ENOMEM);
    ck_assert_int_eq(fault_nr_live(), 0);
}
END_TEST

UNIT_MAIN("request-stats", nothing_is_counted_at_first, a_request_counts_for_its_kind_alone,
          a_request_that_failed_counts_but_moved_no_bytes, requests_of_each_cpu_are_counted,
          what_is_read_while_others_count_never_falls_and_in_the_end_is_exact,
          without_memory_init_is_enomem)
