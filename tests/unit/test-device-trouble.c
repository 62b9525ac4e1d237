// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// The device when memory is short, when it is damaged, and when several write to one page.
#include "shadowed-device.h"

#include "allocator/rcu.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

// ---- Without memory -----------------------------------------------------------------------------

#define FULL_BYTES (8 * MiB) // of random pages; the limit is half of it

static void start_full(void)
{
    uint64_t offset = 0;
    int rc;

    start_device(FULL_BYTES + LEAF_BYTES, FULL_BYTES / 2, &zr_codec_lz4);
    do {
        unsigned char page[PAGE_BYTES];

        content_fill(page, sizeof page, CONTENT_RANDOM);
        rc = zr_device_write(device, page, sizeof page, offset);
        if (rc == 0) {
            memcpy(&shadow[offset], page, sizeof page);
            offset += PAGE_BYTES;
        }
    } while (rc == 0 && offset < FULL_BYTES);
    ck_assert_int_eq(rc, -ENOSPC);
    ck_assert_uint_gt(offset, FULL_BYTES / 4);
}

START_TEST(a_write_without_memory_is_enospc_and_the_old_content_stays)
{
    unsigned char page[PAGE_BYTES];

    start_full();
    compare_both();
    content_fill(page, sizeof page, CONTENT_RANDOM);
    for (uint64_t offset = 0; offset < FULL_BYTES; offset += 100 * PAGE_BYTES) {
        // Over a page, over a part of one, and where nothing is.
        int rc = zr_device_write(device, page, PAGE_BYTES, offset);

        ck_assert(rc == 0 || rc == -ENOSPC);
        if (rc == 0) {
            memcpy(&shadow[offset], page, PAGE_BYTES);
        }
        rc = zr_device_write(device, page, 100, offset + PAGE_BYTES + 1);
        ck_assert(rc == 0 || rc == -ENOSPC);
        if (rc == 0) {
            memcpy(&shadow[offset + PAGE_BYTES + 1], page, 100);
        }
    }
    compare_both();
    end_device();
}
END_TEST

START_TEST(a_write_that_fails_changes_each_2_mib_whole_or_not_at_all)
{
    static unsigned char buffer[FULL_BYTES];

    start_full();
    zero_both(0, LEAF_BYTES / 4); // makes room for a part of what follows
    content_fill(buffer, sizeof buffer, CONTENT_RANDOM);
    ck_assert_int_eq(zr_device_write(device, buffer, sizeof buffer, LEAF_BYTES / 2), -ENOSPC);
    for (uint64_t offset = LEAF_BYTES / 2; offset < FULL_BYTES;) {
        uint64_t bytes = LEAF_BYTES - offset % LEAF_BYTES;

        if (reads_as(&buffer[offset - LEAF_BYTES / 2], bytes, offset)) {
            memcpy(&shadow[offset], &buffer[offset - LEAF_BYTES / 2], bytes);
        }
        offset += bytes;
    }
    compare_both();
    end_device();
}
END_TEST

START_TEST(zeroing_whole_pages_works_without_memory_and_makes_room)
{
    start_full();
    for (int round = 0; round < 20; round++) {
        // Nobody drains what is extracted but the write that needs it.
        zero_both(0, LEAF_BYTES / 2);
        content_fill(shadow, LEAF_BYTES / 2, CONTENT_RANDOM);
        ck_assert_int_eq(zr_device_write(device, shadow, LEAF_BYTES / 2, 0), 0);
    }
    compare_both();
    zero_both(0, device->size_bytes);
    compare_both();
    end_device();
}
END_TEST

START_TEST(same_filled_pages_can_be_written_without_memory)
{
    start_full();
    for (uint64_t offset = 0; offset < FULL_BYTES / 4; offset += PAGE_BYTES) {
        content_fill(&shadow[offset], PAGE_BYTES, CONTENT_SAME);
        ck_assert_int_eq(zr_device_write(device, &shadow[offset], PAGE_BYTES, offset), 0);
    }
    compare_both();
    end_device();
}
END_TEST

// Whatever the rest of the server has: the limit of compressed bytes is the device's own.
START_TEST(a_device_at_its_own_limit_is_enospc_until_it_has_trimmed)
{
    unsigned char page[PAGE_BYTES];

    start_device(LEAF_BYTES, 64 * MiB, &zr_codec_lz4);
    device->table.account.limit_bytes = 10 * RAW_BYTES;
    write_both(0, 10 * PAGE_BYTES, CONTENT_RANDOM);
    content_fill(page, sizeof page, CONTENT_RANDOM);
    ck_assert_int_eq(zr_device_write(device, page, PAGE_BYTES, 20 * PAGE_BYTES), -ENOSPC);
    ck_assert_int_eq(zr_device_write(device, page, 100, 20 * PAGE_BYTES), -ENOSPC);
    compare_both();
    ck_assert_uint_eq(pool_stats().nr_objects, 10);

    write_both(3 * PAGE_BYTES, PAGE_BYTES, CONTENT_RANDOM); // no more than before
    write_both(4 * PAGE_BYTES + 1, 100, CONTENT_RANDOM);
    write_both(20 * PAGE_BYTES, PAGE_BYTES, CONTENT_SAME);
    for (int round = 0; round < 10; round++) {
        zero_both(0, device->size_bytes); // counts as stored until it is drained
        write_both(0, 10 * PAGE_BYTES, CONTENT_RANDOM);
    }
    compare_both();
    end_device();
}
END_TEST

