// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// How the cost of a request grows with the number of exports and of connections, beside nbdkit's
// null plugin; and what exports cost that nobody uses.
#include "nbd-load.h"

#include <stdio.h>
#include <sys/resource.h>

#define NR_ROUNDS_DEFAULT 5
#define EXPORTS_TURN_NS UINT64_C(200000000)
#define CONNECTIONS_TURN_NS UINT64_C(150000000)
#define NR_EXPORTS_MAX 1000
#define NR_CONNECTIONS_MAX 64
#define LARGE_BYTES (128u << 10)
// However many exports they are spread over, these are the same pages; and so much has the export
// that is used alone, whatever there is beside it.
#define DATA_BYTES ((uint64_t)NR_EXPORTS_MAX * LARGE_BYTES)

enum { NULL_, NULL_ONE_THREAD, LZ4, NR_SUBJECTS };

static const char *const subjects[NR_SUBJECTS] = {"null", "null, one thread", "zramswap lz4"};
static const unsigned export_counts[] = {1, 10, 100, NR_EXPORTS_MAX};
static const unsigned connection_counts[] = {1, 2, 4, 8, 16, 32, NR_CONNECTIONS_MAX};

#define NR_EXPORT_COUNTS (sizeof export_counts / sizeof export_counts[0])
#define NR_CONNECTION_COUNTS (sizeof connection_counts / sizeof connection_counts[0])

static struct bench_pages pages;
static const char *plugin;
static unsigned nr_rounds;

// A server with connections to it.
struct peer {
    struct nbd_server server;
    struct nbd_handle *connections[NR_EXPORTS_MAX], *alone;
    unsigned nr_connections;
};

static void start(struct peer *peer, unsigned subject, unsigned nr_exports, uint64_t export_bytes)
{
    static char exports[NR_EXPORTS_MAX][40];
    const char *const threads = subject == NULL_ONE_THREAD ? "--threads=1" : "--threads=16";
    const char *arguments[NR_EXPORTS_MAX + 4] = {threads, plugin};
    char size[40], alone[40];
    unsigned i;

    peer->nr_connections = 0;
    snprintf(size, sizeof size, "size=%llu", (unsigned long long)DATA_BYTES);
    snprintf(alone, sizeof alone, "export=alone:%llu", (unsigned long long)DATA_BYTES);
    if (subject == LZ4) {
        for (i = 0; i < nr_exports; i++) {
            snprintf(exports[i], sizeof exports[i], "export=%u:%llu", i,
                     (unsigned long long)export_bytes);
            arguments[2 + i] = exports[i];
        }
        arguments[2 + i] = alone;
    } else {
        arguments[1] = "null"; // by any name, of one size
        arguments[2] = size;
    }
    nbd_server_start(&peer->server, subjects[subject], arguments);
}

// The connections go round the exports.
static void connect_to(struct peer *peer, unsigned nr_connections, unsigned nr_exports)
{
    for (; peer->nr_connections < nr_connections; peer->nr_connections++) {
        char name[20];

        snprintf(name, sizeof name, "%u", peer->nr_connections % nr_exports);
        peer->connections[peer->nr_connections] = nbd_server_connect(&peer->server, name);
    }
}

static void stop(struct peer *peer)
{
    while (peer->nr_connections > 0) {
        nbd_server_disconnect(peer->connections[--peer->nr_connections]);
    }
    nbd_server_stop(&peer->server);
}

static void fill(struct nbd_handle *nbd, uint64_t bytes, uint64_t first_page)
{
    const struct nbd_load load = {"fill", NBD_STREAM_WRITE, LARGE_BYTES, 0, bytes,
                                  true,   first_page};

    nbd_load_run(&load, nbd);
    nbd_load_verify(&load, nbd);
}

// ---- exports -----------------------------------------------------------------------------------

// A load of which each request takes any of the connections.
struct spread {
    struct nbd_load load; // first: nbd_load_next sees no more
    struct nbd_handle *const *connections;
    unsigned nr_connections;
};

