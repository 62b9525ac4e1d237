// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Workload: lists of requests and background work from a seed, one list per thread, and one that is
// done before the threads begin.  Each leaves some sorts of work out and prefers others, so that
// rare mixes come often (swarm testing, Groce et al., ISSTA 2012).
#ifndef ZS_WORKLOAD_H
#define ZS_WORKLOAD_H

#include "scheduler.h"

#define ZS_MAX_OPS 15
#define ZS_MAX_PAGES 24
#define ZS_MAX_REQUEST_PAGES 8

enum zs_kind {
    ZS_WRITE,
    ZS_WRITE_PART,
    ZS_ZERO,
    ZS_READ,
    ZS_EXTENTS, // so far requests
    ZS_COUNT,
    ZS_KEEPER,
    ZS_COMPACTOR,
    ZS_PASS,
    ZS_RECLAIM,
    ZS_AGER,
    ZS_DRAIN,
    ZS_DEMOTE,
    ZS_CLEAN,
    ZS_NR_KINDS
};

struct zs_op {
    enum zs_kind kind;
    unsigned device;
    uint64_t offset, bytes;
    unsigned arg; // sort of page, urgency, ms, age and end of span
};

struct zs_list {
    const char *name;
    unsigned nr_ops;
    struct zs_op ops[ZS_MAX_OPS];
};

struct zs_workload {
    unsigned limit_spans;
    uint64_t account_limit; // of the second device
    unsigned nr_cpus;
    unsigned nr_pages;
    struct zs_page {
        unsigned device;
        uint64_t slot;
    } pages[ZS_MAX_PAGES];
    struct zs_list before;
    unsigned nr_threads;
    struct zs_list threads[ZS_MAX_THREADS];
};

// is_small: two or three threads with one or two ops, for all schedules with few switches.
void zs_workload_make(struct zs_workload *work, uint64_t seed, bool is_small);
void zs_workload_print(const struct zs_workload *work);

extern const char *const zs_kind_names[ZS_NR_KINDS];

#endif
