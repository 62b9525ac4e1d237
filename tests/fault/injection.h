// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// A real nbdkit in which one call of the plugin's fails (faults.c): the nth of a function; or that
// one and all later ones. For each function n grows until a life of the server ends without a
// fault.
//
// Either it refuses to start, in one line that has the reason; or it runs and logs nothing but
// errors. It never crashes, hangs or leaks (where LeakSanitizer looks). What else must hold, the
// test says.
//
// Two calls are beyond us: at a thread's first read-side section the dynamic linker allocates its
// thread-local data and liburcu a place in its register. Each ends the process if it cannot.
//
//     ZRAMSWAP_FAULTS  all: every n, both ways; FUNCTION:N or FUNCTION:N+: this one; unset: a
//                      random sample, which ZRAMSWAP_SEED replays

#ifndef ZR_TESTS_INJECTION_H
#define ZR_TESTS_INJECTION_H

#include <stdbool.h>

struct injection {
    const char *const *functions; // to fail, ended by NULL
    unsigned nr_each;             // of the sample: so many first calls fail, one by one

    // From the server's start to its end. True if it refused to start, or was gone before it served
    // anybody; its wait status, and how many requests failed.
    bool (*live)(const char *function, int *status, unsigned *nr_failed_requests);

    // Whether there is no serving without this function.
    bool (*must_refuse)(const char *function);

    // After a life, with no fault in what is started now: whatever else must hold. refusal: what
    // the server said, NULL if it ran. May be NULL.
    void (*check)(const char *function, const char *refusal);
};

// Before the test: from now on the library is preloaded into all servers.
void injection_init(void);

// True if a server starts with this parameter; else it is left out, and why is said.
bool injection_may_use(const char *parameter);

// Tries all functions, or the fault that was asked for.
void injection_test(const struct injection *injection);

#endif
