// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "unit.h"

#include "allocator/worker.h"
#include "store/checksum.h"
#include "store/group-cache.h"
#include "store/slot-table.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define SEED 0x1234567u
#define NR_GROUPS 64
#define MAX_GROUP_BYTES (ZR_GROUP_RAW_BYTES + 256)

static struct zr_group_maker maker;
static struct zr_group_cache cache;

// Group i has the pages of leaf i, slots 0 to 15.
static struct zr_group *groups[NR_GROUPS];
static unsigned char pages[NR_GROUPS][ZR_GROUP_PAGES][PAGE_BYTES];
static const uint16_t slots[ZR_GROUP_PAGES] = {0, 1, 2,  3,  4,  5,  6,  7,
                                               8, 9, 10, 11, 12, 13, 14, 15};

static void make(unsigned i)
{
    content_fill(pages[i][0], sizeof pages[i], CONTENT_HALF_TEXT);
    memcpy(maker.pages, pages[i], sizeof pages[i]);
    ck_assert_uint_le(zr_group_make(&maker, SEED, i, slots, ZR_GROUP_PAGES), MAX_GROUP_BYTES);
    zr_group_copy(groups[i], maker.group);
}

static void start(unsigned nr_groups)
{
    ck_assert_int_eq(zr_group_maker_init(&maker), 0);
    ck_assert_int_eq(zr_group_cache_init(&cache), 0);
    ck_assert_uint_ge(cache.nr_entries, 2);
    for (unsigned i = 0; i < nr_groups; i++) {
        groups[i] = aligned_alloc(16, MAX_GROUP_BYTES);
        make(i);
    }
}

static void end(unsigned nr_groups)
{
    while (nr_groups > 0) {
        free(groups[--nr_groups]);
    }
    zr_group_cache_fini(&cache);
    zr_group_maker_fini(&maker);
}

// True if the page is right.
static bool reads(unsigned i, unsigned slot)
{
    unsigned char page[PAGE_BYTES];
    int rc = zr_group_cache_read(&cache, groups[i], MAX_GROUP_BYTES, SEED,
                                 (uint64_t)i * ZR_LEAF_SLOTS + slot, page);

    return rc == 0 && memcmp(page, pages[i][slot], PAGE_BYTES) == 0;
}

// True if the read is right, and a hit or not as expected.
static bool hits(unsigned i, bool must_hit)
{
    uint64_t nr_hits = cache.nr_hits, nr_misses = cache.nr_misses;

    return reads(i, i % ZR_GROUP_PAGES) && cache.nr_hits == nr_hits + must_hit &&
           cache.nr_misses == nr_misses + !must_hit;
}

START_TEST(neighbours_of_a_page_that_was_read_are_hits)
{
    start(1);
    for (unsigned slot = 0; slot < ZR_GROUP_PAGES; slot++) {
        ck_assert(reads(0, slot));
    }
    ck_assert_uint_eq(cache.nr_misses, 1);
    ck_assert_uint_eq(cache.nr_hits, ZR_GROUP_PAGES - 1);
    end(1);
}
END_TEST

// The entry that has the first group.
static const struct zr_group_entry *entry_of_first(void)
{
    unsigned i;

    for (i = 0; i < cache.nr_entries && cache.entries[i].id != groups[0]->id; i++) {
    }
    ck_assert_uint_lt(i, cache.nr_entries);
    return &cache.entries[i];
}

#define HALF_BYTES ((size_t)ZR_GROUP_PAGES / 2 * PAGE_BYTES)

START_TEST(a_page_of_the_first_half_does_not_wait_for_the_second)
{
    start(2);
    for (unsigned slot = ZR_GROUP_PAGES / 2; slot-- > 0;) {
        ck_assert(reads(0, slot));
        ck_assert_uint_eq(entry_of_first()->pages_bytes, HALF_BYTES);
    }
    ck_assert(reads(1, ZR_GROUP_PAGES - 1)); // another one, meanwhile
    ck_assert(reads(0, ZR_GROUP_PAGES / 2));
    ck_assert_uint_eq(entry_of_first()->pages_bytes, ZR_GROUP_RAW_BYTES);
    ck_assert_uint_eq(cache.nr_misses, 2);
    end(2);
}
END_TEST

