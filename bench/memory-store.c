// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "memory-store.h"
#include "nbd-server.h"
#include "nbd-stream.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LARGE_PAGES 32u // 128 KiB, the largest write that Linux's nbd sends

// ---- over NBD: two connections, as a guest has with nbd-client -C 2 ----------------------------

#define NR_CONNECTIONS 2u
#define DEPTH 16

struct nbd_state {
    struct nbd_server server;
    struct nbd_handle *connections[NR_CONNECTIONS];
};

// What one connection does: its share of the slots, every NR_CONNECTIONS-th.
struct share {
    const struct memory_store *store;
    int kind;
    const uint32_t *slots; // NULL: in order
    uint32_t nr_requests;  // of all connections
    uint32_t nr_pages;     // of a request
    uint64_t first_page;
    unsigned connection;
    const void *data; // written instead of pages of the file; may be NULL
};

static bool next_of_share(struct nbd_stream *stream, struct nbd_request *request)
{
    const struct share *share = stream->opaque;
    uint64_t index = stream->nr_issued * NR_CONNECTIONS + share->connection;

    if (index >= share->nr_requests) {
        return false;
    }
    *request = (struct nbd_request){
        .kind = share->kind,
        .offset = (share->slots ? share->slots[index] : index * share->nr_pages) *
                  (uint64_t)BENCH_PAGE_BYTES,
        .bytes = share->nr_pages * BENCH_PAGE_BYTES,
        .data = share->data ? share->data
                            : bench_page_run(share->store->pages, share->first_page + index,
                                             share->nr_pages),
    };
    return true;
}

static void run_shares(struct memory_store *store, const struct share *all)
{
    struct nbd_state *state = store->state;
    struct nbd_stream streams[NR_CONNECTIONS];
    struct share shares[NR_CONNECTIONS];
    unsigned i;

    for (i = 0; i < NR_CONNECTIONS; i++) {
        shares[i] = *all;
        shares[i].store = store;
        shares[i].connection = i;
        streams[i] = (struct nbd_stream){
            .nbd = state->connections[i],
            .depth = DEPTH,
            .next = next_of_share,
            .opaque = &shares[i],
        };
    }
    nbd_streams_run(streams, NR_CONNECTIONS);
}

static void nbd_fill(struct memory_store *store)
{
    run_shares(store, &(struct share){.kind = NBD_STREAM_WRITE,
                                      .nr_requests = store->nr_slots / LARGE_PAGES,
                                      .nr_pages = LARGE_PAGES});
}

static void nbd_write(struct memory_store *store, const uint32_t *slots, uint32_t nr_slots,
                      uint64_t first_page)
{
    run_shares(store, &(struct share){.kind = NBD_STREAM_WRITE,
                                      .slots = slots,
                                      .nr_requests = nr_slots,
                                      .nr_pages = 1,
                                      .first_page = first_page});
}

static void nbd_trim_slots(struct memory_store *store, const uint32_t *slots, uint32_t nr_slots)
{
    run_shares(store, &(struct share){.kind = NBD_STREAM_TRIM,
                                      .slots = slots,
                                      .nr_requests = nr_slots,
                                      .nr_pages = 1});
}

static void nbd_trim_all(struct memory_store *store)
{
    // As Linux does when the last of it is freed: 2 MiB at a time.
    run_shares(store, &(struct share){.kind = NBD_STREAM_TRIM,
                                      .nr_requests = store->nr_slots / 512,
                                      .nr_pages = 512,
                                      .data = store});
}

static void nbd_read(struct memory_store *store, uint32_t slot, unsigned char *page)
{
    struct nbd_state *state = store->state;

    if (nbd_pread(state->connections[0], page, BENCH_PAGE_BYTES, slot * (uint64_t)BENCH_PAGE_BYTES,
                  0) < 0) {
        bench_die("%s: %s", store->name, nbd_get_error());
    }
}

static bool next_random_read(struct nbd_stream *stream, struct nbd_request *request)
{
    const struct memory_store *store = stream->opaque;

    *request = (struct nbd_request){
        .kind = NBD_STREAM_READ,
        .offset = bench_random_below(&stream->rng, store->nr_slots) * BENCH_PAGE_BYTES,
        .bytes = BENCH_PAGE_BYTES,
    };
    return true;
}

static void nbd_read_random(struct memory_store *store, uint64_t duration_ns,
                            struct bench_samples *latencies_ns)
{
    struct nbd_state *state = store->state;
    struct nbd_stream stream = {
        .nbd = state->connections[0],
        .depth = 1,
        .duration_ns = duration_ns,
        .next = next_random_read,
        .opaque = store,
        .latencies_ns = latencies_ns,
    };

    nbd_streams_run(&stream, 1);
}

static uint64_t nbd_used_bytes(struct memory_store *store)
{
    struct nbd_state *state = store->state;

    return nbd_server_resident_bytes(&state->server);
}

static uint64_t nbd_compressed_bytes(struct memory_store *store)
{
    struct nbd_state *state = store->state;

    return nbd_server_stat(&state->server, "compr_data_size");
}

