// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Several connections are one disk: what one of them has written or freed, all others see
// from the moment that the reply came.

#include "expect.h"
#include "server.h"
#include "shadow.h"

#define NR_CONNECTIONS 8
#define NR_ROUNDS 50
#define NR_IN_FLIGHT 32 // requests on each connection

static struct nbd_handle *connections[NR_CONNECTIONS];

static void compare_on_all(struct shadow *disk, uint64_t offset, uint64_t length)
{
    for (int i = 0; i < NR_CONNECTIONS; i++) {
        disk->nbd = connections[i];
        shadow_compare(disk, offset, length);
        shadow_compare_extents(disk, offset, length);
    }
}

static void change_on_each_in_turn(struct shadow *disk)
{
    for (int i = 0; i < NR_CONNECTIONS * NR_ROUNDS; i++) {
        uint64_t length = 1 + random_below(64 * KiB);
        uint64_t offset = random_below(disk->size - length);

        disk->nbd = connections[i % NR_CONNECTIONS];
        if (random_below(4))
            shadow_write(disk, offset, length, CONTENT_MIXED, 0);
        else
            shadow_trim(disk, offset, length, 0);
        compare_on_all(disk, offset, length);
    }
}

static int count_completion(void *user_data, int *error)
{
    EXPECT(*error == 0);
    ++*(int *)user_data;
    return 1;
}

// Neighbouring pages are in flight on different connections, all at the same time.
static void write_on_all_at_once(struct shadow *disk)
{
    int nr_done = 0;

    content_fill(disk->bytes, disk->size, CONTENT_MIXED);
    for (int i = 0; i < NR_CONNECTIONS * NR_IN_FLIGHT; i++) {
        uint64_t offset = i * PAGE_BYTES;
        nbd_completion_callback done = {count_completion, &nr_done, NULL};

        NBD_OK(nbd_aio_pwrite(connections[i % NR_CONNECTIONS], disk->bytes + offset, PAGE_BYTES,
                              offset, done, 0));
    }
    for (int i = 0; i < NR_CONNECTIONS; i++)
        while (nbd_aio_in_flight(connections[i]) > 0)
            NBD_OK(nbd_poll(connections[i], -1));
    EXPECT(nr_done == NR_CONNECTIONS * NR_IN_FLIGHT);
    compare_on_all(disk, 0, disk->size);
}

int main(void)
{
    struct shadow disk;

    random_start();
    server_start("size=1M");
    for (int i = 0; i < NR_CONNECTIONS; i++) {
        connections[i] = server_connect("");
        EXPECT(nbd_can_multi_conn(connections[i]) == 1);
    }
    shadow_init(&disk, connections[0]);
    EXPECT(disk.size == NR_CONNECTIONS * NR_IN_FLIGHT * PAGE_BYTES);

    change_on_each_in_turn(&disk);
    for (int i = 0; i < NR_ROUNDS; i++)
        write_on_all_at_once(&disk);

    for (int i = 0; i < NR_CONNECTIONS; i++)
        server_disconnect(connections[i]);
    shadow_fini(&disk);
    server_stop();
}
