// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// stats-export=NAME: an export of that name holds the statistics, exact and read-only; another one,
// NAME.prom, the same for Prometheus.

#include <pthread.h>
#include <time.h>

#include "expect.h"
#include "server.h"
#include "shadow.h"
#include "stats.h"

#define NR_PAGES 64 // of each kind that is written
#define ARRAY_SIZE(array) (sizeof(array) / sizeof *(array))

static const char *const names[] = {
    "orig_data_size", "compr_data_size",    "mem_used_total",
    "mem_limit",      "mem_used_max",       "same_pages",
    "huge_pages",     "pending_free_bytes", "pending_free_objects",
};

static void expect_zeros(void)
{
    stats_await_at_most("pending_free_bytes", 0);
    stats_await_at_most("pending_free_objects", 0);
    EXPECT(stats_now("orig_data_size") == 0);
    EXPECT(stats_now("compr_data_size") == 0);
    EXPECT(stats_now("same_pages") == 0);
    EXPECT(stats_now("huge_pages") == 0);
}

static void expect_all_names(void)
{
    char *document = stats_read();
    size_t length = strlen(document);

    // One object, and no more than a line's end after it.
    while (length > 0 && document[length - 1] == '\n')
        length--;
    EXPECT(document[0] == '{' && length > 1 && document[length - 1] == '}');
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        stats_number(document, names[i]);
    free(document);
}

static void expect_exact_numbers(struct shadow *disk)
{
    static const enum content contents[] = {
        CONTENT_ZERO,
        CONTENT_SAME,
        CONTENT_TEXT,
        CONTENT_RANDOM,
    };
    uint64_t random_bytes = NR_PAGES * PAGE_BYTES;
    uint64_t stored_bytes = 3 * NR_PAGES * PAGE_BYTES; // zeros are not
    uint64_t compressed, used;

    for (size_t i = 0; i < ARRAY_SIZE(contents); i++)
        shadow_write(disk, i * NR_PAGES * PAGE_BYTES, NR_PAGES * PAGE_BYTES, contents[i], 0);

    EXPECT(stats_now("orig_data_size") == stored_bytes);
    EXPECT(stats_now("same_pages") == NR_PAGES);
    EXPECT(stats_now("huge_pages") == NR_PAGES);
    compressed = stats_now("compr_data_size");
    EXPECT(compressed > random_bytes && compressed < random_bytes + random_bytes / 2);
    used = stats_now("mem_used_total");
    EXPECT(used >= compressed);
    EXPECT(stats_now("mem_used_max") >= used);
    EXPECT(stats_now("mem_limit") >= used);

    // Same-filled over compressed, random over same-filled, zeros over random.
    shadow_write(disk, 2 * NR_PAGES * PAGE_BYTES, PAGE_BYTES, CONTENT_SAME, 0);
    shadow_write(disk, 1 * NR_PAGES * PAGE_BYTES, 2 * PAGE_BYTES, CONTENT_RANDOM, 0);
    shadow_write(disk, 3 * NR_PAGES * PAGE_BYTES, 5 * PAGE_BYTES, CONTENT_ZERO, 0);
    stats_await_at_most("pending_free_objects", 0);
    EXPECT(stats_now("orig_data_size") == stored_bytes - 5 * PAGE_BYTES);
    EXPECT(stats_now("same_pages") == NR_PAGES + 1 - 2);
    EXPECT(stats_now("huge_pages") == NR_PAGES + 2 - 5);

    shadow_trim(disk, 0, disk->size, 0);
    expect_zeros();
}

// A client may read it in pieces, while the numbers go on changing; but not over several
// connections, which would each give a piece of another text.
static void expect_one_document_a_connection(struct shadow *disk, const char *name)
{
    struct nbd_handle *nbd = server_connect(name);
    char before[64 * KiB] = "", after[64 * KiB] = "";
    int64_t size = NBD_OK(nbd_get_size(nbd));

    EXPECT(nbd_can_multi_conn(nbd) == 0);
    EXPECT(size < (int64_t)sizeof before);
    NBD_OK(nbd_pread(nbd, before, size, 0, 0));
    shadow_write(disk, 0, disk->size, CONTENT_RANDOM, 0);
    for (int64_t i = 0; i < size; i++)
        NBD_OK(nbd_pread(nbd, after + i, 1, i, 0));
    EXPECT(strcmp(before, after) == 0);
    EXPECT(stats_now("orig_data_size") == disk->size);
    shadow_trim(disk, 0, disk->size, 0);
    server_disconnect(nbd);
}

