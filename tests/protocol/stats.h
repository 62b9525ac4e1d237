// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// The server's statistics, as a client reads them: for a server that was started with
// STATS_PARAMETER. A document is of the moment when its connection was made.

#ifndef ZR_TESTS_STATS_H
#define ZR_TESTS_STATS_H

#include <stdint.h>

#define STATS_EXPORT "statistics"
#define STATS_PARAMETER "stats-export=" STATS_EXPORT

// A new document, for free().
char *stats_read(void);

// The number of this name in it. A missing one, or what is no number, ends the test.
uint64_t stats_number(const char *document, const char *name);

// The number of this name, now.
uint64_t stats_now(const char *name);

// Waits, for some seconds, until the number is not above this one. What the server does behind
// its requests' back, such as freeing, shows only so.
void stats_await_at_most(const char *name, uint64_t most);

#endif
