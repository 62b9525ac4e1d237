// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// The format of groups: what is made is read, and nothing else is taken for it.
#include "fault.h"
#include "unit.h"

#include "store/checksum.h"
#include "store/group-cache.h"
#include "store/slot-table.h"

#include <errno.h>
#include <string.h>
#include <zstd.h>

#define SEED 0x1234567u
#define LEAF 77u
#define FIRST_SLOT ((uint64_t)LEAF * ZR_LEAF_SLOTS)
#define HEADER_BYTES offsetof(struct zr_group, slots)

static struct zr_group_maker maker;
static struct zr_group_cache cache;
static unsigned char pages[ZR_GROUP_PAGES][PAGE_BYTES];
static uint16_t slots[ZR_GROUP_PAGES];

// The last that was made, where what follows must not be touched.
static struct zr_group *group;
static size_t group_bytes, mapped_bytes;

static void start(void)
{
    ck_assert_int_eq(zr_group_maker_init(&maker), 0);
    ck_assert_int_eq(zr_group_cache_init(&cache), 0);
}

static void drop_group(void)
{
    if (group) {
        unit_unmap_guarded((unsigned char *)group, mapped_bytes);
    }
    group = NULL;
}

static void end(void)
{
    drop_group();
    zr_group_cache_fini(&cache);
    zr_group_maker_fini(&maker);
}

// So many slots, ascending, at random.
static void choose_slots(unsigned nr)
{
    unsigned left = ZR_LEAF_SLOTS, chosen = 0;

    for (uint16_t slot = 0; slot < ZR_LEAF_SLOTS; slot++, left--) {
        if (random_below(left) < nr - chosen) {
            slots[chosen++] = slot;
        }
    }
}

static void make(unsigned nr, enum content content)
{
    drop_group();
    for (unsigned i = 0; i < nr; i++) {
        content_fill(pages[i], PAGE_BYTES, content);
    }
    memcpy(maker.pages, pages, sizeof pages);
    group_bytes = zr_group_make(&maker, SEED, LEAF, slots, nr);
    ck_assert_uint_ne(group_bytes, UINT32_MAX);
    mapped_bytes = (group_bytes + 15) / 16 * 16; // where it is in a log
    group = (struct zr_group *)(void *)unit_map_guarded(mapped_bytes);
    zr_group_copy(group, maker.group);
}

static int read_slot(uint64_t slot, unsigned char *page)
{
    return zr_group_cache_read(&cache, group, group_bytes, SEED, slot, page);
}

static void forget(void)
{
    zr_group_cache_expire(&cache, UINT64_MAX);
}

// Each member is read right, or with EIO.  How many of them with EIO.
static unsigned nr_unreadable(unsigned nr)
{
    unsigned char page[PAGE_BYTES];
    unsigned nr_failed = 0;

    for (unsigned i = 0; i < nr; i++) {
        int rc = read_slot(FIRST_SLOT + slots[i], page);

        if (rc == 0 ? memcmp(page, pages[i], PAGE_BYTES) != 0 : rc != -EIO) {
            ck_abort_msg("member %u of %u: %d, or wrong", i, nr, rc);
        }
        nr_failed += rc != 0;
    }
    return nr_failed;
}

// As if it had been made so.
static void make_checksum_right(void)
{
    group->checksum = zr_checksum(&group->bytes, group->bytes - offsetof(struct zr_group, bytes),
                                  group->device_seed);
}

START_TEST(groups_of_any_size_and_content_read_as_their_pages)
{
    start();
    for (unsigned nr = 1; nr <= ZR_GROUP_PAGES; nr++) {
        for (enum content content = 0; content <= CONTENT_MIXED; content++) {
            choose_slots(nr);
            if (nr > 1) {
                slots[0] = 0;
                slots[nr - 1] = ZR_LEAF_SLOTS - 1;
            }
            make(nr, content);
            ck_assert_uint_eq(group->bytes, group_bytes);
            ck_assert_uint_eq(group->nr_members, nr);
            ck_assert_uint_eq(group->read, 0);
            ck_assert(zr_group_is_sound(group, group_bytes));
            ck_assert_uint_eq(nr_unreadable(nr), 0);
        }
    }
    end();
}
END_TEST

START_TEST(what_does_not_compress_takes_hardly_more_than_itself)
{
    start();
    for (unsigned nr = 1; nr <= ZR_GROUP_PAGES; nr++) {
        choose_slots(nr);
        make(nr, CONTENT_RANDOM);
        ck_assert_uint_ge(group_bytes, nr * PAGE_BYTES);
        ck_assert_uint_le(group_bytes, nr * (PAGE_BYTES + 2) + HEADER_BYTES + 16);
        ck_assert_uint_eq(nr_unreadable(nr), 0);
    }
    end();
}
END_TEST

