// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Moves a file of memory pages into a server and out of it again, as a guest that swaps does: with
// requests of 128 KiB, several of them under way, over two connections.  Prints the seconds that
// it took.  Ends with status 1 and one line when a request fails or a byte is wrong.
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <libnbd.h>

#define NR_CONNECTIONS 2
#define NR_REQUESTS 8 // under way on each connection
#define REQUEST_BYTES (128u << 10)
#define TRIM_BYTES (1u << 30)
#define EXIT_MISUSED 2

static const char usage[] = "usage: store-pages [--progress] ACTION SOCKET FILE\n"
                            "  store    write FILE to the device, from its start on\n"
                            "  compare  read as much back, and compare every byte\n"
                            "  trim     trim the whole device\n"
                            "  zeros    read as much as FILE has, and expect zeros\n";

struct request {
    struct connection *connection;
    const uint8_t *expected; // what is there after a write, or should be before a read
    uint8_t *buffer;
    uint64_t offset;
    uint32_t bytes;
    struct request *next_free;
};

struct connection {
    struct nbd_handle *nbd;
    pthread_t thread;
    struct request requests[NR_REQUESTS], *free;
    unsigned nr_under_way;
};

static struct {
    const uint8_t *pages;
    uint64_t bytes;
    bool is_store, expects_zeros, has_bar;
    _Atomic uint64_t taken_bytes, done_bytes;
} transfer;

static const char *action;
static struct connection connections[NR_CONNECTIONS];
static const uint8_t zeros[REQUEST_BYTES];

__attribute__((format(printf, 1, 2), noreturn)) static void die(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    fprintf(stderr, "store-pages %s: ", action);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    _exit(EXIT_FAILURE); // may be within a callback of libnbd, which exit would find unawares
}

static double now_seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void expect_same(const struct request *request)
{
    uint32_t i = 0;

    if (memcmp(request->buffer, request->expected, request->bytes) != 0) {
        while (request->buffer[i] == request->expected[i]) {
            i++;
        }
        die("wrong byte at offset %" PRIu64, request->offset + i);
    }
}

// Draws only what has changed.  Called by one thread at a time.
static void show_progress(void)
{
    static const char full[] = "########################################";
    const int width = sizeof full - 1;
    static int drawn = -1;
    uint64_t bytes = atomic_load(&transfer.done_bytes);
    int filled = (int)(bytes * (uint64_t)width / transfer.bytes);

    if (filled != drawn) {
        fprintf(stderr, "\r  %-8s [%.*s%*s] %" PRIu64 " MiB", action, filled, full, width - filled,
                "", bytes >> 20);
        drawn = filled;
    }
}

// Called by libnbd when the answer is there.
static int done(void *user_data, int *error)
{
    struct request *request = user_data;
    struct connection *connection = request->connection;

    if (*error != 0) {
        die("request at offset %" PRIu64 ": %s", request->offset, strerror(*error));
    }
    if (!transfer.is_store) {
        expect_same(request);
    }
    atomic_fetch_add(&transfer.done_bytes, request->bytes);
    if (transfer.has_bar && connection == connections) {
        show_progress();
    }
    request->next_free = connection->free;
    connection->free = request;
    connection->nr_under_way--;
    return 1; // libnbd may forget the request
}

// False: none is left.
static bool send_next(struct connection *connection)
{
    uint64_t offset = atomic_fetch_add(&transfer.taken_bytes, REQUEST_BYTES);
    struct request *request = connection->free;
    struct nbd_handle *nbd = connection->nbd;
    nbd_completion_callback callback;
    int64_t cookie;

    if (offset >= transfer.bytes) {
        return false;
    }
    connection->free = request->next_free;
    connection->nr_under_way++;
    request->offset = offset;
    request->bytes = REQUEST_BYTES;
    if (transfer.bytes - offset < REQUEST_BYTES) {
        request->bytes = (uint32_t)(transfer.bytes - offset);
    }
    request->expected = transfer.expects_zeros ? zeros : transfer.pages + offset;
    callback = (nbd_completion_callback){.callback = done, .user_data = request};
    if (transfer.is_store) {
        cookie = nbd_aio_pwrite(nbd, request->expected, request->bytes, offset, callback, 0);
    } else {
        cookie = nbd_aio_pread(nbd, request->buffer, request->bytes, offset, callback, 0);
    }
    if (cookie < 0) {
        die("%s", nbd_get_error());
    }
    return true;
}

