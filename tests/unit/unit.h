// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// What the unit tests share: the runner, memory with an edge, and a look at what aborts.
//
// A test runs in a process of its own, in a check case of its own name: CK_RUN_CASE=name runs one
// alone, CK_FORK=no keeps it in this process, for gdb.  Random numbers and page contents are those
// of tests/protocol/content.h; every test starts from the seed that the runner prints.
//
// In long loops the tests use plain ifs: each ck_assert writes a record to a file, passed or not.
#ifndef ZR_TESTS_UNIT_H
#define ZR_TESTS_UNIT_H

#include <check.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/protocol/content.h"

#define NR_OF(array) (sizeof(array) / sizeof((array)[0]))

// Runs the tests up to the NULL, prints the seed that replays them, returns main's status.
int unit_run(const char *module, const TTest *const *tests);

#define UNIT_MAIN(module, ...)                                                                     \
    int main(void)                                                                                 \
    {                                                                                              \
        const TTest *const tests[] = {__VA_ARGS__, NULL};                                          \
                                                                                                   \
        return unit_run(module, tests);                                                            \
    }

// Zeroed bytes that end where inaccessible memory begins, so that one byte too far is a crash in
// any build.
unsigned char *unit_map_guarded(size_t bytes);
void unit_unmap_guarded(unsigned char *start, size_t bytes);

// True if function(argument) ends its process by abort().
bool unit_aborts(void (*function)(void *), void *argument);

// Waits until is_true(argument), half a minute at most.  True if it became so.
bool unit_await(bool (*is_true)(void *), void *argument);

void unit_sleep_ms(unsigned ms);

#endif
