// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Handles, and the slot words that carry them.
#include "unit.h"

#include "store/slot-word.h"

#define UNIT_BYTES (UINT64_C(1) << ZR_HANDLE_UNIT_SHIFT)
#define OFFSET_MAX_BYTES (((UINT64_C(1) << ZR_HANDLE_OFFSET_BITS) - 1) * UNIT_BYTES)
#define LENGTH_MAX_BYTES ((1u << ZR_HANDLE_LENGTH_BITS) - 1)

static const uint64_t offsets[] = {
    0,
    UNIT_BYTES,
    4096,
    UINT64_C(1) << 32,
    (UINT64_C(1) << 45) + UNIT_BYTES,
    OFFSET_MAX_BYTES - UNIT_BYTES,
    OFFSET_MAX_BYTES,
};
static const uint32_t lengths[] = {0, 1, 15, 16, 17, 4095, 4096, LENGTH_MAX_BYTES};
static const enum zr_slot_kind object_kinds[] = {ZR_SLOT_HUGE, ZR_SLOT_LZ4, ZR_SLOT_ZSTD};

static void check_handle(zr_handle handle, uint64_t offset, uint32_t length)
{
    ck_assert_uint_eq(zr_handle_offset_bytes(handle), offset);
    ck_assert_uint_eq(zr_handle_length_bytes(handle), length);
    ck_assert(zr_handle_has_object(handle) == (length > 0));
}

START_TEST(a_handle_keeps_offset_and_length_up_to_their_limits)
{
    for (size_t o = 0; o < NR_OF(offsets); o++) {
        for (size_t l = 0; l < NR_OF(lengths); l++) {
            check_handle(zr_handle_make(offsets[o], lengths[l]), offsets[o], lengths[l]);
        }
    }
}
END_TEST

START_TEST(a_handle_leaves_its_owners_bits_alone)
{
    zr_handle handle = zr_handle_make(OFFSET_MAX_BYTES, LENGTH_MAX_BYTES);
    uint64_t owner;

    ck_assert_uint_eq(handle.bits >> ZR_HANDLE_BITS, 0);
    for (owner = 0; owner < UINT64_C(1) << (64 - ZR_HANDLE_BITS); owner++) {
        uint64_t word = owner << ZR_HANDLE_BITS;

        check_handle(zr_handle_of_word(word | handle.bits), OFFSET_MAX_BYTES, LENGTH_MAX_BYTES);
        check_handle(zr_handle_of_word(word), 0, 0);
        ck_assert_uint_eq(zr_handle_of_word(word | handle.bits).bits, handle.bits);
    }
}
END_TEST

START_TEST(a_slot_word_keeps_kind_and_handle)
{
    for (size_t k = 0; k < NR_OF(object_kinds); k++) {
        for (size_t o = 0; o < NR_OF(offsets); o++) {
            for (size_t l = 0; l < NR_OF(lengths); l++) {
                zr_handle handle = zr_handle_make(offsets[o], lengths[l]);
                uint64_t word = zr_slot_word_make(object_kinds[k], handle);

                ck_assert_uint_eq(zr_slot_word_kind(word), object_kinds[k]);
                check_handle(zr_handle_of_word(word), offsets[o], lengths[l]);
                ck_assert_uint_ne(word, ZR_SLOT_EMPTY);
            }
        }
    }
}
END_TEST

START_TEST(the_age_bits_of_a_new_slot_word_are_zero)
{
    const uint64_t age = (UINT64_C(1) << ZR_SLOT_KIND_SHIFT) - (UINT64_C(1) << ZR_HANDLE_BITS);
    zr_handle handle = zr_handle_make(OFFSET_MAX_BYTES, LENGTH_MAX_BYTES);

    for (size_t k = 0; k < NR_OF(object_kinds); k++) {
        ck_assert_uint_eq(zr_slot_word_make(object_kinds[k], handle) & age, 0);
    }
    ck_assert_uint_eq(zr_slot_word_same(UINT32_MAX) & age, 0);
}
END_TEST

START_TEST(a_same_filled_word_keeps_its_value_and_has_no_object)
{
    static const uint32_t values[] = {0, 1, 0x7fffffff, 0x80000000, 0x01020304, UINT32_MAX};

    for (size_t i = 0; i < NR_OF(values); i++) {
        uint64_t word = zr_slot_word_same(values[i]);

        ck_assert_uint_eq(zr_slot_word_kind(word), ZR_SLOT_SAME);
        ck_assert_uint_eq(zr_slot_word_value(word), values[i]);
        ck_assert(!zr_handle_has_object(zr_handle_of_word(word)));
    }
}
END_TEST

START_TEST(only_the_page_of_zeros_is_an_empty_slot)
{
    ck_assert_uint_eq(zr_slot_word_same(0), ZR_SLOT_EMPTY);
    ck_assert_uint_ne(zr_slot_word_same(1), ZR_SLOT_EMPTY);
    ck_assert_uint_eq(zr_slot_word_kind(ZR_SLOT_EMPTY), ZR_SLOT_SAME);
    ck_assert(!zr_handle_has_object(zr_handle_of_word(ZR_SLOT_EMPTY)));
}
END_TEST

UNIT_MAIN("handle", a_handle_keeps_offset_and_length_up_to_their_limits,
          a_handle_leaves_its_owners_bits_alone, a_slot_word_keeps_kind_and_handle,
          the_age_bits_of_a_new_slot_word_are_zero,
          a_same_filled_word_keeps_its_value_and_has_no_object,
          only_the_page_of_zeros_is_an_empty_slot)
