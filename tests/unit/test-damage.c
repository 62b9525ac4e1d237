// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Memory that changes by itself under what is stored: every flip is noticed, and nothing else than
// the page that it hit is lost.  Says how many it tried.
#include "shadowed-device.h"

#include "allocator/rcu.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define NR_PAGES 4
#define DAMAGED 0 // the first slot of the first device, whose seed is the simplest
#define NR_RANDOM 20000

static unsigned char *view(uint64_t slot)
{
    return zr_pool_view(&server.pool, zr_handle_of_word(load_word(slot)));
}

static size_t length(uint64_t slot)
{
    return zr_handle_length_bytes(zr_handle_of_word(load_word(slot)));
}

static int read_page(uint64_t slot, void *page)
{
    return zr_device_read(device, page, PAGE_BYTES, slot * PAGE_BYTES);
}

static void expect_eio(const char *how, size_t where)
{
    unsigned char page[PAGE_BYTES];
    uint64_t nr_corrupt = device->nr_corrupt;

    if (read_page(DAMAGED, page) != -EIO || device->nr_corrupt != nr_corrupt + 1) {
        ck_abort_msg("%s at %zu is not noticed", how, where);
    }
}

typedef void (*damager)(void);

static void flip_every_bit(void)
{
    unsigned char *object = view(DAMAGED);
    size_t nr_bits = length(DAMAGED) * 8;

    for (size_t bit = 0; bit < nr_bits; bit++) {
        object[bit / 8] ^= (unsigned char)(1u << bit % 8);
        expect_eio("a flip", bit);
        object[bit / 8] ^= (unsigned char)(1u << bit % 8);
    }
    printf("%zu single bits flipped\n", nr_bits);
}

static void damage_at_random(void)
{
    unsigned char old[ZR_OBJECT_MAX_BYTES];
    unsigned char *object = view(DAMAGED);
    size_t bytes = length(DAMAGED);

    memcpy(old, object, bytes);
    for (int i = 0; i < NR_RANDOM; i++) {
        size_t nr = 1 + random_below(i % 2 == 0 ? 3 : bytes);

        for (size_t n = 0; n < nr; n++) {
            object[random_below(bytes)] = (unsigned char)random_u64();
        }
        if (memcmp(object, old, bytes) != 0) {
            expect_eio("random damage, try", (size_t)i);
        }
        memcpy(object, old, bytes);
    }
    printf("%d times damaged at random\n", NR_RANDOM);
}

// A decoder sees a bad length only if nothing is in front of it.
static void lose_and_shift(void)
{
    unsigned char old[ZR_OBJECT_MAX_BYTES];
    unsigned char *object = view(DAMAGED);
    size_t bytes = length(DAMAGED);

    memcpy(old, object, bytes);
    memset(object, 0, bytes);
    expect_eio("zeros", 0);
    memset(object, 0xff, bytes);
    expect_eio("ones", 0);
    memcpy(object, old + 1, bytes - 1);
    expect_eio("a shift", 1);
    memcpy(object, old, bytes);
}

static void for_each_kind(damager damage)
{
    static const enum content contents[] = {CONTENT_NEARLY_SAME, CONTENT_TEXT, CONTENT_HALF_TEXT,
                                            CONTENT_RANDOM};

    for (size_t c = 0; zr_codecs[c]; c++) {
        for (size_t i = 0; i < NR_OF(contents); i++) {
            start_device(NR_PAGES * PAGE_BYTES, MiB, zr_codecs[c]);
            write_both(0, NR_PAGES * PAGE_BYTES, contents[i]);
            damage();
            compare_both();
            end_device();
        }
    }
}

START_TEST(every_flipped_bit_is_noticed)
{
    for_each_kind(flip_every_bit);
}
END_TEST

START_TEST(random_damage_is_noticed)
{
    for_each_kind(damage_at_random);
}
END_TEST

START_TEST(lost_and_shifted_objects_are_noticed)
{
    for_each_kind(lose_and_shift);
}
END_TEST

// A page as it was stored, but for another slot: what a wrong handle would show.
START_TEST(the_object_of_another_slot_is_noticed)
{
    for (size_t c = 0; zr_codecs[c]; c++) {
        unsigned char page[PAGE_BYTES];

        start_device(NR_PAGES * PAGE_BYTES, MiB, zr_codecs[c]);
        content_fill(page, sizeof page, CONTENT_TEXT);
        for (uint64_t slot = 0; slot < NR_PAGES; slot++) {
            ck_assert_int_eq(zr_device_write(device, page, PAGE_BYTES, slot * PAGE_BYTES), 0);
        }
        ck_assert_uint_eq(length(1), length(DAMAGED));
        memcpy(view(DAMAGED), view(1), length(1));
        expect_eio("another slot's object", 0);
        ck_assert_int_eq(read_page(1, page), 0);
        end_device();
    }
}
END_TEST

static void damage(void)
{
    view(DAMAGED)[length(DAMAGED) / 2] ^= 0x10;
    expect_eio("a flip", length(DAMAGED) / 2);
}

static void expect_others_intact(void)
{
    for (uint64_t slot = 0; slot < NR_PAGES; slot++) {
        if (slot != DAMAGED) {
            ck_assert(reads_as(&shadow[slot * PAGE_BYTES], PAGE_BYTES, slot * PAGE_BYTES));
        }
    }
}

static void start_damaged(enum content content)
{
    start_device(NR_PAGES * PAGE_BYTES, MiB, &zr_codec_lz4);
    write_both(0, NR_PAGES * PAGE_BYTES, content);
    damage();
}

