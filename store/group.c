// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "group.h"
#include "checksum.h"
#include "slot-table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#define ZSTD_STATIC_LINKING_ONLY // for the last three parameters: a zstd without them refuses them
#include <zstd.h>

_Static_assert(offsetof(struct zr_group, read) == 4 && offsetof(struct zr_group, bytes) == 8 &&
                   offsetof(struct zr_group, id) == 16 && offsetof(struct zr_group, slots) == 30,
               "in the store");

#define MAX_HEADER_BYTES (offsetof(struct zr_group, slots) + ZR_GROUP_PAGES * sizeof(uint16_t))

// Between zstd's levels 5 and 6 for so little data: bench/README.md has the choice.  Its hash
// chains find what its rows do, which it would take, in a sixth less time.
static const struct {
    ZSTD_cParameter name;
    int value;
} parameters[] = {
    {ZSTD_c_compressionLevel, 5},
    {ZSTD_c_windowLog, 16},
    {ZSTD_c_chainLog, 14},
    {ZSTD_c_hashLog, 16},
    {ZSTD_c_searchLog, 1},
    {ZSTD_c_minMatch, 4},
    {ZSTD_c_targetLength, 8},
    {ZSTD_c_strategy, ZSTD_lazy},
    {ZSTD_c_contentSizeFlag, 0},
    {ZSTD_c_checksumFlag, 0},
    {ZSTD_c_useRowMatchFinder, ZSTD_ps_disable},
    {ZSTD_c_stableInBuffer, 1}, // no copies
    {ZSTD_c_stableOutBuffer, 1},
};

// In two blocks, half of the pages each: for a page of the first one the second is not
// decompressed.  The length of all is not known to zstd when it begins, so the window that the
// frame asks for is always the same.
static size_t compress(struct zr_group_maker *maker, unsigned nr)
{
    struct zr_group *group = maker->group;
    ZSTD_inBuffer in = {maker->pages, (nr + 1) / 2 * (size_t)ZR_PAGE_BYTES, 0};
    ZSTD_outBuffer out = {&group->slots[nr], maker->max_frame_bytes, 0};
    size_t left;

    group->nr_members = (uint16_t)nr;
    ZSTD_CCtx_reset(maker->compressor, ZSTD_reset_session_only);
    left = ZSTD_compressStream2(maker->compressor, &out, &in, ZSTD_e_flush);
    if (left == 0) {
        in.size = nr * (size_t)ZR_PAGE_BYTES;
        left = ZSTD_compressStream2(maker->compressor, &out, &in, ZSTD_e_end);
    }
    return left == 0 ? out.pos : SIZE_MAX; // an error: there is room for the worst case
}

int zr_group_maker_init(struct zr_group_maker *maker)
{
    size_t i;

    *maker = (struct zr_group_maker){
        .compressor = ZSTD_createCCtx(),
        .max_frame_bytes = ZSTD_compressBound(ZR_GROUP_RAW_BYTES),
        .pages = malloc(ZR_GROUP_RAW_BYTES),
    };
    maker->group = malloc(MAX_HEADER_BYTES + maker->max_frame_bytes);
    if (!maker->compressor || !maker->pages || !maker->group) {
        zr_group_maker_fini(maker);
        return -ENOMEM;
    }
    if (getrandom(&maker->next_id, sizeof maker->next_id, 0) < 0) {
        zr_group_maker_fini(maker);
        return -errno;
    }
    for (i = 0; i < sizeof parameters / sizeof parameters[0]; i++) {
        ZSTD_CCtx_setParameter(maker->compressor, parameters[i].name, parameters[i].value);
    }
    // zstd allocates its tables at first use.
    for (i = 0; i < ZR_GROUP_RAW_BYTES; i++) {
        maker->pages[i] = (unsigned char)(i * i >> 8);
    }
    if (ZSTD_isError(compress(maker, ZR_GROUP_PAGES))) {
        zr_group_maker_fini(maker);
        return -ENOMEM;
    }
    return 0;
}

void zr_group_maker_fini(struct zr_group_maker *maker)
{
    ZSTD_freeCCtx(maker->compressor);
    free(maker->pages);
    free(maker->group);
    *maker = (struct zr_group_maker){.compressor = NULL};
}

static uint32_t checksum_of(const struct zr_group *group)
{
    return zr_checksum(&group->bytes, group->bytes - offsetof(struct zr_group, bytes),
                       group->device_seed);
}

uint32_t zr_group_make(struct zr_group_maker *maker, uint32_t device_seed, uint32_t leaf,
                       const uint16_t *slots, unsigned nr)
{
    struct zr_group *group = maker->group;
    size_t frame_bytes = compress(maker, nr);

    if (ZSTD_isError(frame_bytes)) {
        return UINT32_MAX;
    }
    atomic_store_explicit(&group->read, 0, memory_order_relaxed);
    group->unused = 0;
    group->device_seed = device_seed;
    group->id = maker->next_id++;
    group->leaf = leaf;
    memcpy(group->slots, slots, nr * sizeof group->slots[0]);
    group->bytes =
        (uint32_t)((size_t)(zr_group_frame(group) - (unsigned char *)group) + frame_bytes);
    group->checksum = checksum_of(group);
    return group->bytes;
}

void zr_group_copy(void *to, const struct zr_group *group)
{
    memcpy(to, group, group->bytes);
}

bool zr_group_is_sound(const struct zr_group *group, size_t max_bytes)
{
    return max_bytes > offsetof(struct zr_group, slots) && group->bytes <= max_bytes &&
           group->nr_members > 0 && group->nr_members <= ZR_GROUP_PAGES &&
           group->bytes > offsetof(struct zr_group, slots) + group->nr_members * sizeof(uint16_t) &&
           group->checksum == checksum_of(group);
}
