// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Two tenants of one pool, at its limit or at their own: what one does must not cost the other its
// room.
#include "unit.h"

#include "plugin/server.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#define DISK_BYTES (UINT64_C(1) << 30)

static struct zr_server server;
static struct zr_device *greedy, *neighbour;
static atomic_bool must_stop;
static atomic_ulong nr_refused;

static void start(uint64_t limit_bytes, uint64_t greedy_limit_bytes)
{
    struct zr_export_config exports[] = {
        {(char *)(uintptr_t)"greedy", DISK_BYTES, greedy_limit_bytes, 0},
        {(char *)(uintptr_t)"neighbour", DISK_BYTES, UINT64_MAX, 0},
    };
    struct zr_server_config config = {
        .exports = exports,
        .nr_exports = NR_OF(exports),
        .limit_bytes = limit_bytes,
        .codec = &zr_codec_lz4,
    };

    ck_assert_int_eq(zr_server_init(&server, &config), 0);
    greedy = &server.devices[0];
    neighbour = &server.devices[1];
}

// A page of which so many bytes do not compress; cheap, so that it is not what a loop waits for.
static void make_page(unsigned char *page, size_t random_bytes, uint32_t seed)
{
    memset(page, 0, PAGE_BYTES);
    for (size_t i = 0; i < random_bytes; i++) {
        seed = seed * 1664525 + 1013904223;
        page[i] = (unsigned char)(seed >> 24);
    }
    page[PAGE_BYTES - 1] = 1;
}

static void *write_at_own_limit(void *buffer)
{
    while (!must_stop) {
        if (zr_device_write(greedy, buffer, 2 * MiB, 0) == -ENOSPC) {
            nr_refused++;
        }
    }
    return NULL;
}

static uint64_t peak_used_bytes(void)
{
    struct zr_pool_stats stats;

    zr_pool_get_stats(&server.pool, &stats);
    return stats.peak_used_bytes;
}

static bool has_been_refused(void *unused)
{
    (void)unused;
    return nr_refused >= 1000;
}

// Each refused write is of 2 MiB, three at a time: more than the room that is left.
START_TEST(who_is_at_its_own_limit_takes_no_room_from_others_not_even_for_a_moment)
{
    static unsigned char buffer[12 * MiB];
    pthread_t threads[3];
    uint64_t peak_bytes;

    start(16 * MiB, 64 << 10); // without a keeper, which would take a reserve for itself
    content_fill(buffer, sizeof buffer, CONTENT_RANDOM);
    ck_assert_int_eq(zr_device_write(neighbour, buffer, sizeof buffer, 0), 0);
    ck_assert_int_eq(zr_device_write(neighbour, buffer, MiB, 64 * MiB), 0);
    peak_bytes = peak_used_bytes();
    for (size_t i = 0; i < NR_OF(threads); i++) {
        ck_assert_int_eq(pthread_create(&threads[i], NULL, write_at_own_limit, buffer), 0);
    }
    ck_assert(unit_await(has_been_refused, NULL));
    ck_assert_uint_le(peak_used_bytes(), peak_bytes + MiB / 2);
    for (uint64_t i = 0; i < 100000; i++) {
        uint64_t offset = i % 256 * PAGE_BYTES;

        if (zr_device_write(neighbour, buffer + offset, PAGE_BYTES, 64 * MiB + offset) < 0) {
            ck_abort_msg("write %llu was refused", (unsigned long long)i);
        }
    }
    must_stop = true;
    for (size_t i = 0; i < NR_OF(threads); i++) {
        pthread_join(threads[i], NULL);
    }
    zr_server_fini(&server);
}
END_TEST

static void *overwrite_one_page(void *unused)
{
    unsigned char page[PAGE_BYTES];

    for (uint32_t seed = 0; !must_stop; seed++) {
        make_page(page, 900, seed);
        zr_device_write(greedy, page, sizeof page, 0);
    }
    return unused;
}

