// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Cold pages on a real server: demoted, read, changed, trimmed, cleaned, and every byte stays.
#include "shadowed-device.h"

#include "allocator/claim.h"
#include "store/slot-counts.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define DEVICE_BYTES (8 * MiB)
#define DEVICE_PAGES (DEVICE_BYTES / PAGE_BYTES)
#define COLD_WALKS 16 // makes a page of age 3
#define COLD_AGE 3

static enum zr_slot_kind kind_of(uint64_t slot)
{
    return zr_slot_word_kind(load_word(slot));
}

static struct zr_slot_counts counts(void)
{
    struct zr_slot_counts counts;

    zr_slot_counts_get(&device->table, &counts);
    return counts;
}

// The account, the pool and the slots say the same.
static void check_accounts(void)
{
    struct zr_pool_stats stats = pool_stats();
    struct zr_slot_counts found = counts();

    ck_assert_uint_eq(found.stored_bytes, device->table.account.stored_bytes);
    ck_assert_uint_eq(found.stored_bytes, stats.stored_bytes);
    ck_assert_uint_eq(found.nr_compressed + found.nr_huge, stats.nr_objects);
    ck_assert(zr_pool_is_valid(&server.pool));
}

static void check_all(void)
{
    compare_both();
    check_accounts();
}

static void make_old(void)
{
    for (int i = 0; i < COLD_WALKS; i++) {
        zr_ager_walk(&server.ager);
    }
}

// As the background does in a walk.  How many pages it saw.
static uint64_t demote_all(unsigned min_age)
{
    uint64_t nr_stored = 0, slot;

    for (slot = 0; slot < device->table.nr_slots;) {
        uint64_t before = slot;

        zr_demoter_demote(&server.demoter, device, &slot, min_age, &nr_stored);
        ck_assert(slot > before && slot <= (before / ZR_LEAF_SLOTS + 1) * ZR_LEAF_SLOTS);
    }
    pool_stats(); // drains
    return nr_stored;
}

static void make_cold(void)
{
    make_old();
    demote_all(COLD_AGE);
}

// All is text then, and in groups.
static void start_cold(uint64_t limit_bytes)
{
    start_device(DEVICE_BYTES, limit_bytes, &zr_codec_lz4);
    write_both(0, DEVICE_BYTES, CONTENT_TEXT);
    make_cold();
    ck_assert_uint_eq(counts().nr_cold, DEVICE_PAGES);
}

// ---- Demotion

START_TEST(cold_pages_take_less_and_every_byte_stays)
{
    uint64_t before_bytes;

    start_device(DEVICE_BYTES, 64 * MiB, &zr_codec_lz4);
    write_both(0, DEVICE_BYTES, CONTENT_TEXT);
    before_bytes = counts().stored_bytes;
    make_old();
    ck_assert_uint_eq(demote_all(COLD_AGE), DEVICE_PAGES);
    ck_assert_uint_eq(counts().nr_cold, DEVICE_PAGES);
    ck_assert_uint_eq(counts().cold_bytes, counts().stored_bytes);
    ck_assert_uint_lt(counts().stored_bytes, before_bytes * 3 / 4);
    ck_assert_uint_eq(server.demoter.nr_demoted_pages, DEVICE_PAGES);
    ck_assert_uint_eq(server.demoter.saved_bytes, before_bytes - counts().stored_bytes);
    ck_assert_uint_ge(server.demoter.nr_groups, DEVICE_PAGES / ZR_GROUP_PAGES);
    ck_assert_uint_le(server.demoter.nr_groups, DEVICE_PAGES / ZR_GROUP_PAGES * 5 / 4);
    check_all();
    demote_all(0); // what is in groups stays there
    ck_assert_uint_eq(server.demoter.nr_demoted_pages, DEVICE_PAGES);
    end_device();
}
END_TEST

