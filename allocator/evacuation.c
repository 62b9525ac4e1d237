// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "evacuation.h"

#include <string.h>

#define NR_BUCKETS 32                    // spans by how full they are
#define MIN_CLASS_WASTE ZR_OS_PAGE_BYTES // less cannot go back
// A class with less in it wastes a larger part, half an OS page, than a coarser class would.
#ifndef MIN_CLASS_BYTES // tests/schedule/small.h has less
#define MIN_CLASS_BYTES 32768u
#endif

// The partly used spans of one class, from empty to full.
struct census {
    uint32_t nr_spans[NR_BUCKETS];
    uint64_t nr_used;        // objects in them
    uint64_t resident_bytes; // memory that they take
    uint64_t nr_objects;     // in all spans of the class
    uint32_t nr_to_empty;
    uint32_t max_bucket; // spans to empty are in buckets up to here
};

static uint32_t bucket_of(const struct zr_span *span, uint32_t object_bytes)
{
    return zr_span_nr_used(span) * object_bytes / (ZR_SPAN_BYTES / NR_BUCKETS) % NR_BUCKETS;
}

// A span that seems partly used, and not just being filled; of no class but a class of objects.
// Racy: try_isolate, given the class, makes sure.
static bool is_candidate(const struct zr_pool *pool, const struct zr_span *span, bool is_urgent,
                         uint32_t *class_nr)
{
    uint32_t nr_used = zr_span_nr_used(span);

    *class_nr = zr_span_class(span);
    return *class_nr < zr_size_class_chunk(&pool->classes) && nr_used > 0 &&
           nr_used < ZR_SPAN_BYTES / pool->classes.object_bytes[*class_nr] &&
           !zr_span_is_isolated(span) && (is_urgent || zr_span_is_quiet(span));
}

// Whether a class has so many free objects that one of its spans can be emptied.  Locks each class
// once: what a writer in a full pool pays where there is nothing to gain.
static bool has_holes(struct zr_pool *pool)
{
    bool has = false;
    uint32_t class_nr;

    for (class_nr = 0; class_nr < zr_size_class_chunk(&pool->classes) && !has; class_nr++) {
        struct zr_pool_class *class = &pool->class[class_nr];
        uint64_t capacity = ZR_SPAN_BYTES / pool->classes.object_bytes[class_nr];

        pthread_mutex_lock(&class->lock);
        has = class->nr_spans * capacity - class->nr_objects >= capacity;
        pthread_mutex_unlock(&class->lock);
    }
    return has;
}

static uint64_t opened_spans(struct zr_pool *pool)
{
    uint64_t nr;

    pthread_mutex_lock(&pool->span_lock);
    nr = pool->nr_opened_spans;
    pthread_mutex_unlock(&pool->span_lock);
    return nr;
}

// How many spans of a class to empty, and the bytes that this saves.  is_merged: into another one.
static uint64_t decide(struct census *census, uint32_t object_bytes, bool is_merged, bool is_urgent)
{
    uint64_t capacity = ZR_SPAN_BYTES / object_bytes;
    uint64_t saved = census->resident_bytes - census->nr_used * object_bytes;
    uint64_t nr_spans = 0, nr_kept;
    uint32_t bucket;

    for (bucket = 0; bucket < NR_BUCKETS; bucket++) {
        nr_spans += census->nr_spans[bucket];
    }
    // The kept ones get full, and what does not fit goes into a fresh span, packed from its start;
    // without memory for that, one more is kept.
    nr_kept = (census->nr_used + (is_urgent ? capacity - 1 : 0)) / capacity;
    if (nr_spans <= nr_kept || (!is_urgent && !is_merged && saved < MIN_CLASS_WASTE)) {
        return 0;
    }
    census->nr_to_empty = (uint32_t)(nr_spans - nr_kept);
    for (nr_spans = 0, bucket = 0; nr_spans < census->nr_to_empty; bucket++) {
        nr_spans += census->nr_spans[bucket];
        census->max_bucket = bucket;
    }
    return is_urgent ? (uint64_t)census->nr_to_empty << ZR_SPAN_SHIFT : saved;
}

