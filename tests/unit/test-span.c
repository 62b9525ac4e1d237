// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "unit.h"

#include "allocator/span.h"

#include <string.h>

static struct zr_span span;

static void start_span(uint32_t object_bytes)
{
    // What a span was before must not matter.
    memset(&span, 0xa5, sizeof span);
    zr_span_init(&span, 7, (uint16_t)object_bytes);
    zr_span_set_backed(&span, ZR_SPAN_ALL_PAGES);
}

static void take(uint32_t nr)
{
    for (; nr > 0; nr--) {
        zr_span_take(&span);
    }
}

START_TEST(a_new_span_is_empty_and_knows_its_class)
{
    struct zr_size_classes classes;
    uint32_t class_nr;

    zr_size_classes_init(&classes);
    for (class_nr = 0; class_nr <= zr_size_class_chunk(&classes); class_nr++) {
        start_span(classes.object_bytes[class_nr]);
        zr_span_init(&span, (uint8_t)class_nr, classes.object_bytes[class_nr]);
        ck_assert(zr_span_is_valid(&span));
        ck_assert(zr_span_is_empty(&span));
        ck_assert(!zr_span_is_full(&span));
        ck_assert_uint_eq(zr_span_class(&span), class_nr);
        ck_assert(!zr_span_is_isolated(&span));
        ck_assert_uint_eq(span.capacity, ZR_SPAN_BYTES / classes.object_bytes[class_nr]);
    }
}
END_TEST

START_TEST(objects_are_taken_from_the_lowest_up_until_the_span_is_full)
{
    struct zr_size_classes classes;
    uint32_t class_nr, index;

    zr_size_classes_init(&classes);
    for (class_nr = 0; class_nr <= zr_size_class_chunk(&classes); class_nr++) {
        start_span(classes.object_bytes[class_nr]);
        for (index = 0; index < span.capacity; index++) {
            ck_assert(!zr_span_is_full(&span));
            ck_assert_uint_eq(zr_span_take(&span), index);
        }
        ck_assert(zr_span_is_full(&span));
        ck_assert(zr_span_is_valid(&span));
    }
}
END_TEST

START_TEST(what_was_put_back_last_to_first_is_taken_again_first_to_last)
{
    // At both ends of a bitmap word, and at both ends of the span.
    static const uint32_t put[] = {1023, 512, 128, 127, 64, 63, 62, 0};
    size_t i;

    start_span(ZR_OBJECT_MIN_BYTES);
    take(span.capacity);
    for (i = 0; i < NR_OF(put); i++) {
        zr_span_put(&span, put[i]);
        ck_assert(zr_span_is_valid(&span));
    }
    ck_assert_uint_eq(zr_span_nr_used(&span), span.capacity - NR_OF(put));
    for (i = NR_OF(put); i-- > 0;) {
        ck_assert_uint_eq(zr_span_take(&span), put[i]);
    }
    ck_assert(zr_span_is_full(&span));
}
END_TEST

START_TEST(a_span_whose_objects_were_all_put_back_is_empty)
{
    uint32_t index;

    start_span(ZR_OBJECT_MAX_BYTES);
    take(span.capacity);
    for (index = span.capacity; index-- > 0;) {
        ck_assert(!zr_span_is_empty(&span));
        zr_span_put(&span, index);
    }
    ck_assert(zr_span_is_empty(&span));
    ck_assert(zr_span_is_valid(&span));
}
END_TEST

START_TEST(the_used_pages_reach_up_to_the_highest_object)
{
    // At both sides of a bitmap word's edge; of objects of 128 bytes a page has 32.
    static const uint32_t highest[] = {1022, 128, 127, 64, 63, 32, 31, 0};
    uint32_t top;

    start_span(ZR_OBJECT_MIN_BYTES);
    ck_assert_uint_eq(zr_span_used_pages(&span), 0);
    take(span.capacity);
    ck_assert_uint_eq(zr_span_used_pages(&span), ZR_SPAN_ALL_PAGES);
    top = span.capacity;
    for (size_t i = 0; i < NR_OF(highest); i++) {
        while (top > highest[i] + 1) {
            zr_span_put(&span, --top);
        }
        ck_assert_uint_eq(zr_span_used_pages(&span), (UINT64_C(1) << (highest[i] / 32 + 1)) - 1);
        ck_assert(zr_span_is_valid(&span));
    }
}
END_TEST

START_TEST(of_chunks_just_those_in_use_are_used_pages)
{
    start_span(ZR_CHUNK_BYTES);
    take(32);
    ck_assert_uint_eq(zr_span_used_pages(&span), UINT32_MAX);
    zr_span_put(&span, 0);
    zr_span_put(&span, 7);
    ck_assert_uint_eq(zr_span_used_pages(&span), UINT32_MAX & ~(1u << 0 | 1u << 7));
}
END_TEST

