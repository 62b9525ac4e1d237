// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "unit.h"

#include "store/same-filled.h"

#include <string.h>

static const uint32_t values[] = {0, 1, 0xff, 0x01010101, 0x01020304, 0x80000000, UINT32_MAX};

static void fill_by_hand(unsigned char *page, uint32_t value)
{
    for (size_t i = 0; i < ZR_PAGE_BYTES; i += sizeof value) {
        memcpy(page + i, &value, sizeof value);
    }
}

START_TEST(a_page_of_one_value_is_same_filled_with_it)
{
    unsigned char page[ZR_PAGE_BYTES];

    for (size_t i = 0; i < NR_OF(values); i++) {
        uint32_t value = ~values[i];

        fill_by_hand(page, values[i]);
        ck_assert(zr_is_same_filled(page, &value));
        ck_assert_uint_eq(value, values[i]);
    }
}
END_TEST

START_TEST(one_other_bit_anywhere_makes_a_page_not_same_filled)
{
    unsigned char page[ZR_PAGE_BYTES];
    uint32_t value;

    for (size_t i = 0; i < NR_OF(values); i++) {
        fill_by_hand(page, values[i]);
        for (size_t byte = 0; byte < sizeof page; byte++) {
            unsigned char bit = (unsigned char)(1 << random_below(8));

            page[byte] ^= bit;
            ck_assert(!zr_is_same_filled(page, &value));
            page[byte] ^= bit;
        }
    }
}
END_TEST

START_TEST(a_page_that_repeats_a_longer_value_is_not_same_filled)
{
    unsigned char page[ZR_PAGE_BYTES];
    uint32_t value;

    // Of 2, 3... 32-bit values; with 3 of them the last one in the page is the first one again.
    for (size_t nr = 2; nr <= ZR_PAGE_BYTES / sizeof value; nr++) {
        for (size_t i = 0; i < ZR_PAGE_BYTES; i++) {
            page[i] = i % (nr * sizeof value) < sizeof value;
        }
        ck_assert(!zr_is_same_filled(page, &value));
    }
}
END_TEST

START_TEST(filling_writes_the_value_all_over_the_page)
{
    unsigned char page[ZR_PAGE_BYTES], expected[ZR_PAGE_BYTES];

    for (size_t i = 0; i < NR_OF(values); i++) {
        memset(page, 0x5a, sizeof page);
        fill_by_hand(expected, values[i]);
        zr_fill_page(page, values[i]);
        ck_assert_mem_eq(page, expected, sizeof page);
    }
}
END_TEST

// A client's buffer may start anywhere; the page ends where the accessible memory does.
START_TEST(a_page_of_any_alignment_is_filled_and_seen_and_nothing_beside_it)
{
    for (size_t shift = 0; shift < 16; shift++) {
        const size_t bytes = ZR_PAGE_BYTES + 1 + shift;
        unsigned char *start = unit_map_guarded(bytes);
        unsigned char *page = start + 1;
        uint32_t value;

        memset(start, 0x5a, bytes);
        zr_fill_page(page, 0x01020304);
        ck_assert(zr_is_same_filled(page, &value));
        ck_assert_uint_eq(value, 0x01020304);
        zr_fill_page(page, 0);
        ck_assert(zr_is_same_filled(page, &value));
        ck_assert_uint_eq(value, 0);

        ck_assert_uint_eq(start[0], 0x5a);
        for (size_t i = 0; i < shift; i++) {
            ck_assert_uint_eq(page[ZR_PAGE_BYTES + i], 0x5a);
        }
        unit_unmap_guarded(start, bytes);
    }
}
END_TEST

UNIT_MAIN("same-filled", a_page_of_one_value_is_same_filled_with_it,
          one_other_bit_anywhere_makes_a_page_not_same_filled,
          a_page_that_repeats_a_longer_value_is_not_same_filled,
          filling_writes_the_value_all_over_the_page,
          a_page_of_any_alignment_is_filled_and_seen_and_nothing_beside_it)
