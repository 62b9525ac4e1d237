// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// A real nbdkit in which one call of the plugin's fails: the nth allocation, mapping, lock, thread;
// or that one and all later ones. For each function n grows until a run ends without a fault.
//
// A run stores known content on two exports, trims, hits the limit, reads everything back, and
// stops. Either the server refuses to start, in one line; or requests fail, and whatever was
// acknowledged reads back right. It never crashes, hangs or leaks (where LeakSanitizer looks).
//
// Two calls are beyond us: at a thread's first read-side section the dynamic linker allocates its
// thread-local data and liburcu a place in its register. Each ends the process if it cannot.
//
//     ZRAMSWAP_FAULTS  all: every n, both ways; FUNCTION:N or FUNCTION:N+: this one; unset: a random
//                      sample, which ZRAMSWAP_SEED replays

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/protocol/content.h"
#include "tests/protocol/expect.h"
#include "tests/protocol/server.h"

#define RUN_SECONDS (server_is_instrumented() ? 120 : 30)
#define GIVE_BACK_US 600000 // by then the keeper has given memory back
#define REQUEST_BYTES (64 * KiB)
#define MAX_PARAMETERS 12
#define REPORT_BYTES 65536
#define LINKER_GAVE_UP 127 // the exit status

static char report_path[] = "/tmp/zramswap-faults-XXXXXX";
static bool may_lock, may_local_swap, must_try_all;

struct disk {
    const char *name;
    struct nbd_handle *nbd; // NULL: the server is gone, or did not let us in
    uint64_t bytes;
    uint8_t *shadow;
};

// What came of the faults in one function.
struct tally {
    unsigned nr_runs, nr_faults, nr_refused, nr_failed_requests, nr_beyond_us;
};

// ---- Requests -----------------------------------------------------------------------------------

static bool is_gone(struct disk *disk)
{
    return !disk->nbd || nbd_aio_is_dead(disk->nbd) || nbd_aio_is_closed(disk->nbd);
}

static void expect_content(struct disk *disk, uint64_t offset, uint64_t bytes)
{
    static uint8_t buffer[REQUEST_BYTES];

    if (is_gone(disk))
        return;
    // A read needs no memory, so it must work whatever fails.
    if (nbd_pread(disk->nbd, buffer, bytes, offset, 0) == -1) {
        if (!is_gone(disk))
            FAIL("read at %" PRIu64 " of \"%s\": %s", offset, disk->name, nbd_get_error());
    } else if (memcmp(buffer, disk->shadow + offset, bytes) != 0) {
        FAIL("\"%s\" at %" PRIu64 " is not what was stored", disk->name, offset);
    }
}

static void compare(struct disk *disk)
{
    for (uint64_t offset = 0; offset < disk->bytes; offset += REQUEST_BYTES)
        expect_content(disk, offset, REQUEST_BYTES);
}

// A write that fails must have changed nothing: it lies within an aligned 2 MiB.
static void write_some(struct disk *disk, uint64_t offset, uint64_t bytes, enum content content,
                       struct tally *tally)
{
    uint8_t data[REQUEST_BYTES];

    if (is_gone(disk))
        return;
    content_fill(data, bytes, content);
    if (nbd_pwrite(disk->nbd, data, bytes, offset, 0) == 0) {
        memcpy(disk->shadow + offset, data, bytes);
        return;
    }
    tally->nr_failed_requests++;
    expect_content(disk, offset / REQUEST_BYTES * REQUEST_BYTES, REQUEST_BYTES);
}

static void trim(struct disk *disk, uint64_t offset, uint64_t bytes, struct tally *tally)
{
    if (is_gone(disk))
        return;
    if (nbd_trim(disk->nbd, bytes, offset, 0) == 0)
        memset(disk->shadow + offset, 0, bytes);
    else if (offset % PAGE_BYTES != 0 || bytes % PAGE_BYTES != 0)
        tally->nr_failed_requests++;
    else if (!is_gone(disk))
        FAIL("trim of whole pages at %" PRIu64 ": %s", offset, nbd_get_error());
}

static int ignore_extents(void *user_data, const char *context, uint64_t offset, uint32_t *entries,
                          size_t nr_entries, int *error)
{
    (void)user_data, (void)context, (void)offset, (void)entries, (void)nr_entries, (void)error;
    return 0;
}

static void ask_extents(struct disk *disk, struct tally *tally)
{
    nbd_extent_callback callback = {ignore_extents, NULL, NULL};

    if (!is_gone(disk))
        tally->nr_failed_requests +=
            nbd_block_status(disk->nbd, disk->bytes, 0, callback, 0) == -1;
}

// The statistics are whole, or refused.
static void read_statistics(struct tally *tally)
{
    struct nbd_handle *nbd = server_try_connect("statistics");
    static const char end[] = "]\n}\n";
    char text[4096] = "";
    int64_t bytes;

    if (!nbd) {
        tally->nr_failed_requests++;
        return;
    }
    bytes = nbd_get_size(nbd);
    EXPECT(bytes > 0 && bytes < (int64_t)sizeof text);
    if (nbd_pread(nbd, text, bytes, 0, 0) == 0 &&
        strcmp(text + bytes - strlen(end), end) != 0)
        FAIL("statistics that are cut short:\n%s", text);
    nbd_close(nbd);
}

