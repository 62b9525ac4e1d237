// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "nbd-stream.h"

#include <errno.h>
#include <string.h>

#define BUFFER_BYTES (128u << 10)

// A request under way.
struct place {
    struct runner *runner;
    uint64_t start_ns;
    unsigned char *buffer; // for reads
    bool is_background;
    struct place *next_free;
};

struct runner {
    struct nbd_stream *stream;
    struct place places[NBD_STREAM_DEPTH_MAX];
    struct place *free;
    unsigned nr_in_flight;
};

// Called by libnbd when the answer is there, within nbd_poll or the call that sends another.
static int done(void *user_data, int *error)
{
    struct place *place = user_data;
    struct runner *runner = place->runner;
    struct nbd_stream *stream = runner->stream;

    if (*error == ENOSPC && stream->may_be_refused) {
        stream->nr_refused++;
    } else if (*error != 0) {
        bench_die("a request failed: %s", strerror(*error));
    }
    if (place->is_background) {
        stream->nr_background_in_flight--;
        stream->nr_background_done++;
    } else {
        if (stream->latencies_ns) {
            bench_samples_add(stream->latencies_ns, bench_now_ns() - place->start_ns);
        }
        stream->nr_done++;
    }
    runner->nr_in_flight--;
    place->next_free = runner->free;
    runner->free = place;
    return 1; // libnbd may forget the request
}

static void issue(struct runner *runner, const struct nbd_request *request)
{
    struct nbd_handle *nbd = runner->stream->nbd;
    struct place *place = runner->free;
    nbd_completion_callback completion = {.callback = done, .user_data = place};
    int64_t cookie = -1;

    runner->free = place->next_free;
    runner->nr_in_flight++;
    runner->stream->nr_issued++;
    runner->stream->nr_background_in_flight += request->is_background;
    place->is_background = request->is_background;
    place->start_ns = bench_now_ns();
    switch (request->kind) {
    case NBD_STREAM_READ:
        cookie = nbd_aio_pread(nbd, place->buffer, request->bytes, request->offset, completion, 0);
        break;
    case NBD_STREAM_WRITE:
        cookie = nbd_aio_pwrite(nbd, request->data, request->bytes, request->offset, completion, 0);
        break;
    case NBD_STREAM_TRIM:
        cookie = nbd_aio_trim(nbd, request->bytes, request->offset, completion, 0);
        break;
    }
    if (cookie < 0) {
        bench_die("cannot send a request: %s", nbd_get_error());
    }
}

static void run(struct runner *runner)
{
    struct nbd_stream *stream = runner->stream;
    uint64_t start = bench_now_ns(), now = start;
    bool has_more = true;

    while (has_more || runner->nr_in_flight > 0) {
        uint64_t due = start + stream->nr_issued * stream->pace_ns;
        struct nbd_request request;

        if ((stream->duration_ns > 0 && now - start >= stream->duration_ns) ||
            (stream->is_over && atomic_load_explicit(stream->is_over, memory_order_relaxed))) {
            has_more = false;
        }
        if (has_more && runner->free && now >= due) {
            has_more = stream->next(stream, &request);
            if (has_more) {
                issue(runner, &request);
            }
        } else if (runner->nr_in_flight == 0) {
            if (has_more) {
                bench_sleep_until_ns(due);
            }
        } else {
            // With a free place and a request due soon: back in time for it (poll takes whole ms).
            bool is_paced = has_more && runner->free;

            if (nbd_poll(stream->nbd, is_paced ? (int)((due - now) / 1000000) : -1) < 0) {
                bench_die("connection lost: %s", nbd_get_error());
            }
        }
        now = bench_now_ns();
    }
    stream->elapsed_ns = now - start;
}

static void run_stream(void *arg, unsigned index)
{
    struct nbd_stream *stream = (struct nbd_stream *)arg + index;
    struct runner runner = {.stream = stream};
    unsigned i;

    for (i = 0; i < stream->depth; i++) {
        runner.places[i] = (struct place){
            .runner = &runner,
            .buffer = stream->buffers + (size_t)i * BUFFER_BYTES,
            .next_free = runner.free,
        };
        runner.free = &runner.places[i];
    }
    stream->nr_issued = 0;
    stream->nr_done = 0;
    stream->nr_refused = 0;
    stream->nr_background_done = 0;
    stream->nr_background_in_flight = 0;
    run(&runner);
}

void nbd_streams_run(struct nbd_stream *streams, unsigned nr_streams)
{
    static unsigned char *buffers; // kept: touching them again each time would take long
    static size_t nr_buffers;
    size_t nr_needed = 0;
    unsigned i;

    for (i = 0; i < nr_streams; i++) {
        if (streams[i].depth == 0 || streams[i].depth > NBD_STREAM_DEPTH_MAX) {
            bench_die("depth %u", streams[i].depth);
        }
        nr_needed += streams[i].depth;
    }
    if (nr_needed > nr_buffers) {
        bench_free(buffers, nr_buffers * BUFFER_BYTES);
        buffers = bench_alloc(nr_needed * BUFFER_BYTES);
        nr_buffers = nr_needed;
    }
    for (i = 0, nr_needed = 0; i < nr_streams; i++) {
        streams[i].buffers = buffers + nr_needed * BUFFER_BYTES;
        nr_needed += streams[i].depth;
    }
    bench_run_threads(nr_streams, run_stream, streams);
}
