// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Threads hammer a few pages of three devices at leaf boundaries with reads, writes, trims and
// zeros of every size, whole pages and parts of them, in rounds; after each, every byte read is
// explained. The devices share a pool whose limit they reach, one has a limit of its own, and the
// compactor and the demoter run all the time: pages grow cold, move into groups, and out again when
// they are read twice; sparse spans of groups are cleaned.  At the end nothing may be left in the
// pool.
#include "history.h"
#include "plugin/server.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NR_DEVICES 3
#define WORKERS_PER_DEVICE 3
#define NR_WORKERS (NR_DEVICES * WORKERS_PER_DEVICE)
#define OPS_PER_ROUND 400
#define DISK_BYTES ((UINT64_C(3) << 21) + 5 * 4096 + 512)
#define POOL_BYTES (4u << 20)
#define GRACE_NS UINT64_C(60000000000) // until everything was tried, on a slow machine
#define TENANT_BYTES (24u << 10)       // of the last device

static struct zr_server server;
static struct history_disk disks[NR_DEVICES];
static struct history_log logs[NR_WORKERS]; // a device's lie side by side
static uint64_t nr_ops;
static _Atomic uint64_t nr_refused[NR_DEVICES];
static atomic_bool must_stop;

static void must(int rc, const char *what)
{
    if (rc < 0) {
        fprintf(stderr, "%s: %s\n", what, strerror(-rc));
        abort();
    }
}

// True if it was done, false if it was refused for want of memory.
static bool is_done(int rc, const char *what, uint64_t device_nr)
{
    if (rc == -ENOSPC) {
        nr_refused[device_nr]++;
        return false;
    }
    must(rc, what);
    return true;
}

