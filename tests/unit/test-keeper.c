// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Linked with --wrap for zr_arena_release and zr_arena_back, so that a test can act just while
// memory is on its way.
#include "unit.h"
#include "fault.h"

#include "allocator/keeper.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MAX_PER_SPAN (ZR_SPAN_BYTES / ZR_OBJECT_MAX_BYTES)
#define NR_SPANS 32

static struct zr_pool pool;
static struct zr_deferred_free *deferred;
static struct zr_keeper keeper;
static uint64_t words[NR_SPANS * MAX_PER_SPAN];

// Room for NR_SPANS beside what deferred free sets aside.
static void start(void)
{
    struct zr_pool_stats stats;

    ck_assert_int_eq(zr_pool_init(&pool, MiB, NULL), 0);
    ck_assert_int_eq(zr_deferred_free_create(&pool, &deferred), 0);
    zr_pool_get_stats(&pool, &stats);
    zr_deferred_free_destroy(deferred);
    zr_pool_fini(&pool);
    ck_assert_int_eq(zr_pool_init(&pool, stats.used_bytes + NR_SPANS * ZR_SPAN_BYTES, NULL), 0);
    ck_assert_int_eq(zr_deferred_free_create(&pool, &deferred), 0);
}

static void start_keeper(void)
{
    ck_assert_int_eq(zr_keeper_start(&keeper, &pool, deferred), 0);
}

static void end(void)
{
    struct zr_pool_stats stats;

    zr_keeper_stop(&keeper);
    zr_deferred_free_destroy(deferred);
    ck_assert(zr_pool_is_valid(&pool));
    zr_pool_get_stats(&pool, &stats);
    ck_assert_uint_eq(stats.nr_objects, 0);
    zr_pool_fini(&pool);
}

static struct zr_pool_stats pool_stats(void)
{
    struct zr_pool_stats stats;

    zr_pool_get_stats(&pool, &stats);
    return stats;
}

static uint64_t resident_bytes(void)
{
    struct stat status;

    ck_assert_int_eq(fstat(pool.arena.fd, &status), 0);
    return (uint64_t)status.st_blocks * 512;
}

// As a writer at the limit does: what the keeper is moving is not lost.
static bool has_room(zr_handle *handle)
{
    bool has_waited = true;

    while (zr_pool_alloc(&pool, ZR_OBJECT_MAX_BYTES, handle) < 0) {
        if (!has_waited) {
            return false;
        }
        has_waited = zr_pool_await_transit(&pool);
    }
    return true;
}

static void fill(size_t nr_spans)
{
    for (size_t i = 0; i < nr_spans * MAX_PER_SPAN; i++) {
        zr_handle handle;

        ck_assert(has_room(&handle));
        memset(zr_pool_view(&pool, handle), (int)i, ZR_OBJECT_MAX_BYTES);
        words[i] = handle.bits;
    }
}

static bool is_intact(size_t i)
{
    const unsigned char *bytes = zr_pool_view(&pool, (zr_handle){words[i]});

    return bytes[0] == (unsigned char)i && memcmp(bytes, bytes + 1, ZR_OBJECT_MAX_BYTES - 1) == 0;
}

static bool is_resident_no_more_than(void *bytes)
{
    return resident_bytes() <= *(uint64_t *)bytes;
}

static bool has_no_object(void *unused)
{
    (void)unused;
    return pool_stats().nr_objects == 0;
}

START_TEST(what_is_handed_over_is_freed_also_after_a_silence)
{
    start();
    start_keeper();
    for (int round = 0; round < 3; round++) {
        fill(1);
        zr_deferred_free_words(deferred, words, MAX_PER_SPAN);
        ck_assert(unit_await(has_no_object, NULL));
        unit_sleep_ms(round == 1 ? 400 : 0);
    }
    end();
}
END_TEST

