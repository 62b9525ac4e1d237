// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// What a server finds of cold pages that starts on the store of one that was killed: all of them,
// with every share on its account; and damage becomes lost pages or EIO, never wrong bytes.
#include "stored-server.h"

#include "store/slot-counts.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static _Atomic uint64_t *word_at(uint64_t slot)
{
    return &zr_slot_table_leaf(&device->table, slot)[slot % ZR_LEAF_SLOTS];
}

static uint64_t nr_cold(void)
{
    struct zr_slot_counts counts;

    zr_slot_counts_get(&device->table, &counts);
    return counts.nr_cold;
}

// As the background does, when the pages are old enough.
static void make_cold(void)
{
    uint64_t slot = 0, nr_stored = 0;

    for (int i = 0; i < 16; i++) {
        zr_ager_walk(&server.ager);
    }
    while (slot < DEVICE_PAGES) {
        zr_demoter_demote(&server.demoter, device, &slot, 3, &nr_stored);
    }
    zr_deferred_free_drain(server.deferred);
}

static void clean_all(void)
{
    for (int i = 0; i < 1000 && zr_demoter_clean(&server.demoter); i++) {
    }
}

static void trim_every(uint64_t nr)
{
    for (uint64_t slot = 0; slot < DEVICE_PAGES; slot += nr) {
        store_trim(slot, 1);
    }
    zr_deferred_free_drain(server.deferred);
}

static void fill(void)
{
    store_write(0, DEVICE_PAGES, CONTENT_TEXT);
    make_cold();
}

// With nothing that waits to be freed.
static void check(void)
{
    while (zr_deferred_free_drain(server.deferred)) {
    }
    store_check();
}

// Trims all; nothing is left in the pool then.
static void end_empty(void)
{
    struct zr_pool_stats stats;

    store_trim(0, DEVICE_PAGES);
    check();
    zr_pool_get_stats(&server.pool, &stats);
    ck_assert_uint_eq(stats.nr_objects, 0);
    ck_assert_uint_eq(stats.stored_bytes, 0);
    store_stop();
}

// ---- Killed

static void fill_mixed(void)
{
    store_write(0, DEVICE_PAGES, CONTENT_MIXED);
    store_trim(ZR_LEAF_SLOTS, ZR_LEAF_SLOTS);
    make_cold();
}

static void fill_and_change(void)
{
    unsigned char page[PAGE_BYTES];

    fill();
    store_write(10, 100, CONTENT_HALF_TEXT);
    store_trim(300, 50);
    for (uint64_t slot = 600; slot < 650; slot++) { // twice: they leave their groups
        zr_device_read(device, page, PAGE_BYTES, slot * PAGE_BYTES);
        zr_device_read(device, page, PAGE_BYTES, slot * PAGE_BYTES);
    }
}

static void fill_and_clean(void)
{
    fill();
    trim_every(2);
    clean_all();
}

// In the middle of a pass: spans are cleaned and wait to be free.
static void fill_and_clean_once(void)
{
    fill();
    trim_every(3);
    zr_demoter_clean(&server.demoter);
}

static void fill_and_append(void)
{
    uint64_t offset;

    fill();
    zr_log_append(&server.demoter.log, 5000, 3, 5000, false, &offset);
    memset(server.pool.arena.base + offset, 0xff, 5000);
}

static void fill_and_take_span(void)
{
    fill();
    zr_log_keep_spare(&server.demoter.log);
    zr_pool_take_log_span(&server.pool, false);
}

static void expect_all_after(void (*work)(void))
{
    uint64_t nr;

    store_fresh();
    store_kill_after(work);
    store_restart();
    ck_assert_uint_eq(server.recovered.nr_new_lost, 0);
    nr = nr_cold();
    ck_assert_uint_gt(nr, 0);
    ck_assert_uint_eq(store_compare(false), 0);
    // And goes on from there, groups of both servers side by side.
    trim_every(5);
    store_write(700, 300, CONTENT_TEXT);
    make_cold();
    clean_all();
    store_compare(false);
    check();
    store_stop();
    store_restart();
    store_compare(false);
    end_empty();
}

