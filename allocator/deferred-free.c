// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// The atomics, and what each pairs with:
//   top        push (release) ↔ pop_all (acquire): the drainer sees the link of a pushed chunk. Its
//              words need no such order, the grace period gives it.  Popping takes the whole stack
//              by one exchange, so there is no ABA.
//   is_asleep  sleeper: store, then look for work; requests: hand over, then load.  All
//   sequentially
//              consistent: one of the two sees the other, so no work is left lying asleep.
#include "deferred-free.h"
#include "rcu.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define NR_SPARE 64             // chunks set aside for batches
#define NR_STRIPES_MAX 64       // batches that fill at the same time, about one per CPU
#define TICK_NS 2000000         // how long handed-over work may gather before it is freed
#define IDLE_TICKS_TO_SLEEP 250 // half a second without work: wait to be woken instead
#define RELEASE_BYTES_PER_TICK (64u << 20)

struct stripe {
    pthread_mutex_t lock;
    zr_handle batch; // a chunk, or none
    uint32_t nr_words;
} __attribute__((aligned(64)));

struct zr_deferred_free {
    struct zr_pool *pool;

    struct zr_arena
        links; // for each chunk-sized place in the arena, the chunk below it on the stack
    _Atomic uint32_t top; // place + 1 of the topmost chunk, 0 when there is none
    _Atomic uint64_t nr_pushed, nr_popped;

    uint32_t nr_stripes;
    struct stripe stripes[NR_STRIPES_MAX];

    pthread_mutex_t spare_lock;
    uint32_t nr_spare;
    zr_handle spare[NR_SPARE];

    pthread_mutex_t drain_lock; // one drainer at a time; taken before any other lock
    _Atomic uint64_t nr_drains;

    pthread_t thread;
    pthread_mutex_t sleep_lock; // guards must_stop; wake is signalled under it
    pthread_cond_t wake;
    bool is_running;
    bool must_stop;
    _Atomic bool is_asleep;
};

static uint32_t place_of(zr_handle chunk)
{
    return (uint32_t)(zr_handle_offset_bytes(chunk) / ZR_CHUNK_BYTES);
}

static uint32_t *link_at(const struct zr_deferred_free *deferred, uint32_t place)
{
    return (uint32_t *)deferred->links.base + place;
}

static bool try_get_spare(struct zr_deferred_free *deferred, zr_handle *chunk)
{
    bool got;

    pthread_mutex_lock(&deferred->spare_lock);
    got = deferred->nr_spare > 0;
    if (got) {
        *chunk = deferred->spare[--deferred->nr_spare];
    }
    pthread_mutex_unlock(&deferred->spare_lock);
    return got;
}

static bool try_put_spare(struct zr_deferred_free *deferred, zr_handle chunk)
{
    bool put;

    pthread_mutex_lock(&deferred->spare_lock);
    put = deferred->nr_spare < NR_SPARE;
    if (put) {
        deferred->spare[deferred->nr_spare++] = chunk;
    }
    pthread_mutex_unlock(&deferred->spare_lock);
    return put;
}

int zr_deferred_free_create(struct zr_pool *pool, struct zr_deferred_free **result)
{
    struct zr_deferred_free *deferred = aligned_alloc(64, sizeof *deferred);
    size_t nr_places = pool->arena.reserved_bytes / ZR_CHUNK_BYTES;
    long nr_cpus = sysconf(_SC_NPROCESSORS_ONLN);
    pthread_condattr_t attr;
    zr_handle chunk;
    uint32_t i;
    int rc;

    if (!deferred) {
        return -ENOMEM;
    }
    memset(deferred, 0, sizeof *deferred);
    deferred->pool = pool;
    deferred->nr_stripes = nr_cpus < 1                ? 1
                           : nr_cpus > NR_STRIPES_MAX ? NR_STRIPES_MAX
                                                      : (uint32_t)nr_cpus;
    rc = zr_arena_init(&deferred->links, ZR_ARENA_PRIVATE, nr_places * sizeof(uint32_t));
    if (rc == 0) {
        rc = zr_arena_open(&deferred->links, nr_places * sizeof(uint32_t));
    }
    for (i = 0; i < deferred->nr_stripes; i++) {
        pthread_mutex_init(&deferred->stripes[i].lock, NULL);
    }
    pthread_mutex_init(&deferred->spare_lock, NULL);
    pthread_mutex_init(&deferred->drain_lock, NULL);
    pthread_mutex_init(&deferred->sleep_lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&deferred->wake, &attr);
    pthread_condattr_destroy(&attr);

    while (rc == 0 && deferred->nr_spare < NR_SPARE) {
        rc = zr_pool_alloc_chunk(pool, &chunk);
        if (rc == 0) {
            try_put_spare(deferred, chunk);
        }
    }
    if (rc < 0) {
        zr_deferred_free_destroy(deferred);
        return rc;
    }
    *result = deferred;
    return 0;
}

