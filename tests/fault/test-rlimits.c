// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// ENOMEM from the kernel: a real nbdkit with less and less address space, and, locked in memory,
// with less and less of RLIMIT_MEMLOCK. Either it refuses to start, or requests are refused, and
// whatever was acknowledged reads back right, but where nbdkit itself has no memory for a read.
//
// Where address space ends at a thread's first request, glibc or liburcu may have nothing left for
// that thread's registration; both end the process then. Counted, and shown.

#include <inttypes.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/protocol/content.h"
#include "tests/protocol/expect.h"
#include "tests/protocol/server.h"
#include "workload.h"

#define DISK_BYTES (8 * MiB)
#define NR_STEPS 16
#define RUN_SECONDS 240 // for one of some forty servers, in an emulated guest on a busy machine
#define LEAST_LOCKED_BYTES (1 * MiB) // far too little
#define LIBRARY_GAVE_UP 127          // the exit status of glibc's loader

// What nbdkit says when a thread of its gets no buffer for a request.
#define NO_BUFFER "threadlocal_buffer"

struct tally {
    unsigned nr_refused, nr_served, nr_failed_requests, nr_no_buffer, nr_gave_up;
};

static bool gave_up(int status)
{
    return WIFSIGNALED(status) ? WTERMSIG(status) == SIGABRT
                               : WEXITSTATUS(status) == LIBRARY_GAVE_UP;
}

// Starts the server with this limit on; the test itself is not to live under it.
static bool starts_within(int resource, uint64_t limit_bytes, const char *lock, const char *user,
                          int *status)
{
    struct rlimit own, limit;
    bool has_started;

    SYSTEM_OK(getrlimit(resource, &own));
    limit = (struct rlimit){.rlim_cur = limit_bytes, .rlim_max = own.rlim_max};
    SYSTEM_OK(setrlimit(resource, &limit));
    has_started =
        server_try_start_list(status, (const char *const[]){"size=8M", WORKLOAD_EXPORT, "limit=4M",
                                                            WORKLOAD_STATISTICS, lock, user, NULL});
    SYSTEM_OK(setrlimit(resource, &own));
    return has_started;
}

static unsigned count(const char *text, const char *what)
{
    unsigned nr = 0;

    for (; (text = strstr(text, what)); text++)
        nr++;
    return nr;
}

// A read may have failed because nbdkit had no buffer for it, and says so; no other one may.
static void expect_reads_refused_by_nbdkit_only(const struct workload *workload,
                                                const char *messages)
{
    if (strstr(messages, ": read of "))
        FAIL("the plugin has refused a read:\n%s", messages);
    if (workload->nr_no_buffer > count(messages, NO_BUFFER))
        FAIL("%u reads failed, and nbdkit does not say that often that it had no buffer:\n%s",
             workload->nr_no_buffer, messages);
}

static void run(int resource, uint64_t limit_bytes, const char *lock, const char *user,
                struct tally *tally)
{
    struct workload workload = {
        .bytes = DISK_BYTES,
        .is_nbdkit_short = limit_bytes != RLIM_INFINITY,
    };
    char *messages;
    int status;

    alarm(RUN_SECONDS);
    printf("limit %" PRIu64 "\n", limit_bytes); // the last line is the one that failed
    fflush(stdout);
    if (starts_within(resource, limit_bytes, lock, user, &status)) {
        workload_run(&workload);
        status = server_end();
    }
    messages = server_take_messages();
    if (gave_up(status) && resource == RLIMIT_AS)
        tally->nr_gave_up++;
    else if (!WIFEXITED(status))
        FAIL("%" PRIu64 " bytes: the server ended with wait status %#x:\n%s", limit_bytes, status,
             messages);
    else if (WEXITSTATUS(status) != 0 && (workload.is_served || !*messages))
        FAIL("%" PRIu64 " bytes: exit status %d:\n%s", limit_bytes, WEXITSTATUS(status), messages);
    // Without the lock's refusal, threads that get no memory would end the server.
    else if (resource == RLIMIT_MEMLOCK && limit_bytes == LEAST_LOCKED_BYTES &&
             !strstr(messages, "mlock=on"))
        FAIL("it does not say that it cannot be locked:\n%s", messages);
    expect_reads_refused_by_nbdkit_only(&workload, messages);
    tally->nr_refused += !workload.is_served;
    tally->nr_served += workload.is_served;
    tally->nr_failed_requests += workload.nr_refused;
    tally->nr_no_buffer += workload.nr_no_buffer;
    free(messages);
}

