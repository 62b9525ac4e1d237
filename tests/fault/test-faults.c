// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// A real nbdkit in which a call of the plugin's fails (injection.h): an allocation, mapping, lock,
// thread. What it holds goes with it here; test-store-faults has the start on a store.
//
// A run stores known content on two exports, trims, hits the limit, reads everything back, and
// stops. Either the server refuses to start; or requests fail, and whatever was acknowledged reads
// back right. Without its lock, a thread or what prctl gives it does not start.

#include <sys/wait.h>

#include "injection.h"
#include "tests/protocol/content.h"
#include "tests/protocol/expect.h"
#include "tests/protocol/server.h"
#include "workload.h"

#define GIVE_BACK_US 600000 // by then the keeper has given memory back
#define MAX_PARAMETERS 12

static bool may_lock, may_local_swap;

// The arena is opened 64 MiB at a time, and populated ahead while it grows.
static bool needs_much_memory(const char *function)
{
    return strcmp(function, "mprotect") == 0 || strcmp(function, "madvise") == 0;
}

// Called when it starts only, and there is no serving without.
static bool must_refuse(const char *function)
{
    return strcmp(function, "mlockall") == 0 || strcmp(function, "prctl") == 0 ||
           strcmp(function, "pthread_create") == 0 || strcmp(function, "memfd_create") == 0;
}

static bool server_starts(const char *function, int *status)
{
    const bool is_big = needs_much_memory(function);
    const char *parameters[MAX_PARAMETERS] = {
        is_big ? "size=80M" : "size=8M",
        WORKLOAD_EXPORT,
        is_big ? "limit=72M" : "limit=4M",
        WORKLOAD_STATISTICS,
        "compression=zstd", // whatever lz4 allocates, this does as well
        may_lock ? "mlock=on" : "mlock=off",
        may_local_swap ? "local-swap=on" : "local-swap=off",
        NULL,
    };

    return server_try_start_list(status, parameters);
}

static bool live(const char *function, int *status, unsigned *nr_failed_requests)
{
    struct workload workload = {
        .bytes = (needs_much_memory(function) ? 80 : 8) * MiB,
        .await_us = strcmp(function, "fallocate") == 0 ? GIVE_BACK_US : 0,
    };

    if (!server_starts(function, status))
        return true;
    workload_run(&workload);
    *nr_failed_requests += workload.nr_refused;
    *status = server_end();
    // nbdkit tells that it is there before all of the plugin's start is done.
    return !workload.is_served && WIFEXITED(*status) && WEXITSTATUS(*status) == EXIT_FAILURE;
}

int main(void)
{
    const char *functions[] = {
        "malloc",   "calloc",  "realloc",   "aligned_alloc", "memfd_create",   "ftruncate", "mmap",
        "mprotect", "madvise", "fallocate", "prctl",         "pthread_create", NULL,        NULL,
    };
    const struct injection injection = {
        .functions = functions,
        .live = live,
        .must_refuse = must_refuse,
    };

    server_skip_under_tsan();
    random_start();
    may_lock = injection_may_use("mlock=on");
    may_local_swap = injection_may_use("local-swap=on");
    if (may_lock)
        functions[sizeof functions / sizeof *functions - 2] = "mlockall";
    injection_init();
    injection_test(&injection);
    return 0;
}
