// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// CPUs, clock, background threads and memory, all from the seed.  The arena's calls fail now and
// then in some schedules; memory that is given back while an object in it is in use is noticed, and
// so is a free of what is not in use.  What is freed is poisoned at once.
#include "thread.h"

#include "allocator/worker.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define POISON 0xdb

unsigned zs_nr_cpus = 2;
struct zr_pool *zs_pool;
char zs_last_message[256];

static uint64_t clock_ns;
static bool has_injected;
static bool is_backed[ZS_MEMORY_BYTES / ZR_OS_PAGE_BYTES]; // OS pages of the pool's arena
static char memory[ZS_MEMORY_BYTES] __attribute__((aligned(1 << 17)));
static size_t memory_used;

bool zs_was_used(const struct zr_span *span)
{
    return span->capacity > 0; // by objects, or by a log
}

void zs_reset(struct zr_pool *next)
{
    uint64_t i;

    // Only what was used is dirty.
    if (zs_pool) {
        for (i = 0; i < zs_pool->nr_opened_spans; i++) {
            if (zs_was_used(zr_pool_span_at(zs_pool, i))) {
                memset(zs_pool->arena.base + (i << ZR_SPAN_SHIFT), 0, ZR_SPAN_BYTES);
            }
        }
        memset(zs_pool->arena.base + zs_pool->arena.reserved_bytes, 0,
               memory_used - zs_pool->arena.reserved_bytes);
    }
    memset(is_backed, 0, sizeof is_backed);
    zs_pool = next;
    memory_used = 0;
    has_injected = false;
    zs_last_message[0] = 0;
    clock_ns = UINT64_C(1000000000);
    zs_forget_hot();
    zs_forget_log_objects();
}

// ---- CPUs, clock, workers

int zs_cpu(void)
{
    return zs_current ? (int)zs_current_nr() : 0;
}

void zs_message(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(zs_last_message, sizeof zs_last_message, format, args);
    va_end(args);
}

void zs_sleep(uint64_t ns)
{
    *(zs_current ? &zs_current->clock_ns : &clock_ns) += ns;
}

uint64_t zr_worker_now_ns(void)
{
    clock_ns += zs_current ? zs_below(&zs_rng, 300000) : 1;
    return clock_ns + (zs_current ? zs_current->clock_ns : 0);
}

int zr_worker_start(struct zr_worker *worker, zr_work work, void *opaque)
{
    *worker = (struct zr_worker){.work = work, .opaque = opaque}; // the harness calls work
    return 0;
}

void zr_worker_stop(struct zr_worker *worker)
{
    (void)worker;
}

// ---- The arena

static bool fails(const char *call)
{
    bool is_failure = zs_current && zs_schedule.fault_permille > 0 &&
                      zs_below(&zs_rng, 1000) < zs_schedule.fault_permille;

    zs_step(call, ZS_BORDER);
    has_injected |= is_failure;
    return is_failure;
}

bool zs_has_injected_faults(void)
{
    return has_injected;
}

int zr_arena_init(struct zr_arena *arena, enum zr_arena_kind kind, size_t reserve_bytes)
{
    (void)kind;
    reserve_bytes = (reserve_bytes + ZR_OS_PAGE_BYTES - 1) / ZR_OS_PAGE_BYTES * ZR_OS_PAGE_BYTES;
    if (memory_used + reserve_bytes > ZS_MEMORY_BYTES) {
        return -ENOMEM;
    }
    *arena =
        (struct zr_arena){.base = memory + memory_used, .reserved_bytes = reserve_bytes, .fd = -1};
    memory_used += reserve_bytes;
    return 0;
}

int zr_arena_init_file(struct zr_arena *arena, int fd, uint64_t file_offset, size_t reserve_bytes)
{
    (void)fd;
    (void)file_offset;
    return zr_arena_init(arena, ZR_ARENA_FILE, reserve_bytes); // no store here: see test-recover
}

void zr_arena_fini(struct zr_arena *arena)
{
    (void)arena;
}

int zr_arena_open(struct zr_arena *arena, size_t end_bytes)
{
    if (end_bytes > arena->reserved_bytes) {
        return -ENOSPC;
    }
    if (end_bytes > arena->open_bytes) {
        if (fails("arena open")) {
            return -ENOMEM;
        }
        arena->open_bytes = end_bytes;
    }
    return 0;
}

static bool is_used(const struct zr_span *span, size_t start, size_t end)
{
    size_t i;

    if (zr_span_is_log(span)) {
        size_t base = zr_pool_span_index(zs_pool, span) << ZR_SPAN_SHIFT;

        return zs_log_is_used(base + start, base + end);
    }
    for (i = 0; i < span->capacity; i++) {
        if (span->used[i / 64] >> i % 64 & 1 && i * span->object_bytes < end &&
            (i + 1) * span->object_bytes > start) {
            return true;
        }
    }
    return false;
}

bool zs_is_backed(uint64_t page)
{
    return is_backed[page];
}

