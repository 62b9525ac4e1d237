// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Compactor: moves objects out of sparse spans, in the background and by itself.
//
// It needs no way back from an object to its slot: one pass over the slot words finds whatever
// lives in the spans to be emptied (8 bytes a page, 2 MiB per GiB stored).  An object is copied,
// and its word exchanged for the new place if it is still the old one; if a writer wins the race,
// the copy is dropped.  No lock is held that a request could wait for, but a class's for an
// allocation.
//
// It works in slices of half a millisecond: half of the time when requests are few, a tenth when
// they are many, all of it when a writer that found the pool full waits for it.
//
// Lock order: pass_lock, then all locks of the allocator; not inside a read-side section.
#ifndef ZR_COMPACTOR_H
#define ZR_COMPACTOR_H

#include "../allocator/evacuation.h"
#include "../allocator/worker.h"
#include "load.h"
#include "walk.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

struct zr_compactor {
    struct zr_pool *pool;
    struct zr_deferred_free *deferred;
    struct zr_slot_table **tables;
    size_t nr_tables;
    struct zr_worker worker;
    struct zr_load load; // counted by the devices

    pthread_mutex_t pass_lock; // guards all below
    bool is_passing;
    struct zr_walk walk;
    struct zr_load_meter meter;
    bool is_busy; // what it showed
    // Set by who frees objects all over the pool: what it leaves sparse gets sparser yet.
    _Atomic bool must_wait;
    struct zr_evacuation evacuation;

    _Atomic uint64_t nr_moved_pages;
    _Atomic uint64_t nr_freed_spans;
};

// All are borrowed, the array too.
void zr_compactor_init(struct zr_compactor *compactor, struct zr_pool *pool,
                       struct zr_deferred_free *deferred, struct zr_slot_table **tables,
                       size_t nr_tables);
void zr_compactor_fini(struct zr_compactor *compactor);

// The background thread.  0 or -errno.
int zr_compactor_start(struct zr_compactor *compactor);
void zr_compactor_stop(struct zr_compactor *compactor);

// One whole pass now, or the rest of the one under way.  Returns the number of spans that it freed.
// Blocks, some ms per GiB stored; never allocates from the heap.  Outside read-side sections.
uint64_t zr_compactor_pass(struct zr_compactor *compactor, enum zr_urgency urgency);

// For a writer that found the pool full, nr_tries times by now: makes room, by draining what was
// extracted, and from its second try on by an urgent pass too.  False if nothing was gained. Blocks
// as the pass does.
bool zr_compactor_reclaim(struct zr_compactor *compactor, unsigned nr_tries);

#endif
