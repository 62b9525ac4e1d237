// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "fault.h"
#include "unit.h"

#include "allocator/log.h"

#include <errno.h>
#include <string.h>

#define MAX_OWNERS 16
#define MAX_SHARE_BYTES 8000u

static struct zr_pool pool;
static struct zr_log logged;

static void start_log(uint64_t limit_bytes)
{
    ck_assert_int_eq(zr_pool_init(&pool, limit_bytes, NULL), 0);
    zr_log_init(&logged, &pool);
}

static struct zr_pool_stats stats(void)
{
    struct zr_pool_stats stats;

    zr_pool_get_stats(&pool, &stats);
    return stats;
}

static uint64_t nr_used_spans(void)
{
    ck_assert(zr_pool_is_valid(&pool));
    return pool.nr_used_spans;
}

// Nothing is left of it.
static void end_log(void)
{
    zr_log_fini(&logged);
    ck_assert_uint_eq(nr_used_spans(), 0);
    ck_assert_uint_eq(stats().nr_objects, 0);
    ck_assert_uint_eq(stats().stored_bytes, 0);
    zr_pool_fini(&pool);
}

// An object for nr owners, filled with a byte.  The handles are theirs: all of it, or as much as
// they can say.
static int try_append(uint32_t bytes, uint32_t nr, int byte, bool may_use_spare, uint64_t *handles)
{
    uint32_t left = bytes < nr * MAX_SHARE_BYTES ? bytes : nr * MAX_SHARE_BYTES, share = left / nr;
    uint64_t offset;
    int rc = zr_log_append(&logged, bytes, nr, left, may_use_spare, &offset);

    for (uint32_t i = 0; i < nr && rc == 0; i++) {
        uint32_t length = i == nr - 1 ? left : share;

        handles[i] = zr_handle_make(offset, length).bits;
        left -= length;
    }
    if (rc == 0) {
        memset(pool.arena.base + offset, byte, bytes);
    }
    return rc;
}

static uint64_t append(uint32_t bytes, int byte)
{
    uint64_t handle;

    ck_assert_int_eq(try_append(bytes, 1, byte, false, &handle), 0);
    return handle;
}

static uint64_t offset_of(uint64_t handle)
{
    return zr_handle_offset_bytes((zr_handle){handle});
}

static struct zr_span *span_of(uint64_t handle)
{
    return zr_pool_span_of(&pool, (zr_handle){handle});
}

static bool holds(uint64_t handle, uint32_t bytes, int byte)
{
    const unsigned char *object = zr_pool_view(&pool, (zr_handle){handle});

    for (uint32_t i = 0; i < bytes; i++) {
        if (object[i] != byte) {
            return false;
        }
    }
    return true;
}

static void free_all(const uint64_t *handles, size_t nr)
{
    zr_pool_free(&pool, handles, nr);
    ck_assert(zr_pool_is_valid(&pool));
}

// Fills the span at the end up, so that the next object begins another.
static uint64_t fill_up(void)
{
    return append(zr_log_room_bytes(&logged), 0xf1);
}

START_TEST(a_new_log_has_no_span_and_no_room)
{
    start_log(MiB);
    ck_assert_uint_eq(zr_log_room_bytes(&logged), 0);
    ck_assert_uint_eq(nr_used_spans(), 0);
    end_log();
}
END_TEST

START_TEST(an_object_lies_behind_the_one_before_and_takes_whole_units)
{
    static const uint32_t lengths[] = {1, 15, 16, 17, 4095, 4096, 4097, 8000};
    uint64_t handles[NR_OF(lengths)], next = 0;

    start_log(MiB);
    for (size_t i = 0; i < NR_OF(lengths); i++) {
        handles[i] = append(lengths[i], (int)i + 1);
        ck_assert_uint_eq(offset_of(handles[i]), next);
        next += (lengths[i] + 15) / 16 * 16;
        ck_assert_uint_eq(zr_log_object_bytes(lengths[i]), (lengths[i] + 15) / 16 * 16);
        ck_assert_uint_eq(zr_log_room_bytes(&logged), ZR_SPAN_BYTES - next);
    }
    ck_assert_uint_eq(nr_used_spans(), 1);
    ck_assert_uint_eq(stats().nr_objects, NR_OF(lengths));
    for (size_t i = 0; i < NR_OF(lengths); i++) {
        ck_assert(holds(handles[i], lengths[i], (int)i + 1));
    }
    free_all(handles, NR_OF(handles));
    end_log();
}
END_TEST

