// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// A client that gives a connection up and sends a write again on another one may then write newer
// data there: what the server finds on the old connection later must not come after it.
//
// The server's thread of the old connection is held by ptrace, as if it had no CPU, until the
// client is done with the new one, or waits for it.

#include <dirent.h>
#include <endian.h>
#include <linux/nbd.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "content.h"
#include "expect.h"
#include "server.h"

#define SLOW_BYTES (2 * MiB) // of zstd 19: half a second
#define HELD_US 700000       // longer than it takes the server to become suspicious
#define SOON_US 50000
#define NR_PIECES 16 // of a request that a network delivers slowly
#define PIECE_US 5000
#define LARGE_BYTES (4 * MiB)
#define MAX_THREADS 32
#define PATIENCE_MS 100

static unsigned port; // 0: a Unix socket
static unsigned nr_stale;
static uint8_t slow[SLOW_BYTES], large[LARGE_BYTES], old_page[PAGE_BYTES], new_page[PAGE_BYTES];

static struct nbd_handle *attach(void)
{
    struct nbd_handle *nbd;
    char text[8];

    if (port == 0)
        return server_connect("");
    nbd = nbd_create();
    EXPECT(nbd);
    sprintf(text, "%u", port);
    NBD_OK(nbd_connect_tcp(nbd, "127.0.0.1", text));
    return nbd;
}

// ---- the server's threads ----------------------------------------------------------------------

static bool has_thread(pid_t thread)
{
    char path[60];

    sprintf(path, "/proc/%d/task/%d", server_process(), thread);
    return access(path, F_OK) == 0;
}

static size_t list_threads(pid_t *threads)
{
    char path[40];
    const struct dirent *entry;
    size_t nr = 0;
    DIR *folder;

    sprintf(path, "/proc/%d/task", server_process());
    folder = opendir(path);
    EXPECT(folder);
    while ((entry = readdir(folder)))
        if (entry->d_name[0] != '.') {
            EXPECT(nr < MAX_THREADS);
            threads[nr++] = atoi(entry->d_name);
        }
    closedir(folder);
    return nr;
}

// With the thread that serves it.
static struct nbd_handle *attach_on(pid_t *thread)
{
    pid_t before[MAX_THREADS], after[MAX_THREADS];
    size_t nr_before = list_threads(before), nr_after;
    struct nbd_handle *nbd = attach();

    *thread = 0;
    nr_after = list_threads(after);
    for (size_t i = 0; i < nr_after; i++) {
        size_t j = 0;

        while (j < nr_before && before[j] != after[i])
            j++;
        if (j == nr_before) {
            EXPECT(*thread == 0);
            *thread = after[i];
        }
    }
    EXPECT(*thread);
    return nbd;
}

static void hold(pid_t thread)
{
    int status;

    if (ptrace(PTRACE_SEIZE, thread, NULL, NULL) == -1)
        SKIP("cannot hold a thread of the server: %s", strerror(errno));
    SYSTEM_OK(ptrace(PTRACE_INTERRUPT, thread, NULL, NULL));
    SYSTEM_OK(waitpid(thread, &status, __WALL));
}

static void release(pid_t thread)
{
    SYSTEM_OK(ptrace(PTRACE_DETACH, thread, NULL, NULL));
}

// ---- the client --------------------------------------------------------------------------------

// With libnbd, which has the socket non-blocking, out of the way. False if the socket takes no more
// for a while.
static bool send_header(struct nbd_handle *nbd, size_t bytes)
{
    const struct nbd_request request = {
        .magic = htobe32(NBD_REQUEST_MAGIC),
        .type = htobe32(NBD_CMD_WRITE),
        .len = htobe32(bytes),
    };

    return send(nbd_aio_get_fd(nbd), &request, sizeof request, MSG_NOSIGNAL) ==
           (ssize_t)sizeof request;
}

static bool send_write(struct nbd_handle *nbd, const void *data, size_t bytes)
{
    const uint8_t *from = data;
    struct pollfd socket = {.fd = nbd_aio_get_fd(nbd), .events = POLLOUT};

    if (!send_header(nbd, bytes))
        return false;
    while (bytes > 0 && poll(&socket, 1, PATIENCE_MS) == 1) {
        ssize_t sent = SYSTEM_OK(send(socket.fd, from, bytes, MSG_NOSIGNAL));

        from += sent;
        bytes -= sent;
    }
    return bytes == 0;
}

// How a client may end a connection. The kernel's shuts it down; zramswap-nbd then has it reset.
enum ending { CLOSED, SHUT_DOWN, RESET };

static const char *const endings[] = {"closed", "shut down", "reset"};

static void give_up(struct nbd_handle *nbd, enum ending ending)
{
    static const struct sockaddr nowhere = {.sa_family = AF_UNSPEC};
    int fd = nbd_aio_get_fd(nbd);

    if (ending != CLOSED)
        SYSTEM_OK(shutdown(fd, SHUT_RDWR));
    if (ending == RESET)
        SYSTEM_OK(connect(fd, &nowhere, sizeof nowhere));
    if (ending == CLOSED)
        nbd_close(nbd);
}

