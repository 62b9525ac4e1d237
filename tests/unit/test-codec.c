// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "unit.h"
#include "fault.h"

#include "store/codec.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

// The levels worth trying of a codec: the ends of its range, and what lies around the default.
static size_t levels_of(const struct zr_codec_ops *ops, int levels[8])
{
    size_t nr = 0;

    if (!ops->has_level) {
        levels[nr++] = 0;
        return nr;
    }
    levels[nr++] = ops->min_level();
    levels[nr++] = -1;
    levels[nr++] = 0;
    levels[nr++] = ops->default_level;
    levels[nr++] = 3;
    levels[nr++] = ops->max_level();
    return nr;
}

static bool fails_cleanly(int rc)
{
    return rc == 0 || rc == -EIO;
}

START_TEST(a_codec_is_found_by_its_exact_name)
{
    static const char *const unknown[] = {"", "l", "lz", "LZ4", "lz4 ", "lz4hc", "zst", "none"};
    size_t i;

    for (i = 0; zr_codecs[i]; i++) {
        ck_assert_ptr_eq(zr_codec_find(zr_codecs[i]->name), zr_codecs[i]);
    }
    ck_assert_uint_gt(i, 0);
    ck_assert_ptr_eq(zr_codec_find("lz4"), &zr_codec_lz4);
    ck_assert_ptr_eq(zr_codec_find("zstd"), &zr_codec_zstd);
    for (i = 0; i < NR_OF(unknown); i++) {
        ck_assert_ptr_null(zr_codec_find(unknown[i]));
    }
}
END_TEST

START_TEST(what_a_codec_says_of_itself_is_consistent)
{
    for (size_t i = 0; zr_codecs[i]; i++) {
        const struct zr_codec_ops *ops = zr_codecs[i];

        ck_assert_int_ge((int)ops->kind, ZR_SLOT_LZ4);
        ck_assert_uint_ge(ops->bound_bytes, ZR_PAGE_BYTES);
        ck_assert_uint_le(ops->bound_bytes, ZR_CODEC_BOUND_MAX_BYTES);
        ck_assert_str_ne(ops->version(), "");
        if (ops->has_level) {
            ck_assert_int_le(ops->min_level(), ops->default_level);
            ck_assert_int_ge(ops->max_level(), ops->default_level);
        }
        for (size_t other = 0; other < i; other++) {
            ck_assert_msg(zr_codecs[other]->kind != ops->kind, "a kind tells the codec");
        }
    }
}
END_TEST

// ---- Pages there and back -----------------------------------------------------------------------

// Each buffer ends at an inaccessible page; the object is moved there for decompression.
struct buffers {
    unsigned char *page, *out, *object, *result;
    size_t object_bytes;
};

static void map_buffers(struct buffers *buffers, const struct zr_codec_ops *ops)
{
    buffers->page = unit_map_guarded(ZR_PAGE_BYTES);
    buffers->out = unit_map_guarded(ops->bound_bytes);
    buffers->result = unit_map_guarded(ZR_PAGE_BYTES);
    buffers->object = NULL;
}

static void unmap_buffers(struct buffers *buffers, const struct zr_codec_ops *ops)
{
    unit_unmap_guarded(buffers->page, ZR_PAGE_BYTES);
    unit_unmap_guarded(buffers->out, ops->bound_bytes);
    unit_unmap_guarded(buffers->result, ZR_PAGE_BYTES);
}

static void compress(struct buffers *buffers, const struct zr_codec_ops *ops, void *context)
{
    buffers->object_bytes = ops->compress(context, buffers->page, buffers->out);
    ck_assert_uint_gt(buffers->object_bytes, 0);
    ck_assert_uint_le(buffers->object_bytes, ops->bound_bytes);
    buffers->object = unit_map_guarded(buffers->object_bytes);
    memcpy(buffers->object, buffers->out, buffers->object_bytes);
}