// ---- Damage -------------------------------------------------------------------------------------

START_TEST(a_damaged_object_is_eio_until_its_page_is_written_whole)
{
    for (size_t i = 0; zr_codecs[i]; i++) {
        unsigned char page[3 * PAGE_BYTES];
        zr_handle handle;

        start_device(3 * PAGE_BYTES, MiB, zr_codecs[i]);
        content_fill(page, sizeof page, CONTENT_TEXT);
        ck_assert_int_eq(zr_device_write(device, page, sizeof page, 0), 0);
        handle = zr_handle_of_word(load_word(1));
        memset(zr_pool_view(&server.pool, handle), 0xff, zr_handle_length_bytes(handle));

        ck_assert_int_eq(zr_device_read(device, page, sizeof page, 0), -EIO);
        ck_assert_int_eq(zr_device_read(device, page, 1, PAGE_BYTES + 1), -EIO);
        ck_assert_int_eq(zr_device_write(device, page, 1, PAGE_BYTES + 1), -EIO);
        ck_assert_int_eq(zr_device_zero(device, 1, PAGE_BYTES + 1), -EIO);
        ck_assert_int_eq(zr_device_read(device, page, PAGE_BYTES, 0), 0);
        ck_assert_int_eq(zr_device_read(device, page, PAGE_BYTES, 2 * PAGE_BYTES), 0);

        content_fill(page, PAGE_BYTES, CONTENT_TEXT);
        ck_assert_int_eq(zr_device_write(device, page, PAGE_BYTES, PAGE_BYTES), 0);
        ck_assert(reads_as(page, PAGE_BYTES, PAGE_BYTES));
        end_device();
    }
}
END_TEST

START_TEST(a_page_of_another_codec_is_eio)
{
    unsigned char page[PAGE_BYTES];
    uint64_t word;

    start_device(PAGE_BYTES, MiB, &zr_codec_lz4);
    write_both(0, PAGE_BYTES, CONTENT_TEXT);
    word = zr_slot_word_make(ZR_SLOT_ZSTD, zr_handle_of_word(load_word(0)));
    zr_rcu_read_lock();
    ck_assert_int_eq(zr_slot_table_replace(&device->table, 0, load_word(0), word), 0);
    zr_rcu_read_unlock();
    ck_assert_int_eq(zr_device_read(device, page, sizeof page, 0), -EIO);
    end_device();
}
END_TEST

// The word of slot 0, past all that a sound program does with it.
static _Atomic uint64_t *word_to_damage(void)
{
    _Atomic uint64_t *leaf;

    zr_rcu_read_lock();
    leaf = zr_slot_table_leaf(&device->table, 0);
    zr_rcu_read_unlock();
    return leaf;
}

START_TEST(a_word_that_leads_out_of_the_arena_is_eio)
{
    uint64_t end = UINT64_C(1) << (ZR_HANDLE_OFFSET_BITS + ZR_HANDLE_UNIT_SHIFT);
    unsigned char page[PAGE_BYTES];
    uint64_t word, open_bytes;

    start_device(PAGE_BYTES, MiB, &zr_codec_lz4);
    write_both(0, PAGE_BYTES, CONTENT_RANDOM);
    open_bytes = server.pool.arena.open_bytes;
    word = load_word(0);
    const uint64_t damaged[] = {
        zr_slot_word_make(ZR_SLOT_HUGE, zr_handle_make(open_bytes - PAGE_BYTES + 16, PAGE_BYTES)),
        zr_slot_word_make(ZR_SLOT_HUGE, zr_handle_make(open_bytes - 16, 16)), // not a page long
        zr_slot_word_make(ZR_SLOT_LZ4, zr_handle_make(open_bytes, 100)),
        zr_slot_word_make(ZR_SLOT_LZ4, zr_handle_make(end - 16, 100)),
    };

    for (size_t i = 0; i < NR_OF(damaged); i++) {
        *word_to_damage() = damaged[i];
        ck_assert_int_eq(zr_device_read(device, page, sizeof page, 0), -EIO);
        ck_assert_int_eq(zr_device_write(device, page, 1, 1), -EIO);
    }
    ck_assert(!zr_evacuation_wants(&server.pool, zr_handle_make(end - 16, 100)));
    *word_to_damage() = word;
    compare_both();
    end_device();
}
END_TEST

// ---- Many threads -------------------------------------------------------------------------------

#define NR_SHARED_PAGES 4
#define NR_WORDS (PAGE_BYTES / sizeof(uint64_t))

// A page that follows from its first word; half of them do not compress.
static void make_page(uint64_t *words)
{
    uint64_t step = words[0] % 2 == 0 ? 0 : words[0];

    for (size_t i = 1; i < NR_WORDS; i++) {
        words[i] = words[i - 1] * 3 + step;
    }
}

