// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Cold trial: pages in groups, as the server's demoter would put them when all are cold, counted
// and timed but not kept.
#ifndef ZR_CTL_COLD_TRIAL_H
#define ZR_CTL_COLD_TRIAL_H

#include "../store/group-cache.h"
#include "../store/group.h"

#include <stddef.h>
#include <stdint.h>

struct zr_cold_trial {
    struct zr_group_maker maker;
    struct zr_group_cache cache; // what reads them back
    unsigned nr;                 // pages gathered for the next group
    uint16_t slots[ZR_GROUP_PAGES];
    size_t places[ZR_GROUP_PAGES]; // in the caller's batch

    // The results so far.
    uint64_t log_bytes;                          // of all groups
    uint64_t nr_made, make_ns, nr_read, read_ns; // pages, and CPU time
};

// Die of too little memory.
void zr_cold_trial_init(struct zr_cold_trial *trial);
void zr_cold_trial_fini(struct zr_cold_trial *trial);

// Pages with their numbers on the disk, ascending, and what each takes by itself; 0: it is left
// alone.  That becomes 0 if a group takes less.  Dies if one does not come back as it was.
void zr_cold_trial_add(struct zr_cold_trial *trial, const unsigned char *const *pages,
                       const uint64_t *numbers, uint32_t *object_bytes, size_t nr_pages);

#endif
