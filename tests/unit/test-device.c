// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "shadowed-device.h"
#include "fault.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

// ---- Against a shadow ---------------------------------------------------------------------------

// Positions that matter are those near an edge of a page or a leaf, and the end.
static uint64_t random_position(void)
{
    uint64_t position = random_below(device->size_bytes + 1);

    switch (random_below(4)) {
    case 0:
        return position;
    case 1:
        position -= position % LEAF_BYTES;
        break;
    default:
        position -= position % PAGE_BYTES;
    }
    position += random_below(3) == 0 ? random_below(5) : 0;
    return position < device->size_bytes ? position : device->size_bytes;
}

static void request_at_random(void)
{
    uint64_t from = random_position(), to = random_position();

    // Mostly short: a few pages, or within one.
    if (random_below(8) != 0) {
        to = from + random_below(random_below(2) == 0 ? 5 * PAGE_BYTES : 600);
    }
    to = to < device->size_bytes ? to : device->size_bytes;
    if (to < from) {
        uint64_t swapped = from;

        from = to;
        to = swapped;
    }
    if (random_below(3) == 0) {
        zero_both(from, to - from);
    } else {
        write_both(from, to - from, CONTENT_MIXED);
    }
    ck_assert(reads_as(&shadow[from], to - from, from));
    check_extents(from, to - from);
}

START_TEST(any_sequence_of_requests_reads_back_as_from_a_buffer)
{
    for (size_t i = 0; zr_codecs[i]; i++) {
        // Two leaves and the beginning of a third, the last page cut off.
        start_device(2 * LEAF_BYTES + 7 * PAGE_BYTES + 513, 64 * MiB, zr_codecs[i]);
        for (int step = 0; step < 400; step++) {
            request_at_random();
            if (step % 100 == 0) {
                compare_both();
            }
        }
        compare_both();
        end_device();
    }
}
END_TEST

// From and to every position near an edge: nothing beside the range may change.
START_TEST(every_alignment_within_and_across_pages_is_right)
{
    static const uint64_t positions[] = {0,
                                         1,
                                         511,
                                         4095,
                                         4096,
                                         4097,
                                         LEAF_BYTES - 4097,
                                         LEAF_BYTES - 1,
                                         LEAF_BYTES,
                                         LEAF_BYTES + 1,
                                         LEAF_BYTES + 4096,
                                         LEAF_BYTES + 5000};

    start_device(LEAF_BYTES + 5000, 64 * MiB, &zr_codec_lz4);
    for (int is_write = 0; is_write < 2; is_write++) {
        for (size_t from = 0; from < NR_OF(positions); from++) {
            for (size_t to = from; to < NR_OF(positions); to++) {
                uint64_t bytes = positions[to] - positions[from];

                // Around either end there is data to lose.
                write_both(0, 3 * PAGE_BYTES, CONTENT_MIXED);
                write_both(LEAF_BYTES - 2 * PAGE_BYTES, 2 * PAGE_BYTES + 5000, CONTENT_MIXED);
                if (is_write) {
                    write_both(positions[from], bytes, CONTENT_MIXED);
                } else {
                    zero_both(positions[from], bytes);
                }
                ck_assert(reads_as(shadow, 3 * PAGE_BYTES, 0));
                ck_assert(reads_as(&shadow[LEAF_BYTES - 2 * PAGE_BYTES], 2 * PAGE_BYTES + 5000,
                                   LEAF_BYTES - 2 * PAGE_BYTES));
                check_extents(0, device->size_bytes);
            }
        }
    }
    compare_both();
    end_device();
}
END_TEST