START_TEST(damage_after_the_first_half_was_read_is_eio_and_does_not_spread)
{
    start(1);
    for (size_t i = 0; i < groups[0]->bytes; i += 7) {
        unsigned char *byte = (unsigned char *)groups[0] + i, page[PAGE_BYTES];
        bool is_known_by_it = i < sizeof groups[0]->checksum ||
                              i - offsetof(struct zr_group, id) < sizeof groups[0]->id;

        ck_assert(reads(0, 1));
        *byte ^= 0x40;
        if (i - offsetof(struct zr_group, read) < 4) { // no part of what it is
            ck_assert(reads(0, ZR_GROUP_PAGES - 1));
        } else if (zr_group_cache_read(&cache, groups[0], MAX_GROUP_BYTES, SEED, ZR_GROUP_PAGES - 1,
                                       page) != -EIO ||
                   (!is_known_by_it && !reads(0, 0))) {
            ck_abort_msg("byte %zu of %u", i, groups[0]->bytes);
        }
        *byte ^= 0x40;
        ck_assert(reads(0, ZR_GROUP_PAGES - 1)); // it goes on where it was
        zr_group_cache_expire(&cache, UINT64_MAX);
    }
    end(1);
}
END_TEST

START_TEST(damage_before_anything_was_decompressed_is_found_too)
{
    unsigned char page[PAGE_BYTES];

    start(1);
    ck_assert_int_eq(zr_group_cache_read(&cache, groups[0], MAX_GROUP_BYTES, SEED, 16, page), -EIO);
    ck_assert_uint_eq(entry_of_first()->pages_bytes, 0);
    ((unsigned char *)groups[0])[groups[0]->bytes / 3] ^= 0x40;
    ck_assert_int_eq(zr_group_cache_read(&cache, groups[0], MAX_GROUP_BYTES, SEED, 1, page), -EIO);
    groups[0]->bytes = 1u << 20; // nor is anything read behind it
    ck_assert_int_eq(zr_group_cache_read(&cache, groups[0], MAX_GROUP_BYTES, SEED, 1, page), -EIO);
    end(1);
}
END_TEST

// With what one group left behind, another one is read.
START_TEST(a_group_that_was_read_in_part_leaves_nothing_to_the_next_one)
{
    start(NR_GROUPS);
    for (unsigned i = 0; i < 20 * NR_GROUPS; i++) {
        ck_assert(reads(i % NR_GROUPS, (unsigned)random_below(ZR_GROUP_PAGES)));
    }
    end(NR_GROUPS);
}
END_TEST

START_TEST(the_last_few_groups_are_kept_and_the_one_unused_for_longest_goes)
{
    unsigned nr;

    start(NR_GROUPS);
    nr = cache.nr_entries;
    for (unsigned i = 0; i < nr; i++) {
        ck_assert(hits(i, false));
    }
    for (unsigned i = 0; i < nr; i++) {
        ck_assert(hits(i, true));
    }
    ck_assert(hits(0, true)); // so that 1 is that
    ck_assert(hits(nr, false));
    ck_assert(hits(0, true));
    for (unsigned i = 2; i < nr; i++) {
        ck_assert(hits(i, true));
    }
    ck_assert(hits(1, false));
    end(NR_GROUPS);
}
END_TEST

START_TEST(another_group_in_the_same_place_is_another_group)
{
    start(1);
    for (int i = 0; i < 100; i++) {
        ck_assert(hits(0, false));
        ck_assert(hits(0, true));
        make(0); // it was freed, and its memory used again
    }
    end(1);
}
END_TEST

START_TEST(a_page_of_the_same_group_that_is_not_there_does_not_evict_it)
{
    unsigned char page[PAGE_BYTES];

    start(1);
    ck_assert(hits(0, false));
    ck_assert_int_eq(zr_group_cache_read(&cache, groups[0], MAX_GROUP_BYTES, SEED, 16, page), -EIO);
    ck_assert(hits(0, true));
    end(1);
}
END_TEST

static bool is_wiped(const struct zr_group_entry *entry)
{
    for (size_t i = 0; i < ZR_GROUP_RAW_BYTES; i++) {
        if (entry->pages[i] != 0) {
            return false;
        }
    }
    return entry->id == 0;
}

