// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Mutexes, conditions and RCU of coroutines.  Each carries clocks: what a thread did before it let
// go is known to the next one that takes it.  Two locks that are taken in both orders are found
// without a deadlock (as Linux's lockdep does).
#include "thread.h"

#include <errno.h>
#include <string.h>

struct mutex {      // in the memory of the real one
    unsigned owner; // thread + 1
    struct zs_clocks clocks;
};
_Static_assert(sizeof(struct mutex) <= sizeof(pthread_mutex_t), "no room in a mutex");

#define MAX_HELD 8
#define MAX_ORDERS 64

static struct zs_clocks ended_sections, begun_grace_periods;
static const void *held[ZS_MAX_THREADS][MAX_HELD];
static unsigned nr_held[ZS_MAX_THREADS];
static struct {
    const void *first, *second;
} orders[MAX_ORDERS]; // in which locks were taken
static unsigned nr_orders;

void zs_synchronization_begin(void)
{
    memset(nr_held, 0, sizeof nr_held);
    nr_orders = 0;
    memset(&ended_sections, 0, sizeof ended_sections);
    memset(&begun_grace_periods, 0, sizeof begun_grace_periods);
}

static unsigned me(void)
{
    return zs_current ? zs_current_nr() + 1 : ZS_MAX_THREADS + 1;
}

bool zs_holds(const pthread_mutex_t *mutex)
{
    return ((const struct mutex *)mutex)->owner == me();
}

bool zs_is_idle_class(const void *address)
{
    size_t index = (size_t)((const char *)address - (const char *)zs_pool->class);

    return zs_is_within(address, zs_pool->class, sizeof zs_pool->class) &&
           zs_pool->class[index / sizeof *zs_pool->class].nr_spans == 0;
}

int zs_mutex_init(pthread_mutex_t *mutex)
{
    memset(mutex, 0, sizeof *mutex);
    return 0;
}

// The locks of all classes count as one.
static const void *sort_of(const void *mutex)
{
    return zs_is_within(mutex, zs_pool->class, sizeof zs_pool->class) ? zs_pool->class : mutex;
}

static void note_order(const void *first, const void *second, const char *where)
{
    unsigned i;

    if (first == second) {
        zs_fail("two locks of one sort at %s", where);
    }
    for (i = 0; i < nr_orders; i++) {
        if (orders[i].first == second && orders[i].second == first) {
            zs_fail("two locks in the other order at %s", where);
        }
        if (orders[i].first == first && orders[i].second == second) {
            return;
        }
    }
    if (nr_orders < MAX_ORDERS) {
        orders[nr_orders].first = first;
        orders[nr_orders++].second = second;
    }
}

static void note_held(const void *mutex)
{
    unsigned i = zs_current_nr();

    if (nr_held[i] == MAX_HELD) {
        zs_fail("too many locks held");
    }
    held[i][nr_held[i]++] = sort_of(mutex);
}

static void note_orders(const void *mutex, const char *where)
{
    unsigned i;

    for (i = 0; zs_current && i < nr_held[zs_current_nr()]; i++) {
        note_order(held[zs_current_nr()][i], sort_of(mutex), where);
    }
}

static void take(struct mutex *mutex)
{
    mutex->owner = me();
    if (zs_current) {
        zs_learn(&zs_current->clocks, &mutex->clocks);
        note_held(mutex);
    }
}

static void forget_held(const void *mutex)
{
    const void **locks = held[zs_current_nr()];
    unsigned *nr = &nr_held[zs_current_nr()], i = *nr;

    while (locks[--i] != sort_of(mutex)) {
    }
    memmove(&locks[i], &locks[i + 1], (--*nr - i) * sizeof *locks);
}

int zs_mutex_lock(pthread_mutex_t *real, const char *where)
{
    struct mutex *mutex = (struct mutex *)real;

    if (!zs_is_idle_class(mutex)) {
        zs_step(where, ZS_BORDER);
    }
    if (mutex->owner == me()) {
        zs_fail("lock taken twice at %s", where);
    }
    note_orders(mutex, where);
    while (mutex->owner != 0) {
        zs_block(ZS_ON_MUTEX, mutex, where);
    }
    take(mutex);
    return 0;
}

int zs_mutex_trylock(pthread_mutex_t *real, const char *where)
{
    struct mutex *mutex = (struct mutex *)real;

    zs_step(where, ZS_BORDER);
    if (mutex->owner != 0) {
        return EBUSY;
    }
    take(mutex);
    return 0;
}

