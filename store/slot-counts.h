// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Slot counts: what a table holds, counted by a walk over its words (8 bytes a page stored, about a
// ms per GiB), so that no request pays for counters.
//
// Any thread.  Exact when nothing is written meanwhile.
#ifndef ZR_SLOT_COUNTS_H
#define ZR_SLOT_COUNTS_H

#include "slot-table.h"

#include <stdint.h>

#define ZR_NR_LENGTHS 8
#define ZR_LENGTH_BYTES 512

struct zr_slot_counts {
    uint64_t nr_same; // same-filled but not zero
    uint64_t nr_huge; // stored raw
    uint64_t nr_compressed;
    uint64_t nr_cold;                     // of them in groups
    uint64_t cold_bytes;                  // what those have of stored_bytes
    uint64_t nr_lost;                     // cannot be read any more; not counted below
    uint64_t stored_bytes;                // lengths of the objects
    uint64_t nr_by_length[ZR_NR_LENGTHS]; // nr_compressed and nr_huge; the last: and above
    uint64_t nr_by_age[ZR_SLOT_AGE_MAX + 1];
};

void zr_slot_counts_get(struct zr_slot_table *table, struct zr_slot_counts *counts);

#endif
