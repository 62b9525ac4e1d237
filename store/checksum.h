// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Checksum: the four bytes behind an object that reveal damage, and a page that belongs elsewhere.
//
// CRC-32C, by ISA-L, which takes the fastest way that the processor knows.  Up to three flipped
// bits in an object are noticed for certain, anything else but once in 2^32.  It is taken of what
// is stored, not of the page: that is less to read, and guards the decoder.
//
// A checksum is never 0: in a store an object may carry that instead, for "not computed".
//
// Any thread; neither allocates nor blocks.
#ifndef ZR_CHECKSUM_H
#define ZR_CHECKSUM_H

#include <isa-l/crc.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define ZR_CHECKSUM_BYTES sizeof(uint32_t)
#define ZR_CHECKSUM_NONE 0u

// The same bytes have another checksum for each seed.
static inline uint32_t zr_checksum(const void *bytes, size_t nr_bytes, uint32_t seed)
{
    uint32_t checksum = crc32_iscsi((unsigned char *)(uintptr_t)bytes, (int)nr_bytes, seed);

    return checksum != ZR_CHECKSUM_NONE ? checksum : 1;
}

// Writes the checksum of an object behind it.
static inline void zr_checksum_append(void *object, size_t bytes, uint32_t seed)
{
    uint32_t checksum = zr_checksum(object, bytes, seed);

    memcpy((unsigned char *)object + bytes, &checksum, sizeof checksum);
}

// Writes none in its place.
static inline void zr_checksum_append_none(void *object, size_t bytes)
{
    memset((unsigned char *)object + bytes, 0, ZR_CHECKSUM_BYTES);
}

static inline bool zr_checksum_is_none(const void *object, size_t bytes)
{
    static const uint32_t none = ZR_CHECKSUM_NONE;

    return memcmp((const unsigned char *)object + bytes, &none, sizeof none) == 0;
}

// True if the one behind an object is right.
static inline bool zr_checksum_holds(const void *object, size_t bytes, uint32_t seed)
{
    uint32_t checksum = zr_checksum(object, bytes, seed);

    return memcmp((const unsigned char *)object + bytes, &checksum, sizeof checksum) == 0;
}

#endif
