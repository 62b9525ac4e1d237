// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "memory-store.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEPTH 16
#define SECOND_NS UINT64_C(1000000000)

// Requests of nr_pages each, all over the store in order, or, one page each, to the first nr slots
// of an order.
void store_transfer(const struct store *store, enum load_kind kind, uint32_t nr_pages,
                    const uint32_t *order, uint32_t nr, uint64_t first_page)
{
    const uint32_t bytes = nr_pages * BENCH_PAGE_BYTES;
    const struct load load = {
        .kind = kind,
        .bytes = bytes,
        .length = (uint64_t)nr * bytes,
        .is_sequential = true,
        .order = order,
        .first_page = first_page,
    };
    struct stream streams[NR_CONNECTIONS];
    uint32_t i;

    if (!store->zram) {
        for (i = 0; i < NR_CONNECTIONS; i++) {
            streams[i] = (struct stream){
                .load = &load,
                .nbd = store->connections[i],
                .depth = DEPTH,
                .share = i,
                .nr_shares = NR_CONNECTIONS,
            };
        }
        load_run(streams, NR_CONNECTIONS);
        return;
    }
    for (i = 0; i < nr; i++) {
        const uint64_t offset = (uint64_t)(order ? order[i] : i) * bytes;

        if (kind == LOAD_WRITE) {
            zram_device_write(store->zram,
                              bench_page_run(first_page + (uint64_t)i * nr_pages, nr_pages), bytes,
                              offset);
        } else {
            zram_device_discard(store->zram, bytes, offset);
        }
    }
}

void store_fill(const struct store *store)
{
    store_transfer(store, LOAD_WRITE, LARGE_PAGES, NULL, store->nr_slots / LARGE_PAGES, 0);
}

void store_trim_all(const struct store *store)
{
    store_transfer(store, LOAD_TRIM, TRIM_PAGES, NULL, store->nr_slots / TRIM_PAGES, 0);
}

// What it keeps in memory files without having it mapped.
static uint64_t memory_file_bytes(pid_t pid)
{
    char path[80], target[100];
    uint64_t bytes = 0;
    struct dirent *entry;
    DIR *fds = opendir(BENCH_NAME(path, "/proc/%d/fd", pid));

    while (fds && (entry = readdir(fds))) {
        struct stat stat;
        ssize_t length = readlinkat(dirfd(fds), entry->d_name, target, sizeof target - 1);

        target[length > 0 ? length : 0] = '\0';
        if (strncmp(target, "/memfd:", 7) == 0 &&
            fstatat(dirfd(fds), entry->d_name, &stat, 0) == 0) {
            bytes += (uint64_t)stat.st_blocks * 512;
        }
    }
    if (fds) {
        closedir(fds);
    }
    return bytes;
}

// What a server has mapped and touched, and what it keeps in memory files without having it mapped.
uint64_t store_used_bytes(const struct store *store)
{
    struct zram_stats stats;
    uint64_t mapped, files;

    if (store->zram) {
        zram_device_get_stats(store->zram, &stats);
        return stats.mem_used_total;
    }
    mapped = server_status_bytes_of(store->server, "RssShmem");
    files = memory_file_bytes(store->server->pid);
    return server_status_bytes_of(store->server, "RssAnon") +
           server_status_bytes_of(store->server, "RssFile") + (files > mapped ? files : mapped);
}

// 0: it cannot say.
uint64_t store_compressed_bytes(const struct store *store)
{
    struct zram_stats stats;

    if (store->zram) {
        zram_device_get_stats(store->zram, &stats);
        return stats.compr_data_size;
    }
    return store->has_stats ? load_server_stat(store->server, "compr_data_size") : 0;
}

// nbdkit's own buffers, one per thread, belong to the empty server, not to what is stored in it:
// let every thread have a large read and a large write of nothing, which stores nothing.  The same
// for the connections that ask for statistics: the first ones leave some heap behind.
void store_warm_up(const struct store *store)
{
    static const unsigned char zeros[LARGE_PAGES * BENCH_PAGE_BYTES];
    unsigned i, k;

    for (k = 0; k < 2; k++) {
        const uint64_t most = 512 * sizeof zeros;
        const uint64_t bytes = (uint64_t)store->nr_slots * BENCH_PAGE_BYTES;
        const struct load load = {"warm up",
                                  k == 0 ? LOAD_READ : LOAD_WRITE,
                                  sizeof zeros,
                                  0,
                                  bytes < most ? bytes : most,
                                  true,
                                  .data = zeros};
        struct stream streams[NR_CONNECTIONS];

        for (i = 0; i < NR_CONNECTIONS; i++) {
            streams[i] = (struct stream){.load = &load,
                                         .nbd = store->connections[i],
                                         .depth = DEPTH,
                                         .share = i,
                                         .nr_shares = NR_CONNECTIONS};
        }
        load_run(streams, NR_CONNECTIONS);
    }
    store_trim_all(store);
    for (i = 0; i < 16; i++) {
        store_compressed_bytes(store);
    }
    bench_sleep_until_ns(bench_now_ns() + 2 * SECOND_NS);
}