START_TEST(an_object_that_does_not_fit_begins_a_span_and_the_largest_takes_a_whole_one)
{
    uint64_t small, large, next;

    start_log(MiB);
    small = append(16, 1);
    large = append(ZR_SPAN_BYTES - 16, 2); // just fits
    ck_assert_ptr_eq(span_of(large), span_of(small));
    ck_assert_uint_eq(zr_log_room_bytes(&logged), 0);
    next = append(1, 3);
    ck_assert_ptr_ne(span_of(next), span_of(small));
    free_all((uint64_t[]){small, large, next}, 3);
    small = append(1, 1);
    large = append(ZR_SPAN_BYTES, 2);
    ck_assert_uint_eq(offset_of(large) % ZR_SPAN_BYTES, 0);
    ck_assert(holds(large, ZR_SPAN_BYTES - 1, 2));
    free_all((uint64_t[]){small, large}, 2);
    end_log();
}
END_TEST

// Takes the memory of what is appended, and no more.
START_TEST(memory_is_taken_as_far_as_the_span_is_filled)
{
    uint64_t handles[3];

    start_log(MiB);
    handles[0] = append(100, 1);
    ck_assert_uint_eq(zr_span_backed(span_of(handles[0])), 1);
    ck_assert_uint_eq(zr_log_readable_bytes(&pool, (zr_handle){handles[0]}), 4096);
    handles[1] = append(4096, 2);
    ck_assert_uint_eq(zr_span_backed(span_of(handles[0])), 3);
    ck_assert_uint_eq(zr_log_readable_bytes(&pool, (zr_handle){handles[0]}), 8192);
    ck_assert_uint_eq(zr_log_readable_bytes(&pool, (zr_handle){handles[1]}), 8192 - 112);
    handles[2] = append(zr_log_room_bytes(&logged), 3);
    ck_assert_uint_eq(zr_span_backed(span_of(handles[0])), ZR_SPAN_ALL_PAGES);
    ck_assert_uint_eq(zr_log_readable_bytes(&pool, (zr_handle){handles[0]}), ZR_SPAN_BYTES);
    ck_assert_uint_eq(zr_log_readable_bytes(&pool, zr_handle_make(ZR_SPAN_BYTES - 16, 1)), 16);
    zr_span_set_backed(span_of(handles[0]), 1u << 1);
    ck_assert_uint_eq(zr_log_readable_bytes(&pool, (zr_handle){handles[0]}), 0);
    zr_span_set_backed(span_of(handles[0]), ZR_SPAN_ALL_PAGES);
    free_all(handles, NR_OF(handles));
    end_log();
}
END_TEST

// Each owner's share counts until it is gone, and the span until all are.
START_TEST(owners_go_in_any_order_and_the_span_with_the_last)
{
    for (int round = 0; round < 200; round++) {
        uint64_t owners[4 * MAX_OWNERS];
        uint32_t nr = 0, bytes = 0;
        struct zr_span *span;

        start_log(MiB);
        for (int i = 0; i < 4; i++) {
            uint32_t nr_owners = 1 + (uint32_t)random_below(MAX_OWNERS);
            uint32_t length = nr_owners + (uint32_t)random_below(8000);

            ck_assert_int_eq(try_append(length, nr_owners, i, false, &owners[nr]), 0);
            nr += nr_owners;
            bytes += length;
        }
        span = span_of(owners[0]);
        zr_pool_put_back(&pool, logged.end);
        logged.end = NULL;
        while (nr > 0) {
            uint32_t i = (uint32_t)random_below(nr);

            if (stats().nr_objects != nr || stats().stored_bytes != bytes ||
                zr_span_live_bytes(span) != bytes || zr_span_nr_used(span) != nr) {
                ck_abort_msg("%u owners with %u bytes are not counted", nr, bytes);
            }
            ck_assert_uint_eq(nr_used_spans(), 1);
            bytes -= zr_handle_length_bytes((zr_handle){owners[i]});
            free_all(&owners[i], 1);
            owners[i] = owners[--nr];
        }
        ck_assert_uint_eq(bytes, 0);
        ck_assert_uint_eq(nr_used_spans(), 0);
        ck_assert_uint_eq(zr_span_class(span), ZR_CLASS_NONE);
        end_log();
    }
}
END_TEST

