// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// The codec alone, on some pages of the page file: what it takes of a request's time.
#ifndef ZR_BENCH_CODEC_LOOP_H
#define ZR_BENCH_CODEC_LOOP_H

#include "bench.h"
#include "plugin/server.h"

#define CODEC_LOOP_PAGES 2048u

struct codec_loop {
    const struct zr_codec_ops *ops;
    void *context;
    unsigned char *objects;
    uint32_t offsets[CODEC_LOOP_PAGES];
    uint32_t lengths[CODEC_LOOP_PAGES];
    struct bench_rng rng;
};

// At the codec's default level.
void codec_loop_init(struct codec_loop *loop, const struct zr_codec_ops *ops);

// CPU time of compressing (is_write) or decompressing a page at random, µs.
double codec_loop_run(struct codec_loop *loop, bool is_write);

#endif
