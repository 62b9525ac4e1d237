// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "histogram.h"

uint64_t zr_histogram_bound_ns(unsigned bucket)
{
    unsigned shift, sub;

    if (bucket == 0) {
        return UINT64_C(1) << ZR_HISTOGRAM_MIN_SHIFT;
    }
    shift = ZR_HISTOGRAM_MIN_SHIFT + (bucket - 1) / ZR_HISTOGRAM_SUBS;
    sub = (bucket - 1) % ZR_HISTOGRAM_SUBS;
    return (uint64_t)(ZR_HISTOGRAM_SUBS + sub + 1) << (shift - ZR_HISTOGRAM_SUB_SHIFT);
}

uint64_t zr_histogram_nr(const struct zr_histogram *histogram)
{
    uint64_t nr = 0;
    unsigned i;

    for (i = 0; i < ZR_NR_HISTOGRAM_BUCKETS; i++) {
        nr += histogram->count[i];
    }
    return nr;
}

uint64_t zr_histogram_percentile_ns(const struct zr_histogram *histogram, unsigned percent)
{
    uint64_t nr = zr_histogram_nr(histogram);
    uint64_t nr_wanted = nr / 100 * percent + (nr % 100 * percent + 99) / 100;
    uint64_t nr_seen = 0, bound_ns;
    unsigned i;

    for (i = 0; i < ZR_NR_HISTOGRAM_BUCKETS - 1; i++) {
        nr_seen += histogram->count[i];
        if (nr_seen >= nr_wanted) {
            bound_ns = zr_histogram_bound_ns(i);
            return bound_ns < histogram->max_ns ? bound_ns : histogram->max_ns;
        }
    }
    return histogram->max_ns;
}

void zr_histogram_add(struct zr_histogram *to, const struct zr_histogram *from)
{
    unsigned i;

    for (i = 0; i < ZR_NR_HISTOGRAM_BUCKETS; i++) {
        to->count[i] += from->count[i];
    }
    to->sum_ns += from->sum_ns;
    to->max_ns = from->max_ns > to->max_ns ? from->max_ns : to->max_ns;
}