static void free_twice(void *handle)
{
    zr_pool_free(&pool, handle, 1);
    zr_pool_free(&pool, handle, 1);
}

static void free_more_than_there_is(void *handle)
{
    uint64_t longer = zr_handle_make(offset_of(*(uint64_t *)handle), 101).bits;

    zr_pool_free(&pool, &longer, 1);
}

START_TEST(an_owner_too_many_aborts_and_one_with_too_large_a_share_does_not)
{
    uint64_t handle;

    start_log(MiB);
    handle = append(100, 1); // the span stays, being at the end
    ck_assert(unit_aborts(free_twice, &handle));
    ck_assert(!unit_aborts(free_more_than_there_is, &handle));
    free_all(&handle, 1);
    end_log();
}
END_TEST

START_TEST(what_is_counted_of_a_span_is_never_less_than_its_owners)
{
    uint64_t owners[2], damaged;

    start_log(MiB);
    ck_assert_int_eq(try_append(200, 2, 1, false, owners), 0);
    damaged = zr_handle_make(offset_of(owners[0]), 200).bits; // as if all were its
    free_all(&damaged, 1);
    ck_assert_uint_eq(zr_span_nr_used(span_of(owners[1])), 1);
    ck_assert_uint_eq(zr_span_live_bytes(span_of(owners[1])), 1);
    ck_assert(zr_pool_is_valid(&pool));
    free_all(&owners[1], 1);
    zr_log_fini(&logged);
    ck_assert_uint_eq(nr_used_spans(), 0);
    zr_pool_fini(&pool);
}
END_TEST

START_TEST(the_span_at_the_end_stays_though_it_is_empty)
{
    uint64_t handle, again;

    start_log(MiB);
    handle = append(5000, 1);
    free_all(&handle, 1);
    ck_assert_uint_eq(nr_used_spans(), 1);
    ck_assert(!zr_pool_try_isolate(&pool, span_of(handle), zr_size_class_log(&pool.classes)));
    // And goes on behind what was there: it may still be read.
    again = append(16, 2);
    ck_assert_uint_eq(offset_of(again), zr_log_object_bytes(5000));
    ck_assert(holds(handle, 5000, 1));
    free_all(&again, 1);
    // Another one at the end, and it is free.
    again = append(ZR_SPAN_BYTES, 3);
    ck_assert_uint_eq(nr_used_spans(), 1);
    ck_assert_uint_eq(zr_span_class(span_of(handle)), ZR_CLASS_NONE);
    zr_pool_fini(&pool);
}
END_TEST

START_TEST(a_log_that_ends_leaves_what_was_appended)
{
    uint64_t handle;

    start_log(MiB);
    handle = append(5000, 7);
    zr_log_keep_spare(&logged);
    ck_assert_uint_eq(nr_used_spans(), 2);
    zr_log_fini(&logged);
    ck_assert_uint_eq(nr_used_spans(), 1);
    ck_assert(holds(handle, 5000, 7));
    ck_assert_uint_eq(zr_log_room_bytes(&logged), 0);
    free_all(&handle, 1);
    end_log();
}
END_TEST

