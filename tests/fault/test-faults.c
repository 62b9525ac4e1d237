// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// A real nbdkit in which one call of the plugin's fails: the nth allocation, mapping, lock, thread;
// or that one and all later ones. For each function n grows until a run ends without a fault.
//
// A run stores known content on two exports, trims, hits the limit, reads everything back, and
// stops. Either the server refuses to start, in one line; or requests fail, and whatever was
// acknowledged reads back right. Without its lock, a thread or what prctl gives it does not start.
// It never crashes, hangs or leaks (where LeakSanitizer looks).
//
// Two calls are beyond us: at a thread's first read-side section the dynamic linker allocates its
// thread-local data and liburcu a place in its register. Each ends the process if it cannot.
//
//     ZRAMSWAP_FAULTS  all: every n, both ways; FUNCTION:N or FUNCTION:N+: this one; unset: a
//                      random sample, which ZRAMSWAP_SEED replays

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/protocol/content.h"
#include "tests/protocol/expect.h"
#include "tests/protocol/server.h"
#include "workload.h"

#define RUN_SECONDS (server_is_instrumented() ? 120 : 30)
#define GIVE_BACK_US 600000 // by then the keeper has given memory back
#define MAX_PARAMETERS 12
#define REPORT_BYTES 65536
#define LINKER_GAVE_UP 127 // the exit status

static char report_path[] = "/tmp/zramswap-faults-XXXXXX";
static bool may_lock, may_local_swap, must_try_all;

// What came of the faults in one function.
struct tally {
    unsigned nr_runs, nr_faults, nr_refused, nr_failed_requests, nr_beyond_us;
};

// ---- One server with one fault ------------------------------------------------------------------

// How often a call was failed; whether one was beyond us.
static unsigned take_report(bool *is_beyond_us)
{
    static char text[REPORT_BYTES];
    int fd = open(report_path, O_RDWR);
    ssize_t bytes = SYSTEM_OK(read(fd, text, sizeof text - 1));
    unsigned nr = 0;

    text[bytes] = '\0';
    SYSTEM_OK(ftruncate(fd, 0));
    close(fd);
    for (const char *at = text; (at = strchr(at, '\n')); at++)
        nr++;
    *is_beyond_us = strstr(text, "/liburcu-bp") || strstr(text, "/ld-linux");
    return nr;
}

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

// Returns how many calls were failed.
static unsigned run(const char *function, unsigned n, bool for_good, struct tally *tally)
{
    struct workload workload = {
        .bytes = (needs_much_memory(function) ? 80 : 8) * MiB,
        .await_us = strcmp(function, "fallocate") == 0 ? GIVE_BACK_US : 0,
    };
    bool is_beyond_us, is_refused;
    char fault[64], *messages;
    unsigned nr_faults;
    int status;

    alarm(RUN_SECONDS);
    sprintf(fault, "%s:%u%s", function, n, for_good ? "+" : "");
    setenv("ZRAMSWAP_FAULT", fault, 1);
    printf("%s\n", fault); // the last line is the one that failed
    fflush(stdout);

    is_refused = !server_starts(function, &status);
    if (!is_refused) {
        workload_run(&workload);
        status = server_end();
        // nbdkit tells that it is there before all of the plugin's start is done.
        is_refused =
            !workload.is_served && WIFEXITED(status) && WEXITSTATUS(status) == EXIT_FAILURE;
    }
    messages = server_take_messages();
    nr_faults = take_report(&is_beyond_us);
    if (is_beyond_us &&
        (WIFSIGNALED(status) ? WTERMSIG(status) == SIGABRT : WEXITSTATUS(status) == LINKER_GAVE_UP))
        tally->nr_beyond_us++;
    else if (!WIFEXITED(status) || WEXITSTATUS(status) != (is_refused ? EXIT_FAILURE : 0))
        FAIL("the server ended with wait status %#x:\n%s", status, messages);
    else if (is_refused)
        expect_one_line_of_error(messages);
    else
        expect_only_errors(messages);
    if (is_refused && nr_faults == 0)
        FAIL("the server refused to start without a fault:\n%s", messages);
    if (!is_refused && nr_faults > 0 && !is_beyond_us && must_refuse(function))
        FAIL("%s failed, and the server started all the same:\n%s", function, messages);
    free(messages);
    tally->nr_runs++;
    tally->nr_failed_requests += workload.nr_refused;
    tally->nr_faults += nr_faults;
    tally->nr_refused += is_refused;
    return nr_faults;
}

// ---- All of them --------------------------------------------------------------------------------

static void try_function(const char *function)
{
    struct tally tally = {0};
    bool for_good = false;
    unsigned n = 1;

    while (run(function, n, for_good, &tally) > 0) {
        if (must_try_all) {
            n += for_good;
            for_good = !for_good;
        } else {
            n += 1 + random_below(2 * n);
            for_good = random_below(2);
        }
    }
    printf("%-15s up to call %3u: %4u faults in %3u runs; %3u refused to start, %4u failed "
           "requests",
           function, n, tally.nr_faults, tally.nr_runs, tally.nr_refused, tally.nr_failed_requests);
    printf("; %u ended by the linker or liburcu\n", tally.nr_beyond_us);
    if (tally.nr_faults == 0)
        FAIL("%s: nothing to fail", function);
}

static void try_one(const char *fault)
{
    struct tally tally = {0};
    char function[32], plus = 0;
    unsigned n;

    if (sscanf(fault, "%31[a-z_]:%u%c", function, &n, &plus) < 2)
        FAIL("ZRAMSWAP_FAULTS=%s: not all, and not FUNCTION:N", fault);
    printf("%u faults\n", run(function, n, plus == '+', &tally));
}

// True if a server with this parameter starts; else it is left out, and why is said.
static bool may_use(const char *parameter)
{
    char *messages;
    int status;

    if (server_try_start_list(&status, (const char *const[]){"size=1M", parameter, NULL})) {
        server_stop();
        return true;
    }
    messages = server_take_messages();
    printf("SKIPPED %s: %s", parameter, messages);
    free(messages);
    return false;
}

static void remove_report(void)
{
    unlink(report_path);
}

int main(void)
{
    static const char *const functions[] = {
        "malloc",    "calloc", "realloc",        "aligned_alloc", "memfd_create",
        "ftruncate", "mmap",   "mprotect",       "madvise",       "fallocate",
        "mlockall",  "prctl",  "pthread_create",
    };
    const char *library = getenv("ZRAMSWAP_FAULT_LIBRARY"), *faults = getenv("ZRAMSWAP_FAULTS");

    server_skip_under_tsan();
    must_try_all = faults && strcmp(faults, "all") == 0;
    random_start();
    may_lock = may_use("mlock=on");
    may_local_swap = may_use("local-swap=on");
    close(SYSTEM_OK(mkstemp(report_path)));
    atexit(remove_report);
    setenv("ZRAMSWAP_FAULT_REPORT", report_path, 1);
    // Ours stands before AddressSanitizer's malloc, also on the stacks that tests/leaks.supp sees.
    setenv("ASAN_OPTIONS", "verify_asan_link_order=0:malloc_context_size=3", 1);
    server_preload(library ? library : "tests/fault/faults.so");

    if (faults && !must_try_all) {
        try_one(faults);
        return 0;
    }
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        if (strcmp(functions[i], "mlockall") == 0 && !may_lock)
            continue;
        try_function(functions[i]);
    }
}
