// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "fake-codec.h"
#include "scheduler.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

uint32_t zs_block_value(unsigned id, unsigned sort, unsigned block)
{
    return (sort == ZS_SORT_SAME ? 15u : block + 1) << 28 | id << 3 | sort;
}

void zs_fill_block(void *block, uint32_t value)
{
    uint32_t *words = block;
    unsigned i;

    for (i = 0; i < ZS_BLOCK_BYTES / 4; i++) {
        words[i] = value;
    }
}

uint32_t zs_block_at(const void *buffer, size_t block)
{
    uint32_t first, last;

    memcpy(&first, (const char *)buffer + block * ZS_BLOCK_BYTES, 4);
    memcpy(&last, (const char *)buffer + (block + 1) * ZS_BLOCK_BYTES - 4, 4);
    if (first != last) {
        zs_fail("torn block: %08x %08x", first, last);
    }
    return first;
}

// What a page compresses to, by the first of its blocks.
static size_t length_of(uint32_t block)
{
    static const size_t lengths[8] = {44, 700, 2600, 4300, 44, 44, 44, 700};

    return lengths[block & 7];
}

static size_t compress(void *context, const void *page, void *out)
{
    uint32_t blocks[ZS_BLOCKS];
    size_t bytes;
    unsigned i;

    (void)context;
    zs_step_fine("compress");
    for (i = 0; i < ZS_BLOCKS; i++) {
        blocks[i] = zs_block_at(page, i);
    }
    bytes = length_of(blocks[0]);
    memset(out, (int)blocks[0] & 0xff, bytes);
    memcpy(out, blocks, sizeof blocks);
    return bytes;
}

static int decompress(void *context, const void *object, size_t bytes, void *page)
{
    uint32_t blocks[ZS_BLOCKS];
    unsigned i;

    (void)context;
    zs_step_fine("decompress");
    if (bytes < sizeof blocks) {
        return -EIO;
    }
    memcpy(blocks, object, sizeof blocks);
    for (i = 0; i < ZS_BLOCKS; i++) {
        zs_fill_block((char *)page + i * ZS_BLOCK_BYTES, blocks[i]);
    }
    return 0;
}

static void *create(int level)
{
    (void)level;
    return malloc(1);
}

const struct zr_codec_ops zs_codec_ops = {
    .name = "fake",
    .kind = ZR_SLOT_LZ4,
    .bound_bytes = 4300,
    .yield_pages = 1,
    .has_decoder = true,
    .create = create,
    .destroy = free,
    .compress = compress,
    .decompress = decompress,
};
const struct zr_codec_ops zr_codec_lz4, zr_codec_zstd;

// ---- In place of zstd's, of groups: the blocks of all pages, then as much more as their lengths
// say

ZSTD_CCtx *ZSTD_createCCtx(void)
{
    return malloc(1);
}

size_t ZSTD_freeCCtx(ZSTD_CCtx *compressor)
{
    free(compressor);
    return 0;
}

ZSTD_DCtx *ZSTD_createDCtx(void)
{
    return malloc(1);
}

size_t ZSTD_freeDCtx(ZSTD_DCtx *decompressor)
{
    free(decompressor);
    return 0;
}

size_t ZSTD_CCtx_setParameter(ZSTD_CCtx *compressor, ZSTD_cParameter parameter, int value)
{
    (void)compressor, (void)parameter, (void)value;
    return 0;
}

size_t ZSTD_compressBound(size_t bytes)
{
    return sizeof(uint64_t) + 2 * bytes;
}

unsigned ZSTD_isError(size_t code)
{
    return code == SIZE_MAX;
}

size_t ZSTD_compress2(ZSTD_CCtx *compressor, void *frame, size_t max_bytes, const void *pages,
                      size_t bytes)
{
    const uint64_t nr_blocks = bytes / ZS_BLOCK_BYTES;
    size_t at = sizeof nr_blocks, i, full_bytes = 0;
    uint32_t block;

    (void)compressor;
    zs_step_fine("compress a group");
    memcpy(frame, &nr_blocks, sizeof nr_blocks);
    for (i = 0; i < nr_blocks; i++, at += sizeof block) {
        memcpy(&block, (const char *)pages + i * ZS_BLOCK_BYTES, sizeof block);
        memcpy((char *)frame + at, &block, sizeof block);
        full_bytes += i % ZS_BLOCKS == 0 ? length_of(block) * 5 / 8 : 0;
    }
    if (full_bytes > at && full_bytes <= max_bytes) {
        memset((char *)frame + at, 0x5a, full_bytes - at);
        at = full_bytes;
    }
    return at;
}

size_t ZSTD_decompressDCtx(ZSTD_DCtx *decompressor, void *pages, size_t max_bytes,
                           const void *frame, size_t bytes)
{
    uint64_t nr_blocks, i;
    uint32_t block;

    (void)decompressor;
    zs_step_fine("decompress a group");
    memcpy(&nr_blocks, frame, sizeof nr_blocks);
    if (nr_blocks > max_bytes / ZS_BLOCK_BYTES ||
        sizeof nr_blocks + nr_blocks * sizeof block > bytes) {
        return SIZE_MAX;
    }
    for (i = 0; i < nr_blocks; i++) {
        memcpy(&block, (const char *)frame + sizeof nr_blocks + i * sizeof block, sizeof block);
        zs_fill_block((char *)pages + i * ZS_BLOCK_BYTES, block);
    }
    return nr_blocks * ZS_BLOCK_BYTES;
}

// In place of ISA-L's.
unsigned int crc32_iscsi(unsigned char *bytes, int nr, unsigned int seed);
unsigned int crc32_iscsi(unsigned char *bytes, int nr, unsigned int seed)
{
    uint64_t hash = seed, word;

    zs_step_fine("checksum");
    for (; nr >= 8; nr -= 8, bytes += 8) {
        memcpy(&word, bytes, 8);
        hash = (hash ^ word) * UINT64_C(0x9fb21c651e98df25);
        hash ^= hash >> 32;
    }
    for (; nr > 0; nr--) {
        hash = (hash ^ *bytes++) * UINT64_C(0x9fb21c651e98df25);
    }
    return (unsigned)(hash ^ hash >> 32);
}
