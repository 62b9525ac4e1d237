// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "unit.h"
#include "fault.h"

#include "allocator/worker.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>

#define NS_PER_MS UINT64_C(1000000)
#define HOUR_NS (3600 * 1000 * NS_PER_MS)

static atomic_uint nr_begun, nr_done;
static atomic_bool is_under_way;
static sigset_t blocked;

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 * NS_PER_MS + (uint64_t)now.tv_nsec;
}

// Takes a while, so that a stop that does not wait for it shows.
static uint64_t work(void *sleep_ns)
{
    nr_begun++;
    is_under_way = true;
    unit_sleep_ms(20);
    is_under_way = false;
    nr_done++;
    return *(uint64_t *)sleep_ns;
}

static bool has_begun(void *unused)
{
    (void)unused;
    return nr_begun > 0;
}

static bool has_done_three(void *unused)
{
    (void)unused;
    return nr_done >= 3;
}

START_TEST(the_work_is_done_again_and_again)
{
    uint64_t sleep_ns = 0;
    struct zr_worker worker;

    ck_assert_int_eq(zr_worker_start(&worker, work, &sleep_ns), 0);
    ck_assert(unit_await(has_done_three, NULL));
    zr_worker_stop(&worker);
}
END_TEST

START_TEST(between_two_times_it_sleeps_at_least_as_long_as_the_work_said)
{
    uint64_t sleep_ns = 60 * NS_PER_MS;
    uint64_t start_ns = now_ns();
    struct zr_worker worker;

    ck_assert_int_eq(zr_worker_start(&worker, work, &sleep_ns), 0);
    ck_assert(unit_await(has_done_three, NULL));
    ck_assert_uint_ge(now_ns() - start_ns, 2 * sleep_ns);
    zr_worker_stop(&worker);
}
END_TEST

START_TEST(stop_waits_for_the_work_under_way_and_ends_the_thread)
{
    uint64_t sleep_ns = 0;
    struct zr_worker worker;
    unsigned nr_at_stop;

    ck_assert_int_eq(zr_worker_start(&worker, work, &sleep_ns), 0);
    ck_assert(unit_await(has_begun, NULL));
    zr_worker_stop(&worker);
    ck_assert(!is_under_way);
    nr_at_stop = nr_done;
    unit_sleep_ms(60);
    ck_assert_uint_eq(nr_done, nr_at_stop);
}
END_TEST

// The test's time limit is what a stop that waits for the sleep would hit.
START_TEST(stop_does_not_wait_for_the_sleep)
{
    uint64_t sleep_ns = HOUR_NS;
    struct zr_worker worker;

    ck_assert_int_eq(zr_worker_start(&worker, work, &sleep_ns), 0);
    ck_assert(unit_await(has_begun, NULL));
    unit_sleep_ms(100);
    zr_worker_stop(&worker);
    ck_assert_uint_eq(nr_done, 1);
}
END_TEST

START_TEST(a_worker_that_does_not_run_may_be_stopped_and_started_again)
{
    struct zr_worker worker = {0};
    uint64_t sleep_ns = 0;

    zr_worker_stop(&worker);
    for (int i = 0; i < 2; i++) {
        nr_done = 0;
        ck_assert_int_eq(zr_worker_start(&worker, work, &sleep_ns), 0);
        ck_assert(unit_await(has_done_three, NULL));
        zr_worker_stop(&worker);
        zr_worker_stop(&worker);
    }
}
END_TEST

START_TEST(a_thread_that_cannot_be_made_is_an_error_and_may_be_stopped)
{
    uint64_t sleep_ns = 0;
    struct zr_worker worker;
    int rc;

    fault_arm(1);
    rc = zr_worker_start(&worker, work, &sleep_ns);
    fault_disarm();
    ck_assert_int_eq(rc, -EAGAIN);
    zr_worker_stop(&worker);
    ck_assert_uint_eq(nr_done, 0);
}
END_TEST

static uint64_t look_at_signals(void *unused)
{
    (void)unused;
    pthread_sigmask(SIG_BLOCK, NULL, &blocked);
    nr_done = 3;
    return HOUR_NS;
}

START_TEST(signals_are_blocked_in_the_worker_and_not_in_its_maker)
{
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGCHLD};
    struct zr_worker worker;
    sigset_t own;

    ck_assert_int_eq(zr_worker_start(&worker, look_at_signals, NULL), 0);
    ck_assert(unit_await(has_done_three, NULL));
    zr_worker_stop(&worker);
    pthread_sigmask(SIG_BLOCK, NULL, &own);
    for (size_t i = 0; i < NR_OF(signals); i++) {
        ck_assert(sigismember(&blocked, signals[i]) == 1);
        ck_assert(sigismember(&own, signals[i]) == 0);
    }
}
END_TEST

UNIT_MAIN("worker", the_work_is_done_again_and_again,
          between_two_times_it_sleeps_at_least_as_long_as_the_work_said,
          stop_waits_for_the_work_under_way_and_ends_the_thread, stop_does_not_wait_for_the_sleep,
          a_worker_that_does_not_run_may_be_stopped_and_started_again,
          a_thread_that_cannot_be_made_is_an_error_and_may_be_stopped,
          signals_are_blocked_in_the_worker_and_not_in_its_maker)
