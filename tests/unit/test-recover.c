// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// What a server finds that starts on the store of one that was killed: all that was stored, nothing
// that was not, every count right, whatever step the other was in; and damage becomes lost pages.
#include "stored-server.h"

#include "allocator/rcu.h"
#include "store/checksum.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Atomic uint64_t *leaf_of(uint64_t slot)
{
    return zr_slot_table_leaf(&device->table, slot);
}

static _Atomic uint64_t *directory(void)
{
    return zr_pool_view_chunk(&server.pool, (zr_handle){device->table.root[0]});
}

// ---- Killed between two steps

static void fill(void)
{
    store_write(0, DEVICE_PAGES, CONTENT_MIXED);
    store_write(100, 50, CONTENT_TEXT);
    store_trim(300, 77);
    store_trim(ZR_LEAF_SLOTS, ZR_LEAF_SLOTS);
}

static void fill_and_make_object(void)
{
    zr_handle object, copy, chunk;

    fill();
    zr_pool_alloc(&server.pool, 777, &object);
    zr_pool_alloc_copy(&server.pool, 888, &copy);
    zr_pool_alloc_chunk(&server.pool, &chunk);
    memset(zr_pool_view(&server.pool, chunk), 0xff, ZR_CHUNK_BYTES);
}

static void fill_and_exchange_word(void)
{
    fill();
    leaf_of(5)[5] = zr_slot_word_same(0x12345678); // the old object is in nobody's hands
    for (size_t i = 0; i < PAGE_BYTES; i += 4) {
        memcpy(shadow + 5 * PAGE_BYTES + i, &(uint32_t){0x12345678}, 4);
    }
}

static void fill_and_detach_leaf(void)
{
    fill();
    directory()[2] = 0;
    memset(shadow + 2 * ZR_LEAF_SLOTS * PAGE_BYTES, 0, ZR_LEAF_SLOTS * PAGE_BYTES);
}

static void fill_and_detach_directory(void)
{
    fill();
    device->table.root[0] = 0;
    memset(shadow, 0, DEVICE_BYTES);
}

static void fill_and_note_kind(void)
{
    struct zr_span *cold;

    fill();
    cold = cds_list_first_entry(&server.pool.cold, struct zr_span, node);
    *zr_pool_kind_of(&server.pool, zr_pool_span_index(&server.pool, cold)) =
        128 / ZR_KIND_UNIT_BYTES;
}

static void fill_and_hand_over(void)
{
    fill();
    store_write(0, 200, CONTENT_TEXT); // the old objects wait in a batch
    store_trim(3 * ZR_LEAF_SLOTS, ZR_LEAF_SLOTS);
}

static void fill_and_drain(void)
{
    fill_and_hand_over();
    zr_deferred_free_drain(server.deferred);
    zr_compactor_pass(&server.compactor, ZR_URGENCY_QUIET);
}

static void expect_all_after(void (*work)(void))
{
    store_fresh();
    store_kill_after(work);
    store_restart();
    ck_assert_uint_eq(server.recovered.nr_new_lost, 0);
    store_compare(false);
    // And goes on from there.
    store_write(0, DEVICE_PAGES, CONTENT_HALF_TEXT);
    store_trim(17, 1000);
    store_compare(false);
    store_stop();
}

START_TEST(nothing_stored)
{
    store_fresh();
    store_restart();
    ck_assert_uint_eq(server.recovered.nr_pages, 0);
    store_compare(false);
    store_stop();
}
END_TEST

START_TEST(killed_at_rest)
{
    expect_all_after(fill);
}
END_TEST

START_TEST(killed_with_an_object_made_and_no_word)
{
    expect_all_after(fill_and_make_object);
}
END_TEST

START_TEST(killed_with_a_word_exchanged)
{
    expect_all_after(fill_and_exchange_word);
}
END_TEST

START_TEST(killed_with_a_leaf_detached)
{
    expect_all_after(fill_and_detach_leaf);
}
END_TEST

START_TEST(killed_with_a_directory_detached)
{
    expect_all_after(fill_and_detach_directory);
}
END_TEST

START_TEST(killed_with_a_kind_noted)
{
    expect_all_after(fill_and_note_kind);
}
END_TEST

START_TEST(killed_with_objects_handed_over)
{
    expect_all_after(fill_and_hand_over);
}
END_TEST

START_TEST(killed_after_drain_and_compaction)
{
    expect_all_after(fill_and_drain);
}
END_TEST

