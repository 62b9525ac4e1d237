// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// A fresh disk reads as zeros, is one hole, and reading it stores nothing.

#include "expect.h"
#include "server.h"
#include "shadow.h"

int main(void)
{
    struct shadow disk;

    // Block status comes first: a disk that nobody has touched has no table to walk yet.
    server_start("size=64M");
    shadow_init(&disk, server_connect(""));
    EXPECT(shadow_compare_extents(&disk, 0, disk.size) == 1);

    shadow_compare(&disk, 0, disk.size);
    shadow_compare(&disk, 2 * MiB - 1, 2 * PAGE_BYTES);
    shadow_compare(&disk, disk.size - 1, 1);
    EXPECT(shadow_compare_extents(&disk, 0, disk.size) == 1);

    // Freeing nothing is allowed, and allocates nothing either.
    shadow_trim(&disk, 1, disk.size - 2, 0);
    shadow_zero(&disk, 1, disk.size - 2, 0);
    shadow_zero(&disk, 1, disk.size - 2, LIBNBD_CMD_FLAG_NO_HOLE);
    shadow_compare(&disk, 0, disk.size);
    EXPECT(shadow_compare_extents(&disk, 0, disk.size) == 1);

    server_disconnect(disk.nbd);
    shadow_fini(&disk);
    server_stop();
}