START_TEST(neighbours_take_less_together_than_alone)
{
    size_t alone_bytes = 0;

    start();
    choose_slots(ZR_GROUP_PAGES);
    make(ZR_GROUP_PAGES, CONTENT_TEXT);
    for (unsigned i = 0; i < ZR_GROUP_PAGES; i++) {
        memcpy(maker.pages, pages[i], PAGE_BYTES);
        alone_bytes += zr_group_make(&maker, SEED, LEAF, &slots[i], 1);
    }
    ck_assert_uint_lt(group_bytes, alone_bytes * 9 / 10);
    end();
}
END_TEST

START_TEST(no_two_groups_have_the_same_id)
{
    struct zr_group_maker other;
    uint64_t last = 0;

    start();
    ck_assert_int_eq(zr_group_maker_init(&other), 0);
    ck_assert_uint_ne(other.next_id, maker.next_id);
    zr_group_maker_fini(&other);
    choose_slots(2);
    for (int i = 0; i < 3; i++) {
        make(2, CONTENT_TEXT);
        ck_assert(i == 0 || group->id == last + 1);
        last = group->id;
    }
    end();
}
END_TEST

START_TEST(what_is_cut_off_is_no_group)
{
    start();
    choose_slots(5);
    make(5, CONTENT_TEXT);
    for (size_t bytes = 0; bytes < group_bytes; bytes += bytes < 64 ? 1 : 16) {
        // A start where it may lie, an end behind which nothing may be touched.
        size_t whole = (bytes + 15) / 16 * 16;
        unsigned char *part = unit_map_guarded(whole);
        unsigned char page[PAGE_BYTES];

        memcpy(part, group, bytes);
        if (zr_group_is_sound((struct zr_group *)(void *)part, bytes) ||
            zr_group_cache_read(&cache, (struct zr_group *)(void *)part, bytes, SEED,
                                FIRST_SLOT + slots[0], page) != -EIO) {
            ck_abort_msg("%zu of %zu bytes", bytes, group_bytes);
        }
        unit_unmap_guarded(part, whole);
    }
    ck_assert(zr_group_is_sound(group, group_bytes));
    ck_assert(zr_group_is_sound(group, group_bytes + 1000)); // nor does what follows matter
    end();
}
END_TEST

START_TEST(a_group_with_a_changed_byte_is_none)
{
    start();
    for (unsigned nr = 1; nr <= ZR_GROUP_PAGES; nr += 5) {
        choose_slots(nr);
        make(nr, nr == 1 ? CONTENT_HALF_TEXT : CONTENT_NEARLY_SAME);
        for (size_t i = 0; i < group_bytes; i++) {
            unsigned char *byte = (unsigned char *)group + i;
            unsigned char change = (unsigned char)(1 + random_below(255));

            // What the readers set is no part of it, nor is what is unused.
            if (i >= offsetof(struct zr_group, read) && i < offsetof(struct zr_group, bytes)) {
                continue;
            }
            *byte ^= change;
            if (zr_group_is_sound(group, mapped_bytes) || nr_unreadable(nr) != nr) {
                ck_abort_msg("byte %zu of %zu", i, group_bytes);
            }
            *byte ^= change;
        }
        ck_assert_uint_eq(nr_unreadable(nr), 0);
        // With its pages in the cache, they may still be read.
        for (size_t i = 0; i < group_bytes; i++) {
            unsigned char *byte = (unsigned char *)group + i;

            *byte ^= 0xff;
            nr_unreadable(nr);
            *byte ^= 0xff;
        }
    }
    end();
}
END_TEST

START_TEST(what_readers_set_changes_nothing)
{
    start();
    choose_slots(3);
    make(3, CONTENT_TEXT);
    group->read = 0xffff;
    ck_assert(zr_group_is_sound(group, group_bytes));
    ck_assert_uint_eq(nr_unreadable(3), 0);
    end();
}
END_TEST

// An earlier version of the same pages is in the cache, and a fault gives the group its id.
START_TEST(a_changed_id_does_not_lead_to_the_pages_of_another_group)
{
    uint64_t first_id;

    start();
    choose_slots(4);
    make(4, CONTENT_TEXT);
    ck_assert_uint_eq(nr_unreadable(4), 0);
    first_id = group->id;
    make(4, CONTENT_TEXT);
    group->id = first_id;
    ck_assert_uint_eq(nr_unreadable(4), 4);
    end();
}
END_TEST