START_TEST(a_device_of_any_size_is_usable_to_its_last_byte)
{
    static const uint64_t sizes[] = {1,
                                     511,
                                     512,
                                     4095,
                                     4096,
                                     4097,
                                     LEAF_BYTES - 1,
                                     LEAF_BYTES,
                                     LEAF_BYTES + 1,
                                     GiB,
                                     GiB + 1,
                                     TiB,
                                     ZR_DEVICE_MAX_BYTES};

    for (size_t i = 0; i < NR_OF(sizes); i++) {
        static const unsigned char last = 'x';

        start_device(sizes[i], MiB, &zr_codec_lz4);
        ck_assert(reads_as_zeros(1, 0));
        ck_assert(reads_as_zeros(1, sizes[i] - 1));
        ck_assert_int_eq(zr_device_write(device, &last, 1, sizes[i] - 1), 0);
        ck_assert(reads_as(&last, 1, sizes[i] - 1));
        ck_assert_uint_eq(pool_stats().nr_objects, 1);
        ck_assert_int_eq(zr_device_zero(device, sizes[i], 0), 0);
        ck_assert(reads_as_zeros(1, sizes[i] - 1));
        ck_assert_uint_eq(pool_stats().nr_objects, 0);
        end_device();
    }
}
END_TEST

START_TEST(a_request_of_no_bytes_changes_nothing)
{
    unsigned char page[PAGE_BYTES];

    start_device(2 * PAGE_BYTES, MiB, &zr_codec_lz4);
    content_fill(page, sizeof page, CONTENT_TEXT);
    ck_assert_int_eq(zr_device_write(device, page, sizeof page, 0), 0);
    for (uint64_t offset = 0; offset <= 2 * PAGE_BYTES; offset += 100) {
        ck_assert_int_eq(zr_device_read(device, NULL, 0, offset), 0);
        ck_assert_int_eq(zr_device_write(device, NULL, 0, offset), 0);
        ck_assert_int_eq(zr_device_zero(device, 0, offset), 0);
        ck_assert_int_eq(zr_device_extents(device, 0, offset, NULL, NULL), 0);
    }
    ck_assert(reads_as(page, sizeof page, 0));
    end_device();
}
END_TEST

// ---- What a page takes --------------------------------------------------------------------------

START_TEST(a_same_filled_page_takes_no_object_and_a_random_one_the_largest)
{
    start_device(LEAF_BYTES, 16 * MiB, &zr_codec_lz4);
    write_both(0, 10 * PAGE_BYTES, CONTENT_ZERO);
    write_both(0, 10 * PAGE_BYTES, CONTENT_SAME);
    ck_assert_uint_eq(pool_stats().nr_objects, 0);
    write_both(0, 10 * PAGE_BYTES, CONTENT_RANDOM);
    ck_assert_uint_eq(pool_stats().nr_objects, 10);
    ck_assert_uint_eq(pool_stats().nr_max_objects, 10);
    write_both(0, 10 * PAGE_BYTES, CONTENT_TEXT);
    ck_assert_uint_eq(pool_stats().nr_objects, 10);
    ck_assert_uint_lt(pool_stats().stored_bytes, 10 * PAGE_BYTES / 2);
    end_device();
}
END_TEST

START_TEST(what_is_overwritten_or_zeroed_is_freed)
{
    start_device(3 * LEAF_BYTES, 64 * MiB, &zr_codec_zstd);
    for (int round = 0; round < 3; round++) {
        write_both(0, 3 * LEAF_BYTES, CONTENT_NEARLY_SAME);
        ck_assert_uint_eq(pool_stats().nr_objects, 3 * ZR_LEAF_SLOTS);
    }
    ck_assert_int_eq(zr_device_zero(device, 2 * LEAF_BYTES, PAGE_BYTES), 0);
    ck_assert_uint_eq(pool_stats().nr_objects, ZR_LEAF_SLOTS);
    ck_assert_int_eq(zr_device_zero(device, 3 * LEAF_BYTES, 0), 0);
    ck_assert_uint_eq(pool_stats().nr_objects, 0);
    end_device();
}
END_TEST

