// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Evacuation: which spans to empty, so that what is left is dense.
//
// After random frees every span of a class may be half empty, and none can go back to the system.
// begin chooses the emptiest spans of each class, as many as the others have room for, and isolates
// them.  The caller then moves every object in them (alloc, copy, publish the new handle, free the
// old one deferred) and calls end, which frees those that became empty.
//
// The numbers of objects are read without locks, span by span: a choice may be a little off, never
// wrong.  Threads: one evacuation at a time; begin and end may overlap with all calls of the pool.
// Source of the idea: compaction in Linux mm/zsmalloc.c; it holds the pool's lock meanwhile.
#ifndef ZR_EVACUATION_H
#define ZR_EVACUATION_H

#include "pool.h"

#include <stdbool.h>
#include <stdint.h>

#ifndef ZR_EVACUATION_MAX_SPANS      // tests/schedule/small.h has fewer
#define ZR_EVACUATION_MAX_SPANS 8192 // of one evacuation: 1 GiB
#endif

struct zr_evacuation {
    struct zr_pool *pool;
    uint32_t nr_spans;
    uint32_t spans[ZR_EVACUATION_MAX_SPANS]; // isolated ones
};

// How much must be saved for an evacuation to be worth it.
enum zr_urgency {
    ZR_URGENCY_BUSY,  // 1/8 of the pool: writers are about to fill the holes themselves
    ZR_URGENCY_QUIET, // 1/320 of the pool
    ZR_URGENCY_FULL,  // one span is enough, and spans still being filled are candidates too
};

// Chooses and isolates.  False if it is not worth it.  Some ms per GiB of pool.
bool zr_evacuation_begin(struct zr_evacuation *evacuation, struct zr_pool *pool,
                         enum zr_urgency urgency);

// Puts all of them back, and returns how many were empty and are free now.
uint32_t zr_evacuation_end(struct zr_evacuation *evacuation);

// True if the object is in an isolated span and shall move.
static inline bool zr_evacuation_wants(const struct zr_pool *pool, zr_handle handle)
{
    return zr_pool_holds(pool, handle) && zr_span_is_isolated(zr_pool_span_of(pool, handle));
}

#endif
