// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "shadowed-device.h"

#include "allocator/rcu.h"

#include <stdlib.h>
#include <string.h>

#define SHADOW_MAX_BYTES (16 * MiB)

struct zr_server server;
struct zr_device *device;
unsigned char *shadow;

void start_device(uint64_t size_bytes, uint64_t limit_bytes, const struct zr_codec_ops *codec)
{
    struct zr_export_config export = {
        .name = "",
        .size_bytes = size_bytes,
        .limit_bytes = UINT64_MAX,
    };
    struct zr_server_config config = {
        .exports = &export,
        .nr_exports = 1,
        .limit_bytes = limit_bytes,
        .codec = codec,
        .level = codec->default_level,
    };

    ck_assert_int_eq(zr_server_init(&server, &config), 0);
    device = server.devices;
    if (size_bytes <= SHADOW_MAX_BYTES) {
        shadow = calloc(1, size_bytes + PAGE_BYTES);
    }
}

void end_device(void)
{
    struct zr_pool_stats stats;

    zr_device_zero(device, device->size_bytes, 0);
    stats = pool_stats();
    ck_assert_uint_eq(stats.nr_objects, 0);
    zr_server_fini(&server);
    free(shadow);
    shadow = NULL;
}

struct zr_pool_stats pool_stats(void)
{
    struct zr_pool_stats stats;

    // Also what the keeper has in hand.
    while (zr_deferred_free_drain(server.deferred)) {
    }
    zr_pool_get_stats(&server.pool, &stats);
    return stats;
}

bool reads_as(const void *expected, uint64_t bytes, uint64_t offset)
{
    unsigned char *buffer = malloc(bytes);
    bool is_same;

    memset(buffer, 0x5a, bytes);
    ck_assert_int_eq(zr_device_read(device, buffer, bytes, offset), 0);
    is_same = memcmp(buffer, expected, bytes) == 0;
    free(buffer);
    return is_same;
}

bool reads_as_zeros(uint64_t bytes, uint64_t offset)
{
    unsigned char *zeros = calloc(1, bytes);
    bool is_zero = reads_as(zeros, bytes, offset);

    free(zeros);
    return is_zero;
}

static void check_piece_of_shadow(uint64_t offset, uint64_t bytes, bool is_hole)
{
    uint64_t page = offset - offset % PAGE_BYTES;

    for (; page < offset + bytes; page += PAGE_BYTES) {
        bool is_zero =
            shadow[page] == 0 && memcmp(&shadow[page], &shadow[page + 1], PAGE_BYTES - 1) == 0;

        if (is_zero != is_hole) {
            ck_abort_msg("page at %llu: %s", (unsigned long long)page, is_hole ? "hole" : "data");
        }
    }
}

// Pieces must follow each other without gaps.
static int check_extent(void *next, uint64_t offset, uint64_t bytes, bool is_hole)
{
    ck_assert_uint_eq(offset, *(uint64_t *)next);
    ck_assert_uint_gt(bytes, 0);
    *(uint64_t *)next += bytes;
    check_piece_of_shadow(offset, bytes, is_hole);
    return 0;
}

void check_extents(uint64_t offset, uint64_t bytes)
{
    uint64_t next = offset;

    ck_assert_int_eq(zr_device_extents(device, bytes, offset, check_extent, &next), 0);
    ck_assert_uint_eq(next, offset + bytes);
}

uint64_t load_word(uint64_t slot)
{
    uint64_t word;

    zr_rcu_read_lock();
    word = zr_leaf_word(zr_slot_table_leaf(&device->table, slot), slot);
    zr_rcu_read_unlock();
    return word;
}

void write_both(uint64_t offset, uint64_t bytes, enum content content)
{
    content_fill(&shadow[offset], bytes, content);
    ck_assert_int_eq(zr_device_write(device, &shadow[offset], bytes, offset), 0);
}

void zero_both(uint64_t offset, uint64_t bytes)
{
    memset(&shadow[offset], 0, bytes);
    ck_assert_int_eq(zr_device_zero(device, bytes, offset), 0);
}

void compare_both(void)
{
    ck_assert(reads_as(shadow, device->size_bytes, 0));
    check_extents(0, device->size_bytes);
}