// What is freed of a full one is waste, but not while it is at the end, isolated or kept.
START_TEST(waste_is_what_owners_that_are_gone_had)
{
    uint64_t handles[5];
    struct zr_span *span;
    zr_handle object;

    start_log(MiB);
    ck_assert_int_eq(try_append(1600, 4, 1, false, handles), 0);
    span = span_of(handles[0]);
    free_all(handles, 1);
    ck_assert_uint_eq(zr_log_waste_bytes(&pool, span), 0); // at the end
    zr_log_fini(&logged);
    ck_assert_uint_eq(zr_log_waste_bytes(&pool, span), 400);
    free_all(&handles[1], 2);
    ck_assert_uint_eq(zr_log_waste_bytes(&pool, span), 1200);
    ck_assert(zr_pool_try_isolate(&pool, span, zr_size_class_log(&pool.classes)));
    ck_assert_uint_eq(zr_log_waste_bytes(&pool, span), 0);
    zr_pool_put_back(&pool, span);
    span->is_kept = true;
    ck_assert_uint_eq(zr_log_waste_bytes(&pool, span), 0);
    span->is_kept = false;
    // As in a store: filled who knows how far, but one page has memory.
    span->fill_bytes = ZR_SPAN_BYTES;
    ck_assert_uint_eq(zr_log_waste_bytes(&pool, span), ZR_OS_PAGE_BYTES - 400);
    free_all(&handles[3], 1);
    ck_assert_uint_eq(zr_log_waste_bytes(&pool, span), 0); // free
    // Nor of a span of other objects, whatever its bits.
    ck_assert_int_eq(zr_pool_alloc(&pool, 64, &object), 0);
    ck_assert_uint_eq(zr_log_waste_bytes(&pool, zr_pool_span_of(&pool, object)), 0);
    free_all(&object.bits, 1);
    end_log();
}
END_TEST

START_TEST(a_kept_span_is_not_kept_any_more_when_it_is_used_anew)
{
    uint64_t handle;
    struct zr_span *span;

    start_log(ZR_SPAN_BYTES);
    handle = append(5000, 1);
    span = span_of(handle);
    span->is_kept = true;
    zr_log_fini(&logged);
    free_all(&handle, 1);
    handle = append(16, 1);
    ck_assert_ptr_eq(span_of(handle), span);
    ck_assert(!zr_span_is_kept(span));
    ck_assert_uint_eq(zr_span_fill_bytes(span), 16);
    free_all(&handle, 1);
    end_log();
}
END_TEST

START_TEST(at_the_limit_append_is_enospc_and_what_is_stored_stays)
{
    uint64_t handles[8], more;
    zr_handle object;

    start_log(8 * ZR_SPAN_BYTES);
    for (size_t i = 0; i < NR_OF(handles); i++) {
        append(ZR_SPAN_BYTES - 4000, 7);
        handles[i] = append(4000, (int)i + 100);
    }
    ck_assert_int_eq(try_append(1, 1, 0, false, &more), -ENOSPC);
    ck_assert_int_eq(try_append(1, 1, 0, true, &more), -ENOSPC); // there is no spare
    zr_log_keep_spare(&logged);                                  // nor can there be one
    ck_assert_ptr_null(logged.spare);
    ck_assert_int_eq(zr_pool_alloc(&pool, 1, &object), -ENOSPC);
    ck_assert_uint_eq(nr_used_spans(), 8);
    for (size_t i = 0; i < NR_OF(handles); i++) {
        ck_assert(holds(handles[i], 4000, (int)i + 100));
    }
    zr_pool_set_limit(&pool, 9 * ZR_SPAN_BYTES);
    ck_assert_int_eq(try_append(1, 1, 0, false, &more), 0);
    zr_pool_fini(&pool);
}
END_TEST

START_TEST(a_log_takes_room_from_others_and_they_from_it)
{
    uint64_t handle, more;
    zr_handle objects[2];

    start_log(2 * ZR_SPAN_BYTES);
    handle = append(ZR_SPAN_BYTES - 8000, 1);
    (void)handle;
    ck_assert_int_eq(zr_pool_alloc(&pool, 64, &objects[0]), 0);
    ck_assert_int_eq(try_append(8001, 1, 0, false, &more), -ENOSPC);
    ck_assert_int_eq(zr_pool_alloc(&pool, 640, &objects[1]), -ENOSPC);
    free_all(&objects[0].bits, 1);
    ck_assert_int_eq(try_append(8001, 1, 0, false, &more), 0);
    ck_assert_int_eq(zr_pool_alloc(&pool, 640, &objects[1]), -ENOSPC);
    zr_pool_fini(&pool);
}
END_TEST