START_TEST(stop_frees_what_was_handed_over)
{
    start();
    start_keeper();
    fill(1);
    zr_deferred_free_words(deferred, words, MAX_PER_SPAN);
    zr_keeper_stop(&keeper);
    ck_assert_uint_eq(pool_stats().nr_objects, 0);
    end();
}
END_TEST

START_TEST(free_memory_goes_back_after_a_while_and_used_memory_stays)
{
    uint64_t before, allowed;

    start();
    before = resident_bytes();
    fill(NR_SPANS);
    // Every second span, so that what goes has neighbours that stay.
    for (size_t i = 0; i < NR_SPANS; i += 2) {
        zr_pool_free(&pool, &words[i * MAX_PER_SPAN], MAX_PER_SPAN);
    }
    start_keeper();
    allowed = before + NR_SPANS / 2 * ZR_SPAN_BYTES;
    ck_assert(unit_await(is_resident_no_more_than, &allowed));
    ck_assert_uint_eq(pool_stats().peak_used_bytes, pool_stats().limit_bytes);
    for (size_t i = 1; i < NR_SPANS; i += 2) {
        for (size_t n = i * MAX_PER_SPAN; n < (i + 1) * MAX_PER_SPAN; n++) {
            ck_assert(is_intact(n));
        }
        zr_pool_free(&pool, &words[i * MAX_PER_SPAN], MAX_PER_SPAN);
    }
    allowed = before;
    ck_assert(unit_await(is_resident_no_more_than, &allowed));

    // And it can be used again.
    fill(NR_SPANS);
    zr_pool_free(&pool, words, NR_OF(words));
    end();
}
END_TEST

START_TEST(the_unused_tail_of_a_quiet_span_goes_back_and_its_objects_stay)
{
    uint64_t before, allowed;

    start();
    before = resident_bytes();
    fill(1);
    zr_pool_free(&pool, words + 2, MAX_PER_SPAN - 2);
    start_keeper();
    allowed = before + 3 * PAGE_BYTES; // that two objects touch
    ck_assert(unit_await(is_resident_no_more_than, &allowed));
    zr_keeper_stop(&keeper);
    ck_assert(is_intact(0));
    ck_assert(is_intact(1));
    ck_assert(zr_pool_is_valid(&pool));
    zr_pool_free(&pool, words, 2);
    end();
}
END_TEST

static bool is_chunk_intact(zr_handle chunk, uint64_t value)
{
    const _Atomic uint64_t *chunk_words = zr_pool_view_chunk(&pool, chunk);

    for (size_t i = 0; i < ZR_CHUNK_WORDS; i++) {
        if (chunk_words[i] != value) {
            return false;
        }
    }
    return true;
}

// Also those that become free when the span was quiet already.
START_TEST(free_chunks_between_used_ones_go_back_and_these_stay)
{
    zr_handle chunks[3 * ZR_SPAN_BYTES / ZR_CHUNK_BYTES];
    uint64_t before, allowed;

    start();
    before = resident_bytes();
    for (size_t i = 0; i < NR_OF(chunks); i++) {
        ck_assert_int_eq(zr_pool_alloc_chunk(&pool, &chunks[i]), 0);
        for (size_t w = 0; w < ZR_CHUNK_WORDS; w++) {
            zr_pool_view_chunk(&pool, chunks[i])[w] = i + 1;
        }
    }
    start_keeper();
    for (size_t step = 4; step > 1; step -= 2) {
        for (size_t i = 0; i < NR_OF(chunks); i += step) {
            if (step == 4 || i % 4 != 0) {
                zr_pool_free(&pool, &chunks[i].bits, 1);
            }
        }
        allowed = before + (NR_OF(chunks) - NR_OF(chunks) / step) * ZR_CHUNK_BYTES;
        ck_assert(unit_await(is_resident_no_more_than, &allowed));
    }
    for (size_t i = 1; i < NR_OF(chunks); i += 2) {
        ck_assert(is_chunk_intact(chunks[i], i + 1));
        zr_pool_free(&pool, &chunks[i].bits, 1);
    }
    // And what went is zeros when it is used again.
    for (size_t i = 0; i < NR_OF(chunks); i++) {
        ck_assert_int_eq(zr_pool_alloc_chunk(&pool, &chunks[i]), 0);
        ck_assert(is_chunk_intact(chunks[i], 0));
    }
    for (size_t i = 0; i < NR_OF(chunks); i++) {
        zr_pool_free(&pool, &chunks[i].bits, 1);
    }
    end();
}
END_TEST