static void drop_object(struct buffers *buffers)
{
    unit_unmap_guarded(buffers->object, buffers->object_bytes);
}

START_TEST(every_kind_of_page_comes_back_at_every_level)
{
    for (size_t i = 0; zr_codecs[i]; i++) {
        const struct zr_codec_ops *ops = zr_codecs[i];
        struct buffers buffers;
        int levels[8];
        size_t nr_levels = levels_of(ops, levels);

        map_buffers(&buffers, ops);
        for (size_t level = 0; level < nr_levels; level++) {
            void *context = ops->create(levels[level]);

            ck_assert_ptr_nonnull(context);
            for (enum content content = 0; content < NR_CONTENTS; content++) {
                content_fill(buffers.page, ZR_PAGE_BYTES, content);
                compress(&buffers, ops, context);
                memset(buffers.result, 0x5a, ZR_PAGE_BYTES);
                ck_assert_int_eq(
                    ops->decompress(context, buffers.object, buffers.object_bytes, buffers.result),
                    0);
                ck_assert_mem_eq(buffers.result, buffers.page, ZR_PAGE_BYTES);
                drop_object(&buffers);
            }
            ops->destroy(context);
        }
        unmap_buffers(&buffers, ops);
    }
}
END_TEST

START_TEST(text_shrinks_to_less_than_half)
{
    for (size_t i = 0; zr_codecs[i]; i++) {
        const struct zr_codec_ops *ops = zr_codecs[i];
        void *context = ops->create(ops->default_level);
        struct buffers buffers;

        map_buffers(&buffers, ops);
        content_fill(buffers.page, ZR_PAGE_BYTES, CONTENT_TEXT);
        compress(&buffers, ops, context);
        ck_assert_uint_lt(buffers.object_bytes, ZR_PAGE_BYTES / 2);
        drop_object(&buffers);
        unmap_buffers(&buffers, ops);
        ops->destroy(context);
    }
}
END_TEST

START_TEST(another_context_of_any_level_reads_what_one_made)
{
    const struct zr_codec_ops *ops = &zr_codec_zstd;
    void *writer = ops->create(ops->max_level());
    void *reader = ops->create(ops->min_level());
    struct buffers buffers;

    map_buffers(&buffers, ops);
    content_fill(buffers.page, ZR_PAGE_BYTES, CONTENT_HALF_TEXT);
    compress(&buffers, ops, writer);
    ck_assert_int_eq(ops->decompress(reader, buffers.object, buffers.object_bytes, buffers.result),
                     0);
    ck_assert_mem_eq(buffers.result, buffers.page, ZR_PAGE_BYTES);
    drop_object(&buffers);
    unmap_buffers(&buffers, ops);
    ops->destroy(writer);
    ops->destroy(reader);
}
END_TEST

// ---- Damage -------------------------------------------------------------------------------------

static int decompress_copy(const struct zr_codec_ops *ops, void *context, const void *object,
                           size_t bytes, unsigned char *result)
{
    unsigned char *copy = unit_map_guarded(bytes);
    int rc;

    memcpy(copy, object, bytes);
    rc = ops->decompress(context, copy, bytes, result);
    unit_unmap_guarded(copy, bytes);
    return rc;
}