static bool next_anywhere(struct nbd_stream *stream, struct nbd_request *request)
{
    const struct spread *spread = stream->opaque;
    uint64_t nr = bench_random_below(&stream->rng, spread->nr_connections);

    // One request is under way at a time, so none is left behind.
    stream->nbd = spread->connections[nr];
    return nbd_load_next(stream, request);
}

static void name_exports_work(char what[80], bool is_write, bool is_one, unsigned nr_exports)
{
    snprintf(what, 80, "4 KiB %s, %s %u export%s", is_write ? "writes" : "reads",
             is_one ? "one beside" : "all of", nr_exports, nr_exports > 1 ? "s" : "");
}

static void run_exports_turn(const struct peer *peer, unsigned subject, unsigned nr_exports,
                             unsigned round)
{
    unsigned kind;

    for (kind = 0; kind < 4; kind++) {
        const bool is_write = kind & 1, is_one = kind & 2;
        struct spread spread = {
            .load = {.kind = is_write ? NBD_STREAM_WRITE : NBD_STREAM_READ,
                     .bytes = BENCH_PAGE_BYTES,
                     .length = is_one ? DATA_BYTES : DATA_BYTES / nr_exports},
            .connections = is_one ? &peer->alone : peer->connections,
            .nr_connections = is_one ? 1 : nr_exports,
        };
        struct nbd_stream stream = {
            .depth = 1,
            .duration_ns = round > 0 ? EXPORTS_TURN_NS : EXPORTS_TURN_NS / 3,
            .next = next_anywhere,
            .opaque = &spread,
            .rng = {round},
        };
        struct nbd_turn turn = nbd_turn_run(&peer->server, &stream, 1, 1);
        char what[80];

        name_exports_work(what, is_write, is_one, nr_exports);
        if (round > 0) { // the first round warms up
            bench_add(bench_row(what, subjects[subject], "µs p50", BENCH_LOWER), turn.p50_us);
            bench_add(bench_row(what, subjects[subject], "µs server CPU", BENCH_LOWER),
                      turn.cpu_us);
        }
    }
}

static void test_exports(void)
{
    // One thread a connection, like ours: 16 of each would be 16 000 here.
    static struct peer peers[NR_EXPORT_COUNTS][2];
    const unsigned nr_peers = 2 * NR_EXPORT_COUNTS;
    unsigned i, k, round, turn;

    for (i = 0; i < nr_peers; i++) {
        const unsigned nr_exports = export_counts[i / 2], subject = NULL_ONE_THREAD + i % 2;
        const uint64_t export_bytes = DATA_BYTES / nr_exports;
        struct peer *peer = &peers[i / 2][i % 2];

        bench_progress("growth: %s with %u exports", subjects[subject], nr_exports);
        start(peer, subject, nr_exports, export_bytes);
        connect_to(peer, nr_exports, nr_exports);
        peer->alone = nbd_server_connect(&peer->server, "alone");
        if (subject != LZ4) {
            continue;
        }
        fill(peer->alone, DATA_BYTES, 0);
        for (k = 0; k < nr_exports; k++) {
            fill(peer->connections[k], export_bytes, k * export_bytes / BENCH_PAGE_BYTES);
        }
    }
    for (round = 0; round <= nr_rounds; round++) {
        bench_progress("growth: exports, round %u of %u", round, nr_rounds);
        for (turn = 0; turn < nr_peers; turn++) {
            i = (turn + round) % nr_peers;
            run_exports_turn(&peers[i / 2][i % 2], NULL_ONE_THREAD + i % 2, export_counts[i / 2],
                             round);
        }
    }
    for (i = 0; i < nr_peers; i++) {
        nbd_server_disconnect(peers[i / 2][i % 2].alone);
        stop(&peers[i / 2][i % 2]);
    }
}

