// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// The pool against a model, at random and by several threads.  Every object is filled with a stamp
// of its own, so that two that overlap show.
#include "unit.h"

#include "allocator/pool.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#define MAX_PER_SPAN (ZR_SPAN_BYTES / ZR_OBJECT_MAX_BYTES)

static struct zr_pool pool;

static void start_pool(uint64_t limit_bytes)
{
    ck_assert_int_eq(zr_pool_init(&pool, limit_bytes, NULL), 0);
}

static void end_pool(void)
{
    struct zr_pool_stats stats;

    ck_assert(zr_pool_is_valid(&pool));
    zr_pool_get_stats(&pool, &stats);
    ck_assert_uint_eq(stats.nr_objects, 0);
    ck_assert_uint_eq(stats.nr_chunks, 0);
    ck_assert_uint_eq(stats.stored_bytes, 0);
    zr_pool_fini(&pool);
}

struct object {
    zr_handle handle;
    uint64_t stamp;
};

static void fill_object(const struct object *object)
{
    char *bytes = zr_pool_view(&pool, object->handle);
    uint32_t length = zr_handle_length_bytes(object->handle);

    for (uint32_t i = 0; i < length; i += 8) {
        memcpy(bytes + i, &object->stamp, length - i < 8 ? length - i : 8);
    }
}

static bool is_intact(const struct object *object)
{
    const char *bytes = zr_pool_view(&pool, object->handle);
    uint32_t length = zr_handle_length_bytes(object->handle);

    for (uint32_t i = 0; i < length; i += 8) {
        if (memcmp(bytes + i, &object->stamp, length - i < 8 ? length - i : 8) != 0) {
            return false;
        }
    }
    return true;
}

// Half of the sizes are those of a class, or one more or less.
static uint32_t random_size(void)
{
    uint32_t bytes = 1 + (uint32_t)random_below(ZR_OBJECT_MAX_BYTES);

    if (random_below(2) == 0) {
        bytes = pool.classes.object_bytes[zr_size_class_of(&pool.classes, bytes)];
        bytes += (uint32_t)random_below(3) - 1;
    }
    return bytes < ZR_OBJECT_MAX_BYTES ? bytes : ZR_OBJECT_MAX_BYTES;
}

static bool try_alloc_object(struct object *object, uint32_t bytes)
{
    int rc = random_below(20) == 0 ? zr_pool_alloc_chunk(&pool, &object->handle)
                                   : zr_pool_alloc(&pool, bytes, &object->handle);

    if (rc < 0) {
        ck_assert_int_eq(rc, -ENOSPC);
        return false;
    }
    object->stamp = random_u64();
    fill_object(object);
    return true;
}

// Takes nr objects out of the model at random and frees them at once.
static size_t free_objects(struct object *objects, size_t nr_objects, size_t nr)
{
    uint64_t words[2000];

    nr = nr < NR_OF(words) ? nr : NR_OF(words);
    nr = nr < nr_objects ? nr : nr_objects;
    for (size_t i = 0; i < nr; i++) {
        size_t victim = random_below(nr_objects);

        if (!is_intact(&objects[victim])) {
            ck_abort_msg("an object was overwritten");
        }
        words[i] = objects[victim].handle.bits;
        objects[victim] = objects[--nr_objects];
    }
    zr_pool_free(&pool, words, nr);
    return nr_objects;
}

START_TEST(objects_never_overlap_and_keep_their_content)
{
    static struct object objects[8000];
    struct zr_pool_stats stats;
    size_t nr_objects = 0;
    unsigned nr_full = 0;

    start_pool(6 * MiB);
    for (int step = 0; step < 200000; step++) {
        if (nr_objects < NR_OF(objects) && random_below(1000) != 0) {
            if (try_alloc_object(&objects[nr_objects], random_size())) {
                nr_objects++;
                continue;
            }
            nr_full++;
        }
        nr_objects = free_objects(objects, nr_objects, random_below(2000));
        ck_assert(zr_pool_is_valid(&pool));
        zr_pool_get_stats(&pool, &stats);
        ck_assert_uint_eq(stats.nr_objects + stats.nr_chunks, nr_objects);
    }
    ck_assert_msg(nr_full > 0, "the limit was never reached");
    while (nr_objects > 0) {
        nr_objects = free_objects(objects, nr_objects, nr_objects);
    }
    end_pool();
}
END_TEST

#define NR_WORKERS 4

static void *work(void *number)
{
    struct zr_pool_stats stats;
    struct object objects[64];
    size_t nr_objects = 0;

    random_seed((uintptr_t)number);
    for (int step = 0; step < 20000; step++) {
        if (nr_objects < NR_OF(objects) && random_below(80) != 0) {
            // Few sizes, so that the threads meet in a class.
            nr_objects += try_alloc_object(&objects[nr_objects], random_below(2) == 0 ? 64 : 2000);
        } else {
            nr_objects = free_objects(objects, nr_objects, random_below(NR_OF(objects)));
        }
        if (step % 64 == 0) {
            zr_pool_get_stats(&pool, &stats);
        }
    }
    free_objects(objects, nr_objects, nr_objects);
    return NULL;
}

START_TEST(threads_do_not_disturb_each_other)
{
    pthread_t threads[NR_WORKERS];

    start_pool(64 * MiB);
    for (uintptr_t i = 0; i < NR_WORKERS; i++) {
        ck_assert_int_eq(pthread_create(&threads[i], NULL, work, (void *)i), 0);
    }
    for (size_t i = 0; i < NR_WORKERS; i++) {
        pthread_join(threads[i], NULL);
    }
    end_pool();
}
END_TEST

UNIT_MAIN("pool-random", objects_never_overlap_and_keep_their_content,
          threads_do_not_disturb_each_other)
