// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// The whole server, over a Unix socket: zramswap beside nbdkit's null plugin (the transport alone),
// its memory plugin, and that with zstd.  All run at once and take turns.
#include "codec-loop.h"
#include "nbd-load.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NR_CONNECTIONS 4
#define NR_ROUNDS_DEFAULT 5
#define TURN_NS UINT64_C(300000000)
#define MIXED_TURN_NS UINT64_C(500000000)

// Reads and writes go to the first part of the disk, trims to the second.
#define DATA_BYTES (UINT64_C(256) << 20)
#define TRIM_BYTES (UINT64_C(128) << 20)
#define DISK_BYTES (DATA_BYTES + TRIM_BYTES)
#define LARGE_BYTES (128u << 10) // the largest write that Linux's nbd sends

// The last one takes part only where one request is under way at a time: like zramswap it has one
// thread a connection, so that the scheduler has the same choice where to wake it.
enum { NULL_, MEMORY, MEMORY_ZSTD, LZ4, ZSTD, NULL_ONE_THREAD, NR_SERVERS };

struct subject {
    struct nbd_server server;
    struct nbd_handle *connections[NR_CONNECTIONS];
    bool keeps_data;
    const struct zr_codec_ops *codec; // of zramswap; NULL for the others
};

static struct subject subjects[NR_SERVERS];
static struct bench_pages pages;
static struct bench_samples pooled[NR_SERVERS]; // for the pictures
static struct codec_loop codec_loops[NR_SERVERS];
static unsigned nr_rounds;
static const char *only; // run the tests whose name contains this

static const struct nbd_load fill_data = {
    "fill", NBD_STREAM_WRITE, LARGE_BYTES, 0, DATA_BYTES, true, 0};
static const struct nbd_load fill_trim = {
    "fill", NBD_STREAM_WRITE, LARGE_BYTES, DATA_BYTES, TRIM_BYTES, true, 0};

static struct nbd_stream make_stream(const struct subject *subject, unsigned connection,
                                     const struct nbd_load *load, unsigned depth)
{
    return (struct nbd_stream){
        .nbd = subject->connections[connection],
        .depth = depth,
        .next = nbd_load_next,
        .opaque = (void *)load,
        .rng = {connection + 1},
    };
}

static void start_servers(const char *plugin)
{
    static char size[40];
    const struct {
        const char *name;
        const char *arguments[5];
        const struct zr_codec_ops *codec;
    } all[NR_SERVERS] = {
        [NULL_] = {"null", {"null", size}, NULL},
        [MEMORY] = {"memory", {"memory", size}, NULL},
        [MEMORY_ZSTD] = {"memory zstd", {"memory", size, "allocator=zstd"}, NULL},
        [LZ4] = {"zramswap lz4", {plugin, size, "compression=lz4"}, &zr_codec_lz4},
        [ZSTD] = {"zramswap zstd", {plugin, size, "compression=zstd"}, &zr_codec_zstd},
        [NULL_ONE_THREAD] = {"null, one thread", {"--threads=1", "null", size}, NULL},
    };
    unsigned i, connection;

    snprintf(size, sizeof size, "size=%llu", (unsigned long long)DISK_BYTES);
    for (i = 0; i < NR_SERVERS; i++) {
        nbd_server_start(&subjects[i].server, all[i].name, all[i].arguments);
        subjects[i].keeps_data = i != NULL_ && i != NULL_ONE_THREAD;
        subjects[i].codec = all[i].codec;
    }
    for (i = 0; i < NR_SERVERS; i++) {
        for (connection = 0; connection < NR_CONNECTIONS; connection++) {
            subjects[i].connections[connection] = nbd_server_connect(&subjects[i].server, "");
        }
        bench_progress("server %s: fill and read back", subjects[i].server.name);
        if (subjects[i].keeps_data) {
            nbd_load_run(&fill_data, subjects[i].connections[0]);
            nbd_load_run(&fill_trim, subjects[i].connections[0]);
            nbd_load_verify(&fill_data, subjects[i].connections[0]);
            nbd_load_verify(&fill_trim, subjects[i].connections[0]);
        }
    }
}

