// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Load: how many requests there were, for background work that is to be slow while they are many.
//
// Each CPU has a counter of its own, so that no cache line is fought for.  They are atomic since a
// thread may move to another CPU between asking for its number and counting; relaxed, since nothing
// is ordered by them.  Any thread.
#ifndef ZR_LOAD_H
#define ZR_LOAD_H

#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>

#define ZR_LOAD_STRIPES 64

struct zr_load {
    struct {
        _Atomic uint64_t nr_requests;
    } __attribute__((aligned(64))) stripe[ZR_LOAD_STRIPES];
};

static inline void zr_load_count(struct zr_load *load)
{
    atomic_fetch_add_explicit(&load->stripe[(unsigned)sched_getcpu() % ZR_LOAD_STRIPES].nr_requests,
                              1, memory_order_relaxed);
}

static inline uint64_t zr_load_nr_requests(const struct zr_load *load)
{
    uint64_t nr = 0;
    unsigned i;

    for (i = 0; i < ZR_LOAD_STRIPES; i++) {
        nr += atomic_load_explicit(&load->stripe[i].nr_requests, memory_order_relaxed);
    }
    return nr;
}

#endif
