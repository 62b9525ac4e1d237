// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// A server with a store that is killed and started again: how long until a client has its first
// answer, how long it takes to find out what is stored, and how much memory that takes before and
// after.  And what a store costs each request, beside a server without.  The store lies on
// /dev/shm.
#include "load.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define GIB (UINT64_C(1) << 30)
#define NR_ROUNDS 11
#define SETTLE_NS 1000000000
#define TURN_NS 300000000
#define BESIDE_BYTES (256u << 20)

static char folder[] = "/dev/shm/zramswap-bench-XXXXXX";
static char store[80], store_parameter[100];

static void clean_up(void)
{
    unlink(store);
    rmdir(folder);
}

static struct server *start(const char *compression, uint64_t bytes)
{
    char size[40];

    BENCH_NAME(size, "size=%llu", (unsigned long long)bytes);
    return server_open(bench_options.plugin, size, compression, store_parameter,
                       "stats-export=stats");
}

static void read_first_page(const struct server *server)
{
    unsigned char page[BENCH_PAGE_BYTES];
    struct nbd_handle *nbd = load_connect(server, "");

    if (nbd_pread(nbd, page, sizeof page, 0, 0) < 0 ||
        memcmp(page, bench_page(0), sizeof page) != 0) {
        bench_die("the first page is not what was stored: %s", nbd_get_error());
    }
    server_disconnect(nbd);
}

// Resident in the store, over what it stores, when the server has given back what it can.
static void add_memory(const char *work, const char *subject, const char *unit,
                       const struct server *server)
{
    struct stat status;

    bench_sleep_until_ns(bench_now_ns() + SETTLE_NS);
    if (stat(store, &status) < 0) {
        bench_die("%s: %m", store);
    }
    bench_add(work, subject, unit,
              (double)status.st_blocks * 512 / (double)load_server_stat(server, "compr_data_size"));
}

static void test_restart(const char *codec, uint64_t gib)
{
    const struct load fill = {"fill", LOAD_WRITE, 128u << 10, .length = gib * GIB,
                              .is_sequential = true};
    const unsigned nr_rounds = bench_nr_rounds(NR_ROUNDS);
    char work[60], subject[40], compression[40];
    struct nbd_handle *nbd;
    struct server *server;
    uint64_t begin_ns;
    unsigned round;

    BENCH_NAME(work, "restart, %llu GiB stored", (unsigned long long)gib);
    BENCH_NAME(subject, "zramswap %s", codec);
    BENCH_NAME(compression, "compression=%s", codec);
    if (!bench_wants(work)) {
        return;
    }
    bench_progress("%s, %s: fill", work, codec);
    server = start(compression, gib * GIB);
    nbd = load_connect(server, "");
    load_store(&fill, nbd);
    server_disconnect(nbd);
    add_memory(work, subject, "resident / compressed, filled", server);
    for (round = 0; round <= nr_rounds; round++) {
        bench_progress("%s, %s: round %u of %u", work, codec, round, nr_rounds);
        bench_begin_round();
        begin_ns = bench_now_ns();
        server_kill_at_once(server);
        server = start(compression, gib * GIB);
        read_first_page(server);
        if (round > 0) {
            bench_add(work, subject, "ms from kill to first answer",
                      (double)(bench_now_ns() - begin_ns) / 1e6);
            bench_add(work, subject, "ms of recovery per GiB",
                      (double)load_server_stat(server, "recovery_ns") / 1e6 / (double)gib);
        }
    }
    add_memory(work, subject, "resident / compressed, after the last restart", server);
    nbd = load_connect(server, "");
    load_verify(&fill, nbd);
    server_disconnect(nbd);
    server_kill_at_once(server);
    unlink(store);
}

static const struct load fill_beside = {"fill", LOAD_WRITE, 128u << 10, .length = BESIDE_BYTES,
                                        .is_sequential = true};

// One load on both servers, in turns; and the ratio of the turns of a round.
static void run_beside(const struct load *load, unsigned depth, struct server *const *servers,
                       struct nbd_handle *const *connections)
{
    static const char *const subjects[] = {"without a store", "with a store"};
    const unsigned nr_rounds = bench_nr_rounds(NR_ROUNDS);
    double requests_per_s[2];
    unsigned round, turn;
    char work[80];

    BENCH_NAME(work, "beside none, %s, depth %u", load->name, depth);
    if (!bench_wants(work)) {
        return;
    }
    bench_progress("%s", work);
    for (round = 0; round <= nr_rounds; round++) {
        bench_begin_round();
        for (turn = 0; turn < 2; turn++) {
            const unsigned nr = (turn + round) % 2;
            struct stream stream = {
                .load = load,
                .nbd = connections[nr],
                .depth = depth,
                .duration_ns = load->is_sequential ? 0 : TURN_NS,
                .rng = {round + 1},
            };
            struct turn result;

            if (load->kind == LOAD_TRIM) {
                load_store(&fill_beside, connections[nr]);
            }
            result = load_turn(servers[nr], &stream, 1, 1);
            requests_per_s[nr] = result.requests_per_s;
            if (round > 0) {
                load_add(work, subjects[nr], &result);
            }
        }
        if (round > 0) {
            bench_add(work, "with / without", "ratio of requests/s",
                      requests_per_s[1] / requests_per_s[0]);
        }
    }
}

static void test_beside(void)
{
    static const struct load loads[] = {
        {"4 KiB reads", LOAD_READ, 4096, .length = BESIDE_BYTES},
        {"4 KiB writes", LOAD_WRITE, 4096, .length = BESIDE_BYTES},
        {"4 KiB trims", LOAD_TRIM, 4096, .length = BESIDE_BYTES / 8, .is_sequential = true},
        {"2 MiB trims", LOAD_TRIM, 2u << 20, .length = BESIDE_BYTES, .is_sequential = true},
    };
    struct server *servers[] = {
        server_open(bench_options.plugin, "size=1G", "stats-export=stats"),
        start("compression=lz4", GIB),
    };
    struct nbd_handle *connections[2];
    unsigned i;

    for (i = 0; i < 2; i++) {
        connections[i] = load_connect(servers[i], "");
        load_store(&fill_beside, connections[i]);
    }
    for (i = 0; i < sizeof loads / sizeof *loads; i++) {
        run_beside(&loads[i], loads[i].bytes > 4096 ? 1 : 16, servers, connections);
    }
    for (i = 0; i < 2; i++) {
        server_disconnect(connections[i]);
        server_kill_at_once(servers[i]);
    }
    unlink(store);
}

int main(int argc, char *argv[])
{
    bench_parse_options(argc, argv);
    bench_pages_load();
    if (!mkdtemp(folder)) {
        bench_die("%s: no folder on a tmpfs", folder);
    }
    atexit(clean_up);
    BENCH_NAME(store, "%s/store", folder);
    BENCH_NAME(store_parameter, "store=%s", store);
    test_beside();
    test_restart("lz4", 1);
    test_restart("zstd", 1);
    test_restart("lz4", 8);
    test_restart("zstd", 8);
    return 0;
}
