// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Two tenants of one server: one reads, a page at a time, while the other one does nothing, writes
// within its limit, or writes against its limit and is refused.  The three take turns.
#include "nbd-server.h"
#include "nbd-stream.h"

#include <stdio.h>

#define NR_ROUNDS_DEFAULT 7
#define TURN_NS UINT64_C(1000000000)
#define DISK_BYTES (UINT64_C(256) << 20)
#define WRITE_DEPTH 16

enum other { ALONE, WITHIN, AGAINST, NR_OTHERS };

static const char *const subjects[NR_OTHERS] = {"alone", "other writes within its limit",
                                                "other writes against its limit"};
// "roomy" has no limit; that of "tight" is reached at once.
static const char *const exports[NR_OTHERS] = {NULL, "roomy", "tight"};

static struct nbd_handle *reader, *writers[NR_OTHERS];
static struct bench_pages pages;
static struct bench_samples samples;

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

static bool next_write(struct nbd_stream *stream, struct nbd_request *request)
{
    next_read(stream, request);
    request->kind = NBD_STREAM_WRITE;
    request->data = bench_page(&pages, bench_random(&stream->rng));
    return true;
}

// In order, once.
static bool next_fill(struct nbd_stream *stream, struct nbd_request *request)
{
    *request = (struct nbd_request){
        .kind = NBD_STREAM_WRITE,
        .offset = stream->nr_issued * BENCH_PAGE_BYTES,
        .bytes = BENCH_PAGE_BYTES,
        .data = bench_page(&pages, stream->nr_issued),
    };
    return request->offset < DISK_BYTES;
}

static void fill(struct nbd_handle *nbd, bool may_be_refused)
{
    struct nbd_stream stream = {
        .nbd = nbd,
        .depth = WRITE_DEPTH,
        .next = next_fill,
        .may_be_refused = may_be_refused,
    };

    nbd_streams_run(&stream, 1);
    if ((stream.nr_refused > 0) != may_be_refused) {
        bench_die("%llu writes of a fill were refused", (unsigned long long)stream.nr_refused);
    }
}

static void run_turn(enum other other, unsigned round)
{
    const char *const work = "4 KiB reads of a tenant";
    struct nbd_stream streams[2] = {
        {.nbd = reader,
         .depth = 1,
         .duration_ns = TURN_NS,
         .next = next_read,
         .rng = {round},
         .latencies_ns = &samples},
        {.nbd = writers[other],
         .depth = WRITE_DEPTH,
         .duration_ns = TURN_NS,
         .next = next_write,
         .rng = {1000 + round},
         .may_be_refused = other == AGAINST},
    };

    bench_samples_clear(&samples);
    nbd_streams_run(streams, other == ALONE ? 1 : 2);
    if (round == 0) {
        return; // warms up
    }
    bench_add(bench_row(work, subjects[other], "µs p50", BENCH_LOWER),
              bench_samples_percentile(&samples, 50) / 1e3);
    bench_add(bench_row(work, subjects[other], "µs p99", BENCH_LOWER),
              bench_samples_percentile(&samples, 99) / 1e3);
    if (other != ALONE) {
        bench_add(bench_row(work, subjects[other], "other's writes/s", BENCH_NEITHER),
                  (double)streams[1].nr_done * 1e9 / (double)streams[1].elapsed_ns);
        bench_add(bench_row(work, subjects[other], "% refused", BENCH_NEITHER),
                  100.0 * (double)streams[1].nr_refused / (double)streams[1].nr_done);
    }
}

static void run(const char *plugin, unsigned nr_rounds)
{
    // A line for each refused write is not what is measured.
    const char *const arguments[] = {"--log=null",           plugin,
                                     "export=reader:256M",   "export=roomy:256M",
                                     "export=tight:256M:8M", NULL};
    struct nbd_server server;
    unsigned round, turn;

    nbd_server_start(&server, "zramswap", arguments);
    reader = nbd_server_connect(&server, "reader");
    bench_progress("tenants: fill");
    fill(reader, false);
    for (turn = WITHIN; turn < NR_OTHERS; turn++) {
        writers[turn] = nbd_server_connect(&server, exports[turn]);
        fill(writers[turn], turn == AGAINST);
    }
    for (round = 0; round <= nr_rounds; round++) {
        bench_progress("tenants: round %u of %u", round, nr_rounds);
        for (turn = 0; turn < NR_OTHERS; turn++) {
            run_turn((turn + round) % NR_OTHERS, round);
        }
    }
    for (turn = WITHIN; turn < NR_OTHERS; turn++) {
        nbd_server_disconnect(writers[turn]);
    }
    nbd_server_disconnect(reader);
    nbd_server_stop(&server);
}

static void set_target(const char *name, enum other reference, double limit)
{
    const char *const work = "4 KiB reads of a tenant";

    bench_target_ratio(name, bench_row(work, subjects[AGAINST], "µs p99", BENCH_LOWER),
                       bench_row(work, subjects[reference], "µs p99", BENCH_LOWER), "<=", limit);
}

int main(int argc, char *argv[])
{
    struct bench_arguments arguments = {.nr_rounds = NR_ROUNDS_DEFAULT};

    bench_parse_arguments(&arguments, argc, argv);
    bench_pages_load(&pages, arguments.pages_path);
    bench_samples_init(&samples, 1u << 20);
    run(arguments.plugin, arguments.nr_rounds);
    set_target("p99 of reads while another tenant is refused ÷ alone", ALONE, 1.3);
    set_target("p99 of reads while another tenant is refused ÷ while it may write", WITHIN, 1.0);
    bench_report("tenants", arguments.json_path);
    return 0;
}