START_TEST(an_object_cut_short_or_prolonged_is_eio)
{
    static const enum content contents[] = {CONTENT_NEARLY_ZERO, CONTENT_TEXT, CONTENT_RANDOM};

    for (size_t i = 0; zr_codecs[i]; i++) {
        const struct zr_codec_ops *ops = zr_codecs[i];
        void *context = ops->create(ops->default_level);
        unsigned char longer[2 * ZR_CODEC_BOUND_MAX_BYTES];
        struct buffers buffers;

        map_buffers(&buffers, ops);
        for (size_t c = 0; c < NR_OF(contents); c++) {
            content_fill(buffers.page, ZR_PAGE_BYTES, contents[c]);
            compress(&buffers, ops, context);
            for (size_t bytes = 0; bytes < buffers.object_bytes; bytes += 1 + bytes / 40) {
                ck_assert_int_eq(decompress_copy(ops, context, buffers.out, bytes, buffers.result),
                                 -EIO);
            }
            memcpy(longer, buffers.out, buffers.object_bytes);
            memcpy(longer + buffers.object_bytes, buffers.out, buffers.object_bytes);
            ck_assert_int_eq(
                decompress_copy(ops, context, longer, buffers.object_bytes + 1, buffers.result),
                -EIO);
            ck_assert_int_eq(
                decompress_copy(ops, context, longer, 2 * buffers.object_bytes, buffers.result),
                -EIO);
            drop_object(&buffers);
        }
        unmap_buffers(&buffers, ops);
        ops->destroy(context);
    }
}
END_TEST

// A changed byte may make another page (objects carry no checksum), but never a crash or a byte
// beyond the page.
START_TEST(a_damaged_object_is_eio_or_another_page_and_never_more_than_a_page)
{
    for (size_t i = 0; zr_codecs[i]; i++) {
        const struct zr_codec_ops *ops = zr_codecs[i];
        void *context = ops->create(ops->default_level);
        unsigned nr_refused = 0;
        struct buffers buffers;

        map_buffers(&buffers, ops);
        for (int round = 0; round < 5000; round++) {
            if (round % 50 == 0) {
                content_fill(buffers.page, ZR_PAGE_BYTES, CONTENT_MIXED);
                compress(&buffers, ops, context);
            }
            memcpy(buffers.object, buffers.out, buffers.object_bytes);
            for (uint64_t nr = 1 + random_below(4); nr > 0; nr--) {
                buffers.object[random_below(buffers.object_bytes)] = (unsigned char)random_u64();
            }
            int rc = ops->decompress(context, buffers.object, buffers.object_bytes, buffers.result);

            if (!fails_cleanly(rc)) {
                ck_abort_msg("%s: rc %d", ops->name, rc);
            }
            nr_refused += rc != 0;
            if (round % 50 == 49) {
                drop_object(&buffers);
            }
        }
        ck_assert_uint_gt(nr_refused, 0);
        unmap_buffers(&buffers, ops);
        ops->destroy(context);
    }
}
END_TEST

START_TEST(random_bytes_are_no_object)
{
    for (size_t i = 0; zr_codecs[i]; i++) {
        const struct zr_codec_ops *ops = zr_codecs[i];
        void *context = ops->create(ops->default_level);
        unsigned char *result = unit_map_guarded(ZR_PAGE_BYTES);

        for (int round = 0; round < 2000; round++) {
            unsigned char noise[ZR_PAGE_BYTES];
            size_t bytes = random_below(round % 2 == 0 ? 32 : sizeof noise);

            content_fill(noise, sizeof noise, CONTENT_RANDOM);
            if (!fails_cleanly(decompress_copy(ops, context, noise, bytes, result))) {
                ck_abort_msg("%s", ops->name);
            }
        }
        unit_unmap_guarded(result, ZR_PAGE_BYTES);
        ops->destroy(context);
    }
}
END_TEST

START_TEST(a_context_works_on_after_a_damaged_object)
{
    for (size_t i = 0; zr_codecs[i]; i++) {
        const struct zr_codec_ops *ops = zr_codecs[i];
        void *context = ops->create(ops->default_level);
        struct buffers buffers;

        map_buffers(&buffers, ops);
        content_fill(buffers.page, ZR_PAGE_BYTES, CONTENT_TEXT);
        compress(&buffers, ops, context);
        ck_assert_int_eq(
            ops->decompress(context, buffers.object, buffers.object_bytes / 2, buffers.result),
            -EIO);
        ck_assert_int_eq(
            ops->decompress(context, buffers.object, buffers.object_bytes, buffers.result), 0);
        ck_assert_mem_eq(buffers.result, buffers.page, ZR_PAGE_BYTES);
        drop_object(&buffers);
        unmap_buffers(&buffers, ops);
        ops->destroy(context);
    }
}
END_TEST