// ---- While memory is on its way -----------------------------------------------------------------

static pthread_t allocating;
static atomic_bool must_alloc;

static void *alloc_and_free(void *unused)
{
    zr_handle handle;

    (void)unused;
    if (!has_room(&handle)) {
        return "no room";
    }
    zr_pool_free(&pool, &handle.bits, 1);
    return NULL;
}

static void alloc_beside(void)
{
    if (must_alloc && pthread_create(&allocating, NULL, alloc_and_free, NULL) == 0) {
        unit_sleep_ms(50);
        must_alloc = false;
    }
}

// A keeper that has collected two quiet spans of chunks and is in the release of one: meanwhile the
// other's last chunks are freed, as any drain does, and it becomes a span of objects.
static zr_handle quiet_chunks[2 * ZR_SPAN_BYTES / ZR_CHUNK_BYTES];
static zr_handle objects[MAX_PER_SPAN - 1];
static atomic_bool must_take_span;

static bool is_kept_chunk(size_t i)
{
    return i % (NR_OF(quiet_chunks) / 2) == 0 || i % (NR_OF(quiet_chunks) / 2) == 20;
}

static void take_span_for_another_class(size_t offset_bytes)
{
    uint64_t span = offset_bytes >> ZR_SPAN_SHIFT;
    uint64_t first = zr_handle_offset_bytes(quiet_chunks[0]) >> ZR_SPAN_SHIFT;
    size_t half = NR_OF(quiet_chunks) / 2;
    size_t other = span == first ? half : 0;

    if (!must_take_span || (span != first && span != first + 1)) {
        return;
    }
    must_take_span = false;
    for (size_t i = other; i < other + half; i++) {
        if (is_kept_chunk(i)) {
            zr_pool_free(&pool, &quiet_chunks[i].bits, 1);
        }
    }
    for (size_t i = 0; i < NR_OF(objects); i++) {
        if (zr_pool_alloc(&pool, ZR_OBJECT_MAX_BYTES, &objects[i]) < 0) {
            abort();
        }
        memset(zr_pool_view(&pool, objects[i]), (int)i + 1, ZR_OBJECT_MAX_BYTES);
    }
    if (zr_pool_span_of(&pool, objects[0]) != zr_pool_span_of(&pool, quiet_chunks[other])) {
        abort(); // not the schedule that this is about
    }
}

static atomic_uint nr_releases;
static bool is_release_refused;

int __real_zr_arena_release(struct zr_arena *arena, size_t offset_bytes, size_t bytes);
int __wrap_zr_arena_release(struct zr_arena *arena, size_t offset_bytes, size_t bytes);
int __real_zr_arena_back(struct zr_arena *arena, size_t offset_bytes, size_t bytes);
int __wrap_zr_arena_back(struct zr_arena *arena, size_t offset_bytes, size_t bytes);

int __wrap_zr_arena_release(struct zr_arena *arena, size_t offset_bytes, size_t bytes)
{
    alloc_beside();
    take_span_for_another_class(offset_bytes);
    nr_releases++;
    return is_release_refused ? -EPERM : __real_zr_arena_release(arena, offset_bytes, bytes);
}

static _Atomic uint64_t populated_bytes; // by any thread
static bool is_populate_refused;

