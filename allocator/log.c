// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "log.h"

#include <assert.h>
#include <errno.h>

void zr_log_init(struct zr_log *log, struct zr_pool *pool)
{
    *log = (struct zr_log){.pool = pool};
}

static void let_go(struct zr_log *log, struct zr_span **span)
{
    if (*span) {
        zr_pool_put_back(log->pool, *span);
    }
    *span = NULL;
}

void zr_log_fini(struct zr_log *log)
{
    let_go(log, &log->end);
    let_go(log, &log->spare);
}

uint32_t zr_log_room_bytes(const struct zr_log *log)
{
    return log->end ? ZR_SPAN_BYTES - zr_span_fill_bytes(log->end) : 0;
}

static void replace_end(struct zr_log *log, struct zr_span *span)
{
    let_go(log, &log->end);
    log->end = span;
}

// The memory for bytes [start, end) of a span.  Only who appends changes what is backed of it,
// since it is isolated.
static int back(struct zr_log *log, struct zr_span *span, uint32_t start, uint32_t end)
{
    uint32_t missing = zr_span_pages(start, end) & ~zr_span_backed(span);
    uint64_t span_offset = zr_pool_span_index(log->pool, span) << ZR_SPAN_SHIFT;
    uint32_t first, nr;
    int rc;

    if (missing == 0) {
        return 0;
    }
    first = (uint32_t)__builtin_ctz(missing);
    nr = 32 - (uint32_t)__builtin_clz(missing) - first;
    rc = zr_arena_back(&log->pool->arena, span_offset + (size_t)first * ZR_OS_PAGE_BYTES,
                       (size_t)nr * ZR_OS_PAGE_BYTES);
    if (rc == 0) {
        zr_span_set_backed(span, zr_span_backed(span) | missing);
    }
    return rc < 0 ? -ENOSPC : 0;
}

// At the end, with its memory.  A log that has no span at all takes its first one also from a pool
// that is at its limit: what is moved into it makes more room than it takes.
static int make_room(struct zr_log *log, uint32_t bytes, bool may_use_spare)
{
    struct zr_span *span = log->end;

    if (zr_log_room_bytes(log) < bytes) {
        span = zr_pool_take_log_span(log->pool, !log->end && !log->spare);
        if (span) {
            replace_end(log, span);
        }
    }
    if (span) {
        uint32_t start = zr_span_fill_bytes(span);

        if (back(log, span, start, start + bytes) == 0) {
            return 0;
        }
    }
    if (!may_use_spare || !log->spare) {
        return -ENOSPC;
    }
    replace_end(log, log->spare);
    log->spare = NULL;
    return 0;
}

int zr_log_append(struct zr_log *log, uint32_t bytes, uint32_t nr_owners, uint32_t owned_bytes,
                  bool may_use_spare, uint64_t *offset)
{
    struct zr_pool_class *class = &log->pool->class[zr_size_class_log(&log->pool->classes)];
    uint32_t start;
    int rc;

    bytes = zr_log_object_bytes(bytes);
    assert(owned_bytes <= bytes);
    rc = make_room(log, bytes, may_use_spare);
    if (rc < 0) {
        return rc;
    }
    start = zr_span_fill_bytes(log->end);
    pthread_mutex_lock(&class->lock);
    zr_span_add_owners(log->end, nr_owners, owned_bytes);
    atomic_store_explicit(&log->end->fill_bytes, start + bytes, memory_order_relaxed);
    class->nr_objects += nr_owners;
    class->stored_bytes += owned_bytes;
    pthread_mutex_unlock(&class->lock);
    *offset = (zr_pool_span_index(log->pool, log->end) << ZR_SPAN_SHIFT) + start;
    return 0;
}

size_t zr_log_readable_bytes(const struct zr_pool *pool, zr_handle object)
{
    const size_t start = zr_handle_offset_bytes(object) & (ZR_SPAN_BYTES - 1);
    const uint64_t pages =
        (uint64_t)zr_span_backed(zr_pool_span_of(pool, object)) >> start / ZR_OS_PAGE_BYTES;
    const size_t nr_pages = (size_t)__builtin_ctzll(~pages);

    return nr_pages > 0 ? nr_pages * ZR_OS_PAGE_BYTES - start % ZR_OS_PAGE_BYTES : 0;
}

void zr_log_keep_spare(struct zr_log *log)
{
    if (log->spare) {
        return;
    }
    log->spare = zr_pool_take_log_span(log->pool, false);
    if (log->spare && back(log, log->spare, 0, ZR_SPAN_BYTES) < 0) {
        let_go(log, &log->spare);
    }
}

uint32_t zr_log_waste_bytes(const struct zr_pool *pool, const struct zr_span *span)
{
    uint32_t backed_bytes = (uint32_t)__builtin_popcount(zr_span_backed(span)) * ZR_OS_PAGE_BYTES;
    uint32_t fill_bytes = zr_span_fill_bytes(span), live_bytes = zr_span_live_bytes(span);

    // An earlier server left it filled who knows how far, but no further than it has memory.
    fill_bytes = fill_bytes < backed_bytes ? fill_bytes : backed_bytes;
    return zr_span_class(span) == zr_size_class_log(&pool->classes) && !zr_span_is_isolated(span) &&
                   !zr_span_is_kept(span) && live_bytes < fill_bytes
               ? fill_bytes - live_bytes
               : 0;
}
