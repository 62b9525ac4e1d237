// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "load.h"
#include "tests/protocol/stats.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BUFFER_BYTES (128u << 10) // of a read
#define NR_SAMPLES_MAX (1u << 18) // of a stream in a turn

// A request under way.
struct place {
    struct runner *runner;
    uint64_t start_ns;
    unsigned char *buffer; // for reads
    struct place *next_free;
};

struct runner {
    struct stream *stream;
    struct place places[LOAD_DEPTH_MAX];
    struct place *free;
    unsigned nr_in_flight;
};

struct nbd_handle *load_connect(const struct server *server, const char *export_name)
{
    struct nbd_handle *nbd = nbd_create();

    // Our requests are right; checking and clearing would only cost the client's time.
    if (!nbd || nbd_set_strict_mode(nbd, 0) < 0 || nbd_set_pread_initialize(nbd, false) < 0 ||
        nbd_set_export_name(nbd, export_name) < 0 || nbd_connect_unix(nbd, server->socket) < 0) {
        bench_die("%s", nbd_get_error());
    }
    return nbd;
}

uint64_t load_server_stat(const struct server *server, const char *name)
{
    struct nbd_handle *nbd = load_connect(server, "stats");
    int64_t bytes = nbd_get_size(nbd);
    char *text = calloc(1, (size_t)bytes + 1);
    uint64_t value;

    if (!text || nbd_pread(nbd, text, (size_t)bytes, 0, 0) < 0) {
        bench_die("no statistics: %s", nbd_get_error());
    }
    value = stats_number(text, name);
    free(text);
    server_disconnect(nbd);
    return value;
}

// Called by libnbd when the answer is there, within nbd_poll or the call that sends another.
static int done(void *user_data, int *error)
{
    struct place *place = user_data;
    struct runner *runner = place->runner;
    struct stream *stream = runner->stream;

    if (*error == ENOSPC && stream->may_be_refused) {
        stream->nr_refused++;
    } else if (*error != 0) {
        bench_die("a request failed: %s", strerror(*error));
    }
    if (stream->latencies_ns) {
        bench_samples_add(stream->latencies_ns, bench_now_ns() - place->start_ns);
    }
    stream->nr_done++;
    runner->nr_in_flight--;
    place->next_free = runner->free;
    runner->free = place;
    return 1; // libnbd may forget the request
}

static const unsigned char *data_of(const struct load *load, uint64_t index)
{
    uint32_t nr_pages = load->bytes / BENCH_PAGE_BYTES;

    return load->data ? load->data : bench_page_run(load->first_page + index * nr_pages, nr_pages);
}

// False: there is no more to ask for.
static bool issue_next(struct runner *runner)
{
    struct stream *stream = runner->stream;
    const struct load *load = stream->load;
    const uint64_t nr_places = load->length / load->bytes;
    struct place *place = runner->free;
    nbd_completion_callback completion = {.callback = done, .user_data = place};
    uint64_t index = stream->nr_issued, offset;
    int64_t cookie = -1;

    if (stream->nr_shares > 0) {
        index = index * stream->nr_shares + stream->share;
    }
    if ((load->is_sequential && index >= nr_places) ||
        (stream->nr_max > 0 && stream->nr_issued >= stream->nr_max)) {
        return false;
    }
    if (!load->is_sequential) {
        offset = bench_random_below(&stream->rng, nr_places);
        index = bench_random(&stream->rng);
    } else {
        offset = load->order ? load->order[index] : index;
    }
    offset = load->start + offset * load->bytes;
    runner->free = place->next_free;
    runner->nr_in_flight++;
    stream->nr_issued++;
    place->start_ns = bench_now_ns();
    switch (load->kind) {
    case LOAD_READ:
        cookie = nbd_aio_pread(stream->nbd, place->buffer, load->bytes, offset, completion, 0);
        break;
    case LOAD_WRITE:
        cookie =
            nbd_aio_pwrite(stream->nbd, data_of(load, index), load->bytes, offset, completion, 0);
        break;
    case LOAD_TRIM:
        cookie = nbd_aio_trim(stream->nbd, load->bytes, offset, completion, 0);
        break;
    }
    if (cookie < 0) {
        bench_die("cannot send a request: %s", nbd_get_error());
    }
    return true;
}

