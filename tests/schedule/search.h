// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Search: runs seeds in a child process, which may die, until one fails; shrinks what failed by
// leaving out threads, ops and switches as long as the same failure comes (delta debugging).
#ifndef ZS_SEARCH_H
#define ZS_SEARCH_H

#include "workload.h"

struct zs_totals {
    uint64_t nr_runs, nr_steps, nr_complete, nr_gave_up;
    uint64_t nr_demoted, nr_promoted, nr_cleaned; // pages, pages, spans
    double cpu_s;
};

// How to look: some schedules of each seed's workload, or all with few change points of a small
// one.
enum zs_depth { ZS_SOME, ZS_ALL };

// True if a seed of [first, end) fails within max_s of CPU; *failed is that one.
bool zs_search(uint64_t first, uint64_t end, enum zs_depth depth, double max_s, uint64_t *failed);

// Of the last failure.
const char *zs_search_message(void);

// Prints the smallest run found that fails like the last failure did.
void zs_search_shrink(void);

struct zs_totals zs_search_totals(void);

#endif
