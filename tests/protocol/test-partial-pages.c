// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Reads and writes that begin and end anywhere, not only where a page does.

#include "expect.h"
#include "server.h"
#include "shadow.h"

#define NR_RANDOM_REQUESTS 2000
#define ARRAY_SIZE(array) (sizeof(array) / sizeof *(array))

static const uint64_t boundaries[] = {PAGE_BYTES, 2 * MiB, 4 * MiB};
static const int64_t distances[] = {-4097, -4096, -4095, -513, -512, -1, 0, 1, 511, 512, 4095};
static const uint64_t lengths[] = {1, 2, 511, 512, 513, 4095, 4096, 4097, 8191, 8192, 8193};

// What surrounds a request is compared with it: it must not have changed.
static void compare_around(struct shadow *disk, uint64_t offset, uint64_t length)
{
    uint64_t start = offset < 2 * PAGE_BYTES ? 0 : offset - 2 * PAGE_BYTES;

    shadow_compare(disk, start, offset + length + 2 * PAGE_BYTES - start);
}

static void write_and_read(struct shadow *disk, uint64_t offset, uint64_t length)
{
    shadow_write(disk, offset, length, CONTENT_MIXED, 0);
    shadow_compare(disk, offset, length);
    compare_around(disk, offset, length);
}

static void write_and_read_around_boundaries(struct shadow *disk)
{
    for (size_t b = 0; b < ARRAY_SIZE(boundaries); b++)
        for (size_t d = 0; d < ARRAY_SIZE(distances); d++)
            for (size_t l = 0; l < ARRAY_SIZE(lengths); l++)
                if ((int64_t)boundaries[b] + distances[d] >= 0)
                    write_and_read(disk, boundaries[b] + distances[d], lengths[l]);
}

int main(void)
{
    struct shadow disk;

    random_start();
    server_start("size=6M");
    shadow_init(&disk, server_connect(""));

    // First into pages that hold nothing yet, then into data.
    write_and_read_around_boundaries(&disk);
    shadow_compare_all(&disk);
    shadow_write(&disk, 0, disk.size, CONTENT_MIXED, 0);
    write_and_read_around_boundaries(&disk);

    for (int i = 0; i < NR_RANDOM_REQUESTS; i++) {
        uint64_t length = 1 + random_below(random_below(4) ? 2 * PAGE_BYTES : 256 * KiB);

        write_and_read(&disk, random_below(disk.size - length - 2 * PAGE_BYTES), length);
    }
    shadow_compare_all(&disk);

    // A partial write can take away a page's last bytes that are not zero.
    shadow_write(&disk, 8 * PAGE_BYTES, PAGE_BYTES, CONTENT_RANDOM, 0);
    shadow_write(&disk, 8 * PAGE_BYTES, 1000, CONTENT_ZERO, 0);
    shadow_write(&disk, 8 * PAGE_BYTES + 1000, PAGE_BYTES - 1000, CONTENT_ZERO, 0);
    shadow_compare_all(&disk);

    server_disconnect(disk.nbd);
    shadow_fini(&disk);
    server_stop();
}
