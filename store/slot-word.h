// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Slot word: the whole state of one 4 KiB page of a device.
//
//     bit 63  61  60 58  57                                  0
//        +------+-------+-------------------------------------+
//        | kind |  age  | handle of the object, see handle.h  |
//        +------+-------+-------------------------------------+
//
// A lost page is one that cannot be read any more: EIO until it is written whole or trimmed.  It
// has no object, and no age.  All of this is part of the format of a store (superblock.h).
//
// A same-filled page has no object: length 0, and the 32-bit value that fills it where the offset
// would be.  The word 0 is therefore the page that is filled with zeros, which is also the page
// that was never written or was trimmed: a hole.  A word is made with age 0; the ager lets it grow
// (ager.h), of every word but that of a hole.
#ifndef ZR_SLOT_WORD_H
#define ZR_SLOT_WORD_H

#include "../allocator/handle.h"

#include <stdint.h>

enum zr_slot_kind {
    ZR_SLOT_SAME = 0, // filled with one 32-bit value; zero: a hole
    ZR_SLOT_HUGE = 1, // stored raw, since it does not compress (zram's word for it)
    ZR_SLOT_LZ4 = 2,  // from here on: one per codec
    ZR_SLOT_ZSTD = 3,
    ZR_SLOT_GROUP = 4, // compressed together with others (group.h); the length is its share
    ZR_SLOT_LOST = 7,
};

#define ZR_NR_SLOT_KINDS 8
#define ZR_SLOT_KIND_SHIFT 61
#define ZR_SLOT_AGE_SHIFT 58
#define ZR_SLOT_AGE_MAX 7u
#define ZR_SLOT_EMPTY UINT64_C(0)
#define ZR_SLOT_LOST_WORD ((uint64_t)ZR_SLOT_LOST << ZR_SLOT_KIND_SHIFT)

static inline uint64_t zr_slot_word_make(enum zr_slot_kind kind, zr_handle handle)
{
    return (uint64_t)kind << ZR_SLOT_KIND_SHIFT | handle.bits;
}

static inline uint64_t zr_slot_word_same(uint32_t value)
{
    return value;
}

static inline enum zr_slot_kind zr_slot_word_kind(uint64_t word)
{
    return (enum zr_slot_kind)(word >> ZR_SLOT_KIND_SHIFT);
}

static inline unsigned zr_slot_word_age(uint64_t word)
{
    return (unsigned)(word >> ZR_SLOT_AGE_SHIFT) & ZR_SLOT_AGE_MAX;
}

// The same word one step older.  Its age is not ZR_SLOT_AGE_MAX yet.
static inline uint64_t zr_slot_word_older(uint64_t word)
{
    return word + (UINT64_C(1) << ZR_SLOT_AGE_SHIFT);
}

// Of its object; 0 if it has none.
static inline uint64_t zr_slot_word_length_bytes(uint64_t word)
{
    return zr_handle_length_bytes(zr_handle_of_word(word));
}

static inline uint32_t zr_slot_word_value(uint64_t word)
{
    return (uint32_t)word;
}

#endif
