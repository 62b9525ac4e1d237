// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// What a checksum costs a read: two engines that hold the same pages, one with and one without, read
// the same slots in turns.  A turn takes some ms, so that both see the same machine.
#include "engine-bench.h"
#include "../store/checksum.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TURN_READS 4096u
#define NR_ROUNDS 201
#define NR_SLOTS (1u << 16)

static double read_turn(struct engine_bench *bench, const uint32_t *slots)
{
    unsigned char page[ZR_PAGE_BYTES];
    uint64_t start = bench_thread_cpu_ns();
    unsigned i;

    for (i = 0; i < TURN_READS; i++) {
        int rc = zr_device_read(bench->device, page, sizeof page, slots[i] * (uint64_t)sizeof page);

        if (rc < 0) {
            bench_die("slot %u: %s", slots[i], strerror(-rc));
        }
    }
    return (double)(bench_thread_cpu_ns() - start) / TURN_READS;
}

void engine_bench_checksum(const struct bench_pages *pages, const struct zr_codec_ops *codec)
{
    const char *const what = "random 4 KiB reads in turns, checksum on and off";
    struct engine_bench engines[2];
    struct bench_row *rows[2];
    uint32_t *order = bench_random_order(NR_SLOTS, NR_SLOTS);
    char names[2][40];
    unsigned i, round;

    for (i = 0; i < 2; i++) {
        snprintf(names[i], sizeof names[i], "checksum=%s %s", i == 0 ? "on" : "off", codec->name);
        rows[i] = bench_row(what, names[i], "ns CPU/page", BENCH_LOWER);
        engine_bench_open(&engines[i], pages, codec, NR_SLOTS, false);
        engines[i].server.codec.checksum_bytes = i == 0 ? ZR_CHECKSUM_BYTES : 0;
        engine_bench_fill(&engines[i], 0, NR_SLOTS, 1);
    }
    for (round = 0; round <= NR_ROUNDS; round++) {
        const uint32_t *slots = order + round % (NR_SLOTS / TURN_READS) * TURN_READS;

        for (i = 0; i < 2; i++) {
            unsigned engine = (i + round) % 2;
            double ns = read_turn(&engines[engine], slots);

            if (round > 0) { // the first one warms up
                bench_add(rows[engine], ns);
            }
        }
    }
    snprintf(names[0], sizeof names[0], "checksum on ÷ off, %s", codec->name);
    bench_target_ratio(names[0], rows[0], rows[1], "<=", 1.03);
    engine_bench_close(&engines[0]);
    engine_bench_close(&engines[1]);
    free(order);
}
