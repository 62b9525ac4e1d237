// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// A server with a store that is killed and started again: how long until a client has its first
// answer, and how long it takes to find out what is stored.  The store lies on /dev/shm.
#include "load.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GIB (UINT64_C(1) << 30)
#define NR_ROUNDS 11

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
    nbd = load_connect(server, "");
    load_verify(&fill, nbd);
    server_disconnect(nbd);
    server_kill_at_once(server);
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
    test_restart("lz4", 1);
    test_restart("zstd", 1);
    test_restart("lz4", 8);
    test_restart("zstd", 8);
    return 0;
}