static void forget(struct nbd_handle *nbd, enum ending ending)
{
    if (ending != CLOSED)
        nbd_close(nbd);
}

struct successor {
    pthread_t thread;
    struct nbd_handle *nbd; // NULL: to be attached
    uint64_t offset;
    atomic_bool is_done;
};

// Sends the write again, and then a newer one.
static void *go_on(void *argument)
{
    struct successor *successor = argument;

    if (!successor->nbd)
        successor->nbd = attach();
    NBD_OK(nbd_pwrite(successor->nbd, old_page, PAGE_BYTES, successor->offset, 0));
    NBD_OK(nbd_pwrite(successor->nbd, new_page, PAGE_BYTES, successor->offset, 0));
    atomic_store(&successor->is_done, true);
    return NULL;
}

static uint64_t now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void start(struct successor *successor)
{
    uint64_t start_us;

    EXPECT(pthread_create(&successor->thread, NULL, go_on, successor) == 0);
    start_us = now_us();
    while (now_us() < start_us + HELD_US && !atomic_load(&successor->is_done))
        usleep(1000);
}

// Once the server has read what the old connection had for it, the page must be the new one.
static void expect_new(struct successor *successor, pid_t old_thread)
{
    uint8_t found[PAGE_BYTES];

    EXPECT(pthread_join(successor->thread, NULL) == 0);
    while (has_thread(old_thread))
        usleep(1000);
    NBD_OK(nbd_pread(successor->nbd, found, PAGE_BYTES, successor->offset, 0));
    if (memcmp(found, new_page, PAGE_BYTES) != 0) {
        printf("  a write of the old connection came after one of the new connection\n");
        nr_stale++;
    }
    server_disconnect(successor->nbd);
}

// Gives the old connection up while its thread is held.
static void succeed(struct successor *successor, struct nbd_handle *nbd, pid_t thread,
                    enum ending ending)
{
    give_up(nbd, ending);
    start(successor);
    release(thread);
    expect_new(successor, thread);
    forget(nbd, ending);
}

// ---- the cases ---------------------------------------------------------------------------------

static void try_unread(enum ending ending)
{
    struct successor successor = {0};
    pid_t thread;
    struct nbd_handle *nbd = attach_on(&thread);

    hold(thread);
    EXPECT(send_write(nbd, old_page, PAGE_BYTES));
    succeed(&successor, nbd, thread, ending);
}

// More than the sockets take: over TCP the server cannot see yet that the client has closed.
static void try_crammed(enum ending ending)
{
    struct successor successor = {0};
    pid_t thread;
    struct nbd_handle *nbd = attach_on(&thread);

    hold(thread);
    while (send_write(nbd, old_page, PAGE_BYTES))
        continue;
    succeed(&successor, nbd, thread, ending);
}

// One that the server is executing.
static void try_slow(enum ending ending)
{
    struct successor successor = {.offset = SLOW_BYTES - PAGE_BYTES};
    pid_t thread;
    struct nbd_handle *nbd = attach_on(&thread);

    EXPECT(send_write(nbd, slow, SLOW_BYTES));
    usleep(SOON_US);
    give_up(nbd, ending);
    start(&successor);
    expect_new(&successor, thread);
    forget(nbd, ending);
}

struct sender {
    pthread_t thread;
    struct nbd_handle *nbd;
    enum ending ending;
};

static void *send_in_pieces(void *argument)
{
    const struct sender *sender = argument;
    const size_t bytes = PAGE_BYTES / NR_PIECES;

    EXPECT(send_header(sender->nbd, PAGE_BYTES));
    for (int i = 0; i < NR_PIECES; i++) {
        EXPECT(send(nbd_aio_get_fd(sender->nbd), old_page, bytes, 0) == (ssize_t)bytes);
        usleep(PIECE_US);
    }
    send_write(sender->nbd, large, LARGE_BYTES); // behind which the end is not seen yet
    give_up(sender->nbd, sender->ending);
    return NULL;
}

// Given up, as far as the client is concerned, and still on the way, with no pause of 20 ms.
static void try_pieces(enum ending ending)
{
    struct successor successor = {0};
    struct sender sender = {.ending = ending};
    pid_t thread;

    sender.nbd = attach_on(&thread);
    EXPECT(pthread_create(&sender.thread, NULL, send_in_pieces, &sender) == 0);
    usleep(PIECE_US);
    start(&successor);
    EXPECT(pthread_join(sender.thread, NULL) == 0);
    expect_new(&successor, thread);
    forget(sender.nbd, ending);
}

