// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// The whole server, over a Unix socket: zramswap beside nbdkit's null plugin (the transport alone),
// its memory plugin, and that with zstd.  All run at once and take turns.
#include "codec-loop.h"
#include "load.h"

#include <stdio.h>
#include <string.h>

#define NR_ROUNDS 5
#define TURN_NS UINT64_C(300000000)
#define MIXED_TURN_NS UINT64_C(500000000)
#define BESIDE_TURN_NS UINT64_C(700000000)

// Reads and writes go to the first part of the disk, trims to the second.
#define DATA_BYTES (UINT64_C(256) << 20)
#define TRIM_BYTES (UINT64_C(128) << 20)
#define DISK_BYTES (DATA_BYTES + TRIM_BYTES)
#define LARGE_BYTES (128u << 10) // the largest write that Linux's nbd sends
#define HUGE_BYTES (32u << 20)   // the largest that nbdkit's clients may count on

#define NR_CONNECTIONS 4
#define NR_BESIDE_MAX 64

// The last two have one thread a connection, as zramswap has.  They take part where one request is
// under way at a time, so that the scheduler has the same choice where to wake that thread; and
// beside huge writes, since each of nbdkit's 16 threads a connection keeps a buffer of that size.
enum { NULL_, MEMORY, MEMORY_ZSTD, LZ4, ZSTD, NULL_ONE_THREAD, MEMORY_ONE_THREAD, NR_SERVERS };

static struct subject {
    const char *name;
    struct server *server;
    struct nbd_handle *connections[NR_CONNECTIONS];
    bool keeps_data;
    const struct zr_codec_ops *codec; // of zramswap; NULL for the others
} subjects[NR_SERVERS] = {
    [NULL_] = {.name = "null"},
    [MEMORY] = {"memory", .keeps_data = true},
    [MEMORY_ZSTD] = {"memory zstd", .keeps_data = true},
    [LZ4] = {"zramswap lz4", .keeps_data = true, .codec = &zr_codec_lz4},
    [ZSTD] = {"zramswap zstd", .keeps_data = true, .codec = &zr_codec_zstd},
    [NULL_ONE_THREAD] = {.name = "null, one thread"},
    [MEMORY_ONE_THREAD] = {"memory, one thread", .keeps_data = true},
};

static const struct load fill_data = {"fill", LOAD_WRITE, LARGE_BYTES, .length = DATA_BYTES,
                                      .is_sequential = true};
static const struct load fill_trim = {"fill",     LOAD_WRITE, LARGE_BYTES,
                                      DATA_BYTES, TRIM_BYTES, .is_sequential = true};
static const struct load reads = {"4 KiB random reads", LOAD_READ, BENCH_PAGE_BYTES,
                                  .length = DATA_BYTES};
static const struct load reads_8 = {"32 KiB random reads", LOAD_READ, 8 * BENCH_PAGE_BYTES,
                                    .length = DATA_BYTES};
static const struct load writes = {"4 KiB random writes", LOAD_WRITE, BENCH_PAGE_BYTES,
                                   .length = DATA_BYTES};
static const struct load large = {"128 KiB writes", LOAD_WRITE, LARGE_BYTES, .length = DATA_BYTES};
static const struct load huge = {"32 MiB writes", LOAD_WRITE, HUGE_BYTES, .length = DATA_BYTES};
static const struct load trims_1m = {"1 MiB trims", LOAD_TRIM,  1u << 20,
                                     DATA_BYTES,    TRIM_BYTES, .is_sequential = true};
static const struct load trims_2m = {"2 MiB trims", LOAD_TRIM,  2u << 20,
                                     DATA_BYTES,    TRIM_BYTES, .is_sequential = true};

static struct bench_samples pooled[NR_SERVERS]; // for the pictures
static struct codec_loop codec_loops[NR_SERVERS];

