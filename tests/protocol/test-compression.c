// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Content of every kind comes back as it was, from each codec at each kind of level, and
// what compresses takes less room for it.

#include "expect.h"
#include "server.h"
#include "shadow.h"
#include "stats.h"

#define NR_ROUNDS 8

static void round_trip(struct shadow *disk, enum content content)
{
    shadow_write(disk, 0, disk->size, content, 0);
    shadow_compare_all(disk);
}

// A page that compresses badly just fits, or just does not, into what is not worth it.
static void round_trip_around_the_limit(struct shadow *disk)
{
    for (uint64_t page = 0; page < disk->size / PAGE_BYTES; page++) {
        uint8_t *bytes = disk->bytes + page * PAGE_BYTES;
        size_t text_length = page * PAGE_BYTES / (disk->size / PAGE_BYTES);

        content_fill(bytes, PAGE_BYTES, CONTENT_RANDOM);
        content_fill(bytes, text_length, CONTENT_TEXT);
    }
    shadow_put(disk, 0, disk->size, 0);
    shadow_compare_all(disk);
}

static void expect_half_size(struct shadow *disk)
{
    shadow_write(disk, 0, disk->size, CONTENT_TEXT, 0);
    stats_await_at_most("pending_free_objects", 0);
    EXPECT(stats_now("compr_data_size") < disk->size / 2);
}

static void try(const char *compression, const char *level)
{
    struct shadow disk;

    server_start("size=1M", STATS_PARAMETER, compression, level);
    shadow_init(&disk, server_connect(""));

    for (int content = 0; content < NR_CONTENTS; content++)
        round_trip(&disk, content);
    for (int i = 0; i < NR_ROUNDS; i++)
        round_trip(&disk, CONTENT_MIXED);
    round_trip_around_the_limit(&disk);
    expect_half_size(&disk);

    server_disconnect(disk.nbd);
    shadow_fini(&disk);
    server_stop();
}

int main(void)
{
    random_start();
    try(NULL, NULL);
    try("compression=lz4", NULL);
    try("compression=zstd", NULL);
    try("compression=zstd", "level=-5");
    try("compression=zstd", "level=1");
    try("level=3", "compression=zstd");
    try("compression=zstd", "level=12");
    try("compression=zstd", "level=22");
}
