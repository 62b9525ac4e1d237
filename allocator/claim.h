// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Claim: takes over what lies in the arena of a store that an earlier server left.
//
//     zr_pool_begin_claims    opens the spans, finds out which OS pages have memory
//     zr_pool_claim           for each handle that is found: it is in use from now on
//     zr_pool_end_claims      lists and counts follow; what nobody claimed is free
//
// Between init of the pool and its first use, by one thread.  A handle is not trusted: a claim that
// cannot be right is refused, and nothing outside of the memory that the arena has is touched.
#ifndef ZR_CLAIM_H
#define ZR_CLAIM_H

#include "pool.h"

#include <stdbool.h>

// Opens all spans that have memory.  0 or -errno.
int zr_pool_begin_claims(struct zr_pool *pool);

enum zr_claim_sort {
    ZR_CLAIM_OBJECT,
    ZR_CLAIM_CHUNK,
    ZR_CLAIM_SHARE, // of an object in a log: what one owner has of it
};

// False if nothing of this sort and length can lie there, its memory is missing, or it is claimed
// already; of a share, only the memory of its first byte is looked at, and that the shares in a
// span are not more than it holds.
bool zr_pool_claim(struct zr_pool *pool, zr_handle handle, enum zr_claim_sort sort);

// Fetches what a claim of this handle will look at into the cache.
static inline void zr_pool_prefetch_claim(const struct zr_pool *pool, zr_handle handle)
{
    const char *span = (const char *)zr_pool_span_of(pool, handle);

    __builtin_prefetch(span);
    __builtin_prefetch(span + 64);
}

// Free spans that have memory are warm, so the keeper gives it back; cold are those above the limit
// and those without.  The pool is as if all that was claimed had been allocated.
void zr_pool_end_claims(struct zr_pool *pool);

// Gives all memory back that is not in use.  For when the first allocation finds none: what nobody
// claimed is in its way.  Before the pool's first use.
void zr_pool_release_unclaimed(struct zr_pool *pool);

#endif
