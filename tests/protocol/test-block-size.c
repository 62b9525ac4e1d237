// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// The server prefers whole pages but accepts single bytes, and requests of many megabytes.

#include "expect.h"
#include "server.h"
#include "shadow.h"

#define BIG_REQUEST_BYTES (32 * MiB)

int main(void)
{
    struct shadow disk;
    uint8_t *big, *read;

    random_start();
    server_start("size=33M");
    shadow_init(&disk, server_connect(""));
    EXPECT(nbd_get_block_size(disk.nbd, LIBNBD_SIZE_MINIMUM) == 1);
    EXPECT(nbd_get_block_size(disk.nbd, LIBNBD_SIZE_PREFERRED) == (int64_t)PAGE_BYTES);
    EXPECT(nbd_get_block_size(disk.nbd, LIBNBD_SIZE_MAXIMUM) >= (int64_t)BIG_REQUEST_BYTES);

    big = disk.bytes + 12345;
    content_fill(big, BIG_REQUEST_BYTES, CONTENT_MIXED);
    NBD_OK(nbd_pwrite(disk.nbd, big, BIG_REQUEST_BYTES, 12345, 0));
    shadow_write(&disk, 54321, 1, CONTENT_RANDOM, 0);
    shadow_compare(&disk, 54321, 1);
    shadow_compare_all(&disk);

    read = malloc(BIG_REQUEST_BYTES);
    EXPECT(read);
    NBD_OK(nbd_pread(disk.nbd, read, BIG_REQUEST_BYTES, 12345, 0));
    EXPECT(memcmp(read, big, BIG_REQUEST_BYTES) == 0);
    free(read);

    server_disconnect(disk.nbd);
    shadow_fini(&disk);
    server_stop();
}
