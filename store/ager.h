// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Ager: measures how long pages have lain unwritten, to a factor of four, for no more than the
// three age bits of a slot word.
//
// Once a minute it walks all slot words in the background.  In every walk pages of age 0 become 1,
// in every 4th those of age 1 become 2, in every 16th those of age 2 become 3, and so on.  So an
// age says that a page was not written for at least
//
//     age   0, 1     2      3       4       5       6       7
//           0        1 min  5 min   21 min  85 min  5.7 h   22.8 h
//
// A write makes a new word, of age 0; a read changes nothing, since it costs no exchange; a move by
// the compactor keeps the age.  A lost race leaves the word as it is.  A partial write that loses
// to the ager retries; the compactor skips the page.
//
// Threads: init, start, stop and walk from one; the rest runs on the ager's own.
#ifndef ZR_AGER_H
#define ZR_AGER_H

#include "../allocator/worker.h"
#include "walk.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct zr_ager {
    struct zr_slot_table **tables;
    size_t nr_tables;
    uint64_t interval_s; // from one walk to the next
    struct zr_worker worker;
    uint64_t nr_walks; // begun
    uint64_t next_walk_ns;
    bool is_walking;
    struct zr_walk walk;
};

#define ZR_AGER_INTERVAL_S 60

// The tables are borrowed.  Another interval may be set before the start.
void zr_ager_init(struct zr_ager *ager, struct zr_slot_table **tables, size_t nr_tables);

// The background thread.  0 or -errno.
int zr_ager_start(struct zr_ager *ager);
void zr_ager_stop(struct zr_ager *ager);

// One whole walk now, without the thread.
void zr_ager_walk(struct zr_ager *ager);

// For how many walks at least a page of this age was not written; in seconds, the same times the
// interval.
uint64_t zr_ager_least_walks(unsigned age);

#endif
