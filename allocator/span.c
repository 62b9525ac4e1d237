// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "span.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void zr_span_init(struct zr_span *span, uint8_t class, uint16_t object_bytes)
{
    CDS_INIT_LIST_HEAD(&span->node);
    span->object_bytes = object_bytes;
    span->capacity = (uint16_t)(ZR_SPAN_BYTES / object_bytes);
    span->nr_used = 0;
    span->first_free_word = 0;
    span->class = class;
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
    span->nr_used++;
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
    span->nr_used--;
    if (word < span->first_free_word) {
        span->first_free_word = (uint8_t)word;
    }
}

bool zr_span_is_valid(const struct zr_span *span)
{
    uint32_t nr_used = 0;
    uint32_t index;

    for (index = 0; index < ZR_SPAN_WORDS * 64; index++) {
        if (span->used[index / 64] >> index % 64 & 1) {
            if (index >= span->capacity) {
                return false;
            }
            nr_used++;
        } else if (index / 64 < span->first_free_word) {
            return false;
        }
    }
    return nr_used == span->nr_used && span->capacity == ZR_SPAN_BYTES / span->object_bytes;
}
