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
        .contexts = calloc(nr, sizeof *codec->contexts),
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
        memset(context->page, 0, sizeof context->page); // touched ahead of the first request
        memset(context->object, 0, sizeof context->object);
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

// Only the holder counts, so no atomic addition is needed.
static struct zr_codec_context *count_get(struct zr_codec_context *context)
{
    uint64_t nr = atomic_load_explicit(&context->nr_gets, memory_order_relaxed);

    atomic_store_explicit(&context->nr_gets, nr + 1, memory_order_relaxed);
    return context;
}

struct zr_codec_context *zr_codec_get(struct zr_codec *codec)
{
    // The CPU's own first: its working memory is in that CPU's cache.
    unsigned first = (unsigned)sched_getcpu() * CONTEXTS_PER_CPU % codec->nr_contexts;
    unsigned i;

    for (i = 0; i < codec->nr_contexts; i++) {
        struct zr_codec_context *context = &codec->contexts[(first + i) % codec->nr_contexts];

        if (pthread_mutex_trylock(&context->busy) == 0) {
            return count_get(context);
        }
    }
    pthread_mutex_lock(&codec->contexts[first].busy);
    return count_get(&codec->contexts[first]);
}

void zr_codec_put(struct zr_codec_context *context)
{
    pthread_mutex_unlock(&context->busy);
}

uint64_t zr_codec_nr_gets(const struct zr_codec *codec)
{
    uint64_t nr = 0;
    unsigned i;

    for (i = 0; i < codec->nr_contexts; i++) {
        nr += atomic_load_explicit(&codec->contexts[i].nr_gets, memory_order_relaxed);
    }
    return nr;
}
