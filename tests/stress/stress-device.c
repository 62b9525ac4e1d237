// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Threads hammer a few pages of a device at leaf boundaries with reads, writes, trims and zeros of
// every size, whole pages and parts of them, in rounds; after each, every byte read is explained.
// At the end nothing may be left in the pool.
#include "history.h"
#include "plugin/server.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NR_WORKERS 8
#define OPS_PER_ROUND 400
#define DISK_BYTES ((UINT64_C(3) << 21) + 5 * 4096 + 512)

static struct zr_server server;
static struct zr_device *device;
static struct history_log logs[NR_WORKERS];
static uint64_t nr_ops;
static atomic_bool must_stop;

static void must(int rc, const char *what)
{
    if (rc < 0) {
        fprintf(stderr, "%s: %s\n", what, strerror(-rc));
        abort();
    }
}

static void *work(void *arg)
{
    struct history_log *log = arg;
    char buffer[MAX_OP_SECTORS * SECTOR_BYTES];
    int i;

    for (i = 0; i < OPS_PER_ROUND; i++) {
        struct op op = history_begin(log, DISK_BYTES / SECTOR_BYTES, buffer);
        uint64_t bytes = op.nr_sectors * SECTOR_BYTES;
        uint64_t offset = op.first_sector * SECTOR_BYTES;

        if (op.kind == OP_READ) {
            must(zr_device_read(device, buffer, bytes, offset), "read");
        } else if (op.kind == OP_WRITE) {
            must(zr_device_write(device, buffer, bytes, offset), "write");
        } else {
            must(zr_device_zero(device, bytes, offset), "zero");
        }
        history_end(log, &op, buffer);
    }
    return NULL;
}

// Pages that only the thrasher writes: of the first three leaves, off the windows.
#define FILLER_SLOTS 1200
static uint64_t filler_slot(uint64_t i)
{
    return i / 400 * 512 + 50 + i % 400;
}

static void fill_page(unsigned char *page, uint64_t slot)
{
    uint64_t i;

    // The same lengths as the watched pages have, so that they share their spans.
    for (i = 0; i < 4096; i++) {
        page[i] =
            i % 512 < 256 ? (unsigned char)((slot * 2654435761u + i) * (i * i + slot) >> 7) : 1;
    }
}

// Writes and trims pages at random, so that spans become sparse, then compacts, and lets all pages
// grow older: both exchange words beside the others.  A page of its own
// reads as it was written, or as zeros: the others trim everything now and then.
static void *thrash(void *arg)
{
    static const unsigned char zeros[4096];
    struct history_log *log = arg;
    unsigned char page[4096], expected[4096];
    struct zr_ager ager;
    uint64_t i;

    zr_ager_init(&ager, server.tables, server.nr_devices);
    while (!atomic_load(&must_stop)) {
        for (i = 0; i < FILLER_SLOTS; i++) {
            uint64_t slot = filler_slot(i);

            fill_page(expected, slot);
            must(zr_device_read(device, page, 4096, slot * 4096), "read");
            if (memcmp(page, expected, 4096) != 0 && memcmp(page, zeros, 4096) != 0) {
                fprintf(stderr, "page %llu is neither old nor trimmed\n", (unsigned long long)slot);
                exit(1);
            }
            if (history_random(log) % 2) {
                must(zr_device_write(device, expected, 4096, slot * 4096), "write");
            } else {
                must(zr_device_zero(device, 4096, slot * 4096), "zero");
            }
        }
        zr_deferred_free_drain(server.deferred);
        zr_compactor_pass(&server.compactor, ZR_URGENCY_FULL);
        zr_ager_walk(&ager);
    }
    return NULL;
}

static void read_sector(void *opaque, uint64_t sector, void *buffer)
{
    (void)opaque;
    must(zr_device_read(device, buffer, SECTOR_BYTES, sector * SECTOR_BYTES), "read");
}

static void run(const struct zr_codec_ops *codec, uint64_t seed, double seconds)
{
    struct zr_export_config export = {
        .name = "", .size_bytes = DISK_BYTES, .limit_bytes = UINT64_MAX};
    const struct zr_server_config config = {
        .exports = &export, .nr_exports = 1, .limit_bytes = 64 << 20, .codec = codec, .level = 1};
    uint64_t end_ns = history_now_ns() + (uint64_t)(seconds * 1e9);
    struct zr_pool_stats stats;
    struct history_log thrasher_log;
    pthread_t threads[NR_WORKERS], thrasher;
    uint32_t i;

    history_forget();
    must(zr_server_init(&server, &config), "init");
    device = &server.devices[0];
    must(zr_server_start(&server), "start");
    for (i = 0; i < NR_WORKERS; i++) {
        history_log_init(&logs[i], i + 1, seed);
    }
    history_log_init(&thrasher_log, NR_WORKERS + 1, seed);
    must_stop = false;
    must(-pthread_create(&thrasher, NULL, thrash, &thrasher_log), "pthread_create");
    do {
        for (i = 0; i < NR_WORKERS; i++) {
            must(-pthread_create(&threads[i], NULL, work, &logs[i]), "pthread_create");
        }
        for (i = 0; i < NR_WORKERS; i++) {
            pthread_join(threads[i], NULL);
        }
        history_check(logs, NR_WORKERS, DISK_BYTES / SECTOR_BYTES, read_sector, NULL);
        nr_ops += NR_WORKERS * OPS_PER_ROUND;
    } while (history_now_ns() < end_ns);
    must_stop = true;
    pthread_join(thrasher, NULL);
    printf("%s: %llu pages moved while in use\n", codec->name,
           (unsigned long long)server.compactor.nr_moved_pages);
    if (server.compactor.nr_moved_pages == 0) {
        fprintf(stderr, "the compactor was not tried\n");
        exit(1);
    }
    for (i = 0; i < NR_WORKERS; i++) {
        history_log_fini(&logs[i]);
    }

    must(zr_device_zero(device, DISK_BYTES, 0), "zero");
    zr_compactor_stop(&server.compactor);
    zr_keeper_stop(&server.keeper);
    zr_pool_get_stats(&server.pool, &stats);
    if (stats.nr_objects != 0 || device->table.account.stored_bytes != 0 ||
        !zr_pool_is_valid(&server.pool)) {
        fprintf(stderr, "%llu objects leaked\n", (unsigned long long)stats.nr_objects);
        abort();
    }
    zr_server_fini(&server);
}

int main(void)
{
    uint64_t seed = history_seed();
    double seconds = history_seconds(6);
    unsigned i;

    for (i = 0; zr_codecs[i]; i++) {
        run(zr_codecs[i], seed, seconds / 2);
    }
    printf("%llu requests, every byte explained\n", (unsigned long long)nr_ops);
    return 0;
}
