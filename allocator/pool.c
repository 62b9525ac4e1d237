// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "pool.h"
#include "store-file.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef FREE_BATCH        // tests/schedule/small.h has other sizes
#define FREE_BATCH 512    // handles grouped by class at a time: a chunk of them
#define FREE_PER_LOCK 64  // freed under one hold of a class lock, a microsecond or less
#define MAX_SPANS_TRIED 8 // of a class, where the system has no more memory
#define PIECE_PAGES 4     // OS pages that a new object takes at once; a copy takes just its own
#endif

static int init_arena(struct zr_pool *pool, uint64_t bytes, struct zr_store_file *store)
{
    int rc;

    if (!store) {
        return zr_arena_init(&pool->arena, ZR_ARENA_SHARED, bytes);
    }
    // What is stored beyond a limit that has become lower is still there.
    bytes = bytes > store->header.arena_bytes ? bytes : store->header.arena_bytes;
    pool->metadata = &store->metadata;
    rc = zr_arena_init_file(&pool->arena, store->fd, ZR_DATA_OFFSET, bytes);
    if (rc == 0 && bytes > store->header.arena_bytes) {
        store->header.arena_bytes = bytes;
        store->is_changed = true;
    }
    return rc;
}

int zr_pool_init(struct zr_pool *pool, uint64_t limit_bytes, struct zr_store_file *store)
{
    const uint64_t open_bytes = (uint64_t)ZR_POOL_OPEN_SPANS << ZR_SPAN_SHIFT;
    uint32_t i;
    int rc;

    memset(pool, 0, sizeof *pool);
    if (limit_bytes > ZR_POOL_MAX_BYTES) {
        return -EINVAL;
    }
    zr_pool_set_limit(pool, limit_bytes);
    // The table is opened in step with the arena: round both up to that.
    rc = init_arena(pool, (limit_bytes + open_bytes - 1) / open_bytes * open_bytes, store);
    if (rc < 0) {
        return rc;
    }
    rc = zr_arena_init(&pool->span_table, ZR_ARENA_PRIVATE,
                       (pool->arena.reserved_bytes >> ZR_SPAN_SHIFT) * sizeof(struct zr_span));
    if (rc < 0) {
        zr_arena_fini(&pool->arena);
        return rc;
    }
    zr_size_classes_init(&pool->classes);
    for (i = 0; i < pool->classes.nr_classes; i++) {
        pthread_mutex_init(&pool->class[i].lock, NULL);
        CDS_INIT_LIST_HEAD(&pool->class[i].partial);
        pool->class[i].copy_class = (uint8_t)i;
    }
    pthread_mutex_init(&pool->span_lock, NULL);
    pthread_cond_init(&pool->transit_end, NULL);
    CDS_INIT_LIST_HEAD(&pool->warm);
    CDS_INIT_LIST_HEAD(&pool->cold);
    return 0;
}

void zr_pool_fini(struct zr_pool *pool)
{
    uint32_t i;

    for (i = 0; i < pool->classes.nr_classes; i++) {
        pthread_mutex_destroy(&pool->class[i].lock);
    }
    pthread_cond_destroy(&pool->transit_end);
    pthread_mutex_destroy(&pool->span_lock);
    zr_arena_fini(&pool->span_table);
    zr_arena_fini(&pool->arena);
}

void zr_pool_set_limit(struct zr_pool *pool, uint64_t limit_bytes)
{
    pool->max_spans = (limit_bytes + ZR_SPAN_BYTES - 1) >> ZR_SPAN_SHIFT;
}

