// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "keeper.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUSY_TICK_NS 2000000 // what is handed over may gather so long before it is freed
#define IDLE_TICK_NS 50000000
#define IDLE_AFTER_NS 200000000
#define WINDOW_NS 250000000   // free memory stays warm for one to two windows
#define RESERVE_TICKS 4       // the reserve lasts for so many ticks of growth like the last ones
#define MAX_RESERVE_SPANS 256 // 32 MiB
#define SAMPLED_PER_CLASS 64  // spans sampled in a window, with one hold of the class lock
#ifndef BATCH_SPANS           // tests/schedule/small.h has other sizes
#define BATCH_SPANS 64        // populated, or given back, with one hold of the span lock
#define RELEASED_PER_CLASS 8  // spans of a class that lose unused memory in a window
#endif

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

// Takes up to max free spans from one list, for the caller alone, in ascending order.
static size_t take_spans(struct zr_pool *pool, struct cds_list_head *from, size_t max,
                         uint64_t *index)
{
    size_t nr;

    pthread_mutex_lock(&pool->span_lock);
    for (nr = 0; nr < max && !cds_list_empty(from); nr++) {
        struct zr_span *span = cds_list_first_entry(from, struct zr_span, node);

        if (from == &pool->cold && pool->nr_used_spans + pool->nr_warm_spans >= pool->max_spans) {
            break; // warm ones count against the limit
        }
        cds_list_del(&span->node);
        pool->nr_used_spans++;
        pool->nr_transit_spans++;
        pool->nr_warm_spans -= from == &pool->warm;
        index[nr] = zr_pool_span_index(pool, span);
    }
    zr_pool_note_peak_locked(pool);
    pthread_mutex_unlock(&pool->span_lock);
    qsort(index, nr, sizeof *index, compare_u64);
    return nr;
}

static void put_spans(struct zr_pool *pool, struct cds_list_head *to, const uint64_t *index,
                      size_t nr)
{
    size_t i;

    // At the front, the lowest first (the highest come first): what is used stays together.
    pthread_mutex_lock(&pool->span_lock);
    for (i = nr; i-- > 0;) {
        cds_list_add(&zr_pool_span_at(pool, index[i])->node, to);
    }
    pool->nr_used_spans -= nr;
    pool->nr_transit_spans -= nr;
    pool->nr_warm_spans += to == &pool->warm ? nr : 0;
    pthread_cond_broadcast(&pool->transit_end);
    pthread_mutex_unlock(&pool->span_lock);
}

// True if the memory of a range is given back.
static bool try_release(struct zr_keeper *keeper, size_t offset, size_t bytes)
{
    int rc = zr_arena_release(&keeper->pool->arena, offset, bytes);

    // Once: it would fail so for good, several times a second.
    if (rc < 0 && !keeper->has_reported_failure) {
        keeper->has_reported_failure = true;
        fprintf(stderr, "zramswap: cannot give memory back: %s\n", strerrordesc_np(-rc));
    }
    return rc == 0;
}

static void set_backed(struct zr_pool *pool, const uint64_t *index, size_t nr, uint32_t pages)
{
    size_t i;

    for (i = 0; i < nr; i++) {
        zr_span_set_backed(zr_pool_span_at(pool, index[i]), pages);
    }
}

// Gives the memory of neighbours back, or takes it.  False if they stay what they were.
static bool try_move(struct zr_keeper *keeper, bool to_cold, const uint64_t *index, size_t nr)
{
    struct zr_pool *pool = keeper->pool;
    size_t offset = index[0] << ZR_SPAN_SHIFT;
    bool is_moved = to_cold ? try_release(keeper, offset, nr << ZR_SPAN_SHIFT)
                            : zr_arena_back(&pool->arena, offset, nr << ZR_SPAN_SHIFT) == 0;

    if (is_moved) {
        set_backed(pool, index, nr, to_cold ? 0 : ZR_SPAN_ALL_PAGES);
    }
    if (is_moved && !to_cold) {
        atomic_fetch_add_explicit(&pool->nr_populated_spans, nr, memory_order_relaxed);
    }
    return is_moved;
}

// Moves up to nr_spans from warm to cold or back, neighbours by one system call.
static void move_spans(struct zr_keeper *keeper, bool to_cold, uint64_t nr_spans)
{
    struct zr_pool *pool = keeper->pool;
    struct cds_list_head *from = to_cold ? &pool->warm : &pool->cold;
    struct cds_list_head *to = to_cold ? &pool->cold : &pool->warm;
    uint64_t index[BATCH_SPANS];
    bool has_failed = false;
    size_t nr, first, end;

    while (nr_spans > 0 && !has_failed) {
        nr = take_spans(pool, from, nr_spans < BATCH_SPANS ? nr_spans : BATCH_SPANS, index);
        for (end = nr; end > 0; end = first) {
            bool is_moved;

            for (first = end - 1; first > 0 && index[first - 1] + 1 == index[first]; first--) {
            }
            is_moved = try_move(keeper, to_cold, &index[first], end - first);
            has_failed |= !is_moved;
            put_spans(pool, is_moved ? to : from, &index[first], end - first);
        }
        if (nr == 0) {
            return;
        }
        nr_spans -= nr;
    }
}