START_TEST(only_pages_of_the_age_are_demoted_and_they_keep_it)
{
    start_device(DEVICE_BYTES, 64 * MiB, &zr_codec_lz4);
    write_both(0, DEVICE_BYTES, CONTENT_TEXT);
    make_old();
    for (uint64_t slot = 0; slot < DEVICE_PAGES; slot += 3) {
        write_both(slot * PAGE_BYTES, PAGE_BYTES, CONTENT_TEXT);
    }
    ck_assert_uint_eq(demote_all(COLD_AGE), DEVICE_PAGES);
    for (uint64_t slot = 0; slot < DEVICE_PAGES; slot++) {
        if ((kind_of(slot) == ZR_SLOT_GROUP) != (slot % 3 != 0) ||
            zr_slot_word_age(load_word(slot)) != (slot % 3 != 0 ? COLD_AGE : 0)) {
            ck_abort_msg("page %u", (unsigned)slot);
        }
    }
    zr_ager_walk(&server.ager);
    check_all();
    demote_all(COLD_AGE + 1); // nothing is so old
    ck_assert_uint_eq(counts().nr_cold, DEVICE_PAGES - (DEVICE_PAGES + 2) / 3);
    end_device();
}
END_TEST

START_TEST(what_takes_no_less_in_a_group_is_left_alone)
{
    static const enum content contents[] = {CONTENT_RANDOM, CONTENT_SAME, CONTENT_ZERO};

    start_device(DEVICE_BYTES, 64 * MiB, &zr_codec_lz4);
    for (size_t i = 0; i < NR_OF(contents); i++) {
        write_both(i * 2 * MiB, 2 * MiB, contents[i]);
    }
    make_cold();
    ck_assert_uint_eq(counts().nr_cold, 0);
    ck_assert_uint_eq(counts().nr_huge, ZR_LEAF_SLOTS);
    ck_assert_uint_eq(counts().nr_same, ZR_LEAF_SLOTS);
    ck_assert_uint_eq(server.demoter.nr_groups, 0);
    ck_assert_ptr_null(server.demoter.log.end);
    check_all();
    end_device();
}
END_TEST

START_TEST(among_others_pages_are_found_that_are_cold)
{
    for (int codec = 0; zr_codecs[codec]; codec++) {
        start_device(DEVICE_BYTES, 64 * MiB, zr_codecs[codec]);
        write_both(0, DEVICE_BYTES, CONTENT_MIXED);
        zero_both(5 * PAGE_BYTES, 300 * PAGE_BYTES);
        zero_both(LEAF_BYTES, LEAF_BYTES);
        make_cold();
        ck_assert_uint_gt(counts().nr_cold, 0);
        check_all();
        end_device();
    }
}
END_TEST

// Where the table has no leaf, or one that is lost.
START_TEST(what_is_not_there_or_lost_is_passed_over)
{
    uint64_t slot = 7, nr_stored = 0;

    start_device(DEVICE_BYTES, 64 * MiB, &zr_codec_lz4);
    zr_demoter_demote(&server.demoter, device, &slot, 0, &nr_stored);
    ck_assert_uint_eq(slot, ZR_LEAF_SLOTS);
    ck_assert_uint_eq(nr_stored, 0);
    zr_device_lose(device);
    demote_all(0);
    ck_assert_uint_eq(counts().nr_cold, 0);
    ck_assert(zr_pool_is_valid(&server.pool));
    end_device();
}
END_TEST

static unsigned char *object_of(uint64_t slot)
{
    return zr_pool_view(&server.pool, zr_handle_of_word(load_word(slot)));
}

START_TEST(a_page_that_cannot_be_read_stays_where_it_is)
{
    unsigned char page[PAGE_BYTES];

    start_device(DEVICE_BYTES, 64 * MiB, &zr_codec_lz4);
    write_both(0, DEVICE_BYTES, CONTENT_TEXT);
    object_of(100)[20] ^= 1;
    make_cold();
    ck_assert_uint_eq(counts().nr_cold, DEVICE_PAGES - 1);
    ck_assert_int_eq(kind_of(100), ZR_SLOT_LZ4);
    ck_assert_int_eq(zr_device_read(device, page, PAGE_BYTES, 100 * PAGE_BYTES), -EIO);
    write_both(100 * PAGE_BYTES, PAGE_BYTES, CONTENT_TEXT);
    check_all();
    end_device();
}
END_TEST

