// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// No export ever reads a byte that it did not write, though both use the same memory one after the
// other: every byte of the second one is compared, and the first one's key is looked for in it.

#include "expect.h"
#include "server.h"
#include "shadow.h"
#include "stats.h"

#define NR_ROUNDS 3
#define KEY_BYTES 16

static uint8_t key[KEY_BYTES];

// Pages of every kind, the key in each.
static void fill_with_key(struct shadow *disk)
{
    content_fill(disk->bytes, disk->size, CONTENT_MIXED);
    for (uint64_t at = 0; at < disk->size; at += 512)
        memcpy(disk->bytes + at + random_below(512 - KEY_BYTES), key, KEY_BYTES);
    for (uint64_t at = 0; at < disk->size; at += MiB)
        NBD_OK(nbd_pwrite(disk->nbd, disk->bytes + at, MiB, at, 0));
    shadow_compare_all(disk);
}

// Whole pages, some overwritten; parts of pages, of every length, over holes and over data; the
// rest stays a hole.
static void write_all_sizes(struct shadow *disk)
{
    uint64_t offset = 0;

    for (size_t bytes = 1; bytes <= PAGE_BYTES; bytes += 1 + random_below(13)) {
        enum content content = (enum content)random_below(NR_CONTENTS);

        shadow_write(disk, offset + random_below(PAGE_BYTES - bytes + 1), bytes, content, 0);
        if (random_below(4) == 0)
            shadow_write(disk, offset + random_below(PAGE_BYTES), bytes, content, 0);
        offset = (offset + PAGE_BYTES * (1 + random_below(3))) % (disk->size - 2 * PAGE_BYTES);
    }
    for (int i = 0; i < 200; i++)
        shadow_write(disk, random_below(disk->size / PAGE_BYTES) * PAGE_BYTES, PAGE_BYTES,
                     (enum content)random_below(NR_CONTENTS), 0);
}

static void expect_no_key(struct shadow *disk)
{
    uint8_t *bytes = malloc(disk->size);

    for (uint64_t at = 0; at < disk->size; at += MiB)
        NBD_OK(nbd_pread(disk->nbd, bytes + at, MiB, at, 0));
    if (memmem(bytes, disk->size, key, KEY_BYTES))
        FAIL("an export reads what another one wrote");
    free(bytes);
    shadow_compare_all(disk);
}

int main(void)
{
    struct shadow first, second;

    random_start();
    for (size_t i = 0; i < KEY_BYTES; i++)
        key[i] = (uint8_t)random_u64();

    // Memory for little more than one, so that what one frees the other gets.
    server_start("export=first:4M", "export=second:4M", "limit=32M", STATS_PARAMETER);
    shadow_init(&first, server_connect("first"));
    shadow_init(&second, server_connect("second"));
    for (int round = 0; round < NR_ROUNDS; round++) {
        fill_with_key(&first);
        expect_no_key(&second);
        if (round % 2 == 0)
            shadow_trim(&first, 0, first.size, 0);
        else
            shadow_write(&first, 0, first.size, CONTENT_ZERO, 0);
        write_all_sizes(&second);
        expect_no_key(&second);
        expect_no_key(&first);
        shadow_trim(&second, 0, second.size, 0);
    }
    server_disconnect(first.nbd);
    server_disconnect(second.nbd);
    shadow_fini(&first);
    shadow_fini(&second);
    server_stop();
}
