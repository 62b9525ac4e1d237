// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// The atomics, and what each pairs with:
//   top        push (release) ↔ pop_all (acquire): the drainer sees the link of a pushed chunk. Its
//              words need no such order, the grace period gives it.  Popping takes the whole stack
//              by one exchange, so there is no ABA.
//   nr_freed   counting (release) ↔ get_stats (acquire): a thread that sees a chunk counted as
//              freed sees it counted as pushed, through top: the difference is never negative.
//   nr_pushed, nr_drains  statistics.
#include "deferred-free.h"
#include "rcu.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NR_STRIPES_MAX 64 // batches that fill at the same time, about one per CPU
#ifndef NR_SPARE          // tests/schedule/small.h has other sizes
#define NR_SPARE 64       // chunks set aside for batches
#define BATCH_WORDS ZR_CHUNK_WORDS
#define SLICE_CHUNKS 64 // half a ms of freeing; a directory, up to 4 ms, is one by itself
#endif

_Static_assert(ZR_POOL_MAX_BYTES / ZR_CHUNK_BYTES < UINT32_MAX, "a place + 1 has 32 bits");

// Of a chunk on the stack.
struct link {
    uint32_t below; // place + 1 of the next one, 0 at the bottom
    enum zr_chunk_sort sort;
    struct zr_account *account;
};

struct stripe {
    pthread_mutex_t lock;
    zr_handle batch; // a chunk, or none
    uint32_t nr_words;
} __attribute__((aligned(64)));

struct zr_deferred_free {
    struct zr_pool *pool;

    struct zr_arena links; // a struct link for each chunk-sized place in the arena
    _Atomic uint32_t top;  // place + 1 of the topmost chunk, 0 when there is none
    _Atomic uint64_t nr_pushed, nr_freed, nr_drains;

    uint32_t nr_stripes;
    struct stripe stripes[NR_STRIPES_MAX];

    pthread_mutex_t spare_lock;
    uint32_t nr_spare;
    zr_handle spare[NR_SPARE];

    pthread_mutex_t slice_lock; // guards what is below
    pthread_cond_t slice_end;
    uint64_t nr_slices;   // freed so far
    uint32_t nr_drainers; // that have something in hand
};

static uint32_t place_of(zr_handle chunk)
{
    return (uint32_t)(zr_handle_offset_bytes(chunk) / ZR_CHUNK_BYTES);
}

static struct link *link_at(const struct zr_deferred_free *deferred, uint32_t place)
{
    return (struct link *)deferred->links.base + place;
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

int zr_deferred_free_create_bare(struct zr_pool *pool, struct zr_deferred_free **result)
{
    struct zr_deferred_free *deferred = aligned_alloc(64, sizeof *deferred);
    size_t nr_places = pool->arena.reserved_bytes / ZR_CHUNK_BYTES;
    long nr_cpus = sysconf(_SC_NPROCESSORS_ONLN);
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
    rc = zr_arena_init(&deferred->links, ZR_ARENA_PRIVATE, nr_places * sizeof(struct link));
    if (rc == 0) {
        rc = zr_arena_open(&deferred->links, nr_places * sizeof(struct link));
    }
    for (i = 0; i < deferred->nr_stripes; i++) {
        pthread_mutex_init(&deferred->stripes[i].lock, NULL);
    }
    pthread_mutex_init(&deferred->spare_lock, NULL);
    pthread_mutex_init(&deferred->slice_lock, NULL);
    pthread_cond_init(&deferred->slice_end, NULL);
    if (rc < 0) {
        zr_deferred_free_destroy(deferred);
        return rc;
    }
    *result = deferred;
    return 0;
}

int zr_deferred_free_set_batches_aside(struct zr_deferred_free *deferred)
{
    zr_handle chunk;
    int rc = 0;

    while (rc == 0 && deferred->nr_spare < NR_SPARE) {
        rc = zr_pool_alloc_chunk(deferred->pool, &chunk);
        if (rc == 0) {
            try_put_spare(deferred, chunk);
        }
    }
    return rc;
}

int zr_deferred_free_create(struct zr_pool *pool, struct zr_deferred_free **result)
{
    struct zr_deferred_free *deferred;
    int rc = zr_deferred_free_create_bare(pool, &deferred);

    if (rc < 0) {
        return rc;
    }
    rc = zr_deferred_free_set_batches_aside(deferred);
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
        zr_pool_free(deferred->pool, &deferred->stripes[i].batch.bits, 1); // if it has an empty one
        pthread_mutex_destroy(&deferred->stripes[i].lock);
    }
    pthread_mutex_destroy(&deferred->spare_lock);
    pthread_mutex_destroy(&deferred->slice_lock);
    pthread_cond_destroy(&deferred->slice_end);
    zr_arena_fini(&deferred->links);
    free(deferred);
}

void zr_deferred_free_chunk(struct zr_deferred_free *deferred, zr_handle chunk,
                            enum zr_chunk_sort sort, struct zr_account *account)
{
    uint32_t place = place_of(chunk);
    struct link *link = link_at(deferred, place);
    uint32_t below = atomic_load_explicit(&deferred->top, memory_order_relaxed);

    atomic_fetch_add_explicit(&deferred->nr_pushed, 1, memory_order_relaxed);
    if (account) {
        zr_account_begin_detached(account);
    }
    link->sort = sort;
    link->account = account;
    do {
        link->below = below;
    } while (!atomic_compare_exchange_weak_explicit(&deferred->top, &below, place + 1,
                                                    memory_order_release, memory_order_relaxed));
}

