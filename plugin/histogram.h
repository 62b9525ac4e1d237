// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Histogram of times: four buckets to each power of two, so that a bound is at most a quarter above
// what is counted below it.
//
//     bucket 0: up to 256 ns · 1: to 320 · 2: to 384 · 3: to 448 · 4: to 512 · 5: to 640 · …
//
// A bucket counts what lies above the bound before it and up to its own; the last, 2^36 ns (69 s),
// whatever is longer too.  Pure; whoever shares one brings the atomics (request-stats.h).
#ifndef ZR_HISTOGRAM_H
#define ZR_HISTOGRAM_H

#include <stdint.h>

#define ZR_HISTOGRAM_MIN_SHIFT 8
#define ZR_HISTOGRAM_MAX_SHIFT 36
#define ZR_HISTOGRAM_SUB_SHIFT 2 // buckets to a power of two, as a power of two
#define ZR_HISTOGRAM_SUBS (1u << ZR_HISTOGRAM_SUB_SHIFT)
#define ZR_NR_HISTOGRAM_BUCKETS                                                                    \
    (1 + (ZR_HISTOGRAM_MAX_SHIFT - ZR_HISTOGRAM_MIN_SHIFT) * ZR_HISTOGRAM_SUBS)

struct zr_histogram {
    uint64_t count[ZR_NR_HISTOGRAM_BUCKETS];
    uint64_t sum_ns;
    uint64_t max_ns;
};

static inline unsigned zr_histogram_bucket(uint64_t ns)
{
    unsigned shift, bucket;

    if (ns <= UINT64_C(1) << ZR_HISTOGRAM_MIN_SHIFT) {
        return 0;
    }
    ns--; // a bound belongs to the bucket below it
    shift = 63 - (unsigned)__builtin_clzll(ns);
    bucket = 1 + (shift - ZR_HISTOGRAM_MIN_SHIFT) * ZR_HISTOGRAM_SUBS +
             ((unsigned)(ns >> (shift - ZR_HISTOGRAM_SUB_SHIFT)) & (ZR_HISTOGRAM_SUBS - 1));
    return bucket < ZR_NR_HISTOGRAM_BUCKETS ? bucket : ZR_NR_HISTOGRAM_BUCKETS - 1;
}

// The longest time that the bucket is for.
uint64_t zr_histogram_bound_ns(unsigned bucket);

// How many times were counted.
uint64_t zr_histogram_nr(const struct zr_histogram *histogram);

// A time that percent of the counted ones (rounded up to whole ones) do not exceed: a bucket's
// bound, or the longest time if that is less.  0 if there are none.
uint64_t zr_histogram_percentile_ns(const struct zr_histogram *histogram, unsigned percent);

// Adds what one has counted to another.
void zr_histogram_add(struct zr_histogram *to, const struct zr_histogram *from);

#endif