static void *write_and_read_pages(void *number)
{
    random_seed((uintptr_t)number);
    for (int round = 0; round < 3000; round++) {
        uint64_t offset = random_below(NR_SHARED_PAGES) * PAGE_BYTES;
        uint64_t page[NR_WORDS], expected[NR_WORDS];

        if (round % 3 == 0) {
            page[0] = random_u64();
            make_page(page);
            zr_device_write(device, page, sizeof page, offset);
        } else if (round % 20 == 1) {
            zr_device_zero(device, LEAF_BYTES, 0);
        } else {
            zr_device_read(device, page, sizeof page, offset);
            expected[0] = page[0];
            make_page(expected);
            if (memcmp(page, expected, sizeof page) != 0) {
                ck_abort_msg("a page that nobody wrote");
            }
        }
    }
    return NULL;
}

static void run_threads(void *(*function)(void *), uintptr_t nr_threads)
{
    pthread_t threads[8];

    for (uintptr_t i = 0; i < nr_threads; i++) {
        ck_assert_int_eq(pthread_create(&threads[i], NULL, function, (void *)i), 0);
    }
    for (uintptr_t i = 0; i < nr_threads; i++) {
        pthread_join(threads[i], NULL);
    }
}

START_TEST(a_page_is_read_all_old_or_all_new)
{
    start_device(LEAF_BYTES, 16 * MiB, &zr_codec_lz4);
    ck_assert_int_eq(zr_server_start(&server), 0);
    run_threads(write_and_read_pages, 4);
    end_device();
}
END_TEST

// lz4, but a page takes long enough to be decompressed for others to free it meanwhile.
static struct zr_codec_ops slow_lz4;
static atomic_bool is_decompressing;

static int decompress_slowly(void *context, const void *object, size_t bytes, void *page)
{
    is_decompressing = true;
    unit_sleep_ms(50);
    return zr_codec_lz4.decompress(context, object, bytes, page);
}

static bool is_reading(void *unused)
{
    (void)unused;
    return is_decompressing;
}

static void *read_page(void *page)
{
    ck_assert_int_eq(zr_device_read(device, page, PAGE_BYTES, 0), 0);
    return NULL;
}

START_TEST(a_read_under_way_gets_the_old_page_whatever_is_freed_meanwhile)
{
    unsigned char old[PAGE_BYTES], page[PAGE_BYTES];
    pthread_t reader;

    slow_lz4 = zr_codec_lz4;
    slow_lz4.decompress = decompress_slowly;
    start_device(LEAF_BYTES, 16 * MiB, &slow_lz4);
    write_both(0, PAGE_BYTES, CONTENT_NEARLY_SAME);
    memcpy(old, shadow, PAGE_BYTES);
    ck_assert_int_eq(pthread_create(&reader, NULL, read_page, page), 0);
    ck_assert(unit_await(is_reading, NULL));
    zero_both(0, LEAF_BYTES);
    zr_deferred_free_drain(server.deferred);
    write_both(0, 100 * PAGE_BYTES, CONTENT_NEARLY_SAME); // takes the place of what was freed
    pthread_join(reader, NULL);
    ck_assert_mem_eq(page, old, PAGE_BYTES);
    end_device();
}
END_TEST

// Each thread has a part of one page for itself.
static void *write_own_part(void *number)
{
    const uint64_t bytes = PAGE_BYTES / 4, offset = (uintptr_t)number * bytes;
    unsigned char part[PAGE_BYTES / 4];

    random_seed((uintptr_t)number);
    for (int round = 0; round < 2000; round++) {
        content_fill(part, bytes, round % 2 == 0 ? CONTENT_RANDOM : CONTENT_NEARLY_SAME);
        ck_assert_int_eq(zr_device_write(device, part, bytes, offset), 0);
        if (!reads_as(part, bytes, offset)) {
            ck_abort_msg("another's write took this one back");
        }
    }
    return NULL;
}

START_TEST(writes_to_parts_of_one_page_at_once_are_all_kept)
{
    start_device(PAGE_BYTES, 16 * MiB, &zr_codec_lz4);
    ck_assert_int_eq(zr_server_start(&server), 0);
    run_threads(write_own_part, 4);
    end_device();
}
END_TEST

UNIT_MAIN("device-trouble", a_write_without_memory_is_enospc_and_the_old_content_stays,
          a_write_that_fails_changes_each_2_mib_whole_or_not_at_all,
          zeroing_whole_pages_works_without_memory_and_makes_room,
          same_filled_pages_can_be_written_without_memory,
          a_device_at_its_own_limit_is_enospc_until_it_has_trimmed,
          a_damaged_object_is_eio_until_its_page_is_written_whole, a_page_of_another_codec_is_eio,
          a_word_that_leads_out_of_the_arena_is_eio, a_page_is_read_all_old_or_all_new,
          a_read_under_way_gets_the_old_page_whatever_is_freed_meanwhile,
          writes_to_parts_of_one_page_at_once_are_all_kept)
