// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "stored-server.h"

#include "store/slot-counts.h"
#include "tests/protocol/tmpfs.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROOM_BYTES (UINT64_C(1) << 30)

char store_path[64];
char why[ZR_STORE_WHY_BYTES];

static char names[4][8] = {"a", "b", "c", ""};
struct zr_export_config exports[4];
struct zr_server_config config;

void store_begin(void)
{
    snprintf(store_path, sizeof store_path, "%s/store", tmpfs_folder(ROOM_BYTES));
}

static void reset_config(void)
{
    size_t i;

    for (i = 0; i < NR_OF(exports); i++) {
        exports[i] = (struct zr_export_config){
            .name = names[i], .size_bytes = DEVICE_BYTES, .limit_bytes = UINT64_MAX};
    }
    config = (struct zr_server_config){
        .exports = exports,
        .nr_exports = 1,
        .limit_bytes = 64 * MiB,
        .codec = &zr_codec_lz4,
        .store = store_path,
    };
}

void store_fresh(void)
{
    unlink(store_path);
    reset_config();
    shadow = mmap(NULL, DEVICE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(shadow, MAP_FAILED);
}

int store_start(void)
{
    int rc = zr_server_init_why(&server, &config, why);

    device = rc == 0 ? server.devices : NULL;
    return rc;
}

void store_stop(void)
{
    zr_server_fini(&server);
}

void store_kill_after(void (*work)(void))
{
    pid_t child = fork();
    int status;

    ck_assert_int_ge(child, 0);
    if (child == 0) {
        // Without ck_assert: its report is the parent's.
        if (store_start() < 0) {
            fprintf(stderr, "the earlier server did not start: %s\n", why);
            _exit(EXIT_FAILURE);
        }
        work();
        kill(getpid(), SIGKILL);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

void store_restart(void)
{
    int rc = store_start();

    if (rc < 0) {
        ck_abort_msg("the server does not start: %d, %s", rc, why);
    }
    store_check();
}

static uint64_t nr_chunks_of(const struct zr_slot_table *table)
{
    uint64_t nr = 0, slot;

    for (slot = 0; slot < table->nr_root_entries; slot++) {
        nr += zr_handle_has_object((zr_handle){table->root[slot]});
    }
    for (slot = 0; (slot = zr_slot_table_next_leaf(table, slot, table->nr_slots)) < table->nr_slots;
         slot += ZR_LEAF_SLOTS) {
        nr++;
    }
    return nr;
}

void store_check(void)
{
    struct zr_deferred_free_stats deferred;
    uint64_t nr_objects = 0, bytes = 0, nr_chunks = 0;
    struct zr_pool_stats stats;
    size_t i;

    for (i = 0; i < server.nr_devices; i++) {
        struct zr_slot_counts counts;

        zr_slot_counts_get(&server.devices[i].table, &counts);
        nr_objects += counts.nr_huge + counts.nr_compressed;
        bytes += counts.stored_bytes;
        nr_chunks += nr_chunks_of(&server.devices[i].table);
        ck_assert_uint_eq(server.devices[i].table.account.stored_bytes, counts.stored_bytes);
    }
    zr_pool_get_stats(&server.pool, &stats);
    zr_deferred_free_get_stats(server.deferred, &deferred);
    ck_assert_uint_eq(stats.nr_objects, nr_objects);
    ck_assert_uint_eq(stats.stored_bytes, bytes);
    ck_assert_uint_eq(stats.nr_chunks, nr_chunks + 64); // set aside
    ck_assert_uint_eq(deferred.nr_chunks, 0);
    ck_assert(zr_pool_is_valid(&server.pool));
}

uint64_t store_compare(bool may_be_lost)
{
    unsigned char page[PAGE_BYTES];
    uint64_t slot, nr_lost = 0;

    for (slot = 0; slot < DEVICE_PAGES; slot++) {
        int rc = zr_device_read(device, page, PAGE_BYTES, slot * PAGE_BYTES);

        if (rc == -EIO && may_be_lost) {
            nr_lost++;
        } else if (rc < 0 || memcmp(page, shadow + slot * PAGE_BYTES, PAGE_BYTES) != 0) {
            ck_abort_msg("page %llu: %s", (unsigned long long)slot, rc < 0 ? "error" : "wrong");
        }
    }
    return nr_lost;
}

void store_write(uint64_t slot, uint64_t nr_slots, enum content content)
{
    unsigned char *bytes = shadow + slot * PAGE_BYTES;

    content_fill(bytes, nr_slots * PAGE_BYTES, content);
    if (zr_device_write(device, bytes, nr_slots * PAGE_BYTES, slot * PAGE_BYTES) < 0) {
        fprintf(stderr, "a write failed\n");
        abort();
    }
}

void store_trim(uint64_t slot, uint64_t nr_slots)
{
    memset(shadow + slot * PAGE_BYTES, 0, nr_slots * PAGE_BYTES);
    zr_device_zero(device, nr_slots * PAGE_BYTES, slot * PAGE_BYTES);
}
