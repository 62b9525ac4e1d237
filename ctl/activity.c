// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "activity.h"
#include "statistics.h"

#include <json-c/json.h>
#include <math.h>
#include <stdio.h>
#include <time.h>

static double now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static const struct json_object *part_of(const struct json_object *document, size_t index)
{
    if (index == SIZE_MAX) {
        return document;
    }
    return index < zr_statistics_nr_exports(document) ? zr_statistics_export(document, index)
                                                      : NULL;
}

double zr_activity_rate(const struct zr_activity *activity, size_t index, const char *path)
{
    uint64_t now, before;

    if (!activity->before) {
        return NAN;
    }
    now = zr_statistics_number(part_of(activity->now, index), path);
    before = zr_statistics_number(part_of(activity->before, index), path);
    // A number that shrinks is that of another server.
    if (now == ZR_ABSENT || before == ZR_ABSENT || now < before) {
        return NAN;
    }
    return (double)(now - before) / (activity->now_s - activity->before_s);
}

void zr_activity_add(struct zr_activity *activity, struct json_object *document)
{
    uint64_t memory;
    int i;

    json_object_put(activity->before);
    activity->before = activity->now;
    activity->before_s = activity->now_s;
    activity->now = document;
    activity->now_s = now_s();

    memory = zr_statistics_number(document, "/mem_used_total");
    activity->values[ZR_SERIES_READS] =
        zr_activity_rate(activity, SIZE_MAX, "/requests/read/requests");
    activity->values[ZR_SERIES_WRITES] =
        zr_activity_rate(activity, SIZE_MAX, "/requests/write/requests");
    activity->values[ZR_SERIES_TRIMS] =
        zr_activity_rate(activity, SIZE_MAX, "/requests/trim/requests");
    activity->values[ZR_SERIES_MB] =
        (zr_activity_rate(activity, SIZE_MAX, "/requests/read/bytes") +
         zr_activity_rate(activity, SIZE_MAX, "/requests/write/bytes")) /
        1e6;
    activity->values[ZR_SERIES_MEMORY] = memory == ZR_ABSENT ? NAN : (double)memory;
    for (i = 0; i < ZR_NR_SERIES; i++) {
        if (!isnan(activity->values[i])) {
            zr_history_add(&activity->histories[i], activity->values[i]);
        }
    }
}

void zr_activity_fini(struct zr_activity *activity)
{
    json_object_put(activity->now);
    json_object_put(activity->before);
}

static struct json_object *buckets_of(const struct json_object *document, const char *kind)
{
    struct json_object *counts = NULL, *buckets = NULL;

    json_object_object_get_ex(zr_statistics_requests(document), kind, &counts);
    json_object_object_get_ex(counts, "buckets", &buckets);
    return json_object_is_type(buckets, json_type_array) ? buckets : NULL;
}

// What a bucket counted before; the server leaves out empty buckets.
static uint64_t count_before(struct json_object *buckets, uint64_t le_ns)
{
    size_t i;

    for (i = 0; buckets && i < json_object_array_length(buckets); i++) {
        const struct json_object *bucket = json_object_array_get_idx(buckets, i);

        if (zr_statistics_number(bucket, "/le_ns") == le_ns) {
            return zr_statistics_number(bucket, "/count");
        }
    }
    return 0;
}

static uint64_t count_in(struct json_object *now, struct json_object *before, size_t i,
                         uint64_t *le_ns)
{
    const struct json_object *bucket = json_object_array_get_idx(now, i);
    uint64_t count = zr_statistics_number(bucket, "/count");
    uint64_t old;

    *le_ns = zr_statistics_number(bucket, "/le_ns");
    old = count_before(before, *le_ns);
    return count == ZR_ABSENT || old > count ? 0 : count - old;
}

uint64_t zr_activity_latency_ns(const struct zr_activity *activity, const char *kind,
                                double quantile)
{
    struct json_object *now = buckets_of(activity->now, kind);
    struct json_object *before = activity->before ? buckets_of(activity->before, kind) : NULL;
    size_t i, nr_buckets = now ? json_object_array_length(now) : 0;
    uint64_t nr = 0, nr_below = 0, le_ns = ZR_ABSENT;

    for (i = 0; i < nr_buckets; i++) {
        nr += count_in(now, before, i, &le_ns);
    }
    if (nr == 0) {
        return ZR_ABSENT;
    }
    for (i = 0; i < nr_buckets && (double)nr_below < quantile * (double)nr; i++) {
        nr_below += count_in(now, before, i, &le_ns);
    }
    return le_ns;
}