int zr_pool_open_spans_locked(struct zr_pool *pool, uint64_t end)
{
    uint64_t first = pool->nr_opened_spans;
    int rc = 0;

    // Their kinds lie in one OS page, or in whole ones.
    if (pool->metadata && end > first) {
        uint64_t start = first * sizeof(uint16_t) / ZR_OS_PAGE_BYTES * ZR_OS_PAGE_BYTES;
        uint64_t end_page = (end * sizeof(uint16_t) - 1) / ZR_OS_PAGE_BYTES + 1;

        rc = zr_arena_back(pool->metadata, ZR_KINDS_OFFSET + start,
                           end_page * ZR_OS_PAGE_BYTES - start);
    }
    if (rc == 0) {
        rc = zr_arena_open(&pool->span_table, end * sizeof(struct zr_span));
    }
    if (rc == 0) {
        rc = zr_arena_open(&pool->arena, end << ZR_SPAN_SHIFT);
    }
    if (rc < 0) {
        return rc;
    }
    for (; first < end; first++) {
        zr_span_set_class(zr_pool_span_at(pool, first), ZR_CLASS_NONE);
    }
    pool->nr_opened_spans = end;
    return 0;
}

// Opens more of the arena.  The span lock is held.
static int add_spans_locked(struct zr_pool *pool)
{
    uint64_t i = pool->nr_opened_spans;
    int rc = zr_pool_open_spans_locked(pool, i + ZR_POOL_OPEN_SPANS);

    for (; rc == 0 && i < pool->nr_opened_spans; i++) {
        cds_list_add_tail(&zr_pool_span_at(pool, i)->node, &pool->cold);
    }
    return rc;
}

// Before the first object of a span is published, a store must say what it holds: what is killed
// stores what came before in the program, so only the compiler is to keep this order.
static void note_kind(struct zr_pool *pool, const struct zr_span *span, uint32_t class_nr)
{
    uint32_t kind = pool->classes.object_bytes[class_nr] / ZR_KIND_UNIT_BYTES;

    kind |= class_nr == zr_size_class_chunk(&pool->classes) ? ZR_KIND_OF_CHUNKS : 0;
    kind |= class_nr == zr_size_class_log(&pool->classes) ? ZR_KIND_OF_LOG : 0;
    atomic_store_explicit(zr_pool_kind_of(pool, zr_pool_span_index(pool, span)), (uint16_t)kind,
                          memory_order_release);
}

// Whether a warm span has all its memory: those that do are in front.
static bool has_whole_warm_span_locked(const struct zr_pool *pool)
{
    return pool->nr_warm_spans > 0 &&
           zr_span_backed(cds_list_first_entry(&pool->warm, struct zr_span, node)) ==
               ZR_SPAN_ALL_PAGES;
}

enum want { WARM_FIRST, COLD_FIRST, WHOLE_WARM_ONLY, AT_ANY_USE };

// A free span for a class, whose lock is held.  NULL at the limit, or if there is none as wanted.
static struct zr_span *get_free_span(struct zr_pool *pool, uint32_t class_nr, enum want want)
{
    const bool is_copy = want == COLD_FIRST || want == AT_ANY_USE;
    struct zr_span *span = NULL;
    bool is_at_limit, is_warm;

    pthread_mutex_lock(&pool->span_lock);
    if (want == WHOLE_WARM_ONLY && !has_whole_warm_span_locked(pool)) {
        goto out;
    }
    is_at_limit = pool->nr_used_spans + pool->nr_warm_spans >= pool->max_spans;
    is_warm = pool->nr_warm_spans > 0 && (!is_copy || is_at_limit);
    if (!is_warm && ((is_at_limit && want != AT_ANY_USE) ||
                     (cds_list_empty(&pool->cold) && add_spans_locked(pool) < 0))) {
        goto out;
    }
    span = cds_list_first_entry(is_warm ? &pool->warm : &pool->cold, struct zr_span, node);
    cds_list_del(&span->node);
    zr_span_init(span, (uint8_t)class_nr, pool->classes.object_bytes[class_nr]);
    if (pool->metadata) {
        note_kind(pool, span, class_nr);
    }
    pool->nr_used_spans++;
    pool->nr_warm_spans -= is_warm;
    pool->nr_taken_spans += !is_copy;
    pool->nr_taken_cold += !is_copy && !is_warm;
    zr_pool_note_peak_locked(pool);
out:
    pthread_mutex_unlock(&pool->span_lock);
    return span;
}

