// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Span: a contiguous run of ZR_SPAN_BYTES that holds objects of one class.
//
// Only the description is here, beside the arena and not in it: a bitmap says which objects are in
// use, so that freeing never touches the (cold) object itself.
//
// Invariants, with the lock of the span's class held (zr_span_is_valid checks them):
//     nr_used  = bits set in used
//     capacity = ZR_SPAN_BYTES / object_bytes
//     no bit at or above capacity is set
//     used[0 .. first_free_word) are all ones
//     the OS pages of every object in use are backed, but for nr_backing objects that were just
//     taken and whose takers see to it
// A span of a log (log.h) has owners of objects in place of objects: nr_used counts them,
// live_bytes sums their shares up, and all lies below fill_bytes.
// A backed page has memory of its own.  Only such a page is ever touched: where the system has no
// more memory, the touch of another one would be a signal (arena.h).
//
// Threads: all fields are guarded by the lock of the span's class, and in a free span by span_lock.
// Atomic fields may be read without it.  class_nr is exact for the holder of a handle into the span
// (it changes only when there is none) and, where it is a class, under the lock of that class; the
// others are hints.
#ifndef ZR_SPAN_H
#define ZR_SPAN_H

#include "arena.h"
#include "size-class.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <urcu/list.h>

#define ZR_SPAN_QUIET 2
#define ZR_SPAN_WORDS ((ZR_SPAN_BYTES / ZR_OBJECT_MIN_BYTES + 63) / 64)
#define ZR_SPAN_PAGES (ZR_SPAN_BYTES / ZR_OS_PAGE_BYTES)
#define ZR_SPAN_ALL_PAGES ((uint32_t)((UINT64_C(1) << ZR_SPAN_PAGES) - 1))

struct zr_span {
    // In its class's list of partly used spans, or in a list of free ones.
    struct cds_list_head node;
    uint16_t object_bytes;
    uint16_t capacity;
    _Atomic uint16_t nr_used;
    uint8_t first_free_word;
    _Atomic uint8_t class_nr; // ZR_CLASS_NONE: it is free
    _Atomic bool is_isolated; // in no list: gives no objects out, and its isolator puts it back
    // How long it gave no object out (and took no chunk back), up to ZR_SPAN_QUIET.
    _Atomic uint8_t nr_quiet_windows;
    uint16_t nr_backing;
    _Atomic uint32_t backed; // bit i: OS page i of the span.  Outlives class and content
    // Of a log.  Not in the place of used: racy looks at them would be looks at that.
    _Atomic bool is_kept; // it could not be cleaned
    _Atomic uint32_t live_bytes;
    _Atomic uint32_t fill_bytes;
    uint64_t used[ZR_SPAN_WORDS];
};

_Static_assert(ZR_SPAN_PAGES <= 32, "a bit of backed for each OS page");
_Static_assert(ZR_CLASS_NONE >= ZR_NR_CLASSES_MAX, "none is no class");

// A free span becomes an empty one of a class; of object_bytes 0: of a log.
void zr_span_init(struct zr_span *span, uint8_t class_nr, uint16_t object_bytes);

// Takes the lowest free object, returns its index.  The span must not be full.
uint32_t zr_span_take(struct zr_span *span);

// Gives an object back; aborts if it is not in use.
void zr_span_put(struct zr_span *span, uint32_t index);

// The same for owners of an object of a log, and what they own of it.
void zr_span_add_owners(struct zr_span *span, uint32_t nr, uint32_t bytes);
void zr_span_drop_owner(struct zr_span *span, uint32_t bytes);

// The OS pages that may hold something: up to the highest object in use, or to where a log is
// filled; of chunks, which nobody moves, just those in use.
uint32_t zr_span_used_pages(const struct zr_span *span);

bool zr_span_is_valid(const struct zr_span *span);

static inline bool zr_span_is_log(const struct zr_span *span)
{
    return span->object_bytes == 0;
}

static inline uint32_t zr_span_live_bytes(const struct zr_span *span)
{
    return atomic_load_explicit(&span->live_bytes, memory_order_relaxed);
}

static inline uint32_t zr_span_fill_bytes(const struct zr_span *span)
{
    return atomic_load_explicit(&span->fill_bytes, memory_order_relaxed);
}

static inline bool zr_span_is_kept(const struct zr_span *span)
{
    return atomic_load_explicit(&span->is_kept, memory_order_relaxed);
}

static inline uint32_t zr_span_nr_used(const struct zr_span *span)
{
    return atomic_load_explicit(&span->nr_used, memory_order_relaxed);
}

// The OS pages that hold bytes [start, end) of a span, which are not none: bits as in backed.
static inline uint32_t zr_span_pages(uint32_t start, uint32_t end)
{
    uint32_t nr_pages = (end - 1) / ZR_OS_PAGE_BYTES + 1 - start / ZR_OS_PAGE_BYTES;

    return (uint32_t)((UINT64_C(1) << nr_pages) - 1) << start / ZR_OS_PAGE_BYTES;
}

static inline uint32_t zr_span_backed(const struct zr_span *span)
{
    return atomic_load_explicit(&span->backed, memory_order_relaxed);
}

static inline void zr_span_set_backed(struct zr_span *span, uint32_t pages)
{
    atomic_store_explicit(&span->backed, pages, memory_order_relaxed);
}

static inline uint32_t zr_span_class(const struct zr_span *span)
{
    return atomic_load_explicit(&span->class_nr, memory_order_relaxed);
}

static inline void zr_span_set_class(struct zr_span *span, uint32_t class_nr)
{
    atomic_store_explicit(&span->class_nr, (uint8_t)class_nr, memory_order_relaxed);
}

static inline bool zr_span_is_isolated(const struct zr_span *span)
{
    return atomic_load_explicit(&span->is_isolated, memory_order_relaxed);
}

static inline uint32_t zr_span_quiet_windows(const struct zr_span *span)
{
    return atomic_load_explicit(&span->nr_quiet_windows, memory_order_relaxed);
}

// Quiet: full, or has not given an object out in the keeper's last two windows.
static inline bool zr_span_is_quiet(const struct zr_span *span)
{
    return zr_span_quiet_windows(span) >= ZR_SPAN_QUIET;
}

static inline void zr_span_set_quiet_windows(struct zr_span *span, uint32_t nr)
{
    atomic_store_explicit(&span->nr_quiet_windows, (uint8_t)nr, memory_order_relaxed);
}

static inline bool zr_span_is_full(const struct zr_span *span)
{
    return zr_span_nr_used(span) == span->capacity;
}

static inline bool zr_span_is_empty(const struct zr_span *span)
{
    return zr_span_nr_used(span) == 0;
}

#endif
