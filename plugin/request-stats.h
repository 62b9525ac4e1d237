// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Request statistics of one export: how many requests there were, how long they took, how many
// bytes they moved, how many failed.
//
// Each CPU has counters of its own (a stripe), so that no cache line is fought for: to count is
// four relaxed additions to lines that this CPU had last, and no lock.  They are atomic since a
// thread may move to another CPU between asking for its number and counting.
//
// A read adds the stripes up while others count, and needs no lock either.  Each counter is one
// atomic word that only grows, so what is read of it is never torn, and never less than what was
// read of it before.  What ends during the read may be in some counters of it and not yet in
// others: sum_ns or bytes may be a request ahead of, or behind, the number of requests.  That
// number is the sum of the buckets that were read, so those always agree.
#ifndef ZR_REQUEST_STATS_H
#define ZR_REQUEST_STATS_H

#include "histogram.h"

#include <stdint.h>

enum zr_request_kind {
    ZR_REQUEST_READ,
    ZR_REQUEST_WRITE,
    ZR_REQUEST_TRIM, // write-zeroes too, which is the same thing here
    ZR_REQUEST_BLOCK_STATUS,
};

#define ZR_NR_REQUEST_KINDS 4

// "read", "write", "trim", "block_status".
extern const char *const zr_request_kind_names[ZR_NR_REQUEST_KINDS];

struct zr_request_stats {
    unsigned nr_stripes;
    struct zr_request_stripe *stripes;
};

struct zr_request_counts {
    struct zr_histogram latency; // of all requests, failed ones too: their number
    uint64_t bytes;              // of the ranges of those that did not fail
    uint64_t nr_failed;
    uint64_t nr_no_space; // of them: given ENOSPC
};

// 0 or -ENOMEM.  Allocates about 4 KiB per CPU, and touches them.
int zr_request_stats_init(struct zr_request_stats *stats);
void zr_request_stats_fini(struct zr_request_stats *stats);

// Counts a request that took ns and ended with rc, 0 or -errno.  Never allocates or blocks.
void zr_request_stats_count(struct zr_request_stats *stats, enum zr_request_kind kind,
                            uint64_t bytes, uint64_t ns, int rc);

// All that was counted so far, by kind.  May overlap with everything but init and fini.
void zr_request_stats_read(const struct zr_request_stats *stats,
                           struct zr_request_counts counts[ZR_NR_REQUEST_KINDS]);

void zr_request_counts_add(struct zr_request_counts *to, const struct zr_request_counts *from);

#endif
