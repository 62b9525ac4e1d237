// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// The load generator: streams of NBD requests of one kind, so many under way at a time, with the
// time of each.  Streams that run together have a thread each; a connection belongs to one stream.
#ifndef ZR_BENCH_LOAD_H
#define ZR_BENCH_LOAD_H

#include "bench.h"
#include "tests/protocol/server.h"

#include <stdatomic.h>

#define LOAD_DEPTH_MAX 64
#define LOAD_COUNTED_MAX 4 // streams whose requests are timed together

// What is asked for; at random places unless it says otherwise.
struct load {
    const char *name;
    enum load_kind { LOAD_READ, LOAD_WRITE, LOAD_TRIM } kind;
    uint32_t bytes;         // of a request
    uint64_t start, length; // of the disk
    bool is_sequential;     // once through, then the end
    const uint32_t *order;  // sequential in this order of places instead; may be NULL
    uint64_t first_page; // of the page file, for the first of sequential writes; they go on from it
    const unsigned char *data; // written instead of pages of the file; may be NULL
};

struct stream {
    const struct load *load;
    struct nbd_handle *nbd;
    unsigned depth;
    uint64_t pace_ns;           // from one request to the next at least; 0: flat out
    uint64_t duration_ns;       // ends after that; 0: when the load ends
    uint64_t nr_max;            // ends after so many requests; 0: no bound
    const struct stream *until; // ends with that one; may be NULL
    unsigned share, nr_shares;  // every nr_shares-th place of a sequential load; 0: all
    bool may_be_refused;        // ENOSPC is an answer like any other
    struct bench_rng rng;
    struct bench_samples *latencies_ns; // may be NULL

    // What came of it.
    uint64_t nr_issued, nr_done, nr_refused;
    uint64_t elapsed_ns; // from the first request to the last answer
    _Atomic bool is_over;
    unsigned char *buffers; // for reads
};

// Ready for requests.  server_disconnect ends it.
struct nbd_handle *load_connect(const struct server *server, const char *export_name);

// A number of the statistics of a zramswap with stats-export=stats.
uint64_t load_server_stat(const struct server *server, const char *name);

// Runs all of them at the same time, to the end of the last.  Dies when a request fails.
void load_run(struct stream *streams, unsigned nr_streams);

// All of a sequential load, and whether it reads back: dies if not.
void load_store(const struct load *load, struct nbd_handle *nbd);
void load_verify(const struct load *load, struct nbd_handle *nbd);

struct turn {
    double requests_per_s, p50_us, p99_us, max_us, cpu_us;
    const struct bench_samples *samples; // until the next turn
};

// Runs the streams: what they took of the server's CPU, and what the first nr_counted of them saw.
struct turn load_turn(const struct server *server, struct stream *streams, unsigned nr_streams,
                      unsigned nr_counted);
void load_add_latency(const char *work, const char *subject, const struct turn *turn);
void load_add(const char *work, const char *subject, const struct turn *turn);

#endif