static void stop_servers(void)
{
    unsigned i, connection;

    for (i = 0; i < NR_SERVERS; i++) {
        for (connection = 0; connection < NR_CONNECTIONS; connection++) {
            nbd_server_disconnect(subjects[i].connections[connection]);
        }
        nbd_server_stop(&subjects[i].server);
    }
}

// ---- tests -------------------------------------------------------------------------------------

// What zramswap adds to the sum of the codec and a null; beyond names the two.
static void record_excess(const char *what, unsigned i, const char *beyond,
                          const struct nbd_turn *turn, const struct nbd_turn *null, double codec_us)
{
    const char *name = subjects[i].server.name;
    char unit[80];

    snprintf(unit, sizeof unit, "µs server CPU beyond %s", beyond);
    bench_add(bench_row(what, name, unit, BENCH_LOWER), turn->cpu_us - null->cpu_us - codec_us);
    snprintf(unit, sizeof unit, "µs p50 beyond %s", beyond);
    bench_add(bench_row(what, name, unit, BENCH_LOWER), turn->p50_us - null->p50_us - codec_us);
}

static void add_curve(const char *chart)
{
    static const double percents[] = {0,    1,  5,     10,   20,    25,   30,    40,   50, 60,
                                      70,   75, 80,    85,   90,    92.5, 95,    96,   97, 98,
                                      98.5, 99, 99.25, 99.5, 99.75, 99.9, 99.95, 99.99};
    unsigned i, p;

    for (i = 0; i < NR_SERVERS; i++) {
        for (p = 0; pooled[i].nr > 0 && p < sizeof percents / sizeof percents[0]; p++) {
            bench_point(chart, subjects[i].server.name, percents[p],
                        bench_samples_percentile(&pooled[i], percents[p]) / 1e3);
        }
    }
}

static void clear_pooled(void)
{
    unsigned i;

    for (i = 0; i < NR_SERVERS; i++) {
        bench_samples_clear(&pooled[i]);
    }
}

// Random requests of one kind on nr_connections, depth each.
static void test_random(const struct nbd_load *load, unsigned nr_connections, unsigned depth)
{
    const bool is_write = load->kind == NBD_STREAM_WRITE;
    const bool is_one_read = nr_connections == 1 && depth == 1 && !is_write;
    const unsigned nr_subjects = is_one_read ? NR_SERVERS : NULL_ONE_THREAD;
    struct nbd_turn turns[NR_SERVERS];
    char what[80];
    unsigned round, turn, i;

    snprintf(what, sizeof what, "%s, %u connection%s × depth %u", load->name, nr_connections,
             nr_connections > 1 ? "s" : "", depth);
    if (!strstr(what, only)) {
        return;
    }
    bench_progress("server: %s", what);
    clear_pooled();
    for (round = 0; round <= nr_rounds; round++) {
        for (turn = 0; turn < nr_subjects; turn++) {
            const unsigned nr = (turn + round) % nr_subjects;
            struct nbd_stream streams[NR_CONNECTIONS];

            for (i = 0; i < nr_connections; i++) {
                streams[i] = make_stream(&subjects[nr], i, load, depth);
                streams[i].duration_ns = round > 0 ? TURN_NS : TURN_NS / 3;
                streams[i].rng.state += UINT64_C(100) * (round + 1);
            }
            turns[nr] = nbd_turn_run(&subjects[nr].server, streams, nr_connections, nr_connections);
            if (round > 0) { // the first round warms up
                nbd_turn_record(what, subjects[nr].server.name, &turns[nr]);
                bench_samples_append(&pooled[nr], turns[nr].samples);
            }
        }
        for (i = 0; round > 0 && i < NR_SERVERS; i++) {
            double codec_us;

            if (!subjects[i].codec) {
                continue;
            }
            codec_us = codec_loop_run(&codec_loops[i], is_write) * load->bytes / BENCH_PAGE_BYTES;
            bench_add(bench_row(what, subjects[i].codec->name, "µs CPU of the codec alone",
                                BENCH_NEITHER),
                      codec_us);
            record_excess(what, i, "null and codec", &turns[i], &turns[NULL_], codec_us);
            if (is_one_read) {
                record_excess(what, i, "one-thread null and codec", &turns[i],
                              &turns[NULL_ONE_THREAD], codec_us);
            }
        }
    }
    if (is_one_read) {
        add_curve("4 KiB reads, one at a time");
    }
}

