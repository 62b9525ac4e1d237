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
// Threads: everything but class needs the class lock.  class is written only while nobody holds a
// handle into the span, so whoever holds one may read it without the lock.
#ifndef ZR_SPAN_H
#define ZR_SPAN_H

#include "size-class.h"

#include <stdbool.h>
#include <stdint.h>
#include <urcu/list.h>

#define ZR_SPAN_WORDS (ZR_SPAN_BYTES / ZR_OBJECT_MIN_BYTES / 64)

struct zr_span {
    struct cds_list_head
        node; // in its class's list of partly used spans, or in a list of free ones
    uint16_t object_bytes;
    uint16_t capacity;
    uint16_t nr_used;
    uint8_t first_free_word;
    uint8_t class;
    uint64_t used[ZR_SPAN_WORDS];
};

void zr_span_init(struct zr_span *span, uint8_t class, uint16_t object_bytes);

// Takes the lowest free object, returns its index.  The span must not be full.
uint32_t zr_span_take(struct zr_span *span);

// Gives an object back; aborts if it is not in use.
void zr_span_put(struct zr_span *span, uint32_t index);

bool zr_span_is_valid(const struct zr_span *span);

static inline bool zr_span_is_full(const struct zr_span *span)
{
    return span->nr_used == span->capacity;
}

static inline bool zr_span_is_empty(const struct zr_span *span)
{
    return span->nr_used == 0;
}

#endif
