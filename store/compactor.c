// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "compactor.h"

#include <string.h>

#define SLICE_NS 500000
#define QUIET_PAUSE_NS 500000
#define BUSY_PAUSE_NS 5000000
#define IDLE_PAUSE_NS 100000000

void zr_compactor_init(struct zr_compactor *compactor, struct zr_pool *pool,
                       struct zr_deferred_free *deferred, struct zr_slot_table **tables,
                       size_t nr_tables)
{
    memset(compactor, 0, sizeof *compactor);
    compactor->pool = pool;
    compactor->deferred = deferred;
    compactor->tables = tables;
    compactor->nr_tables = nr_tables;
    compactor->meter.load = &compactor->load;
    pthread_mutex_init(&compactor->pass_lock, NULL);
}

void zr_compactor_fini(struct zr_compactor *compactor)
{
    pthread_mutex_destroy(&compactor->pass_lock);
}

// A visitor: the word of a copy elsewhere, if the object is in a span to be emptied.
static uint64_t move_object(void *opaque, struct zr_slot_table *table, uint64_t slot, uint64_t word)
{
    zr_handle old = zr_handle_of_word(word);
    zr_handle new;

    (void)opaque;
    (void)slot;
    // A group has more owners than this one: the demoter moves those.
    if (!zr_handle_has_object(old) || zr_slot_word_kind(word) == ZR_SLOT_GROUP ||
        !zr_evacuation_wants(table->pool, old) ||
        zr_pool_alloc_copy(table->pool, zr_handle_length_bytes(old), &new) < 0) {
        return word;
    }
    memcpy(zr_pool_view(table->pool, new), zr_pool_view(table->pool, old),
           zr_handle_length_bytes(old));
    return (word ^ old.bits) | new.bits;
}

static bool begin_pass_locked(struct zr_compactor *compactor, enum zr_urgency urgency)
{
    zr_walk_begin(&compactor->walk, compactor->tables, compactor->nr_tables);
    compactor->is_passing = zr_evacuation_begin(&compactor->evacuation, compactor->pool, urgency);
    return compactor->is_passing;
}

// Goes on with the pass until the time is over, or to its end; then frees the spans that became
// empty and returns their number.
static uint64_t continue_pass_locked(struct zr_compactor *compactor, uint64_t until_ns)
{
    uint64_t nr_freed;

    if (!zr_walk_continue(&compactor->walk, until_ns, move_object, NULL)) {
        return 0;
    }
    zr_deferred_free_drain(compactor->deferred);
    nr_freed = zr_evacuation_end(&compactor->evacuation);
    atomic_fetch_add_explicit(&compactor->nr_moved_pages, compactor->walk.nr_replaced,
                              memory_order_relaxed);
    atomic_fetch_add_explicit(&compactor->nr_freed_spans, nr_freed, memory_order_relaxed);
    compactor->is_passing = false;
    return nr_freed;
}

static uint64_t work(void *opaque)
{
    struct zr_compactor *compactor = opaque;
    uint64_t pause_ns = IDLE_PAUSE_NS;

    pthread_mutex_lock(&compactor->pass_lock);
    compactor->is_busy = zr_load_meter_is_busy(&compactor->meter, zr_worker_now_ns()) ||
                         atomic_load_explicit(&compactor->must_wait, memory_order_relaxed);
    if (compactor->is_passing ||
        begin_pass_locked(compactor, compactor->is_busy ? ZR_URGENCY_BUSY : ZR_URGENCY_QUIET)) {
        uint64_t nr_freed = continue_pass_locked(compactor, zr_worker_now_ns() + SLICE_NS);

        // A pass for which there was no room would find the same spans at once again.
        if (compactor->is_passing || nr_freed > 0) {
            pause_ns = compactor->is_busy ? BUSY_PAUSE_NS : QUIET_PAUSE_NS;
        }
    }
    pthread_mutex_unlock(&compactor->pass_lock);
    return pause_ns;
}

int zr_compactor_start(struct zr_compactor *compactor)
{
    return zr_worker_start(&compactor->worker, work, compactor);
}

void zr_compactor_stop(struct zr_compactor *compactor)
{
    zr_worker_stop(&compactor->worker);
    pthread_mutex_lock(&compactor->pass_lock);
    zr_evacuation_end(&compactor->evacuation);
    compactor->is_passing = false;
    pthread_mutex_unlock(&compactor->pass_lock);
}

// has_begun: there was something to gain.
static uint64_t pass(struct zr_compactor *compactor, enum zr_urgency urgency, bool *has_begun)
{
    uint64_t nr_freed = 0;

    pthread_mutex_lock(&compactor->pass_lock);
    if (compactor->is_passing) { // of another urgency, perhaps
        nr_freed = continue_pass_locked(compactor, UINT64_MAX);
    }
    *has_begun = nr_freed > 0 || begin_pass_locked(compactor, urgency);
    if (compactor->is_passing) {
        nr_freed = continue_pass_locked(compactor, UINT64_MAX);
    }
    pthread_mutex_unlock(&compactor->pass_lock);
    return nr_freed;
}

uint64_t zr_compactor_pass(struct zr_compactor *compactor, enum zr_urgency urgency)
{
    bool has_begun;

    return pass(compactor, urgency, &has_begun);
}

bool zr_compactor_reclaim(struct zr_compactor *compactor, unsigned nr_tries)
{
    bool has_gained =
        zr_deferred_free_drain(compactor->deferred) || zr_pool_await_transit(compactor->pool);
    bool has_begun;

    // What was drained may be of another length, or others took it: then the holes are needed too.
    // Where there are none, the pass ends before it has begun.  Where there are, but writers filled
    // the spans that it was about to fill, they are still there for the next try.
    if (has_gained && nr_tries == 1) {
        return true;
    }
    pass(compactor, ZR_URGENCY_FULL, &has_begun);
    return has_gained || has_begun;
}
