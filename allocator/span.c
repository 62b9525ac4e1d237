// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "span.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void set_nr_used(struct zr_span *span, uint32_t nr_used)
{
    atomic_store_explicit(&span->nr_used, (uint16_t)nr_used, memory_order_relaxed);
}

void zr_span_init(struct zr_span *span, uint8_t class_nr, uint16_t object_bytes)
{
    CDS_INIT_LIST_HEAD(&span->node);
    span->object_bytes = object_bytes;
    span->capacity = (uint16_t)(object_bytes > 0 ? ZR_SPAN_BYTES / object_bytes : UINT16_MAX);
    set_nr_used(span, 0);
    span->first_free_word = 0;
    span->nr_backing = 0;
    zr_span_set_class(span, class_nr);
    atomic_store_explicit(&span->is_isolated, false, memory_order_relaxed);
    zr_span_set_quiet_windows(span, 0);
    atomic_store_explicit(&span->is_kept, false, memory_order_relaxed);
    atomic_store_explicit(&span->live_bytes, 0, memory_order_relaxed);
    atomic_store_explicit(&span->fill_bytes, 0, memory_order_relaxed);
    memset(span->used, 0, sizeof span->used);
}

uint32_t zr_span_take(struct zr_span *span)
{
    uint32_t word = span->first_free_word;
    uint32_t bit;

    while (span->used[word] == UINT64_MAX) {
        word++;
    }
    bit = (uint32_t)__builtin_ctzll(~span->used[word]);
    span->used[word] |= UINT64_C(1) << bit;
    span->first_free_word = (uint8_t)word;
    set_nr_used(span, zr_span_nr_used(span) + 1);
    zr_span_set_quiet_windows(span, zr_span_is_full(span) ? ZR_SPAN_QUIET : 0);
    return word * 64 + bit;
}

void zr_span_put(struct zr_span *span, uint32_t index)
{
    uint32_t word = index / 64;
    uint64_t mask = UINT64_C(1) << index % 64;

    // A double free would hand one object to two pages: stop before it corrupts a guest.
    if (index >= span->capacity || !(span->used[word] & mask)) {
        fprintf(stderr, "zramswap: object %u of a span of %u-byte objects freed twice\n", index,
                span->object_bytes);
        abort();
    }
    span->used[word] &= ~mask;
    set_nr_used(span, zr_span_nr_used(span) - 1);
    if (word < span->first_free_word) {
        span->first_free_word = (uint8_t)word;
    }
}

static void set_live_bytes(struct zr_span *span, uint32_t bytes)
{
    atomic_store_explicit(&span->live_bytes, bytes, memory_order_relaxed);
}

void zr_span_add_owners(struct zr_span *span, uint32_t nr, uint32_t bytes)
{
    set_nr_used(span, zr_span_nr_used(span) + nr);
    set_live_bytes(span, zr_span_live_bytes(span) + bytes);
}

void zr_span_drop_owner(struct zr_span *span, uint32_t bytes)
{
    uint32_t live_bytes = zr_span_live_bytes(span), nr_left;

    if (zr_span_is_empty(span)) {
        fprintf(stderr, "zramswap: an owner in a log span freed twice\n");
        abort();
    }
    nr_left = zr_span_nr_used(span) - 1;
    set_nr_used(span, nr_left);
    // A word whose length was damaged in memory must not end the server: each owner that is left
    // has a byte at least.
    set_live_bytes(span, live_bytes > bytes + nr_left ? live_bytes - bytes : nr_left);
}

// One above the highest object in use.
static uint32_t end_of(const struct zr_span *span)
{
    uint32_t word = ZR_SPAN_WORDS;

    while (word-- > 0) {
        if (span->used[word] != 0) {
            return word * 64 + 64 - (uint32_t)__builtin_clzll(span->used[word]);
        }
    }
    return 0;
}

uint32_t zr_span_used_pages(const struct zr_span *span)
{
    if (zr_span_is_empty(span)) {
        return 0;
    }
    if (zr_span_is_log(span)) {
        return zr_span_pages(0, zr_span_fill_bytes(span));
    }
    // Chunks are OS pages, so each can go by itself.
    return span->object_bytes == ZR_OS_PAGE_BYTES
               ? (uint32_t)span->used[0]
               : zr_span_pages(0, end_of(span) * span->object_bytes);
}

bool zr_span_is_valid(const struct zr_span *span)
{
    uint32_t nr_used = 0, pages = 0;
    uint32_t index;

    if (zr_span_is_log(span)) {
        return zr_span_is_empty(span) == (zr_span_live_bytes(span) == 0) &&
               zr_span_live_bytes(span) <= zr_span_fill_bytes(span);
    }
    // Pages object by object: below the highest one may be some that a taker failed to back.
    for (index = 0; index < ZR_SPAN_WORDS * 64; index++) {
        if (span->used[index / 64] >> index % 64 & 1) {
            if (index >= span->capacity) {
                return false;
            }
            nr_used++;
            pages |= zr_span_pages(index * span->object_bytes, (index + 1) * span->object_bytes);
        } else if (index / 64 < span->first_free_word) {
            return false;
        }
    }
    return nr_used == zr_span_nr_used(span) &&
           (span->nr_backing > 0 || (pages & ~zr_span_backed(span)) == 0) &&
           span->capacity == ZR_SPAN_BYTES / span->object_bytes;
}