// Sees to it that the pages of an object have memory, which the taker of it has announced in
// nr_backing: so the keeper gives no page of the span back meanwhile.  Several may do the same
// pages at once, which does no harm.  0 or -ENOMEM.
static int back_object(struct zr_pool *pool, struct zr_pool_class *class, struct zr_span *span,
                       uint32_t pages, bool is_copy)
{
    uint32_t first = (uint32_t)__builtin_ctz(pages);
    uint32_t end = 32 - (uint32_t)__builtin_clz(pages);
    size_t offset = zr_pool_span_index(pool, span) << ZR_SPAN_SHIFT;
    int rc;

    if (!is_copy) {
        end = first + PIECE_PAGES > end ? first + PIECE_PAGES : end;
        end = end < ZR_SPAN_PAGES ? end : ZR_SPAN_PAGES;
    }
    rc = zr_arena_back(&pool->arena, offset + (size_t)first * ZR_OS_PAGE_BYTES,
                       (size_t)(end - first) * ZR_OS_PAGE_BYTES);
    pthread_mutex_lock(&class->lock);
    span->nr_backing--;
    if (rc == 0) {
        zr_span_set_backed(span, zr_span_backed(span) | zr_span_pages(first * ZR_OS_PAGE_BYTES,
                                                                      end * ZR_OS_PAGE_BYTES));
    }
    pthread_mutex_unlock(&class->lock);
    return rc < 0 ? -ENOMEM : 0;
}

static bool try_add_span(struct zr_pool *pool, uint32_t class_nr, enum want want)
{
    struct zr_span *span = get_free_span(pool, class_nr, want);

    if (span) {
        cds_list_add(&span->node, &pool->class[class_nr].partial);
        pool->class[class_nr].nr_spans++;
    }
    return span != NULL;
}

// The class, whose lock is held, is to give out of another span than the one that the system
// refused memory for: of a warm one, which has memory, or else of the next.  False if there is
// none.
static bool turn_from_span(struct zr_pool *pool, uint32_t class_nr, const struct zr_span *refused)
{
    struct cds_list_head *partial = &pool->class[class_nr].partial;

    if (try_add_span(pool, class_nr, WHOLE_WARM_ONLY)) {
        return true;
    }
    if (!cds_list_empty(partial) && partial->next == &refused->node) {
        struct cds_list_head *node = partial->next;

        cds_list_del(node);
        cds_list_add_tail(node, partial);
    }
    return !cds_list_empty(partial) && partial->next != &refused->node;
}

// 0; -ENOSPC: at the limit; -ENOMEM: the system has no memory for what is free in *refused.  That
// of an earlier call, if not NULL, is avoided.
static int try_alloc(struct zr_pool *pool, uint32_t class_nr, uint32_t bytes, bool is_copy,
                     zr_handle *handle, struct zr_span **refused)
{
    struct zr_pool_class *class = &pool->class[class_nr];
    uint32_t object_bytes = pool->classes.object_bytes[class_nr];
    struct zr_span *span;
    uint32_t start, missing;
    int rc = 0;

    pthread_mutex_lock(&class->lock);
    if (*refused ? !turn_from_span(pool, class_nr, *refused)
                 : cds_list_empty(&class->partial) &&
                       !try_add_span(pool, class_nr, is_copy ? COLD_FIRST : WARM_FIRST)) {
        pthread_mutex_unlock(&class->lock);
        return -ENOSPC;
    }
    span = cds_list_first_entry(&class->partial, struct zr_span, node);
    start = zr_span_take(span) * object_bytes;
    if (zr_span_is_full(span)) {
        cds_list_del(&span->node);
    }
    class->nr_objects++;
    class->stored_bytes += bytes;
    missing = zr_span_pages(start, start + object_bytes) & ~zr_span_backed(span);
    span->nr_backing = (uint16_t)(span->nr_backing + (missing != 0));
    pthread_mutex_unlock(&class->lock);

    *handle = zr_handle_make((zr_pool_span_index(pool, span) << ZR_SPAN_SHIFT) + start, bytes);
    if (missing != 0) {
        rc = back_object(pool, class, span, missing, is_copy);
    }
    if (rc < 0) {
        *refused = span;
        zr_pool_free(pool, &handle->bits, 1);
    }
    return rc;
}

