// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Cold pages over a Unix socket: how long a guest waits for one and for its neighbours, whether
// others notice demotion, and whether it stops while the server is busy.
//
// "Cold" is what was not written for a second here, and hot what is written more often.
#include "load.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GROUP_PAGES 16u // that are demoted together
#define FILL_BYTES (128u << 10)
#define COLD_BYTES (UINT64_C(512) << 20) // for 100 % of a CPU to have more than a turn's work
#define HOT_BYTES (UINT64_C(1) << 20)
#define DISK_BYTES (COLD_BYTES + HOT_BYTES)
#define HOT_PACE_NS 80000000 // each 128 KiB of it is written again within a second
#define TURN_NS UINT64_C(4000000000)
#define READS_PER_S 400u // hot ones; from 1000 requests a second on there is no demotion
#define BUSY_READS_PER_S 2000u
#define NR_ROUNDS 5
#define NR_READ_ROUNDS 5
#define READ_BYTES_MAX (UINT64_C(256) << 20)
#define NR_READ_GROUPS_MAX 300u // in a round
#define NR_PAUSES 15u
#define PATIENCE_NS UINT64_C(60000000000)
#define SECOND_NS UINT64_C(1000000000)

static const struct load fill_cold = {"fill", LOAD_WRITE, FILL_BYTES, .length = COLD_BYTES,
                                      .is_sequential = true};
static const struct load fill_hot = {"fill",     LOAD_WRITE, FILL_BYTES,
                                     COLD_BYTES, HOT_BYTES,  .is_sequential = true};
static const struct load hot_reads = {"reads", LOAD_READ, BENCH_PAGE_BYTES, .start = COLD_BYTES,
                                      .length = HOT_BYTES};

static uint64_t stat_of(const struct server *server, const char *name)
{
    return load_server_stat(server, name);
}

// ---- reads of cold pages -----------------------------------------------------------------------

static struct reader {
    const char *name;
    const char *compression, *cold;
    struct server *server;
    struct nbd_handle *nbd;
    struct bench_samples alone, neighbours;
} readers[] = {
    {.name = "lz4", .compression = "compression=lz4", .cold = "cold=off"},
    {.name = "zstd", .compression = "compression=zstd", .cold = "cold=off"},
    {.name = "groups", .compression = "compression=lz4", .cold = "cold=1"},
};
enum { LZ4, ZSTD, GROUPS, NR_READERS };

// Until so many pages were demoted, or no more are.
static void wait_until_demoted(const struct server *server, uint64_t nr_wanted)
{
    uint64_t start_ns = bench_now_ns(), change_ns = start_ns, nr = 0;

    while (nr < nr_wanted && (nr == 0 || bench_now_ns() - change_ns < 5 * SECOND_NS)) {
        uint64_t nr_now = stat_of(server, "cold_demoted_pages");

        change_ns = nr_now != nr ? bench_now_ns() : change_ns;
        nr = nr_now;
        if (bench_now_ns() - start_ns > PATIENCE_NS) {
            bench_die("no page became cold, or too few: %llu", (unsigned long long)nr);
        }
        bench_sleep_until_ns(bench_now_ns() + SECOND_NS / 50);
    }
}

static void timed_read(const struct reader *reader, uint64_t page, struct bench_samples *into,
                       bool is_verified)
{
    static unsigned char buffer[BENCH_PAGE_BYTES];
    uint64_t start_ns = bench_now_ns();

    if (nbd_pread(reader->nbd, buffer, sizeof buffer, page * BENCH_PAGE_BYTES, 0) < 0) {
        bench_die("%s: %s", reader->name, nbd_get_error());
    }
    bench_samples_add(into, bench_now_ns() - start_ns);
    if (is_verified && memcmp(buffer, bench_page(page), sizeof buffer) != 0) {
        bench_die("%s: page %llu does not read back", reader->name, (unsigned long long)page);
    }
}

