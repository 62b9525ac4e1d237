// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "unit.h"

#include "allocator/worker.h"
#include "plugin/line.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#define OLD_US 600000 // a request that has waited for so long is suspicious
#define REST_US 25000 // longer than a line has to be at rest
#define NR_YOUNG 300  // so many requests, at once, and the next one is young
#define NS_PER_US 1000

static struct zr_lines lines;
static struct zr_line a, b;

static bool run(struct zr_line *line)
{
    uint64_t start_ns;
    bool is_asked = zr_line_begin(&lines, line, true, &start_ns);

    if (is_asked) {
        zr_line_trust(line, start_ns);
    }
    zr_line_end(line);
    return is_asked;
}

// Both, with nothing suspicious about them.
static void open_both(void)
{
    zr_lines_init(&lines);
    ck_assert_int_eq(zr_lines_open(&lines, &a, false), 0);
    ck_assert_int_eq(zr_lines_open(&lines, &b, false), 0);
    run(&a);
    run(&a);
    usleep(REST_US);
    for (int i = 0; i < NR_YOUNG; i++) {
        run(&a);
        run(&b);
    }
}

static void close_both(void)
{
    zr_lines_close(&lines, &a);
    zr_lines_close(&lines, &b);
    zr_lines_fini(&lines);
}

START_TEST(a_line_alone_is_never_asked_about)
{
    zr_lines_init(&lines);
    ck_assert_int_eq(zr_lines_open(&lines, &a, true), 0);
    ck_assert(!run(&a));
    usleep(OLD_US);
    ck_assert(!run(&a));
    zr_lines_close(&lines, &a);
    zr_lines_fini(&lines);
}
END_TEST

START_TEST(an_older_line_is_asked_about_until_its_client_has_stayed_after_an_answer)
{
    zr_lines_init(&lines);
    ck_assert_int_eq(zr_lines_open(&lines, &a, false), 0);
    ck_assert_int_eq(zr_lines_open(&lines, &b, false), 0);
    ck_assert(!run(&b));
    usleep(REST_US); // without an answer
    for (int i = 0; i < 3; i++) {
        ck_assert(run(&a));
    }
    usleep(REST_US);
    run(&a); // asked about, unless the machine was slow before
    ck_assert(!run(&a));
    close_both();
}
END_TEST

START_TEST(a_line_is_suspected_again_for_each_newer_one)
{
    struct zr_line newer;

    open_both();
    ck_assert(!run(&a));
    ck_assert(!run(&b));
    ck_assert_int_eq(zr_lines_open(&lines, &newer, false), 0);
    ck_assert(run(&a));
    ck_assert(run(&b));
    zr_lines_close(&lines, &newer);
    close_both();
}
END_TEST

START_TEST(what_may_have_waited_is_asked_about)
{
    uint64_t start_ns;

    open_both();
    ck_assert(!run(&a));
    usleep(OLD_US);
    ck_assert(!zr_line_begin(&lines, &a, false, &start_ns)); // a read
    zr_line_end(&a);
    ck_assert(run(&a));
    ck_assert(run(&b));
    // 128 may have been under way.
    for (int i = 0; i < 127; i++) {
        ck_assert(run(&a));
    }
    for (int i = 0; i < NR_YOUNG; i++) {
        run(&a);
    }
    ck_assert(!run(&a));
    close_both();
}
END_TEST

static atomic_bool is_ended;

static void *end_a(void *argument)
{
    usleep(*(unsigned *)argument);
    atomic_store(&is_ended, true);
    zr_line_end(&a);
    return NULL;
}

START_TEST(a_new_line_opens_after_what_is_executed)
{
    unsigned soon_us = 100000;
    pthread_t thread;
    uint64_t start_ns;

    zr_lines_init(&lines);
    ck_assert_int_eq(zr_lines_open(&lines, &a, false), 0);
    zr_line_begin(&lines, &a, true, &start_ns);
    pthread_create(&thread, NULL, end_a, &soon_us);
    ck_assert_int_eq(zr_lines_open(&lines, &b, false), 0);
    ck_assert(atomic_load(&is_ended));
    pthread_join(thread, NULL);
    close_both();
}
END_TEST

START_TEST(what_may_have_waited_waits_for_what_has_been_executed_for_as_long)
{
    unsigned late_us = OLD_US + 100000;
    pthread_t thread;
    uint64_t start_ns;

    open_both();
    zr_line_begin(&lines, &a, true, &start_ns);
    ck_assert(!run(&b)); // young
    pthread_create(&thread, NULL, end_a, &late_us);
    usleep(OLD_US);
    ck_assert(run(&b));
    ck_assert(atomic_load(&is_ended));
    pthread_join(thread, NULL);
    close_both();
}
END_TEST

static void *open_and_sleep(void *is_over)
{
    zr_lines_open(&lines, &a, true);
    while (!atomic_load((atomic_bool *)is_over)) {
        usleep(1000000);
    }
    return NULL;
}

START_TEST(a_new_line_waits_until_older_ones_are_at_rest)
{
    atomic_bool is_over = false;
    uint64_t start_ns;
    pthread_t thread;

    zr_lines_init(&lines);
    pthread_create(&thread, NULL, open_and_sleep, &is_over);
    while (atomic_load(&lines.nr_lines) == 0) {
        usleep(1000);
    }
    start_ns = zr_worker_now_ns();
    ck_assert_int_eq(zr_lines_open(&lines, &b, true), 0);
    ck_assert_uint_ge(zr_worker_now_ns(), start_ns + (uint64_t)20000 * NS_PER_US);
    atomic_store(&is_over, true);
    pthread_join(thread, NULL);
    close_both();
}
END_TEST

START_TEST(a_line_whose_thread_only_wants_a_cpu_is_not_at_rest)
{
    zr_lines_init(&lines);
    ck_assert_int_eq(zr_lines_open(&lines, &a, true), 0);
    // This thread is a's too, and runs when it looks.
    ck_assert_int_eq(zr_lines_open(&lines, &b, true), -EBUSY);
    zr_lines_close(&lines, &a);
    ck_assert_int_eq(zr_lines_open(&lines, &b, true), 0);
    zr_lines_close(&lines, &b);
    zr_lines_fini(&lines);
}
END_TEST

UNIT_MAIN("line", a_line_alone_is_never_asked_about,
          an_older_line_is_asked_about_until_its_client_has_stayed_after_an_answer,
          a_line_is_suspected_again_for_each_newer_one, what_may_have_waited_is_asked_about,
          a_new_line_opens_after_what_is_executed,
          what_may_have_waited_waits_for_what_has_been_executed_for_as_long,
          a_new_line_waits_until_older_ones_are_at_rest,
          a_line_whose_thread_only_wants_a_cpu_is_not_at_rest)
