// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// What a tenant notices of the others: one that writes within its limit or against it, hostile
// ones, and one that is refused all the time while there is little room for everybody.
#include "load.h"
#include "tests/protocol/hostile.h"

#include <stdio.h>
#include <unistd.h>

#define NR_ROUNDS 7
#define NR_HOSTILE_ROUNDS 3
#define TURN_NS UINT64_C(1000000000)
#define HOSTILE_TURN_NS UINT64_C(500000000)
#define SETTLE_US 300000
#define DISK_BYTES (UINT64_C(256) << 20)
#define SMALL_DISK_BYTES (UINT64_C(64) << 20)
#define WRITE_DEPTH 16

static const struct load fill = {"fill", LOAD_WRITE, BENCH_PAGE_BYTES, .length = DISK_BYTES,
                                 .is_sequential = true};
static const struct load small_fill = {"fill", LOAD_WRITE, 128u << 10, .length = SMALL_DISK_BYTES,
                                       .is_sequential = true};
static const struct load reads = {"reads", LOAD_READ, BENCH_PAGE_BYTES, .length = DISK_BYTES};
static const struct load small_reads = {"reads", LOAD_READ, BENCH_PAGE_BYTES,
                                        .length = SMALL_DISK_BYTES};
static const struct load writes = {"writes", LOAD_WRITE, BENCH_PAGE_BYTES, .length = DISK_BYTES};

static void store(struct nbd_handle *nbd, const struct load *load, bool is_refused)
{
    struct stream stream = {
        .load = load, .nbd = nbd, .depth = WRITE_DEPTH, .may_be_refused = is_refused};

    load_run(&stream, 1);
    if ((stream.nr_refused > 0) != is_refused) {
        bench_die("%llu writes of a fill were refused", (unsigned long long)stream.nr_refused);
    }
}

// ---- reads of one while another writes ---------------------------------------------------------

enum other { ALONE, WITHIN, AGAINST, NR_OTHERS };

static void run_turn(const struct server *server, struct nbd_handle *const *connections,
                     enum other other, unsigned round)
{
    static const char *const work = "4 KiB reads of a tenant";
    static const char *const subjects[NR_OTHERS] = {"alone", "other writes within its limit",
                                                    "other writes against its limit"};
    struct stream streams[2] = {
        {.load = &reads,
         .nbd = connections[ALONE],
         .depth = 1,
         .duration_ns = TURN_NS,
         .rng = {round}},
        {.load = &writes,
         .nbd = connections[other],
         .depth = WRITE_DEPTH,
         .duration_ns = TURN_NS,
         .rng = {1000 + round},
         .may_be_refused = other == AGAINST},
    };
    struct turn turn = load_turn(server, streams, other == ALONE ? 1 : 2, 1);

    if (round == 0) {
        return; // warms up
    }
    load_add_latency(work, subjects[other], &turn);
    if (other != ALONE) {
        bench_add(work, subjects[other], "other's writes/s",
                  (double)streams[1].nr_done * 1e9 / (double)streams[1].elapsed_ns);
        bench_add(work, subjects[other], "% refused",
                  100.0 * (double)streams[1].nr_refused / (double)streams[1].nr_done);
    }
}

static void test_limits(void)
{
    // "roomy" has no limit; that of "tight" is reached at once.  A line for each refused write is
    // not what is measured.
    static const char *const exports[NR_OTHERS] = {"reader", "roomy", "tight"};
    const unsigned nr_rounds = bench_nr_rounds(NR_ROUNDS);
    struct server *server = server_open("--log=null", bench_options.plugin, "export=reader:256M",
                                        "export=roomy:256M", "export=tight:256M:8M");
    struct nbd_handle *connections[NR_OTHERS];
    unsigned round, turn;

    bench_progress("tenants: fill");
    for (turn = 0; turn < NR_OTHERS; turn++) {
        connections[turn] = load_connect(server, exports[turn]);
        store(connections[turn], &fill, turn == AGAINST);
    }
    for (round = 0; round <= nr_rounds; round++) {
        bench_progress("tenants: limits, round %u of %u", round, nr_rounds);
        bench_begin_round();
        for (turn = 0; turn < NR_OTHERS; turn++) {
            run_turn(server, connections, (turn + round) % NR_OTHERS, round);
        }
    }
    for (turn = 0; turn < NR_OTHERS; turn++) {
        server_disconnect(connections[turn]);
    }
    server_close(server);
}

// ---- reads of one beside a hostile client ------------------------------------------------------