static int alloc_in_class(struct zr_pool *pool, uint32_t class_nr, uint32_t bytes, bool is_copy,
                          zr_handle *handle)
{
    struct zr_span *refused = NULL;
    unsigned nr_tries = is_copy ? 1 : MAX_SPANS_TRIED;
    int rc;

    do {
        rc = try_alloc(pool, class_nr, bytes, is_copy, handle, &refused);
    } while (rc == -ENOMEM && --nr_tries > 0);
    return rc < 0 ? -ENOSPC : 0;
}

int zr_pool_alloc(struct zr_pool *pool, uint32_t bytes, zr_handle *handle)
{
    assert(bytes > 0 && bytes <= ZR_OBJECT_MAX_BYTES);
    return alloc_in_class(pool, zr_size_class_of(&pool->classes, bytes), bytes, false, handle);
}

int zr_pool_alloc_copy(struct zr_pool *pool, uint32_t bytes, zr_handle *handle)
{
    uint32_t class_nr = zr_size_class_of(&pool->classes, bytes);
    uint32_t copy_class =
        atomic_load_explicit(&pool->class[class_nr].copy_class, memory_order_relaxed);

    if (alloc_in_class(pool, copy_class, bytes, true, handle) == 0) {
        return 0;
    }
    return alloc_in_class(pool, class_nr, bytes, true, handle);
}

int zr_pool_alloc_chunk(struct zr_pool *pool, zr_handle *handle)
{
    int rc =
        alloc_in_class(pool, zr_size_class_chunk(&pool->classes), ZR_CHUNK_BYTES, false, handle);

    if (rc == 0) {
        memset(zr_pool_view(pool, *handle), 0, ZR_CHUNK_BYTES);
    }
    return rc;
}

bool zr_pool_await_transit(struct zr_pool *pool)
{
    bool has_waited;

    pthread_mutex_lock(&pool->span_lock);
    has_waited = pool->nr_transit_spans > 0;
    while (pool->nr_transit_spans > 0) {
        pthread_cond_wait(&pool->transit_end, &pool->span_lock);
    }
    pthread_mutex_unlock(&pool->span_lock);
    return has_waited;
}

// Takes an empty span out of its class, whose lock is held.  So under the lock of a class, a span
// with the number of that class belongs to it.
static void leave_class_locked(struct zr_pool_class *class, struct zr_span *span,
                               struct cds_list_head *emptied)
{
    zr_span_set_class(span, ZR_CLASS_NONE);
    cds_list_add(&span->node, emptied);
    class->nr_spans--;
}

// Frees one object.  The class lock is held.  A span that became empty leaves its class.
static void free_locked(struct zr_pool *pool, struct zr_pool_class *class, zr_handle handle,
                        struct cds_list_head *emptied)
{
    struct zr_span *span = zr_pool_span_of(pool, handle);
    uint32_t offset = (uint32_t)zr_handle_offset_bytes(handle) & (ZR_SPAN_BYTES - 1);

    // Newly partial spans go to the end: filling the first ones up lets these run empty.
    if (zr_span_is_full(span)) {
        cds_list_add_tail(&span->node, &class->partial);
    }
    if (zr_span_is_log(span)) {
        zr_span_drop_owner(span, zr_handle_length_bytes(handle));
    } else {
        zr_span_put(span, offset / span->object_bytes);
    }
    if (class == &pool->class[zr_size_class_chunk(&pool->classes)]) {
        zr_span_set_quiet_windows(span, 0); // the keeper gives free chunks back once it is quiet
    }
    class->nr_objects--;
    class->stored_bytes -= zr_handle_length_bytes(handle);
    if (zr_span_is_empty(span) && !zr_span_is_isolated(span)) {
        cds_list_del(&span->node);
        leave_class_locked(class, span, emptied);
    }
}

