// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// A stream: requests of one kind over one connection, so many at a time, with the time of each.
//
// Streams that run together have a thread each; a connection belongs to one stream at a time.
#ifndef ZR_BENCH_NBD_STREAM_H
#define ZR_BENCH_NBD_STREAM_H

#include "bench.h"

#include <libnbd.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define NBD_STREAM_DEPTH_MAX 64

struct nbd_request {
    enum { NBD_STREAM_READ, NBD_STREAM_WRITE, NBD_STREAM_TRIM } kind;
    uint64_t offset;
    uint32_t bytes;
    const void *data;   // of a write; must stay as it is until the request is done
    bool is_background; // what the others are measured beside: counted apart, without its time
};

struct nbd_stream {
    struct nbd_handle *nbd;
    unsigned depth;
    uint64_t pace_ns;            // from one request to the next at least; 0: flat out
    uint64_t duration_ns;        // ends after that; 0: when next says so
    const _Atomic bool *is_over; // ends when it becomes true; may be NULL
    bool may_be_refused;         // ENOSPC is an answer like any other

    // The next request; false: no more.  Called by the stream's own thread.
    bool (*next)(struct nbd_stream *stream, struct nbd_request *request);
    void *opaque; // for next
    struct bench_rng rng;
    unsigned char *buffers;           // of nbd_streams_run
    uint64_t nr_issued;               // before this one, in next
    unsigned nr_background_in_flight; // the same

    // What came of it.
    struct bench_samples *latencies_ns; // may be NULL
    uint64_t nr_done;
    uint64_t nr_refused; // of these
    uint64_t nr_background_done;
    uint64_t elapsed_ns; // from the first issue to the last answer
};

// Runs all of them at the same time, to the end of the last.  Dies when a request fails.
void nbd_streams_run(struct nbd_stream *streams, unsigned nr_streams);

#endif