// With one span more than the limit, the first; after that, out of what it made free.
START_TEST(in_a_full_pool_demotion_begins_and_comes_to_its_end)
{
    uint64_t most_bytes = 8 * MiB + ZR_SPAN_BYTES;
    zr_handle object;

    start_device(DEVICE_BYTES, 8 * MiB, &zr_codec_lz4);
    write_both(0, DEVICE_BYTES, CONTENT_TEXT);
    while (zr_pool_alloc(&server.pool, ZR_OBJECT_MAX_BYTES, &object) == 0) {
    }
    make_cold();
    ck_assert_uint_gt(server.demoter.nr_groups, 0);
    ck_assert_uint_lt(counts().nr_cold, DEVICE_PAGES);
    for (int i = 0; i < 100 && counts().nr_cold < DEVICE_PAGES; i++) {
        ck_assert_uint_le(pool_stats().used_bytes, most_bytes);
        zr_compactor_pass(&server.compactor, ZR_URGENCY_FULL);
        make_cold();
    }
    ck_assert_uint_eq(counts().nr_cold, DEVICE_PAGES);
    compare_both();
    ck_assert(zr_pool_is_valid(&server.pool));
    zr_server_fini(&server);
}
END_TEST

// ---- Reads, writes and trims of cold pages

START_TEST(a_second_read_takes_a_page_out_of_its_group_and_the_first_does_not)
{
    uint64_t nr_reads;

    start_cold(64 * MiB);
    for (int nr = 1; nr <= 2; nr++) {
        nr_reads = device->nr_cold_reads;
        for (uint64_t slot = 0; slot < DEVICE_PAGES; slot += 5) {
            ck_assert(reads_as(shadow + slot * PAGE_BYTES, PAGE_BYTES, slot * PAGE_BYTES));
            ck_assert_int_eq(kind_of(slot), nr == 1 ? ZR_SLOT_GROUP : ZR_SLOT_LZ4);
        }
        ck_assert_uint_eq(device->nr_cold_reads, nr_reads + (DEVICE_PAGES + 4) / 5);
    }
    ck_assert_uint_eq(device->nr_promoted_pages, (DEVICE_PAGES + 4) / 5);
    ck_assert_uint_eq(counts().nr_cold, DEVICE_PAGES - (DEVICE_PAGES + 4) / 5);
    check_accounts();
    // Of a long read sixteen go, the others stay.
    ck_assert(reads_as(shadow, DEVICE_BYTES, 0));
    ck_assert(reads_as(shadow, DEVICE_BYTES, 0));
    check_all();
    make_cold();
    ck_assert_uint_eq(counts().nr_cold, DEVICE_PAGES);
    check_all();
    end_device();
}
END_TEST

START_TEST(requests_on_cold_pages_do_what_they_do_on_others)
{
    start_cold(64 * MiB);
    for (int round = 0; round < 8; round++) {
        for (int i = 0; i < 60; i++) {
            uint64_t offset = random_below(DEVICE_BYTES - 40 * PAGE_BYTES);
            uint64_t bytes = 1 + random_below(random_below(4) == 0 ? 40 * PAGE_BYTES : 9000);

            if (random_below(3) == 0) {
                zero_both(offset, bytes);
            } else {
                write_both(offset, bytes, CONTENT_MIXED);
            }
            check_extents(offset, bytes);
        }
        check_all();
        make_cold();
        check_all();
        while (zr_demoter_clean(&server.demoter)) {
        }
        check_all();
    }
    end_device();
}
END_TEST

START_TEST(a_part_is_written_into_a_cold_page_and_cut_out_of_one)
{
    start_cold(64 * MiB);
    write_both(100, 200, CONTENT_RANDOM);
    zero_both(17 * PAGE_BYTES + 5, 4000);
    write_both(18 * PAGE_BYTES - 1, 2, CONTENT_RANDOM);
    ck_assert_int_eq(kind_of(0), ZR_SLOT_LZ4);
    ck_assert_int_eq(kind_of(17), ZR_SLOT_LZ4);
    ck_assert_int_eq(kind_of(16), ZR_SLOT_GROUP);
    check_all();
    end_device();
}
END_TEST

