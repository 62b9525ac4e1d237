// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// A server with a store that is killed while it starts, at each system call and behind it: a start
// that changes what it can (an export grows so far that its root moves, one is new, one is dropped)
// and a start that makes a store. Whatever it had done, the next one finds all pages of the exports
// that were to stay.
//
// `make check` tries some places, others each time; with ZRAMSWAP_STRESS_SECONDS all that fit.

#include <inttypes.h>
#include <time.h>
#include <unistd.h>

#include "expect.h"
#include "server.h"
#include "shadow.h"
#include "tmpfs.h"

#define DISK_BYTES (1 * MiB)
#define NR_TRIES 25 // in `make check`

static char store[64], saved[64], store_parameter[80];

static const char *const before[] = {store_parameter, "export=a:1M", "export=gone:1M",
                                     "export=kept:1M", NULL};
// 600 GiB have more entries than a page of the roots' area holds.
static const char *const after[] = {
    store_parameter,    "export=a:600G", "drop=gone",         "export=new:1M",
    "compression=zstd", "checksum=off",  "export=other:513G", NULL};

static void compare(struct shadow *disk, const char *export)
{
    disk->nbd = server_connect(export);
    shadow_compare(disk, 0, disk->size);
    server_disconnect(disk->nbd);
}

// All of them one after the other if there is time.  Else at random, half of them where the store
// is changed, which is soon after it is opened.
static unsigned next_stop(unsigned try, unsigned nr_stops, bool is_patient)
{
    return is_patient ?
    try:
        (unsigned)random_below(random_below(2) ? 80 : nr_stops);
}

static unsigned nr_stops_of(const char *const *parameters)
{
    unsigned nr_stops = 0;

    while (server_kill_at_stop_list(nr_stops, store, parameters))
        nr_stops += 100;
    return nr_stops;
}

static double now_seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec + now.tv_nsec / 1e9;
}

int main(void)
{
    const char *patience = getenv("ZRAMSWAP_STRESS_SECONDS");
    double deadline = now_seconds() + (patience ? atof(patience) : 0);
    struct shadow a, kept;
    unsigned nr_stops, nr_tries = 0;

    random_start();
    snprintf(store, sizeof store, "%s/store", tmpfs_folder(64 * MiB));
    snprintf(saved, sizeof saved, "%s/saved", tmpfs_folder(0));
    snprintf(store_parameter, sizeof store_parameter, "store=%s", store);

    server_start_list(before);
    shadow_init(&a, server_connect("a"));
    shadow_init(&kept, server_connect("kept"));
    shadow_write(&a, 0, DISK_BYTES, CONTENT_MIXED, 0);
    shadow_write(&kept, 0, DISK_BYTES, CONTENT_MIXED, 0);
    server_disconnect(a.nbd);
    server_disconnect(kept.nbd);
    server_kill();
    tmpfs_copy_file(store, saved);

    nr_stops = nr_stops_of(after);
    while (patience ? nr_tries < nr_stops && now_seconds() < deadline : nr_tries < NR_TRIES) {
        unsigned stop = next_stop(nr_tries, nr_stops, patience != NULL);

        tmpfs_copy_file(saved, store);
        server_kill_at_stop_list(stop, store, after);
        free(server_take_messages());
        if (nr_tries % 2 == 0) // one that changes nothing more, unless it was changed
            server_kill_at_stop_list((unsigned)random_below(nr_stops), store, after);
        server_start_list(after);
        compare(&a, "a");
        server_kill();
        server_start(store_parameter, "export=kept:1M");
        compare(&kept, "kept");
        server_kill();
        free(server_take_messages());
        nr_tries++;
    }
    printf("killed at %u of %u places in a start\n", nr_tries, nr_stops);
    shadow_fini(&a);
    shadow_fini(&kept);
    return 0;
}