static void refill(const struct subject *subject)
{
    if (subject->keeps_data) {
        nbd_load_run(&fill_trim, subject->connections[0]);
    }
}

// Trims of stored pages, one after the other.
static void test_trims(const struct nbd_load *load, unsigned nr_subjects)
{
    unsigned round, turn;

    if (!strstr(load->name, only)) {
        return;
    }
    bench_progress("server: %s", load->name);
    for (round = 0; round <= nr_rounds; round++) {
        for (turn = 0; turn < nr_subjects; turn++) {
            const struct subject *subject = &subjects[(turn + round) % nr_subjects];
            struct nbd_stream stream = make_stream(subject, 0, load, 1);
            struct nbd_turn result;

            refill(subject);
            result = nbd_turn_run(&subject->server, &stream, 1, 1);
            if (round > 0) {
                nbd_turn_record(load->name, subject->server.name, &result);
            }
        }
    }
}

// One connection reads, one page at a time, while another one does what other says.
static void test_mixed(const char *what, const struct nbd_load *reads, const struct nbd_load *other,
                       unsigned depth, uint64_t pace_ns)
{
    unsigned round, turn;

    if (!strstr(what, only)) {
        return;
    }
    bench_progress("server: %s", what);
    clear_pooled();
    for (round = 0; round <= nr_rounds; round++) {
        for (turn = 0; turn < NULL_ONE_THREAD; turn++) {
            const unsigned nr = (turn + round) % NULL_ONE_THREAD;
            const struct subject *subject = &subjects[nr];
            struct nbd_stream streams[2] = {
                make_stream(subject, 0, reads, 1),
                make_stream(subject, 1, other, depth),
            };
            struct nbd_turn result;

            streams[1].pace_ns = pace_ns;
            streams[0].duration_ns = MIXED_TURN_NS;
            streams[1].duration_ns = MIXED_TURN_NS;
            if (other->kind == NBD_STREAM_TRIM) {
                // Trims run out: read for just as long.
                streams[0].duration_ns = other->length / other->bytes * pace_ns;
                refill(subject);
            }
            result = nbd_turn_run(&subject->server, streams, 2, 1);
            if (round > 0) {
                nbd_turn_record_latency(what, subject->server.name, &result);
                bench_add(
                    bench_row(what, subject->server.name, "others' requests/s", BENCH_NEITHER),
                    (double)streams[1].nr_done * 1e9 / (double)streams[1].elapsed_ns);
                bench_samples_append(&pooled[nr], result.samples);
            }
        }
    }
    add_curve(what);
}

static const char *const while_writes = "4 KiB reads while another writes 4 KiB at depth 16";
static const char *const while_large = "4 KiB reads while another writes 128 KiB, 500 a second";
static const char *const while_trims = "4 KiB reads while another trims 2 MiB, 250 a second";

// Tied to one CPU by taskset, and so the servers as well: only requests one at a time are worth a
// test then.
static bool is_on_one_cpu(void)
{
    cpu_set_t cpus;

    return sched_getaffinity(0, sizeof cpus, &cpus) == 0 && CPU_COUNT(&cpus) == 1;
}