START_TEST(whole_leaves_of_cold_pages_go_at_once)
{
    start_cold(64 * MiB);
    zero_both(LEAF_BYTES, 2 * LEAF_BYTES);
    check_all();
    ck_assert_uint_eq(counts().nr_cold, DEVICE_PAGES / 2);
    zero_both(0, DEVICE_BYTES);
    ck_assert_uint_eq(pool_stats().nr_objects, 0);
    ck_assert_uint_eq(pool_stats().stored_bytes, 0);
    check_all();
    end_device();
}
END_TEST

// ---- Limits of a tenant

START_TEST(a_limit_is_never_passed_by_promotion)
{
    struct zr_export_config export = {.name = (char *)(uintptr_t)"", .size_bytes = DEVICE_BYTES};
    struct zr_server_config config = {
        .exports = &export, .nr_exports = 1, .limit_bytes = 64 * MiB, .codec = &zr_codec_lz4};
    uint64_t slot, room_bytes;

    // As much as its pages take in groups, and a little.
    start_cold(64 * MiB);
    export.limit_bytes = counts().stored_bytes;
    free(shadow);
    zr_server_fini(&server);

    ck_assert_int_eq(zr_server_init(&server, &config), 0);
    device = server.devices;
    shadow = calloc(1, DEVICE_BYTES);
    for (slot = 0; slot + 16 <= DEVICE_PAGES; slot += 16) {
        content_fill(shadow + slot * PAGE_BYTES, 16 * PAGE_BYTES, CONTENT_TEXT);
        if (zr_device_write(device, shadow + slot * PAGE_BYTES, 16 * PAGE_BYTES,
                            slot * PAGE_BYTES) < 0) {
            make_cold();
            if (zr_device_write(device, shadow + slot * PAGE_BYTES, 16 * PAGE_BYTES,
                                slot * PAGE_BYTES) < 0) {
                memset(shadow + slot * PAGE_BYTES, 0, 16 * PAGE_BYTES);
                break;
            }
        }
    }
    make_cold();
    for (int nr = 0; nr < 3; nr++) {
        for (slot = 0; slot < DEVICE_PAGES; slot++) {
            if (!reads_as(shadow + slot * PAGE_BYTES, PAGE_BYTES, slot * PAGE_BYTES) ||
                device->table.account.stored_bytes > export.limit_bytes) {
                ck_abort_msg("after page %u", (unsigned)slot);
            }
        }
    }
    ck_assert_uint_gt(device->nr_promoted_pages, 0);
    ck_assert_uint_gt(counts().nr_cold, 0); // there was no room for all
    room_bytes = export.limit_bytes - device->table.account.stored_bytes;
    ck_assert_uint_lt(room_bytes, PAGE_BYTES);
    check_all();
    end_device();
}
END_TEST

// ---- Cleaning

static void sum_log(uint64_t *waste_bytes, uint64_t *live_bytes, uint64_t *nr_spans)
{
    const uint32_t log_class = zr_size_class_log(&server.pool.classes);

    *waste_bytes = *live_bytes = *nr_spans = 0;
    for (uint64_t i = 0; i < server.pool.nr_opened_spans; i++) {
        const struct zr_span *span = zr_pool_span_at(&server.pool, i);

        if (zr_span_class(span) == log_class) {
            *waste_bytes += zr_log_waste_bytes(&server.pool, span);
            *live_bytes += zr_span_live_bytes(span);
            ++*nr_spans;
        }
    }
}

static void clean_all(void)
{
    for (unsigned nr = 0; zr_demoter_clean(&server.demoter); nr++) {
        ck_assert_uint_lt(nr, 10000);
        ck_assert(zr_pool_is_valid(&server.pool));
    }
}