START_TEST(what_nobody_asked_for_since_is_wiped)
{
    uint64_t between_ns;
    unsigned nr, nr_wiped = 0;

    start(NR_GROUPS);
    nr = cache.nr_entries;
    for (unsigned i = 0; i < nr; i++) {
        ck_assert(hits(i, false));
    }
    between_ns = zr_worker_now_ns();
    ck_assert(hits(0, true));
    zr_group_cache_expire(&cache, between_ns);
    for (unsigned i = 0; i < nr; i++) {
        nr_wiped += is_wiped(&cache.entries[i]);
    }
    ck_assert_uint_eq(nr_wiped, nr - 1);
    ck_assert(hits(0, true));
    ck_assert(hits(1, false)); // and reads right
    zr_group_cache_expire(&cache, UINT64_MAX);
    for (unsigned i = 0; i < nr; i++) {
        ck_assert(is_wiped(&cache.entries[i]));
    }
    ck_assert(hits(0, false));
    end(NR_GROUPS);
}
END_TEST

static unsigned nr_resident(const struct zr_group_entry *entry)
{
    unsigned char is_resident[ZR_GROUP_PAGES];
    unsigned nr = 0;

    ck_assert_int_eq(mincore(entry->pages, ZR_GROUP_RAW_BYTES, is_resident), 0);
    for (unsigned i = 0; i < ZR_GROUP_PAGES; i++) {
        nr += is_resident[i] & 1;
    }
    return nr;
}

START_TEST(a_read_after_a_while_finds_memory_to_decompress_to)
{
    start(NR_GROUPS);
    ck_assert_uint_eq(nr_resident(&cache.entries[0]), ZR_GROUP_PAGES);
    for (unsigned i = 0; i < cache.nr_entries; i++) {
        ck_assert(hits(i, false));
    }
    zr_group_cache_expire(&cache, UINT64_MAX);
    ck_assert_uint_eq(nr_resident(&cache.entries[0]), ZR_GROUP_PAGES);
    for (unsigned i = 1; i < cache.nr_entries; i++) {
        ck_assert_uint_eq(nr_resident(&cache.entries[i]), 0);
    }
    ck_assert(hits(cache.nr_entries, false));
    ck_assert(!is_wiped(&cache.entries[0]));
    end(NR_GROUPS);
}
END_TEST

// A group that says 16 pages, where its frame has 15.
static void make_damaged(void)
{
    struct zr_group *group = groups[0];
    uint32_t bytes;

    memcpy(maker.pages, pages[0], sizeof pages[0]);
    bytes = zr_group_make(&maker, SEED, 0, slots, ZR_GROUP_PAGES - 1);
    zr_group_copy(group, maker.group);
    memmove(&group->slots[ZR_GROUP_PAGES], &group->slots[ZR_GROUP_PAGES - 1],
            zr_group_frame_bytes(group));
    group->slots[ZR_GROUP_PAGES - 1] = ZR_GROUP_PAGES - 1;
    group->nr_members = ZR_GROUP_PAGES;
    group->bytes = bytes + sizeof group->slots[0];
    group->checksum = zr_checksum(&group->bytes, group->bytes - offsetof(struct zr_group, bytes),
                                  group->device_seed);
}

START_TEST(what_was_decompressed_in_vain_is_wiped_too)
{
    unsigned char page[PAGE_BYTES];
    unsigned nr_dirty = 0;

    start(1);
    make_damaged();
    ck_assert(zr_group_is_sound(groups[0], MAX_GROUP_BYTES));
    ck_assert(reads(0, ZR_GROUP_PAGES - 2));
    ck_assert_int_eq(
        zr_group_cache_read(&cache, groups[0], MAX_GROUP_BYTES, SEED, ZR_GROUP_PAGES - 1, page),
        -EIO);
    ck_assert(reads(0, 0));
    for (unsigned i = 0; i < cache.nr_entries; i++) {
        nr_dirty += !is_wiped(&cache.entries[i]);
    }
    ck_assert_uint_eq(nr_dirty, 1);
    zr_group_cache_expire(&cache, UINT64_MAX);
    for (unsigned i = 0; i < cache.nr_entries; i++) {
        ck_assert(is_wiped(&cache.entries[i]));
    }
    end(1);
}
END_TEST

// Holds the entries that have the first group, or all others.
static void hold(bool those_of_first)
{
    for (unsigned i = 0; i < cache.nr_entries; i++) {
        if ((cache.entries[i].id == groups[0]->id) == those_of_first) {
            pthread_mutex_lock(&cache.entries[i].busy);
        }
    }
}

