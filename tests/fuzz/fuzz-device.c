// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Bytes → requests on two devices over one small pool, against a shadow of each.  The first device
// is looked at through a window around its first GiB, so that ranges cross a page, a leaf and a
// directory, and its last page is cut off; the second is a tenant with a limit.  Drains,
// compaction, demotion and the cleaning of logs come in between.  Writes do find the pool full:
// what they leave is checked then.
#include "fuzz.h"

#include "plugin/server.h"
#include "tests/protocol/content.h"

#include <errno.h>

#define LEAF_BYTES (ZR_LEAF_SLOTS * ZR_PAGE_BYTES)
#define WINDOW_BYTES (2 * LEAF_BYTES + 1000)
#define POOL_BYTES (3 * MiB)
#define WRITE_MAX_BYTES (128 * KiB)
#define NEAR_BYTES (32 * KiB)

struct disk {
    uint64_t start; // of the window in the device
    uint64_t window_bytes;
    struct zr_device *device;
    unsigned char shadow[WINDOW_BYTES + ZR_PAGE_BYTES]; // zeros behind the end
};

// A range within the window of a disk.
struct range {
    struct disk *disk;
    uint64_t offset, bytes;
};

static struct disk disks[2] = {
    {.start = GiB - LEAF_BYTES, .window_bytes = WINDOW_BYTES},
    {.start = 0, .window_bytes = 300 * KiB},
};
static struct zr_server server;
static unsigned char buffer[WINDOW_BYTES];

static void start(const struct zr_codec_ops *codec)
{
    static char names[2][2] = {"a", "b"};
    struct zr_export_config exports[NR_OF(disks)];
    struct zr_server_config config = {
        .exports = exports,
        .nr_exports = NR_OF(disks),
        .limit_bytes = POOL_BYTES,
        .codec = codec,
        .level = codec->default_level,
    };

    for (size_t i = 0; i < NR_OF(disks); i++) {
        exports[i] = (struct zr_export_config){
            .name = names[i],
            .size_bytes = disks[i].start + disks[i].window_bytes,
            .limit_bytes = i == 0 ? UINT64_MAX : 64 * KiB,
        };
    }
    FUZZ_CHECK(zr_server_init(&server, &config) == 0);
    for (size_t i = 0; i < NR_OF(disks); i++) {
        disks[i].device = &server.devices[i];
        memset(disks[i].shadow, 0, disks[i].window_bytes);
    }
}

static void check_content(const struct range *range)
{
    const struct disk *disk = range->disk;

    memset(buffer, 0x5a, range->bytes);
    FUZZ_CHECK(zr_device_read(disk->device, buffer, range->bytes, disk->start + range->offset) ==
               0);
    FUZZ_CHECK(memcmp(buffer, disk->shadow + range->offset, range->bytes) == 0);
}

// Reads what a request that failed has left, as the shadow from now on.  Each page must be wholly
// old, as the shadow has it, or wholly new, as in `after`.
static void adopt(const struct range *range, const unsigned char *after)
{
    unsigned char *shadow = range->disk->shadow + range->offset;
    uint64_t at, part;

    FUZZ_CHECK(zr_device_read(range->disk->device, buffer, range->bytes,
                              range->disk->start + range->offset) == 0);
    for (at = 0; at < range->bytes; at += part) {
        part = ZR_PAGE_BYTES - (range->offset + at) % ZR_PAGE_BYTES;
        part = part < range->bytes - at ? part : range->bytes - at;
        FUZZ_CHECK(memcmp(buffer + at, shadow + at, part) == 0 ||
                   memcmp(buffer + at, after + at, part) == 0);
    }
    memcpy(shadow, buffer, range->bytes);
}

static void write_range(struct range *range, unsigned seed)
{
    static unsigned char data[WRITE_MAX_BYTES];
    int rc;

    range->bytes = range->bytes < WRITE_MAX_BYTES ? range->bytes : WRITE_MAX_BYTES;
    random_seed(seed);
    content_fill(data, range->bytes, (enum content)(seed % (NR_CONTENTS + 1)));
    rc = zr_device_write(range->disk->device, data, range->bytes,
                         range->disk->start + range->offset);
    if (rc == 0) {
        memcpy(range->disk->shadow + range->offset, data, range->bytes);
    } else {
        FUZZ_CHECK(rc == -ENOSPC);
        adopt(range, data);
    }
    check_content(range);
}

static void zero_range(const struct range *range)
{
    static const unsigned char zeros[WINDOW_BYTES];
    int rc = zr_device_zero(range->disk->device, range->bytes, range->disk->start + range->offset);

    if (rc == 0) {
        memset(range->disk->shadow + range->offset, 0, range->bytes);
    } else {
        FUZZ_CHECK(rc == -ENOSPC);
        adopt(range, zeros);
    }
    check_content(range);
}

static void zero_device(struct disk *disk)
{
    FUZZ_CHECK(zr_device_zero(disk->device, disk->device->size_bytes, 0) == 0);
    memset(disk->shadow, 0, disk->window_bytes);
}