static void churn(void)
{
    zr_server_start(&server);
    for (int i = 0; i < 300; i++) {
        uint64_t slot = random_below(DEVICE_PAGES - 64), nr = 1 + random_below(64);

        if (random_below(4) == 0) {
            store_trim(slot, nr);
        } else {
            store_write(slot, nr, (enum content)random_below(NR_CONTENTS + 1));
        }
    }
}

START_TEST(killed_again_and_again_with_all_threads)
{
    store_fresh();
    for (int i = 0; i < 20; i++) {
        random_seed((uint64_t)i + random_u64());
        store_kill_after(churn);
        store_restart();
        store_compare(false);
        store_stop();
    }
}
END_TEST

START_TEST(a_clean_stop_leaves_all)
{
    store_fresh();
    store_restart();
    fill();
    store_stop();
    store_restart();
    store_compare(false);
    ck_assert_uint_gt(server.recovered.nr_pages, 0);
    store_stop();
}
END_TEST

// ---- Memory

static bool has_memory(uint64_t page)
{
    size_t start, end;

    zr_arena_next_data(&server.pool.arena, page * ZR_OS_PAGE_BYTES, &start, &end);
    return start == page * ZR_OS_PAGE_BYTES && end > start;
}

// Each span knows which of its pages have memory.
START_TEST(memory_is_as_the_spans_say)
{
    uint64_t i;

    store_fresh();
    store_kill_after(fill_and_drain);
    store_restart();
    ck_assert_uint_gt(server.pool.nr_warm_spans, 0);
    for (i = 0; i < server.pool.nr_opened_spans * ZR_SPAN_PAGES; i++) {
        const struct zr_span *span = zr_pool_span_at(&server.pool, i / ZR_SPAN_PAGES);

        if (has_memory(i) != (zr_span_backed(span) >> i % ZR_SPAN_PAGES & 1)) {
            ck_abort_msg("page %llu", (unsigned long long)i);
        }
    }
    zr_pool_release_unclaimed(&server.pool);
    ck_assert_uint_eq(server.pool.nr_warm_spans, 0);
    ck_assert(zr_pool_is_valid(&server.pool));
    store_compare(false);
    store_stop();
}
END_TEST

static bool has_no_warm_spans(void *unused)
{
    bool has_none;

    (void)unused;
    pthread_mutex_lock(&server.pool.span_lock);
    has_none = server.pool.nr_warm_spans == 0;
    pthread_mutex_unlock(&server.pool.span_lock);
    return has_none;
}

START_TEST(the_keeper_gives_the_rest_back)
{
    store_fresh();
    store_kill_after(fill_and_detach_directory);
    store_restart();
    ck_assert_uint_gt(server.pool.nr_warm_spans, 20);
    ck_assert_int_eq(zr_server_start(&server), 0);
    ck_assert(unit_await(has_no_warm_spans, NULL));
    store_compare(false);
    store_stop();
}
END_TEST

// ---- Damage

// Sets one 64-bit word of the store, as the server that is killed then leaves it.
static uint64_t damage_at, damage_with;

// Not those that are same-filled, before or after: they are nothing but their value.
static void damage(_Atomic uint64_t *word, uint64_t with)
{
    if (zr_slot_word_kind(*word) != ZR_SLOT_SAME && zr_slot_word_kind(with) != ZR_SLOT_SAME) {
        *word = with;
    }
}

static void fill_and_damage_words(void)
{
    fill();
    for (int i = 0; i < 100; i++) {
        _Atomic uint64_t *word = &leaf_of(0)[random_below(ZR_LEAF_SLOTS)];

        damage(word, *word ^ UINT64_C(1) << random_below(64));
        damage(&leaf_of(2 * ZR_LEAF_SLOTS)[random_below(ZR_LEAF_SLOTS)], random_u64());
    }
}

// Returns how many pages are lost.
static uint64_t expect_lost_after(void (*work)(void))
{
    uint64_t nr_lost;

    store_fresh();
    store_kill_after(work);
    store_restart();
    nr_lost = store_compare(true);
    store_write(0, DEVICE_PAGES, CONTENT_MIXED);
    store_compare(false);
    store_stop();
    store_restart();
    store_compare(false);
    store_stop();
    return nr_lost;
}

static void fill_and_set_word(void)
{
    store_write(0, DEVICE_PAGES, CONTENT_TEXT);
    leaf_of(damage_at)[damage_at % ZR_LEAF_SLOTS] = damage_with;
}