// ---- Memory -------------------------------------------------------------------------------------

// Many times each: zstd, for one, moves to smaller tables when it finds its own too large for long.
START_TEST(neither_compress_nor_decompress_allocates)
{
    for (size_t i = 0; zr_codecs[i]; i++) {
        const struct zr_codec_ops *ops = zr_codecs[i];
        int levels[8];
        size_t nr_levels = levels_of(ops, levels);

        for (size_t level = 0; level < nr_levels; level++) {
            unsigned char page[ZR_PAGE_BYTES], object[ZR_CODEC_BOUND_MAX_BYTES];
            void *context = ops->create(levels[level]);
            unsigned nr_calls = 0;

            for (int round = 0; round < 300; round++) {
                size_t bytes;

                content_fill(page, sizeof page, CONTENT_MIXED);
                fault_arm(0);
                bytes = ops->compress(context, page, object);
                ops->decompress(context, object, bytes, page);
                object[random_below(bytes)] ^= 1;
                ops->decompress(context, object, bytes, page);
                fault_disarm();
                nr_calls += fault_nr_calls();
            }
            ck_assert_msg(nr_calls == 0, "%s, level %d: %u", ops->name, levels[level], nr_calls);
            ops->destroy(context);
        }
    }
}
END_TEST

START_TEST(a_context_that_fails_at_any_step_leaves_nothing_behind)
{
    for (size_t i = 0; zr_codecs[i]; i++) {
        const struct zr_codec_ops *ops = zr_codecs[i];
        void *context;
        unsigned nth;

        for (nth = 1;; nth++) {
            fault_arm(nth);
            context = ops->create(ops->default_level);
            if (!fault_disarm()) {
                break;
            }
            ck_assert_ptr_null(context);
            ck_assert_int_eq(fault_nr_live(), 0);
        }
        ck_assert_ptr_nonnull(context);
        ck_assert_uint_gt(nth, 1);
        fault_arm(0);
        ops->destroy(context);
        fault_disarm();
        ck_assert_int_eq(fault_nr_live(), 0);
    }
}
END_TEST

// In longer and longer strides: the contexts, two per CPU, are all made alike.
START_TEST(an_init_that_fails_at_any_step_leaves_nothing_behind)
{
    for (size_t i = 0; zr_codecs[i]; i++) {
        struct zr_codec codec;
        unsigned nth;
        int rc;

        for (nth = 1;; nth += 1 + nth / 16) {
            fault_arm(nth);
            rc = zr_codec_init(&codec, zr_codecs[i], zr_codecs[i]->default_level);
            if (!fault_disarm()) {
                break;
            }
            ck_assert_int_eq(rc, -ENOMEM);
            ck_assert_int_eq(fault_nr_live(), 0);
        }
        ck_assert_int_eq(rc, 0);
        ck_assert_uint_gt(nth, 2);
        fault_arm(0);
        zr_codec_fini(&codec);
        fault_disarm();
        ck_assert_int_eq(fault_nr_live(), 0);
    }
}
END_TEST

// ---- Contexts -----------------------------------------------------------------------------------

START_TEST(everybody_gets_a_context_of_its_own)
{
    struct zr_codec_context **contexts;
    struct zr_codec codec;

    ck_assert_int_eq(zr_codec_init(&codec, &zr_codec_lz4, 0), 0);
    contexts = calloc(codec.nr_contexts, sizeof *contexts);
    for (unsigned i = 0; i < codec.nr_contexts; i++) {
        contexts[i] = zr_codec_get(&codec);
        for (unsigned other = 0; other < i; other++) {
            ck_assert_ptr_ne(contexts[i], contexts[other]);
            ck_assert_ptr_ne(contexts[i]->codec, contexts[other]->codec);
        }
    }
    for (unsigned i = 0; i < codec.nr_contexts; i++) {
        zr_codec_put(contexts[i]);
    }
    free(contexts);
    zr_codec_fini(&codec);
}
END_TEST