START_TEST(no_request_allocates_from_the_heap)
{
    static unsigned char buffer[LEAF_BYTES];
    unsigned nr_calls = 0;

    for (size_t i = 0; zr_codecs[i]; i++) {
        start_device(2 * LEAF_BYTES, 16 * MiB, zr_codecs[i]); // opened at once
        ck_assert(reads_as_zeros(1, 0)); // makes this thread known to RCU, which allocates
        for (int round = 0; round < 20; round++) {
            uint64_t bytes = random_below(sizeof buffer);
            uint64_t offset = random_below(LEAF_BYTES);

            content_fill(buffer, bytes, CONTENT_MIXED);
            fault_arm(0);
            zr_device_write(device, buffer, bytes, offset);
            zr_device_read(device, buffer, bytes, offset);
            zr_device_zero(device, bytes / 2, offset + 1);
            fault_disarm();
            nr_calls += fault_nr_heap_calls();
        }
        end_device();
    }
    ck_assert_uint_eq(nr_calls, 0);
}
END_TEST

// ---- Extents ------------------------------------------------------------------------------------

static int stop_at_second(void *nr_reports, uint64_t offset, uint64_t bytes, bool is_hole)
{
    (void)offset;
    (void)bytes;
    (void)is_hole;
    return ++*(int *)nr_reports == 2 ? -EINTR : 0;
}

START_TEST(extents_stop_when_the_report_says_so)
{
    int nr_reports = 0;

    start_device(3 * LEAF_BYTES, MiB, &zr_codec_lz4);
    write_both(PAGE_BYTES, PAGE_BYTES, CONTENT_TEXT);
    write_both(3 * PAGE_BYTES, PAGE_BYTES, CONTENT_TEXT);
    ck_assert_int_eq(zr_device_extents(device, device->size_bytes, 0, stop_at_second, &nr_reports),
                     -EINTR);
    ck_assert_int_eq(nr_reports, 2);
    end_device();
}
END_TEST

static int count_data(void *nr_data_bytes, uint64_t offset, uint64_t bytes, bool is_hole)
{
    (void)offset;
    *(uint64_t *)nr_data_bytes += is_hole ? 0 : bytes;
    return 0;
}

START_TEST(the_extents_of_the_largest_device_are_walked_by_what_it_holds)
{
    uint64_t nr_data_bytes = 0;

    start_device(ZR_DEVICE_MAX_BYTES, MiB, &zr_codec_lz4);
    ck_assert_int_eq(zr_device_write(device, "x", 1, ZR_DEVICE_MAX_BYTES / 2), 0);
    ck_assert_int_eq(zr_device_write(device, "x", 1, ZR_DEVICE_MAX_BYTES - 1), 0);
    ck_assert_int_eq(zr_device_extents(device, ZR_DEVICE_MAX_BYTES, 0, count_data, &nr_data_bytes),
                     0);
    ck_assert_uint_eq(nr_data_bytes, 2 * PAGE_BYTES);
    end_device();
}
END_TEST

static int count_reports(void *nr_reports, uint64_t offset, uint64_t bytes, bool is_hole)
{
    (void)offset;
    (void)bytes;
    (void)is_hole;
    ++*(int *)nr_reports;
    return 0;
}

START_TEST(an_extent_is_reported_once_however_many_leaves_it_has)
{
    int nr_reports = 0;

    start_device(8 * LEAF_BYTES, MiB, &zr_codec_lz4);
    write_both(2 * LEAF_BYTES, 3 * LEAF_BYTES, CONTENT_SAME);
    ck_assert_int_eq(zr_device_extents(device, device->size_bytes, 0, count_reports, &nr_reports),
                     0);
    ck_assert_int_eq(nr_reports, 3);
    end_device();
}
END_TEST

struct cover {
    uint64_t next;
    int nr_data_extents;
};