START_TEST(entries_that_are_in_use_are_neither_waited_for_nor_wiped)
{
    unsigned nr;

    start(NR_GROUPS);
    nr = cache.nr_entries;
    ck_assert(hits(0, false));
    hold(true);
    ck_assert(hits(0, false)); // into another one
    hold(false);
    ck_assert(nr > 2 || cache.entries[0].id == cache.entries[1].id);
    ck_assert(hits(0, true));
    ck_assert(hits(1, false)); // in the one that is left
    ck_assert(hits(1, true));
    zr_group_cache_expire(&cache, UINT64_MAX);
    for (unsigned i = 0; i < nr; i++) {
        ck_assert(cache.entries[i].id == 0 || cache.entries[i].id == groups[0]->id);
    }
    ck_assert(hits(1, false));
    for (unsigned i = 0; i < nr; i++) {
        pthread_mutex_trylock(&cache.entries[i].busy); // the one that is left
        pthread_mutex_unlock(&cache.entries[i].busy);
    }
    end(NR_GROUPS);
}
END_TEST

static void *read_first(void *has_read)
{
    atomic_bool *flag = has_read;

    ck_assert(reads(0, 3));
    *flag = true;
    return NULL;
}

START_TEST(only_where_all_are_in_use_a_reader_waits)
{
    atomic_bool has_read = false;
    pthread_t reader;

    start(1);
    for (unsigned i = 0; i < cache.nr_entries; i++) {
        pthread_mutex_lock(&cache.entries[i].busy);
    }
    ck_assert_int_eq(pthread_create(&reader, NULL, read_first, &has_read), 0);
    unit_sleep_ms(20); // if it did not wait, it would have read by now, mostly
    ck_assert(!has_read);
    for (unsigned i = 0; i < cache.nr_entries; i++) {
        pthread_mutex_unlock(&cache.entries[i].busy);
    }
    pthread_join(reader, NULL);
    ck_assert(has_read);
    end(1);
}
END_TEST

#define NR_READERS 5

static atomic_bool must_stop;
static atomic_uint nr_wrong;

static void *read_at_random(void *number)
{
    random_seed((uintptr_t)number);
    for (int i = 0; i < 4000; i++) {
        nr_wrong += !reads((unsigned)random_below(8), (unsigned)random_below(ZR_GROUP_PAGES));
    }
    return NULL;
}

static void *expire_all_the_time(void *unused)
{
    while (!must_stop) {
        zr_group_cache_expire(&cache, zr_worker_now_ns() - 20000);
        unit_sleep_ms(1);
    }
    return unused;
}

START_TEST(threads_read_right_beside_each_other_and_beside_the_wiping)
{
    pthread_t readers[NR_READERS], wiper;
    uint64_t nr_reads;

    start(NR_GROUPS);
    ck_assert_int_eq(pthread_create(&wiper, NULL, expire_all_the_time, NULL), 0);
    for (uintptr_t i = 0; i < NR_READERS; i++) {
        ck_assert_int_eq(pthread_create(&readers[i], NULL, read_at_random, (void *)i), 0);
    }
    for (size_t i = 0; i < NR_READERS; i++) {
        pthread_join(readers[i], NULL);
    }
    must_stop = true;
    pthread_join(wiper, NULL);
    ck_assert_uint_eq(nr_wrong, 0);
    nr_reads = cache.nr_hits + cache.nr_misses;
    ck_assert_uint_eq(nr_reads, NR_READERS * 4000);
    ck_assert_uint_gt(cache.nr_hits, 0);
    end(NR_GROUPS);
}
END_TEST

UNIT_MAIN("group-cache", neighbours_of_a_page_that_was_read_are_hits,
          a_page_of_the_first_half_does_not_wait_for_the_second,
          damage_after_the_first_half_was_read_is_eio_and_does_not_spread,
          damage_before_anything_was_decompressed_is_found_too,
          a_group_that_was_read_in_part_leaves_nothing_to_the_next_one,
          the_last_few_groups_are_kept_and_the_one_unused_for_longest_goes,
          another_group_in_the_same_place_is_another_group,
          a_page_of_the_same_group_that_is_not_there_does_not_evict_it,
          what_nobody_asked_for_since_is_wiped, a_read_after_a_while_finds_memory_to_decompress_to,
          what_was_decompressed_in_vain_is_wiped_too,
          entries_that_are_in_use_are_neither_waited_for_nor_wiped,
          only_where_all_are_in_use_a_reader_waits,
          threads_read_right_beside_each_other_and_beside_the_wiping)