START_TEST(words_that_cannot_be_right_are_lost)
{
    const uint64_t words[] = {
        UINT64_C(1) << 40,                                             // a value too large
        UINT64_C(1) << ZR_SLOT_AGE_SHIFT,                              // a hole with an age
        zr_slot_word_make(ZR_SLOT_LZ4, (zr_handle){0}),                // no object
        zr_slot_word_make(ZR_SLOT_LZ4, zr_handle_make(0, 4)),          // of no bytes
        zr_slot_word_make(ZR_SLOT_LZ4, zr_handle_make(16, 300)),       // between two
        zr_slot_word_make(ZR_SLOT_HUGE, zr_handle_make(0, 300)),       // not a page
        zr_slot_word_make(ZR_SLOT_LZ4, zr_handle_make(16 * MiB, 300)), // no kind
        zr_slot_word_make(ZR_SLOT_LZ4, zr_handle_make(GiB, 300)),      // not opened
        zr_slot_word_make(ZR_SLOT_LZ4, zr_handle_make(8 * TiB, 300)),  // not in the arena
        zr_slot_word_make(ZR_SLOT_LZ4, zr_handle_make(~UINT64_C(0), 8191)),
        UINT64_C(4) << ZR_SLOT_KIND_SHIFT,
        UINT64_C(6) << ZR_SLOT_KIND_SHIFT | 12345,
        ZR_SLOT_LOST_WORD | 1,
        ~UINT64_C(0),
    };

    for (size_t i = 0; i < NR_OF(words); i++) {
        damage_at = 1234;
        damage_with = words[i];
        if (expect_lost_after(fill_and_set_word) != 1) {
            ck_abort_msg("word %zu is not lost", i);
        }
    }
}
END_TEST

static void fill_and_use_object_twice(void)
{
    store_write(0, DEVICE_PAGES, CONTENT_TEXT);
    leaf_of(700)[700 % ZR_LEAF_SLOTS] = leaf_of(3)[3];
}

START_TEST(an_object_belongs_to_one_page)
{
    ck_assert_uint_eq(expect_lost_after(fill_and_use_object_twice), 1);
}
END_TEST

static void fill_and_punch(void)
{
    zr_handle handle;

    store_write(0, DEVICE_PAGES, CONTENT_RANDOM);
    handle = zr_handle_of_word(leaf_of(600)[600 % ZR_LEAF_SLOTS]);
    zr_arena_release(&server.pool.arena,
                     zr_handle_offset_bytes(handle) / ZR_OS_PAGE_BYTES * ZR_OS_PAGE_BYTES,
                     ZR_OS_PAGE_BYTES);
}

START_TEST(objects_without_their_memory_are_lost)
{
    uint64_t nr_lost = expect_lost_after(fill_and_punch);

    ck_assert_uint_ge(nr_lost, 1);
    ck_assert_uint_le(nr_lost, 3);
}
END_TEST

static void fill_and_set_leaf_entry(void)
{
    store_write(0, DEVICE_PAGES, CONTENT_TEXT);
    directory()[1] = damage_with;
}

static void fill_and_set_root_entry(void)
{
    store_write(0, DEVICE_PAGES, CONTENT_TEXT);
    device->table.root[0] = damage_with;
}

static void fill_and_swap_levels(void)
{
    store_write(0, DEVICE_PAGES, CONTENT_TEXT);
    directory()[1] = device->table.root[0]; // a directory is no leaf of its own
}

static void fill_and_mark_entry(void)
{
    store_write(0, DEVICE_PAGES, CONTENT_TEXT);
    directory()[1] |= UINT64_C(1) << 60; // an entry has no age
}

START_TEST(entries_that_cannot_be_right_are_lost)
{
    const uint64_t words[] = {
        1,
        UINT64_C(1) << 63,
        zr_handle_make(0, 512).bits,
        zr_handle_make(16, ZR_CHUNK_BYTES).bits,
        zr_handle_make(GiB, ZR_CHUNK_BYTES).bits,
        zr_handle_make(12 * TiB, ZR_CHUNK_BYTES).bits,
        ~UINT64_C(0),
    };

    for (size_t i = 0; i < NR_OF(words); i++) {
        damage_with = words[i];
        ck_assert_uint_eq(expect_lost_after(fill_and_set_leaf_entry), ZR_LEAF_SLOTS);
        ck_assert_uint_eq(expect_lost_after(fill_and_set_root_entry), DEVICE_PAGES);
    }
    ck_assert_uint_eq(expect_lost_after(fill_and_swap_levels), ZR_LEAF_SLOTS);
    ck_assert_uint_eq(expect_lost_after(fill_and_mark_entry), ZR_LEAF_SLOTS);
}
END_TEST

