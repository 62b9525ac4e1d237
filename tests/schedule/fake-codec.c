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

// ---- In place of zstd's, of groups: a frame is its header and blocks, a block the blocks of the
// pages that came with one call, then as much more as their lengths say

#define FRAME_HEADER_BYTES 6 // what is asked for first

struct ZSTD_CCtx_s {
    bool has_begun;
};

struct ZSTD_DCtx_s {
    enum { AT_FRAME, AT_BLOCK, IN_BLOCK } at;
    struct block {
        uint32_t nr_words, bytes;
        bool is_last;
    } block;
};

ZSTD_CCtx *ZSTD_createCCtx(void)
{
    return calloc(1, sizeof(ZSTD_CCtx));
}

size_t ZSTD_freeCCtx(ZSTD_CCtx *compressor)
{
    free(compressor);
    return 0;
}

size_t ZSTD_CCtx_reset(ZSTD_CCtx *compressor, ZSTD_ResetDirective what)
{
    (void)what;
    compressor->has_begun = false;
    return 0;
}

size_t ZSTD_CCtx_setParameter(ZSTD_CCtx *compressor, ZSTD_cParameter parameter, int value)
{
    (void)compressor, (void)parameter, (void)value;
    return 0;
}

ZSTD_DCtx *ZSTD_createDCtx(void)
{
    return calloc(1, sizeof(ZSTD_DCtx));
}

size_t ZSTD_freeDCtx(ZSTD_DCtx *decompressor)
{
    free(decompressor);
    return 0;
}

size_t ZSTD_DCtx_reset(ZSTD_DCtx *decompressor, ZSTD_ResetDirective what)
{
    (void)what;
    decompressor->at = AT_FRAME;
    return 0;
}

size_t ZSTD_DCtx_setParameter(ZSTD_DCtx *decompressor, ZSTD_dParameter parameter, int value)
{
    (void)decompressor, (void)parameter, (void)value;
    return 0;
}

size_t ZSTD_compressBound(size_t bytes)
{
    return FRAME_HEADER_BYTES + 2 * (sizeof(struct block) + bytes);
}

unsigned ZSTD_isError(size_t code)
{
    return code == SIZE_MAX;
}

size_t ZSTD_compressStream2(ZSTD_CCtx *compressor, ZSTD_outBuffer *out, ZSTD_inBuffer *in,
                            ZSTD_EndDirective end)
{
    struct block block = {.nr_words = (uint32_t)((in->size - in->pos) / ZS_BLOCK_BYTES),
                          .is_last = end == ZSTD_e_end};
    unsigned char *header, *words;
    uint32_t word, full_bytes = 0, i;

    zs_step_fine("compress a part of a group");
    if (!compressor->has_begun) {
        memset((char *)out->dst + out->pos, 0, FRAME_HEADER_BYTES);
        out->pos += FRAME_HEADER_BYTES;
    }
    compressor->has_begun = !block.is_last;
    header = (unsigned char *)out->dst + out->pos;
    words = header + sizeof block;
    for (i = 0; i < block.nr_words; i++, in->pos += ZS_BLOCK_BYTES) {
        memcpy(&word, (const char *)in->src + in->pos, sizeof word);
        memcpy(words + i * sizeof word, &word, sizeof word);
        full_bytes += i % ZS_BLOCKS == 0 ? length_of(word) * 5 / 8 : 0;
    }
    block.bytes = block.nr_words * (uint32_t)sizeof word;
    if (full_bytes > block.bytes && full_bytes <= out->size - out->pos - sizeof block) {
        memset(words + block.bytes, 0x5a, full_bytes - block.bytes);
        block.bytes = full_bytes;
    }
    memcpy(header, &block, sizeof block);
    out->pos += sizeof block + block.bytes;
    return 0;
}

// It is given exactly what it asked for.
size_t ZSTD_decompressStream(ZSTD_DCtx *decompressor, ZSTD_outBuffer *out, ZSTD_inBuffer *in)
{
    struct block *block = &decompressor->block;
    const char *from = (const char *)in->src + in->pos;
    uint32_t word, i;

    zs_step_fine("decompress a part of a group");
    switch (decompressor->at) {
    case AT_FRAME:
        decompressor->at = AT_BLOCK;
        in->pos = in->size;
        return sizeof *block;
    case AT_BLOCK:
        memcpy(block, from, sizeof *block);
        decompressor->at = IN_BLOCK;
        in->pos = in->size;
        return block->bytes;
    default:
        if (block->nr_words > (out->size - out->pos) / ZS_BLOCK_BYTES ||
            block->nr_words * sizeof word > in->size - in->pos) {
            return SIZE_MAX;
        }
        for (i = 0; i < block->nr_words; i++, out->pos += ZS_BLOCK_BYTES) {
            memcpy(&word, from + i * sizeof word, sizeof word);
            zs_fill_block((char *)out->dst + out->pos, word);
        }
        decompressor->at = AT_BLOCK;
        in->pos = in->size;
        return block->is_last ? 0 : sizeof *block;
    }
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
