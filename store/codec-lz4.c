// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "codec.h"

#include <errno.h>
#include <lz4.h>
#include <stdlib.h>

_Static_assert(LZ4_COMPRESSBOUND(ZR_PAGE_BYTES) <= ZR_CODEC_BOUND_MAX_BYTES, "scratch too small");

static void *create(int level)
{
    (void)level;
    return calloc(1, (size_t)LZ4_sizeofState());
}

static size_t compress(void *context, const void *page, void *out)
{
    // With room for the worst case lz4 leaves out its checks of the output's end.
    return (size_t)LZ4_compress_fast_extState(context, page, out, ZR_PAGE_BYTES,
                                              LZ4_COMPRESSBOUND(ZR_PAGE_BYTES), 1);
}

static int decompress(void *context, const void *object, size_t bytes, void *page)
{
    (void)context;
    return LZ4_decompress_safe(object, page, (int)bytes, ZR_PAGE_BYTES) == (int)ZR_PAGE_BYTES
               ? 0
               : -EIO;
}

const struct zr_codec_ops zr_codec_lz4 = {
    .name = "lz4",
    .kind = ZR_SLOT_LZ4,
    .bound_bytes = LZ4_COMPRESSBOUND(ZR_PAGE_BYTES),
    .yield_pages = 4,
    .version = LZ4_versionString,
    .create = create,
    .destroy = free,
    .compress = compress,
    .decompress = decompress,
};
