// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// What a server goes through while something is made to fail in it: known content on two exports,
// trims, more than the limit, everything read back. Requests may be refused; whatever was
// acknowledged must read back right, or the test ends.

#ifndef ZR_TESTS_WORKLOAD_H
#define ZR_TESTS_WORKLOAD_H

#include <stdbool.h>
#include <stdint.h>

#define WORKLOAD_STATISTICS "stats-export=statistics"
#define WORKLOAD_EXPORT "export=b:2M:1M"

struct workload {
    uint64_t bytes;        // of the default export, given as size=
    unsigned await_us;     // at the end, for what the server does behind its requests' back
    bool is_nbdkit_short;  // its own allocations fail, too
    bool is_served;        // true after it if a connection was made
    unsigned nr_refused;   // connections and requests, those of the limit included
    unsigned nr_no_buffer; // reads that nbdkit had no memory for; not in nr_refused
};

// The server has started with the parameters above, size= and some limit=. It may go away.
void workload_run(struct workload *workload);

// What a server that refused to start said: one line of nbdkit's.
void expect_one_line_of_error(const char *messages);

// What a server that ran said: nothing but errors of nbdkit's or ours. Changes messages.
void expect_only_errors(char *messages);

#endif
