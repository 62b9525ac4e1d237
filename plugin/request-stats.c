// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "request-stats.h"

#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CACHE_LINE_BYTES 64

const char *const zr_request_kind_names[ZR_NR_REQUEST_KINDS] = {"read", "write", "trim",
                                                                "block_status"};

struct counters {
    // What every request adds to, beside each other; its bucket is the fourth.
    _Atomic uint64_t sum_ns;
    _Atomic uint64_t max_ns;
    _Atomic uint64_t bytes;
    _Atomic uint64_t nr_failed;
    _Atomic uint64_t nr_no_space;
    _Atomic uint64_t bucket[ZR_NR_HISTOGRAM_BUCKETS];
};

struct zr_request_stripe {
    struct counters kind[ZR_NR_REQUEST_KINDS];
} __attribute__((aligned(CACHE_LINE_BYTES)));

int zr_request_stats_init(struct zr_request_stats *stats)
{
    long nr_cpus = sysconf(_SC_NPROCESSORS_ONLN);
    size_t bytes;

    stats->nr_stripes = nr_cpus > 0 ? (unsigned)nr_cpus : 1;
    bytes = stats->nr_stripes * sizeof *stats->stripes;
    stats->stripes = aligned_alloc(CACHE_LINE_BYTES, bytes);
    if (!stats->stripes) {
        return -ENOMEM;
    }
    memset(stats->stripes, 0, bytes);
    return 0;
}

void zr_request_stats_fini(struct zr_request_stats *stats)
{
    free(stats->stripes);
    stats->stripes = NULL;
}

static void add(_Atomic uint64_t *counter, uint64_t value)
{
    atomic_fetch_add_explicit(counter, value, memory_order_relaxed);
}

static uint64_t get(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static void raise_to(_Atomic uint64_t *counter, uint64_t value)
{
    uint64_t seen = get(counter);

    while (value > seen && !atomic_compare_exchange_weak_explicit(
                               counter, &seen, value, memory_order_relaxed, memory_order_relaxed)) {
    }
}

void zr_request_stats_count(struct zr_request_stats *stats, enum zr_request_kind kind,
                            uint64_t bytes, uint64_t ns, int rc)
{
    // CPUs may have numbers above how many there are: then some share a stripe.
    unsigned stripe = (unsigned)sched_getcpu() % stats->nr_stripes;
    struct counters *counters = &stats->stripes[stripe].kind[kind];

    add(&counters->bucket[zr_histogram_bucket(ns)], 1);
    add(&counters->sum_ns, ns);
    raise_to(&counters->max_ns, ns);
    if (rc == 0) {
        add(&counters->bytes, bytes);
    } else {
        add(&counters->nr_failed, 1);
        add(&counters->nr_no_space, rc == -ENOSPC);
    }
}

static void read_counters(const struct counters *counters, struct zr_request_counts *counts)
{
    unsigned i;

    counts->latency.sum_ns = get(&counters->sum_ns);
    counts->latency.max_ns = get(&counters->max_ns);
    counts->bytes = get(&counters->bytes);
    counts->nr_failed = get(&counters->nr_failed);
    counts->nr_no_space = get(&counters->nr_no_space);
    for (i = 0; i < ZR_NR_HISTOGRAM_BUCKETS; i++) {
        counts->latency.count[i] = get(&counters->bucket[i]);
    }
}

void zr_request_stats_read(const struct zr_request_stats *stats,
                           struct zr_request_counts counts[ZR_NR_REQUEST_KINDS])
{
    unsigned stripe, kind;

    memset(counts, 0, ZR_NR_REQUEST_KINDS * sizeof *counts);
    for (stripe = 0; stripe < stats->nr_stripes; stripe++) {
        for (kind = 0; kind < ZR_NR_REQUEST_KINDS; kind++) {
            struct zr_request_counts part;

            read_counters(&stats->stripes[stripe].kind[kind], &part);
            zr_request_counts_add(&counts[kind], &part);
        }
    }
}

void zr_request_counts_add(struct zr_request_counts *to, const struct zr_request_counts *from)
{
    zr_histogram_add(&to->latency, &from->latency);
    to->bytes += from->bytes;
    to->nr_failed += from->nr_failed;
    to->nr_no_space += from->nr_no_space;
}
