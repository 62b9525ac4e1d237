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
//     objects at or above high_water were never handed out since the span's memory last was cold
// Threads: everything needs the class lock, but that the atomic ones may be looked at without it:
// class is written only while nobody holds a handle into the span, so whoever holds one reads it
// right; the others are hints then.
#ifndef ZR_SPAN_H
#define ZR_SPAN_H

#include "size-class.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <urcu/list.h>

#define ZR_SPAN_QUIET 2
#define ZR_SPAN_WORDS (ZR_SPAN_BYTES / ZR_OBJECT_MIN_BYTES / 64)

struct zr_span {
    struct cds_list_head
        node; // in its class's list of partly used spans, or in a list of free ones
    uint16_t object_bytes;
    uint16_t capacity;
    _Atomic uint16_t high_water; // from here on up no memory is resident
    _Atomic uint16_t nr_used;
    uint8_t first_free_word;
    _Atomic uint8_t class;
    _Atomic bool is_isolated; // in no list: gives no objects out, and its isolator puts it back
    _Atomic uint8_t nr_quiet_windows; // how long it gave no object out (and took no chunk back), up
                                      // to ZR_SPAN_QUIET
    uint64_t used[ZR_SPAN_WORDS];
};

// is_warm: its memory is resident.
void zr_span_init(struct zr_span *span, uint8_t class, uint16_t object_bytes, bool is_warm);

// Takes the lowest free object, returns its index.  The span must not be full.
uint32_t zr_span_take(struct zr_span *span);

// Gives an object back; aborts if it is not in use.
void zr_span_put(struct zr_span *span, uint32_t index);

// One above the highest object in use.
uint32_t zr_span_end(const struct zr_span *span);

bool zr_span_is_valid(const struct zr_span *span);

static inline uint32_t zr_span_nr_used(const struct zr_span *span)
{
    return atomic_load_explicit(&span->nr_used, memory_order_relaxed);
}

static inline uint32_t zr_span_high_water(const struct zr_span *span)
{
    return atomic_load_explicit(&span->high_water, memory_order_relaxed);
}

static inline void zr_span_set_high_water(struct zr_span *span, uint32_t high_water)
{
    atomic_store_explicit(&span->high_water, (uint16_t)high_water, memory_order_relaxed);
}

static inline uint32_t zr_span_class(const struct zr_span *span)
{
    return atomic_load_explicit(&span->class, memory_order_relaxed);
}

static inline bool zr_span_is_isolated(const struct zr_span *span)
{
    return atomic_load_explicit(&span->is_isolated, memory_order_relaxed);
}

static inline uint32_t zr_span_quiet_windows(const struct zr_span *span)
{
    return atomic_load_explicit(&span->nr_quiet_windows, memory_order_relaxed);
}

// Quiet: full, or has not given an object out since the keeper looked twice.
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
