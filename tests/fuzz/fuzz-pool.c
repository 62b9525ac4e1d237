// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Bytes → calls of the pool, in any order that its header allows.  Each object is filled with a
// stamp of its own and looked at before it is freed; the pool's counters must be those of the model
// after every call, its invariants hold after some.  The pool is small, so that inputs find it
// full.
#include "fuzz.h"

#include "allocator/pool.h"

#include <errno.h>

#define POOL_BYTES (1 << 20)
#define MAX_OBJECTS 2048
#define MAX_ISOLATED 4
#define INVARIANTS_EVERY 8 // calls: a walk over all spans takes longer than one

enum { ALLOC, ALLOC_COPY, ALLOC_CHUNK, FREE, ISOLATE, PUT_BACK, NR_CALLS };

static struct zr_pool pool;
static zr_handle objects[MAX_OBJECTS];
static struct zr_span *isolated[MAX_ISOLATED];
static size_t nr_objects, nr_isolated;

// A byte that is the handle's alone among its neighbours in the span.
static uint8_t stamp_of(zr_handle handle)
{
    return (uint8_t)(zr_handle_offset_bytes(handle) * 0x9e3779b1u >> 24);
}

static void add_object(int rc, zr_handle handle, uint32_t bytes)
{
    if (rc < 0) {
        FUZZ_CHECK(rc == -ENOSPC);
        return;
    }
    FUZZ_CHECK(zr_handle_length_bytes(handle) == bytes);
    FUZZ_CHECK(zr_pool_holds(&pool, handle));
    memset(zr_pool_view(&pool, handle), stamp_of(handle), bytes);
    objects[nr_objects++] = handle;
}

static bool is_chunk(zr_handle handle)
{
    return zr_span_class(zr_pool_span_of(&pool, handle)) == zr_size_class_chunk(&pool.classes);
}

static void alloc(unsigned call, uint32_t bytes)
{
    zr_handle handle = {0};
    int rc;

    if (nr_objects == MAX_OBJECTS) {
        return;
    }
    if (call == ALLOC_CHUNK) {
        static const char zeros[ZR_CHUNK_BYTES];

        bytes = ZR_CHUNK_BYTES;
        rc = zr_pool_alloc_chunk(&pool, &handle);
        FUZZ_CHECK(rc < 0 || memcmp(zr_pool_view(&pool, handle), zeros, sizeof zeros) == 0);
        FUZZ_CHECK(rc < 0 || is_chunk(handle));
    } else {
        bytes = 1 + bytes % ZR_OBJECT_MAX_BYTES;
        rc = call == ALLOC ? zr_pool_alloc(&pool, bytes, &handle)
                           : zr_pool_alloc_copy(&pool, bytes, &handle);
        FUZZ_CHECK(rc < 0 || !is_chunk(handle));
    }
    add_object(rc, handle, bytes);
}

static void check_content(zr_handle handle)
{
    const uint8_t *bytes = zr_pool_view(&pool, handle);

    for (uint32_t i = 0; i < zr_handle_length_bytes(handle); i++) {
        FUZZ_CHECK(bytes[i] == stamp_of(handle));
    }
}

// Frees up to nr objects, from first on, in one call.
static void free_objects(size_t first, size_t nr)
{
    uint64_t words[MAX_OBJECTS];
    size_t nr_words = 0;

    while (nr_objects > 0 && nr_words < nr) {
        size_t victim = (first + nr_words) % nr_objects;

        check_content(objects[victim]);
        words[nr_words++] = objects[victim].bits | UINT64_C(3) << 61; // owner bits do not matter
        objects[victim] = objects[--nr_objects];
    }
    zr_pool_free(&pool, words, nr_words);
}

static void isolate(size_t which)
{
    struct zr_span *span;

    if (nr_objects == 0 || nr_isolated == MAX_ISOLATED) {
        return;
    }
    span = zr_pool_span_of(&pool, objects[which % nr_objects]);
    if (zr_pool_try_isolate(&pool, span, zr_span_class(span))) {
        FUZZ_CHECK(zr_span_is_isolated(span));
        isolated[nr_isolated++] = span;
    }
}

static void put_back(size_t which)
{
    if (nr_isolated > 0) {
        which %= nr_isolated;
        zr_pool_put_back(&pool, isolated[which]);
        isolated[which] = isolated[--nr_isolated];
    }
}

static void check_pool(void)
{
    struct zr_pool_stats stats;
    uint64_t stored_bytes = 0, nr_chunks = 0;

    for (size_t i = 0; i < nr_objects; i++) {
        bool is_one = is_chunk(objects[i]);

        nr_chunks += is_one;
        stored_bytes += is_one ? 0 : zr_handle_length_bytes(objects[i]);
    }
    zr_pool_get_stats(&pool, &stats);
    FUZZ_CHECK(stats.nr_chunks == nr_chunks);
    FUZZ_CHECK(stats.nr_objects == nr_objects - nr_chunks);
    FUZZ_CHECK(stats.stored_bytes == stored_bytes);
    FUZZ_CHECK(stats.used_bytes <= POOL_BYTES);
}

// An isolated span that ran empty is neither free nor in its class until it is put back.
static void check_invariants(void)
{
    FUZZ_CHECK(nr_isolated > 0 || zr_pool_is_valid(&pool));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t nr_bytes)
{
    struct fuzz_input input = {bytes, nr_bytes};
    unsigned nr_calls = 0;

    FUZZ_CHECK(zr_pool_init(&pool, POOL_BYTES, NULL) == 0);
    while (input.nr_bytes > 0) {
        unsigned call = (unsigned)fuzz_number(&input, 1);
        unsigned argument = (unsigned)fuzz_number(&input, 2);
        unsigned nr = 1 + call / NR_CALLS; // how often, so that a few bytes fill a pool

        call %= NR_CALLS;
        if (call == FREE) {
            free_objects(argument, nr * nr);
        } else if (call == ISOLATE) {
            isolate(argument);
        } else if (call == PUT_BACK) {
            put_back(argument);
        } else {
            while (nr-- > 0) {
                alloc(call, argument);
            }
        }
        check_pool();
        if (++nr_calls % INVARIANTS_EVERY == 0) {
            check_invariants();
        }
    }
    while (nr_isolated > 0) {
        put_back(0);
    }
    check_invariants();
    free_objects(0, MAX_OBJECTS);
    check_pool();
    check_invariants();
    FUZZ_CHECK(pool.nr_used_spans == 0);
    zr_pool_fini(&pool);
    return 0;
}
