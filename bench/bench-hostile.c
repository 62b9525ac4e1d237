// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// How long a guest waits for a page while another client does harm: random 4 KiB reads, one at a
// time, alone and then beside each of the hostile clients that the tests know.
#include "bench.h"
#include "nbd-server.h"
#include "nbd-stream.h"
#include "tests/protocol/hostile.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define NR_ROUNDS_DEFAULT 5
#define TURN_NS UINT64_C(1000000000)
#define SETTLE_US 300000
#define DISK_BYTES (UINT64_C(64) << 20)
#define FILL_BYTES (128u << 10)

static struct bench_pages pages;
static struct bench_samples samples;

static bool next_fill(struct nbd_stream *stream, struct nbd_request *request)
{
    uint64_t offset = stream->nr_issued * FILL_BYTES;

    *request = (struct nbd_request){
        .kind = NBD_STREAM_WRITE,
        .offset = offset,
        .bytes = FILL_BYTES,
        .data = bench_page_run(&pages, offset / BENCH_PAGE_BYTES, FILL_BYTES / BENCH_PAGE_BYTES),
    };
    return offset < DISK_BYTES;
}

static bool next_read(struct nbd_stream *stream, struct nbd_request *request)
{
    *request = (struct nbd_request){
        .kind = NBD_STREAM_READ,
        .offset =
            bench_random_below(&stream->rng, DISK_BYTES / BENCH_PAGE_BYTES) * BENCH_PAGE_BYTES,
        .bytes = BENCH_PAGE_BYTES,
    };
    return true;
}

// p99 in µs of a turn of reads.
static double read_for_a_turn(struct nbd_handle *nbd, unsigned round)
{
    struct nbd_stream stream = {
        .nbd = nbd,
        .depth = 1,
        .duration_ns = TURN_NS,
        .next = next_read,
        .rng = {round},
        .latencies_ns = &samples,
    };

    bench_samples_clear(&samples);
    nbd_streams_run(&stream, 1);
    return bench_samples_percentile(&samples, 99) / 1e3;
}

// Alone, then beside the hostile one, in a server of their own.
static void run_round(const char *const *arguments, const char *subject,
                      const struct hostile *hostile, unsigned round)
{
    struct nbd_server server;
    struct nbd_handle *nbd;
    struct nbd_stream fill = {.depth = 4, .next = next_fill};
    double alone, beside;
    pid_t pid;

    nbd_server_start(&server, subject, arguments);
    nbd = nbd_server_connect(&server, "");
    fill.nbd = nbd;
    nbd_streams_run(&fill, 1);
    alone = read_for_a_turn(nbd, round);
    pid = hostile_start(hostile, server.socket, "hostile");
    usleep(SETTLE_US);
    beside = read_for_a_turn(nbd, round);
    hostile_stop(pid);
    nbd_close(nbd);
    nbd_server_stop(&server);
    if (round > 0) { // the first round warms up
        bench_add(bench_row(hostile->name, subject, "µs p99 alone", BENCH_LOWER), alone);
        bench_add(bench_row(hostile->name, subject, "µs p99 beside", BENCH_LOWER), beside);
    }
}

int main(int argc, char **argv)
{
    struct bench_arguments arguments = {.nr_rounds = NR_ROUNDS_DEFAULT};
    unsigned round;

    bench_parse_arguments(&arguments, argc, argv);
    bench_pages_load(&pages, arguments.pages_path);
    bench_samples_init(&samples, 1 << 20);

    const char *const plain[] = {"--log=null", arguments.plugin, "size=64M",
                                 "export=hostile:64M:16M", NULL};
    for (const struct hostile *hostile = hostiles; hostile->name; hostile++) {
        bench_progress("hostile: %s", hostile->name);
        for (round = 0; round <= arguments.nr_rounds; round++) {
            run_round(plain, "zramswap", hostile, round);
        }
        bench_target_ratio(
            hostile->name, bench_row(hostile->name, "zramswap", "µs p99 beside", BENCH_LOWER),
            bench_row(hostile->name, "zramswap", "µs p99 alone", BENCH_LOWER), "<=", 2);
    }
    bench_samples_fini(&samples);
    bench_report("hostile", arguments.json_path);
    return 0;
}