// Page by page: a trim of a run would go by itself.
static void trim_at_random(unsigned percent)
{
    for (uint64_t slot = 0; slot < DEVICE_PAGES; slot++) {
        if (random_below(100) < percent) {
            zero_both(slot * PAGE_BYTES, PAGE_BYTES);
        }
    }
    pool_stats(); // drains
}

START_TEST(cleaning_leaves_little_waste_and_every_byte)
{
    static const unsigned percents[] = {10, 50, 90, 97};
    uint64_t waste_bytes, live_bytes, before_bytes, nr_spans, nr_cold;

    for (size_t i = 0; i < NR_OF(percents); i++) {
        start_cold(64 * MiB);
        trim_at_random(percents[i]);
        nr_cold = counts().nr_cold;
        sum_log(&before_bytes, &live_bytes, &nr_spans);
        ck_assert_uint_gt(before_bytes * 100, live_bytes * percents[i] / 2);
        clean_all();
        ck_assert_uint_gt(server.demoter.nr_cleaned_spans, 0);
        sum_log(&waste_bytes, &live_bytes, &nr_spans);
        ck_assert_uint_lt(waste_bytes, (waste_bytes + live_bytes) / 16 + ZR_SPAN_BYTES);
        ck_assert_uint_lt(waste_bytes, before_bytes);
        // Two more: that at the end, and the spare.
        ck_assert_uint_le(nr_spans, (live_bytes * 17 / 16 + ZR_SPAN_BYTES) / ZR_SPAN_BYTES + 2);
        ck_assert_uint_eq(counts().nr_cold, nr_cold);
        check_all();
        end_device();
    }
}
END_TEST

START_TEST(pages_keep_their_age_and_are_unread_in_their_new_group)
{
    start_cold(64 * MiB);
    ck_assert(reads_as(shadow, DEVICE_BYTES, 0));
    trim_at_random(70);
    clean_all();
    for (uint64_t slot = 0; slot < DEVICE_PAGES; slot++) {
        uint64_t word = load_word(slot);

        if (word != ZR_SLOT_EMPTY && zr_slot_word_age(word) != COLD_AGE) {
            ck_abort_msg("page %u", (unsigned)slot);
        }
    }
    check_all(); // once: of what was not moved, pages may be promoted by this
    end_device();
}
END_TEST

START_TEST(a_dense_log_is_not_cleaned)
{
    start_cold(64 * MiB);
    ck_assert(!zr_demoter_clean(&server.demoter));
    ck_assert(!zr_demoter_reclaim(&server.demoter));
    zero_both(0, 16 * PAGE_BYTES);
    pool_stats();
    ck_assert(!zr_demoter_clean(&server.demoter));
    check_all();
    end_device();
}
END_TEST

START_TEST(a_span_with_a_damaged_group_is_left_alone_and_the_rest_is_cleaned)
{
    unsigned char page[PAGE_BYTES];
    uint64_t nr_failed = 0, nr_cleaned;

    start_cold(64 * MiB);
    trim_at_random(50);
    for (uint64_t slot = 600; slot < 800; slot++) {
        if (load_word(slot) != ZR_SLOT_EMPTY) {
            object_of(slot)[40] ^= 1;
            break;
        }
    }
    clean_all();
    ck_assert(zr_pool_is_valid(&server.pool));
    nr_cleaned = server.demoter.nr_cleaned_spans;
    ck_assert_uint_gt(nr_cleaned, 0);
    for (uint64_t slot = 0; slot < DEVICE_PAGES; slot++) {
        int rc = zr_device_read(device, page, PAGE_BYTES, slot * PAGE_BYTES);

        if (rc == 0 ? memcmp(page, shadow + slot * PAGE_BYTES, PAGE_BYTES) != 0 : rc != -EIO) {
            ck_abort_msg("page %u: %d, or wrong", (unsigned)slot, rc);
        }
        nr_failed += rc != 0;
        if (rc != 0) {
            zero_both(slot * PAGE_BYTES, PAGE_BYTES);
        }
    }
    ck_assert_uint_ge(nr_failed, 1);
    ck_assert_uint_le(nr_failed, ZR_GROUP_PAGES);
    check_all();
    end_device();
}
END_TEST