static void start_servers(void)
{
    char size[40];
    const char *const plugin = bench_options.plugin;
    struct subject *subject;
    unsigned i;

    BENCH_NAME(size, "size=%llu", (unsigned long long)DISK_BYTES);
    subjects[NULL_].server = server_open("null", size);
    subjects[MEMORY].server = server_open("memory", size);
    subjects[MEMORY_ZSTD].server = server_open("memory", size, "allocator=zstd");
    subjects[LZ4].server = server_open(plugin, size, "compression=lz4");
    subjects[ZSTD].server = server_open(plugin, size, "compression=zstd");
    subjects[NULL_ONE_THREAD].server = server_open("--threads=1", "null", size);
    subjects[MEMORY_ONE_THREAD].server = server_open("--threads=1", "memory", size);
    for (subject = subjects; subject < subjects + NR_SERVERS; subject++) {
        for (i = 0; i < NR_CONNECTIONS; i++) {
            subject->connections[i] = load_connect(subject->server, "");
        }
        if (subject->keeps_data) {
            bench_progress("server %s: fill and read back", subject->name);
            load_store(&fill_data, subject->connections[0]);
            load_store(&fill_trim, subject->connections[0]);
            load_verify(&fill_data, subject->connections[0]);
            load_verify(&fill_trim, subject->connections[0]);
        }
    }
}

static void stop_servers(void)
{
    struct subject *subject;
    unsigned i;

    for (subject = subjects; subject < subjects + NR_SERVERS; subject++) {
        for (i = 0; i < NR_CONNECTIONS; i++) {
            server_disconnect(subject->connections[i]);
        }
        server_close(subject->server);
    }
}

// What zramswap adds to the sum of the codec and a null; beyond names the two.
static void add_excess(const char *work, const struct subject *subject, const char *beyond,
                       const struct turn *turn, const struct turn *null, double codec_us)
{
    char unit[80];

    bench_add(work, subject->name, BENCH_NAME(unit, "µs server CPU beyond %s", beyond),
              turn->cpu_us - null->cpu_us - codec_us);
    bench_add(work, subject->name, BENCH_NAME(unit, "µs p50 beyond %s", beyond),
              turn->p50_us - null->p50_us - codec_us);
}

static void add_curves(const char *chart)
{
    static const double percents[] = {0,    1,  5,     10,   20,    25,   30,    40,   50, 60,
                                      70,   75, 80,    85,   90,    92.5, 95,    96,   97, 98,
                                      98.5, 99, 99.25, 99.5, 99.75, 99.9, 99.95, 99.99};
    unsigned i, p;

    for (i = 0; i < NR_SERVERS; i++) {
        for (p = 0; pooled[i].nr > 0 && p < sizeof percents / sizeof percents[0]; p++) {
            bench_point(chart, subjects[i].name, percents[p],
                        bench_samples_percentile(&pooled[i], percents[p]) / 1e3);
        }
        bench_samples_clear(&pooled[i]);
    }
}

// Random requests of one kind on nr_connections, depth each.
static void test_random(const struct load *load, unsigned nr_connections, unsigned depth)
{
    const bool is_one_read = load == &reads && nr_connections == 1 && depth == 1;
    const unsigned nr_subjects = is_one_read ? MEMORY_ONE_THREAD : NULL_ONE_THREAD;
    const unsigned nr_rounds = bench_nr_rounds(NR_ROUNDS);
    struct turn turns[NR_SERVERS];
    char work[80];
    unsigned round, turn, i;

    BENCH_NAME(work, "%s, %u connection%s × depth %u", load->name, nr_connections,
               nr_connections > 1 ? "s" : "", depth);
    if (!bench_wants(work)) {
        return;
    }
    bench_progress("server: %s", work);
    for (round = 0; round <= nr_rounds; round++) {
        bench_begin_round();
        for (turn = 0; turn < nr_subjects; turn++) {
            const unsigned nr = (turn + round) % nr_subjects;
            struct stream streams[NR_CONNECTIONS];

            for (i = 0; i < nr_connections; i++) {
                streams[i] = (struct stream){
                    .load = load,
                    .nbd = subjects[nr].connections[i],
                    .depth = depth,
                    .duration_ns = round > 0 ? TURN_NS : TURN_NS / 3,
                    .rng = {UINT64_C(100) * (round + 1) + i + 1},
                };
            }
            turns[nr] = load_turn(subjects[nr].server, streams, nr_connections, nr_connections);
            if (round > 0) { // the first round warms up
                load_add(work, subjects[nr].name, &turns[nr]);
                bench_samples_append(&pooled[nr], turns[nr].samples);
            }
        }
        for (i = LZ4; round > 0 && i <= ZSTD; i++) {
            double codec_us = codec_loop_run(&codec_loops[i], load->kind == LOAD_WRITE) *
                              load->bytes / BENCH_PAGE_BYTES;

            bench_add(work, subjects[i].codec->name, "µs CPU of the codec alone", codec_us);
            add_excess(work, &subjects[i], "null and codec", &turns[i], &turns[NULL_], codec_us);
            if (is_one_read) {
                add_excess(work, &subjects[i], "one-thread null and codec", &turns[i],
                           &turns[NULL_ONE_THREAD], codec_us);
            }
        }
    }
    if (is_one_read) {
        add_curves("4 KiB reads, one at a time");
    }
    for (i = 0; i < NR_SERVERS; i++) {
        bench_samples_clear(&pooled[i]);
    }
}

