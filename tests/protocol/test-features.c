// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// What the server offers to a client, and that a cache request changes nothing.

#include "expect.h"
#include "server.h"
#include "shadow.h"

int main(void)
{
    struct shadow disk;
    char *description;

    random_start();
    server_start("size=4M");
    shadow_init(&disk, server_connect(""));

    EXPECT(nbd_is_read_only(disk.nbd) == 0);
    EXPECT(nbd_is_rotational(disk.nbd) == 0);
    EXPECT(nbd_can_cache(disk.nbd) == 1);
    EXPECT(nbd_can_trim(disk.nbd) == 1);
    EXPECT(nbd_can_zero(disk.nbd) == 1);
    EXPECT(nbd_can_fast_zero(disk.nbd) == 1);
    EXPECT(nbd_can_flush(disk.nbd) == 1);
    EXPECT(nbd_can_fua(disk.nbd) == 1);
    EXPECT(nbd_can_multi_conn(disk.nbd) == 1);
    EXPECT(nbd_can_meta_context(disk.nbd, LIBNBD_CONTEXT_BASE_ALLOCATION) == 1);

    description = nbd_get_export_description(disk.nbd);
    EXPECT(description && *description);
    free(description);

    shadow_write(&disk, 1 * MiB, 1 * MiB, CONTENT_MIXED, 0);
    NBD_OK(nbd_cache(disk.nbd, disk.size, 0, 0));
    NBD_OK(nbd_cache(disk.nbd, 1, 12345, 0));
    shadow_compare_all(&disk);

    server_disconnect(disk.nbd);
    shadow_fini(&disk);
    server_stop();
}
