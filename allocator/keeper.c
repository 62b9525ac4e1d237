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
#define BATCH_SPANS 64        // populated, or given back, with one hold of the span lock
#define LOOKS_PER_CLASS 64    // spans looked at in a window, with one hold of the class lock
#define RELEASED_PER_CLASS 8  // of them those of which memory is given back

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

    // At the front, the lowest first: what is used stays together.
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

static void release(struct zr_pool *pool, size_t offset, size_t bytes)
{
    int rc = zr_arena_release(&pool->arena, offset, bytes);

    if (rc < 0) {
        fprintf(stderr, "zramswap: cannot give memory back: %s\n", strerrordesc_np(-rc));
    }
}

// Moves up to nr_spans from warm to cold or back, neighbours by one system call.
static void move_spans(struct zr_pool *pool, struct cds_list_head *from, struct cds_list_head *to,
                       uint64_t nr_spans)
{
    uint64_t index[BATCH_SPANS];
    size_t nr, i, first;

    while (nr_spans > 0) {
        nr = take_spans(pool, from, nr_spans < BATCH_SPANS ? nr_spans : BATCH_SPANS, index);
        for (first = 0; first < nr; first = i) {
            size_t offset = index[first] << ZR_SPAN_SHIFT;

            for (i = first + 1; i < nr && index[i] == index[i - 1] + 1; i++) {
            }
            if (to == &pool->cold) {
                release(pool, offset, (i - first) << ZR_SPAN_SHIFT);
            } else if (zr_arena_populate(&pool->arena, offset, (i - first) << ZR_SPAN_SHIFT) == 0) {
                atomic_fetch_add_explicit(&pool->nr_populated_spans, i - first,
                                          memory_order_relaxed);
            }
        }
        put_spans(pool, to, index, nr);
        if (nr == 0) {
            return;
        }
        nr_spans -= nr;
    }
}

// Chunks are pages that nobody moves: those that are free below the span's end go back by
// themselves.
static void release_free_chunks(struct zr_pool *pool, size_t offset, uint64_t used, size_t end)
{
    size_t first, i;

    for (first = 0; first < end; first = i + 1) {
        for (i = first; i < end && !(used >> i & 1); i++) {
        }
        if (i > first) {
            release(pool, offset + first * ZR_CHUNK_BYTES, (i - first) * ZR_CHUNK_BYTES);
        }
    }
}

// Gives the memory behind the last object of a span back, and that of free chunks.
static void release_unused(struct zr_pool *pool, uint32_t class_nr, struct zr_span *span)
{
    struct zr_pool_class *class = &pool->class[class_nr];
    size_t offset = zr_pool_span_index(pool, span) << ZR_SPAN_SHIFT;
    size_t start, end;
    uint64_t used;

    if (!zr_pool_try_isolate(pool, span)) {
        return;
    }
    // Frees go on, but nothing is handed out of it now: what is unused stays so.
    pthread_mutex_lock(&class->lock);
    end = zr_round_up_to_os_page(zr_span_high_water(span) * (size_t)span->object_bytes);
    zr_span_set_high_water(span, zr_span_end(span));
    start = zr_round_up_to_os_page(zr_span_high_water(span) * (size_t)span->object_bytes);
    used = span->used[0];
    pthread_mutex_unlock(&class->lock);
    if (end > start) {
        release(pool, offset + start, end - start);
    }
    if (class_nr == zr_size_class_chunk(&pool->classes)) {
        release_free_chunks(pool, offset, used, start / ZR_CHUNK_BYTES);
    }
    zr_pool_put_back(pool, span);
}

// The spans that a class hands out of next become quiet when they did not for two windows, and lose
// what is unused of them then.
static void release_unused_of_class(struct zr_pool *pool, uint32_t class_nr)
{
    struct zr_pool_class *class = &pool->class[class_nr];
    struct zr_span *quiet[RELEASED_PER_CLASS];
    struct zr_span *span;
    size_t nr = 0, nr_seen = 0;

    pthread_mutex_lock(&class->lock);
    cds_list_for_each_entry(span, &class->partial, node)
    {
        // cppcheck-suppress uninitvar // it does not see through the list's macro
        bool was_quiet = zr_span_is_quiet(span);
        uint32_t tail = zr_span_high_water(span) - zr_span_end(span);

        if (nr_seen++ == LOOKS_PER_CLASS || nr == RELEASED_PER_CLASS) {
            break;
        }
        if (!was_quiet) {
            zr_span_set_quiet_windows(span, zr_span_quiet_windows(span) + 1);
        }
        if (zr_span_is_quiet(span) &&
            (tail * span->object_bytes >= ZR_OS_PAGE_BYTES ||
             (!was_quiet && class_nr == zr_size_class_chunk(&pool->classes)))) {
            quiet[nr++] = span;
        }
    }
    pthread_mutex_unlock(&class->lock);
    while (nr > 0) {
        release_unused(pool, class_nr, quiet[--nr]);
    }
}

static void end_window(struct zr_keeper *keeper, uint64_t reserve)
{
    struct zr_pool *pool = keeper->pool;
    uint32_t i;

    if (keeper->min_warm > reserve) {
        move_spans(pool, &pool->warm, &pool->cold, keeper->min_warm - reserve);
    }
    for (i = 0; i < pool->classes.nr_classes; i++) {
        release_unused_of_class(pool, i);
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
        move_spans(pool, &pool->cold, &pool->warm, reserve - warm);
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