static void refill(const struct subject *subject)
{
    if (subject->keeps_data) {
        load_store(&fill_trim, subject->connections[0]);
    }
}

// Trims of stored pages, one after the other.
static void test_trims(const struct load *load, unsigned nr_subjects)
{
    const unsigned nr_rounds = bench_nr_rounds(NR_ROUNDS);
    unsigned round, turn;

    if (!bench_wants(load->name)) {
        return;
    }
    bench_progress("server: %s", load->name);
    for (round = 0; round <= nr_rounds; round++) {
        bench_begin_round();
        for (turn = 0; turn < nr_subjects; turn++) {
            const struct subject *subject = &subjects[(turn + round) % nr_subjects];
            struct stream stream = {.load = load, .nbd = subject->connections[0], .depth = 1};
            struct turn result;

            refill(subject);
            result = load_turn(subject->server, &stream, 1, 1);
            if (round > 0) {
                load_add(load->name, subject->name, &result);
            }
        }
    }
}

// One connection reads, one page at a time, while another one does what other says.
static void test_mixed(const char *work, const struct load *other, unsigned depth, uint64_t pace_ns)
{
    const unsigned nr_rounds = bench_nr_rounds(NR_ROUNDS);
    unsigned round, turn;

    if (!bench_wants(work)) {
        return;
    }
    bench_progress("server: %s", work);
    for (round = 0; round <= nr_rounds; round++) {
        bench_begin_round();
        for (turn = 0; turn < NULL_ONE_THREAD; turn++) {
            const unsigned nr = (turn + round) % NULL_ONE_THREAD;
            const struct subject *subject = &subjects[nr];
            // Trims run out: read for just as long.
            const uint64_t duration_ns =
                other->kind == LOAD_TRIM ? other->length / other->bytes * pace_ns : MIXED_TURN_NS;
            struct stream streams[2] = {
                {.load = &reads, .nbd = subject->connections[0], .depth = 1, .rng = {1}},
                {.load = other,
                 .nbd = subject->connections[1],
                 .depth = depth,
                 .pace_ns = pace_ns,
                 .rng = {2}},
            };
            struct turn result;

            streams[0].duration_ns = streams[1].duration_ns = duration_ns;
            if (other->kind == LOAD_TRIM) {
                refill(subject);
            }
            result = load_turn(subject->server, streams, 2, 1);
            if (round > 0) {
                load_add_latency(work, subject->name, &result);
                bench_add(work, subject->name, "others' requests/s",
                          (double)streams[1].nr_done * 1e9 / (double)streams[1].elapsed_ns);
                bench_samples_append(&pooled[nr], result.samples);
            }
        }
    }
    add_curves(work);
}

// ---- reads beside many that write --------------------------------------------------------------

struct beside {
    const struct load *load;
    unsigned nr_writers;
};

static void name_beside(char work[80], const struct beside *beside)
{
    if (beside->nr_writers == 0) {
        strcpy(work, "4 KiB reads beside no connection that writes");
    } else if (beside->load->bytes >= 1u << 20) {
        snprintf(work, 80, "4 KiB reads beside %u connections that write %u MiB",
                 beside->nr_writers, beside->load->bytes >> 20);
    } else {
        snprintf(work, 80, "4 KiB reads beside %u connections that write %u KiB",
                 beside->nr_writers, beside->load->bytes >> 10);
    }
}

