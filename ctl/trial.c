// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "trial.h"
#include "cpu-time.h"
#include "message.h"

#include "../store/checksum.h"

#include <stdlib.h>
#include <string.h>

void zr_trial_init(struct zr_trial *trial, const struct zr_codec_ops *ops, int level, bool is_cold)
{
    *trial = (struct zr_trial){.ops = ops, .level = level};
    trial->context = zr_must_have(ops->create(level));
    trial->objects = zr_must_have(calloc(ZR_TRIAL_BATCH, ZR_CODEC_BOUND_MAX_BYTES));
    if (is_cold) {
        trial->cold = zr_must_have(malloc(sizeof *trial->cold));
        zr_cold_trial_init(trial->cold);
    }
}

void zr_trial_fini(struct zr_trial *trial)
{
    trial->ops->destroy(trial->context);
    free(trial->objects);
    if (trial->cold) {
        zr_cold_trial_fini(trial->cold);
        free(trial->cold);
    }
}

static unsigned char *object_of(const struct zr_trial *trial, size_t i)
{
    return trial->objects + i * ZR_CODEC_BOUND_MAX_BYTES;
}

static void compress(struct zr_trial *trial, const unsigned char *const *pages, size_t nr_pages,
                     size_t *lengths)
{
    uint64_t start_ns = zr_cpu_time_ns();
    size_t i;

    for (i = 0; i < nr_pages; i++) {
        lengths[i] = trial->ops->compress(trial->context, pages[i], object_of(trial, i));
    }
    trial->compress_ns += zr_cpu_time_ns() - start_ns;
    trial->nr_compressed += nr_pages;
}

static void decompress(struct zr_trial *trial, const unsigned char *const *pages, size_t nr_pages,
                       const size_t *lengths)
{
    static unsigned char copies[ZR_TRIAL_BATCH][ZR_PAGE_BYTES];
    uint64_t start_ns = zr_cpu_time_ns();
    size_t i;

    for (i = 0; i < nr_pages; i++) {
        if (lengths[i] < ZR_PAGE_BYTES &&
            trial->ops->decompress(trial->context, object_of(trial, i), lengths[i], copies[i]) <
                0) {
            zr_die("%s: a page does not decompress", trial->ops->name);
        }
    }
    trial->decompress_ns += zr_cpu_time_ns() - start_ns;
    for (i = 0; i < nr_pages; i++) {
        trial->nr_decompressed += lengths[i] < ZR_PAGE_BYTES;
        if (lengths[i] < ZR_PAGE_BYTES && memcmp(copies[i], pages[i], ZR_PAGE_BYTES) != 0) {
            zr_die("%s: a page does not come back as it was", trial->ops->name);
        }
    }
}

// What goes into groups has objects of 0 bytes from then on.
static void make_cold(struct zr_trial *trial, const unsigned char *const *pages,
                      const uint64_t *numbers, uint32_t *object_bytes, size_t nr_pages)
{
    struct zr_cold_trial *cold = trial->cold;
    uint64_t before_bytes = cold->log_bytes;

    zr_cold_trial_add(cold, pages, numbers, object_bytes, nr_pages);
    trial->stored_bytes += cold->log_bytes - before_bytes;
    trial->nr_compressed = cold->nr_made;
    trial->compress_ns = cold->make_ns;
    trial->nr_decompressed = cold->nr_read;
    trial->decompress_ns = cold->read_ns;
}

static void count_object(struct zr_trial *trial, const struct zr_size_classes *classes,
                         uint32_t bytes)
{
    trial->stored_bytes += bytes;
    trial->nr_objects[zr_size_class_of(classes, bytes)]++;
}

void zr_trial_add(struct zr_trial *trial, const struct zr_size_classes *classes,
                  const unsigned char *const *pages, const uint64_t *numbers, size_t nr_pages)
{
    size_t lengths[ZR_TRIAL_BATCH], i;
    uint32_t object_bytes[ZR_TRIAL_BATCH]; // 0: counted already

    compress(trial, pages, nr_pages, lengths);
    for (i = 0; i < nr_pages; i++) {
        object_bytes[i] = (uint32_t)lengths[i] + ZR_CHECKSUM_BYTES;
        if (!zr_size_class_saves(classes, object_bytes[i], ZR_PAGE_BYTES + ZR_CHECKSUM_BYTES)) {
            lengths[i] = ZR_PAGE_BYTES;
            object_bytes[i] = 0;
            trial->nr_huge++;
            count_object(trial, classes, ZR_PAGE_BYTES + ZR_CHECKSUM_BYTES);
        }
    }
    if (trial->cold) {
        make_cold(trial, pages, numbers, object_bytes, nr_pages);
    } else {
        decompress(trial, pages, nr_pages, lengths);
    }
    for (i = 0; i < nr_pages; i++) {
        if (object_bytes[i] > 0) {
            count_object(trial, classes, object_bytes[i]);
        }
    }
}

static uint64_t round_up(uint64_t bytes, uint64_t unit)
{
    return (bytes + unit - 1) / unit * unit;
}

// Counts the full spans of each class, and the touched pages of its last span.
uint64_t zr_trial_resident_bytes(const struct zr_trial *trial,
                                 const struct zr_size_classes *classes, uint64_t nr_pages)
{
    uint64_t bytes = round_up(nr_pages * sizeof(uint64_t), ZR_CHUNK_BYTES); // slot words
    uint32_t class_nr;

    bytes += trial->cold ? round_up(trial->cold->log_bytes, ZR_PAGE_BYTES) : 0;
    for (class_nr = 0; class_nr < zr_size_class_chunk(classes); class_nr++) {
        uint64_t object_bytes = classes->object_bytes[class_nr];
        uint64_t per_span = ZR_SPAN_BYTES / object_bytes;
        uint64_t nr = trial->nr_objects[class_nr];

        bytes += nr / per_span * ZR_SPAN_BYTES;
        bytes += round_up(nr % per_span * object_bytes, ZR_PAGE_BYTES);
    }
    return bytes;
}
