// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Cold: decides which pages are cold, and when they are demoted.  A background thread, which works
// while the server is not busy and for no more than a share of one CPU.
//
// A page is cold that was not written for long.  How long is long finds itself: reads of cold pages
// are to be fewer in a minute than one in 500 of the pages stored.  When there are more, the age
// from which on pages are cold rises at once; after five minutes with less than half as many it
// falls.
//
// Threads: init, start, stop by one; the statistics by any.
// Source of the law: Lagar-Cavilla et al., Software-Defined Far Memory in Warehouse-Scale
// Computers, ASPLOS 2019; of rising at once and falling slowly: Weiner et al., TMO, ASPLOS 2022.
#ifndef ZR_COLD_H
#define ZR_COLD_H

#include "../allocator/worker.h"
#include "ager.h"
#include "demoter.h"
#include "walk.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define ZR_COLD_DEFAULT_CPU_PERCENT 5
#define ZR_COLD_MAX_SECONDS UINT64_C(31536000)

enum zr_cold_mode { ZR_COLD_AUTO, ZR_COLD_OFF, ZR_COLD_FIXED };

struct zr_cold_config {
    enum zr_cold_mode mode;
    uint64_t seconds;     // FIXED: not written for so long is cold
    unsigned cpu_percent; // of one CPU, at most; 0: the default
};

struct zr_cold {
    struct zr_demoter *demoter;
    struct zr_group_cache *groups;
    struct zr_compactor *compactor;
    struct zr_load_meter load;
    struct zr_cold_config config;
    struct zr_walk walk;
    bool is_walking;
    bool must_clean; // there may be something, and no walk begins before it is done
    uint64_t nr_walk_stored, nr_stored; // pages: of the walk so far, of the last whole one
    uint64_t interval_s;                // from one walk to the next, as the ager's
    uint64_t next_walk_ns;
    uint64_t next_judgement_ns, judged_reads;
    unsigned nr_calm_minutes;
    struct zr_worker worker;
    _Atomic unsigned min_age; // from which on a page is cold, as its word counts it
    _Atomic uint64_t cpu_ns;  // spent, ever
};

// How often the ager has to walk, and the age that is cold, for FIXED; 60 s and the first age of
// the law otherwise.
void zr_cold_choose_ages(const struct zr_cold_config *config, uint64_t *interval_s,
                         unsigned *min_age);

// All that is pointed to is borrowed.
void zr_cold_init(struct zr_cold *cold, const struct zr_cold_config *config,
                  struct zr_demoter *demoter, struct zr_group_cache *groups,
                  struct zr_compactor *compactor, struct zr_slot_table *const *tables,
                  size_t nr_tables);

// The thread.  0 or -errno.
int zr_cold_start(struct zr_cold *cold);
void zr_cold_stop(struct zr_cold *cold);

// The minute's verdict of the law: the age from which on pages are cold, after so many reads of
// cold pages in a minute.  For the thread, and for tests.
unsigned zr_cold_judge(struct zr_cold *cold, uint64_t nr_reads);

#endif
