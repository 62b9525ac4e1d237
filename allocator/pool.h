// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Pool: objects of 1 to 4096 bytes by handle, in spans of one size class each.
//
// It knows nothing of pages or compression.  Two kinds of things live in it: objects, immutable
// once their owner has published them, and chunks, zeroed page-aligned runs of ZR_CHUNK_WORDS
// atomic words that each may hold a handle.  The terms, here and above:
//
//     arena     the address range that everything stored lives in (arena.h)
//     span      128 KiB of it, for objects of one size class (span.h)
//     class     the objects of one size, and the spans that hold them (size-class.h)
//     handle    where an object is and how long it is (handle.h)
//     chunk     a page of 512 words: a leaf or directory of the slot table, or a batch
//     leaf      the slot words of 2 MiB of a device; a directory has 512 leaves (slot-table.h)
//     batch     a chunk of handles that wait to be freed (deferred-free.h)
//     drain     to free what waits, after a grace period
//     warm      a free span whose memory is kept at hand
//     cold      a free span whose memory was given back to the system
//     backed    an OS page that has memory of its own
//     transit   of a free span: the keeper is just moving it between warm and cold
//     isolated  of a span in use: it gives no objects out and is in no list, while it is emptied or
//               loses pages that nothing uses
//     quiet     of a span: it gave no object out for two windows of the keeper (250 ms each)
//     log       spans that are filled from the start, with objects of any length (log.h)
//     owner     of an object in a log: the holder of a handle to it, which gives its share as
//     length kind      what objects a span holds, noted in a store that outlives its server
//     (superblock.h)
//
// Memory is taken before it is touched: an object, a chunk or a copy may be written to,
// and a system that has no more memory is -ENOSPC here, never a signal.
//
// Lock order: a class lock, then span_lock.  Both are held for nanoseconds, never over a copy or,
// but for opening another 16 MiB of the arena, a system call.
// Threads: all calls but init and fini may overlap, with themselves too.  Nothing here allocates.
// Source of the idea: Linux mm/zsmalloc.c; the bitmap instead of a free list in the objects, so
// that freeing leaves cold memory alone, is mimalloc's and jemalloc's.
#ifndef ZR_POOL_H
#define ZR_POOL_H

#include "arena.h"
#include "handle.h"
#include "size-class.h"
#include "span.h"
#include "superblock.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <urcu/list.h>

struct zr_store_file;

#define ZR_CHUNK_WORDS (ZR_CHUNK_BYTES / sizeof(uint64_t))

// Deferred free numbers the chunks that an arena can hold with 32 bits.  Less than 16 TiB by one
// step in which the arena is opened.
#define ZR_POOL_MAX_BYTES ((UINT64_C(1) << 44) - (UINT64_C(16) << 20))

#ifndef ZR_POOL_OPEN_SPANS     // tests/schedule/small.h has other sizes
#define ZR_POOL_OPEN_SPANS 128 // opened at a time: 16 MiB, so that the system call is rare
#endif

struct zr_pool_class {
    pthread_mutex_t lock;
    struct cds_list_head partial; // spans that have both used and free objects
    uint64_t nr_spans;
    uint64_t nr_objects;
    uint64_t stored_bytes; // sum of the objects' lengths
    // Where copies of its objects go: itself, or a coarser one.  Chosen by evacuation, relaxed: an
    // old value only means the other of the two, and both are right.
    _Atomic uint8_t copy_class;
} __attribute__((aligned(64)));

struct zr_pool {
    struct zr_arena arena;      // the spans
    struct zr_arena span_table; // a struct zr_span for each
    struct zr_arena *metadata;  // of the store; NULL without one
    struct zr_size_classes classes;
    struct zr_pool_class class[ZR_NR_CLASSES_MAX];
    _Atomic uint64_t nr_populated_spans; // by the keeper, ahead of their use

    pthread_mutex_t span_lock; // guards all below
    struct cds_list_head warm, cold;
    uint64_t nr_used_spans, nr_warm_spans; // those in transit count as used
    uint64_t nr_transit_spans;             // free ones that the keeper holds while it moves them
    pthread_cond_t transit_end;
    uint64_t nr_taken_spans; // ever, but for copies: how fast the pool grows
    uint64_t nr_taken_cold;  // of them cold: their first touch faults in a request
    uint64_t nr_opened_spans;
    uint64_t max_spans;  // the memory limit
    uint64_t peak_spans; // the most that were ever used and warm
};

struct zr_pool_stats {
    uint64_t stored_bytes;   // sum of the lengths of all objects, chunks not included
    uint64_t nr_objects;     // chunks not included
    uint64_t nr_max_objects; // objects of ZR_OBJECT_MAX_BYTES
    uint64_t nr_chunks;
    uint64_t used_bytes;      // spans in use and warm
    uint64_t peak_used_bytes; // the most that used_bytes ever was
    uint64_t limit_bytes;
    uint64_t nr_taken_cold;   // spans that went into use without their memory being resident
    uint64_t populated_bytes; // ever, ahead of their use
};

