// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Keeper: the background thread of the allocator.  It drains what was handed to deferred free, and
// decides how much free memory stays warm:
//
//   reserve  while the pool grows, some spans ahead of it are populated in batches, so that a write
//            does not take the page faults; sized by the growth of the last milliseconds.
//   decay    spans that lay warm and unused for a whole window are given back to the system,
//            neighbours in one call, and so are unused pages of spans that give no objects out any
//            more.  Memory that the system does not take back stays warm, and counts as used.
//
// Threads: start and stop from one; the rest runs on the keeper's own.
#ifndef ZR_KEEPER_H
#define ZR_KEEPER_H

#include "deferred-free.h"
#include "worker.h"

#include <stdbool.h>
#include <stdint.h>

struct zr_keeper {
    struct zr_pool *pool;
    struct zr_deferred_free *deferred;
    struct zr_worker worker;
    uint64_t seen_taken_spans; // of the pool, at the last tick
    uint64_t growth;           // spans a tick, decaying
    uint64_t min_warm;         // the fewest warm spans in this window
    uint64_t window_start_ns;
    uint64_t last_busy_ns;
    bool has_reported_failure; // to give memory back
};

// 0 or -errno.  Pool and deferred free are borrowed.
int zr_keeper_start(struct zr_keeper *keeper, struct zr_pool *pool,
                    struct zr_deferred_free *deferred);

// Ends the thread, then drains what is left.
void zr_keeper_stop(struct zr_keeper *keeper);

#endif