static void run_beside(const struct subject *subject, struct nbd_handle *const *writers,
                       const struct beside *beside, unsigned round)
{
    struct stream streams[1 + NR_BESIDE_MAX];
    struct turn turn;
    double others = 0;
    char work[80];
    unsigned i;

    for (i = 0; i <= beside->nr_writers; i++) {
        streams[i] = (struct stream){
            .load = i == 0 ? &reads : beside->load,
            .nbd = i == 0 ? subject->connections[0] : writers[i - 1],
            .depth = 1,
            .duration_ns = round > 0 ? BESIDE_TURN_NS : BESIDE_TURN_NS / 3,
            .rng = {UINT64_C(1000) * (round + 1) + i},
        };
    }
    turn = load_turn(subject->server, streams, 1 + beside->nr_writers, 1);
    if (round == 0) {
        return;
    }
    name_beside(work, beside);
    load_add_latency(work, subject->name, &turn);
    bench_add(work, subject->name, "µs max", turn.max_us);
    for (i = 1; i <= beside->nr_writers; i++) {
        others += (double)streams[i].nr_done * 1e9 / (double)streams[i].elapsed_ns;
    }
    if (beside->nr_writers > 0) {
        bench_add(work, subject->name, "others' requests/s", others);
    }
}

// All works within each round: they are held against each other too.
static void test_beside(void)
{
    static const unsigned few_threads[] = {NULL_ONE_THREAD, MEMORY_ONE_THREAD, LZ4};
    static const unsigned many_threads[] = {NULL_, MEMORY, LZ4};
    // The last two for where 4 × CPUs are more than what every machine has.
    struct beside all[] = {{&large, 0}, {&writes, 4}, {&writes, 16}, {&large, 4}, {&large, 8},
                           {&huge, 2},  {&huge, 6},   {&writes, 0},  {&large, 0}};
    unsigned nr_works = 7, nr_largest = 4 * bench_nr_cpus();
    const unsigned nr_rounds = bench_nr_rounds(NR_ROUNDS);
    struct nbd_handle *writers[NR_SERVERS][NR_BESIDE_MAX];
    unsigned round, i, k, turn;

    if (!bench_wants("4 KiB reads beside")) {
        return;
    }
    nr_largest = nr_largest < NR_BESIDE_MAX ? nr_largest : NR_BESIDE_MAX;
    if (nr_largest > 16) {
        all[nr_works++].nr_writers = nr_largest;
        all[nr_works++].nr_writers = nr_largest;
    }
    nr_largest = nr_largest > 16 ? nr_largest : 16;
    for (i = 0; i < NR_SERVERS; i++) {
        for (k = 0; k < nr_largest; k++) {
            writers[i][k] = load_connect(subjects[i].server, "");
        }
    }
    for (round = 0; round <= nr_rounds; round++) {
        bench_progress("server: reads beside connections that write, round %u of %u", round,
                       nr_rounds);
        bench_begin_round();
        for (i = 0; i < nr_works; i++) {
            for (turn = 0; turn < 3; turn++) {
                const unsigned nr =
                    (all[i].load == &huge ? few_threads : many_threads)[(turn + round) % 3];

                run_beside(&subjects[nr], writers[nr], &all[i], round);
            }
        }
    }
    for (i = 0; i < NR_SERVERS; i++) {
        for (k = 0; k < nr_largest; k++) {
            server_disconnect(writers[i][k]);
        }
    }
}

int main(int argc, char *argv[])
{
    static const struct load *const random_loads[] = {&reads, &writes, &large};
    unsigned i;

    bench_parse_options(argc, argv);
    bench_pages_load();
    start_servers();
    for (i = 0; i < NR_SERVERS; i++) {
        bench_samples_init(&pooled[i], 1u << 20);
        if (subjects[i].codec) {
            codec_loop_init(&codec_loops[i], subjects[i].codec);
        }
    }
    test_random(&reads, 1, 1);
    test_random(&reads_8, 1, 1);
    test_trims(&trims_2m, MEMORY_ONE_THREAD);
    // Tied to one CPU by taskset, and so the servers as well: only requests one at a time are worth
    // a test then.
    if (bench_nr_cpus() > 1) {
        for (i = 0; i < 3; i++) {
            if (i > 0) {
                test_random(random_loads[i], 1, 1);
            }
            test_random(random_loads[i], 1, 16);
            test_random(random_loads[i], 4, 1);
            test_random(random_loads[i], 4, 16);
        }
        test_trims(&trims_1m, NULL_ONE_THREAD);
        test_mixed("4 KiB reads while another writes 4 KiB at depth 16", &writes, 16, 0);
        test_mixed("4 KiB reads while another writes 128 KiB, 500 a second", &large, 16, 2000000);
        test_mixed("4 KiB reads while another trims 2 MiB, 250 a second", &trims_2m, 1, 4000000);
        test_beside();
    }
    stop_servers();
    return 0;
}
