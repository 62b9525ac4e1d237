// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Block status: a hole exactly where nothing is stored, data everywhere else.

#include "expect.h"
#include "server.h"
#include "shadow.h"

#define NR_RANDOM_ROUNDS 200

// Neighbours of every kind, so that the ends of extents fall on all kinds of pages.
static void check_alternating_pages(struct shadow *disk)
{
    for (uint64_t page = 0; page < disk->size / PAGE_BYTES; page += 2)
        shadow_write(disk, page * PAGE_BYTES, PAGE_BYTES, page / 2 % NR_CONTENTS, 0);
    shadow_compare_extents(disk, 0, disk->size);
}

// All that is stored is one kind of extent, however it is stored.
static void check_one_extent(struct shadow *disk)
{
    shadow_write(disk, 0, disk->size, CONTENT_RANDOM, 0);
    for (int i = CONTENT_NEARLY_ZERO; i < NR_CONTENTS; i++)
        shadow_write(disk, i * PAGE_BYTES, PAGE_BYTES, i, 0);
    EXPECT(shadow_compare_extents(disk, 0, disk->size) == 1);
}

// Zeros are not stored, whichever way they come; a page of which a byte is left is.
static void check_ways_to_make_a_hole(struct shadow *disk)
{
    shadow_write(disk, 0, 16 * PAGE_BYTES, CONTENT_RANDOM, 0);
    shadow_write(disk, 1 * PAGE_BYTES, PAGE_BYTES, CONTENT_ZERO, 0);
    shadow_trim(disk, 3 * PAGE_BYTES, PAGE_BYTES, 0);
    shadow_zero(disk, 5 * PAGE_BYTES, PAGE_BYTES, 0);
    shadow_zero(disk, 7 * PAGE_BYTES, PAGE_BYTES, LIBNBD_CMD_FLAG_NO_HOLE);
    shadow_trim(disk, 9 * PAGE_BYTES, 100, 0);
    shadow_trim(disk, 9 * PAGE_BYTES + 100, PAGE_BYTES - 100, 0);
    disk->bytes[11 * PAGE_BYTES + 100] |= 1;
    shadow_put(disk, 11 * PAGE_BYTES, PAGE_BYTES, 0);
    shadow_zero(disk, 11 * PAGE_BYTES, 100, 0);
    shadow_zero(disk, 11 * PAGE_BYTES + 101, PAGE_BYTES - 101, 0);
    EXPECT(shadow_compare_extents(disk, 0, 16 * PAGE_BYTES) == 11);
}

static void check_random_places(struct shadow *disk)
{
    for (int i = 0; i < NR_RANDOM_ROUNDS; i++) {
        uint64_t length = 1 + random_below(4 * MiB);
        uint64_t offset = random_below(disk->size - length);

        if (random_below(2))
            shadow_trim(disk, offset, length, 0);
        else
            shadow_write(disk, offset, length / 64 + 1, CONTENT_MIXED, 0);
        offset = random_below(disk->size);
        shadow_compare_extents(disk, offset, 1 + random_below(disk->size - offset));
    }
    shadow_compare_all(disk);
}

int main(void)
{
    struct shadow disk;

    random_start();
    server_start("size=9M");
    shadow_init(&disk, server_connect(""));
    EXPECT(shadow_compare_extents(&disk, 0, disk.size) == 1);

    check_alternating_pages(&disk);
    check_one_extent(&disk);
    check_ways_to_make_a_hole(&disk);
    check_random_places(&disk);

    shadow_trim(&disk, 0, disk.size, 0);
    EXPECT(shadow_compare_extents(&disk, 0, disk.size) == 1);

    server_disconnect(disk.nbd);
    shadow_fini(&disk);
    server_stop();
}
