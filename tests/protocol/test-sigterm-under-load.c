// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// SIGTERM in the middle of everything: the server ends at once and with status 0.
//
// It says nothing, but of writes that waited for half a second: whether their client is still there
// it asks by a sleep of nbdkit's, which fails for a server that ends as well.

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "content.h"
#include "expect.h"
#include "server.h"

#define NR_ROUNDS 5
#define NR_CONNECTIONS 16
#define NR_IN_FLIGHT 16 // requests on each connection, as nbdkit has that many threads
#define LOAD_US 200000
#define REQUEST_BYTES (32 * KiB)
#define DISK_BYTES (64 * MiB)

static int forget(void *user_data, int *error)
{
    (void)user_data;
    (void)error;
    return 1; // Also a failed request: the server may be gone by then.
}

static int64_t send_some_request(struct nbd_handle *nbd, const uint8_t *data, uint8_t *scratch)
{
    nbd_completion_callback done = {forget, NULL, NULL};
    uint64_t length = 1 + random_below(REQUEST_BYTES);
    uint64_t offset = random_below(DISK_BYTES - length);

    switch (random_below(8)) {
    case 0:
        return nbd_aio_trim(nbd, 2 * MiB, offset / (2 * MiB) * (2 * MiB), done, 0);
    case 1:
        return nbd_aio_zero(nbd, length, offset, done, 0);
    case 2:
    case 3:
    case 4:
        return nbd_aio_pread(nbd, scratch, length, offset, done, 0);
    default:
        return nbd_aio_pwrite(nbd, data, length, offset, done, 0);
    }
}

struct client {
    pthread_t thread;
    struct nbd_handle *nbd;
    uint64_t seed;
};

// Until the server ends the connection.
static void *hammer(void *argument)
{
    static _Thread_local uint8_t data[REQUEST_BYTES], scratch[REQUEST_BYTES];
    struct client *client = argument;
    struct nbd_handle *nbd = client->nbd;

    random_seed(client->seed);
    content_fill(data, sizeof data, CONTENT_MIXED);
    do {
        while (nbd_aio_in_flight(nbd) < NR_IN_FLIGHT)
            if (send_some_request(nbd, data, scratch) == -1)
                break;
    } while (nbd_poll(nbd, -1) != -1);
    nbd_close(nbd);
    return NULL;
}

static void stop_server(void)
{
    int status = server_end();
    char *messages = server_take_messages(), *rest = messages, *line;

    EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    while ((line = strsep(&rest, "\n")))
        if (*line && !strstr(line, "aborting sleep because of server shut down") &&
            !strstr(line, "Cannot send after transport endpoint shutdown"))
            FAIL("the server had something to say: %s", line);
    free(messages);
}

static void end_under_load(void)
{
    struct client clients[NR_CONNECTIONS];

    server_start("size=64M");
    for (int i = 0; i < NR_CONNECTIONS; i++) {
        struct client *client = &clients[i];

        *client = (struct client){.nbd = server_connect(""), .seed = random_u64()};
        EXPECT(pthread_create(&client->thread, NULL, hammer, client) == 0);
    }
    usleep(LOAD_US);
    stop_server();
    for (int i = 0; i < NR_CONNECTIONS; i++)
        EXPECT(pthread_join(clients[i].thread, NULL) == 0);
}

int main(void)
{
    random_start();
    for (int i = 0; i < NR_ROUNDS; i++)
        end_under_load();
}
