// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Disks from one byte to 16 TiB have the size that was asked for, to the byte, and can be
// used from their first byte to their last. An empty one costs next to nothing, however big.

#include <inttypes.h>
#include <time.h>

#include "expect.h"
#include "server.h"
#include "shadow.h"

#define HUGE_DISK_RESIDENT_BYTES (16 * MiB)
#define HUGE_DISK_START_SECONDS 5

static void try_size(const char *parameter, uint64_t size)
{
    struct shadow disk;

    server_start(parameter);
    shadow_init(&disk, server_connect(""));
    EXPECT(disk.size == size);
    shadow_compare_all(&disk);
    shadow_write(&disk, 0, size, CONTENT_MIXED, 0);
    shadow_compare_all(&disk);
    shadow_trim(&disk, 0, size, 0);
    shadow_compare_all(&disk);
    server_disconnect(disk.nbd);
    shadow_fini(&disk);
    server_stop();
}

// As a shadow of the whole is out of the question: one page at each of some places.
static void use_page(struct nbd_handle *nbd, uint64_t offset)
{
    static const uint8_t zeros[PAGE_BYTES];
    uint8_t written[PAGE_BYTES], read[PAGE_BYTES];

    content_fill(written, sizeof written, CONTENT_TEXT);
    NBD_OK(nbd_pread(nbd, read, sizeof read, offset, 0));
    EXPECT(memcmp(read, zeros, sizeof read) == 0);
    NBD_OK(nbd_pwrite(nbd, written, sizeof written, offset, 0));
    NBD_OK(nbd_pread(nbd, read, sizeof read, offset, 0));
    EXPECT(memcmp(read, written, sizeof read) == 0);
    NBD_OK(nbd_trim(nbd, sizeof written, offset, 0));
    NBD_OK(nbd_pread(nbd, read, sizeof read, offset, 0));
    EXPECT(memcmp(read, zeros, sizeof read) == 0);
}

static void expect_small_server(const char *when)
{
    uint64_t resident = server_resident_bytes();

    printf("%s: %" PRIu64 " KiB resident\n", when, resident / KiB);
    if (!server_is_instrumented())
        EXPECT(resident < HUGE_DISK_RESIDENT_BYTES);
}

static void try_huge_disk(void)
{
    time_t start = time(NULL);
    struct nbd_handle *nbd;

    server_start("size=16T");
    nbd = server_connect("");
    if (!server_is_instrumented())
        EXPECT(time(NULL) - start <= HUGE_DISK_START_SECONDS);
    EXPECT(nbd_get_size(nbd) == 16 * TiB);
    expect_small_server("16T, empty");

    use_page(nbd, 0);
    use_page(nbd, 8 * TiB - 1);
    use_page(nbd, 16 * TiB - PAGE_BYTES);
    for (uint64_t offset = 3 * GiB; offset < 16 * TiB; offset += 16 * TiB / 64)
        use_page(nbd, offset);
    expect_small_server("16T, used at some places");

    server_disconnect(nbd);
    server_stop();
}

int main(void)
{
    random_start();
    try_size("size=1", 1);
    try_size("size=511", 511);
    try_size("size=4095", 4095);
    try_size("size=4096", 4096);
    try_size("size=4097", 4097);
    try_size("size=2097151", 2 * MiB - 1);
    try_size("size=2M", 2 * MiB);
    try_size("size=2097153", 2 * MiB + 1);
    try_size("3M", 3 * MiB); // "size=" may be left out
    try_huge_disk();
}
