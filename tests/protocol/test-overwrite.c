// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Writing over a page gives the new content, whatever the old one was, and frees the old one.

#include "expect.h"
#include "server.h"
#include "shadow.h"
#include "stats.h"

#define NR_PAGES 8 // of each kind over each other
#define NR_ROUNDS 4
#define ROUND_BYTES (8 * MiB)

static void write_each_kind_over_each_other(struct shadow *disk)
{
    uint64_t offset = 0;

    for (int old = 0; old < NR_CONTENTS; old++)
        for (int new = 0; new < NR_CONTENTS; new ++) {
            shadow_write(disk, offset, NR_PAGES * PAGE_BYTES, old, 0);
            shadow_write(disk, offset, NR_PAGES * PAGE_BYTES, new, 0);
            shadow_compare(disk, offset, NR_PAGES * PAGE_BYTES);
            offset += NR_PAGES * PAGE_BYTES;
        }
    shadow_compare_all(disk);
}

// Without a trim, being overwritten is the only way for what was stored to be freed. Random
// pages do not compress, so what the disk should hold is known exactly.
static void overwrite_without_leak(struct shadow *disk)
{
    for (int i = 0; i < NR_ROUNDS; i++) {
        shadow_write(disk, 0, ROUND_BYTES, CONTENT_RANDOM, 0);
        for (uint64_t end = PAGE_BYTES; end < ROUND_BYTES; end += PAGE_BYTES)
            shadow_write(disk, end - 100, 200, CONTENT_RANDOM, 0);
    }
    shadow_compare_all(disk);
    stats_await_at_most("pending_free_bytes", 0);
    stats_await_at_most("pending_free_objects", 0);
    stats_await_at_most("mem_used_total", ROUND_BYTES + ROUND_BYTES / 2);
    EXPECT(stats_now("orig_data_size") == ROUND_BYTES);
    EXPECT(stats_now("compr_data_size") == ROUND_BYTES / PAGE_BYTES * RAW_BYTES);
}

int main(void)
{
    struct shadow disk;

    random_start();
    server_start("size=16M", STATS_PARAMETER);
    shadow_init(&disk, server_connect(""));

    write_each_kind_over_each_other(&disk);
    shadow_trim(&disk, 0, disk.size, 0);
    overwrite_without_leak(&disk);

    server_disconnect(disk.nbd);
    shadow_fini(&disk);
    server_stop();
}