void zr_deferred_free_destroy(struct zr_deferred_free *deferred)
{
    uint32_t i;

    zr_deferred_free_drain(deferred);
    for (i = 0; i < deferred->nr_spare; i++) {
        zr_pool_free(deferred->pool, &deferred->spare[i].bits, 1);
    }
    for (i = 0; i < deferred->nr_stripes; i++) {
        pthread_mutex_destroy(&deferred->stripes[i].lock);
    }
    pthread_mutex_destroy(&deferred->spare_lock);
    pthread_mutex_destroy(&deferred->drain_lock);
    pthread_mutex_destroy(&deferred->sleep_lock);
    pthread_cond_destroy(&deferred->wake);
    zr_arena_fini(&deferred->links);
    free(deferred);
}

// After work was handed over.  The thread looks for work every TICK_NS by itself, so that a request
// pays for a wake-up only after a long silence.
static void wake_if_asleep(struct zr_deferred_free *deferred)
{
    if (atomic_load(&deferred->is_asleep) && atomic_exchange(&deferred->is_asleep, false)) {
        pthread_mutex_lock(&deferred->sleep_lock);
        pthread_cond_signal(&deferred->wake);
        pthread_mutex_unlock(&deferred->sleep_lock);
    }
}

static void push(struct zr_deferred_free *deferred, zr_handle chunk)
{
    uint32_t place = place_of(chunk);
    uint32_t below = atomic_load_explicit(&deferred->top, memory_order_relaxed);

    atomic_fetch_add_explicit(&deferred->nr_pushed, 1, memory_order_relaxed);
    do {
        *link_at(deferred, place) = below;
    } while (!atomic_compare_exchange_weak(&deferred->top, &below, place + 1));
}

void zr_deferred_free_chunk(struct zr_deferred_free *deferred, zr_handle chunk)
{
    push(deferred, chunk);
    wake_if_asleep(deferred);
}

void zr_deferred_free_words(struct zr_deferred_free *deferred, const uint64_t *words,
                            size_t nr_words)
{
    struct stripe *stripe = &deferred->stripes[(uint32_t)sched_getcpu() % deferred->nr_stripes];
    size_t done = 0;

    while (done < nr_words) {
        bool must_drain = false;

        pthread_mutex_lock(&stripe->lock);
        if (!zr_handle_has_object(stripe->batch)) {
            must_drain = !try_get_spare(deferred, &stripe->batch);
            stripe->nr_words = 0;
        }
        if (!must_drain) {
            uint64_t *batch = zr_pool_view(deferred->pool, stripe->batch);

            for (; done < nr_words && stripe->nr_words < ZR_CHUNK_WORDS; done++) {
                if (zr_handle_has_object(zr_handle_of_word(words[done]))) {
                    batch[stripe->nr_words++] = words[done];
                }
            }
            if (stripe->nr_words == ZR_CHUNK_WORDS) {
                push(deferred, stripe->batch);
                stripe->batch = (zr_handle){0};
            }
        }
        pthread_mutex_unlock(&stripe->lock);
        if (must_drain) {
            zr_deferred_free_drain(deferred);
        }
    }
    wake_if_asleep(deferred);
}

// Puts the batches that are not full yet on the stack too.
static void flush_stripes(struct zr_deferred_free *deferred)
{
    uint32_t i;

    for (i = 0; i < deferred->nr_stripes; i++) {
        struct stripe *stripe = &deferred->stripes[i];

        pthread_mutex_lock(&stripe->lock);
        if (zr_handle_has_object(stripe->batch) && stripe->nr_words > 0) {
            uint64_t *batch = zr_pool_view(deferred->pool, stripe->batch);

            memset(batch + stripe->nr_words, 0,
                   (ZR_CHUNK_WORDS - stripe->nr_words) * sizeof *batch);
            push(deferred, stripe->batch);
            stripe->batch = (zr_handle){0};
        }
        pthread_mutex_unlock(&stripe->lock);
    }
}