static double p99_of_reads(const struct server *server, struct nbd_handle *nbd, unsigned round)
{
    struct stream stream = {.load = &small_reads,
                            .nbd = nbd,
                            .depth = 1,
                            .duration_ns = HOSTILE_TURN_NS,
                            .rng = {round}};

    return load_turn(server, &stream, 1, 1).p99_us;
}

// Alone, then beside the hostile one, in a server of their own.
static void run_hostile(const struct hostile *hostile, unsigned round)
{
    struct server *server =
        server_open("--log=null", bench_options.plugin, "size=64M", "export=hostile:64M:16M");
    struct nbd_handle *nbd = load_connect(server, "");
    double alone, beside;
    pid_t pid;

    store(nbd, &small_fill, false);
    alone = p99_of_reads(server, nbd, round);
    pid = hostile_start(hostile, server->socket, "hostile");
    usleep(SETTLE_US);
    beside = p99_of_reads(server, nbd, round);
    hostile_stop(pid);
    nbd_close(nbd);
    server_close(server);
    if (round > 0) { // the first round warms up
        bench_add(hostile->name, "zramswap", "µs p99 alone", alone);
        bench_add(hostile->name, "zramswap", "µs p99 beside", beside);
    }
}

static void test_hostile(void)
{
    const unsigned nr_rounds = bench_nr_rounds(NR_HOSTILE_ROUNDS);
    const struct hostile *hostile;
    unsigned round;

    for (hostile = hostiles; hostile->name; hostile++) {
        bench_progress("tenants: beside one that %s", hostile->name);
        for (round = 0; round <= nr_rounds; round++) {
            bench_begin_round();
            run_hostile(hostile, round);
        }
    }
}

// ---- little room for everybody, and one that is refused ----------------------------------------

#define POOL "limit=16M"
#define HELD_BYTES (12u << 20) // so 3 MiB are left for what does not compress, and the tables
#define REFUSED_BYTES (2u << 20)
#define NR_REFUSED 3
#define NR_WRITES 100000

// The one with room overwrites 1 MiB of its own all the time.
static void test_room(void)
{
    struct server *server = server_open("--log=null", bench_options.plugin, POOL,
                                        "export=tight:1G:64K", "export=roomy:1G");
    unsigned char *data = bench_alloc(HELD_BYTES);
    const struct load held = {"held", LOAD_WRITE, HELD_BYTES, 0, HELD_BYTES, true, .data = data};
    const struct load refused = {"refused", LOAD_WRITE, REFUSED_BYTES, 0, 1u << 30, .data = data};
    const struct load roomy = {"roomy",   LOAD_WRITE, BENCH_PAGE_BYTES,
                               64u << 20, 1u << 20,   .data = data};
    struct stream streams[1 + NR_REFUSED] = {{
        .load = &roomy,
        .nbd = load_connect(server, "roomy"),
        .depth = 1,
        .pace_ns = 200000,
        .nr_max = NR_WRITES,
        .may_be_refused = true,
    }};
    static const char *const work = "4 KiB writes of a tenant with 3 MiB of room";
    struct bench_rng rng = {1};
    unsigned i;

    for (i = 0; i < HELD_BYTES; i++) {
        data[i] = (unsigned char)bench_random(&rng);
    }
    load_store(&held, streams[0].nbd);
    for (i = 1; i <= NR_REFUSED; i++) {
        streams[i] = (struct stream){
            .load = &refused,
            .nbd = load_connect(server, "tight"),
            .depth = 4,
            .until = &streams[0],
            .rng = {i},
            .may_be_refused = true,
        };
    }
    bench_progress("tenants: %u writes beside one that is refused", NR_WRITES);
    bench_begin_round();
    load_run(streams, 1 + NR_REFUSED);
    bench_add(work, "other's 2 MiB are refused on 3 connections", "refused of 100 000",
              (double)streams[0].nr_refused);
    bench_add(work, "other's 2 MiB are refused on 3 connections", "writes/s",
              (double)NR_WRITES * 1e9 / (double)streams[0].elapsed_ns);
    for (i = 0; i <= NR_REFUSED; i++) {
        server_disconnect(streams[i].nbd);
    }
    server_close(server);
    bench_free(data, HELD_BYTES);
}

int main(int argc, char *argv[])
{
    bench_parse_options(argc, argv);
    bench_pages_load();
    if (bench_wants("limits")) {
        test_limits();
    }
    if (bench_wants("room")) {
        test_room();
    }
    if (bench_wants("hostile")) {
        test_hostile();
    }
    return 0;
}