static void put_emptied_spans(struct zr_pool *pool, struct cds_list_head *emptied)
{
    struct zr_span *span, *next;

    pthread_mutex_lock(&pool->span_lock);
    cds_list_for_each_entry_safe(span, next, emptied, node)
    {
        // Those with all their memory are used first: the system may refuse what the others lack.
        cds_list_del(&span->node);
        if (zr_span_backed(span) == ZR_SPAN_ALL_PAGES) {
            cds_list_add(&span->node, &pool->warm);
        } else {
            cds_list_add_tail(&span->node, &pool->warm);
        }
        pool->nr_used_spans--;
        pool->nr_warm_spans++;
    }
    pthread_mutex_unlock(&pool->span_lock);
}

// A span that has none holds no object: stop a double free as zr_span_put does.
static uint8_t class_of_object(const struct zr_pool *pool, zr_handle handle)
{
    uint32_t class_nr = zr_span_class(zr_pool_span_of(pool, handle));

    if (class_nr >= pool->classes.nr_classes) {
        fprintf(stderr, "zramswap: object at %llu of a free span freed\n",
                (unsigned long long)zr_handle_offset_bytes(handle));
        abort();
    }
    return (uint8_t)class_nr;
}

// Counting sort by class, then one pass per class with its lock held.
static void free_batch(struct zr_pool *pool, const uint64_t *words, size_t nr_words,
                       struct cds_list_head *emptied)
{
    uint16_t start[ZR_NR_CLASSES_MAX + 1] = {0};
    uint8_t class_of[FREE_BATCH];
    zr_handle handles[FREE_BATCH];
    zr_handle sorted[FREE_BATCH] = {0}; // gcc's analyzer does not see that all places are taken
    size_t nr_handles = 0, i;
    uint32_t class_nr;

    // start[c + 1] counts class c; the prefix sum makes start[c] the first place of class c.
    for (i = 0; i < nr_words; i++) {
        zr_handle handle = zr_handle_of_word(words[i]);

        if (zr_handle_has_object(handle)) {
            handles[nr_handles] = handle;
            class_of[nr_handles] = class_of_object(pool, handle);
            start[class_of[nr_handles++] + 1]++;
        }
    }
    for (class_nr = 0; class_nr < pool->classes.nr_classes; class_nr++) {
        start[class_nr + 1] = (uint16_t)(start[class_nr + 1] + start[class_nr]);
    }
    // Placing moves each start to its end, which is where the next class starts.
    for (i = 0; i < nr_handles; i++) {
        sorted[start[class_of[i]]++] = handles[i];
    }
    for (class_nr = 0, i = 0; class_nr < pool->classes.nr_classes; class_nr++) {
        struct zr_pool_class *class = &pool->class[class_nr];

        while (i < start[class_nr]) {
            size_t end = i + FREE_PER_LOCK < start[class_nr] ? i + FREE_PER_LOCK : start[class_nr];

            pthread_mutex_lock(&class->lock);
            for (; i < end; i++) {
                free_locked(pool, class, sorted[i], emptied);
            }
            pthread_mutex_unlock(&class->lock);
        }
    }
}

void zr_pool_free(struct zr_pool *pool, const uint64_t *words, size_t nr_words)
{
    CDS_LIST_HEAD(emptied);
    size_t done, nr;

    for (done = 0; done < nr_words; done += nr) {
        nr = nr_words - done < FREE_BATCH ? nr_words - done : FREE_BATCH;
        free_batch(pool, words + done, nr, &emptied);
    }
    if (!cds_list_empty(&emptied)) {
        put_emptied_spans(pool, &emptied);
    }
}

bool zr_pool_try_isolate(struct zr_pool *pool, struct zr_span *span, uint32_t class_nr)
{
    struct zr_pool_class *class = &pool->class[class_nr];
    bool isolated;

    pthread_mutex_lock(&class->lock);
    isolated =
        zr_span_class(span) == class_nr && !zr_span_is_full(span) && !zr_span_is_isolated(span);
    if (isolated) {
        cds_list_del(&span->node);
        atomic_store_explicit(&span->is_isolated, true, memory_order_relaxed);
    }
    pthread_mutex_unlock(&class->lock);
    return isolated;
}

