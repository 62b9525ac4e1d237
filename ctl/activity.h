// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Activity: what a server did between two statistics documents, and the history of that.
//
// A value that is not in the document, or that needs two documents when there is only one, is NAN;
// a latency, which is a whole number, is ZR_ABSENT.
#ifndef ZR_CTL_ACTIVITY_H
#define ZR_CTL_ACTIVITY_H

#include "history.h"

#include <json-c/json_types.h>
#include <stdint.h>

enum zr_series {
    ZR_SERIES_READS,  // a second
    ZR_SERIES_WRITES, // a second
    ZR_SERIES_TRIMS,  // a second
    ZR_SERIES_MB,     // 10^6 bytes read and written, a second
    ZR_SERIES_MEMORY, // bytes
    ZR_NR_SERIES
};

struct zr_activity { // zeroed before the first document
    struct json_object *now, *before;
    double now_s, before_s; // when they were fetched
    double values[ZR_NR_SERIES];
    struct zr_history histories[ZR_NR_SERIES]; // without NAN
};

// Takes ownership of the document.
void zr_activity_add(struct zr_activity *activity, struct json_object *document);
void zr_activity_fini(struct zr_activity *activity);

// By how much a number grew per second; path as for zr_statistics_number.  index: of the export;
// SIZE_MAX: the whole server.
double zr_activity_rate(const struct zr_activity *activity, size_t index, const char *path);

// A quantile (0 to 1) of the latencies since the document before; the upper end of a bucket.
// kind: "read", or another that the server counts.
uint64_t zr_activity_latency_ns(const struct zr_activity *activity, const char *kind,
                                double quantile);

#endif