// Frees what a chunk's words refer to, then the chunk itself.  A directory's words are leaves: that
// is as deep as it goes.
static void free_chunk(struct zr_deferred_free *deferred, zr_handle chunk)
{
    const uint64_t *words = zr_pool_view(deferred->pool, chunk);
    size_t i;

    for (i = 0; i < ZR_CHUNK_WORDS; i++) {
        zr_handle handle = zr_handle_of_word(words[i]);

        if (!zr_handle_has_object(handle)) {
            continue;
        }
        // All words of a chunk are of one sort: chunks in a directory, objects elsewhere.
        if (!zr_pool_is_chunk(deferred->pool, handle)) {
            zr_pool_free(deferred->pool, words, ZR_CHUNK_WORDS);
            break;
        }
        free_chunk(deferred, handle);
    }
    if (!try_put_spare(deferred, chunk)) {
        zr_pool_free(deferred->pool, &chunk.bits, 1);
    }
}

void zr_deferred_free_drain(struct zr_deferred_free *deferred)
{
    uint32_t place;

    pthread_mutex_lock(&deferred->drain_lock);
    flush_stripes(deferred);
    place = atomic_exchange(&deferred->top, 0);
    if (place != 0) {
        zr_rcu_synchronize();
        atomic_fetch_add_explicit(&deferred->nr_drains, 1, memory_order_relaxed);
    }
    while (place != 0) {
        zr_handle chunk = zr_handle_make((uint64_t)(place - 1) * ZR_CHUNK_BYTES, ZR_CHUNK_BYTES);

        place = *link_at(deferred, place - 1);
        free_chunk(deferred, chunk);
        atomic_fetch_add_explicit(&deferred->nr_popped, 1, memory_order_relaxed);
    }
    pthread_mutex_unlock(&deferred->drain_lock);
}

static bool has_work(struct zr_deferred_free *deferred)
{
    bool has = atomic_load(&deferred->top) != 0;
    uint32_t i;

    for (i = 0; i < deferred->nr_stripes && !has; i++) {
        pthread_mutex_lock(&deferred->stripes[i].lock);
        has = zr_handle_has_object(deferred->stripes[i].batch) && deferred->stripes[i].nr_words > 0;
        pthread_mutex_unlock(&deferred->stripes[i].lock);
    }
    return has;
}

// Waits a tick, or, when all has been quiet, until woken.  True if the thread shall go on.
static bool wait_for_work(struct zr_deferred_free *deferred, bool may_sleep)
{
    struct timespec until;
    bool go_on;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += TICK_NS;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    pthread_mutex_lock(&deferred->sleep_lock);
    if (!deferred->must_stop) {
        if (may_sleep) {
            atomic_store(&deferred->is_asleep, true);
            while (!deferred->must_stop && atomic_load(&deferred->is_asleep) &&
                   !has_work(deferred)) {
                pthread_cond_wait(&deferred->wake, &deferred->sleep_lock);
            }
            atomic_store(&deferred->is_asleep, false);
        } else {
            pthread_cond_timedwait(&deferred->wake, &deferred->sleep_lock, &until);
        }
    }
    go_on = !deferred->must_stop;
    pthread_mutex_unlock(&deferred->sleep_lock);
    return go_on;
}

static void *run(void *arg)
{
    struct zr_deferred_free *deferred = arg;
    uint32_t idle_ticks = 0;

    while (wait_for_work(deferred, idle_ticks >= IDLE_TICKS_TO_SLEEP)) {
        idle_ticks = has_work(deferred) ? 0 : idle_ticks + 1;
        zr_deferred_free_drain(deferred);
        zr_pool_release(deferred->pool, RELEASE_BYTES_PER_TICK);
    }
    return NULL;
}

int zr_deferred_free_start(struct zr_deferred_free *deferred)
{
    sigset_t all, old;
    int rc;

    // Signals are for the threads that know what they mean.
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    rc = pthread_create(&deferred->thread, NULL, run, deferred);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    deferred->is_running = rc == 0;
    return -rc;
}

void zr_deferred_free_stop(struct zr_deferred_free *deferred)
{
    if (deferred->is_running) {
        pthread_mutex_lock(&deferred->sleep_lock);
        deferred->must_stop = true;
        pthread_cond_signal(&deferred->wake);
        pthread_mutex_unlock(&deferred->sleep_lock);
        pthread_join(deferred->thread, NULL);
        deferred->is_running = false;
    }
    zr_deferred_free_drain(deferred);
}

void zr_deferred_free_get_stats(struct zr_deferred_free *deferred,
                                struct zr_deferred_free_stats *stats)
{
    // Popped first: the difference is then never negative.
    uint64_t nr_popped = atomic_load_explicit(&deferred->nr_popped, memory_order_acquire);

    stats->nr_chunks = atomic_load_explicit(&deferred->nr_pushed, memory_order_relaxed) - nr_popped;
    stats->nr_drains = atomic_load_explicit(&deferred->nr_drains, memory_order_relaxed);
}