START_TEST(the_spare_has_its_memory_for_when_the_system_refuses_any)
{
    uint64_t first, more;
    struct zr_span *spare;
    int rc_of_others, rc;

    start_log(MiB);
    first = append(4000, 1);
    zr_log_keep_spare(&logged);
    spare = logged.spare;
    ck_assert_ptr_nonnull(spare);
    ck_assert_uint_eq(zr_span_backed(spare), ZR_SPAN_ALL_PAGES);
    fault_arm(1);
    rc_of_others = try_append(8000, 1, 0, false, &more);
    fault_disarm();
    fault_arm(1);
    rc = try_append(8000, 1, 0, true, &more);
    ck_assert(fault_disarm());
    ck_assert_int_eq(rc_of_others, -ENOSPC);
    ck_assert_int_eq(rc, 0);
    ck_assert_ptr_eq(span_of(more), spare);
    ck_assert_ptr_null(logged.spare);
    ck_assert(holds(first, 4000, 1));
    free_all(&first, 1);
    free_all(&more, 1);
    end_log();
}
END_TEST

START_TEST(no_spare_is_kept_without_memory_for_it)
{
    uint64_t handle;

    start_log(MiB);
    handle = append(4000, 1);
    fault_arm(1);
    zr_log_keep_spare(&logged);
    ck_assert(fault_disarm());
    ck_assert_ptr_null(logged.spare);
    ck_assert_uint_eq(nr_used_spans(), 1);
    free_all(&handle, 1);
    end_log();
}
END_TEST

START_TEST(the_spare_is_for_those_who_may_use_it)
{
    uint64_t handles[2], more;
    struct zr_span *spare;

    start_log(2 * ZR_SPAN_BYTES);
    handles[0] = append(4000, 1);
    zr_log_keep_spare(&logged);
    spare = logged.spare;
    ck_assert_ptr_nonnull(spare);
    zr_log_keep_spare(&logged);
    ck_assert_ptr_eq(logged.spare, spare); // one is enough
    ck_assert_uint_eq(zr_log_waste_bytes(&pool, spare), 0);
    fill_up();
    ck_assert_int_eq(try_append(100, 1, 2, false, &more), -ENOSPC);
    ck_assert_ptr_eq(logged.spare, spare);
    ck_assert_int_eq(try_append(100, 1, 2, true, &handles[1]), 0);
    ck_assert_ptr_eq(span_of(handles[1]), spare);
    ck_assert_ptr_null(logged.spare);
    ck_assert_int_eq(try_append(100, 1, 3, false, &more), 0); // now that it is at the end
    fill_up();
    ck_assert_int_eq(try_append(100, 1, 2, true, &more), -ENOSPC);
    ck_assert(holds(handles[0], 4000, 1) && holds(handles[1], 100, 2));
    ck_assert_uint_eq(nr_used_spans(), 2);
    zr_pool_fini(&pool);
}
END_TEST

// Where the pool has a free span, the spare stays what it is.
START_TEST(the_spare_is_the_last_to_be_used)
{
    uint64_t handle;
    struct zr_span *spare;

    start_log(3 * ZR_SPAN_BYTES);
    zr_log_keep_spare(&logged);
    spare = logged.spare;
    ck_assert_int_eq(try_append(100, 1, 2, true, &handle), 0);
    ck_assert_ptr_ne(span_of(handle), spare);
    ck_assert_ptr_eq(logged.spare, spare);
    free_all(&handle, 1);
    end_log();
}
END_TEST