START_TEST(random_damage_is_lost_or_right)
{
    for (int i = 0; i < 10; i++) {
        random_seed((uint64_t)i + random_u64());
        expect_lost_after(fill_and_damage_words);
    }
}
END_TEST

static void fill_and_damage_kinds(void)
{
    fill();
    for (uint64_t i = 0; i < server.pool.nr_opened_spans; i++) {
        if (random_below(3) == 0) {
            *zr_pool_kind_of(&server.pool, i) = (uint16_t)random_u64();
        }
    }
}

START_TEST(damaged_kinds_lose_what_lies_there)
{
    ck_assert_uint_gt(expect_lost_after(fill_and_damage_kinds), 0);
}
END_TEST

// ---- Lost pages

static void fill_and_lose_leaf(void)
{
    store_write(0, DEVICE_PAGES, CONTENT_TEXT);
    directory()[1] = 1;
}

START_TEST(lost_pages_heal_one_by_one)
{
    unsigned char page[PAGE_BYTES];
    const uint64_t slot = ZR_LEAF_SLOTS + 9;

    store_fresh();
    store_kill_after(fill_and_lose_leaf);
    store_restart();
    ck_assert_uint_eq(store_compare(true), ZR_LEAF_SLOTS);
    ck_assert_uint_eq(server.recovered.nr_new_lost, ZR_LEAF_SLOTS);
    ck_assert_int_eq(zr_device_write(device, "x", 1, slot * PAGE_BYTES + 5), -EIO);

    // A trim of a part leaves it: no memory may be needed for it.
    ck_assert_int_eq(zr_device_zero(device, PAGE_BYTES, slot * PAGE_BYTES), 0);
    ck_assert_int_eq(zr_device_read(device, page, PAGE_BYTES, slot * PAGE_BYTES), -EIO);
    store_write(slot, 1, CONTENT_TEXT);
    ck_assert_uint_eq(store_compare(true), ZR_LEAF_SLOTS - 1);
    store_trim(slot + 1, 2); // now there is a leaf
    ck_assert_uint_eq(store_compare(true), ZR_LEAF_SLOTS - 3);
    store_stop();

    store_restart();
    ck_assert_uint_eq(server.recovered.nr_new_lost, 0);
    ck_assert_uint_eq(store_compare(true), ZR_LEAF_SLOTS - 3);
    zr_ager_walk(&server.ager);
    zr_compactor_pass(&server.compactor, ZR_URGENCY_FULL);
    ck_assert_uint_eq(store_compare(true), ZR_LEAF_SLOTS - 3);
    store_stop();
    store_restart();
    ck_assert_uint_eq(server.recovered.nr_new_lost, 0);
    store_write(0, 1, CONTENT_TEXT); // not all of it was lost: page 0 means nothing
    ck_assert_uint_eq(store_compare(true), ZR_LEAF_SLOTS - 3);
    store_trim(ZR_LEAF_SLOTS, ZR_LEAF_SLOTS);
    ck_assert_uint_eq(store_compare(true), 0);
    store_stop();
}
END_TEST

static int count_holes(void *holes, uint64_t offset, uint64_t bytes, bool is_hole)
{
    (void)offset;
    *(uint64_t *)holes += is_hole ? bytes : 0;
    return 0;
}

START_TEST(lost_pages_are_no_holes)
{
    uint64_t holes = 0;

    store_fresh();
    store_restart();
    zr_device_lose(device);
    ck_assert_int_eq(zr_device_extents(device, DEVICE_BYTES, 0, count_holes, &holes), 0);
    ck_assert_uint_eq(holes, 0);
    // Nor are those behind a hole.
    store_write(1, 1, CONTENT_TEXT);
    store_trim(0, ZR_LEAF_SLOTS);
    ck_assert_int_eq(zr_device_extents(device, DEVICE_BYTES, 0, count_holes, &holes), 0);
    ck_assert_uint_eq(holes, ZR_LEAF_SLOTS * PAGE_BYTES);
    store_stop();
}
END_TEST

