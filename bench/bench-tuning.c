// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// What an administrator can choose, and what of it makes reads faster: one client reads single
// pages (the guest's vm.page-cluster=0) or 8 in a row (3, Linux's default), one request at a time,
// over each kind of socket, number of threads and placement; then it writes as well, on 1 to 4
// connections.
#include "nbd-load.h"

// Where the scheduler wakes a thread stays as it is for a while: many short turns see more of it.
#define NR_ROUNDS_DEFAULT 11
#define TURN_NS UINT64_C(200000000)
#define MIXED_TURN_NS UINT64_C(300000000)
#define DISK_BYTES (UINT64_C(256) << 20)
#define NR_CONNECTIONS_MAX 4
#define NR_WRITES 4 // under way at a time

static struct bench_pages pages;
static unsigned nr_rounds;

static const struct nbd_load fill = {"fill", NBD_STREAM_WRITE, 128u << 10, 0, DISK_BYTES, true, 0};
static const struct nbd_load writes = {
    "128 KiB writes", NBD_STREAM_WRITE, 128u << 10, 0, DISK_BYTES, false, 0};
static const struct nbd_load reads[] = {
    {"4 KiB reads, one at a time", NBD_STREAM_READ, BENCH_PAGE_BYTES, 0, DISK_BYTES, false, 0},
    {"32 KiB reads, one at a time", NBD_STREAM_READ, 8 * BENCH_PAGE_BYTES, 0, DISK_BYTES, false, 0},
};

#define NR_READS (sizeof reads / sizeof reads[0])

enum { PLAIN, ONE_THREAD, TCP, ON_A_CPU, NR_SERVERS };

static struct nbd_server servers[NR_SERVERS];
static struct nbd_handle *connections[NR_SERVERS][NR_CONNECTIONS_MAX];

static const struct choice {
    const char *name;
    unsigned server;
    int client_cpu; // -1: where the scheduler likes
} choices[] = {
    {"Unix socket", PLAIN, -1},       {"nbdkit -t 1", ONE_THREAD, -1},      {"TCP", TCP, -1},
    {"both on one CPU", ON_A_CPU, 0}, {"each on its own CPU", ON_A_CPU, 1},
};

#define NR_CHOICES (sizeof choices / sizeof choices[0])

static void start_servers(const char *plugin)
{
    const char *const plain[] = {plugin, "size=256M", NULL};
    const char *const one_thread[] = {"--threads=1", plugin, "size=256M", NULL};
    unsigned server, i;

    nbd_server_start(&servers[PLAIN], "Unix socket", plain);
    nbd_server_start(&servers[ONE_THREAD], "one thread", one_thread);
    nbd_server_start_tcp(&servers[TCP], "TCP", plain);
    bench_run_on_cpu(0);
    nbd_server_start(&servers[ON_A_CPU], "on a CPU", plain);
    bench_run_on_cpu(-1);
    for (server = 0; server < NR_SERVERS; server++) {
        bench_progress("tuning: %s, fill and read back", servers[server].name);
        for (i = 0; i < NR_CONNECTIONS_MAX; i++) {
            connections[server][i] = nbd_server_connect(&servers[server], "");
        }
        nbd_load_run(&fill, connections[server][0]);
        nbd_load_verify(&fill, connections[server][0]);
    }
}

static void stop_servers(void)
{
    unsigned server, i;

    for (server = 0; server < NR_SERVERS; server++) {
        for (i = 0; i < NR_CONNECTIONS_MAX; i++) {
            nbd_server_disconnect(connections[server][i]);
        }
        nbd_server_stop(&servers[server]);
    }
}

// ---- reads alone -------------------------------------------------------------------------------

static void run_choice(const struct choice *choice, const struct nbd_load *load, unsigned round)
{
    struct nbd_stream stream = {
        .nbd = connections[choice->server][0],
        .depth = 1,
        .duration_ns = round > 0 ? TURN_NS : TURN_NS / 3,
        .next = nbd_load_next,
        .opaque = (void *)load,
        .rng = {round},
    };
    struct nbd_turn turn;

    if (!bench_run_on_cpu(choice->client_cpu) && choice->client_cpu >= 0) {
        return; // there is one CPU only
    }
    turn = nbd_turn_run(&servers[choice->server], &stream, 1, 1);
    bench_run_on_cpu(-1);
    if (round > 0) { // the first round warms up
        nbd_turn_record(load->name, choice->name, &turn);
    }
}

static void test_choices(void)
{
    unsigned round, turn, i;

    for (round = 0; round <= nr_rounds; round++) {
        bench_progress("tuning: reads, round %u of %u", round, nr_rounds);
        for (turn = 0; turn < NR_CHOICES; turn++) {
            for (i = 0; i < NR_READS; i++) {
                run_choice(&choices[(turn + round) % NR_CHOICES], &reads[i], round);
            }
        }
    }
}

