// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Bytes → slot words that a fault has changed, in the table of a device that holds a page of each
// content.  Whoever only looks at such a word - a read, the reading half of a partial write, block
// status, statistics - reads nothing outside the arena and says 0 or -EIO; the pages beside it
// stay as they are.  An input flips bits of a word, changes it as a whole, or leads it to the end
// of the arena.
//
// Every other page is as old as a walk when the rest is written, and so in a group if it
// compresses. None leaves it by being read again: the device is at its limit.
//
// The word is put back before its object would be freed: that a handle is another page's cannot be
// seen from it, and freeing it twice ends the server by intention (zr_span_put).
#include "fuzz.h"

#include "allocator/rcu.h"
#include "plugin/server.h"
#include "plugin/stats.h"
#include "tests/protocol/content.h"

#include <errno.h>

#define NR_PAGES 16

static struct zr_server server;
static struct zr_device *device;
static unsigned char shadow[NR_PAGES][ZR_PAGE_BYTES];

// Once: every input puts back what it changes.
static void start(void)
{
    static char name[] = "";
    struct zr_export_config export = {name, GiB, UINT64_MAX, 0};
    struct zr_server_config config = {
        .exports = &export, .nr_exports = 1, .limit_bytes = 2 * MiB, .codec = &zr_codec_lz4};
    uint64_t slot = 0, nr_stored = 0;

    FUZZ_CHECK(zr_server_init(&server, &config) == 0);
    device = server.devices;
    random_seed(1);
    for (unsigned i = 0; i < NR_PAGES; i++) {
        content_fill(shadow[i], ZR_PAGE_BYTES, (enum content)(i % NR_CONTENTS));
    }
    FUZZ_CHECK(zr_device_write(device, shadow, sizeof shadow, 0) == 0);
    zr_ager_walk(&server.ager);
    for (uint64_t i = 1; i < NR_PAGES; i += 2) {
        FUZZ_CHECK(zr_device_write(device, shadow[i], ZR_PAGE_BYTES, i * ZR_PAGE_BYTES) == 0);
    }
    zr_demoter_demote(&server.demoter, device, &slot, 1, &nr_stored);
    FUZZ_CHECK(server.demoter.nr_demoted_pages > 2);
    device->table.account.limit_bytes = 1;
}

static _Atomic uint64_t *word_at(uint64_t slot)
{
    _Atomic uint64_t *leaf;

    zr_rcu_read_lock();
    leaf = zr_slot_table_leaf(&device->table, slot);
    zr_rcu_read_unlock();
    return &leaf[slot];
}

static void check_neighbours(uint64_t damaged)
{
    unsigned char page[ZR_PAGE_BYTES];

    for (uint64_t slot = 0; slot < NR_PAGES; slot++) {
        if (slot != damaged) {
            FUZZ_CHECK(zr_device_read(device, page, sizeof page, slot * ZR_PAGE_BYTES) == 0);
            FUZZ_CHECK(memcmp(page, shadow[slot], sizeof page) == 0);
        }
    }
}

static int ignore_extent(void *opaque, uint64_t offset, uint64_t bytes, bool is_hole)
{
    (void)opaque;
    (void)offset;
    (void)bytes;
    (void)is_hole;
    return 0;
}

// True if the bytes that a word stands for lie in the arena.
static bool is_inside(uint64_t word)
{
    zr_handle handle = zr_handle_of_word(word);
    uint64_t bytes = zr_handle_length_bytes(handle);

    if (zr_slot_word_kind(word) == ZR_SLOT_HUGE) {
        bytes = ZR_PAGE_BYTES;
    }
    return zr_slot_word_kind(word) == ZR_SLOT_SAME ||
           zr_handle_offset_bytes(handle) + bytes <= server.pool.arena.open_bytes;
}

static void look_at(uint64_t slot)
{
    unsigned char page[ZR_PAGE_BYTES];
    struct zr_server_stats stats;
    int rc;

    rc = zr_device_read(device, page, sizeof page, slot * ZR_PAGE_BYTES);
    FUZZ_CHECK((rc == 0 && is_inside(*word_at(slot))) || rc == -EIO);
    FUZZ_CHECK(zr_device_read(device, page, 1, slot * ZR_PAGE_BYTES + 7) == rc);
    FUZZ_CHECK(zr_device_extents(device, sizeof shadow, 0, ignore_extent, NULL) == 0);
    zr_server_get_stats(&server, &stats);
    if (zr_handle_has_object(zr_handle_of_word(*word_at(slot)))) { // as the compactor does
        zr_evacuation_wants(&server.pool, zr_handle_of_word(*word_at(slot)));
    }
    if (rc == -EIO) { // else the write would free what the word says
        FUZZ_CHECK(zr_device_write(device, page, 1, slot * ZR_PAGE_BYTES + 7) == -EIO);
    }
}

// From a sound word and 8 bytes of the input.
static uint64_t damaged(uint64_t sound, uint64_t damage, unsigned how)
{
    uint64_t open_bytes = server.pool.arena.open_bytes;

    switch (how) {
    case 0:
        return sound ^ damage;
    case 1: // up to 8 KiB this side of the end
        return zr_slot_word_make((enum zr_slot_kind)(damage % 8),
                                 zr_handle_make(open_bytes - (damage >> 8 & 0x1ff) * 16,
                                                (uint32_t)(damage >> 32 & 0x1fff)));
    default:
        return damage;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t nr_bytes)
{
    struct fuzz_input input = {bytes, nr_bytes};

    if (!device) {
        start();
    }
    while (input.nr_bytes > 0) {
        unsigned how = (unsigned)fuzz_number(&input, 1);
        uint64_t slot = how % NR_PAGES;
        uint64_t sound = *word_at(slot);
        uint64_t damage = fuzz_number(&input, 8);

        *word_at(slot) = damaged(sound, damage, how / NR_PAGES % 4);
        look_at(slot);
        check_neighbours(slot);
        *word_at(slot) = sound;
    }
    check_neighbours(NR_PAGES);
    return 0;
}