// From the start to the first answer, and memory, of exports that hold nothing.
static void test_empty_exports(void)
{
    static struct peer peer;
    double resident[NR_EXPORT_COUNTS];
    char page[BENCH_PAGE_BYTES], what[80];
    unsigned round, i, k;

    for (round = 0; round <= nr_rounds; round++) {
        bench_progress("growth: empty exports, round %u of %u", round, nr_rounds);
        for (i = 0; i < NR_EXPORT_COUNTS; i++) {
            const unsigned nr_exports = export_counts[i];
            uint64_t start_ns = bench_now_ns();
            double started_ms, connected;

            start(&peer, LZ4, nr_exports, UINT64_C(1) << 30);
            connect_to(&peer, 1, nr_exports);
            started_ms = (double)(bench_now_ns() - start_ns) / 1e6;
            resident[i] = (double)nbd_server_resident_bytes(&peer.server) / 1024;
            connect_to(&peer, nr_exports, nr_exports);
            for (k = 0; k < nr_exports; k++) {
                if (nbd_pread(peer.connections[k], page, sizeof page, 0, 0) < 0) {
                    bench_die("%s", nbd_get_error());
                }
            }
            connected = (double)nbd_server_resident_bytes(&peer.server) / 1024;
            stop(&peer);
            if (round == 0) {
                continue;
            }
            snprintf(what, sizeof what, "%u empty export%s of 1 GiB", nr_exports,
                     nr_exports > 1 ? "s" : "");
            bench_add(bench_row(what, subjects[LZ4], "ms to start", BENCH_LOWER), started_ms);
            if (i > 0) {
                const unsigned nr_more = nr_exports - export_counts[0];

                bench_add(bench_row(what, subjects[LZ4], "KiB an export", BENCH_LOWER),
                          (resident[i] - resident[0]) / nr_more);
                bench_add(bench_row(what, subjects[LZ4], "KiB a connection", BENCH_LOWER),
                          (connected - resident[i]) / nr_more);
            }
        }
    }
}

// ---- connections -------------------------------------------------------------------------------

static void name_connections_work(char what[80], const struct nbd_load *load, unsigned depth,
                                  unsigned nr_connections)
{
    snprintf(what, 80, "%s, depth %u, %u connection%s", load->name, depth, nr_connections,
             nr_connections > 1 ? "s" : "");
}

static void run_connections_turn(const struct peer *peer, const struct nbd_load *load,
                                 unsigned depth, unsigned nr_connections, unsigned round)
{
    struct nbd_stream streams[NR_CONNECTIONS_MAX];
    struct nbd_turn turn;
    char what[80];
    unsigned i;

    for (i = 0; i < nr_connections; i++) {
        streams[i] = (struct nbd_stream){
            .nbd = peer->connections[i],
            .depth = depth,
            .duration_ns = round > 0 ? CONNECTIONS_TURN_NS : CONNECTIONS_TURN_NS / 3,
            .next = nbd_load_next,
            .opaque = (void *)load,
            .rng = {NR_CONNECTIONS_MAX * round + i},
        };
    }
    turn = nbd_turn_run(&peer->server, streams, nr_connections, nr_connections);
    name_connections_work(what, load, depth, nr_connections);
    if (round > 0) {
        bench_add(bench_row(what, peer->server.name, "requests/s", BENCH_HIGHER),
                  turn.requests_per_s);
        bench_add(bench_row(what, peer->server.name, "µs server CPU", BENCH_LOWER), turn.cpu_us);
    }
}

static void test_connections(const struct peer *peers, const struct nbd_load *load, unsigned depth)
{
    unsigned round, turn, i;

    bench_progress("growth: connections, %s, depth %u", load->name, depth);
    for (round = 0; round <= nr_rounds; round++) {
        for (i = 0; i < NR_CONNECTION_COUNTS; i++) {
            for (turn = 0; turn < NR_SUBJECTS; turn++) {
                run_connections_turn(&peers[(turn + round) % NR_SUBJECTS], load, depth,
                                     connection_counts[i], round);
            }
        }
    }
}

static const struct nbd_load reads = {
    "4 KiB reads", NBD_STREAM_READ, BENCH_PAGE_BYTES, 0, DATA_BYTES, false, 0};
static const struct nbd_load writes = {
    "4 KiB writes", NBD_STREAM_WRITE, BENCH_PAGE_BYTES, 0, DATA_BYTES, false, 0};

