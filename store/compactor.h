// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Compactor: moves objects out of sparse spans, in the background and by itself.
//
// It needs no way back from an object to its slot: one pass over the slot words finds whatever
// lives in the spans to be emptied (8 bytes a page, 2 MiB per GiB stored).  An object is copied,
// and its word exchanged for the new place if it is still the old one; if a writer was faster, the
// copy is dropped.  No lock is held that a request could wait for, but a class's for an allocation.
//
// The same pass packs leaves in which few words are left (slot-table.h).
//
// It works in slices of half a millisecond: half of the time when requests are few, a tenth when
// they are many, all of it when a writer that found the pool full waits for it.
//
// Lock order: pass_lock, then all locks of the allocator; not inside a read-side section.
#ifndef ZR_COMPACTOR_H
#define ZR_COMPACTOR_H

#include "../allocator/evacuation.h"
#include "../allocator/worker.h"
#include "codec.h"
#include "slot-table.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

struct zr_compactor {
    struct zr_pool *pool;
    struct zr_deferred_free *deferred;
    struct zr_codec *codec; // tells how busy the server is
    struct zr_slot_table **tables;
    size_t nr_tables;
    struct zr_worker worker;

    pthread_mutex_t pass_lock; // guards all below
    bool is_passing;
    size_t table; // where the pass is
    uint64_t slot;
    uint64_t seen_requests, seen_ns; // when the load was last looked at
    bool is_busy;                    // the load then
    bool has_passed_over_sparse;     // leaves that are to be packed when it is not
    uint64_t sparse[ZR_PACK_LEAVES]; // slots of the table's leaves that are marked to be packed
    size_t nr_sparse;
    struct zr_evacuation evacuation;

    _Atomic uint64_t fruitless_ns; // when an urgent pass last freed nothing
    _Atomic uint64_t nr_moved_pages;
    _Atomic uint64_t nr_freed_spans;
};

// All are borrowed, the array too.
void zr_compactor_init(struct zr_compactor *compactor, struct zr_pool *pool,
                       struct zr_deferred_free *deferred, struct zr_codec *codec,
                       struct zr_slot_table **tables, size_t nr_tables);
void zr_compactor_fini(struct zr_compactor *compactor);

// The background thread.  0 or -errno.
int zr_compactor_start(struct zr_compactor *compactor);
void zr_compactor_stop(struct zr_compactor *compactor);

// One whole pass now, or the rest of the one under way.  Returns the number of spans that it freed.
// Blocks, some ms per GiB stored; never allocates from the heap.  Outside read-side sections.
uint64_t zr_compactor_pass(struct zr_compactor *compactor, enum zr_urgency urgency);

// For a writer that found the pool full: makes room now, by draining what was extracted, else by
// an urgent pass.  False if there was nothing to gain.  Blocks as the pass does.
bool zr_compactor_reclaim(struct zr_compactor *compactor);

#endif
