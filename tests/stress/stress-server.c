// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// The same hammering from outside: 64 connections with 16 requests in flight each against a real
// nbdkit, two tenants and a pool that is too small for them, one with a limit of its own, which it
// hits and does not pass, every byte explained, then SIGTERM in the middle of it.  After a
// round nobody asks for anything until pages are cold: what is read then comes out of groups, and
// out of those it goes.
#include "history.h"
#include "tests/protocol/expect.h"
#include "tests/protocol/server.h"
#include "tests/protocol/stats.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#define NR_CONNECTIONS 64
#define DEPTH 16
#define OPS_PER_ROUND 64
#define DISK_BYTES "6312448" // three leaves, five pages and a sector
#define DISK_SECTORS (6312448 / SECTOR_BYTES)
#define PER_TENANT (NR_CONNECTIONS / 2) // the first half is the first tenant's
#define LIMITED "b:" DISK_BYTES ":16K"  // the second
// Writers that race pass the limit by a little.  Without it, most rounds end with more than this.
#define LIMITED_MOST_BYTES 32768
#define COLD_PAGES 8    // that are waited for
#define COLD_SECONDS 20 // for so long at most
#define COLD_ROUNDS 6 // one may leave no pages that are worth a group, or no room for their way out

struct request {
    struct connection *connection;
    struct op op;
    bool is_free;
    char buffer[MAX_OP_SECTORS * SECTOR_BYTES];
};

struct connection {
    struct nbd_handle *nbd;
    struct history_log log;
    unsigned nr_in_flight;
    struct request requests[DEPTH];
};

static struct connection connections[NR_CONNECTIONS];
static struct history_disk disks[2];
static _Atomic uint64_t nr_refused[2]; // of each tenant's requests
static atomic_bool is_ending;          // the server may go away from here on

static int complete(void *opaque, int *error)
{
    struct request *request = opaque;

    if (*error == 0) {
        history_end(&request->connection->log, &request->op, request->buffer);
    } else if (*error == ENOSPC) {
        history_refused(&request->connection->log, &request->op);
        nr_refused[request->connection >= &connections[PER_TENANT]]++;
    } else if (!is_ending) {
        FAIL("request %d: %s", request->op.kind, strerror(*error));
    }
    request->is_free = true;
    request->connection->nr_in_flight--;
    return 1; // retire the command
}

// False if the connection takes no more commands.
static bool submit(struct request *request)
{
    struct connection *connection = request->connection;
    nbd_completion_callback callback = {.callback = complete, .user_data = request};
    uint64_t bytes, offset;
    int64_t cookie;

    request->op = history_begin(&connection->log, DISK_SECTORS, request->buffer);
    bytes = request->op.nr_sectors * SECTOR_BYTES;
    offset = request->op.first_sector * SECTOR_BYTES;
    switch (request->op.kind) {
    case OP_READ:
        cookie = nbd_aio_pread(connection->nbd, request->buffer, bytes, offset, callback, 0);
        break;
    case OP_WRITE:
        cookie = nbd_aio_pwrite(connection->nbd, request->buffer, bytes, offset, callback, 0);
        break;
    case OP_ZERO:
        cookie = nbd_aio_zero(connection->nbd, bytes, offset, callback, 0);
        break;
    default:
        cookie = nbd_aio_trim(connection->nbd, bytes, offset, callback, 0);
    }
    if (cookie == -1) {
        EXPECT(is_ending);
        return false;
    }
    request->is_free = false;
    connection->nr_in_flight++;
    return true;
}

static void *work(void *arg)
{
    struct connection *connection = arg;
    unsigned nr_submitted = 0;
    unsigned i;

    while (nr_submitted < OPS_PER_ROUND || connection->nr_in_flight > 0) {
        for (i = 0; i < DEPTH && nr_submitted < OPS_PER_ROUND; i++) {
            if (connection->requests[i].is_free) {
                if (!submit(&connection->requests[i])) {
                    return NULL;
                }
                nr_submitted++;
            }
        }
        if (connection->nr_in_flight > 0 && nbd_poll(connection->nbd, -1) == -1) {
            EXPECT(is_ending);
            return NULL;
        }
        if (is_ending) {
            nr_submitted = 0; // goes on until the server is gone
        }
    }
    return NULL;
}

static void start_all(pthread_t *threads)
{
    unsigned i;

    for (i = 0; i < NR_CONNECTIONS; i++) {
        EXPECT(pthread_create(&threads[i], NULL, work, &connections[i]) == 0);
    }
}