// Each group once: what is read again leaves it.
static void read_groups(struct reader *reader, const uint32_t *groups, uint32_t nr,
                        bool is_verified)
{
    struct bench_rng rng = {1};
    uint32_t i, k;

    bench_samples_clear(&reader->alone);
    bench_samples_clear(&reader->neighbours);
    for (i = 0; i < nr; i++) {
        uint64_t one = bench_random_below(&rng, GROUP_PAGES);

        for (k = 0; k < GROUP_PAGES; k++) {
            timed_read(reader, groups[i] * (uint64_t)GROUP_PAGES + (one + k) % GROUP_PAGES,
                       k == 0 ? &reader->alone : &reader->neighbours, is_verified);
        }
    }
}

static double add_percentiles(const char *work, const char *subject, struct bench_samples *samples)
{
    double p50_us = bench_samples_percentile(samples, 50) / 1e3;

    bench_add(work, subject, "µs p50", p50_us);
    bench_add(work, subject, "µs p99", bench_samples_percentile(samples, 99) / 1e3);
    return p50_us;
}

static void add_reads(void)
{
    static const char *const alone = "read of a page at random, over a socket";
    static const char *const neighbours = "reads of its 15 neighbours after it, over a socket";
    double p50_us[NR_READERS];
    unsigned i;

    for (i = 0; i < NR_READERS; i++) {
        p50_us[i] = add_percentiles(alone, readers[i].name, &readers[i].alone);
        add_percentiles(neighbours, readers[i].name, &readers[i].neighbours);
    }
    bench_add(alone, "groups", "µs p50 beyond an lz4 page's", p50_us[GROUPS] - p50_us[LZ4]);
    bench_add(alone, "groups", "µs p50 beyond a zstd page's", p50_us[GROUPS] - p50_us[ZSTD]);
}

static void start_readers(uint64_t bytes)
{
    const struct load fill = {"fill", LOAD_WRITE, BENCH_PAGE_BYTES, .length = bytes,
                              .is_sequential = true};
    char size[40];
    unsigned i;

    BENCH_NAME(size, "size=%llu", (unsigned long long)bytes);
    for (i = 0; i < NR_READERS; i++) {
        struct reader *reader = &readers[i];

        bench_progress("%s: fill", reader->name);
        reader->server = server_open(bench_options.plugin, size, reader->compression, reader->cold,
                                     "cold-cpu=100", "stats-export=stats");
        reader->nbd = load_connect(reader->server, "");
        load_store(&fill, reader->nbd);
        bench_samples_init(&reader->alone, NR_READ_GROUPS_MAX);
        bench_samples_init(&reader->neighbours, NR_READ_GROUPS_MAX * (GROUP_PAGES - 1));
    }
    wait_until_demoted(readers[GROUPS].server, UINT64_MAX);
}

// A guest that wakes up: nothing is cached, nothing is warm.
static void read_after_pauses(const uint32_t *groups, unsigned nr)
{
    static const char *const work = "read of a page at random after 2 s without, over a socket";
    struct bench_rng rng = {1};
    unsigned i, k;

    for (i = 0; i < NR_READERS; i++) {
        bench_samples_clear(&readers[i].alone);
    }
    for (k = 0; k < nr; k++) {
        uint64_t page = groups[k] * (uint64_t)GROUP_PAGES + bench_random_below(&rng, GROUP_PAGES);

        bench_progress("reads after pauses, %u of %u", k + 1, nr);
        bench_sleep_until_ns(bench_now_ns() + 2 * SECOND_NS);
        for (i = 0; i < NR_READERS; i++) {
            struct reader *reader = &readers[(i + k) % NR_READERS];

            timed_read(reader, page, &reader->alone, true);
        }
    }
    bench_begin_round();
    for (i = 0; i < NR_READERS; i++) {
        add_percentiles(work, readers[i].name, &readers[i].alone);
    }
}