static void test_all_connections(void)
{
    static struct peer peers[NR_SUBJECTS];
    unsigned i;

    for (i = 0; i < NR_SUBJECTS; i++) {
        start(&peers[i], i, 1, DATA_BYTES);
        connect_to(&peers[i], NR_CONNECTIONS_MAX, 1);
    }
    fill(peers[LZ4].connections[0], DATA_BYTES, 0);
    test_connections(peers, &reads, 1);
    test_connections(peers, &reads, 16);
    test_connections(peers, &writes, 16);
    for (i = 0; i < NR_SUBJECTS; i++) {
        stop(&peers[i]);
    }
}

// ---- targets and pictures ----------------------------------------------------------------------

// Nothing that a request does may depend on how many exports there are.
static void target_exports(bool is_write, const char *unit)
{
    char name[120], many[80], one[80];

    name_exports_work(many, is_write, true, NR_EXPORTS_MAX);
    name_exports_work(one, is_write, true, 1);
    snprintf(name, sizeof name, "%s ÷ 1, %s", many, unit);
    bench_target_ratio(name, bench_row(many, subjects[LZ4], unit, BENCH_LOWER),
                       bench_row(one, subjects[LZ4], unit, BENCH_LOWER), "<=", 1.1);
}

// Four keep the CPUs busy; more must not cost throughput.
static void target_connections(const struct nbd_load *load)
{
    char name[120], many[80], few[80];

    name_connections_work(many, load, 16, NR_CONNECTIONS_MAX);
    name_connections_work(few, load, 16, 4);
    snprintf(name, sizeof name, "%s ÷ 4, requests/s", many);
    bench_target_ratio(name, bench_row(many, subjects[LZ4], "requests/s", BENCH_HIGHER),
                       bench_row(few, subjects[LZ4], "requests/s", BENCH_HIGHER), ">=", 0.9);
}

static void add_point(const char *chart, unsigned subject, const char *unit, const char *work,
                      unsigned x)
{
    const struct bench_row *row = bench_row(work, subjects[subject], unit, BENCH_NEITHER);

    bench_point(chart, subjects[subject], x, bench_row_median(row));
}

static void add_curves(const struct nbd_load *load)
{
    const bool is_write = load->kind == NBD_STREAM_WRITE;
    char chart[120], what[80];
    unsigned subject, i;

    for (subject = NULL_ONE_THREAD; subject < NR_SUBJECTS; subject++) {
        snprintf(chart, sizeof chart, "%s, one at a time: exports: µs server CPU", load->name);
        for (i = 0; i < NR_EXPORT_COUNTS; i++) {
            name_exports_work(what, is_write, false, export_counts[i]);
            add_point(chart, subject, "µs server CPU", what, export_counts[i]);
        }
    }
    for (subject = 0; subject < NR_SUBJECTS; subject++) {
        snprintf(chart, sizeof chart, "%s, depth 16: connections: requests/s", load->name);
        for (i = 0; i < NR_CONNECTION_COUNTS; i++) {
            name_connections_work(what, load, 16, connection_counts[i]);
            add_point(chart, subject, "requests/s", what, connection_counts[i]);
        }
    }
}

// Each connection is a descriptor, at both ends.
static void allow_many_files(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

int main(int argc, char *argv[])
{
    struct bench_arguments arguments = {.nr_rounds = NR_ROUNDS_DEFAULT};

    bench_parse_arguments(&arguments, argc, argv);
    nr_rounds = arguments.nr_rounds;
    plugin = arguments.plugin;
    allow_many_files();
    bench_pages_load(&pages, arguments.pages_path);
    nbd_load_init(&pages, NR_CONNECTIONS_MAX, 1u << 16);
    // Where one request is under way at a time, most of it is waking a thread on a CPU that sleeps
    // or not: with client and servers on one CPU it is the same for all.
    bench_run_on_cpu(0);
    test_exports();
    bench_run_on_cpu(-1);
    test_empty_exports();
    test_all_connections();
    target_exports(false, "µs server CPU");
    target_exports(false, "µs p50");
    target_exports(true, "µs server CPU");
    target_exports(true, "µs p50");
    target_connections(&reads);
    target_connections(&writes);
    add_curves(&reads);
    add_curves(&writes);
    bench_report("growth", arguments.json_path);
    return 0;
}
