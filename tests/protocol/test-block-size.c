// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// The server prefers whole pages but accepts single bytes. The largest request that it advertises
// is the largest that it serves, of those that carry data: a trim of 4 GiB is one request.

#include "expect.h"
#include "server.h"
#include "shadow.h"
#include "stats.h"

#define BIG_REQUEST_BYTES (32 * MiB)

// By a client that holds every request against what was advertised.
static void check_largest(void)
{
    const uint64_t largest = 64 * MiB, longest_trim = 4 * GiB - PAGE_BYTES;
    uint8_t *buffer = calloc(1, largest + PAGE_BYTES);
    struct nbd_handle *nbd;
    char *document;

    server_start("size=5G", STATS_PARAMETER);
    nbd = server_connect("");
    EXPECT(nbd_get_block_size(nbd, LIBNBD_SIZE_MAXIMUM) == (int64_t)largest);
    NBD_OK(nbd_set_strict_mode(nbd, LIBNBD_STRICT_MASK));
    NBD_OK(nbd_pwrite(nbd, buffer, largest, PAGE_BYTES, 0));
    NBD_OK(nbd_pread(nbd, buffer, largest, PAGE_BYTES, 0));
    NBD_REFUSED(nbd_pwrite(nbd, buffer, largest + PAGE_BYTES, 0, 0), ERANGE);
    NBD_REFUSED(nbd_pread(nbd, buffer, largest + PAGE_BYTES, 0, 0), ERANGE);
    NBD_OK(nbd_trim(nbd, longest_trim, PAGE_BYTES, 0));
    NBD_OK(nbd_zero(nbd, longest_trim, PAGE_BYTES, 0));
    document = stats_read();
    EXPECT(stats_number(strstr(document, "\"trim\""), "requests") == 2);
    EXPECT(stats_number(strstr(document, "\"trim\""), "bytes") == 2 * longest_trim);
    free(document);
    server_disconnect(nbd);
    free(buffer);
    server_stop();
}

int main(void)
{
    struct shadow disk;
    uint8_t *big, *read;

    random_start();
    check_largest();
    server_start("size=33M");
    shadow_init(&disk, server_connect(""));
    EXPECT(nbd_get_block_size(disk.nbd, LIBNBD_SIZE_MINIMUM) == 1);
    EXPECT(nbd_get_block_size(disk.nbd, LIBNBD_SIZE_PREFERRED) == (int64_t)PAGE_BYTES);

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