// A log's first span may be one past the limit.
static void check_spans(void)
{
    const struct zr_pool *pool = zs_pool;

    if (pool->nr_used_spans + pool->nr_warm_spans > pool->max_spans + 1 ||
        pool->nr_transit_spans > pool->nr_used_spans) {
        zs_fail("spans: %lu used (%lu in transit), %lu warm, limit %lu", pool->nr_used_spans,
                pool->nr_transit_spans, pool->nr_warm_spans, pool->max_spans);
    }
}

// The class of a span, under the lock of that class, is membership: no free span has one.
static void check_members(uint32_t class_nr)
{
    uint64_t i;

    for (i = 0; i < zs_pool->nr_opened_spans; i++) {
        const struct zr_span *span = zr_pool_span_at(zs_pool, i);

        if (zr_span_class(span) == class_nr && zr_span_is_empty(span) &&
            !zr_span_is_isolated(span)) {
            zs_fail("free span %lu is still of class %u", (unsigned long)i, class_nr);
        }
    }
}

static void let_go(struct mutex *mutex, const char *where)
{
    if (mutex->owner != me()) {
        zs_fail("unlocked by another thread at %s", where);
    }
    if ((void *)mutex == (void *)&zs_pool->span_lock) {
        check_spans();
    } else if (sort_of(mutex) == zs_pool->class) {
        check_members((uint32_t)((struct zr_pool_class *)mutex - zs_pool->class));
    }
    mutex->owner = 0;
    if (zs_current) {
        zs_publish(&mutex->clocks);
        forget_held(mutex);
    }
    zs_wake(ZS_ON_MUTEX, mutex);
}

int zs_mutex_unlock(pthread_mutex_t *mutex, const char *where)
{
    let_go((struct mutex *)mutex, where);
    if (!zs_is_idle_class(mutex)) {
        zs_step(where, ZS_BORDER);
    }
    return 0;
}

int zs_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex, const char *where)
{
    if (zs_current->nesting) {
        zs_fail("waits inside a read-side section");
    }
    let_go((struct mutex *)mutex, where);
    zs_block(ZS_ON_COND, cond, where);
    return zs_mutex_lock(mutex, where);
}

int zs_cond_broadcast(pthread_cond_t *cond, const char *where)
{
    zs_wake(ZS_ON_COND, cond);
    zs_step(where, ZS_INNER);
    return 0;
}

// ---- RCU

void zs_rcu_read_lock(const char *where)
{
    zs_step(where, ZS_BORDER);
    if (zs_current && zs_current->nesting++ == 0) {
        zs_current->nr_sections++;
        zs_learn(&zs_current->clocks, &begun_grace_periods);
    }
}

// Whether a section that was open when the thread's grace period began still is.
static bool must_wait(const struct zs_thread *thread)
{
    bool must = false;
    unsigned i;

    for (i = 0; i < zs_nr_threads; i++) {
        must |= thread->awaits[i] && zs_threads[i].nesting > 0 &&
                zs_threads[i].nr_sections == thread->section[i];
    }
    return must;
}

void zs_rcu_read_unlock(const char *where)
{
    unsigned i;

    zs_step_fine(where);
    if (!zs_current) {
        return;
    }
    if (zs_current->nesting == 0) {
        zs_fail("read-side section ended twice at %s", where);
    }
    if (--zs_current->nesting == 0) {
        zs_publish(&ended_sections);
        for (i = 0; i < zs_nr_threads; i++) {
            if (zs_threads[i].state == ZS_ON_GRACE_PERIOD && !must_wait(&zs_threads[i])) {
                zs_make_ready(&zs_threads[i]);
            }
        }
    }
    zs_step(where, ZS_BORDER);
}

void zs_rcu_synchronize(const char *where)
{
    unsigned i;

    zs_step(where, ZS_BORDER);
    if (!zs_current) {
        return;
    }
    if (zs_current->nesting) {
        zs_fail("grace period inside a read-side section at %s", where);
    }
    zs_publish(&begun_grace_periods);
    for (i = 0; i < zs_nr_threads; i++) {
        zs_current->awaits[i] = zs_threads[i].nesting > 0;
        zs_current->section[i] = zs_threads[i].nr_sections;
    }
    if (must_wait(zs_current)) {
        zs_block(ZS_ON_GRACE_PERIOD, NULL, where);
    } else {
        zs_step(where, ZS_BORDER);
    }
    zs_learn(&zs_current->clocks, &ended_sections);
}
