// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "claim.h"

#include <errno.h>

// Takes the memory for the descriptions of the spans up to end at once.  Best effort: their first
// touch does it too, page by page, which is a third of all that recovery takes.
static void back_descriptions(struct zr_pool *pool, uint64_t end)
{
    size_t from = pool->nr_opened_spans * sizeof(struct zr_span) / ZR_OS_PAGE_BYTES;
    size_t to = (end * sizeof(struct zr_span) + ZR_OS_PAGE_BYTES - 1) / ZR_OS_PAGE_BYTES;
    int rc = zr_arena_open(&pool->span_table, end * sizeof(struct zr_span));

    if (rc == 0) {
        rc = zr_arena_back(&pool->span_table, from * ZR_OS_PAGE_BYTES,
                           (to - from) * ZR_OS_PAGE_BYTES);
    }
    (void)rc;
}

// Spans up to end are opened; less than that at the end of the arena.
static int open_spans(struct zr_pool *pool, uint64_t end)
{
    uint64_t nr_spans = pool->arena.reserved_bytes >> ZR_SPAN_SHIFT;

    end = (end + ZR_POOL_OPEN_SPANS - 1) / ZR_POOL_OPEN_SPANS * ZR_POOL_OPEN_SPANS;
    end = end < nr_spans ? end : nr_spans;
    if (end <= pool->nr_opened_spans) {
        return 0;
    }
    back_descriptions(pool, end);
    return zr_pool_open_spans_locked(pool, end);
}

// Bytes [start, end) of the arena have memory.
static void add_backed(struct zr_pool *pool, size_t start, size_t end)
{
    size_t next;

    for (; start < end; start = next) {
        struct zr_span *span = zr_pool_span_at(pool, start >> ZR_SPAN_SHIFT);
        uint32_t first = (uint32_t)start & (ZR_SPAN_BYTES - 1);

        next = (start | (ZR_SPAN_BYTES - 1)) + 1;
        next = next < end ? next : end;
        zr_span_set_backed(span, zr_span_backed(span) |
                                     zr_span_pages(first, first + (uint32_t)(next - start)));
    }
}

int zr_pool_begin_claims(struct zr_pool *pool)
{
    size_t start, end = 0;
    int rc;

    for (;;) {
        rc = zr_arena_next_data(&pool->arena, end, &start, &end);
        if (rc < 0 || start == end) {
            return rc;
        }
        rc = open_spans(pool, (end - 1 + ZR_SPAN_BYTES) >> ZR_SPAN_SHIFT);
        if (rc < 0) {
            return rc;
        }
        add_backed(pool, start, end);
    }
}

// The span of a kind that the store notes: its class; ZR_CLASS_NONE if that is none.
static uint32_t class_of_kind(const struct zr_pool *pool, uint64_t index)
{
    uint32_t kind = atomic_load_explicit(zr_pool_kind_of(pool, index), memory_order_relaxed);
    uint32_t bytes = (kind & ~ZR_KIND_OF_CHUNKS) * ZR_KIND_UNIT_BYTES;
    uint32_t class_nr;

    if (kind & ZR_KIND_OF_LOG) {
        return kind == ZR_KIND_OF_LOG ? zr_size_class_log(&pool->classes) : ZR_CLASS_NONE;
    }
    if (kind & ZR_KIND_OF_CHUNKS) {
        return bytes == ZR_CHUNK_BYTES ? zr_size_class_chunk(&pool->classes) : ZR_CLASS_NONE;
    }
    if (bytes == 0 || bytes > ZR_OBJECT_MAX_BYTES) {
        return ZR_CLASS_NONE;
    }
    class_nr = zr_size_class_of(&pool->classes, bytes);
    return pool->classes.object_bytes[class_nr] == bytes ? class_nr : ZR_CLASS_NONE;
}

// The bit of an object in its span.  False if none can lie there, or it is claimed already.
static bool try_claim_object(struct zr_span *span, uint32_t start, uint32_t length)
{
    uint32_t object;
    uint64_t mask;

    if (length > span->object_bytes) {
        return false;
    }
    object = start / span->object_bytes;
    mask = UINT64_C(1) << object % 64;
    if (object * span->object_bytes != start || object >= span->capacity ||
        (zr_span_pages(start, start + span->object_bytes) & ~zr_span_backed(span)) != 0 ||
        (span->used[object / 64] & mask) != 0) {
        return false;
    }
    span->used[object / 64] |= mask;
    atomic_store_explicit(&span->nr_used, (uint16_t)(zr_span_nr_used(span) + 1),
                          memory_order_relaxed);
    return true;
}

// A length that was damaged tells what is lost in the span wrong, and must not cost its other
// pages.
static bool try_claim_share(struct zr_span *span, uint32_t start, uint32_t length)
{
    uint32_t left_bytes = ZR_SPAN_BYTES - zr_span_live_bytes(span);

    if ((zr_span_pages(start, start + 1) & ~zr_span_backed(span)) != 0 ||
        zr_span_nr_used(span) == span->capacity) {
        return false;
    }
    zr_span_add_owners(span, 1, length < left_bytes ? length : left_bytes);
    return true;
}

