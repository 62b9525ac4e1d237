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
#include <stdbool.h>
#include <stdint.h>

#define ZR_LOAD_STRIPES 64
#define ZR_LOAD_WINDOW_NS 100000000u         // in less, two requests would be many
#define ZR_LOAD_NS_PER_BUSY_REQUEST 1000000u // more than one in this time: the server is busy

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

// For one who asks now and then whether the server is busy.
struct zr_load_meter {
    const struct zr_load *load; // borrowed
    uint64_t seen_requests, seen_ns;
    bool is_busy; // what it showed
};

// Whether requests came at more than a thousand a second, of late: in the last tenth of a second or
// since the call before that.
static inline bool zr_load_meter_is_busy(struct zr_load_meter *meter, uint64_t now_ns)
{
    uint64_t ns = now_ns - meter->seen_ns;
    uint64_t nr_requests;

    if (ns >= ZR_LOAD_WINDOW_NS) {
        nr_requests = zr_load_nr_requests(meter->load) - meter->seen_requests;
        meter->seen_requests += nr_requests;
        meter->seen_ns = now_ns;
        meter->is_busy = nr_requests > ns / ZR_LOAD_NS_PER_BUSY_REQUEST;
    }
    return meter->is_busy;
}

#endif