static void fill_and_lose_all(void)
{
    fill();
    zr_device_lose(device);
}

// ways: 0: the first page is written; 1: all is trimmed.
static void lose_and_begin_anew(int way)
{
    store_fresh();
    store_kill_after(fill_and_lose_all);
    store_restart();
    ck_assert_uint_eq(store_compare(true), DEVICE_PAGES);
    ck_assert_uint_eq(device->table.account.stored_bytes, 0);
    memset(shadow, 0, DEVICE_BYTES);
    store_write(1000, 10, CONTENT_TEXT);
    ck_assert_uint_eq(store_compare(true), DEVICE_PAGES - 10);
    store_stop();
    store_restart();
    ck_assert_uint_eq(store_compare(true), DEVICE_PAGES - 10);
    if (way == 0) {
        store_write(0, 1, CONTENT_TEXT);
    } else {
        store_trim(0, DEVICE_PAGES);
    }
    ck_assert_uint_eq(store_compare(true), 0);
    store_stop();
    store_restart();
    ck_assert_uint_eq(store_compare(true), 0);
    ck_assert(!zr_slot_table_is_lost(&device->table));
    store_stop();
}

START_TEST(a_lost_device_begins_anew)
{
    lose_and_begin_anew(0);
    lose_and_begin_anew(1);
}
END_TEST

// ---- Other parameters

START_TEST(pages_of_the_other_codec_are_read)
{
    store_fresh();
    config.codec = &zr_codec_zstd;
    config.level = 1;
    store_kill_after(fill);
    config.codec = &zr_codec_lz4;
    store_restart();
    store_compare(false);
    store_write(0, 500, CONTENT_TEXT);
    store_stop();
    config.codec = &zr_codec_zstd;
    store_restart();
    store_compare(false);
    store_stop();
}
END_TEST

static unsigned char *checksum_of(uint64_t slot)
{
    uint64_t word = load_word(slot);
    unsigned char *object = zr_pool_view(&server.pool, zr_handle_of_word(word));

    return object + zr_slot_word_length_bytes(word) - ZR_CHECKSUM_BYTES;
}

static bool has_checksum(uint64_t slot)
{
    return memcmp(checksum_of(slot), "\0\0\0\0", ZR_CHECKSUM_BYTES) != 0;
}

static void fill_and_zero_checksum(void)
{
    store_write(0, DEVICE_PAGES, CONTENT_TEXT);
    memset(checksum_of(42), 0, ZR_CHECKSUM_BYTES);
}

START_TEST(without_checksum_and_with_one)
{
    store_fresh();
    store_kill_after(fill_and_zero_checksum);
    store_restart();
    ck_assert_uint_eq(store_compare(true), 1); // nobody may have left it out
    store_write(42, 1, CONTENT_TEXT);
    store_stop();

    config.without_checksum = true;
    store_restart();
    store_write(100, 100, CONTENT_TEXT);
    ck_assert(!has_checksum(120) && has_checksum(42));
    store_stop();
    config.without_checksum = false;
    store_restart();
    store_write(150, 100, CONTENT_TEXT);
    store_compare(false);
    ck_assert_uint_eq(server.store.header.features, ZR_FEATURE_UNCHECKED | ZR_FEATURE_GROUPS);
    store_stop();
}
END_TEST

#define OTHER_BYTES (24 * MiB)

START_TEST(limits_go_up_and_down)
{
    unsigned char *other = malloc(OTHER_BYTES);
    struct zr_pool_stats stats;

    store_fresh();
    config.nr_exports = 2;
    exports[1].size_bytes = OTHER_BYTES;
    content_fill(other, OTHER_BYTES, CONTENT_RANDOM);
    store_restart();
    ck_assert_int_eq(zr_device_write(&server.devices[1], other, OTHER_BYTES, 0), 0);
    store_write(0, DEVICE_PAGES, CONTENT_RANDOM);
    store_stop();

    config.limit_bytes = MiB;
    config.nr_exports = 3;
    exports[0].limit_bytes = MiB;
    store_restart();
    store_compare(false);
    zr_pool_get_stats(&server.pool, &stats);
    ck_assert_uint_gt(stats.used_bytes, OTHER_BYTES + 7 * MiB);
    device = &server.devices[1];
    ck_assert(reads_as(other, OTHER_BYTES, 0));
    device = server.devices;
    // What is overwritten makes its own room; more is refused.
    for (uint64_t slot = 0; slot < 100; slot++) {
        store_write(slot, 1, CONTENT_RANDOM);
    }
    ck_assert_int_eq(zr_device_write(&server.devices[2], other, DEVICE_BYTES / 2, 0), -ENOSPC);
    store_compare(false);
    store_trim(0, DEVICE_PAGES - 30);
    store_write(0, 20, CONTENT_RANDOM);
    store_compare(false);
    store_stop();

    config.limit_bytes = 256 * MiB;
    exports[0].limit_bytes = UINT64_MAX;
    store_restart();
    store_write(0, DEVICE_PAGES, CONTENT_RANDOM);
    store_compare(false);
    store_stop();
    free(other);
}
END_TEST