START_TEST(cold_pages_outlive_their_server)
{
    static void (*const works[])(void) = {fill,
                                          fill_mixed,
                                          fill_and_change,
                                          fill_and_clean,
                                          fill_and_clean_once,
                                          fill_and_append,
                                          fill_and_take_span};

    for (size_t i = 0; i < NR_OF(works); i++) {
        expect_all_after(works[i]);
    }
}
END_TEST

static void churn(void)
{
    zr_server_start(&server);
    for (int i = 0; i < 300; i++) {
        uint64_t slot = random_below(DEVICE_PAGES - 64), nr = 1 + random_below(64);
        uint64_t walked = slot / ZR_LEAF_SLOTS * ZR_LEAF_SLOTS, nr_stored = 0;

        if (random_below(3) == 0) {
            store_trim(slot, nr);
        } else {
            store_write(slot, nr, (enum content)random_below(NR_CONTENTS + 1));
        }
        // A step of the background, beside the compactor and the keeper.
        zr_demoter_demote(&server.demoter, device, &walked, 0, &nr_stored);
        if (i % 8 == 0) {
            zr_demoter_clean(&server.demoter);
        }
    }
}

START_TEST(killed_again_and_again_with_all_threads)
{
    store_fresh();
    for (int i = 0; i < 6; i++) {
        random_seed((uint64_t)i + random_u64());
        store_kill_after(churn);
        store_restart();
        ck_assert_uint_eq(server.recovered.nr_new_lost, 0);
        store_compare(false);
        store_stop();
    }
}
END_TEST

START_TEST(spans_of_an_earlier_server_are_cleaned)
{
    uint64_t waste_bytes = 0, live_bytes = 0;

    store_fresh();
    store_kill_after(fill);
    store_restart();
    trim_every(2);
    clean_all();
    ck_assert_uint_gt(server.demoter.nr_cleaned_spans, 0);
    for (uint64_t i = 0; i < server.pool.nr_opened_spans; i++) {
        const struct zr_span *span = zr_pool_span_at(&server.pool, i);

        if (zr_span_class(span) == zr_size_class_log(&server.pool.classes)) {
            waste_bytes += zr_log_waste_bytes(&server.pool, span);
            live_bytes += zr_span_live_bytes(span);
        }
    }
    ck_assert_uint_lt(waste_bytes, live_bytes / 16 + ZR_SPAN_BYTES);
    store_compare(false);
    end_empty();
}
END_TEST

// ---- Damage

static uint64_t group_word(uint64_t offset, uint32_t length)
{
    return zr_slot_word_make(ZR_SLOT_GROUP, zr_handle_make(offset, length));
}

// Pages that cannot be read, each lost or EIO; all others are right.
static uint64_t nr_unreadable_after(void (*work)(void))
{
    uint64_t nr;

    store_fresh();
    store_kill_after(work);
    store_restart();
    nr = store_compare(true);
    ck_assert_uint_eq(store_compare(true), nr); // from the cache, and promoted
    ck_assert_uint_le(server.recovered.nr_new_lost, nr);
    trim_every(3); // the unreadable ones with the others
    clean_all();
    ck_assert(zr_pool_is_valid(&server.pool));
    store_compare(true);
    check();
    store_write(0, DEVICE_PAGES, CONTENT_TEXT);
    store_compare(false);
    end_empty();
    return nr;
}

static const uint64_t no_words[] = {
    (uint64_t)ZR_SLOT_GROUP << ZR_SLOT_KIND_SHIFT, // of no length
    UINT64_C(5) << ZR_SLOT_KIND_SHIFT | 1 << 20,   // of no kind
    UINT64_C(6) << ZR_SLOT_KIND_SHIFT | 1 << 20,
    UINT64_MAX,
};

static void fill_and_set_words(void)
{
    const uint64_t offsets[] = {0, 16, 60 * MiB, GiB, 8 * TiB, 12 * TiB, UINT64_MAX};

    fill();
    for (size_t i = 0; i < NR_OF(offsets); i++) { // chunks; not opened; not in the arena
        *word_at(i) = group_word(offsets[i], 300);
    }
    for (size_t i = 0; i < NR_OF(no_words); i++) {
        *word_at(NR_OF(offsets) + i) = no_words[i];
    }
}

START_TEST(words_that_cannot_be_right_are_lost)
{
    ck_assert_uint_eq(nr_unreadable_after(fill_and_set_words), 7 + NR_OF(no_words));
}
END_TEST