struct zr_span *zr_pool_take_log_span(struct zr_pool *pool, bool at_any_use)
{
    uint32_t class_nr = zr_size_class_log(&pool->classes);
    struct zr_pool_class *class = &pool->class[class_nr];
    struct zr_span *span;

    pthread_mutex_lock(&class->lock);
    span = get_free_span(pool, class_nr, at_any_use ? AT_ANY_USE : COLD_FIRST);
    if (span) {
        atomic_store_explicit(&span->is_isolated, true, memory_order_relaxed);
        class->nr_spans++;
    }
    pthread_mutex_unlock(&class->lock);
    return span;
}

void zr_pool_put_back(struct zr_pool *pool, struct zr_span *span)
{
    // It cannot leave its class before it is put back.
    struct zr_pool_class *class = &pool->class[zr_span_class(span)];
    CDS_LIST_HEAD(emptied);

    pthread_mutex_lock(&class->lock);
    atomic_store_explicit(&span->is_isolated, false, memory_order_relaxed);
    if (zr_span_is_empty(span)) {
        leave_class_locked(class, span, &emptied);
    } else {
        cds_list_add_tail(&span->node, &class->partial);
    }
    pthread_mutex_unlock(&class->lock);
    if (!cds_list_empty(&emptied)) {
        put_emptied_spans(pool, &emptied);
    }
}

void zr_pool_get_stats(struct zr_pool *pool, struct zr_pool_stats *stats)
{
    uint32_t chunk_class = zr_size_class_chunk(&pool->classes);
    uint32_t i;

    memset(stats, 0, sizeof *stats);
    for (i = 0; i < pool->classes.nr_classes; i++) {
        struct zr_pool_class *class = &pool->class[i];

        pthread_mutex_lock(&class->lock);
        if (i == chunk_class) {
            stats->nr_chunks = class->nr_objects;
        } else {
            stats->nr_objects += class->nr_objects;
            stats->stored_bytes += class->stored_bytes;
        }
        if (i == chunk_class - 1) {
            stats->nr_max_objects = class->nr_objects;
        }
        pthread_mutex_unlock(&class->lock);
    }
    pthread_mutex_lock(&pool->span_lock);
    stats->used_bytes = (pool->nr_used_spans + pool->nr_warm_spans) << ZR_SPAN_SHIFT;
    stats->peak_used_bytes = pool->peak_spans << ZR_SPAN_SHIFT;
    stats->limit_bytes = pool->max_spans << ZR_SPAN_SHIFT;
    stats->nr_taken_cold = pool->nr_taken_cold;
    stats->populated_bytes = atomic_load_explicit(&pool->nr_populated_spans, memory_order_relaxed)
                             << ZR_SPAN_SHIFT;
    pthread_mutex_unlock(&pool->span_lock);
}

bool zr_pool_is_valid(struct zr_pool *pool)
{
    uint64_t nr_used[ZR_NR_CLASSES_MAX] = {0};
    uint64_t nr_spans[ZR_NR_CLASSES_MAX] = {0};
    struct zr_span *span;
    uint64_t nr_free = 0;
    uint64_t i;

    for (i = 0; i < pool->nr_opened_spans; i++) {
        span = zr_pool_span_at(pool, i);
        if (zr_span_class(span) == ZR_CLASS_NONE) {
            nr_free++;
            continue;
        }
        if ((zr_span_is_empty(span) && !zr_span_is_isolated(span)) || !zr_span_is_valid(span)) {
            return false;
        }
        nr_used[zr_span_class(span)] += zr_span_nr_used(span);
        nr_spans[zr_span_class(span)]++;
    }
    for (i = 0; i < pool->classes.nr_classes; i++) {
        if (nr_used[i] != pool->class[i].nr_objects || nr_spans[i] != pool->class[i].nr_spans) {
            return false;
        }
        cds_list_for_each_entry(span, &pool->class[i].partial, node)
        {
            if (zr_span_is_full(span) || zr_span_is_empty(span) || zr_span_class(span) != i) {
                return false;
            }
        }
    }
    return nr_free == pool->nr_opened_spans - pool->nr_used_spans;
}