static void stop_readers(void)
{
    unsigned i;

    for (i = 0; i < NR_READERS; i++) {
        server_disconnect(readers[i].nbd);
        server_close(readers[i].server);
        bench_samples_fini(&readers[i].alone);
        bench_samples_fini(&readers[i].neighbours);
    }
}

static void bench_reads(void)
{
    const unsigned nr_rounds = bench_nr_rounds(NR_READ_ROUNDS);
    const uint64_t nr_file = bench_pages.nr_pages - bench_pages.nr_pages % GROUP_PAGES;
    uint64_t bytes = nr_file * BENCH_PAGE_BYTES;
    uint32_t nr_groups, nr_in_round, *groups;
    unsigned round, turn;

    if (!bench_wants("over a socket")) {
        return;
    }
    bytes = bytes < READ_BYTES_MAX ? bytes : READ_BYTES_MAX;
    nr_groups = (uint32_t)(bytes / BENCH_PAGE_BYTES / GROUP_PAGES);
    nr_in_round = nr_groups / (nr_rounds + 2);
    nr_in_round = nr_in_round < NR_READ_GROUPS_MAX ? nr_in_round : NR_READ_GROUPS_MAX;
    groups = bench_random_order(nr_groups, 1);
    start_readers(bytes);
    for (round = 0; round <= nr_rounds; round++) {
        bench_progress("reads of cold pages over a socket, round %u of %u", round, nr_rounds);
        bench_begin_round();
        for (turn = 0; turn < NR_READERS; turn++) {
            read_groups(&readers[(turn + round) % NR_READERS], groups + round * nr_in_round,
                        nr_in_round, round == 0);
        }
        if (round > 0) { // the first one warms up, and compares
            add_reads();
        }
    }
    read_after_pauses(groups + round * nr_in_round,
                      nr_in_round < NR_PAUSES ? nr_in_round : NR_PAUSES);
    stop_readers();
    free(groups);
}

// ---- what others notice of demotion ------------------------------------------------------------

static struct subject {
    const char *name;
    const char *parameters[2];
    struct server *server;
    struct nbd_handle *reads, *writes;
} subjects[] = {
    {.name = "no demotion", .parameters = {"cold=off", NULL}},
    {.name = "demotion", .parameters = {"cold=1", NULL}}, // with the default of cold-cpu
    {.name = "demotion, cold-cpu=100", .parameters = {"cold=1", "cold-cpu=100"}},
};
enum { REST, DEFAULT, ALL_CPU, NR_SUBJECTS };

static uint32_t *hot_order; // the places of the hot part in turns, without end
static const uint32_t nr_hot_order = 10000;

static void start_subjects(void)
{
    const uint32_t nr_places = (uint32_t)(HOT_BYTES / FILL_BYTES);
    char size[40];
    uint32_t i;

    BENCH_NAME(size, "size=%llu", (unsigned long long)DISK_BYTES);
    for (i = 0; i < NR_SUBJECTS; i++) {
        struct subject *subject = &subjects[i];

        subject->server = server_open(bench_options.plugin, size, "stats-export=stats",
                                      subject->parameters[0], subject->parameters[1]);
        subject->reads = load_connect(subject->server, "");
        subject->writes = load_connect(subject->server, "");
    }
    load_store(&fill_cold, subjects[REST].writes);
    hot_order = bench_alloc(nr_hot_order * sizeof *hot_order);
    for (i = 0; i < nr_hot_order; i++) {
        hot_order[i] = i % nr_places;
    }
}

static void stop_subjects(void)
{
    unsigned i;

    for (i = 0; i < NR_SUBJECTS; i++) {
        server_disconnect(subjects[i].reads);
        server_disconnect(subjects[i].writes);
        server_close(subjects[i].server);
    }
    bench_free(hot_order, nr_hot_order * sizeof *hot_order);
}

// Stands still, so that it takes no CPU while another one is measured.
static void hold(const struct subject *subject)
{
    kill(subject->server->pid, SIGSTOP);
}

static void let_go(const struct subject *subject)
{
    kill(subject->server->pid, SIGCONT);
}

