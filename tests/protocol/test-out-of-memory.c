// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// limit=SIZE bounds the memory for all that is stored. A write that would pass it gets ENOSPC,
// alone: what was written before stays, also under a write that was refused.

#include <inttypes.h>
#include <unistd.h>

#include "expect.h"
#include "server.h"
#include "shadow.h"
#include "stats.h"

#define LIMIT_BYTES (16 * MiB)
#define TEXT_PAGES 64
#define FREED_BYTES (4 * MiB)
#define NR_ROUNDS 5

// True when the page was written; else the disk is out of memory, and the page as before.
static bool try_write_page(struct shadow *disk, uint64_t offset)
{
    uint8_t page[PAGE_BYTES];

    content_fill(page, sizeof page, CONTENT_RANDOM);
    if (nbd_pwrite(disk->nbd, page, sizeof page, offset, 0) == 0) {
        memcpy(disk->bytes + offset, page, sizeof page);
        return true;
    }
    if (nbd_get_errno() != ENOSPC)
        FAIL("a write without memory: %s, expected ENOSPC", nbd_get_error());
    return false;
}

// Writes pages that do not compress until one is refused. Returns the bytes written.
static uint64_t fill_up(struct shadow *disk, uint64_t offset)
{
    uint64_t start = offset;

    while (try_write_page(disk, offset)) {
        offset += PAGE_BYTES;
        EXPECT(offset < disk->size);
    }
    return offset - start;
}

// Pages that were small and shall become big.
static void overwrite_when_full(struct shadow *disk)
{
    int nr_refused = 0;

    for (uint64_t page = 0; page < TEXT_PAGES; page++)
        nr_refused += !try_write_page(disk, page * PAGE_BYTES);
    EXPECT(nr_refused > 0);
    shadow_compare_all(disk);
}

// Thousands of refused writes shall not flood the log.
static void check_that_not_each_is_told(struct shadow *disk)
{
    char *messages;

    free(server_take_messages());
    overwrite_when_full(disk);
    sleep(1);
    overwrite_when_full(disk);
    messages = server_take_messages();
    if (!strstr(messages, "No space left on device (") ||
        !strstr(messages, " more were not logged)"))
        FAIL("no line says that others were left out:\n%s", messages);
    free(messages);
}

int main(void)
{
    uint64_t filled;
    struct shadow disk;

    random_start();
    server_start("size=64M", "limit=16M", STATS_PARAMETER);
    shadow_init(&disk, server_connect(""));
    EXPECT(stats_now("mem_limit") == LIMIT_BYTES);

    shadow_write(&disk, 0, TEXT_PAGES * PAGE_BYTES, CONTENT_TEXT, 0);
    filled = fill_up(&disk, TEXT_PAGES * PAGE_BYTES);
    printf("%" PRIu64 " KiB stored under a limit of %" PRIu64 " KiB\n", filled / KiB,
           LIMIT_BYTES / KiB);
    EXPECT(filled > LIMIT_BYTES / 2 && filled <= LIMIT_BYTES);
    EXPECT(stats_now("mem_used_max") <= LIMIT_BYTES);
    shadow_compare_all(&disk);
    check_that_not_each_is_told(&disk);

    // Nothing of this needs memory.
    shadow_write(&disk, 48 * MiB, 1 * MiB, CONTENT_ZERO, 0);
    shadow_write(&disk, 1 * MiB, 1 * MiB, CONTENT_SAME, 0);
    shadow_compare_all(&disk);
    fill_up(&disk, 1 * MiB);

    // What was freed can be used at once: a writer waits for it before it is refused.
    for (int i = 0; i < NR_ROUNDS; i++) {
        shadow_trim(&disk, 4 * MiB, FREED_BYTES, 0);
        EXPECT(fill_up(&disk, 4 * MiB) > FREED_BYTES / 2);
    }
    EXPECT(stats_now("mem_used_max") <= LIMIT_BYTES);
    shadow_compare_all(&disk);

    // For a write that it refuses, the server may say so.
    free(server_take_messages());
    server_disconnect(disk.nbd);
    shadow_fini(&disk);
    server_stop();
}