// ---- Exports

START_TEST(exports_are_kept_and_dropped)
{
    const char *drops[] = {"a", "none"};

    store_fresh();
    store_kill_after(fill);
    config.exports = &exports[1]; // b, c
    config.nr_exports = 2;
    store_restart();
    ck_assert_uint_eq(server.nr_devices, 3);
    ck_assert_uint_eq(server.nr_served, 2);
    ck_assert_ptr_null(zr_server_find(&server, "a"));
    ck_assert_ptr_nonnull(zr_server_find(&server, "c"));
    zr_compactor_pass(&server.compactor, ZR_URGENCY_FULL);
    device = &server.devices[2];
    ck_assert_str_eq(device->name, "a");
    store_compare(false);
    store_stop();

    config.exports = exports;
    store_restart();
    store_compare(false);
    store_stop();

    config.exports = &exports[1];
    config.drops = drops;
    config.nr_drops = 2;
    store_restart();
    ck_assert_uint_eq(server.nr_devices, 2);
    ck_assert_uint_eq(server.recovered.nr_pages, 0);
    store_stop();

    config.nr_drops = 0;
    config.exports = exports;
    store_restart();
    memset(shadow, 0, DEVICE_BYTES);
    store_compare(false);
    store_stop();
}
END_TEST

START_TEST(sizes_grow_but_do_not_shrink)
{
    store_fresh();
    config.nr_exports = 2;
    exports[0].size_bytes = DEVICE_BYTES + 100;
    store_kill_after(fill);
    exports[0].size_bytes = TiB; // its root takes two OS pages more, and b's is in the way
    store_restart();
    store_compare(false);
    ck_assert_int_eq(zr_device_write(device, "abc", 3, TiB - 3), 0);
    store_stop();

    exports[0].size_bytes = TiB - 1;
    ck_assert_int_eq(store_start(), -EINVAL);
    ck_assert_ptr_nonnull(strstr(why, "export=a: size "));
    exports[0].size_bytes = 100 * TiB;
    store_restart();
    store_compare(false);
    ck_assert_int_eq(zr_device_write(device, "abc", 3, 100 * TiB - 3), 0);
    store_stop();
    config.nr_exports = 1;
    exports[0].size_bytes = PAGE_BYTES;
    exports[0].name = (char *)"b";
    ck_assert_int_eq(store_start(), -EINVAL);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        nothing_stored,
        killed_at_rest,
        killed_with_an_object_made_and_no_word,
        killed_with_a_word_exchanged,
        killed_with_a_leaf_detached,
        killed_with_a_directory_detached,
        killed_with_a_kind_noted,
        killed_with_objects_handed_over,
        killed_after_drain_and_compaction,
        killed_again_and_again_with_all_threads,
        a_clean_stop_leaves_all,
        memory_is_as_the_spans_say,
        the_keeper_gives_the_rest_back,
        words_that_cannot_be_right_are_lost,
        an_object_belongs_to_one_page,
        objects_without_their_memory_are_lost,
        entries_that_cannot_be_right_are_lost,
        random_damage_is_lost_or_right,
        damaged_kinds_lose_what_lies_there,
        lost_pages_heal_one_by_one,
        lost_pages_are_no_holes,
        a_lost_device_begins_anew,
        pages_of_the_other_codec_are_read,
        without_checksum_and_with_one,
        limits_go_up_and_down,
        exports_are_kept_and_dropped,
        sizes_grow_but_do_not_shrink,
        NULL,
    };

#ifdef __SANITIZE_THREAD__
    puts("SKIPPED: it starts on a store again and again, which takes ThreadSanitizer many minutes; "
         "stress-kill runs");
    return 77;
#endif
    store_begin();
    return unit_run("recover", tests);
}