static void sweep(const char *name, int resource, uint64_t from, uint64_t to, const char *lock,
                  const char *user)
{
    struct tally tally = {0};

    for (uint64_t i = 0; i < NR_STEPS; i++) {
        uint64_t step = (to - from) / NR_STEPS;

        run(resource, from + i * step + random_below(step) / PAGE_BYTES * PAGE_BYTES, lock, user,
            &tally);
    }
    run(resource, RLIM_INFINITY, lock, user, &tally);
    printf("%s, %" PRIu64 " to %" PRIu64 " MiB: %u did not start, %u served, %u requests refused, "
           "%u reads without a buffer of nbdkit's, %u ended by glibc or liburcu\n",
           name, from / MiB, to / MiB, tally.nr_refused, tally.nr_served, tally.nr_failed_requests,
           tally.nr_no_buffer, tally.nr_gave_up);
    fflush(stdout);
    EXPECT(tally.nr_refused > 0 && tally.nr_served > 0);
}

static int run_shell(const char *command)
{
    pid_t pid = SYSTEM_OK(fork());
    int status;

    if (pid == 0) {
        execl("/bin/sh", "sh", "-c", command, NULL);
        _exit(EXIT_FAILURE);
    }
    SYSTEM_OK(waitpid(pid, &status, 0));
    return status;
}

// Address space that nbdkit takes before it comes to us.
static uint64_t nbdkit_needs_bytes(void)
{
    uint64_t bytes = 0;
    char command[100];

    do {
        bytes += 16 * MiB;
        EXPECT(bytes <= 4 * GiB);
        sprintf(command, "ulimit -v %" PRIu64 "; exec nbdkit --version >/dev/null 2>&1",
                bytes / KiB);
    } while (run_shell(command) != 0);
    return bytes;
}

// The other user writes its pidfile beside the socket.
static void open_directory_to_all(void)
{
    char path[64];

    strcpy(path, server_socket());
    *strrchr(path, '/') = '\0';
    SYSTEM_OK(chmod(path, 0777));
}

static void test_locked(const char *user)
{
    struct rlimit lock;
    struct tally tally = {0};

    if (user)
        open_directory_to_all();
    SYSTEM_OK(getrlimit(RLIMIT_MEMLOCK, &lock));
    run(RLIMIT_MEMLOCK, LEAST_LOCKED_BYTES, "mlock=on", user, &tally);
    EXPECT(tally.nr_refused == 1);
    lock.rlim_max = RLIM_INFINITY;
    if (setrlimit(RLIMIT_MEMLOCK, &lock) == 0) {
        sweep("RLIMIT_MEMLOCK", RLIMIT_MEMLOCK, LEAST_LOCKED_BYTES, 512 * MiB, "mlock=on", user);
    } else {
        printf("SKIPPED: serving under RLIMIT_MEMLOCK, which this user may not raise\n");
    }
}

int main(void)
{
    uint64_t least;

    random_start();
    if (server_is_instrumented())
        SKIP("a sanitizer needs more address space than these limits leave");
    least = nbdkit_needs_bytes();
    sweep("RLIMIT_AS", RLIMIT_AS, least, least + 256 * MiB, "mlock=off", NULL);

    // For root no limit counts, so another user must be found out about.
    test_locked(geteuid() == 0 ? "--user=nobody" : NULL);
}