static void run_tests(void)
{
    static const struct nbd_load reads = {
        "4 KiB random reads", NBD_STREAM_READ, BENCH_PAGE_BYTES, 0, DATA_BYTES, false, 0};
    static const struct nbd_load writes = {
        "4 KiB random writes", NBD_STREAM_WRITE, BENCH_PAGE_BYTES, 0, DATA_BYTES, false, 0};
    static const struct nbd_load large = {
        "128 KiB writes", NBD_STREAM_WRITE, LARGE_BYTES, 0, DATA_BYTES, false, 0};
    static const struct nbd_load trims_1m = {
        "1 MiB trims", NBD_STREAM_TRIM, 1u << 20, DATA_BYTES, TRIM_BYTES, true, 0};
    static const struct nbd_load trims_2m = {
        "2 MiB trims", NBD_STREAM_TRIM, 2u << 20, DATA_BYTES, TRIM_BYTES, true, 0};
    const struct nbd_load *const random_loads[] = {&reads, &writes, &large};
    unsigned i;

    if (is_on_one_cpu()) {
        test_random(&reads, 1, 1);
        test_trims(&trims_2m, NR_SERVERS);
        return;
    }
    for (i = 0; i < 3; i++) {
        test_random(random_loads[i], 1, 1);
        test_random(random_loads[i], 1, 16);
        test_random(random_loads[i], 4, 1);
        test_random(random_loads[i], 4, 16);
    }
    test_trims(&trims_1m, NULL_ONE_THREAD);
    test_trims(&trims_2m, NR_SERVERS);
    test_mixed(while_writes, &reads, &writes, 16, 0);
    test_mixed(while_large, &reads, &large, 16, 2000000);
    test_mixed(while_trims, &reads, &trims_2m, 1, 4000000);
}

// ---- targets -----------------------------------------------------------------------------------

static void target(const char *name, const char *work, const char *unit, unsigned subject,
                   unsigned reference, const char *op, double limit)
{
    bench_target_ratio(name, bench_row(work, subjects[subject].server.name, unit, BENCH_NEITHER),
                       bench_row(work, subjects[reference].server.name, unit, BENCH_NEITHER), op,
                       limit);
}

// A target on a row of zramswap itself, for both codecs.
static void targets_beyond(const char *name, const char *work, const char *unit, double limit)
{
    char text[120];
    unsigned i;

    for (i = LZ4; i <= ZSTD; i++) {
        snprintf(text, sizeof text, "%s, %s", name, subjects[i].codec->name);
        bench_target_row(text, bench_row(work, subjects[i].server.name, unit, BENCH_LOWER),
                         "<=", limit);
    }
}

// A ratio to what reference does, for both codecs.
static void targets_ratio(const char *name, const char *work, const char *unit, unsigned reference,
                          const char *op, double limit)
{
    char text[120];
    unsigned i;

    for (i = LZ4; i <= ZSTD; i++) {
        snprintf(text, sizeof text, "%s ÷ %s, %s", name, subjects[reference].server.name,
                 subjects[i].codec->name);
        target(text, work, unit, i, reference, op, limit);
    }
}

