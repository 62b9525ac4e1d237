// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "unit.h"

#include "allocator/size-class.h"

static struct zr_size_classes classes;

static uint32_t nr_fitting(uint32_t bytes)
{
    return ZR_SPAN_BYTES / bytes;
}

START_TEST(every_size_gets_the_smallest_class_that_holds_it)
{
    uint32_t bytes;

    zr_size_classes_init(&classes);
    for (bytes = 1; bytes <= ZR_OBJECT_MAX_BYTES; bytes++) {
        uint32_t class_nr = zr_size_class_of(&classes, bytes);

        ck_assert_uint_lt(class_nr, zr_size_class_chunk(&classes));
        ck_assert_uint_ge(classes.object_bytes[class_nr], bytes);
        if (class_nr > 0) {
            ck_assert_uint_lt(classes.object_bytes[class_nr - 1], bytes);
        }
    }
}
END_TEST

START_TEST(a_class_ends_at_its_size)
{
    uint32_t class_nr;

    zr_size_classes_init(&classes);
    for (class_nr = 0; class_nr < zr_size_class_chunk(&classes); class_nr++) {
        uint32_t bytes = classes.object_bytes[class_nr];

        ck_assert_uint_eq(zr_size_class_of(&classes, bytes - 1), class_nr);
        ck_assert_uint_eq(zr_size_class_of(&classes, bytes), class_nr);
        if (bytes < ZR_OBJECT_MAX_BYTES) {
            ck_assert_uint_eq(zr_size_class_of(&classes, bytes + 1), class_nr + 1);
        }
    }
}
END_TEST

START_TEST(classes_reach_from_the_least_object_to_the_largest_and_then_the_chunk)
{
    zr_size_classes_init(&classes);
    ck_assert_uint_le(classes.nr_classes, ZR_NR_CLASSES_MAX);
    ck_assert_uint_eq(classes.object_bytes[0], ZR_OBJECT_MIN_BYTES);
    ck_assert_uint_eq(zr_size_class_of(&classes, 1), 0);
    ck_assert_uint_eq(zr_size_class_of(&classes, ZR_OBJECT_MAX_BYTES),
                      zr_size_class_chunk(&classes) - 1);
    ck_assert_uint_eq(classes.object_bytes[zr_size_class_chunk(&classes) - 1], ZR_OBJECT_MAX_BYTES);
    ck_assert_uint_eq(classes.object_bytes[zr_size_class_chunk(&classes)], ZR_CHUNK_BYTES);
}
END_TEST

START_TEST(a_class_size_is_aligned_and_the_largest_that_fits_a_span_so_often)
{
    uint32_t class_nr;

    zr_size_classes_init(&classes);
    for (class_nr = 0; class_nr < zr_size_class_chunk(&classes); class_nr++) {
        uint32_t bytes = classes.object_bytes[class_nr];

        ck_assert_uint_eq(bytes % 16, 0);
        ck_assert_uint_lt(nr_fitting(bytes + 16), nr_fitting(bytes));
        ck_assert_uint_le(ZR_SPAN_BYTES % bytes, nr_fitting(bytes) * 16);
        if (class_nr > 0) {
            ck_assert_uint_gt(bytes, classes.object_bytes[class_nr - 1]);
        }
    }
}
END_TEST

START_TEST(no_count_of_objects_per_span_is_left_out)
{
    uint32_t count;

    zr_size_classes_init(&classes);
    for (count = nr_fitting(ZR_OBJECT_MAX_BYTES); count <= nr_fitting(ZR_OBJECT_MIN_BYTES);
         count++) {
        uint32_t bytes = ZR_SPAN_BYTES / count / 16 * 16;

        ck_assert_uint_eq(classes.object_bytes[zr_size_class_of(&classes, bytes)], bytes);
    }
}
END_TEST

// What saves nothing is stored raw, so the limit decides between a copy and a decompression.
START_TEST(only_what_fits_a_class_below_the_largest_saves_room)
{
    uint32_t largest_saving;

    zr_size_classes_init(&classes);
    largest_saving = classes.object_bytes[zr_size_class_of(&classes, ZR_OBJECT_MAX_BYTES) - 1];
    ck_assert(zr_size_class_saves(&classes, 1, ZR_OBJECT_MAX_BYTES));
    ck_assert(zr_size_class_saves(&classes, largest_saving, ZR_OBJECT_MAX_BYTES));
    ck_assert(!zr_size_class_saves(&classes, largest_saving + 1, ZR_OBJECT_MAX_BYTES));
    ck_assert(!zr_size_class_saves(&classes, ZR_OBJECT_MAX_BYTES - 1, ZR_OBJECT_MAX_BYTES));
    ck_assert(!zr_size_class_saves(&classes, ZR_OBJECT_MAX_BYTES, ZR_OBJECT_MAX_BYTES));
    ck_assert(!zr_size_class_saves(&classes, ZR_OBJECT_MAX_BYTES + 1, ZR_OBJECT_MAX_BYTES));
    ck_assert(!zr_size_class_saves(&classes, (size_t)UINT32_MAX + 1 + ZR_OBJECT_MIN_BYTES,
                                   ZR_OBJECT_MAX_BYTES));
    ck_assert(!zr_size_class_saves(&classes, SIZE_MAX, ZR_OBJECT_MAX_BYTES));
}
END_TEST

START_TEST(a_coarse_class_holds_more_by_less_than_a_step_and_is_its_own)
{
    uint32_t chunk, class_nr, nr_coarse = 0;

    zr_size_classes_init(&classes);
    chunk = zr_size_class_chunk(&classes);
    for (class_nr = 0; class_nr < chunk; class_nr++) {
        uint32_t coarse = classes.coarse[class_nr];

        ck_assert_uint_le(classes.object_bytes[class_nr], classes.object_bytes[coarse]);
        ck_assert_uint_lt(classes.object_bytes[coarse] - classes.object_bytes[class_nr],
                          ZR_COARSE_BYTES);
        ck_assert_uint_eq(classes.coarse[coarse], coarse);
        nr_coarse += coarse == class_nr;
    }
    ck_assert_uint_lt(nr_coarse, chunk / 2);
    // Objects of the largest class are told by it to be stored raw, and chunks to be chunks.
    ck_assert_uint_eq(classes.coarse[chunk - 1], chunk - 1);
    ck_assert_uint_eq(classes.coarse[chunk - 2], chunk - 2);
    ck_assert_uint_eq(classes.coarse[chunk], chunk);
}
END_TEST

UNIT_MAIN("size-class", every_size_gets_the_smallest_class_that_holds_it, a_class_ends_at_its_size,
          classes_reach_from_the_least_object_to_the_largest_and_then_the_chunk,
          a_class_size_is_aligned_and_the_largest_that_fits_a_span_so_often,
          no_count_of_objects_per_span_is_left_out,
          only_what_fits_a_class_below_the_largest_saves_room,
          a_coarse_class_holds_more_by_less_than_a_step_and_is_its_own)