// ---- A full pool

// Of a full pool of cold pages every other one is trimmed: half of what they took, and more, can be
// written again.  (The rest is the span at the log's end, the spare, and what is left in each
// span.)
START_TEST(a_full_pool_is_written_again_when_its_cold_pages_are_trimmed_one_by_one)
{
    for (int is_cleaned_in_vain = 0; is_cleaned_in_vain < 2; is_cleaned_in_vain++) {
        uint64_t freed_bytes, left_bytes;

        start_device(16 * MiB, 64 * MiB, &zr_codec_lz4);
        write_both(0, 16 * MiB, CONTENT_TEXT);
        make_cold();
        zr_compactor_pass(&server.compactor, ZR_URGENCY_FULL);
        ck_assert_uint_eq(counts().nr_cold, device->table.nr_slots);
        zr_pool_release_unclaimed(&server.pool); // so that no free span is at hand
        zr_pool_set_limit(&server.pool, pool_stats().used_bytes);
        freed_bytes = counts().stored_bytes;
        for (uint64_t slot = 0; slot < device->table.nr_slots; slot += 2) {
            zero_both(slot * PAGE_BYTES, PAGE_BYTES);
        }
        left_bytes = counts().stored_bytes;
        freed_bytes -= left_bytes;
        if (is_cleaned_in_vain) {
            for (int i = 0; i < 100 && zr_demoter_clean(&server.demoter); i++) {
            }
        }
        for (uint64_t slot = 0; slot < device->table.nr_slots; slot += 2) {
            unsigned char page[PAGE_BYTES];

            content_fill(page, PAGE_BYTES, CONTENT_TEXT);
            if (zr_device_write(device, page, PAGE_BYTES, slot * PAGE_BYTES) < 0) {
                break;
            }
            memcpy(shadow + slot * PAGE_BYTES, page, PAGE_BYTES);
        }
        ck_assert_uint_gt(counts().stored_bytes - left_bytes, freed_bytes / 2);
        check_all();
        end_device();
    }
}
END_TEST

#define NR_HOT 64u // pages at the end, which are written all the time
#define NR_OVERWRITERS 3

static atomic_bool must_stop;
static _Atomic unsigned nr_refused_in_vain;

// A write; it may be refused only if hardly anything could have been cleaned.
static void write_page(uint64_t slot)
{
    unsigned char page[PAGE_BYTES];
    uint64_t waste_bytes, live_bytes, nr_spans;

    content_fill(page, PAGE_BYTES, CONTENT_TEXT);
    if (zr_device_write(device, page, PAGE_BYTES, slot * PAGE_BYTES) < 0) {
        sum_log(&waste_bytes, &live_bytes, &nr_spans);
        nr_refused_in_vain += waste_bytes > 2 * ZR_SPAN_BYTES;
    }
}

static void *overwrite_all_the_time(void *unused)
{
    while (!must_stop) {
        write_page(device->table.nr_slots - 1 - random_below(NR_HOT));
    }
    return unused;
}