static void set_targets(void)
{
    const char *const reads_1_1 = "4 KiB random reads, 1 connection × depth 1";
    const char *const reads_1_16 = "4 KiB random reads, 1 connection × depth 16";
    const char *const reads_4_16 = "4 KiB random reads, 4 connections × depth 16";
    const char *const writes_1_1 = "4 KiB random writes, 1 connection × depth 1";
    const char *const writes_4_16 = "4 KiB random writes, 4 connections × depth 16";
    const char *const large_1_16 = "128 KiB writes, 1 connection × depth 16";
    const char *const large_4_16 = "128 KiB writes, 4 connections × depth 16";
    const char *const excess = "µs server CPU beyond null and codec";

    targets_beyond("random read, depth 1: p50 beyond null and decode", reads_1_1,
                   "µs p50 beyond null and codec", 1);
    targets_beyond("random read, depth 1: p50 beyond one-thread null and decode", reads_1_1,
                   "µs p50 beyond one-thread null and codec", 1);
    targets_ratio("random read, depth 1: p99", reads_1_1, "µs p99", NULL_, "<=", 1.1);
    targets_ratio("random read, depth 1: p99", reads_1_1, "µs p99", NULL_ONE_THREAD, "<=", 1.1);
    targets_ratio("random reads/s, depth 16, 1 connection", reads_1_16, "requests/s", NULL_,
                  ">=", 0.92);
    targets_ratio("random reads/s, depth 16, 4 connections", reads_4_16, "requests/s", NULL_,
                  ">=", 0.92);
    target("4 KiB writes/s, depth 16, 4 connections ÷ null, lz4", writes_4_16, "requests/s", LZ4,
           NULL_, ">=", 0.75);
    target("4 KiB writes/s, depth 16, 4 connections ÷ memory zstd, lz4", writes_4_16, "requests/s",
           LZ4, MEMORY_ZSTD, ">=", 10);
    targets_beyond("CPU of a read beyond null and codec, depth 1", reads_1_1, excess, 1);
    targets_beyond("CPU of a read beyond one-thread null and codec, depth 1", reads_1_1,
                   "µs server CPU beyond one-thread null and codec", 1);
    targets_beyond("CPU of a read beyond null and codec, 4 × 16", reads_4_16, excess, 1);
    targets_beyond("CPU of a 4 KiB write beyond null and codec, depth 1", writes_1_1, excess, 1);
    targets_beyond("CPU of a 4 KiB write beyond null and codec, 4 × 16", writes_4_16, excess, 1);
    target("128 KiB writes/s, depth 16, 1 connection ÷ memory zstd, lz4", large_1_16, "requests/s",
           LZ4, MEMORY_ZSTD, ">=", 5);
    target("128 KiB writes/s, depth 16, 1 connection ÷ memory zstd, zstd", large_1_16, "requests/s",
           ZSTD, MEMORY_ZSTD, ">=", 2.2);
    target("128 KiB writes/s, depth 16, 4 connections ÷ memory zstd, lz4", large_4_16, "requests/s",
           LZ4, MEMORY_ZSTD, ">=", 5);
    target("128 KiB writes/s, depth 16, 4 connections ÷ memory zstd, zstd", large_4_16,
           "requests/s", ZSTD, MEMORY_ZSTD, ">=", 2.2);
    targets_ratio("p99 of reads while another writes 4 KiB", while_writes, "µs p99", NULL_,
                  "<=", 1.3);
    targets_ratio("p99 of reads while another writes 128 KiB", while_large, "µs p99", NULL_,
                  "<=", 1.3);
    targets_ratio("p99 of reads while another trims", while_trims, "µs p99", NULL_, "<=", 1.2);
    targets_ratio("2 MiB trim, p50", "2 MiB trims", "µs p50", NULL_, "<=", 1.1);
    targets_ratio("2 MiB trim, p50", "2 MiB trims", "µs p50", NULL_ONE_THREAD, "<=", 1.1);
}

int main(int argc, char *argv[])
{
    struct bench_arguments arguments = {.nr_rounds = NR_ROUNDS_DEFAULT, .only = ""};
    unsigned i;

    bench_parse_arguments(&arguments, argc, argv);
    nr_rounds = arguments.nr_rounds;
    only = arguments.only;
    bench_pages_load(&pages, arguments.pages_path);
    nbd_load_init(&pages, NR_CONNECTIONS, 1u << 18);
    start_servers(arguments.plugin);
    for (i = 0; i < NR_SERVERS; i++) {
        bench_samples_init(&pooled[i], 1u << 20);
        if (subjects[i].codec) {
            codec_loop_init(&codec_loops[i], subjects[i].codec, &pages);
        }
    }
    run_tests();
    stop_servers();
    set_targets();
    bench_report(is_on_one_cpu() ? "one-cpu" : "server", arguments.json_path);
    return 0;
}
