// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Handle: where an object is and how long it is, in the low 58 bits of a word.
//
//     bit 63   58 57      45 44                                   0
//        +-------+----------+--------------------------------------+
//        | owner |  length  |  offset in the arena, 16-byte units  |
//        +-------+----------+--------------------------------------+
//
// The top six bits belong to the keeper of the handle (the slot table keeps the kind of a page
// there); the allocator ignores them.  Length 0 means "no object", whatever else the word holds, so
// a batch of slot words can be freed without regard to their kinds.  An offset instead of a pointer
// makes the word valid in any process that maps the same arena.
#ifndef ZR_HANDLE_H
#define ZR_HANDLE_H

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    uint64_t bits;
} zr_handle;

#define ZR_HANDLE_UNIT_SHIFT 4 // 16 bytes, the alignment of every object
#define ZR_HANDLE_OFFSET_BITS 45
#define ZR_HANDLE_LENGTH_BITS 13
#define ZR_HANDLE_BITS (ZR_HANDLE_OFFSET_BITS + ZR_HANDLE_LENGTH_BITS)

static inline zr_handle zr_handle_make(uint64_t offset_bytes, uint32_t length_bytes)
{
    return (zr_handle){(uint64_t)length_bytes << ZR_HANDLE_OFFSET_BITS |
                       offset_bytes >> ZR_HANDLE_UNIT_SHIFT};
}

// The handle in a word that carries owner bits too.
static inline zr_handle zr_handle_of_word(uint64_t word)
{
    return (zr_handle){word & ((UINT64_C(1) << ZR_HANDLE_BITS) - 1)};
}

static inline uint64_t zr_handle_offset_bytes(zr_handle handle)
{
    return (handle.bits & ((UINT64_C(1) << ZR_HANDLE_OFFSET_BITS) - 1)) << ZR_HANDLE_UNIT_SHIFT;
}

static inline uint32_t zr_handle_length_bytes(zr_handle handle)
{
    return (uint32_t)(handle.bits >> ZR_HANDLE_OFFSET_BITS) & ((1u << ZR_HANDLE_LENGTH_BITS) - 1);
}

static inline bool zr_handle_has_object(zr_handle handle)
{
    return zr_handle_length_bytes(handle) != 0;
}

#endif
