// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Deferred free: takes extracted handles off a request's hands; they are freed later, by the
// keeper's thread, after a grace period, so that an object stays while a reader may use it.
//
// All that waits to be freed is chunks of handles: a detached slot-table leaf (or directory) is one
// as it stands, and single handles collect in batch chunks that were set aside beforehand.  Waiting
// chunks form a stack, linked by a table beside the arena that has a place for every chunk that can
// exist: so the queue is never full and queueing never allocates.
//
//     request threads                                  the keeper, or a writer in need
//     zr_deferred_free_chunk ──────────────┐
//     zr_deferred_free_words ─ batch full ─┴→ stack ── pop all → grace period → zr_pool_free
//
// The backlog is bounded by the pool's limit, since it is counted as used until it is freed; a
// writer that finds the pool full drains first (zr_deferred_free_drain).  Nothing is locked while a
// drainer frees what it popped.  Another drainer pops what was handed over since; if nothing was,
// it waits until the first has freed its next slice.
//
// Threads: all calls but create and destroy may overlap.
// Source of the idea: Linux series "zram: defer zs_free() in swap slot free notification path"; its
// one queue that may be full, and a fallback for that, are what the chunks avoid.
#ifndef ZR_DEFERRED_FREE_H
#define ZR_DEFERRED_FREE_H

#include "account.h"
#include "pool.h"

#include <stddef.h>
#include <stdint.h>

struct zr_deferred_free;

// What the words of a chunk refer to.
enum zr_chunk_sort {
    ZR_CHUNK_OF_OBJECTS, // a leaf of the slot table, or a batch
    ZR_CHUNK_OF_CHUNKS,  // a directory: chunks of objects
};

struct zr_deferred_free_stats {
    uint64_t nr_chunks; // not freed yet, at most ZR_CHUNK_WORDS objects each
    uint64_t nr_drains; // grace periods that freed something
};

// Returns 0 or -errno; allocates, batches included.  The pool must outlive it.
int zr_deferred_free_create(struct zr_pool *pool, struct zr_deferred_free **deferred);

// The same in two steps, for a pool that may not be written to yet.  What the first has made frees
// nothing before the second has returned 0; if that fails, it may be called again.
int zr_deferred_free_create_bare(struct zr_pool *pool, struct zr_deferred_free **deferred);
int zr_deferred_free_set_batches_aside(struct zr_deferred_free *deferred);

// Drains what is left.
void zr_deferred_free_destroy(struct zr_deferred_free *deferred);

// Frees a chunk that nobody can find any more, and everything that its words refer to, chunks in it
// included, once no reader is left; takes the objects off the account then, unless that is NULL.
// Never allocates or blocks; may be inside a read-side section.
void zr_deferred_free_chunk(struct zr_deferred_free *deferred, zr_handle chunk,
                            enum zr_chunk_sort sort, struct zr_account *account);

// The same for the handles in words, which are off their account already.  Never allocates; helps
// to drain when the batches set aside are used up, so not inside a read-side section.
void zr_deferred_free_words(struct zr_deferred_free *deferred, const uint64_t *words,
                            size_t nr_words);

// Frees all that was handed over before the call, but for what other drainers have in hand.  If
// there was nothing else, waits for the next slice of theirs, half a ms of freeing.  Returns true
// if anything was freed.  Blocks for a grace period (20 µs, at worst some ms): not inside a
// read-side section.
bool zr_deferred_free_drain(struct zr_deferred_free *deferred);

void zr_deferred_free_get_stats(struct zr_deferred_free *deferred,
                                struct zr_deferred_free_stats *stats);

#endif
