// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Trim and zero from and to every place around the boundaries of pages and of 2 MiB, on data.
// From then on exactly that range reads as zeros, and every page that became zero is a hole.

#include "expect.h"
#include "server.h"
#include "shadow.h"

#define ARRAY_SIZE(array) (sizeof(array) / sizeof *(array))
#define DISK_BYTES (6 * MiB)
#define FAST LIBNBD_CMD_FLAG_FAST_ZERO
#define NO_HOLE LIBNBD_CMD_FLAG_NO_HOLE

// 2 MiB to 4 MiB is the range that is freed as a whole.
static const uint64_t boundaries[] = {PAGE_BYTES, 2 * MiB, 2 * MiB + PAGE_BYTES, 4 * MiB};
static const int distances[] = {-1, 0, 1, 512};

#define NR_PLACES (ARRAY_SIZE(boundaries) * ARRAY_SIZE(distances))

static const struct operation {
    void (*run)(struct shadow *, uint64_t offset, uint64_t length, uint32_t flags);
    uint32_t flags;
} operations[] = {
    {shadow_trim, 0},
    {shadow_zero, 0},
    {shadow_zero, FAST},
    {shadow_zero, NO_HOLE},
    {shadow_zero, NO_HOLE | FAST},
};

static uint64_t place(size_t i)
{
    return boundaries[i / ARRAY_SIZE(distances)] + distances[i % ARRAY_SIZE(distances)];
}

// The data is changed and put back through the shadow, so the disk is full of data before
// each operation without writing all of it again.
static void try(struct shadow *disk, const struct operation *operation, uint64_t start,
                uint64_t end)
{
    uint64_t length = end - start;
    uint64_t compared_start = start - (start < 2 * PAGE_BYTES ? start : 2 * PAGE_BYTES);
    uint64_t compared_length = end + 2 * PAGE_BYTES - compared_start;
    static uint8_t data[DISK_BYTES];

    memcpy(data, disk->bytes + start, length);

    operation->run(disk, start, length, operation->flags);
    shadow_compare(disk, compared_start, compared_length);
    shadow_compare_extents(disk, compared_start, compared_length);

    memcpy(disk->bytes + start, data, length);
    shadow_put(disk, start, length, 0);
}

int main(void)
{
    struct shadow disk;

    random_start();
    server_start("size=6M");
    shadow_init(&disk, server_connect(""));
    EXPECT(disk.size == DISK_BYTES);
    shadow_write(&disk, 0, disk.size, CONTENT_TEXT, 0);

    for (size_t i = 0; i < ARRAY_SIZE(operations); i++)
        for (size_t start = 0; start < NR_PLACES; start++)
            for (size_t end = 0; end < NR_PLACES; end++)
                if (place(start) < place(end))
                    try(&disk, &operations[i], place(start), place(end));
    shadow_compare_all(&disk);

    server_disconnect(disk.nbd);
    shadow_fini(&disk);
    server_stop();
}
