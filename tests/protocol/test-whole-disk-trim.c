// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// mkswap, and swapon --discard, trim the whole disk in one request. From the reply on
// nothing is left of what was there, and its memory goes back to the system.

#include <unistd.h>

#include "expect.h"
#include "server.h"
#include "shadow.h"

#define DISK_BYTES (1 * GiB)
#define DATA_BYTES (256 * MiB)
#define RUN_BYTES (4 * MiB)
#define RETURN_SECONDS 10

// In runs all over the disk that begin somewhere in a page.
static void write_data(struct shadow *disk)
{
    uint64_t distance = DISK_BYTES / (DATA_BYTES / RUN_BYTES);

    for (uint64_t offset = 0; offset < DISK_BYTES; offset += distance)
        shadow_write(disk, offset + random_below(distance - RUN_BYTES), RUN_BYTES,
                     random_below(2) ? CONTENT_TEXT : CONTENT_RANDOM, 0);
}

static void await_memory_back(uint64_t resident_with_data)
{
    if (server_is_instrumented())
        return;
    for (int i = 0; server_resident_bytes() > resident_with_data / 4; i++) {
        EXPECT(i < 100 * RETURN_SECONDS);
        usleep(10000);
    }
}

int main(void)
{
    uint64_t resident;
    struct shadow disk;

    random_start();
    server_start("size=1G");
    shadow_init(&disk, server_connect(""));
    EXPECT(disk.size == DISK_BYTES);
    write_data(&disk);
    resident = server_resident_bytes();

    // It must be as a fresh one then, which also spares the test to clear a copy of that size.
    NBD_OK(nbd_trim(disk.nbd, disk.size, 0, 0));
    shadow_fini(&disk);
    shadow_init(&disk, disk.nbd);
    EXPECT(shadow_compare_extents(&disk, 0, disk.size) == 1);
    shadow_compare(&disk, 0, disk.size);
    await_memory_back(resident);

    // And all can begin again.
    shadow_write(&disk, 123 * MiB + 1, RUN_BYTES, CONTENT_MIXED, 0);
    shadow_compare(&disk, 120 * MiB, 10 * MiB);

    server_disconnect(disk.nbd);
    shadow_fini(&disk);
    server_stop();
}