// Memory that is lost reads as zeros: an id of 0, as of an entry of the cache that has no group.
START_TEST(zeros_are_no_group_whatever_was_cached)
{
    start();
    choose_slots(ZR_GROUP_PAGES);
    make(ZR_GROUP_PAGES, CONTENT_TEXT);
    ck_assert_uint_eq(nr_unreadable(ZR_GROUP_PAGES), 0);
    forget();
    memset(group, 0, group_bytes);
    ck_assert_uint_eq(nr_unreadable(ZR_GROUP_PAGES), ZR_GROUP_PAGES);
    zr_group_copy(group, maker.group); // and after one that was damaged
    ((unsigned char *)group)[group_bytes - 1] ^= 1;
    ck_assert_uint_eq(nr_unreadable(ZR_GROUP_PAGES), ZR_GROUP_PAGES);
    memset(group, 0, group_bytes);
    ck_assert_uint_eq(nr_unreadable(ZR_GROUP_PAGES), ZR_GROUP_PAGES);
    end();
}
END_TEST

START_TEST(only_the_members_are_read_of_a_group)
{
    static const uint16_t members[] = {0, 1, 300, 511};
    unsigned char page[PAGE_BYTES];

    start();
    for (int is_cached = 0; is_cached < 2; is_cached++) {
        memcpy(slots, members, sizeof members);
        make(4, CONTENT_TEXT);
        for (uint64_t slot = 0; slot < ZR_LEAF_SLOTS; slot++) {
            bool is_member = slot == 0 || slot == 1 || slot == 300 || slot == 511;

            if (!is_cached) {
                forget();
            }
            ck_assert_int_eq(read_slot(FIRST_SLOT + slot, page), is_member ? 0 : -EIO);
        }
        ck_assert_int_eq(read_slot(FIRST_SLOT - ZR_LEAF_SLOTS + 1, page), -EIO);
        ck_assert_int_eq(read_slot(FIRST_SLOT + ZR_LEAF_SLOTS + 1, page), -EIO);
        ck_assert_int_eq(read_slot(1, page), -EIO);
        ck_assert_int_eq(
            zr_group_cache_read(&cache, group, group_bytes, SEED + 2, FIRST_SLOT, page), -EIO);
        ck_assert_uint_eq(nr_unreadable(4), 0);
    }
    end();
}
END_TEST

// Where even the checksum is right, what cannot be is refused.
START_TEST(a_header_that_cannot_be_right_is_refused)
{
    static const uint16_t numbers[] = {0, 17, 255, 0xffff};
    unsigned char page[PAGE_BYTES];

    start();
    choose_slots(8);
    make(8, CONTENT_TEXT);
    for (size_t i = 0; i < NR_OF(numbers); i++) {
        group->nr_members = numbers[i];
        make_checksum_right();
        ck_assert(!zr_group_is_sound(group, group_bytes));
        ck_assert_int_eq(read_slot(FIRST_SLOT + slots[0], page), -EIO);
    }
    for (unsigned nr = 1; nr <= ZR_GROUP_PAGES; nr++) { // not as many pages as it says
        group->nr_members = (uint16_t)nr;
        make_checksum_right();
        forget();
        ck_assert_int_eq(read_slot(FIRST_SLOT + slots[0], page), nr == 8 ? 0 : -EIO);
    }
    group->nr_members = 8;
    for (uint32_t bytes = 8; bytes <= HEADER_BYTES + 8 * 2; bytes++) {
        group->bytes = bytes;
        make_checksum_right();
        ck_assert(!zr_group_is_sound(group, group_bytes));
    }
    for (uint32_t bytes = 0; bytes < 8; bytes++) {
        group->bytes = bytes;
        ck_assert(!zr_group_is_sound(group, group_bytes));
    }
    end();
}
END_TEST

START_TEST(a_frame_of_more_pages_than_there_is_room_for_is_refused)
{
    static unsigned char many[ZR_GROUP_RAW_BYTES + PAGE_BYTES];
    unsigned char page[PAGE_BYTES];
    size_t bytes;

    start();
    choose_slots(ZR_GROUP_PAGES);
    make(ZR_GROUP_PAGES, CONTENT_RANDOM); // so that there is room for the frame
    bytes = ZSTD_compress((void *)(uintptr_t)zr_group_frame(group), zr_group_frame_bytes(group),
                          many, sizeof many, 1);
    ck_assert(!ZSTD_isError(bytes));
    group->bytes = (uint32_t)(zr_group_frame(group) - (unsigned char *)group) + (uint32_t)bytes;
    make_checksum_right();
    ck_assert(zr_group_is_sound(group, group_bytes));
    ck_assert_int_eq(read_slot(FIRST_SLOT + slots[0], page), -EIO);
    end();
}
END_TEST