static void *run(void *opaque)
{
    struct connection *connection = opaque;
    bool has_more = true;

    while (has_more || connection->nr_under_way > 0) {
        while (has_more && connection->free) {
            has_more = send_next(connection);
        }
        if (connection->nr_under_way > 0 && nbd_poll(connection->nbd, -1) < 0) {
            die("%s", nbd_get_error());
        }
    }
    return NULL;
}

static double run_transfer(void)
{
    double start = now_seconds();
    int i;

    for (i = 0; i < NR_CONNECTIONS; i++) {
        if (pthread_create(&connections[i].thread, NULL, run, &connections[i]) != 0) {
            die("cannot start a thread");
        }
    }
    for (i = 0; i < NR_CONNECTIONS; i++) {
        pthread_join(connections[i].thread, NULL);
    }
    if (transfer.has_bar) {
        show_progress();
        fputc('\n', stderr);
    }
    return now_seconds() - start;
}

static double trim_all(struct nbd_handle *nbd)
{
    uint64_t size = (uint64_t)nbd_get_size(nbd), offset, bytes;
    double start = now_seconds();

    for (offset = 0; offset < size; offset += bytes) {
        bytes = size - offset < TRIM_BYTES ? size - offset : TRIM_BYTES;
        if (nbd_trim(nbd, bytes, offset, 0) < 0) {
            die("%s", nbd_get_error());
        }
    }
    return now_seconds() - start;
}

static void connect_all(const char *socket)
{
    struct connection *connection;
    struct request *request;

    for (connection = connections; connection < connections + NR_CONNECTIONS; connection++) {
        connection->nbd = nbd_create();
        if (!connection->nbd || nbd_connect_unix(connection->nbd, socket) < 0) {
            die("%s", nbd_get_error());
        }
        for (request = connection->requests; request < connection->requests + NR_REQUESTS;
             request++) {
            request->connection = connection;
            request->buffer = malloc(REQUEST_BYTES);
            if (!request->buffer) {
                die("no memory");
            }
            request->next_free = connection->free;
            connection->free = request;
        }
    }
}

static void disconnect_all(void)
{
    int i, j;

    for (i = 0; i < NR_CONNECTIONS; i++) {
        nbd_shutdown(connections[i].nbd, 0);
        nbd_close(connections[i].nbd);
        for (j = 0; j < NR_REQUESTS; j++) {
            free(connections[i].requests[j].buffer);
        }
    }
}

// Read ahead, so that no disk is part of what is measured.
static void map_pages(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat stat;
    void *pages;

    if (fd < 0 || fstat(fd, &stat) < 0) {
        die("%s: %s", path, strerror(errno));
    }
    pages = mmap(NULL, (size_t)stat.st_size, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
    if (pages == MAP_FAILED) {
        die("%s: %s", path, strerror(errno));
    }
    close(fd);
    transfer.pages = pages;
    transfer.bytes = (uint64_t)stat.st_size;
}

int main(int argc, char **argv)
{
    double seconds;

    transfer.has_bar = argc == 5 && strcmp(argv[1], "--progress") == 0;
    if (argc != 4 && !transfer.has_bar) {
        fputs(usage, stderr);
        return EXIT_MISUSED;
    }
    action = argv[argc - 3];
    connect_all(argv[argc - 2]);
    map_pages(argv[argc - 1]);

    if (strcmp(action, "store") == 0) {
        transfer.is_store = true;
        seconds = run_transfer();
    } else if (strcmp(action, "compare") == 0) {
        seconds = run_transfer();
    } else if (strcmp(action, "trim") == 0) {
        seconds = trim_all(connections[0].nbd);
    } else if (strcmp(action, "zeros") == 0) {
        transfer.expects_zeros = true;
        seconds = run_transfer();
    } else {
        fputs(usage, stderr);
        return EXIT_MISUSED;
    }
    printf("%.6f\n", seconds);
    disconnect_all();
}
