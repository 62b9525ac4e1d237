// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Packed chunk: what is left of a sparse chunk, as an object of the pool: the words that are not 0,
// and which ones they are.  A chunk of 512 words with 50 in use takes 480 bytes instead of 4096.
//
// Immutable once its handle is published (with ZR_HANDLE_IS_PACKED set): whoever wants to change a
// word unpacks it first.  Pure functions; the memory is the caller's.
#ifndef ZR_PACKED_CHUNK_H
#define ZR_PACKED_CHUNK_H

#include "size-class.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define ZR_PACKED_GROUPS (ZR_CHUNK_BYTES / sizeof(uint64_t) / 64)

struct zr_packed_chunk {
    uint64_t present[ZR_PACKED_GROUPS]; // bit i % 64 of [i / 64]: word i is here
    uint16_t before[ZR_PACKED_GROUPS];  // words of all groups before this one
    uint64_t words[];
};

static inline size_t zr_packed_chunk_bytes(size_t nr_words)
{
    return sizeof(struct zr_packed_chunk) + nr_words * sizeof(uint64_t);
}

static inline size_t zr_packed_chunk_nr_words(const struct zr_packed_chunk *packed)
{
    return packed->before[ZR_PACKED_GROUPS - 1] +
           (size_t)__builtin_popcountll(packed->present[ZR_PACKED_GROUPS - 1]);
}

// Word index of the chunk.
static inline uint64_t zr_packed_chunk_word(const struct zr_packed_chunk *packed, size_t index)
{
    uint64_t group = packed->present[index / 64];
    uint64_t bit = UINT64_C(1) << index % 64;

    return group & bit ? packed->words[packed->before[index / 64] +
                                       (size_t)__builtin_popcountll(group & (bit - 1))]
                       : 0;
}

// chunk: a copy of the words, ZR_CHUNK_WORDS of them; packed has room for those that are not 0.
void zr_packed_chunk_pack(struct zr_packed_chunk *packed, const uint64_t *chunk);

// Into a chunk of zeros that nobody else sees yet.
void zr_packed_chunk_unpack(const struct zr_packed_chunk *packed, _Atomic uint64_t *chunk);

#endif
