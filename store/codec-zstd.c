// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "codec.h"

#include <errno.h>
#include <stdlib.h>
#include <zstd.h>

_Static_assert(ZSTD_COMPRESSBOUND(ZR_PAGE_BYTES) <= ZR_CODEC_BOUND_MAX_BYTES, "scratch too small");

struct context {
    ZSTD_CCtx *compressor;
    ZSTD_DCtx *decompressor;
};

static void destroy(void *arg)
{
    struct context *context = arg;

    ZSTD_freeCCtx(context->compressor);
    ZSTD_freeDCtx(context->decompressor);
    free(context);
}

static size_t compress(void *arg, const void *page, void *out)
{
    struct context *context = arg;
    size_t bytes = ZSTD_compress2(context->compressor, out, ZSTD_COMPRESSBOUND(ZR_PAGE_BYTES), page,
                                  ZR_PAGE_BYTES);

    // With room for the worst case only a broken library fails; a page that reports itself as not
    // compressible is stored raw.
    return ZSTD_isError(bytes) ? ZSTD_COMPRESSBOUND(ZR_PAGE_BYTES) : bytes;
}

static int decompress(void *arg, const void *object, size_t bytes, void *page)
{
    struct context *context = arg;

    return ZSTD_decompressDCtx(context->decompressor, page, ZR_PAGE_BYTES, object, bytes) ==
                   ZR_PAGE_BYTES
               ? 0
               : -EIO;
}

static void *create(int level)
{
    struct context *context = calloc(1, sizeof *context);
    unsigned char page[ZR_PAGE_BYTES], out[ZR_CODEC_BOUND_MAX_BYTES] = {0}; // as compress may fail
    size_t bytes;
    unsigned i;

    if (!context) {
        return NULL;
    }
    context->compressor = ZSTD_createCCtx();
    context->decompressor = ZSTD_createDCtx();
    if (!context->compressor || !context->decompressor) {
        goto error;
    }
    // The length of a page is known and zstd's own check of it is enough: no header fields.
    ZSTD_CCtx_setParameter(context->compressor, ZSTD_c_compressionLevel, level);
    ZSTD_CCtx_setParameter(context->compressor, ZSTD_c_contentSizeFlag, 0);
    ZSTD_CCtx_setParameter(context->compressor, ZSTD_c_checksumFlag, 0);

    // zstd allocates its tables at first use: here, not in a request.
    for (i = 0; i < ZR_PAGE_BYTES; i++) {
        page[i] = (unsigned char)(i * i >> 8);
    }
    bytes = compress(context, page, out);
    if (decompress(context, out, bytes, page) < 0) {
        goto error;
    }
    return context;

error:
    destroy(context);
    return NULL;
}

const struct zr_codec_ops zr_codec_zstd = {
    .name = "zstd",
    .kind = ZR_SLOT_ZSTD,
    .has_level = true,
    .has_decoder = true,
    .bound_bytes = ZSTD_COMPRESSBOUND(ZR_PAGE_BYTES),
    .yield_pages = 1,
    .default_level = 1,
    .min_level = ZSTD_minCLevel,
    .max_level = ZSTD_maxCLevel,
    .version = ZSTD_versionString,
    .create = create,
    .destroy = destroy,
    .compress = compress,
    .decompress = decompress,
};