START_TEST(the_second_read_of_a_member_is_known)
{
    start();
    choose_slots(ZR_GROUP_PAGES);
    slots[0] = 0;
    slots[1] = 1;
    make(ZR_GROUP_PAGES, CONTENT_TEXT);
    for (unsigned i = 0; i < ZR_GROUP_PAGES; i++) {
        ck_assert(!zr_group_note_read(group, FIRST_SLOT + slots[i]));
        ck_assert(zr_group_note_read(group, FIRST_SLOT + slots[i]));
    }
    ck_assert_uint_eq(group->read, 0xffff);
    ck_assert(zr_group_is_sound(group, group_bytes));
    // A damaged group, which its pages in the cache are read of.
    group->nr_members = 0xffff;
    ck_assert(zr_group_note_read(group, FIRST_SLOT + slots[15]));
    group->read = 0;
    memset(group->slots, 0xff, sizeof slots);
    ck_assert(!zr_group_note_read(group, FIRST_SLOT + 5));
    ck_assert(!zr_group_note_read(group, FIRST_SLOT + 5));
    ck_assert_uint_eq(group->read, 0);
    end();
}
END_TEST

START_TEST(an_init_that_fails_at_any_step_leaves_nothing_behind)
{
    unsigned nth;
    int rc;

    for (nth = 1;; nth++) {
        fault_arm(nth);
        rc = zr_group_maker_init(&maker);
        if (!fault_disarm()) {
            break;
        }
        ck_assert_int_eq(rc, -ENOMEM);
        ck_assert_int_eq(fault_nr_live(), 0);
    }
    ck_assert_int_eq(rc, 0);
    ck_assert_uint_gt(nth, 3);
    fault_arm(0);
    zr_group_maker_fini(&maker);
    fault_disarm();
    ck_assert_int_eq(fault_nr_live(), 0);
    for (nth = 1;; nth++) {
        fault_arm(nth);
        rc = zr_group_cache_init(&cache);
        if (!fault_disarm()) {
            break;
        }
        ck_assert_int_eq(rc, -ENOMEM);
        ck_assert_int_eq(fault_nr_live(), 0);
    }
    ck_assert_int_eq(rc, 0);
    fault_arm(0);
    zr_group_cache_fini(&cache);
    fault_disarm();
    ck_assert_int_eq(fault_nr_live(), 0);
}
END_TEST

// Who makes groups is short of memory, and who reads them waits for it.  zstd gives back what it
// did not need for 128 frames, and takes it again; all groups need the same.
START_TEST(no_call_but_init_allocates)
{
    unsigned char page[PAGE_BYTES];
    unsigned nr_calls = 0;

    start();
    for (int i = 0; i < 600; i++) {
        unsigned nr = i < 200   ? 1 + (unsigned)random_below(ZR_GROUP_PAGES)
                      : i < 400 ? 1
                                : ZR_GROUP_PAGES;

        choose_slots(nr);
        make(nr, (enum content)(i % (NR_CONTENTS + 1)));
        fault_arm(0);
        zr_group_make(&maker, SEED, LEAF, slots, nr);
        read_slot(FIRST_SLOT + slots[0], page);
        fault_disarm();
        nr_calls += fault_nr_heap_calls();
    }
    ck_assert_uint_eq(nr_calls, 0);
    end();
}
END_TEST

UNIT_MAIN("group", groups_of_any_size_and_content_read_as_their_pages,
          what_does_not_compress_takes_hardly_more_than_itself,
          neighbours_take_less_together_than_alone, no_two_groups_have_the_same_id,
          what_is_cut_off_is_no_group, a_group_with_a_changed_byte_is_none,
          what_readers_set_changes_nothing,
          a_changed_id_does_not_lead_to_the_pages_of_another_group,
          zeros_are_no_group_whatever_was_cached, only_the_members_are_read_of_a_group,
          a_header_that_cannot_be_right_is_refused,
          a_frame_of_more_pages_than_there_is_room_for_is_refused,
          the_second_read_of_a_member_is_known,
          an_init_that_fails_at_any_step_leaves_nothing_behind, no_call_but_init_allocates)