int __wrap_zr_arena_back(struct zr_arena *arena, size_t offset_bytes, size_t bytes)
{
    int rc;

    alloc_beside();
    rc = is_populate_refused ? -ENOSPC : __real_zr_arena_back(arena, offset_bytes, bytes);
    populated_bytes += rc == 0 ? bytes : 0;
    return rc;
}

static bool has_allocated(void *unused)
{
    (void)unused;
    return !must_alloc;
}

static void check_that_alloc_found_room(void)
{
    void *failure;

    ck_assert(unit_await(has_allocated, NULL));
    pthread_join(allocating, &failure);
    ck_assert_msg(!failure, "%s", (const char *)failure);
}

// Memory on its way back is in no use: a writer must not be told that there is none left.
START_TEST(a_release_under_way_takes_no_room_from_the_limit)
{
    start();
    fill(NR_SPANS);
    zr_pool_free(&pool, words, NR_OF(words));
    must_alloc = true;
    start_keeper();
    check_that_alloc_found_room();
    end();
}
END_TEST

START_TEST(a_populate_under_way_takes_no_room_from_the_limit)
{
    start();
    fill(NR_SPANS / 2); // growth enough for a reserve of all that is left
    must_alloc = true;
    start_keeper();
    check_that_alloc_found_room();
    zr_pool_free(&pool, words, NR_OF(words) / 2);
    end();
}
END_TEST

static bool has_warm_spans(void *unused)
{
    bool has;

    (void)unused;
    pthread_mutex_lock(&pool.span_lock);
    has = pool.nr_warm_spans > 0;
    pthread_mutex_unlock(&pool.span_lock);
    return has;
}

// Where the system has no memory for it, nothing is kept ahead.
START_TEST(what_is_populated_ahead_is_counted)
{
    for (int is_refused = 0; is_refused < 2; is_refused++) {
        start();
        ck_assert_uint_eq(pool_stats().populated_bytes, 0);
        fill(NR_SPANS / 2);
        is_populate_refused = is_refused;
        populated_bytes = 0;
        start_keeper();
        ck_assert(is_refused ? (unit_sleep_ms(100), !has_warm_spans(NULL))
                             : unit_await(has_warm_spans, NULL));
        zr_keeper_stop(&keeper);
        is_populate_refused = false;
        ck_assert_uint_eq(pool_stats().populated_bytes, populated_bytes);
        ck_assert((populated_bytes == 0) == is_refused);
        zr_pool_free(&pool, words, NR_OF(words) / 2);
        end();
    }
}
END_TEST

static bool has_taken_span(void *unused)
{
    (void)unused;
    return !must_take_span;
}

START_TEST(a_span_that_changes_its_class_while_the_keeper_is_on_its_way_loses_nothing)
{
    start();
    for (size_t i = 0; i < NR_OF(quiet_chunks); i++) {
        ck_assert_int_eq(zr_pool_alloc_chunk(&pool, &quiet_chunks[i]), 0);
    }
    ck_assert_uint_eq(zr_handle_offset_bytes(quiet_chunks[0]) % ZR_SPAN_BYTES, 0);
    for (size_t i = 0; i < NR_OF(quiet_chunks); i++) {
        if (!is_kept_chunk(i)) {
            zr_pool_free(&pool, &quiet_chunks[i].bits, 1);
        }
    }
    must_take_span = true;
    start_keeper();
    ck_assert(unit_await(has_taken_span, NULL));
    unit_sleep_ms(300); // the keeper goes on with the other span
    zr_keeper_stop(&keeper);
    for (size_t i = 0; i < NR_OF(objects); i++) {
        const unsigned char *bytes = zr_pool_view(&pool, objects[i]);

        ck_assert_msg(bytes[0] == i + 1 && memcmp(bytes, bytes + 1, ZR_OBJECT_MAX_BYTES - 1) == 0,
                      "object %zu was given back", i);
    }
    ck_assert(zr_pool_is_valid(&pool));
    zr_pool_fini(&pool); // with all that is in it
}
END_TEST

