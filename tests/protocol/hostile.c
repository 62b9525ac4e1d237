// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors

#include <arpa/inet.h>
#include <endian.h>
#include <linux/nbd.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "expect.h"
#include "hostile.h"

#define BIG_BYTES (1024u * 1024)
#define NR_HALF_SENT 32
#define NR_DEAF 8
#define CROWD 1000

static const char zeros[BIG_BYTES];

// NULL when the server does not let us in.
static struct nbd_handle *try_connect(const char *socket_path, const char *export_name)
{
    struct nbd_handle *nbd = nbd_create();

    EXPECT(nbd);
    NBD_OK(nbd_set_export_name(nbd, export_name));
    if (nbd_connect_unix(nbd, socket_path) == 0)
        return nbd;
    nbd_close(nbd);
    return NULL;
}

static struct nbd_handle *connect_at_last(const char *socket_path, const char *export_name)
{
    struct nbd_handle *nbd;

    while (!(nbd = try_connect(socket_path, export_name)))
        usleep(1000);
    return nbd;
}

// The first bytes of a request, with libnbd out of the way. What the server thinks of it, and
// whether it is still there, does not matter.
static void send_raw(struct nbd_handle *nbd, uint32_t type, uint32_t bytes, size_t nr_sent)
{
    const struct nbd_request request = {
        .magic = htobe32(NBD_REQUEST_MAGIC),
        .type = htobe32(type),
        .len = htobe32(bytes),
    };
    int fd = nbd_aio_get_fd(nbd);
    size_t in_header = nr_sent < sizeof request ? nr_sent : sizeof request;

    (void)send(fd, &request, in_header, MSG_NOSIGNAL);
    if (nr_sent > in_header)
        (void)send(fd, zeros, nr_sent - in_header, MSG_NOSIGNAL);
}

static void sleep_for_ever(void)
{
    for (;;)
        pause();
}

// Gone in the middle of a write, with reads under way, over and over.
static void die_mid_request(const char *socket_path, const char *export_name)
{
    for (;;) {
        struct nbd_handle *nbd = connect_at_last(socket_path, export_name);

        for (int i = 0; i < 4; i++)
            send_raw(nbd, NBD_CMD_READ, BIG_BYTES, sizeof(struct nbd_request));
        send_raw(nbd, NBD_CMD_WRITE, BIG_BYTES, BIG_BYTES / 2);
        nbd_close(nbd);
    }
}

static void send_half(const char *socket_path, const char *export_name)
{
    for (int i = 0; i < NR_HALF_SENT; i++)
        send_raw(connect_at_last(socket_path, export_name), NBD_CMD_WRITE, BIG_BYTES,
                 i % 2 == 0 ? sizeof(struct nbd_request) / 2 : BIG_BYTES / 2);
    sleep_for_ever();
}

static void never_read_replies(const char *socket_path, const char *export_name)
{
    struct nbd_handle *connections[NR_DEAF];

    for (int i = 0; i < NR_DEAF; i++)
        connections[i] = connect_at_last(socket_path, export_name);
    // Each connection takes requests until all of its threads wait for us to read.
    for (int i = 0; i < NR_DEAF; i++)
        for (int nr = 0; nr < 32; nr++)
            send_raw(connections[i], NBD_CMD_READ, BIG_BYTES, sizeof(struct nbd_request));
    sleep_for_ever();
}

static void crowd_in(const char *socket_path, const char *export_name)
{
    struct rlimit limit;

    SYSTEM_OK(getrlimit(RLIMIT_NOFILE, &limit));
    limit.rlim_cur = limit.rlim_max;
    SYSTEM_OK(setrlimit(RLIMIT_NOFILE, &limit));
    for (int i = 0; i < CROWD; i++)
        if (!try_connect(socket_path, export_name))
            usleep(1000);
    sleep_for_ever();
}

static void trim_all_the_time(const char *socket_path, const char *export_name)
{
    struct nbd_handle *nbd = connect_at_last(socket_path, export_name);
    uint64_t bytes = nbd_get_size(nbd);

    for (;;) {
        nbd_pwrite(nbd, socket_path, 16, 5000, 0); // so that there is something to trim
        nbd_trim(nbd, bytes, 0, 0);
    }
}

static void fill_and_trim_all_the_time(const char *socket_path, const char *export_name)
{
    struct nbd_handle *nbd = connect_at_last(socket_path, export_name);
    uint64_t bytes = nbd_get_size(nbd);
    static uint32_t data[BIG_BYTES / 4];

    for (uint32_t i = 0; i < BIG_BYTES / 4; i++)
        data[i] = i * i * 2654435761u >> 7;
    for (;;) {
        for (uint64_t offset = 0; offset + BIG_BYTES <= bytes; offset += BIG_BYTES)
            nbd_pwrite(nbd, data, BIG_BYTES, offset, 0);
        nbd_trim(nbd, bytes, 0, 0);
    }
}

const struct hostile hostiles[] = {
    {"dies in the middle of requests", die_mid_request},
    {"sends half of a request", send_half},
    {"never reads its replies", never_read_replies},
    {"opens 1000 connections", crowd_in},
    {"trims the whole device in a loop", trim_all_the_time},
    {"fills and trims the whole device in a loop", fill_and_trim_all_the_time},
    {NULL, NULL},
};

pid_t hostile_start(const struct hostile *hostile, const char *socket_path, const char *export_name)
{
    pid_t parent = getpid(), pid = SYSTEM_OK(fork());

    if (pid > 0)
        return pid;
    // Not the parent's handlers, nor its life.
    signal(SIGTERM, SIG_DFL);
    signal(SIGALRM, SIG_DFL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() == parent)
        hostile->run(socket_path, export_name);
    _exit(EXIT_FAILURE);
}

void hostile_stop(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}
