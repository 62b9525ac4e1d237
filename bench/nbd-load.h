// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Requests of one kind at random or in order, and a turn of them measured.
#ifndef ZR_BENCH_NBD_LOAD_H
#define ZR_BENCH_NBD_LOAD_H

#include "nbd-server.h"
#include "nbd-stream.h"

#define NBD_LOAD_STREAMS_MAX 64

// What a stream's requests are like; its opaque.
struct nbd_load {
    const char *name;
    int kind;
    uint32_t bytes;
    uint64_t start, length; // of the disk
    bool is_sequential;     // once through, then the end
    uint64_t first_page;    // of the page file, to the disk's start when in order
};

// Before anything else here: writes take their data from pages; of a stream that runs in a turn, so
// many samples are kept.
void nbd_load_init(const struct bench_pages *pages, unsigned nr_streams, size_t nr_samples);

bool nbd_load_next(struct nbd_stream *stream, struct nbd_request *request); // for a stream

// All of a sequential load, untimed, and whether it reads back: dies if not.
void nbd_load_run(const struct nbd_load *load, struct nbd_handle *nbd);
void nbd_load_verify(const struct nbd_load *load, struct nbd_handle *nbd);

struct nbd_turn {
    double requests_per_s, p50_us, p99_us, cpu_us;
    const struct bench_samples *samples; // until the next turn
};

// Runs the streams; what they took of the server, and what the first nr_counted of them saw.
struct nbd_turn nbd_turn_run(const struct nbd_server *server, struct nbd_stream *streams,
                             unsigned nr_streams, unsigned nr_counted);

// As rows.
void nbd_turn_record_latency(const char *what, const char *subject, const struct nbd_turn *turn);
void nbd_turn_record(const char *what, const char *subject, const struct nbd_turn *turn);

#endif