static void nbd_close_store(struct memory_store *store)
{
    struct nbd_state *state = store->state;
    unsigned i;

    for (i = 0; i < NR_CONNECTIONS; i++) {
        nbd_server_disconnect(state->connections[i]);
    }
    nbd_server_stop(&state->server);
    free(state);
}

// nbdkit's own buffers, one per thread, belong to the empty server, not to what is stored in it:
// let every thread have a large read and a large write of nothing, which stores nothing.
static void warm_up_threads(struct memory_store *store)
{
    struct share share = {.kind = NBD_STREAM_READ,
                          .nr_requests = store->nr_slots / LARGE_PAGES,
                          .nr_pages = LARGE_PAGES};
    void *zeros = bench_alloc(LARGE_PAGES * BENCH_PAGE_BYTES);

    share.nr_requests = share.nr_requests < 512 ? share.nr_requests : 512;
    share.data = zeros;
    run_shares(store, &share);
    share.kind = NBD_STREAM_WRITE;
    run_shares(store, &share);
    nbd_trim_all(store);
    bench_free(zeros, LARGE_PAGES * BENCH_PAGE_BYTES);
}

void memory_store_open_nbd(struct memory_store *store, const char *name,
                           const char *const *arguments, bool has_stats, uint32_t nr_slots,
                           const struct bench_pages *pages)
{
    struct nbd_state *state = calloc(1, sizeof *state);
    unsigned i;

    if (!state) {
        bench_die("no memory");
    }
    *store = (struct memory_store){
        .name = name,
        .nr_slots = nr_slots,
        .pages = pages,
        .state = state,
        .fill = nbd_fill,
        .write = nbd_write,
        .trim = nbd_trim_slots,
        .trim_all = nbd_trim_all,
        .read = nbd_read,
        .read_random = has_stats ? nbd_read_random : NULL,
        .used_bytes = nbd_used_bytes,
        .compressed_bytes = has_stats ? nbd_compressed_bytes : NULL,
        .close = nbd_close_store,
    };
    nbd_server_start(&state->server, name, arguments);
    for (i = 0; i < NR_CONNECTIONS; i++) {
        state->connections[i] = nbd_server_connect(&state->server, "");
    }
    warm_up_threads(store);
    // The same for the connections that ask for statistics: the first ones leave some heap behind.
    for (i = 0; has_stats && i < 16; i++) {
        nbd_compressed_bytes(store);
    }
    bench_sleep_until_ns(bench_now_ns() + 2000000000);
}

// ---- zram --------------------------------------------------------------------------------------

static void zram_fill(struct memory_store *store)
{
    uint32_t slot;

    for (slot = 0; slot < store->nr_slots; slot += LARGE_PAGES) {
        zram_device_write(store->state,
                          bench_page_run(store->pages, slot / LARGE_PAGES, LARGE_PAGES),
                          LARGE_PAGES * BENCH_PAGE_BYTES, slot * (uint64_t)BENCH_PAGE_BYTES);
    }
}

static void zram_write(struct memory_store *store, const uint32_t *slots, uint32_t nr_slots,
                       uint64_t first_page)
{
    uint32_t i;

    for (i = 0; i < nr_slots; i++) {
        zram_device_write(store->state, bench_page(store->pages, first_page + i), BENCH_PAGE_BYTES,
                          slots[i] * (uint64_t)BENCH_PAGE_BYTES);
    }
}

static void zram_trim(struct memory_store *store, const uint32_t *slots, uint32_t nr_slots)
{
    uint32_t i;

    for (i = 0; i < nr_slots; i++) {
        zram_device_discard(store->state, BENCH_PAGE_BYTES, slots[i] * (uint64_t)BENCH_PAGE_BYTES);
    }
}

static void zram_trim_all(struct memory_store *store)
{
    zram_device_discard(store->state, store->nr_slots * (uint64_t)BENCH_PAGE_BYTES, 0);
}

static void zram_read(struct memory_store *store, uint32_t slot, unsigned char *page)
{
    zram_device_read(store->state, page, BENCH_PAGE_BYTES, slot * (uint64_t)BENCH_PAGE_BYTES);
}

static uint64_t zram_used_bytes(struct memory_store *store)
{
    struct zram_stats stats;

    zram_device_get_stats(store->state, &stats);
    return stats.mem_used_total;
}

static uint64_t zram_compressed_bytes(struct memory_store *store)
{
    struct zram_stats stats;

    zram_device_get_stats(store->state, &stats);
    return stats.compr_data_size;
}

static void zram_compact(struct memory_store *store)
{
    zram_device_compact(store->state);
}

static void zram_close(struct memory_store *store)
{
    zram_trim_all(store);
}

void memory_store_open_zram(struct memory_store *store, const char *name,
                            const struct zram_device *zram, bool is_told, uint32_t nr_slots,
                            const struct bench_pages *pages)
{
    *store = (struct memory_store){
        .name = name,
        .nr_slots = nr_slots,
        .pages = pages,
        .state = (void *)zram,
        .fill = zram_fill,
        .write = zram_write,
        .trim = zram_trim,
        .trim_all = zram_trim_all,
        .read = zram_read,
        .used_bytes = zram_used_bytes,
        .compressed_bytes = zram_compressed_bytes,
        .tell_to_compact = is_told ? zram_compact : NULL,
        .close = zram_close,
    };
}
