// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Size classes: object size ↔ class, pure functions of a table that is computed once.
//
// Class sizes follow from how many objects fit a span: for each count the largest size, a multiple
// of 16, that fits so often.  Big objects are then spaced by what a span can hold and small ones by
// 16 bytes, and no span wastes more than its count × 16 bytes at its end.  (zsmalloc spaces its
// classes evenly and picks the span length per class instead; here every span has one length, so
// that a handle finds its span by a shift.)
//
// Chunks (pages of 512 words: leaves, directories, batches) have a class of their own, behind those
// of objects, so that they share no span with them.  So have logs (log.h), the last one: what is in
// its spans has any length, and the class none.
#ifndef ZR_SIZE_CLASS_H
#define ZR_SIZE_CLASS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifndef ZR_SPAN_SHIFT // tests/schedule/small.h has other sizes
#define ZR_SPAN_SHIFT 17
#define ZR_OBJECT_MAX_BYTES 4224u // the least class for a page and some bytes that its owner adds
#endif
#define ZR_SPAN_BYTES (1u << ZR_SPAN_SHIFT)
// Smaller ones are rare, and their bitmap would cost more than it saves.
#define ZR_OBJECT_MIN_BYTES 128u
#define ZR_CHUNK_BYTES 4096u
#define ZR_NR_CLASSES_MAX 160
#define ZR_CLASS_NONE 255u  // of a span that is free
#define ZR_COARSE_BYTES 64u // where few objects are stored, classes so far apart waste least

struct zr_size_classes {
    uint32_t nr_classes;                            // those of chunks and logs included
    uint16_t object_bytes[ZR_NR_CLASSES_MAX];       // ascending
    uint8_t by_units[ZR_OBJECT_MAX_BYTES / 16 + 1]; // class of a size in 16-byte units
    uint8_t coarse[ZR_NR_CLASSES_MAX]; // the largest less than ZR_COARSE_BYTES above, or itself
};

void zr_size_classes_init(struct zr_size_classes *classes);

// The smallest class that holds bytes, 1 to ZR_OBJECT_MAX_BYTES.
static inline uint32_t zr_size_class_of(const struct zr_size_classes *classes, uint32_t bytes)
{
    return classes->by_units[(bytes + 15) / 16];
}

// True if an object of bytes takes less room than one of raw_bytes, which is a size that fits.
static inline bool zr_size_class_saves(const struct zr_size_classes *classes, size_t bytes,
                                       uint32_t raw_bytes)
{
    return bytes < raw_bytes &&
           zr_size_class_of(classes, (uint32_t)bytes) < zr_size_class_of(classes, raw_bytes);
}

static inline uint32_t zr_size_class_chunk(const struct zr_size_classes *classes)
{
    return classes->nr_classes - 2;
}

static inline uint32_t zr_size_class_log(const struct zr_size_classes *classes)
{
    return classes->nr_classes - 1;
}

#endif
