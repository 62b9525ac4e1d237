// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Threads hammer a few pages of a device at leaf boundaries with reads, writes, trims and zeros of
// every size, whole pages and parts of them, in rounds; after each, every byte read is explained.
// At the end nothing may be left in the pool.
#include "history.h"
#include "plugin/server.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define NR_WORKERS 8
#define OPS_PER_ROUND 400
#define DISK_BYTES ((UINT64_C(3) << 21) + 5 * 4096 + 512)

static struct zr_server server;
static struct history_log logs[NR_WORKERS];
static uint64_t nr_ops;

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
            must(zr_device_read(&server.device, buffer, bytes, offset), "read");
        } else if (op.kind == OP_WRITE) {
            must(zr_device_write(&server.device, buffer, bytes, offset), "write");
        } else {
            must(zr_device_zero(&server.device, bytes, offset), "zero");
        }
        history_end(log, &op, buffer);
    }
    return NULL;
}

static void read_sector(void *opaque, uint64_t sector, void *buffer)
{
    (void)opaque;
    must(zr_device_read(&server.device, buffer, SECTOR_BYTES, sector * SECTOR_BYTES), "read");
}

static void run(const struct zr_codec_ops *codec, uint64_t seed, double seconds)
{
    const struct zr_server_config config = {
        .size_bytes = DISK_BYTES, .limit_bytes = 64 << 20, .codec = codec, .level = 1};
    uint64_t end_ns = history_now_ns() + (uint64_t)(seconds * 1e9);
    struct zr_pool_stats stats;
    pthread_t threads[NR_WORKERS];
    uint32_t i;

    history_forget();
    must(zr_server_init(&server, &config), "init");
    must(zr_server_start(&server), "start");
    for (i = 0; i < NR_WORKERS; i++) {
        history_log_init(&logs[i], i + 1, seed);
    }
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
    for (i = 0; i < NR_WORKERS; i++) {
        history_log_fini(&logs[i]);
    }

    must(zr_device_zero(&server.device, DISK_BYTES, 0), "zero");
    zr_deferred_free_drain(server.deferred);
    zr_pool_get_stats(&server.pool, &stats);
    if (stats.nr_objects != 0 || !zr_pool_is_valid(&server.pool)) {
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
