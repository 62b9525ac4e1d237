// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "nbd-load.h"

#include <string.h>

static const struct bench_pages *pages;
static struct bench_samples stream_samples[NBD_LOAD_STREAMS_MAX], turn_samples;

void nbd_load_init(const struct bench_pages *all_pages, unsigned nr_streams, size_t nr_samples)
{
    unsigned i;

    pages = all_pages;
    for (i = 0; i < nr_streams; i++) {
        bench_samples_init(&stream_samples[i], nr_samples);
    }
    bench_samples_init(&turn_samples, nr_streams * nr_samples);
}

// What a sequential load writes there.
static const unsigned char *page_run_at(const struct nbd_load *load, uint64_t offset)
{
    return bench_page_run(pages, load->first_page + offset / BENCH_PAGE_BYTES,
                          load->bytes / BENCH_PAGE_BYTES);
}

bool nbd_load_next(struct nbd_stream *stream, struct nbd_request *request)
{
    const struct nbd_load *load = stream->opaque;
    uint64_t nr_places = load->length / load->bytes;
    uint64_t place =
        load->is_sequential ? stream->nr_issued : bench_random_below(&stream->rng, nr_places);

    if (place >= nr_places) {
        return false;
    }
    *request = (struct nbd_request){
        .kind = load->kind,
        .offset = load->start + place * load->bytes,
        .bytes = load->bytes,
    };
    if (load->kind == NBD_STREAM_WRITE) {
        request->data = load->is_sequential ? page_run_at(load, request->offset)
                                            : bench_page_run(pages, bench_random(&stream->rng),
                                                             load->bytes / BENCH_PAGE_BYTES);
    }
    return true;
}

void nbd_load_run(const struct nbd_load *load, struct nbd_handle *nbd)
{
    struct nbd_stream stream = {
        .nbd = nbd,
        .depth = 4,
        .next = nbd_load_next,
        .opaque = (void *)load,
    };

    nbd_streams_run(&stream, 1);
}

void nbd_load_verify(const struct nbd_load *load, struct nbd_handle *nbd)
{
    unsigned char *buffer = bench_alloc(load->bytes);
    uint64_t offset;

    for (offset = load->start; offset < load->start + load->length; offset += load->bytes) {
        if (nbd_pread(nbd, buffer, load->bytes, offset, 0) < 0) {
            bench_die("%s", nbd_get_error());
        }
        if (memcmp(buffer, page_run_at(load, offset), load->bytes) != 0) {
            bench_die("other data at %llu than was written", (unsigned long long)offset);
        }
    }
    bench_free(buffer, load->bytes);
}

struct nbd_turn nbd_turn_run(const struct nbd_server *server, struct nbd_stream *streams,
                             unsigned nr_streams, unsigned nr_counted)
{
    uint64_t cpu = bench_process_cpu_ns(server->pid);
    uint64_t nr_done = 0;
    struct nbd_turn turn = {.samples = &turn_samples};
    unsigned i;

    for (i = 0; i < nr_streams; i++) {
        bench_samples_clear(&stream_samples[i]);
        streams[i].latencies_ns = &stream_samples[i];
    }
    nbd_streams_run(streams, nr_streams);
    cpu = bench_process_cpu_ns(server->pid) - cpu;
    bench_samples_clear(&turn_samples);
    for (i = 0; i < nr_streams; i++) {
        nr_done += streams[i].nr_done;
        if (i < nr_counted) {
            bench_samples_append(&turn_samples, &stream_samples[i]);
            turn.requests_per_s += (double)streams[i].nr_done * 1e9 / (double)streams[i].elapsed_ns;
        }
    }
    turn.p50_us = bench_samples_percentile(&turn_samples, 50) / 1e3;
    turn.p99_us = bench_samples_percentile(&turn_samples, 99) / 1e3;
    turn.cpu_us = (double)cpu / 1e3 / (double)nr_done;
    return turn;
}

void nbd_turn_record_latency(const char *what, const char *subject, const struct nbd_turn *turn)
{
    bench_add(bench_row(what, subject, "µs p50", BENCH_LOWER), turn->p50_us);
    bench_add(bench_row(what, subject, "µs p99", BENCH_LOWER), turn->p99_us);
}

void nbd_turn_record(const char *what, const char *subject, const struct nbd_turn *turn)
{
    bench_add(bench_row(what, subject, "requests/s", BENCH_HIGHER), turn->requests_per_s);
    nbd_turn_record_latency(what, subject, turn);
    bench_add(bench_row(what, subject, "µs server CPU", BENCH_LOWER), turn->cpu_us);
}