static uint64_t fill_until_refused(struct zr_device *device, size_t random_bytes)
{
    unsigned char page[PAGE_BYTES];
    uint64_t nr = 0;

    do {
        make_page(page, random_bytes, (uint32_t)nr);
    } while (zr_device_write(device, page, sizeof page, nr++ * PAGE_BYTES) == 0);
    return nr - 1;
}

// Nobody's failed search for holes may keep another from those that were made since.
START_TEST(holes_in_a_full_pool_are_found_while_others_overwrite)
{
    unsigned char page[PAGE_BYTES];
    uint64_t nr_pages;

    for (size_t nr_threads = 0; nr_threads <= 3; nr_threads++) {
        pthread_t threads[3];
        unsigned nr_failed = 0;

        start(64 * MiB, UINT64_MAX);
        ck_assert_int_eq(zr_server_start(&server), 0);
        must_stop = false;
        nr_pages = fill_until_refused(greedy, 900);
        for (size_t i = 0; i < nr_threads; i++) {
            ck_assert_int_eq(pthread_create(&threads[i], NULL, overwrite_one_page, NULL), 0);
        }
        unit_sleep_ms(200);
        for (uint64_t i = 1; i < nr_pages; i += 10) {
            zr_device_zero(greedy, PAGE_BYTES, i * PAGE_BYTES); // at once: no record of each
        }
        for (uint64_t i = 0; i < 40; i++) { // of another length
            make_page(page, 2500, (uint32_t)i + 77);
            nr_failed += zr_device_write(neighbour, page, sizeof page, i * PAGE_BYTES) < 0;
        }
        ck_assert_uint_eq(nr_failed, 0);
        must_stop = true;
        for (size_t i = 0; i < nr_threads; i++) {
            pthread_join(threads[i], NULL);
        }
        zr_server_fini(&server);
    }
}
END_TEST

// Memory must not be missing for the very thing that frees it.
START_TEST(in_a_full_pool_every_trim_of_a_page_succeeds)
{
    static unsigned char buffer[64 * PAGE_BYTES];
    unsigned char page[PAGE_BYTES];
    zr_handle chunk;

    start(24 * MiB, UINT64_MAX);
    ck_assert_int_eq(zr_server_start(&server), 0);
    content_fill(buffer, sizeof buffer, CONTENT_RANDOM);
    for (uint64_t leaf = 0; leaf < 64; leaf++) {
        ck_assert_int_eq(zr_device_write(greedy, buffer, sizeof buffer, leaf * 2 * MiB), 0);
        for (uint64_t i = 3; i < 64; i++) {
            ck_assert_int_eq(zr_device_zero(greedy, PAGE_BYTES, leaf * 2 * MiB + i * PAGE_BYTES),
                             0);
        }
    }
    // Whatever the background does to leaves with so little in them.
    unit_sleep_ms(200);
    zr_compactor_pass(&server.compactor, ZR_URGENCY_FULL);
    fill_until_refused(neighbour, PAGE_BYTES - 1);
    while (zr_pool_alloc_chunk(&server.pool, &chunk) == 0) {
    }
    for (uint64_t leaf = 0; leaf < 64; leaf++) {
        ck_assert_int_eq(zr_device_zero(greedy, PAGE_BYTES, leaf * 2 * MiB), 0);
        ck_assert_int_eq(zr_device_read(greedy, page, PAGE_BYTES, leaf * 2 * MiB), 0);
        ck_assert(page[0] == 0 && memcmp(page, page + 1, PAGE_BYTES - 1) == 0);
    }
    zr_server_fini(&server);
}
END_TEST

UNIT_MAIN("limits", who_is_at_its_own_limit_takes_no_room_from_others_not_even_for_a_moment,
          holes_in_a_full_pool_are_found_while_others_overwrite,
          in_a_full_pool_every_trim_of_a_page_succeeds)