static void fill_and_change_bits(void)
{
    fill();
    for (unsigned bit = 0; bit < 64; bit++) {
        *word_at(bit * 31) ^= UINT64_C(1) << bit;
    }
}

// Of the offset and the kind, every bit matters; of the length and the age, none.  No other page is
// lost by them.
START_TEST(a_word_with_a_changed_bit_is_lost_or_eio_or_right)
{
    ck_assert_uint_eq(nr_unreadable_after(fill_and_change_bits),
                      ZR_HANDLE_OFFSET_BITS + 64 - ZR_SLOT_KIND_SHIFT);
}
END_TEST

static void fill_and_lengthen(void)
{
    fill();
    for (uint64_t slot = 0; slot < DEVICE_PAGES; slot++) {
        *word_at(slot) |= UINT64_C(0x1fff) << ZR_HANDLE_OFFSET_BITS;
    }
}

START_TEST(shares_that_come_to_more_than_their_span_lose_no_page)
{
    ck_assert_uint_eq(nr_unreadable_after(fill_and_lengthen), 0);
}
END_TEST

static void fill_and_exchange_words(void)
{
    uint64_t word;

    fill();
    word = *word_at(3);
    *word_at(3) = *word_at(700);
    *word_at(700) = word;
    *word_at(4) = *word_at(800); // of two pages, one is not in the group
}

START_TEST(a_page_is_not_read_from_a_group_that_it_is_not_in)
{
    ck_assert_uint_eq(nr_unreadable_after(fill_and_exchange_words), 3);
}
END_TEST

static void fill_and_mix_kinds(void)
{
    fill();
    store_write(10, 10, CONTENT_TEXT);
    // As if an object were a group, and a group an object.
    *word_at(10) = group_word(zr_handle_offset_bytes(zr_handle_of_word(*word_at(10))), 300);
    *word_at(20) ^= (uint64_t)(ZR_SLOT_GROUP ^ ZR_SLOT_LZ4) << ZR_SLOT_KIND_SHIFT;
    *word_at(21) ^= (uint64_t)(ZR_SLOT_GROUP ^ ZR_SLOT_ZSTD) << ZR_SLOT_KIND_SHIFT;
    *word_at(22) ^= (uint64_t)(ZR_SLOT_GROUP ^ ZR_SLOT_HUGE) << ZR_SLOT_KIND_SHIFT;
}

START_TEST(what_is_no_group_is_not_claimed_as_one_nor_a_group_as_something_else)
{
    ck_assert_uint_eq(nr_unreadable_after(fill_and_mix_kinds), 4);
}
END_TEST

static const uint16_t other_kinds[] = {
    0,         8, ZR_KIND_OF_LOG | 1, ZR_KIND_OF_CHUNKS | 256, ZR_KIND_OF_CHUNKS | ZR_KIND_OF_LOG,
    UINT16_MAX};

static void fill_and_change_kinds(void)
{
    fill();
    for (uint64_t i = 0; i < NR_OF(other_kinds); i++) {
        uint64_t offset = zr_handle_offset_bytes(zr_handle_of_word(*word_at(i * 300)));

        *zr_pool_kind_of(&server.pool, offset >> ZR_SPAN_SHIFT) = other_kinds[i];
    }
}

START_TEST(pages_in_a_span_of_another_kind_are_lost)
{
    uint64_t nr = nr_unreadable_after(fill_and_change_kinds);

    ck_assert_uint_ge(nr, NR_OF(other_kinds) * 64);
    ck_assert_uint_lt(nr, DEVICE_PAGES);
}
END_TEST

static void fill_and_punch(void)
{
    uint64_t offset;

    fill();
    offset = zr_handle_offset_bytes(zr_handle_of_word(*word_at(700)));
    zr_arena_release(&server.pool.arena, offset / ZR_OS_PAGE_BYTES * ZR_OS_PAGE_BYTES,
                     ZR_OS_PAGE_BYTES);
}

START_TEST(groups_without_their_memory_are_lost_or_eio)
{
    uint64_t nr = nr_unreadable_after(fill_and_punch);

    ck_assert_uint_ge(nr, ZR_GROUP_PAGES);
    ck_assert_uint_le(nr, 3 * ZR_GROUP_PAGES);
}
END_TEST