static void *work(void *arg)
{
    struct history_log *log = arg;
    uint64_t device_nr = (uint64_t)(log - logs) / WORKERS_PER_DEVICE;
    struct zr_device *device = &server.devices[device_nr];
    char buffer[MAX_OP_SECTORS * SECTOR_BYTES];
    int i;

    for (i = 0; i < OPS_PER_ROUND; i++) {
        struct op op = history_begin(log, DISK_BYTES / SECTOR_BYTES, buffer);
        uint64_t bytes = op.nr_sectors * SECTOR_BYTES;
        uint64_t offset = op.first_sector * SECTOR_BYTES;
        bool done = true;

        if (op.kind == OP_READ) {
            must(zr_device_read(device, buffer, bytes, offset), "read");
        } else if (op.kind == OP_WRITE) {
            done = is_done(zr_device_write(device, buffer, bytes, offset), "write", device_nr);
        } else {
            done = is_done(zr_device_zero(device, bytes, offset), "zero", device_nr);
        }
        if (done) {
            history_end(log, &op, buffer);
        } else {
            history_refused(log, &op);
        }
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
    uint64_t alike = slot / 4, i;

    // The same lengths as the watched pages have, so that they share their spans.  Neighbours
    // differ in their number only, so that a group saves something.
    for (i = 0; i < 4096; i++) {
        page[i] =
            i % 512 < 256 ? (unsigned char)((alike * 2654435761u + i) * (i * i + alike) >> 7) : 1;
    }
    memcpy(page, &slot, sizeof slot);
}

// Writes and trims pages at random, so that spans become sparse, then compacts, which exchanges
// words beside the others.  A page of its own reads as it was written, or as zeros: the others trim
// everything now and then.
static void thrash_device(uint64_t device_nr, struct history_log *log)
{
    static const unsigned char zeros[4096];
    struct zr_device *device = &server.devices[device_nr];
    unsigned char page[4096], expected[4096];
    uint64_t i;

    for (i = 0; i < FILLER_SLOTS; i++) {
        uint64_t slot = filler_slot(i);

        fill_page(expected, slot + device_nr);
        must(zr_device_read(device, page, 4096, slot * 4096), "read");
        if (memcmp(page, expected, 4096) != 0 && memcmp(page, zeros, 4096) != 0) {
            fprintf(stderr, "page %llu is neither old nor trimmed\n", (unsigned long long)slot);
            exit(1);
        }
        if (history_random(log) % 2) {
            is_done(zr_device_write(device, expected, 4096, slot * 4096), "write", device_nr);
        } else {
            must(zr_device_zero(device, 4096, slot * 4096), "zero");
        }
    }
}

static void *thrash(void *log)
{
    uint64_t i;

    while (!atomic_load(&must_stop)) {
        for (i = 0; i < NR_DEVICES; i++) {
            thrash_device(i, log);
        }
        zr_deferred_free_drain(server.deferred);
        zr_compactor_pass(&server.compactor, ZR_URGENCY_FULL);
    }
    return NULL;
}

static void demote_device(struct zr_device *device, unsigned min_age)
{
    uint64_t slot = 0, nr_stored = 0;

    while (slot < device->table.nr_slots) {
        zr_demoter_demote(&server.demoter, device, &slot, min_age, &nr_stored);
    }
}

// What the background thread does that finds the server busy now: lets all pages grow older, moves
// those that were not written since the last time, or since just now, into groups, and cleans.
static void *chill(void *arg)
{
    struct history_log *log = arg;
    struct zr_ager ager;
    uint64_t i;

    zr_ager_init(&ager, server.tables, server.nr_devices);
    while (!atomic_load(&must_stop)) {
        unsigned min_age = history_random(log) % 4 > 0;

        zr_ager_walk(&ager);
        for (i = 0; i < NR_DEVICES; i++) {
            demote_device(&server.devices[i], min_age);
        }
        while (zr_demoter_clean(&server.demoter)) {
        }
        zr_group_cache_expire(&server.groups, history_now_ns());
    }
    return NULL;
}

static void read_sector(void *device, uint64_t sector, void *buffer)
{
    must(zr_device_read(device, buffer, SECTOR_BYTES, sector * SECTOR_BYTES), "read");
}

static void start(const struct zr_codec_ops *codec, uint64_t seed)
{
    struct zr_export_config exports[NR_DEVICES] = {
        {.name = "a", .size_bytes = DISK_BYTES, .limit_bytes = UINT64_MAX},
        {.name = "b", .size_bytes = DISK_BYTES, .limit_bytes = UINT64_MAX},
        {.name = "c", .size_bytes = DISK_BYTES, .limit_bytes = TENANT_BYTES},
    };
    const struct zr_server_config config = {.exports = exports,
                                            .nr_exports = NR_DEVICES,
                                            .limit_bytes = POOL_BYTES,
                                            .codec = codec,
                                            .level = 1,
                                            .cold = {.mode = ZR_COLD_FIXED, .seconds = 1}};
    uint32_t i;

    must(zr_server_init(&server, &config), "init");
    must(zr_server_start(&server), "start");
    for (i = 0; i < NR_WORKERS; i++) {
        history_log_init(&logs[i], i + 1, seed);
    }
    for (i = 0; i < NR_DEVICES; i++) {
        disks[i] = (struct history_disk){.nr_sectors = DISK_BYTES / SECTOR_BYTES};
        nr_refused[i] = 0;
    }
}

static void run_round(void)
{
    pthread_t threads[NR_WORKERS];
    uint32_t i;

    for (i = 0; i < NR_WORKERS; i++) {
        must(-pthread_create(&threads[i], NULL, work, &logs[i]), "pthread_create");
    }
    for (i = 0; i < NR_WORKERS; i++) {
        pthread_join(threads[i], NULL);
    }
    for (i = 0; i < NR_DEVICES; i++) {
        history_check(&disks[i], &logs[i * WORKERS_PER_DEVICE], WORKERS_PER_DEVICE, read_sector,
                      &server.devices[i]);
    }
    nr_ops += NR_WORKERS * OPS_PER_ROUND;
}

static void stop(void)
{
    struct zr_pool_stats stats;
    uint64_t stored_bytes = 0;
    uint32_t i;

    zr_cold_stop(&server.cold);
    for (i = 0; i < NR_WORKERS; i++) {
        history_log_fini(&logs[i]);
    }
    for (i = 0; i < NR_DEVICES; i++) {
        must(zr_device_zero(&server.devices[i], DISK_BYTES, 0), "zero");
    }
    zr_compactor_stop(&server.compactor);
    zr_keeper_stop(&server.keeper);
    zr_pool_get_stats(&server.pool, &stats);
    for (i = 0; i < NR_DEVICES; i++) {
        stored_bytes += server.devices[i].table.account.stored_bytes;
    }
    if (stats.nr_objects != 0 || stored_bytes != 0 || !zr_pool_is_valid(&server.pool)) {
        fprintf(stderr, "%llu objects leaked\n", (unsigned long long)stats.nr_objects);
        abort();
    }
    zr_server_fini(&server);
}

static uint64_t nr_promoted(void)
{
    uint64_t nr = 0, i;

    for (i = 0; i < NR_DEVICES; i++) {
        nr += server.devices[i].nr_promoted_pages;
    }
    return nr;
}

static bool has_tried_all(void)
{
    return server.compactor.nr_moved_pages > 0 && nr_refused[0] + nr_refused[1] > 0 &&
           nr_refused[2] > 0 && server.demoter.nr_demoted_pages > 0 &&
           server.demoter.nr_cleaned_spans > 0 && nr_promoted() > 0;
}

static void run(const struct zr_codec_ops *codec, uint64_t seed, double seconds)
{
    uint64_t end_ns = history_now_ns() + (uint64_t)(seconds * 1e9);
    struct history_log thrasher_log, chiller_log;
    pthread_t thrasher, chiller;

    start(codec, seed);
    history_log_init(&thrasher_log, NR_WORKERS + 1, seed);
    history_log_init(&chiller_log, NR_WORKERS + 2, seed);
    must_stop = false;
    must(-pthread_create(&thrasher, NULL, thrash, &thrasher_log), "pthread_create");
    must(-pthread_create(&chiller, NULL, chill, &chiller_log), "pthread_create");
    do {
        run_round();
    } while (history_now_ns() < end_ns + (has_tried_all() ? 0 : GRACE_NS));
    must_stop = true;
    pthread_join(thrasher, NULL);
    pthread_join(chiller, NULL);
    printf("%s: %llu pages moved while in use; %llu demoted, %llu promoted, %llu spans cleaned; "
           "refused "
           "for want of memory: %llu writes of the pool, %llu of a tenant\n",
           codec->name, (unsigned long long)server.compactor.nr_moved_pages,
           (unsigned long long)server.demoter.nr_demoted_pages, (unsigned long long)nr_promoted(),
           (unsigned long long)server.demoter.nr_cleaned_spans,
           (unsigned long long)(nr_refused[0] + nr_refused[1]), (unsigned long long)nr_refused[2]);
    if (!has_tried_all()) {
        fprintf(stderr, "the compactor, the demoter or a limit was not tried\n");
        exit(1);
    }
    stop();
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