// Merges a nearly empty class into the next coarser one, unless the pool is full.
static bool choose_copy_class(struct zr_pool *pool, uint32_t class_nr, const struct census *census,
                              bool is_urgent)
{
    uint8_t coarse = pool->classes.coarse[class_nr];
    bool is_merged = !is_urgent && coarse != class_nr &&
                     census->nr_objects * pool->classes.object_bytes[class_nr] < MIN_CLASS_BYTES;

    atomic_store_explicit(&pool->class[class_nr].copy_class, is_merged ? coarse : (uint8_t)class_nr,
                          memory_order_relaxed);
    return is_merged;
}

bool zr_evacuation_begin(struct zr_evacuation *evacuation, struct zr_pool *pool,
                         enum zr_urgency urgency)
{
    const uint64_t waste_share = urgency == ZR_URGENCY_BUSY ? 8 : 320;
    const bool is_urgent = urgency == ZR_URGENCY_FULL;
    struct census census[ZR_NR_CLASSES_MAX];
    uint64_t nr_opened = opened_spans(pool);
    uint64_t saved = 0, used_bytes = 0;
    uint32_t class_nr;
    uint64_t i;

    evacuation->pool = pool;
    evacuation->nr_spans = 0;
    if (is_urgent && !has_holes(pool)) {
        return false;
    }
    memset(census, 0, sizeof census);

    for (i = 0; i < nr_opened; i++) {
        const struct zr_span *span = zr_pool_span_at(pool, i);

        // By objects, not by spans: many spans of a small pool are resident only in part.
        class_nr = zr_span_class(span);
        if (class_nr == ZR_CLASS_NONE) {
            continue;
        }
        census[class_nr].nr_objects += zr_span_nr_used(span);
        used_bytes += class_nr == zr_size_class_log(&pool->classes)
                          ? zr_span_live_bytes(span)
                          : (uint64_t)zr_span_nr_used(span) * pool->classes.object_bytes[class_nr];
        if (is_candidate(pool, span, is_urgent, &class_nr)) {
            uint32_t object_bytes = pool->classes.object_bytes[class_nr];

            census[class_nr].nr_spans[bucket_of(span, object_bytes)]++;
            census[class_nr].nr_used += zr_span_nr_used(span);
            census[class_nr].resident_bytes +=
                (uint64_t)__builtin_popcount(zr_span_backed(span)) * ZR_OS_PAGE_BYTES;
        }
    }
    for (class_nr = 0; class_nr < zr_size_class_chunk(&pool->classes); class_nr++) {
        bool is_merged = choose_copy_class(pool, class_nr, &census[class_nr], is_urgent);

        saved +=
            decide(&census[class_nr], pool->classes.object_bytes[class_nr], is_merged, is_urgent);
    }
    if (saved == 0 || (!is_urgent && saved < used_bytes / waste_share)) {
        return false;
    }
    for (i = 0; i < nr_opened && evacuation->nr_spans < ZR_EVACUATION_MAX_SPANS; i++) {
        struct zr_span *span = zr_pool_span_at(pool, i);

        if (is_candidate(pool, span, is_urgent, &class_nr) && census[class_nr].nr_to_empty > 0 &&
            bucket_of(span, pool->classes.object_bytes[class_nr]) <= census[class_nr].max_bucket &&
            zr_pool_try_isolate(pool, span, class_nr)) {
            census[class_nr].nr_to_empty--;
            evacuation->spans[evacuation->nr_spans++] = (uint32_t)i;
        }
    }
    return evacuation->nr_spans > 0;
}

uint32_t zr_evacuation_end(struct zr_evacuation *evacuation)
{
    uint32_t nr_freed = 0;
    uint32_t i;

    for (i = 0; i < evacuation->nr_spans; i++) {
        struct zr_span *span = zr_pool_span_at(evacuation->pool, evacuation->spans[i]);

        nr_freed += zr_span_is_empty(span);
        zr_pool_put_back(evacuation->pool, span);
    }
    evacuation->nr_spans = 0;
    return nr_freed;
}
