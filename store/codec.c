// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "codec.h"
#include "checksum.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CONTEXTS_PER_CPU 2 // so that a preempted holder does not stop a free CPU

const struct zr_codec_ops *const zr_codecs[] = {&zr_codec_lz4, &zr_codec_zstd, NULL};

const struct zr_codec_ops *zr_codec_find(const char *name)
{
    unsigned i;

    for (i = 0; zr_codecs[i]; i++) {
        if (strcmp(zr_codecs[i]->name, name) == 0) {
            return zr_codecs[i];
        }
    }
    return NULL;
}

int zr_codec_init(struct zr_codec *codec, const struct zr_codec_ops *ops, int level)
{
    long nr_cpus = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned nr = CONTEXTS_PER_CPU * (nr_cpus > 0 ? (unsigned)nr_cpus : 1);

    *codec = (struct zr_codec){
        .ops = ops,
        .checksum_bytes = ZR_CHECKSUM_BYTES,
        .contexts = aligned_alloc(_Alignof(struct zr_codec_context), nr * sizeof *codec->contexts),
    };
    if (!codec->contexts) {
        return -ENOMEM;
    }
    for (; codec->nr_contexts < nr; codec->nr_contexts++) {
        struct zr_codec_context *context = &codec->contexts[codec->nr_contexts];

        context->codec = ops->create(level);
        if (!context->codec) {
            zr_codec_fini(codec);
            return -ENOMEM;
        }
        pthread_mutex_init(&context->busy, NULL);
    }
    return 0;
}

void zr_codec_fini(struct zr_codec *codec)
{
    while (codec->nr_contexts > 0) {
        struct zr_codec_context *context = &codec->contexts[--codec->nr_contexts];

        codec->ops->destroy(context->codec);
        pthread_mutex_destroy(&context->busy);
    }
    free(codec->contexts);
    codec->contexts = NULL;
}

struct zr_codec_context *zr_codec_get(struct zr_codec *codec)
{
    // The CPU's own first: its working memory is in that CPU's cache.
    unsigned first = (unsigned)sched_getcpu() * CONTEXTS_PER_CPU % codec->nr_contexts;
    unsigned i;

    for (i = 0; i < codec->nr_contexts; i++) {
        struct zr_codec_context *context = &codec->contexts[(first + i) % codec->nr_contexts];

        if (pthread_mutex_trylock(&context->busy) == 0) {
            return context;
        }
    }
    pthread_mutex_lock(&codec->contexts[first].busy);
    return &codec->contexts[first];
}

void zr_codec_put(struct zr_codec_context *context)
{
    pthread_mutex_unlock(&context->busy);
}

struct zr_codec *zr_codec_of_kind(struct zr_codec *codec, enum zr_slot_kind kind)
{
    while (codec && codec->ops->kind != kind) {
        codec = codec->older;
    }
    return codec;
}

size_t zr_codec_compress(struct zr_codec *codec, const void *page, void *out)
{
    struct zr_codec_context *context = zr_codec_get(codec);
    size_t bytes = codec->ops->compress(context->codec, page, out);

    zr_codec_put(context);
    return bytes;
}

int zr_codec_decompress(struct zr_codec *codec, const void *object, size_t bytes, void *page)
{
    struct zr_codec_context *context;
    int rc;

    if (!codec->ops->has_decoder) {
        return codec->ops->decompress(NULL, object, bytes, page);
    }
    context = zr_codec_get(codec);
    rc = codec->ops->decompress(context->codec, object, bytes, page);
    zr_codec_put(context);
    return rc;
}