static enum zr_claim_sort sort_of_class(const struct zr_pool *pool, uint32_t class_nr)
{
    return class_nr == zr_size_class_chunk(&pool->classes) ? ZR_CLAIM_CHUNK
           : class_nr == zr_size_class_log(&pool->classes) ? ZR_CLAIM_SHARE
                                                           : ZR_CLAIM_OBJECT;
}

bool zr_pool_claim(struct zr_pool *pool, zr_handle handle, enum zr_claim_sort sort)
{
    const uint64_t offset = zr_handle_offset_bytes(handle);
    const uint32_t length = zr_handle_length_bytes(handle);
    const uint32_t start = (uint32_t)offset & (ZR_SPAN_BYTES - 1);
    uint64_t index = offset >> ZR_SPAN_SHIFT;
    struct zr_pool_class *class;
    struct zr_span *span;
    uint32_t class_nr;

    if (length == 0 || index >= pool->nr_opened_spans) {
        return false;
    }
    span = zr_pool_span_at(pool, index);
    class_nr = zr_span_class(span);
    if (class_nr == ZR_CLASS_NONE) {
        class_nr = class_of_kind(pool, index);
        if (class_nr == ZR_CLASS_NONE) {
            return false;
        }
        zr_span_init(span, (uint8_t)class_nr, pool->classes.object_bytes[class_nr]);
        if (zr_span_is_log(span)) { // how far it was filled nobody noted
            atomic_store_explicit(&span->fill_bytes, ZR_SPAN_BYTES, memory_order_relaxed);
        }
    }
    if (sort_of_class(pool, class_nr) != sort ||
        (sort == ZR_CLAIM_CHUNK && length != ZR_CHUNK_BYTES) ||
        !(sort == ZR_CLAIM_SHARE ? try_claim_share(span, start, length)
                                 : try_claim_object(span, start, length))) {
        return false;
    }
    class = &pool->class[class_nr];
    class->nr_objects++;
    class->stored_bytes += length;
    return true;
}

static void give_back(struct zr_pool *pool, uint64_t index)
{
    if (zr_arena_release(&pool->arena, index << ZR_SPAN_SHIFT, ZR_SPAN_BYTES) == 0) {
        zr_span_set_backed(zr_pool_span_at(pool, index), 0);
    }
}

// A span without objects, into the list where it belongs.
static void list_free_span(struct zr_pool *pool, uint64_t index)
{
    struct zr_span *span = zr_pool_span_at(pool, index);

    zr_span_set_class(span, ZR_CLASS_NONE);
    if (zr_span_backed(span) != 0 && pool->nr_used_spans + pool->nr_warm_spans >= pool->max_spans) {
        give_back(pool, index);
    }
    if (zr_span_backed(span) == 0) {
        cds_list_add_tail(&span->node, &pool->cold);
        return;
    }
    if (zr_span_backed(span) == ZR_SPAN_ALL_PAGES) {
        cds_list_add(&span->node, &pool->warm);
    } else {
        cds_list_add_tail(&span->node, &pool->warm);
    }
    pool->nr_warm_spans++;
}

static bool is_claimed(const struct zr_span *span)
{
    return zr_span_class(span) != ZR_CLASS_NONE && !zr_span_is_empty(span);
}

void zr_pool_end_claims(struct zr_pool *pool)
{
    uint64_t i;

    for (i = 0; i < pool->nr_opened_spans; i++) {
        struct zr_span *span = zr_pool_span_at(pool, i);
        struct zr_pool_class *class;

        if (!is_claimed(span)) {
            continue;
        }
        class = &pool->class[zr_span_class(span)];
        class->nr_spans++;
        pool->nr_used_spans++;
        if (zr_span_is_full(span)) {
            zr_span_set_quiet_windows(span, ZR_SPAN_QUIET);
        } else {
            cds_list_add_tail(&span->node, &class->partial);
        }
    }
    for (i = 0; i < pool->nr_opened_spans; i++) {
        if (!is_claimed(zr_pool_span_at(pool, i))) {
            list_free_span(pool, i);
        }
    }
    zr_pool_note_peak_locked(pool);
}

void zr_pool_release_unclaimed(struct zr_pool *pool)
{
    struct zr_span *span, *next;
    uint64_t i;
    uint32_t page;

    cds_list_for_each_entry_safe(span, next, &pool->warm, node)
    {
        give_back(pool, zr_pool_span_index(pool, span));
        if (zr_span_backed(span) == 0) {
            cds_list_del(&span->node);
            cds_list_add(&span->node, &pool->cold);
            pool->nr_warm_spans--;
        }
    }
    for (i = 0; i < pool->nr_opened_spans; i++) {
        span = zr_pool_span_at(pool, i);
        for (page = 0; is_claimed(span) && page < ZR_SPAN_PAGES; page++) {
            uint32_t bit = UINT32_C(1) << page;

            if ((zr_span_backed(span) & ~zr_span_used_pages(span) & bit) != 0 &&
                zr_arena_release(&pool->arena,
                                 (i << ZR_SPAN_SHIFT) + (size_t)page * ZR_OS_PAGE_BYTES,
                                 ZR_OS_PAGE_BYTES) == 0) {
                zr_span_set_backed(span, zr_span_backed(span) & ~bit);
            }
        }
    }
}
