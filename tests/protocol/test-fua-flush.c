// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// FUA and flush are offered and accepted. In a RAM disk they have nothing to do, so all
// there is to see is that the data is right.

#include "expect.h"
#include "server.h"
#include "shadow.h"

#define FUA LIBNBD_CMD_FLAG_FUA

int main(void)
{
    struct shadow disk;

    random_start();
    server_start("size=8M");
    shadow_init(&disk, server_connect(""));
    EXPECT(nbd_can_fua(disk.nbd) == 1);
    EXPECT(nbd_can_flush(disk.nbd) == 1);

    NBD_OK(nbd_flush(disk.nbd, 0));
    shadow_write(&disk, 0, disk.size, CONTENT_MIXED, FUA);
    shadow_write(&disk, 12345, 6789, CONTENT_MIXED, FUA);
    shadow_trim(&disk, 2 * MiB, 2 * MiB, FUA);
    shadow_trim(&disk, 1 * MiB - 1, PAGE_BYTES, FUA);
    shadow_zero(&disk, 4 * MiB, 2 * MiB, FUA);
    shadow_zero(&disk, 7 * MiB - 1, PAGE_BYTES, FUA | LIBNBD_CMD_FLAG_NO_HOLE);
    NBD_OK(nbd_flush(disk.nbd, 0));
    shadow_compare_all(&disk);

    server_disconnect(disk.nbd);
    shadow_fini(&disk);
    server_stop();
}
