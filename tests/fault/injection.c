// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "injection.h"
#include "tests/protocol/content.h"
#include "tests/protocol/expect.h"
#include "tests/protocol/server.h"
#include "workload.h"

#define RUN_SECONDS (server_is_instrumented() ? 300 : 120) // then it hangs
#define REPORT_BYTES 65536
#define LINKER_GAVE_UP 127 // the exit status

static char report_path[] = "/tmp/zramswap-faults-XXXXXX";

// What came of the faults in one function.
struct tally {
    unsigned nr_runs, nr_faults, nr_refused, nr_failed_requests, nr_beyond_us;
};

struct report {
    unsigned nr_faults;
    bool is_beyond_us;
    char reason[64]; // of the first
};

static struct report take_report(void)
{
    static char text[REPORT_BYTES];
    int fd = open(report_path, O_RDWR);
    ssize_t bytes = SYSTEM_OK(read(fd, text, sizeof text - 1));
    struct report report = {0};

    text[bytes] = '\0';
    SYSTEM_OK(ftruncate(fd, 0));
    close(fd);
    for (const char *at = text; (at = strchr(at, '\n')); at++)
        report.nr_faults++;
    report.is_beyond_us = strstr(text, "/liburcu-bp") || strstr(text, "/ld-linux");
    sscanf(text, "%*[^:]: %63[^\n]", report.reason);
    return report;
}

// What is short of memory may say so in other words on its way.
static bool has_reason(const char *message, const char *reason)
{
    return strstr(message, reason) || strstr(message, "out of memory") ||
           strstr(message, strerrordesc_np(ENOSPC)) || strstr(message, strerrordesc_np(EAGAIN));
}

static void expect_end(const struct report *report, int status, bool is_refused, char *messages)
{
    if (!WIFEXITED(status) || WEXITSTATUS(status) != (is_refused ? EXIT_FAILURE : 0))
        FAIL("the server ended with wait status %#x:\n%s", status, messages);
    if (!is_refused) {
        expect_only_errors(messages);
        return;
    }
    if (report->nr_faults == 0)
        FAIL("the server refused to start without a fault:\n%s", messages);
    // Before that it may have said what it found in a store.
    if (strncmp(messages, "zramswap: store ", 16) == 0)
        messages = strchr(messages, '\n') + 1;
    expect_one_line_of_error(messages);
    if (!has_reason(messages, report->reason))
        FAIL("the refusal has not the reason, %s:\n%s", report->reason, messages);
}

// Returns how many calls were failed.
static unsigned run(const struct injection *injection, const char *function, unsigned n,
                    bool for_good, struct tally *tally)
{
    struct report report;
    char fault[64], *messages;
    bool is_refused;
    int status;

    alarm(RUN_SECONDS);
    sprintf(fault, "%s:%u%s", function, n, for_good ? "+" : "");
    setenv("ZRAMSWAP_FAULT", fault, 1);
    printf("%s\n", fault); // the last line is the one that failed
    fflush(stdout);

    is_refused = injection->live(function, &status, &tally->nr_failed_requests);
    unsetenv("ZRAMSWAP_FAULT");
    messages = server_take_messages();
    report = take_report();
    if (report.is_beyond_us &&
        (WIFSIGNALED(status) ? WTERMSIG(status) == SIGABRT : WEXITSTATUS(status) == LINKER_GAVE_UP))
        tally->nr_beyond_us++;
    else
        expect_end(&report, status, is_refused, messages);
    if (!is_refused && report.nr_faults > 0 && !report.is_beyond_us &&
        injection->must_refuse(function))
        FAIL("%s failed, and the server started all the same:\n%s", function, messages);
    if (injection->check)
        injection->check(function, is_refused ? messages : NULL);
    free(messages);
    tally->nr_runs++;
    tally->nr_faults += report.nr_faults;
    tally->nr_refused += is_refused;
    return report.nr_faults;
}

static void try_function(const struct injection *injection, const char *function, bool must_try_all)
{
    struct tally tally = {0};
    bool for_good = false;
    unsigned n = 1;

    while (run(injection, function, n, for_good, &tally) > 0) {
        if (must_try_all) {
            n += for_good;
            for_good = !for_good;
        } else if (n < injection->nr_each) {
            n++;
        } else {
            n += 1 + random_below(2 * n);
            for_good = random_below(2);
        }
    }
    printf("%-18s up to call %3u: %4u faults in %3u runs; %3u refused to start, %4u failed "
           "requests",
           function, n, tally.nr_faults, tally.nr_runs, tally.nr_refused, tally.nr_failed_requests);
    printf("; %u ended by the linker or liburcu\n", tally.nr_beyond_us);
    if (tally.nr_faults == 0)
        FAIL("%s: nothing to fail", function);
}

static void try_one(const struct injection *injection, const char *fault)
{
    struct tally tally = {0};
    char function[32], plus = 0;
    unsigned n;

    if (sscanf(fault, "%31[a-z_]:%u%c", function, &n, &plus) < 2)
        FAIL("ZRAMSWAP_FAULTS=%s: not all, and not FUNCTION:N", fault);
    printf("%u faults\n", run(injection, function, n, plus == '+', &tally));
}

static void remove_report(void)
{
    unlink(report_path);
}

void injection_init(void)
{
    const char *library = getenv("ZRAMSWAP_FAULT_LIBRARY");

    close(SYSTEM_OK(mkstemp(report_path)));
    atexit(remove_report);
    setenv("ZRAMSWAP_FAULT_REPORT", report_path, 1);
    // Ours stands before AddressSanitizer's malloc, also on the stacks that tests/leaks.supp sees.
    setenv("ASAN_OPTIONS", "verify_asan_link_order=0:malloc_context_size=3", 1);
    server_preload(library ? library : "tests/fault/faults.so");
}

bool injection_may_use(const char *parameter)
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

void injection_test(const struct injection *injection)
{
    const char *faults = getenv("ZRAMSWAP_FAULTS");
    const bool must_try_all = faults && strcmp(faults, "all") == 0;

    if (faults && !must_try_all) {
        try_one(injection, faults);
        return;
    }
    for (const char *const *function = injection->functions; *function; function++)
        try_function(injection, *function, must_try_all);
}