// ---- reads beside writes -----------------------------------------------------------------------

static const char *const mixed = "4 KiB reads by two tasks while a third writes 128 KiB";
static const char *const mixed_subjects[] = {"1 connection", "2 connections", "4 connections"};

// So many writes in the background, and reads in the places that are left.
static bool next_mixed(struct nbd_stream *stream, struct nbd_request *request)
{
    bool is_write = stream->nr_background_in_flight < NR_WRITES;

    stream->opaque = (void *)(is_write ? &writes : &reads[0]);
    nbd_load_next(stream, request);
    request->is_background = is_write;
    return true;
}

// Task 0 writes, 1 and 2 read; as Linux's nbd does it with CPUs, task i has connection i modulo
// their number.
static void run_mixed(unsigned shift, unsigned round)
{
    const unsigned nr_connections = 1u << shift,
                   nr_streams = nr_connections < 3 ? nr_connections : 3;
    const char *const subject = mixed_subjects[shift];
    struct nbd_stream streams[3];
    struct nbd_turn turn;
    unsigned i;

    for (i = 0; i < nr_streams; i++) {
        streams[i] = (struct nbd_stream){
            .nbd = connections[PLAIN][i],
            .duration_ns = round > 0 ? MIXED_TURN_NS : MIXED_TURN_NS / 3,
            .next = i == 0 ? next_mixed : nbd_load_next,
            .opaque = (void *)&reads[0],
            .rng = {3 * round + i},
        };
    }
    streams[0].depth = NR_WRITES;
    for (i = 1; i < 3; i++) {
        streams[i % nr_connections].depth++;
    }
    turn = nbd_turn_run(&servers[PLAIN], streams, nr_streams, nr_streams);
    if (round > 0) {
        bench_add(bench_row(mixed, subject, "requests/s", BENCH_HIGHER), turn.requests_per_s);
        nbd_turn_record_latency(mixed, subject, &turn);
        bench_add(bench_row(mixed, subject, "writes/s", BENCH_HIGHER),
                  (double)streams[0].nr_background_done * 1e9 / (double)streams[0].elapsed_ns);
    }
}

static void test_mixed(void)
{
    unsigned round, turn;

    for (round = 0; round <= nr_rounds; round++) {
        bench_progress("tuning: reads beside writes, round %u of %u", round, nr_rounds);
        for (turn = 0; turn < 3; turn++) {
            run_mixed((turn + round) % 3, round);
        }
    }
}

// ---- whether the advice holds ------------------------------------------------------------------

static void target(const char *name, const char *work, const char *subject,
                   const char *reference_work, const char *reference, const char *unit,
                   const char *op)
{
    bench_target_ratio(name, bench_row(work, subject, unit, BENCH_LOWER),
                       bench_row(reference_work, reference, unit, BENCH_LOWER), op, 1);
}

static void set_targets(void)
{
    const char *const single = reads[0].name, *const burst = reads[1].name;
    unsigned i;

    target("p50 of reading 8 pages ÷ of 1", burst, "Unix socket", single, "Unix socket", "µs p50",
           ">=");
    target("CPU of reading 8 pages ÷ of 1", burst, "Unix socket", single, "Unix socket",
           "µs server CPU", ">=");
    target("p50, TCP ÷ Unix socket", single, "TCP", single, "Unix socket", "µs p50", ">=");
    target("CPU, TCP ÷ Unix socket", single, "TCP", single, "Unix socket", "µs server CPU", ">=");
    target("p50, both on one CPU ÷ where the scheduler likes", single, "both on one CPU", single,
           "Unix socket", "µs p50", "<=");
    for (i = 1; i < 3; i++) {
        static const char *const names[][2] = {
            {"reads/s beside writes, 2 connections ÷ 1",
             "p99 of reads beside writes, 2 connections ÷ 1"},
            {"reads/s beside writes, 4 connections ÷ 2",
             "p99 of reads beside writes, 4 connections ÷ 2"},
        };
        const char *const more = mixed_subjects[i], *const fewer = mixed_subjects[i - 1];

        target(names[i - 1][0], mixed, more, mixed, fewer, "requests/s", ">=");
        target(names[i - 1][1], mixed, more, mixed, fewer, "µs p99", "<=");
    }
}

int main(int argc, char *argv[])
{
    struct bench_arguments arguments = {.nr_rounds = NR_ROUNDS_DEFAULT};

    bench_parse_arguments(&arguments, argc, argv);
    nr_rounds = arguments.nr_rounds;
    bench_pages_load(&pages, arguments.pages_path);
    nbd_load_init(&pages, NR_CONNECTIONS_MAX, 1u << 16);
    start_servers(arguments.plugin);
    test_choices();
    test_mixed();
    stop_servers();
    set_targets();
    bench_report("tuning", arguments.json_path);
    return 0;
}
