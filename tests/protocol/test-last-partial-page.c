// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// A disk whose size is no multiple of 4096 ends within a page. All of its bytes can be used,
// and there are none after them.

#include "expect.h"
#include "server.h"
#include "shadow.h"

#define ARRAY_SIZE(array) (sizeof(array) / sizeof *(array))

static void use_the_end(struct shadow *disk)
{
    static const uint64_t lengths[] = {1, 2, 511, 512, 513, 4095, 4096, 4097};

    for (size_t i = 0; i < ARRAY_SIZE(lengths) && lengths[i] <= disk->size; i++) {
        uint64_t offset = disk->size - lengths[i];

        for (int content = 0; content < NR_CONTENTS; content++) {
            shadow_write(disk, offset, lengths[i], content, 0);
            shadow_compare_all(disk);
        }
        shadow_trim(disk, offset, lengths[i], 0);
        shadow_compare_all(disk);
        shadow_write(disk, 0, disk->size, CONTENT_TEXT, 0);
        shadow_zero(disk, offset, lengths[i], 0);
        shadow_compare_all(disk);
        shadow_write(disk, 0, disk->size, CONTENT_SAME, 0);
        shadow_zero(disk, offset, lengths[i], LIBNBD_CMD_FLAG_NO_HOLE);
        shadow_compare_all(disk);
    }
}

// libnbd would refuse these by itself, but it is the server that must.
static void reach_beyond_the_end(struct shadow *disk)
{
    uint64_t last = disk->size - 1;
    uint8_t bytes[2] = {1, 2};

    shadow_write(disk, 0, disk->size, CONTENT_RANDOM, 0);
    NBD_OK(nbd_set_strict_mode(disk->nbd, 0));
    NBD_REFUSED(nbd_pread(disk->nbd, bytes, 2, last, 0), EINVAL);
    NBD_REFUSED(nbd_pwrite(disk->nbd, bytes, 2, last, 0), ENOSPC);
    NBD_REFUSED(nbd_zero(disk->nbd, 2, last, 0), ENOSPC);
    NBD_REFUSED(nbd_trim(disk->nbd, 2, last, 0), EINVAL);
    free(server_take_messages()); // one for each of them
    shadow_compare_all(disk);
}

static void try_size(const char *size_parameter)
{
    struct shadow disk;

    server_start(size_parameter);
    shadow_init(&disk, server_connect(""));
    use_the_end(&disk);
    reach_beyond_the_end(&disk);
    shadow_trim(&disk, 0, disk.size, 0);
    EXPECT(shadow_compare_extents(&disk, 0, disk.size) == 1);
    server_disconnect(disk.nbd);
    shadow_fini(&disk);
    server_stop();
}

int main(void)
{
    random_start();
    try_size("size=1");
    try_size("size=511");
    try_size("size=4095");
    try_size("size=4097");
    try_size("size=8191");
    try_size("size=2097151");
    try_size("size=2097153");
    try_size("size=2101247");
}