static void fill_and_damage_all(void)
{
    fill();
    for (int i = 0; i < 60; i++) {
        _Atomic uint64_t *word = word_at(random_below(DEVICE_PAGES));
        uint64_t with = i % 2 == 0 ? *word ^ UINT64_C(1) << random_below(64)
                                   : group_word(random_below(server.pool.arena.open_bytes),
                                                (uint32_t)random_below(8192));
        unsigned char *byte = zr_pool_view(&server.pool, zr_handle_of_word(*word));

        byte += random_below(2000);
        if (zr_slot_word_kind(with) != ZR_SLOT_SAME) { // nothing but its value
            *word = with;
        }
        if (i % 3 == 0 &&
            byte < (unsigned char *)server.pool.arena.base + server.pool.arena.open_bytes) {
            *byte ^= (unsigned char)random_u64();
        }
    }
}

START_TEST(random_damage_is_lost_or_eio_or_right)
{
    for (int i = 0; i < 6; i++) {
        random_seed((uint64_t)i + random_u64());
        nr_unreadable_after(fill_and_damage_all);
    }
}
END_TEST

// ---- Other parameters

static uint32_t features(void)
{
    return (uint32_t)server.store.header.features;
}

START_TEST(a_store_says_that_there_may_be_groups)
{
    store_fresh();
    config.cold.mode = ZR_COLD_OFF;
    store_kill_after(fill_mixed); // its demoter works where a test calls it: not what is meant
    unlink(store_path);
    store_restart();
    ck_assert_uint_eq(features(), 0);
    store_stop();
    store_restart();
    ck_assert_uint_eq(features(), 0);
    store_stop();
    config.cold.mode = ZR_COLD_AUTO;
    store_restart();
    ck_assert_uint_eq(features(), ZR_FEATURE_GROUPS);
    store_stop();
    config.cold.mode = ZR_COLD_OFF; // it may still have some
    store_restart();
    ck_assert_uint_eq(features(), ZR_FEATURE_GROUPS);
    store_stop();
}
END_TEST

START_TEST(a_server_without_cold_pages_reads_those_that_there_are)
{
    store_fresh();
    store_kill_after(fill);
    config.cold.mode = ZR_COLD_OFF;
    store_restart();
    ck_assert_uint_eq(nr_cold(), DEVICE_PAGES);
    ck_assert_int_eq(zr_server_start(&server), 0);
    store_compare(false);
    ck_assert_uint_eq(nr_cold(), DEVICE_PAGES);
    store_compare(false); // the second time
    ck_assert_uint_eq(nr_cold(), 0);
    store_compare(false);
    store_stop();
    store_restart();
    store_compare(false);
    end_empty();
}
END_TEST

START_TEST(pages_of_an_export_that_is_not_served_are_cleaned_with_the_others)
{
    store_fresh();
    store_kill_after(fill_and_clean_once);
    config.exports = &exports[1]; // b
    config.nr_exports = 1;
    store_restart();
    device = &server.devices[1];
    ck_assert_str_eq(device->name, "a");
    clean_all();
    ck_assert_uint_gt(server.demoter.nr_cleaned_spans, 0);
    store_compare(false);
    store_stop();
    config.exports = exports;
    store_restart();
    store_compare(false);
    end_empty();
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        cold_pages_outlive_their_server,
        killed_again_and_again_with_all_threads,
        spans_of_an_earlier_server_are_cleaned,
        words_that_cannot_be_right_are_lost,
        a_word_with_a_changed_bit_is_lost_or_eio_or_right,
        shares_that_come_to_more_than_their_span_lose_no_page,
        a_page_is_not_read_from_a_group_that_it_is_not_in,
        what_is_no_group_is_not_claimed_as_one_nor_a_group_as_something_else,
        pages_in_a_span_of_another_kind_are_lost,
        groups_without_their_memory_are_lost_or_eio,
        random_damage_is_lost_or_eio_or_right,
        a_store_says_that_there_may_be_groups,
        a_server_without_cold_pages_reads_those_that_there_are,
        pages_of_an_export_that_is_not_served_are_cleaned_with_the_others,
        NULL,
    };

#ifdef __SANITIZE_THREAD__
    puts("SKIPPED: it starts on a store again and again, which takes ThreadSanitizer many minutes; "
         "stress-kill runs");
    return 77;
#endif
    store_begin();
    return unit_run("recover-groups", tests);
}