int zr_arena_back(struct zr_arena *arena, size_t offset, size_t bytes)
{
    (void)arena;
    if (fails("arena back")) {
        return -ENOSPC;
    }
    memset(is_backed + offset / ZR_OS_PAGE_BYTES, true, bytes / ZR_OS_PAGE_BYTES);
    return 0;
}

int zr_arena_release(struct zr_arena *arena, size_t offset, size_t bytes)
{
    size_t done, nr;

    if (fails("arena release")) {
        return -ENOMEM;
    }
    for (done = offset; done < offset + bytes; done += nr) {
        const struct zr_span *span = zr_pool_span_at(zs_pool, done >> ZR_SPAN_SHIFT);
        size_t start = done % ZR_SPAN_BYTES;

        nr = ZR_SPAN_BYTES - start < offset + bytes - done ? ZR_SPAN_BYTES - start
                                                           : offset + bytes - done;
        if (zr_span_class(span) != ZR_CLASS_NONE &&
            zr_span_backed(span) & zr_span_pages((uint32_t)start, (uint32_t)(start + nr))) {
            zs_fail("pages given back that count as backed");
        }
        if (is_used(span, start, start + nr)) {
            zs_fail("memory of an object in use given back: span %lu, class %u, %lu+%lu",
                    (unsigned long)(done >> ZR_SPAN_SHIFT), zr_span_class(span),
                    (unsigned long)start, (unsigned long)nr);
        }
    }
    memset(arena->base + offset, 0, bytes);
    memset(is_backed + offset / ZR_OS_PAGE_BYTES, false, bytes / ZR_OS_PAGE_BYTES);
    return 0;
}

// ---- Objects: linked in place of the pool's calls (--wrap)

int __real_zr_pool_alloc(struct zr_pool *, uint32_t, zr_handle *);
int __wrap_zr_pool_alloc(struct zr_pool *, uint32_t, zr_handle *);
int __real_zr_pool_alloc_copy(struct zr_pool *, uint32_t, zr_handle *);
int __wrap_zr_pool_alloc_copy(struct zr_pool *, uint32_t, zr_handle *);
int __real_zr_pool_alloc_chunk(struct zr_pool *, zr_handle *);
int __wrap_zr_pool_alloc_chunk(struct zr_pool *, zr_handle *);
void __real_zr_pool_free(struct zr_pool *, const uint64_t *, size_t);
void __wrap_zr_pool_free(struct zr_pool *, const uint64_t *, size_t);

// The touch of a page for which there is no memory would be a signal.
void zs_check_backed(zr_handle handle)
{
    size_t first = zr_handle_offset_bytes(handle);
    size_t last = first + zr_handle_length_bytes(handle) - 1, i;

    for (i = first / ZR_OS_PAGE_BYTES; i <= last / ZR_OS_PAGE_BYTES; i++) {
        if (!is_backed[i]) {
            zs_fail("object in a page without memory: %lu+%lu", (unsigned long)first,
                    (unsigned long)(last + 1 - first));
        }
    }
}

static int made(int rc, const zr_handle *handle)
{
    if (rc == 0) {
        zs_check_backed(*handle);
    }
    if (rc == 0 && zs_current && zs_schedule.is_weak) {
        zs_note_made(handle->bits);
    }
    return rc;
}

int __wrap_zr_pool_alloc(struct zr_pool *pool, uint32_t bytes, zr_handle *handle)
{
    return made(__real_zr_pool_alloc(pool, bytes, handle), handle);
}

int __wrap_zr_pool_alloc_copy(struct zr_pool *pool, uint32_t bytes, zr_handle *handle)
{
    return made(__real_zr_pool_alloc_copy(pool, bytes, handle), handle);
}

int __wrap_zr_pool_alloc_chunk(struct zr_pool *pool, zr_handle *handle)
{
    return made(__real_zr_pool_alloc_chunk(pool, handle), handle);
}

void __wrap_zr_pool_free(struct zr_pool *pool, const uint64_t *words, size_t nr_words)
{
    size_t i;

    for (i = 0; i < nr_words; i++) {
        zr_handle handle = zr_handle_of_word(words[i]);
        size_t start = zr_handle_offset_bytes(handle) % ZR_SPAN_BYTES;

        if (!zr_handle_has_object(handle)) {
            continue;
        }
        if (zr_pool_holds(pool, handle) && zr_span_is_log(zr_pool_span_of(pool, handle))) {
            zs_log_frees_owner(handle);
            continue;
        }
        if (!zr_pool_holds(pool, handle) ||
            !is_used(zr_pool_span_of(pool, handle), start, start + 1)) {
            zs_fail("object freed that is not in use: word %lx", (unsigned long)words[i]);
        }
        if (zs_current && zs_schedule.is_weak) {
            zs_note_freed(handle.bits);
        }
        zs_check_backed(handle);
        memset(zr_pool_view(pool, handle), POISON, zr_handle_length_bytes(handle));
        if (zr_handle_length_bytes(handle) == ZR_CHUNK_BYTES) {
            zs_note_chunk_freed(handle.bits);
        }
    }
    __real_zr_pool_free(pool, words, nr_words);
}
