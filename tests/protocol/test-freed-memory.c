// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// How long bytes that were trimmed, or overwritten, stay in the store: what was all trimmed is gone
// with the decay; beside what stays stored, compaction leaves a few. Says what it saw.

#include <time.h>
#include <unistd.h>

#include "expect.h"
#include "memory.h"
#include "server.h"
#include "shadow.h"

#define KEY_BYTES 32
#define NR_KEPT_MAX 64 // of 2048, in spans that are dense enough
#define AWAIT_SECONDS (server_is_instrumented() ? 60 : 5)

static uint8_t key[KEY_BYTES];

static double now_seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

// The key once in each page, as it is: among zeros, or random bytes.
static void write_key(struct shadow *disk, uint64_t page)
{
    uint8_t *bytes = disk->bytes + page * PAGE_BYTES;

    content_fill(bytes, PAGE_BYTES, page / 2 % 2 == 0 ? CONTENT_ZERO : CONTENT_RANDOM);
    memcpy(bytes, key, KEY_BYTES);
    NBD_OK(nbd_pwrite(disk->nbd, bytes, PAGE_BYTES, page * PAGE_BYTES, 0));
}

static void write_key_everywhere(struct shadow *disk)
{
    size_t nr_pages = disk->size / PAGE_BYTES;

    for (uint64_t page = 0; page < nr_pages; page++)
        write_key(disk, page);
    if (memory_count_in_store(key, KEY_BYTES, NULL) < nr_pages)
        FAIL("what is stored is not found in the store: this test sees nothing");
}

static void await_at_most(size_t most, const char *what)
{
    double start = now_seconds();
    size_t count;

    while ((count = memory_count_in_store(key, KEY_BYTES, NULL)) > most) {
        if (now_seconds() > start + AWAIT_SECONDS)
            FAIL("%s: %zu pages are still in memory", what, count);
        usleep(10000);
    }
    printf("%s: %zu pages in memory after %.2f s\n", what, count, now_seconds() - start);
}

int main(void)
{
    struct shadow disk;

    random_start();
    for (size_t i = 0; i < KEY_BYTES; i++)
        key[i] = (uint8_t)(1 + random_below(255)); // a 0 at its end would be of the zeros behind it

    server_start("size=16M", "limit=64M");
    shadow_init(&disk, server_connect(""));

    write_key_everywhere(&disk);
    shadow_trim(&disk, 0, disk.size, 0);
    await_at_most(0, "all trimmed");

    write_key_everywhere(&disk);
    shadow_write(&disk, 0, disk.size, CONTENT_SAME, 0);
    await_at_most(0, "all overwritten");

    // Every other page, so that no span is empty by itself.
    for (uint64_t page = 0; page < disk.size / PAGE_BYTES; page += 2)
        write_key(&disk, page);
    for (uint64_t page = 1; page < disk.size / PAGE_BYTES; page += 2)
        shadow_write(&disk, page * PAGE_BYTES, PAGE_BYTES,
                     page / 2 % 2 == 0 ? CONTENT_NEARLY_ZERO : CONTENT_RANDOM, 0);
    for (uint64_t page = 0; page < disk.size / PAGE_BYTES; page += 2)
        shadow_trim(&disk, page * PAGE_BYTES, PAGE_BYTES, 0);
    await_at_most(NR_KEPT_MAX, "every other page trimmed");
    shadow_compare_all(&disk);

    server_disconnect(disk.nbd);
    shadow_fini(&disk);
    server_stop();
}