START_TEST(the_pages_of_a_range_are_those_that_it_touches)
{
    ck_assert_uint_eq(zr_span_pages(0, 1), 1);
    ck_assert_uint_eq(zr_span_pages(4095, 4096), 1);
    ck_assert_uint_eq(zr_span_pages(4095, 4097), 3);
    ck_assert_uint_eq(zr_span_pages(4096, 8192), 2);
    ck_assert_uint_eq(zr_span_pages(0, ZR_SPAN_BYTES), ZR_SPAN_ALL_PAGES);
    ck_assert_uint_eq(zr_span_pages(ZR_SPAN_BYTES - 1, ZR_SPAN_BYTES), UINT32_C(1) << 31);
}
END_TEST

START_TEST(a_span_agrees_with_a_model_whatever_the_order)
{
    static bool model[ZR_SPAN_WORDS * 64];
    uint32_t nr_used = 0, lowest, index;

    start_span(ZR_OBJECT_MIN_BYTES + 16); // so that the last bitmap words are used in part
    for (int step = 0; step < 20000; step++) {
        // Fills up and runs empty in turns: both ends are reached.
        bool is_filling = step / 4000 % 2 == 0;

        if (nr_used < span.capacity && random_below(10) < (is_filling ? 8 : 2)) {
            for (lowest = 0; model[lowest]; lowest++) {
            }
            ck_assert_uint_eq(zr_span_take(&span), lowest);
            model[lowest] = true;
            nr_used++;
        } else if (nr_used > 0) {
            do {
                index = (uint32_t)random_below(span.capacity);
            } while (!model[index]);
            zr_span_put(&span, index);
            model[index] = false;
            nr_used--;
        }
        ck_assert_uint_eq(zr_span_nr_used(&span), nr_used);
        if (step % 16 == 0) {
            ck_assert(zr_span_is_valid(&span));
        }
    }
}
END_TEST

static void put_at(void *index)
{
    zr_span_put(&span, *(uint32_t *)index);
}

START_TEST(putting_back_what_is_not_in_use_aborts)
{
    uint32_t index;

    start_span(ZR_OBJECT_MAX_BYTES);
    take(2);
    index = 1;
    ck_assert(!unit_aborts(put_at, &index));
    index = 2;
    ck_assert_msg(unit_aborts(put_at, &index), "never taken");
    zr_span_put(&span, 1);
    index = 1;
    ck_assert_msg(unit_aborts(put_at, &index), "put back twice");
}
END_TEST

START_TEST(putting_back_an_index_beyond_the_last_object_aborts)
{
    uint32_t index;

    start_span(ZR_OBJECT_MAX_BYTES);
    take(span.capacity);
    index = span.capacity - 1u;
    ck_assert(!unit_aborts(put_at, &index));
    index = span.capacity;
    ck_assert(unit_aborts(put_at, &index));
    index = ZR_SPAN_WORDS * 64;
    ck_assert(unit_aborts(put_at, &index));
    index = UINT32_MAX;
    ck_assert(unit_aborts(put_at, &index));
}
END_TEST

START_TEST(is_valid_sees_each_broken_invariant)
{
    start_span(ZR_OBJECT_MAX_BYTES);
    take(3);
    ck_assert(zr_span_is_valid(&span));

    span.nr_used++;
    ck_assert_msg(!zr_span_is_valid(&span), "a wrong count");
    span.nr_used--;
    span.capacity++;
    ck_assert_msg(!zr_span_is_valid(&span), "a wrong capacity");
    span.capacity--;
    span.used[0] ^= UINT64_C(1) << 1 | UINT64_C(1) << span.capacity;
    ck_assert_msg(!zr_span_is_valid(&span), "an object beyond the capacity");
    span.used[0] ^= UINT64_C(1) << 1 | UINT64_C(1) << span.capacity;
    span.first_free_word = 1;
    ck_assert_msg(!zr_span_is_valid(&span), "a free object that take would not find");
    span.first_free_word = 0;
    zr_span_set_backed(&span, 1);
    ck_assert_msg(!zr_span_is_valid(&span), "an object where no memory is said to be");
    zr_span_set_backed(&span, ZR_SPAN_ALL_PAGES);
    ck_assert(zr_span_is_valid(&span));
}
END_TEST

UNIT_MAIN("span", a_new_span_is_empty_and_knows_its_class,
          objects_are_taken_from_the_lowest_up_until_the_span_is_full,
          what_was_put_back_last_to_first_is_taken_again_first_to_last,
          a_span_whose_objects_were_all_put_back_is_empty,
          the_used_pages_reach_up_to_the_highest_object, of_chunks_just_those_in_use_are_used_pages,
          the_pages_of_a_range_are_those_that_it_touches,
          a_span_agrees_with_a_model_whatever_the_order, putting_back_what_is_not_in_use_aborts,
          putting_back_an_index_beyond_the_last_object_aborts, is_valid_sees_each_broken_invariant)