static void serve(struct disk *disks, size_t nr_disks, bool await_give_back, struct tally *tally)
{
    for (size_t i = 0; i < nr_disks; i++) {
        disks[i].nbd = server_try_connect(disks[i].name);
        tally->nr_failed_requests += !disks[i].nbd;
        memset(disks[i].shadow, 0, disks[i].bytes);
        for (uint64_t offset = 0; offset < disks[i].bytes / 8; offset += REQUEST_BYTES)
            write_some(&disks[i], offset, REQUEST_BYTES, CONTENT_MIXED, tally);
    }
    read_statistics(tally);
    for (size_t i = 0; i < nr_disks; i++) {
        struct disk *disk = &disks[i];

        trim(disk, 3 * PAGE_BYTES, 40 * PAGE_BYTES, tally);
        trim(disk, disk->bytes / 8 + 100, PAGE_BYTES, tally);
        write_some(disk, 3 * PAGE_BYTES + 100, 100, CONTENT_TEXT, tally);
        ask_extents(disk, tally);
        // Past the limit, which the disks share.
        for (uint64_t offset = 0; offset < disk->bytes; offset += REQUEST_BYTES)
            write_some(disk, offset, REQUEST_BYTES, CONTENT_RANDOM, tally);
        compare(disk);
        trim(disk, 0, disk->bytes / 2, tally);
        write_some(disk, 0, REQUEST_BYTES, CONTENT_HALF_TEXT, tally);
    }
    if (await_give_back)
        usleep(GIVE_BACK_US);
    for (size_t i = 0; i < nr_disks; i++) {
        compare(&disks[i]);
        if (disks[i].nbd)
            nbd_close(disks[i].nbd);
    }
}

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

static void expect_one_line_of_error(const char *messages)
{
    const char *newline = strchr(messages, '\n');

    if (!newline || newline[1] != '\0' || strncmp(messages, "nbdkit: error: ", 15) != 0)
        FAIL("not one line of error, but:\n%s", messages);
}

// nbdkit says which of its threads speaks: "nbdkit: zramswap.2: error: ...".
static void expect_only_errors(char *messages)
{
    for (char *line = strtok(messages, "\n"); line; line = strtok(NULL, "\n"))
        if (strncmp(line, "nbdkit: ", 8) != 0 && strncmp(line, "zramswap: ", 10) != 0)
            FAIL("the server had something else to say:\n%s", line);
}

// The arena is opened 64 MiB at a time, and populated ahead while it grows.
static bool needs_much_memory(const char *function)
{
    return strcmp(function, "mprotect") == 0 || strcmp(function, "madvise") == 0;
}

static bool server_starts(const char *function, unsigned n, int *status)
{
    const bool is_big = needs_much_memory(function);
    const char *parameters[MAX_PARAMETERS] = {
        is_big ? "size=80M" : "size=8M",
        "export=b:2M:1M",
        is_big ? "limit=72M" : "limit=4M",
        "stats-export=statistics",
        n % 2 == 0 ? "compression=lz4" : "compression=zstd",
        may_lock ? "mlock=on" : "mlock=off",
        may_local_swap ? "local-swap=on" : "local-swap=off",
        NULL,
    };

    return server_try_start_list(status, parameters);
}

// Returns how many calls were failed.
static unsigned run(const char *function, unsigned n, bool for_good, struct tally *tally)
{
    const bool is_big = needs_much_memory(function);
    struct disk disks[] = {
        {.name = "", .bytes = (is_big ? 80 : 8) * MiB},
        {.name = "b", .bytes = 2 * MiB},
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

    is_refused = !server_starts(function, n, &status);
    if (!is_refused) {
        for (size_t i = 0; i < 2; i++)
            EXPECT((disks[i].shadow = malloc(disks[i].bytes)));
        serve(disks, 2, strcmp(function, "fallocate") == 0, tally);
        for (size_t i = 0; i < 2; i++)
            free(disks[i].shadow);
        status = server_end();
        // nbdkit tells that it is there before all of the plugin's start is done.
        is_refused = !disks[0].nbd && !disks[1].nbd && WIFEXITED(status) &&
                     WEXITSTATUS(status) == EXIT_FAILURE;
    }
    messages = server_take_messages();
    nr_faults = take_report(&is_beyond_us);
    if (is_beyond_us && (WIFSIGNALED(status) ? WTERMSIG(status) == SIGABRT
                                              : WEXITSTATUS(status) == LINKER_GAVE_UP))
        tally->nr_beyond_us++;
    else if (!WIFEXITED(status) || WEXITSTATUS(status) != (is_refused ? EXIT_FAILURE : 0))
        FAIL("the server ended with wait status %#x:\n%s", status, messages);
    else if (is_refused)
        expect_one_line_of_error(messages);
    else
        expect_only_errors(messages);
    if (is_refused && nr_faults == 0)
        FAIL("the server refused to start without a fault:\n%s", messages);
    free(messages);
    tally->nr_runs++;
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
           function, n, tally.nr_faults, tally.nr_runs, tally.nr_refused,
           tally.nr_failed_requests);
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
        "malloc", "calloc",  "realloc",   "aligned_alloc", "memfd_create", "ftruncate",      "mmap",
        "mprotect", "madvise", "fallocate", "mlockall",      "prctl",        "pthread_create",
    };
    const char *library = getenv("ZRAMSWAP_FAULT_LIBRARY"), *faults = getenv("ZRAMSWAP_FAULTS");

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
        if (strcmp(functions[i], "prctl") == 0 && !may_local_swap)
            continue;
        try_function(functions[i]);
    }
}
