// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Recover: finds out what a store holds, from the roots of its exports, and claims it (claim.h).
//
// A word that cannot be right becomes lost: EIO for its page, or for all pages below it.  Nothing
// is believed of a word but what was checked; what an object's bytes say, its checksum and decoder
// check when it is read.
//
// Between zr_pool_begin_claims and zr_pool_end_claims, by the same thread.
#ifndef ZR_RECOVER_H
#define ZR_RECOVER_H

#include "../allocator/claim.h"
#include "slot-table.h"

#include <stdbool.h>
#include <stdint.h>

struct zr_recovered {
    uint64_t nr_pages;     // found, lost ones not included
    uint64_t stored_bytes; // of their objects
    uint64_t nr_new_lost;  // pages that were lost just now
    bool has_kind[ZR_NR_SLOT_KINDS];
};

// Walks what is below a root region, a word of state and the entries for nr_slots slots, and adds
// it to what was found.  An object is min_object_bytes long at least.  0, or -errno if the store
// could not be read: nothing is lost by that, but the walk is not whole.
int zr_recover(struct zr_pool *pool, _Atomic uint64_t *region, uint64_t nr_slots,
               uint32_t min_object_bytes, struct zr_recovered *found);

#endif