static void join_all(pthread_t *threads)
{
    unsigned i;

    for (i = 0; i < NR_CONNECTIONS; i++) {
        pthread_join(threads[i], NULL);
    }
}

static void read_sector(void *opaque, uint64_t sector, void *buffer)
{
    NBD_OK(nbd_pread(opaque, buffer, SECTOR_BYTES, sector * SECTOR_BYTES, 0));
}

// While nothing is written.
static void expect_limited(void)
{
    char *document = stats_read();
    const char *second = strstr(document, "\"name\": \"b\"");
    uint64_t stored_bytes;

    EXPECT(second);
    stored_bytes = stats_number(second, "compr_data_size");
    if (stored_bytes > LIMITED_MOST_BYTES) {
        FAIL("the tenant with a limit stored %" PRIu64 " bytes", stored_bytes);
    }
    free(document);
}

// A page is cold when the ager has come by four times, each second; then it takes a group that is
// worth it.
static void await_cold(void)
{
    uint64_t until_ns = history_now_ns() + COLD_SECONDS * UINT64_C(1000000000);

    while (stats_now("cold_pages") < COLD_PAGES && history_now_ns() < until_ns) {
        usleep(100000);
    }
}

static void run(const char *compression, uint64_t seed, double seconds)
{
    uint64_t end_ns = history_now_ns() + (uint64_t)(seconds * 1e9);
    struct history_log logs[NR_CONNECTIONS];
    pthread_t threads[NR_CONNECTIONS];
    uint64_t nr_ops = 0, nr_cold_reads, nr_promoted = 0;
    unsigned nr_rounds = 0, i, j;

    is_ending = false;
    nr_refused[0] = nr_refused[1] = 0;
    disks[0] = disks[1] = (struct history_disk){.nr_sectors = DISK_SECTORS};
    server_start("size=" DISK_BYTES, "export=" LIMITED, "limit=2560K", STATS_PARAMETER, "cold=1",
                 "cold-cpu=100", compression);
    for (i = 0; i < NR_CONNECTIONS; i++) {
        connections[i].nbd = server_connect(i < PER_TENANT ? "" : "b");
        connections[i].nr_in_flight = 0;
        history_log_init(&connections[i].log, i + 1, seed);
        for (j = 0; j < DEPTH; j++) {
            connections[i].requests[j].connection = &connections[i];
            connections[i].requests[j].is_free = true;
        }
    }
    do {
        start_all(threads);
        join_all(threads);
        expect_limited();
        if (nr_promoted == 0) {
            await_cold();
        }
        for (i = 0; i < NR_CONNECTIONS; i++) {
            logs[i] = connections[i].log;
        }
        for (i = 0; i < 2; i++) {
            history_check(&disks[i], &logs[i * PER_TENANT], PER_TENANT, read_sector,
                          connections[i * PER_TENANT].nbd);
        }
        for (i = 0; i < NR_CONNECTIONS; i++) {
            connections[i].log = logs[i];
        }
        nr_ops += NR_CONNECTIONS * OPS_PER_ROUND;
        nr_promoted = stats_now("cold_promoted");
        if (nr_promoted == 0 && ++nr_rounds == COLD_ROUNDS) {
            FAIL("no page was read again while it was cold: %s", stats_read());
        }
    } while (nr_promoted == 0 || history_now_ns() < end_ns);

    nr_cold_reads = stats_now("cold_reads");
    is_ending = true;
    start_all(threads);
    usleep(200000);
    // For a write that it refuses, the server may say so.
    EXPECT(server_end() == 0);
    free(server_take_messages());
    join_all(threads);
    for (i = 0; i < NR_CONNECTIONS; i++) {
        nbd_close(connections[i].nbd);
        history_log_fini(&connections[i].log);
    }
    printf("%s: %" PRIu64 " requests, every byte explained; %" PRIu64 " and, of the tenant with a "
           "limit, %" PRIu64 " were refused for want of memory; %" PRIu64
           " reads of cold pages, %" PRIu64 " promoted\n",
           compression, nr_ops, nr_refused[0], nr_refused[1], nr_cold_reads, nr_promoted);
    EXPECT(nr_refused[0] > 0 && nr_refused[1] > nr_refused[0]);
}

int main(void)
{
    uint64_t seed = history_seed();
    double seconds = history_seconds(10);

    run("compression=lz4", seed, seconds / 2);
    run("compression=zstd", seed, seconds / 2);
    return 0;
}