// Reserves address space for limit_bytes (rounded up to whole spans) of spans, ZR_POOL_MAX_BYTES at
// most.  They lie in an unnamed file of the pool's own, or, if store is not NULL, in that, which
// must outlive the pool: claim.h takes over what is there.  0 or -errno.
int zr_pool_init(struct zr_pool *pool, uint64_t limit_bytes, struct zr_store_file *store);

// Every handle is void afterwards; what lies in a store stays there.
void zr_pool_fini(struct zr_pool *pool);

// An object of 1 to ZR_OBJECT_MAX_BYTES, content undefined.  0, or -ENOSPC: at the limit, or the
// system refuses memory.  Blocks for a system call where no memory was taken ahead.
int zr_pool_alloc(struct zr_pool *pool, uint32_t bytes, zr_handle *handle);

// The same for a copy of an object that moves: a span that it needs is a cold one, so that no more
// of it becomes resident than is used.  It goes into the copy_class of its class if it can.
int zr_pool_alloc_copy(struct zr_pool *pool, uint32_t bytes, zr_handle *handle);

// A zeroed chunk.  0 or -ENOSPC, as above.
int zr_pool_alloc_chunk(struct zr_pool *pool, zr_handle *handle);

// Frees all handles in words that have an object, objects and chunks alike, not what is in the
// chunks.  Grouped by class, so that a lock is taken once for many.  Nobody may use the objects any
// more; their owner has waited for a grace period first.
void zr_pool_free(struct zr_pool *pool, const uint64_t *words, size_t nr_words);

// Another limit from now on.  What is used already stays.
void zr_pool_set_limit(struct zr_pool *pool, uint64_t limit_bytes);

// Opens the spans up to end, which is a multiple of ZR_POOL_OPEN_SPANS, without making them
// findable.  0 or -errno.  The span lock is held, or nobody else is there.
int zr_pool_open_spans_locked(struct zr_pool *pool, uint64_t end);

// Isolates a partly used span of the class that the caller saw it in.  False if it left that class
// meanwhile, is full, or isolated: what was decided about it is void then.
bool zr_pool_try_isolate(struct zr_pool *pool, struct zr_span *span, uint32_t class_nr);

// A free span, cold first, for a log: isolated, so that it stays while it is empty.  NULL at the
// limit, unless at_any_use: then it may be one more.
struct zr_span *zr_pool_take_log_span(struct zr_pool *pool, bool at_any_use);

// Ends the isolation, by who began it: the span gives objects out again, or is free if it is empty.
void zr_pool_put_back(struct zr_pool *pool, struct zr_span *span);

// Waits until no free span is on its way between warm and cold; false if none was.  For a writer
// that found the pool full: some of what is used may only be in transit.  Some ms at most.
bool zr_pool_await_transit(struct zr_pool *pool);

void zr_pool_get_stats(struct zr_pool *pool, struct zr_pool_stats *stats);

// Walks every span: true if all invariants hold.  For tests, with no other call under way.
bool zr_pool_is_valid(struct zr_pool *pool);

// After more spans are used or warm.  The span lock is held.
static inline void zr_pool_note_peak_locked(struct zr_pool *pool)
{
    uint64_t nr_spans = pool->nr_used_spans + pool->nr_warm_spans;

    pool->peak_spans = nr_spans > pool->peak_spans ? nr_spans : pool->peak_spans;
}

static inline struct zr_span *zr_pool_span_at(const struct zr_pool *pool, uint64_t index)
{
    return (struct zr_span *)pool->span_table.base + index;
}

static inline struct zr_span *zr_pool_span_of(const struct zr_pool *pool, zr_handle handle)
{
    return zr_pool_span_at(pool, zr_handle_offset_bytes(handle) >> ZR_SPAN_SHIFT);
}

static inline uint64_t zr_pool_span_index(const struct zr_pool *pool, const struct zr_span *span)
{
    return (uint64_t)(span - (const struct zr_span *)pool->span_table.base);
}

// False if some of the object lies outside what the arena has open: its word is damaged then, and
// it must not be read.  A thread that loaded a sound word by acquire sees the arena that it came
// from.
static inline bool zr_pool_holds(const struct zr_pool *pool, zr_handle handle)
{
    return zr_handle_offset_bytes(handle) + zr_handle_length_bytes(handle) <=
           atomic_load_explicit(&pool->arena.open_bytes, memory_order_relaxed);
}

// In the store: the kind of a span.
static inline _Atomic uint16_t *zr_pool_kind_of(const struct zr_pool *pool, uint64_t index)
{
    _Atomic uint16_t *kinds = (void *)(pool->metadata->base + ZR_KINDS_OFFSET);

    return kinds + index;
}

static inline void *zr_pool_view(const struct zr_pool *pool, zr_handle handle)
{
    return pool->arena.base + zr_handle_offset_bytes(handle);
}

static inline _Atomic uint64_t *zr_pool_view_chunk(const struct zr_pool *pool, zr_handle handle)
{
    return zr_pool_view(pool, handle);
}

#endif
