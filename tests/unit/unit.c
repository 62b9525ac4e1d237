// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "unit.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

// Far more than any test takes, even instrumented and on a loaded machine.
#define TIMEOUT_S 120
#define AWAIT_MS 30000

static uint64_t seed;

static void restart_random(void)
{
    random_seed(seed);
}

int unit_run(const char *module, const TTest *const *tests)
{
    SRunner *runner = srunner_create(NULL);
    Suite *suite = suite_create(module);
    int nr_failed;

    random_start();
    seed = random_u64();
    for (; *tests; tests++) {
        TCase *tcase = tcase_create((*tests)->name);

        tcase_set_timeout(tcase, TIMEOUT_S);
        tcase_add_checked_fixture(tcase, restart_random, NULL);
        tcase_add_test(tcase, *tests);
        suite_add_tcase(suite, tcase);
    }
    srunner_add_suite(runner, suite);
    srunner_run_all(runner, CK_ENV);
    nr_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return nr_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

static size_t whole_pages(size_t bytes)
{
    return (bytes + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
}

unsigned char *unit_map_guarded(size_t bytes)
{
    size_t mapped = whole_pages(bytes);
    unsigned char *base =
        mmap(NULL, mapped + PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    ck_assert_ptr_ne(base, MAP_FAILED);
    ck_assert_int_eq(mprotect(base + mapped, PAGE_BYTES, PROT_NONE), 0);
    return base + mapped - bytes;
}

void unit_unmap_guarded(unsigned char *start, size_t bytes)
{
    size_t mapped = whole_pages(bytes);

    munmap(start + bytes - mapped, mapped + PAGE_BYTES);
}

bool unit_aborts(void (*function)(void *), void *argument)
{
    pid_t child = fork();
    int status;

    ck_assert_int_ge(child, 0);
    if (child == 0) {
        close(STDERR_FILENO); // what it says is expected, and would only alarm a reader of the log
        function(argument);
        _exit(EXIT_SUCCESS);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

void unit_sleep_ms(unsigned ms)
{
    const struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};

    nanosleep(&time, NULL);
}

bool unit_await(bool (*is_true)(void *), void *argument)
{
    for (unsigned waited_ms = 0; waited_ms < AWAIT_MS; waited_ms++) {
        if (is_true(argument)) {
            return true;
        }
        unit_sleep_ms(1);
    }
    return false;
}