// The kernel's client with two connections takes the other one, which was there all the time.
static void try_two_connections(enum ending ending)
{
    struct successor successor = {.nbd = attach()};
    pid_t thread;
    struct nbd_handle *nbd = attach_on(&thread);

    // Both are in use; nothing suspicious about that.
    for (int i = 0; i < 2000; i++) {
        NBD_OK(nbd_pwrite(nbd, old_page, PAGE_BYTES, 0, 0));
        NBD_OK(nbd_pwrite(successor.nbd, old_page, PAGE_BYTES, 0, 0));
    }
    hold(thread);
    EXPECT(send_write(nbd, old_page, PAGE_BYTES));
    usleep(HELD_US); // until its timeout
    succeed(&successor, nbd, thread, ending);
}

// The same with more than the sockets take, so that no end can be seen unless by a reset.
static void try_crammed_two_connections(enum ending ending)
{
    struct successor successor = {.nbd = attach()};
    pid_t thread;
    struct nbd_handle *nbd = attach_on(&thread);

    hold(thread);
    while (send_write(nbd, old_page, PAGE_BYTES))
        continue;
    usleep(HELD_US);
    succeed(&successor, nbd, thread, ending);
}

// The whole server is stopped, in the middle of a write that the client sends again.
static void try_stopped(enum ending ending)
{
    struct successor successor = {.nbd = attach(), .offset = SLOW_BYTES - PAGE_BYTES};
    pid_t thread;
    struct nbd_handle *nbd = attach_on(&thread);

    EXPECT(send_write(nbd, slow, SLOW_BYTES));
    usleep(SOON_US);
    SYSTEM_OK(kill(server_process(), SIGSTOP));
    give_up(nbd, ending);
    start(&successor);
    SYSTEM_OK(kill(server_process(), SIGCONT));
    expect_new(&successor, thread);
    forget(nbd, ending);
}

// ---- what must go on ---------------------------------------------------------------------------

struct worker {
    pthread_t thread;
    struct nbd_handle *nbd;
    atomic_bool *is_over;
};

static void *work(void *argument)
{
    struct worker *worker = argument;

    while (!atomic_load(worker->is_over))
        NBD_OK(nbd_pwrite(worker->nbd, new_page, PAGE_BYTES, 0, 0));
    return NULL;
}

// Connections of one client that are all alive, some just made.
static void try_alive(void)
{
    atomic_bool is_over = false;
    struct worker workers[3];

    for (int i = 0; i < 3; i++) {
        workers[i] = (struct worker){.nbd = attach(), .is_over = &is_over};
        EXPECT(pthread_create(&workers[i].thread, NULL, work, &workers[i]) == 0);
        usleep(SOON_US);
    }
    for (int i = 0; i < 10; i++)
        server_disconnect(attach());
    atomic_store(&is_over, true);
    for (int i = 0; i < 3; i++) {
        EXPECT(pthread_join(workers[i].thread, NULL) == 0);
        server_disconnect(workers[i].nbd);
    }
}

static const struct {
    const char *name;
    void (*run)(enum ending ending);
    enum ending first, last, first_over_tcp, last_over_tcp; // what it stands
} cases[] = {
    {"unread", try_unread, CLOSED, SHUT_DOWN, CLOSED, RESET},
    {"unread, and more than the sockets take", try_crammed, CLOSED, SHUT_DOWN, CLOSED, RESET},
    {"being executed", try_slow, CLOSED, SHUT_DOWN, CLOSED, RESET},
    {"on the way, in pieces", try_pieces, 1, 0, CLOSED, SHUT_DOWN},
    {"unread, two connections", try_two_connections, CLOSED, SHUT_DOWN, CLOSED, RESET},
    {"unread, and more than the sockets take, two connections", try_crammed_two_connections, CLOSED,
     SHUT_DOWN, RESET, RESET},
    {"being executed by a stopped server, two connections", try_stopped, CLOSED, SHUT_DOWN, CLOSED,
     RESET},
};

static void try_all(const char *socket)
{
    struct nbd_handle *nbd;

    // With all its own threads, once it has answered.
    server_start("size=16M", "compression=zstd", "level=19");
    nbd = attach();
    NBD_OK(nbd_pwrite(nbd, new_page, PAGE_BYTES, 0, 0));
    server_disconnect(nbd);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        enum ending ending = port ? cases[i].first_over_tcp : cases[i].first;

        for (; ending <= (port ? cases[i].last_over_tcp : cases[i].last); ending++) {
            printf("%s, %s: %s\n", socket, endings[ending], cases[i].name);
            fflush(stdout);
            cases[i].run(ending);
        }
    }
    printf("%s: connections that are alive\n", socket);
    fflush(stdout);
    try_alive();
    server_kill();
}

int main(void)
{
    server_skip_under_tsan();
    content_fill(slow, SLOW_BYTES, CONTENT_TEXT);
    memset(old_page, 1, sizeof old_page);
    memset(large, 1, sizeof large);
    memset(new_page, 2, sizeof new_page);
    try_all("Unix");
    port = server_listen_on_tcp();
    try_all("TCP");
    EXPECT(nr_stale == 0);
}