START_TEST(a_damaged_page_is_lost_alone_until_it_is_overwritten_or_trimmed)
{
    static const enum content contents[] = {CONTENT_TEXT, CONTENT_RANDOM};
    unsigned char pages[NR_PAGES * PAGE_BYTES];

    for (size_t i = 0; i < NR_OF(contents); i++) {
        start_damaged(contents[i]);
        expect_others_intact();
        ck_assert_int_eq(zr_device_read(device, pages, sizeof pages, 0), -EIO);
        write_both(DAMAGED * PAGE_BYTES, PAGE_BYTES, contents[i]);
        compare_both();
        damage();
        zero_both(DAMAGED * PAGE_BYTES, PAGE_BYTES);
        compare_both();
        end_device();
    }
}
END_TEST

// What could not be read must not be stored again with a checksum that is right.
START_TEST(a_partial_write_over_a_damaged_page_is_eio_and_changes_nothing)
{
    uint64_t word;

    start_damaged(CONTENT_TEXT);
    word = load_word(DAMAGED);
    ck_assert_int_eq(zr_device_write(device, "x", 1, DAMAGED * PAGE_BYTES + 100), -EIO);
    ck_assert_int_eq(zr_device_zero(device, 10, DAMAGED * PAGE_BYTES + 100), -EIO);
    ck_assert_uint_eq(load_word(DAMAGED), word);
    view(DAMAGED)[length(DAMAGED) / 2] ^= 0x10; // as it was
    compare_both();
    end_device();
}
END_TEST

#define NR_SPARSE (4 * ZR_LEAF_SLOTS)

// Moved, a damaged page stays damaged, and the others stay right.
START_TEST(compaction_keeps_the_checksum_and_the_damage)
{
    unsigned char page[PAGE_BYTES];

    start_device(NR_SPARSE * PAGE_BYTES, 64 * MiB, &zr_codec_lz4);
    write_both(0, NR_SPARSE * PAGE_BYTES, CONTENT_MIXED);
    content_fill(&shadow[8 * PAGE_BYTES], PAGE_BYTES, CONTENT_TEXT);
    ck_assert_int_eq(zr_device_write(device, &shadow[8 * PAGE_BYTES], PAGE_BYTES, 8 * PAGE_BYTES),
                     0);
    for (uint64_t slot = 0; slot < NR_SPARSE; slot++) {
        if (slot % 8 != 0) {
            zero_both(slot * PAGE_BYTES, PAGE_BYTES);
        }
    }
    view(8)[length(8) / 2] ^= 1;
    zr_deferred_free_drain(server.deferred);
    ck_assert_uint_gt(zr_compactor_pass(&server.compactor, ZR_URGENCY_FULL), 0);
    ck_assert_uint_gt(server.compactor.nr_moved_pages, 0);
    ck_assert_int_eq(read_page(8, page), -EIO);
    write_both(8 * PAGE_BYTES, PAGE_BYTES, CONTENT_TEXT);
    compare_both();
    end_device();
}
END_TEST

static void replace_word(uint64_t slot, uint64_t word)
{
    zr_rcu_read_lock();
    ck_assert_int_eq(zr_slot_table_replace(&device->table, slot, load_word(slot), word), 0);
    zr_rcu_read_unlock();
}

START_TEST(a_word_of_a_wrong_length_is_eio)
{
    uint64_t word, offset;

    start_device(NR_PAGES * PAGE_BYTES, MiB, &zr_codec_lz4);
    write_both(0, NR_PAGES * PAGE_BYTES, CONTENT_TEXT);
    word = load_word(DAMAGED);
    offset = zr_handle_offset_bytes(zr_handle_of_word(word));
    for (uint32_t bytes = 1; bytes < 1u << ZR_HANDLE_LENGTH_BITS; bytes++) {
        if (bytes != zr_handle_length_bytes(zr_handle_of_word(word))) {
            replace_word(DAMAGED, zr_slot_word_make(ZR_SLOT_LZ4, zr_handle_make(offset, bytes)));
            expect_eio("a length", bytes);
        }
    }
    replace_word(DAMAGED, word);
    compare_both();
    end_device();
}
END_TEST

// The decoders alone: some damage gives another page, but never more or less than a page.
START_TEST(without_checksums_damage_is_harmless)
{
    for (size_t c = 0; zr_codecs[c]; c++) {
        unsigned char *page = unit_map_guarded(PAGE_BYTES);
        unsigned char old;

        start_device(NR_PAGES * PAGE_BYTES, MiB, zr_codecs[c]);
        server.codec.checksum_bytes = 0;
        write_both(0, NR_PAGES * PAGE_BYTES, CONTENT_TEXT);
        for (size_t i = 0; i < length(DAMAGED); i++) {
            old = view(DAMAGED)[i];
            view(DAMAGED)[i] = (unsigned char)random_u64();
            int rc = read_page(DAMAGED, page);

            ck_assert(rc == 0 || rc == -EIO);
            view(DAMAGED)[i] = old;
        }
        compare_both();
        end_device();
        unit_unmap_guarded(page, PAGE_BYTES);
    }
}
END_TEST

UNIT_MAIN("damage", every_flipped_bit_is_noticed, random_damage_is_noticed,
          lost_and_shifted_objects_are_noticed, the_object_of_another_slot_is_noticed,
          a_damaged_page_is_lost_alone_until_it_is_overwritten_or_trimmed,
          a_partial_write_over_a_damaged_page_is_eio_and_changes_nothing,
          compaction_keeps_the_checksum_and_the_damage, a_word_of_a_wrong_length_is_eio,
          without_checksums_damage_is_harmless)
