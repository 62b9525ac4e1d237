// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Demoter: moves cold pages into groups (group.h), and groups out of sparse spans of their log.
//
// A page's word is exchanged by compare-exchange, in the read-side section in which the page was
// loaded: whoever wrote or trimmed it meanwhile wins, and the group is one owner short.  Each owner
// has a share of the group as length, in proportion to what the page took before, so accounts go on
// counting bytes.
//
// Cleaning: a span whose owners are partly gone is isolated; the groups in it say where their pages
// are, those that are still there are put into new groups, and after a grace period it is free.
//
// Threads: any; the lock serializes them, for a group (some hundred µs) or a span (some ms).
#ifndef ZR_DEMOTER_H
#define ZR_DEMOTER_H

#include "../allocator/log.h"
#include "device.h"
#include "group.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define ZR_DEMOTER_SPANS 32u // cleaned with one grace period, which takes longer than to clean one
#define ZR_DEMOTER_MIN_GAIN_SHARE 16 // of what the pages take: less is not worth the CPU

// Pages of one leaf that are about to become a group.
struct zr_gathering {
    struct zr_device *device; // NULL: there is none under way
    _Atomic uint64_t *leaf;   // its words
    uint32_t leaf_nr;
    unsigned nr;
    uint16_t slots[ZR_GROUP_PAGES];
    uint64_t words[ZR_GROUP_PAGES]; // as they were when the pages were loaded
    bool has_loaded;                // there is, or was, a page in the maker's buffer
    unsigned nr_replaced;
    uint64_t replaced[ZR_GROUP_PAGES]; // to be freed when the read-side section is over
};

struct zr_demoter {
    struct zr_pool *pool;
    struct zr_deferred_free *deferred;
    struct zr_device *devices;
    size_t nr_devices;
    pthread_mutex_t lock; // guards what is between here and the counters
    struct zr_log log;
    struct zr_group_maker maker;
    struct zr_gathering gathering;
    struct zr_span *cleaned[ZR_DEMOTER_SPANS]; // isolated; free after a grace period
    unsigned nr_cleaned;
    uint32_t page_bytes; // that a page took of the last group
    bool is_urgent;      // who has the lock is a writer that found no memory
    bool has_no_room;    // a group that was to be made found none
    bool is_cleaning;
    uint64_t next_span; // to be looked at by cleaning

    _Atomic uint64_t nr_demoted_pages, nr_groups, nr_cleaned_spans; // ever
    _Atomic uint64_t saved_bytes; // ever: what the pages took less than before
};

// 0 or -errno.  All that is pointed to is borrowed.  Allocates.
int zr_demoter_init(struct zr_demoter *demoter, struct zr_pool *pool,
                    struct zr_deferred_free *deferred, struct zr_device *devices,
                    size_t nr_devices);
void zr_demoter_fini(struct zr_demoter *demoter);

// Makes a group of the next pages of a device, from *slot to the end of its leaf at most, that have
// this age at least; *slot goes behind them, and *nr_stored up by the pages on the way.  Pages that
// would not take less than they do stay as they are.  False if the pool has no room for a group.
bool zr_demoter_demote(struct zr_demoter *demoter, struct zr_device *device, uint64_t *slot,
                       unsigned min_age, uint64_t *nr_stored);

// Cleans a span if more than 1/64 of all is lost in them, and then on, a span at a call, until none
// is left that has lost so much.  False if there is nothing to do, or no room to do it.
bool zr_demoter_clean(struct zr_demoter *demoter);

// For a writer that finds the pool full: cleans the sparsest span, if an eighth of it is lost.
// True if it is free now.
bool zr_demoter_reclaim(struct zr_demoter *demoter);

#endif
