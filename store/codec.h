// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Codecs: one const table of operations each, and contexts that are made before the first request.
//
// A context (the working memory of one compression, 16 KiB to some 100 KiB) is borrowed for one
// page, and never kept over a wait, a yield or a system call.  There are two per CPU, so one is
// free unless holders were preempted; then the next thread waits until one of them runs again.
//
// Threads: get and put from any; a context belongs to the thread that got it.
#ifndef ZR_CODEC_H
#define ZR_CODEC_H

#include "same-filled.h"
#include "slot-word.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct zr_codec_ops {
    const char *name;
    enum zr_slot_kind kind;
    bool has_level;
    bool has_decoder;     // decompress uses the context; else that may be NULL
    size_t bound_bytes;   // a page never compresses to more than this
    unsigned yield_pages; // compressing so many takes about 20 µs: then others may have the CPU
    int default_level;
    int (*min_level)(void);
    int (*max_level)(void);
    const char *(*version)(void);

    // A working context for level, warmed up so that compress and decompress never allocate.
    // NULL if out of memory.
    void *(*create)(int level);
    void (*destroy)(void *context);

    // Compresses a page into out, which has bound_bytes.  Returns the length.
    size_t (*compress)(void *context, const void *page, void *out);

    // 0, or -EIO if the object is not what compress made of a page.
    int (*decompress)(void *context, const void *object, size_t bytes, void *page);
};

extern const struct zr_codec_ops zr_codec_lz4;
extern const struct zr_codec_ops zr_codec_zstd;

// All of them, NULL at the end; the first is the default.
extern const struct zr_codec_ops *const zr_codecs[];

// NULL if there is no such codec.
const struct zr_codec_ops *zr_codec_find(const char *name);

#define ZR_CODEC_BOUND_MAX_BYTES 4352

struct zr_codec_context {
    pthread_mutex_t busy; // held by the borrower
    void *codec;
} __attribute__((aligned(64)));

struct zr_codec {
    const struct zr_codec_ops *ops;
    size_t checksum_bytes; // behind each object: ZR_CHECKSUM_BYTES, or 0 if they go without
    // In a store all objects have these bytes, since the next server may compute what this one does
    // not: without_checksum writes none, may_lack_checksum reads none as right.
    bool without_checksum, may_lack_checksum;
    struct zr_codec *older; // decodes what an earlier server stored, and so on; NULL: no more
    unsigned nr_contexts;
    struct zr_codec_context *contexts;
};

// With checksums.  0 or -ENOMEM.  level is within the range of ops, or ignored if it has none.
int zr_codec_init(struct zr_codec *codec, const struct zr_codec_ops *ops, int level);
void zr_codec_fini(struct zr_codec *codec);

// Borrows a context; may wait for one, never allocates.
struct zr_codec_context *zr_codec_get(struct zr_codec *codec);
void zr_codec_put(struct zr_codec_context *context);

// This codec or an older one, whichever makes objects of a kind; NULL if none does.
struct zr_codec *zr_codec_of_kind(struct zr_codec *codec, enum zr_slot_kind kind);

// As those of ops, with a context that is borrowed meanwhile.
size_t zr_codec_compress(struct zr_codec *codec, const void *page, void *out);
int zr_codec_decompress(struct zr_codec *codec, const void *object, size_t bytes, void *page);

#endif