// Gives the pages of an isolated span back that are not in use, neighbours by one system call.
static void release_pages(struct zr_keeper *keeper, struct zr_span *span, uint32_t pages)
{
    struct zr_pool *pool = keeper->pool;
    struct zr_pool_class *class = &pool->class[zr_span_class(span)];
    size_t offset = zr_pool_span_index(pool, span) << ZR_SPAN_SHIFT;
    uint32_t first, nr, run, kept = 0;

    while (pages != 0) {
        first = (uint32_t)__builtin_ctz(pages);
        nr = (uint32_t)__builtin_ctzll(~((uint64_t)pages >> first));
        run = zr_span_pages(first * ZR_OS_PAGE_BYTES, (first + nr) * ZR_OS_PAGE_BYTES);
        if (!try_release(keeper, offset + (size_t)first * ZR_OS_PAGE_BYTES,
                         (size_t)nr * ZR_OS_PAGE_BYTES)) {
            kept |= run;
        }
        pages &= ~run;
    }
    if (kept != 0) {
        pthread_mutex_lock(&class->lock);
        zr_span_set_backed(span, zr_span_backed(span) | kept);
        pthread_mutex_unlock(&class->lock);
    }
}

static uint32_t unused_pages(const struct zr_span *span)
{
    return zr_span_backed(span) & ~zr_span_used_pages(span);
}

// Gives back what is unused of a span that was quiet when it was in the class.
static void release_unused(struct zr_keeper *keeper, uint32_t class_nr, struct zr_span *span)
{
    struct zr_pool *pool = keeper->pool;
    struct zr_pool_class *class = &pool->class[class_nr];
    uint32_t pages = 0;

    if (!zr_pool_try_isolate(pool, span, class_nr)) {
        return;
    }
    // Frees go on, but nothing is handed out of it now: what is unused stays so.
    pthread_mutex_lock(&class->lock);
    if (span->nr_backing == 0) {
        pages = unused_pages(span);
        zr_span_set_backed(span, zr_span_backed(span) & ~pages);
    }
    pthread_mutex_unlock(&class->lock);
    release_pages(keeper, span, pages);
    zr_pool_put_back(pool, span);
}

// The spans that a class hands out of next become quiet when they did not for two windows, and lose
// what is unused of them then.
static void release_unused_of_class(struct zr_keeper *keeper, uint32_t class_nr)
{
    struct zr_pool_class *class = &keeper->pool->class[class_nr];
    struct zr_span *quiet[RELEASED_PER_CLASS];
    struct zr_span *span;
    size_t nr = 0, nr_seen = 0;

    pthread_mutex_lock(&class->lock);
    cds_list_for_each_entry(span, &class->partial, node)
    {
        if (nr_seen++ == SAMPLED_PER_CLASS || nr == RELEASED_PER_CLASS) {
            break;
        }
        // cppcheck-suppress uninitvar // it does not see through the list's macro
        if (!zr_span_is_quiet(span)) {
            zr_span_set_quiet_windows(span, zr_span_quiet_windows(span) + 1);
        }
        if (zr_span_is_quiet(span) && unused_pages(span) != 0) {
            quiet[nr++] = span;
        }
    }
    pthread_mutex_unlock(&class->lock);
    // Each is checked again, under the lock.
    while (nr > 0) {
        release_unused(keeper, class_nr, quiet[--nr]);
    }
}

static void end_window(struct zr_keeper *keeper, uint64_t reserve)
{
    struct zr_pool *pool = keeper->pool;
    uint32_t i;

    if (keeper->min_warm > reserve) {
        move_spans(keeper, true, keeper->min_warm - reserve);
    }
    for (i = 0; i < pool->classes.nr_classes; i++) {
        release_unused_of_class(keeper, i);
    }
}

static uint64_t tick(void *opaque)
{
    struct zr_keeper *keeper = opaque;
    struct zr_pool *pool = keeper->pool;
    uint64_t start_ns = zr_worker_now_ns();
    bool has_drained = zr_deferred_free_drain(keeper->deferred);
    uint64_t grown, warm, reserve;

    pthread_mutex_lock(&pool->span_lock);
    grown = pool->nr_taken_spans - keeper->seen_taken_spans;
    keeper->seen_taken_spans = pool->nr_taken_spans;
    warm = pool->nr_warm_spans;
    pthread_mutex_unlock(&pool->span_lock);

    keeper->growth = grown > keeper->growth ? grown : keeper->growth * 7 / 8;
    reserve = keeper->growth * RESERVE_TICKS;
    reserve = reserve < MAX_RESERVE_SPANS ? reserve : MAX_RESERVE_SPANS;
    if (warm < reserve) {
        move_spans(keeper, false, reserve - warm);
    }

    keeper->min_warm = warm < keeper->min_warm ? warm : keeper->min_warm;
    if (start_ns - keeper->window_start_ns >= WINDOW_NS) {
        end_window(keeper, reserve);
        keeper->window_start_ns = start_ns;
        keeper->min_warm = UINT64_MAX;
    }
    if (has_drained || grown > 0) {
        keeper->last_busy_ns = start_ns;
    }
    return start_ns - keeper->last_busy_ns < IDLE_AFTER_NS ? BUSY_TICK_NS : IDLE_TICK_NS;
}

int zr_keeper_start(struct zr_keeper *keeper, struct zr_pool *pool,
                    struct zr_deferred_free *deferred)
{
    *keeper = (struct zr_keeper){
        .pool = pool,
        .deferred = deferred,
        .min_warm = UINT64_MAX,
        .window_start_ns = zr_worker_now_ns(),
    };
    return zr_worker_start(&keeper->worker, tick, keeper);
}

void zr_keeper_stop(struct zr_keeper *keeper)
{
    zr_worker_stop(&keeper->worker);
    if (keeper->deferred) {
        zr_deferred_free_drain(keeper->deferred);
    }
}
