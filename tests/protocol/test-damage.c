// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Bits that flip in the memory of a running server: EIO for the page that they hit, never wrong
// data, and nothing else is lost. Says how many it flipped.

#include <stdbool.h>
#include <unistd.h>

#include "expect.h"
#include "memory.h"
#include "server.h"
#include "shadow.h"
#include "stats.h"

#define KEY_BYTES 48 // too few for either codec to compress by themselves

static const uint64_t repeated_page = 5, raw_page = 9;

static void make_pages(struct shadow *disk, uint8_t *key)
{
    shadow_write(disk, 0, disk->size, CONTENT_TEXT, 0);
    shadow_write(disk, raw_page * PAGE_BYTES, PAGE_BYTES, CONTENT_RANDOM, 0);
    for (size_t i = 0; i < KEY_BYTES; i++)
        key[i] = (uint8_t)random_u64();
    for (size_t i = 0; i < PAGE_BYTES; i++)
        disk->bytes[repeated_page * PAGE_BYTES + i] = key[i % KEY_BYTES];
    NBD_OK(nbd_pwrite(disk->nbd, disk->bytes + repeated_page * PAGE_BYTES, PAGE_BYTES,
                      repeated_page * PAGE_BYTES, 0));
}

// Where it will stay: once the compactor has moved what it wants to.
static uint64_t find(const uint8_t *bytes)
{
    uint64_t where, nr_moved;

    do {
        nr_moved = stats_now("pages_compacted");
        sleep(1);
    } while (stats_now("pages_compacted") != nr_moved);
    if (memory_count_in_store(bytes, KEY_BYTES, &where) != 1)
        FAIL("what is stored is not found in the store: this test sees nothing");
    return where;
}

static void expect_eio(struct shadow *disk, uint64_t page)
{
    uint8_t buffer[3 * PAGE_BYTES];

    NBD_REFUSED(nbd_pread(disk->nbd, buffer, PAGE_BYTES, page * PAGE_BYTES, 0), EIO);
    shadow_compare(disk, (page - 1) * PAGE_BYTES, PAGE_BYTES);
    shadow_compare(disk, (page + 1) * PAGE_BYTES, PAGE_BYTES);
}

static unsigned flip_each_bit(struct shadow *disk, uint64_t page, uint64_t where)
{
    for (unsigned bit = 0; bit < KEY_BYTES * 8; bit++) {
        memory_flip_bit(where + bit / 8, bit % 8);
        expect_eio(disk, page);
        memory_flip_bit(where + bit / 8, bit % 8);
        shadow_compare(disk, page * PAGE_BYTES, PAGE_BYTES);
    }
    return KEY_BYTES * 8;
}

static void damage_and_heal(struct shadow *disk, uint64_t page, uint64_t where)
{
    uint8_t buffer[3 * PAGE_BYTES];

    memory_flip_bit(where, 3);
    NBD_REFUSED(nbd_pread(disk->nbd, buffer, sizeof buffer, (page - 1) * PAGE_BYTES, 0), EIO);
    NBD_REFUSED(nbd_pwrite(disk->nbd, "x", 1, page * PAGE_BYTES + 7, 0), EIO);
    expect_eio(disk, page);
    shadow_write(disk, page * PAGE_BYTES, PAGE_BYTES, CONTENT_MIXED, 0);
    shadow_compare_all(disk);
}

static void damage_and_trim(struct shadow *disk, uint64_t page, uint64_t where)
{
    memory_flip_bit(where, 3);
    expect_eio(disk, page);
    shadow_trim(disk, page * PAGE_BYTES, PAGE_BYTES, 0);
    shadow_compare_all(disk);
}

static void expect_damage_is_noticed(const char *compression)
{
    struct shadow disk;
    uint8_t key[KEY_BYTES];
    unsigned nr_flips;

    server_start("size=1M", "limit=64M", compression, STATS_PARAMETER);
    shadow_init(&disk, server_connect(""));
    make_pages(&disk, key);
    EXPECT(stats_now("huge_pages") == 1);
    EXPECT(stats_now("corrupt_pages") == 0);

    nr_flips = flip_each_bit(&disk, repeated_page, find(key));
    nr_flips += flip_each_bit(&disk, raw_page, find(disk.bytes + raw_page * PAGE_BYTES + 2000));
    printf("%s: %u bits flipped\n", compression, nr_flips);
    EXPECT(stats_now("corrupt_pages") == nr_flips);

    damage_and_heal(&disk, raw_page, find(disk.bytes + raw_page * PAGE_BYTES));
    damage_and_trim(&disk, repeated_page, find(key));
    EXPECT(stats_now("corrupt_pages") == nr_flips + 4);

    free(server_take_messages()); // a line for each request that failed
    server_disconnect(disk.nbd);
    shadow_fini(&disk);
    server_stop();
}

int main(void)
{
    random_start();
    expect_damage_is_noticed("compression=lz4");
    expect_damage_is_noticed("compression=zstd");
}