static int add_to_cover(void *opaque, uint64_t offset, uint64_t bytes, bool is_hole)
{
    struct cover *cover = opaque;

    ck_assert_uint_eq(offset, cover->next);
    cover->next += bytes;
    cover->nr_data_extents += !is_hole;
    return 0;
}

START_TEST(a_walk_for_extents_ends_after_so_many_leaves_and_goes_on_from_there)
{
    const int nr_leaves = 200;
    struct cover cover = {0};
    uint64_t before;
    int nr_walks;

    start_device(nr_leaves * LEAF_BYTES, 16 * MiB, &zr_codec_lz4);
    for (int i = 0; i < nr_leaves; i++) {
        ck_assert_int_eq(zr_device_write(device, "x", 1, i * LEAF_BYTES + 7 * PAGE_BYTES), 0);
    }
    for (nr_walks = 0; cover.next < device->size_bytes; nr_walks++) {
        before = cover.next;
        ck_assert_int_eq(
            zr_device_extents(device, device->size_bytes - before, before, add_to_cover, &cover),
            0);
        ck_assert_uint_gt(cover.next, before);
        ck_assert_uint_le(cover.next - before, 64 * LEAF_BYTES);
    }
    ck_assert_int_eq(nr_walks, (nr_leaves + 63) / 64);
    ck_assert_int_eq(cover.nr_data_extents, nr_leaves);
    end_device();
}
END_TEST

// One page comes and goes, and its leaf with it.
static void *write_and_trim(void *must_stop)
{
    while (!*(atomic_bool *)must_stop) {
        zr_device_write(device, "x", 1, 5 * PAGE_BYTES);
        zr_device_zero(device, LEAF_BYTES, 0);
    }
    return NULL;
}

struct range {
    uint64_t next, end;
};

static int check_range(void *opaque, uint64_t offset, uint64_t bytes, bool is_hole)
{
    struct range *range = opaque;

    (void)is_hole;
    if (offset != range->next || bytes == 0 || bytes > range->end - offset) {
        ck_abort_msg("%llu bytes at %llu", (unsigned long long)bytes, (unsigned long long)offset);
    }
    range->next += bytes;
    return 0;
}

START_TEST(extents_cover_their_range_also_while_leaves_come_and_go)
{
    const uint64_t offset = 5 * PAGE_BYTES + 512; // not on a page's edge
    atomic_bool must_stop = false;
    pthread_t threads[2];

    start_device(2 * LEAF_BYTES, 16 * MiB, &zr_codec_lz4);
    ck_assert_int_eq(zr_server_start(&server), 0);
    for (size_t i = 0; i < NR_OF(threads); i++) {
        ck_assert_int_eq(pthread_create(&threads[i], NULL, write_and_trim, &must_stop), 0);
    }
    for (int round = 0; round < 300000; round++) {
        struct range range = {.next = offset, .end = offset + PAGE_BYTES};

        zr_device_extents(device, PAGE_BYTES, offset, check_range, &range);
        if (range.next != range.end) {
            ck_abort_msg("a gap at the end");
        }
    }
    must_stop = true;
    for (size_t i = 0; i < NR_OF(threads); i++) {
        pthread_join(threads[i], NULL);
    }
    end_device();
}
END_TEST

UNIT_MAIN("device", any_sequence_of_requests_reads_back_as_from_a_buffer,
          every_alignment_within_and_across_pages_is_right,
          a_device_of_any_size_is_usable_to_its_last_byte, a_request_of_no_bytes_changes_nothing,
          a_same_filled_page_takes_no_object_and_a_random_one_the_largest,
          what_is_overwritten_or_zeroed_is_freed, no_request_allocates_from_the_heap,
          extents_stop_when_the_report_says_so,
          the_extents_of_the_largest_device_are_walked_by_what_it_holds,
          an_extent_is_reported_once_however_many_leaves_it_has,
          a_walk_for_extents_ends_after_so_many_leaves_and_goes_on_from_there,
          extents_cover_their_range_also_while_leaves_come_and_go)
