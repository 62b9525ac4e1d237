// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Block status costs what its answer is worth: mapping a disk takes CPU in proportion to its
// extents, whether a client asks for one extent at a time, as QEMU does, or for all; and none for
// the part of the disk that it did not ask for.

#include <time.h>

#include "content.h"
#include "expect.h"
#include "server.h"

#define FEW_PAGES UINT64_C(3000)
#define MANY_PAGES (4 * FEW_PAGES)
#define MAX_REQUEST_BYTES (4 * GiB - PAGE_BYTES)
#define NR_REQUESTS 500

static uint64_t server_cpu_ns(void)
{
    struct timespec time;
    clockid_t clock;

    EXPECT(clock_getcpuclockid(server_process(), &clock) == 0);
    SYSTEM_OK(clock_gettime(clock, &time));
    return time.tv_sec * UINT64_C(1000000000) + time.tv_nsec;
}

struct map {
    uint64_t next;
    uint64_t nr_extents;
};

static int on_extents(void *user_data, const char *context, uint64_t offset, uint32_t *entries,
                      size_t nr_entries, int *error)
{
    struct map *map = user_data;

    (void)context;
    (void)error;
    EXPECT(offset == map->next && nr_entries > 0);
    for (size_t i = 0; i < nr_entries; i += 2)
        map->next += entries[i];
    map->nr_extents += nr_entries / 2;
    return 0;
}

static uint64_t ask(struct nbd_handle *nbd, struct map *map, uint64_t bytes, uint32_t flags)
{
    uint64_t before = server_cpu_ns();

    NBD_OK(nbd_block_status(nbd, bytes < MAX_REQUEST_BYTES ? bytes : MAX_REQUEST_BYTES, map->next,
                            (nbd_extent_callback){on_extents, map, NULL}, flags));
    return server_cpu_ns() - before;
}

// The CPU time for all extents, asked for as QEMU does: of all that is left.
static uint64_t map_cpu_ns(struct nbd_handle *nbd, uint32_t flags, uint64_t nr_expected)
{
    uint64_t size = nbd_get_size(nbd), ns = 0;
    struct map map = {0};

    while (map.next < size)
        ns += ask(nbd, &map, size - map.next, flags);
    EXPECT(map.nr_extents >= nr_expected && map.nr_extents <= nr_expected + 2);
    return ns;
}

static void store_alternate_pages(struct nbd_handle *nbd, uint64_t first, uint64_t end)
{
    uint8_t page[PAGE_BYTES];

    content_fill(page, sizeof page, CONTENT_SAME);
    for (uint64_t i = first; i < end; i++)
        NBD_OK(nbd_pwrite(nbd, page, sizeof page, 2 * i * PAGE_BYTES, 0));
}

static void check_alternate_pages(uint32_t flags, const char *what)
{
    uint64_t few_ns, many_ns;
    struct nbd_handle *nbd;

    server_start("size=2G");
    nbd = server_connect("");
    store_alternate_pages(nbd, 0, FEW_PAGES);
    few_ns = map_cpu_ns(nbd, flags, 2 * FEW_PAGES);
    store_alternate_pages(nbd, FEW_PAGES, MANY_PAGES);
    many_ns = map_cpu_ns(nbd, flags, 2 * MANY_PAGES);
    printf("%s: %.1f ms of CPU for %d extents, %.1f for %d\n", what, few_ns / 1e6,
           (int)(2 * FEW_PAGES), many_ns / 1e6, (int)(2 * MANY_PAGES));
    // Under a millisecond it is all noise.
    if (many_ns > 8 * few_ns && many_ns > 20000000)
        FAIL("%s: four times the extents take %.1f times the CPU", what, (double)many_ns / few_ns);
    server_disconnect(nbd);
    server_stop();
}

// The start of a huge empty disk, where most of it lies behind what is asked for, and its end.
static void check_huge_disk(void)
{
    uint64_t size, start_ns = 0, end_ns = 0;
    struct nbd_handle *nbd;
    struct map map;

    server_start("size=1P");
    nbd = server_connect("");
    size = nbd_get_size(nbd);
    for (int i = 0; i < NR_REQUESTS; i++) {
        map = (struct map){.next = i * MAX_REQUEST_BYTES};
        start_ns += ask(nbd, &map, MAX_REQUEST_BYTES, 0);
        map = (struct map){.next = size - MAX_REQUEST_BYTES};
        end_ns += ask(nbd, &map, MAX_REQUEST_BYTES, 0);
    }
    printf("empty disk of 1P: %.1f us of CPU a request at its start, %.1f at its end\n",
           start_ns / 1e3 / NR_REQUESTS, end_ns / 1e3 / NR_REQUESTS);
    if (start_ns > 4 * end_ns)
        FAIL("a request at the start of an empty disk takes %.1f times one at its end",
             (double)start_ns / end_ns);
    server_disconnect(nbd);
    server_stop();
}

int main(void)
{
    random_start();
    check_alternate_pages(LIBNBD_CMD_FLAG_REQ_ONE, "one by one");
    check_alternate_pages(0, "all at once");
    check_huge_disk();
}