// Writes all that is to be cold, and waits until the first of it is demoted.
static void make_work(unsigned i)
{
    uint64_t nr;

    let_go(&subjects[i]);
    load_store(&fill_cold, subjects[i].writes);
    nr = stat_of(subjects[i].server, "cold_demoted_pages");
    wait_until_demoted(subjects[i].server, nr + GROUP_PAGES);
}

// Reads of hot pages for a time, which are written again meanwhile so that they stay hot.
static struct turn read_hot(const struct subject *subject, unsigned reads_per_s, uint64_t ns)
{
    const struct load rewrites = {
        "writes", LOAD_WRITE,        FILL_BYTES, COLD_BYTES, nr_hot_order * (uint64_t)FILL_BYTES,
        true,     .order = hot_order};
    struct stream streams[] = {
        {.load = &hot_reads,
         .nbd = subject->reads,
         .depth = 1,
         .pace_ns = SECOND_NS / reads_per_s,
         .duration_ns = ns,
         .rng = {1}},
        {.load = &rewrites,
         .nbd = subject->writes,
         .depth = 1,
         .pace_ns = HOT_PACE_NS,
         .duration_ns = ns},
    };

    return load_turn(subject->server, streams, 2, 1);
}

static void run_beside(unsigned i)
{
    const struct subject *subject = &subjects[i];
    char work[60];
    struct turn turn;
    uint64_t nr, start_ns;

    if (i != REST) {
        make_work(i);
    }
    load_store(&fill_hot, subject->writes);
    nr = stat_of(subject->server, "cold_demoted_pages");
    start_ns = bench_now_ns();
    turn = read_hot(subject, READS_PER_S, TURN_NS);
    nr = stat_of(subject->server, "cold_demoted_pages") - nr;
    BENCH_NAME(work, "reads of hot pages, %u a second", READS_PER_S);
    load_add_latency(work, subject->name, &turn);
    bench_add(work, subject->name, "others' MB/s, demoted",
              (double)nr * BENCH_PAGE_BYTES * 1e3 / (double)(bench_now_ns() - start_ns));
    if (i != REST) {
        hold(subject);
    }
}

static void bench_beside(void)
{
    const unsigned nr_rounds = bench_nr_rounds(NR_ROUNDS);
    unsigned round, turn;

    for (round = 1; round <= nr_rounds; round++) {
        bench_progress("reads of hot pages beside demotion, round %u of %u", round, nr_rounds);
        bench_begin_round();
        for (turn = 0; turn < NR_SUBJECTS; turn++) {
            run_beside((turn + round) % NR_SUBJECTS);
        }
    }
}

// With work left to do, and all of a CPU allowed.
static void bench_busy(void)
{
    const struct subject *subject = &subjects[ALL_CPU];
    char work[60];
    uint64_t nr;

    bench_progress("demotion while the server is busy");
    make_work(ALL_CPU);
    read_hot(subject, BUSY_READS_PER_S, SECOND_NS); // until it has seen that
    nr = stat_of(subject->server, "cold_demoted_pages");
    read_hot(subject, BUSY_READS_PER_S, 2 * SECOND_NS);
    BENCH_NAME(work, "beside %u requests a second", BUSY_READS_PER_S);
    bench_add(work, "demotion, cold-cpu=100", "pages demoted in 2 s",
              (double)(stat_of(subject->server, "cold_demoted_pages") - nr));
    // Or it would have been for want of work.
    wait_until_demoted(subject->server, stat_of(subject->server, "cold_demoted_pages") + 1);
}

int main(int argc, char *argv[])
{
    bench_parse_options(argc, argv);
    bench_pages_load();
    bench_reads();
    if (bench_wants("reads of hot pages") || bench_wants("requests a second")) {
        bench_progress("servers with and without demotion: fill");
        start_subjects();
        bench_beside();
        bench_busy();
        let_go(&subjects[DEFAULT]);
        stop_subjects();
    }
    return 0;
}