// The memory is still there, so it counts, and whoever needs it gets it.
START_TEST(memory_that_the_system_does_not_take_back_stays_warm)
{
    uint64_t used_bytes;

    start();
    fill(NR_SPANS);
    zr_pool_free(&pool, words + 2, NR_OF(words) - 2); // whole spans, and the tail of one
    used_bytes = pool_stats().used_bytes;
    is_release_refused = true;
    nr_releases = 0;
    start_keeper();
    unit_sleep_ms(1500);
    zr_keeper_stop(&keeper);
    is_release_refused = false;
    ck_assert_uint_gt(nr_releases, 1);
    ck_assert_uint_eq(pool_stats().used_bytes, used_bytes);
    ck_assert(is_intact(0));
    ck_assert(is_intact(1));
    ck_assert(zr_pool_is_valid(&pool));
    zr_pool_free(&pool, words, 2);
    fill(NR_SPANS);
    zr_pool_free(&pool, words, NR_OF(words));
    end();
}
END_TEST

// The spans of a class may lack what the system has no more of, while others have it.
START_TEST(where_the_system_has_no_memory_that_of_other_spans_is_used)
{
    zr_handle first, next, other[ZR_SPAN_BYTES / 2048], some[ZR_SPAN_PAGES];
    uint32_t i;

    start();
    ck_assert_int_eq(zr_pool_alloc(&pool, ZR_OBJECT_MAX_BYTES, &first), 0);
    for (i = 0; i < NR_OF(other); i++) {
        ck_assert_int_eq(zr_pool_alloc(&pool, 2048, &other[i]), 0);
    }
    is_populate_refused = true;
    for (i = 0; i < ZR_SPAN_PAGES - 1; i++) { // the first some have memory
        if (zr_pool_alloc(&pool, ZR_OBJECT_MAX_BYTES, &some[i]) < 0) {
            break;
        }
    }
    ck_assert_uint_lt(i, ZR_SPAN_PAGES - 1);
    for (uint32_t k = 0; k < NR_OF(other); k++) {
        zr_pool_free(&pool, &other[k].bits, 1); // a span with all its memory is free
    }
    ck_assert_int_eq(zr_pool_alloc(&pool, ZR_OBJECT_MAX_BYTES, &next), 0);
    is_populate_refused = false;
    ck_assert(zr_pool_span_of(&pool, next) == zr_pool_span_of(&pool, other[0]));
    ck_assert(zr_pool_is_valid(&pool));
    zr_pool_free(&pool, &first.bits, 1);
    zr_pool_free(&pool, &next.bits, 1);
    zr_pool_free(&pool, &some[0].bits, i);
    end();
}
END_TEST

START_TEST(a_keeper_whose_thread_cannot_be_made_is_an_error_and_may_be_stopped)
{
    int rc;

    start();
    fill(1);
    fault_arm(1);
    rc = zr_keeper_start(&keeper, &pool, deferred);
    fault_disarm();
    ck_assert_int_eq(rc, -EAGAIN);
    zr_deferred_free_words(deferred, words, MAX_PER_SPAN);
    end();
}
END_TEST

UNIT_MAIN("keeper", what_is_handed_over_is_freed_also_after_a_silence,
          stop_frees_what_was_handed_over,
          free_memory_goes_back_after_a_while_and_used_memory_stays,
          the_unused_tail_of_a_quiet_span_goes_back_and_its_objects_stay,
          free_chunks_between_used_ones_go_back_and_these_stay,
          a_release_under_way_takes_no_room_from_the_limit,
          a_populate_under_way_takes_no_room_from_the_limit, what_is_populated_ahead_is_counted,
          a_span_that_changes_its_class_while_the_keeper_is_on_its_way_loses_nothing,
          memory_that_the_system_does_not_take_back_stays_warm,
          where_the_system_has_no_memory_that_of_other_spans_is_used,
          a_keeper_whose_thread_cannot_be_made_is_an_error_and_may_be_stopped)