static void expect_read_only(const char *name)
{
    struct nbd_handle *nbd = server_connect(name);

    EXPECT(nbd_is_read_only(nbd) == 1);
    NBD_OK(nbd_set_strict_mode(nbd, 0));
    NBD_REFUSED(nbd_pwrite(nbd, "x", 1, 0, 0), EPERM);
    NBD_REFUSED(nbd_zero(nbd, 1, 0, 0), EPERM);
    NBD_REFUSED(nbd_trim(nbd, 1, 0, 0), EPERM);
    free(server_take_messages()); // one for each of them
    server_disconnect(nbd);
}

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec time;

    SYSTEM_OK(clock_gettime(clock, &time));
    return time.tv_sec * UINT64_C(1000000000) + time.tv_nsec;
}

// Until the second is over; returns how many it read.
static void *read_in_a_loop(void *until_ns)
{
    uintptr_t nr = 0;

    while (clock_ns(CLOCK_MONOTONIC) < *(uint64_t *)until_ns) {
        server_disconnect(server_connect(STATS_EXPORT));
        nr++;
    }
    return (void *)nr;
}

// Each document is a walk of all that is stored, but clients who read in a loop do not burn a core.
static void expect_bounded_cost(void)
{
    static uint8_t same[4 * MiB];
    uint64_t start_ns, until_ns, server_ns, nr = 0;
    pthread_t threads[4];
    struct nbd_handle *nbd;
    clockid_t server_clock;
    void *nr_read;

    server_start("size=4G", STATS_PARAMETER);
    nbd = server_connect("");
    memset(same, 'x', sizeof same);
    for (uint64_t offset = 0; offset < 4 * GiB; offset += sizeof same)
        NBD_OK(nbd_pwrite(nbd, same, sizeof same, offset, 0));
    EXPECT(clock_getcpuclockid(server_process(), &server_clock) == 0);
    server_ns = clock_ns(server_clock);
    start_ns = clock_ns(CLOCK_MONOTONIC);
    until_ns = start_ns + UINT64_C(2000000000);
    for (size_t i = 0; i < 4; i++)
        EXPECT(pthread_create(&threads[i], NULL, read_in_a_loop, &until_ns) == 0);
    for (size_t i = 0; i < 4; i++) {
        EXPECT(pthread_join(threads[i], &nr_read) == 0);
        nr += (uintptr_t)nr_read;
    }
    server_ns = clock_ns(server_clock) - server_ns;
    start_ns = clock_ns(CLOCK_MONOTONIC) - start_ns;
    printf("%d documents in %.1f s, for %.0f ms of the server's CPU\n", (int)nr, start_ns / 1e9,
           server_ns / 1e6);
    EXPECT(nr > 0);
    EXPECT(server_is_instrumented() || server_ns < start_ns / 3);
    server_disconnect(nbd);
    server_stop();
}

// Without stats-export= it is a name as any other.
static void expect_no_special_name(void)
{
    struct shadow disk;

    server_start("export=" STATS_EXPORT ":1M");
    shadow_init(&disk, server_connect(STATS_EXPORT));
    EXPECT(nbd_get_size(disk.nbd) == (int64_t)disk.size);
    shadow_write(&disk, 0, disk.size, CONTENT_MIXED, 0);
    shadow_compare_all(&disk);
    server_disconnect(disk.nbd);
    shadow_fini(&disk);
    server_stop();
}

int main(void)
{
    struct shadow disk;

    random_start();
    server_start("size=4M", STATS_PARAMETER);
    shadow_init(&disk, server_connect(""));
    expect_all_names();
    expect_zeros();
    expect_exact_numbers(&disk);
    expect_one_document_a_connection(&disk, STATS_EXPORT);
    expect_one_document_a_connection(&disk, STATS_EXPORT ".prom");
    expect_read_only(STATS_EXPORT);
    expect_read_only(STATS_EXPORT ".prom");
    shadow_compare_all(&disk);
    server_disconnect(disk.nbd);
    shadow_fini(&disk);
    server_stop();

    expect_no_special_name();
    expect_bounded_cost();
}