static void run(struct runner *runner)
{
    struct stream *stream = runner->stream;
    uint64_t start = bench_now_ns(), now = start;
    bool has_more = true;

    while (has_more || runner->nr_in_flight > 0) {
        uint64_t due = start + stream->nr_issued * stream->pace_ns;

        if ((stream->duration_ns > 0 && now - start >= stream->duration_ns) ||
            (stream->until && atomic_load(&stream->until->is_over))) {
            has_more = false;
        }
        if (has_more && runner->free && now >= due) {
            has_more = issue_next(runner);
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
    atomic_store(&stream->is_over, true);
}

static void run_stream(void *arg, unsigned index)
{
    struct stream *stream = (struct stream *)arg + index;
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
    run(&runner);
}

void load_run(struct stream *streams, unsigned nr_streams)
{
    static unsigned char *buffers; // kept: touching them again each time would take long
    static size_t nr_buffers;
    size_t nr_needed = 0;
    unsigned i;

    for (i = 0; i < nr_streams; i++) {
        nr_needed += streams[i].depth;
        atomic_store(&streams[i].is_over, false);
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

void load_store(const struct load *load, struct nbd_handle *nbd)
{
    load_run(&(struct stream){.load = load, .nbd = nbd, .depth = 4}, 1);
}

void load_verify(const struct load *load, struct nbd_handle *nbd)
{
    unsigned char *buffer = bench_alloc(load->bytes);
    uint64_t i;

    for (i = 0; i < load->length / load->bytes; i++) {
        uint64_t offset = load->start + i * load->bytes;

        if (nbd_pread(nbd, buffer, load->bytes, offset, 0) < 0) {
            bench_die("%s", nbd_get_error());
        }
        if (memcmp(buffer, data_of(load, i), load->bytes) != 0) {
            bench_die("other data at %llu than was written", (unsigned long long)offset);
        }
    }
    bench_free(buffer, load->bytes);
}

struct turn load_turn(const struct server *server, struct stream *streams, unsigned nr_streams,
                      unsigned nr_counted)
{
    static struct bench_samples stream_samples[LOAD_COUNTED_MAX], turn_samples;
    uint64_t nr_done = 0, cpu;
    struct turn turn = {.samples = &turn_samples};
    unsigned i;

    if (turn_samples.capacity == 0) {
        bench_samples_init(&turn_samples, LOAD_COUNTED_MAX * NR_SAMPLES_MAX);
        for (i = 0; i < LOAD_COUNTED_MAX; i++) {
            bench_samples_init(&stream_samples[i], NR_SAMPLES_MAX);
        }
    }
    for (i = 0; i < nr_counted; i++) {
        bench_samples_clear(&stream_samples[i]);
        streams[i].latencies_ns = &stream_samples[i];
    }
    cpu = bench_process_cpu_ns(server->pid);
    load_run(streams, nr_streams);
    cpu = bench_process_cpu_ns(server->pid) - cpu;
    bench_samples_clear(&turn_samples);
    for (i = 0; i < nr_streams; i++) {
        nr_done += streams[i].nr_done;
    }
    for (i = 0; i < nr_counted; i++) {
        bench_samples_append(&turn_samples, &stream_samples[i]);
        turn.requests_per_s += (double)streams[i].nr_done * 1e9 / (double)streams[i].elapsed_ns;
    }
    turn.p50_us = bench_samples_percentile(&turn_samples, 50) / 1e3;
    turn.p99_us = bench_samples_percentile(&turn_samples, 99) / 1e3;
    turn.max_us = bench_samples_percentile(&turn_samples, 100) / 1e3;
    turn.cpu_us = (double)cpu / 1e3 / (double)nr_done;
    return turn;
}

void load_add_latency(const char *work, const char *subject, const struct turn *turn)
{
    bench_add(work, subject, "µs p50", turn->p50_us);
    bench_add(work, subject, "µs p99", turn->p99_us);
}

void load_add(const char *work, const char *subject, const struct turn *turn)
{
    bench_add(work, subject, "requests/s", turn->requests_per_s);
    load_add_latency(work, subject, turn);
    bench_add(work, subject, "µs server CPU", turn->cpu_us);
}