// Whichever call fails: opening the arena, or taking memory.
START_TEST(memory_that_the_system_refuses_is_enospc_and_append_works_later)
{
    uint64_t before, handle, offset;
    unsigned nth;
    int rc;

    for (nth = 1;; nth++) {
        start_log(MiB);
        fault_arm(nth);
        rc = zr_log_append(&logged, 9000, 3, 9000, false, &offset);
        if (!fault_disarm()) {
            break;
        }
        ck_assert_int_eq(rc, -ENOSPC);
        ck_assert_uint_eq(stats().nr_objects, 0);
        ck_assert(zr_pool_is_valid(&pool));
        handle = append(8000, 5);
        ck_assert(holds(handle, 8000, 5));
        free_all(&handle, 1);
        end_log();
    }
    ck_assert_uint_gt(nth, 1);
    ck_assert_int_eq(rc, 0);
    zr_pool_fini(&pool);

    // In a span that has begun: what is in it stays, and nothing of the new object counts.
    start_log(MiB);
    before = append(4000, 1);
    fault_arm(1);
    rc = zr_log_append(&logged, 8000, 2, 8000, false, &offset);
    ck_assert(fault_disarm());
    ck_assert_int_eq(rc, -ENOSPC);
    ck_assert_uint_eq(stats().nr_objects, 1);
    ck_assert_uint_eq(stats().stored_bytes, 4000);
    ck_assert_uint_eq(zr_span_backed(span_of(before)), 1);
    ck_assert(holds(before, 4000, 1));
    fault_arm(1); // what needs no more memory is no trouble
    rc = zr_log_append(&logged, 96, 1, 96, false, &offset);
    ck_assert(!fault_disarm());
    ck_assert_int_eq(rc, 0);
    handle = append(8000, 6);
    free_all((uint64_t[]){before, handle, zr_handle_make(offset, 96).bits}, 3);
    end_log();
}
END_TEST

// A thousand objects, most of their owners gone: as many as the model says are left.
START_TEST(at_random_it_counts_as_a_model_does)
{
    static uint64_t owners[1000 * MAX_OWNERS];
    uint64_t nr = 0, bytes = 0;

    start_log(4 * MiB);
    for (int round = 0; round < 20000; round++) {
        uint32_t nr_owners = 1 + (uint32_t)random_below(MAX_OWNERS), i;
        uint32_t length = nr_owners + (uint32_t)random_below(6000);

        if (random_below(3) == 0 && nr + nr_owners < NR_OF(owners) &&
            try_append(length, nr_owners, round, random_below(2) == 0, &owners[nr]) == 0) {
            nr += nr_owners;
            bytes += length;
        } else if (nr > 0) {
            for (i = 0; i < nr_owners && nr > 0; i++) {
                uint64_t victim = random_below(nr);

                bytes -= zr_handle_length_bytes((zr_handle){owners[victim]});
                zr_pool_free(&pool, &owners[victim], 1);
                owners[victim] = owners[--nr];
            }
        }
        if (round % 1000 == 0) {
            zr_log_keep_spare(&logged);
        }
        if (round % 100 == 0 && (stats().nr_objects != nr || stats().stored_bytes != bytes ||
                                 !zr_pool_is_valid(&pool))) {
            ck_abort_msg("wrong after %d", round);
        }
    }
    zr_pool_free(&pool, owners, nr);
    end_log();
}
END_TEST

UNIT_MAIN("log", a_new_log_has_no_span_and_no_room,
          an_object_lies_behind_the_one_before_and_takes_whole_units,
          an_object_that_does_not_fit_begins_a_span_and_the_largest_takes_a_whole_one,
          memory_is_taken_as_far_as_the_span_is_filled,
          owners_go_in_any_order_and_the_span_with_the_last,
          an_owner_too_many_aborts_and_one_with_too_large_a_share_does_not,
          what_is_counted_of_a_span_is_never_less_than_its_owners,
          the_span_at_the_end_stays_though_it_is_empty, a_log_that_ends_leaves_what_was_appended,
          waste_is_what_owners_that_are_gone_had,
          a_kept_span_is_not_kept_any_more_when_it_is_used_anew,
          at_the_limit_append_is_enospc_and_what_is_stored_stays,
          a_log_takes_room_from_others_and_they_from_it,
          the_spare_has_its_memory_for_when_the_system_refuses_any,
          no_spare_is_kept_without_memory_for_it, the_spare_is_for_those_who_may_use_it,
          the_spare_is_the_last_to_be_used,
          memory_that_the_system_refuses_is_enospc_and_append_works_later,
          at_random_it_counts_as_a_model_does)
