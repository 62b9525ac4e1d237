// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "codec-loop.h"

void codec_loop_init(struct codec_loop *loop, const struct zr_codec_ops *ops)
{
    uint32_t i, at = 0;

    *loop = (struct codec_loop){
        .ops = ops,
        .context = ops->create(ops->default_level),
        .objects = bench_alloc(CODEC_LOOP_PAGES * ZR_CODEC_BOUND_MAX_BYTES),
    };
    if (!loop->context) {
        bench_die("no memory for a codec context");
    }
    for (i = 0; i < CODEC_LOOP_PAGES; i++) {
        loop->offsets[i] = at;
        loop->lengths[i] =
            (uint32_t)ops->compress(loop->context, bench_page(i), loop->objects + at);
        at += (loop->lengths[i] + 15) & ~15u;
    }
}

double codec_loop_run(struct codec_loop *loop, bool is_write)
{
    unsigned char page[ZR_CODEC_BOUND_MAX_BYTES];
    uint64_t start = bench_thread_cpu_ns();
    uint32_t i;

    for (i = 0; i < CODEC_LOOP_PAGES; i++) {
        uint64_t random = bench_random(&loop->rng);
        uint32_t object = (uint32_t)(random % CODEC_LOOP_PAGES);

        if (is_write) {
            loop->ops->compress(loop->context, bench_page(random), page);
        } else {
            loop->ops->decompress(loop->context, loop->objects + loop->offsets[object],
                                  loop->lengths[object], page);
        }
    }
    return (double)(bench_thread_cpu_ns() - start) / 1e3 / CODEC_LOOP_PAGES;
}