struct walk {
    const struct disk *disk;
    uint64_t next; // offset that must come
};

static int check_extent(void *opaque, uint64_t offset, uint64_t bytes, bool is_hole)
{
    struct walk *walk = opaque;
    uint64_t page = (offset - walk->disk->start) / ZR_PAGE_BYTES * ZR_PAGE_BYTES;

    FUZZ_CHECK(offset == walk->next && bytes > 0);
    walk->next += bytes;
    for (; page < offset + bytes - walk->disk->start; page += ZR_PAGE_BYTES) {
        const unsigned char *shadow = walk->disk->shadow + page;
        bool is_zero = shadow[0] == 0 && memcmp(shadow, shadow + 1, ZR_PAGE_BYTES - 1) == 0;

        FUZZ_CHECK(is_zero == is_hole);
    }
    return 0;
}

static void check_extents(const struct range *range)
{
    struct walk walk = {range->disk, range->disk->start + range->offset};

    FUZZ_CHECK(
        zr_device_extents(range->disk->device, range->bytes, walk.next, check_extent, &walk) == 0);
    FUZZ_CHECK(walk.next == range->disk->start + range->offset + range->bytes);
}

// Near the start or end of a leaf, a directory or the device, so that ranges meet.
static struct range take_range(struct fuzz_input *input)
{
    static const uint64_t units[] = {1, 512, ZR_PAGE_BYTES, LEAF_BYTES};
    unsigned how = (unsigned)fuzz_number(input, 1);
    uint64_t unit = units[how % 4];
    struct disk *disk = &disks[how / 4 % 8 == 0];
    const uint64_t places[] = {0, LEAF_BYTES - NEAR_BYTES, LEAF_BYTES,
                               disk->window_bytes - NEAR_BYTES};
    uint64_t offset = places[how / 32 % 4] + fuzz_number(input, 2) % NEAR_BYTES;
    uint64_t bytes = unit * (1 + fuzz_number(input, 2) % (unit < ZR_PAGE_BYTES ? NEAR_BYTES : 64));
    uint64_t left;

    offset = offset % disk->window_bytes / unit * unit;
    left = disk->window_bytes - offset;
    return (struct range){disk, offset, bytes < left ? bytes : left};
}

// Pages of that age or more, of all leaves of the window.
static void demote(const struct disk *disk, unsigned min_age)
{
    const uint64_t end = (disk->start + disk->window_bytes) / ZR_PAGE_BYTES + 1;
    uint64_t slot = disk->start / ZR_PAGE_BYTES, nr_stored = 0;

    while (slot < end &&
           zr_demoter_demote(&server.demoter, disk->device, &slot, min_age, &nr_stored)) {
    }
}

static void run_background(const struct disk *disk, unsigned what)
{
    switch (what % 8) {
    case 1:
        zr_ager_walk(&server.ager);
        break;
    case 2:
    case 3: // also what was read and so left its group
        demote(disk, what % 8 == 2);
        break;
    case 4:
        zr_demoter_clean(&server.demoter);
        break;
    case 5:
        zr_demoter_reclaim(&server.demoter);
        break;
    case 6:
        zr_group_cache_expire(&server.groups, UINT64_MAX);
        break;
    default:
        zr_deferred_free_drain(server.deferred);
    }
}

static void run_request(struct fuzz_input *input)
{
    unsigned request = (unsigned)fuzz_number(input, 1);
    struct range range = take_range(input);

    switch (request % 8) {
    case 0:
        zero_range(&range);
        break;
    case 1:
        check_content(&range);
        break;
    case 2:
        check_extents(&range);
        break;
    case 3:
        run_background(range.disk, request / 8);
        break;
    case 4:
        zr_compactor_pass(&server.compactor, (enum zr_urgency)(request / 8 % 3));
        break;
    case 5:
        if (request / 8 % 8 == 0) {
            zero_device(range.disk);
            break;
        }
        // fall through
    default:
        write_range(&range, request / 8 + (unsigned)fuzz_number(input, 1));
    }
}

static void end(void)
{
    struct zr_pool_stats stats;

    for (size_t i = 0; i < NR_OF(disks); i++) {
        struct range all = {&disks[i], 0, disks[i].window_bytes};

        check_content(&all);
        check_extents(&all);
        zero_device(&disks[i]);
    }
    zr_deferred_free_drain(server.deferred);
    zr_pool_get_stats(&server.pool, &stats);
    FUZZ_CHECK(stats.nr_objects == 0);
    FUZZ_CHECK(disks[1].device->table.account.stored_bytes == 0);
    FUZZ_CHECK(zr_pool_is_valid(&server.pool));
    zr_server_fini(&server);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t nr_bytes)
{
    struct fuzz_input input = {bytes, nr_bytes};

    start(zr_codecs[fuzz_number(&input, 1) % 2]);
    while (input.nr_bytes > 0) {
        run_request(&input);
    }
    end();
    return 0;
}