static struct zr_codec shared;
static atomic_uint nr_holding;

static void *borrow(void *unused)
{
    struct zr_codec_context *context = zr_codec_get(&shared);

    nr_holding++;
    zr_codec_put(context);
    return unused;
}

START_TEST(who_finds_all_contexts_busy_waits_for_one)
{
    struct zr_codec_context **contexts;
    pthread_t threads[3];

    ck_assert_int_eq(zr_codec_init(&shared, &zr_codec_lz4, 0), 0);
    contexts = calloc(shared.nr_contexts, sizeof *contexts);
    for (unsigned i = 0; i < shared.nr_contexts; i++) {
        contexts[i] = zr_codec_get(&shared);
    }
    for (size_t i = 0; i < NR_OF(threads); i++) {
        ck_assert_int_eq(pthread_create(&threads[i], NULL, borrow, NULL), 0);
    }
    unit_sleep_ms(50);
    ck_assert_uint_eq(nr_holding, 0);
    for (unsigned i = 0; i < shared.nr_contexts; i++) {
        zr_codec_put(contexts[i]);
    }
    for (size_t i = 0; i < NR_OF(threads); i++) {
        pthread_join(threads[i], NULL);
    }
    ck_assert_uint_eq(nr_holding, NR_OF(threads));
    free(contexts);
    zr_codec_fini(&shared);
}
END_TEST

static void *compress_in_turns(void *number)
{
    unsigned char page[ZR_PAGE_BYTES], result[ZR_PAGE_BYTES];

    random_seed((uintptr_t)number);
    for (int round = 0; round < 100; round++) {
        struct zr_codec_context *context = zr_codec_get(&shared);
        unsigned char object[ZR_CODEC_BOUND_MAX_BYTES];
        size_t bytes;

        content_fill(page, sizeof page, CONTENT_MIXED);
        bytes = shared.ops->compress(context->codec, page, object);
        if (shared.ops->decompress(context->codec, object, bytes, result) != 0 ||
            memcmp(result, page, sizeof page) != 0) {
            ck_abort_msg("two threads used one context");
        }
        zr_codec_put(context);
    }
    return NULL;
}

START_TEST(more_threads_than_contexts_share_them)
{
    unsigned nr_threads;
    pthread_t *threads;

    ck_assert_int_eq(zr_codec_init(&shared, &zr_codec_zstd, 1), 0);
    nr_threads = 2 * shared.nr_contexts + 1;
    threads = calloc(nr_threads, sizeof *threads);
    for (uintptr_t i = 0; i < nr_threads; i++) {
        ck_assert_int_eq(pthread_create(&threads[i], NULL, compress_in_turns, (void *)i), 0);
    }
    for (unsigned i = 0; i < nr_threads; i++) {
        pthread_join(threads[i], NULL);
    }
    free(threads);
    zr_codec_fini(&shared);
}
END_TEST

UNIT_MAIN("codec", a_codec_is_found_by_its_exact_name, what_a_codec_says_of_itself_is_consistent,
          every_kind_of_page_comes_back_at_every_level, text_shrinks_to_less_than_half,
          another_context_of_any_level_reads_what_one_made, an_object_cut_short_or_prolonged_is_eio,
          a_damaged_object_is_eio_or_another_page_and_never_more_than_a_page,
          random_bytes_are_no_object, a_context_works_on_after_a_damaged_object,
          neither_compress_nor_decompress_allocates,
          a_context_that_fails_at_any_step_leaves_nothing_behind,
          an_init_that_fails_at_any_step_leaves_nothing_behind, everybody_gets_a_context_of_its_own,
          who_finds_all_contexts_busy_waits_for_one, more_threads_than_contexts_share_them)