// Each of the drains beside finds something, but owners in logs are no memory.
START_TEST(no_write_is_refused_while_logs_can_be_cleaned_whoever_writes_beside_it)
{
    pthread_t threads[NR_OVERWRITERS];
    const uint64_t nr_cold = 16 * MiB / PAGE_BYTES - NR_HOT;
    uint64_t slot = 0, nr_stored = 0;

    start_device(16 * MiB, 64 * MiB, &zr_codec_lz4);
    write_both(0, 16 * MiB, CONTENT_TEXT);
    while (slot < nr_cold) {
        zr_demoter_demote(&server.demoter, device, &slot, 0, &nr_stored);
    }
    write_both(nr_cold * PAGE_BYTES, NR_HOT * (uint64_t)PAGE_BYTES, CONTENT_TEXT);
    pool_stats();
    zr_compactor_pass(&server.compactor, ZR_URGENCY_FULL);
    zr_pool_release_unclaimed(&server.pool);
    zr_pool_set_limit(&server.pool, pool_stats().used_bytes);
    for (slot = 0; slot < nr_cold; slot += 2) {
        zero_both(slot * PAGE_BYTES, PAGE_BYTES);
    }
    ck_assert_int_eq(zr_keeper_start(&server.keeper, &server.pool, server.deferred), 0);
    for (int i = 0; i < NR_OVERWRITERS; i++) {
        ck_assert_int_eq(pthread_create(&threads[i], NULL, overwrite_all_the_time, NULL), 0);
    }
    for (slot = 0; slot < nr_cold; slot += 2) {
        write_page(slot);
    }
    must_stop = true;
    for (int i = 0; i < NR_OVERWRITERS; i++) {
        pthread_join(threads[i], NULL);
    }
    zr_keeper_stop(&server.keeper);
    ck_assert_uint_eq(nr_refused_in_vain, 0);
    zero_both(0, 16 * MiB);
    end_device();
}
END_TEST

// ---- Beside requests

static void *demote_and_clean_all_the_time(void *unused)
{
    while (!must_stop) {
        uint64_t slot, nr_stored = 0;

        for (slot = 0; slot < device->table.nr_slots;) {
            zr_demoter_demote(&server.demoter, device, &slot, 0, &nr_stored);
        }
        zr_demoter_clean(&server.demoter);
    }
    return unused;
}

START_TEST(requests_beside_demotion_and_cleaning_lose_nothing)
{
    pthread_t demoting;

    start_device(DEVICE_BYTES, 64 * MiB, &zr_codec_lz4);
    write_both(0, DEVICE_BYTES, CONTENT_MIXED);
    ck_assert_int_eq(pthread_create(&demoting, NULL, demote_and_clean_all_the_time, NULL), 0);
    for (int round = 0; round < 4000; round++) {
        uint64_t offset = random_below(DEVICE_BYTES - 4 * PAGE_BYTES);
        uint64_t bytes = 1 + random_below(4 * PAGE_BYTES);

        if (round % 4 == 0) {
            zero_both(offset, bytes);
        } else if (round % 4 == 1) {
            ck_assert(reads_as(shadow + offset, bytes, offset));
        } else {
            write_both(offset, bytes, CONTENT_MIXED);
        }
        if (round % 400 == 0) {
            zr_compactor_pass(&server.compactor, ZR_URGENCY_FULL);
            zr_ager_walk(&server.ager);
        }
    }
    must_stop = true;
    pthread_join(demoting, NULL);
    ck_assert_uint_gt(server.demoter.nr_demoted_pages, 0);
    check_all();
    end_device();
}
END_TEST

UNIT_MAIN("demoter", cold_pages_take_less_and_every_byte_stays,
          only_pages_of_the_age_are_demoted_and_they_keep_it,
          what_takes_no_less_in_a_group_is_left_alone, among_others_pages_are_found_that_are_cold,
          what_is_not_there_or_lost_is_passed_over, a_page_that_cannot_be_read_stays_where_it_is,
          in_a_full_pool_demotion_begins_and_comes_to_its_end,
          a_second_read_takes_a_page_out_of_its_group_and_the_first_does_not,
          requests_on_cold_pages_do_what_they_do_on_others,
          a_part_is_written_into_a_cold_page_and_cut_out_of_one,
          whole_leaves_of_cold_pages_go_at_once, a_limit_is_never_passed_by_promotion,
          cleaning_leaves_little_waste_and_every_byte,
          pages_keep_their_age_and_are_unread_in_their_new_group, a_dense_log_is_not_cleaned,
          a_span_with_a_damaged_group_is_left_alone_and_the_rest_is_cleaned,
          a_full_pool_is_written_again_when_its_cold_pages_are_trimmed_one_by_one,
          no_write_is_refused_while_logs_can_be_cleaned_whoever_writes_beside_it,
          requests_beside_demotion_and_cleaning_lose_nothing)