static void push_batch_locked(struct zr_deferred_free *deferred, struct stripe *stripe)
{
    uint64_t *batch = zr_pool_view(deferred->pool, stripe->batch);

    memset(batch + stripe->nr_words, 0, (ZR_CHUNK_WORDS - stripe->nr_words) * sizeof *batch);
    zr_deferred_free_chunk(deferred, stripe->batch, ZR_CHUNK_OF_OBJECTS, NULL);
    stripe->batch = (zr_handle){0};
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

            for (; done < nr_words && stripe->nr_words < BATCH_WORDS; done++) {
                if (zr_handle_has_object(zr_handle_of_word(words[done]))) {
                    batch[stripe->nr_words++] = words[done];
                }
            }
            if (stripe->nr_words == BATCH_WORDS) {
                push_batch_locked(deferred, stripe);
            }
        }
        pthread_mutex_unlock(&stripe->lock);
        if (must_drain) {
            zr_deferred_free_drain(deferred);
        }
    }
}

// Puts the batches that are not full yet on the stack too.
static void flush_stripes(struct zr_deferred_free *deferred)
{
    uint32_t i;

    for (i = 0; i < deferred->nr_stripes; i++) {
        struct stripe *stripe = &deferred->stripes[i];

        pthread_mutex_lock(&stripe->lock);
        if (zr_handle_has_object(stripe->batch) && stripe->nr_words > 0) {
            push_batch_locked(deferred, stripe);
        }
        pthread_mutex_unlock(&stripe->lock);
    }
}

static uint64_t sum_lengths(const uint64_t *words, size_t nr_words)
{
    uint64_t bytes = 0;
    size_t i;

    for (i = 0; i < nr_words; i++) {
        bytes += zr_handle_length_bytes(zr_handle_of_word(words[i]));
    }
    return bytes;
}

// Frees what a chunk's words refer to, then the chunk itself.
static void free_chunk(struct zr_deferred_free *deferred, zr_handle chunk, enum zr_chunk_sort sort,
                       struct zr_account *account)
{
    const uint64_t *words = zr_pool_view(deferred->pool, chunk);
    size_t i;

    if (sort == ZR_CHUNK_OF_OBJECTS) {
        if (account) {
            zr_account_uncharge(account, sum_lengths(words, ZR_CHUNK_WORDS));
        }
        zr_pool_free(deferred->pool, words, ZR_CHUNK_WORDS);
    }
    for (i = 0; sort == ZR_CHUNK_OF_CHUNKS && i < ZR_CHUNK_WORDS; i++) {
        zr_handle below = {words[i]};

        if (zr_handle_has_object(below)) {
            free_chunk(deferred, below, ZR_CHUNK_OF_OBJECTS, account);
        }
    }
    if (!try_put_spare(deferred, chunk)) {
        zr_pool_free(deferred->pool, &chunk.bits, 1);
    }
}

// Pops the whole stack, batches that are not full yet included.  Returns the topmost place + 1, 0
// if there was nothing; else the caller is a drainer.
static uint32_t begin_drain(struct zr_deferred_free *deferred)
{
    uint32_t top;

    flush_stripes(deferred);
    pthread_mutex_lock(&deferred->slice_lock);
    top = atomic_exchange_explicit(&deferred->top, 0, memory_order_acquire);
    deferred->nr_drainers += top != 0;
    pthread_mutex_unlock(&deferred->slice_lock);
    return top;
}

static void end_slice(struct zr_deferred_free *deferred, bool is_last)
{
    pthread_mutex_lock(&deferred->slice_lock);
    deferred->nr_slices++;
    deferred->nr_drainers -= is_last;
    pthread_cond_broadcast(&deferred->slice_end);
    pthread_mutex_unlock(&deferred->slice_lock);
}

// False if nobody has anything in hand.
static bool await_slice(struct zr_deferred_free *deferred)
{
    bool has_waited;
    uint64_t seen;

    pthread_mutex_lock(&deferred->slice_lock);
    has_waited = deferred->nr_drainers > 0;
    seen = deferred->nr_slices;
    while (deferred->nr_drainers > 0 && deferred->nr_slices == seen) {
        pthread_cond_wait(&deferred->slice_end, &deferred->slice_lock);
    }
    pthread_mutex_unlock(&deferred->slice_lock);
    return has_waited;
}

bool zr_deferred_free_drain(struct zr_deferred_free *deferred)
{
    uint32_t place = begin_drain(deferred);
    unsigned nr_in_slice = 0;

    if (place == 0) {
        return await_slice(deferred);
    }
    zr_rcu_synchronize();
    atomic_fetch_add_explicit(&deferred->nr_drains, 1, memory_order_relaxed);
    while (place != 0) {
        zr_handle chunk = zr_handle_make((uint64_t)(place - 1) * ZR_CHUNK_BYTES, ZR_CHUNK_BYTES);
        struct link link =
            *link_at(deferred, place - 1); // from then on the place may be pushed anew

        free_chunk(deferred, chunk, link.sort, link.account);
        if (link.account) {
            zr_account_end_detached(link.account);
        }
        atomic_fetch_add_explicit(&deferred->nr_freed, 1, memory_order_release);
        place = link.below;
        nr_in_slice += link.sort == ZR_CHUNK_OF_CHUNKS ? SLICE_CHUNKS : 1;
        if (place == 0 || nr_in_slice >= SLICE_CHUNKS) {
            end_slice(deferred, place == 0);
            nr_in_slice = 0;
        }
    }
    return true;
}

void zr_deferred_free_get_stats(struct zr_deferred_free *deferred,
                                struct zr_deferred_free_stats *stats)
{
    uint64_t nr_freed = atomic_load_explicit(&deferred->nr_freed, memory_order_acquire);

    stats->nr_chunks = atomic_load_explicit(&deferred->nr_pushed, memory_order_relaxed) - nr_freed;
    stats->nr_drains = atomic_load_explicit(&deferred->nr_drains, memory_order_relaxed);
}
