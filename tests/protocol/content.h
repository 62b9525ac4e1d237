// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// What tests write: bytes of every kind that a compressed disk treats in its own way, from
// one stream of random numbers a thread, which a seed replays.

#ifndef ZR_TESTS_CONTENT_H
#define ZR_TESTS_CONTENT_H

#include <stddef.h>
#include <stdint.h>

#define KiB UINT64_C(1024)
#define MiB (1024 * KiB)
#define GiB (1024 * MiB)
#define TiB (1024 * GiB)

#define PAGE_BYTES (4 * KiB)
#define RAW_BYTES (PAGE_BYTES + 4) // what one that does not compress takes: itself, and a checksum

enum content {
    CONTENT_ZERO,
    CONTENT_NEARLY_ZERO, // One byte of each page is not.
    CONTENT_SAME,        // One 32-bit pattern, never 0, all over each page.
    CONTENT_NEARLY_SAME, // But for one byte of each page.
    CONTENT_TEXT,        // Compresses to less than half.
    CONTENT_HALF_TEXT,   // Each page begins as text and ends as random bytes.
    CONTENT_RANDOM,      // Does not compress.
    CONTENT_MIXED,       // Each page is one of the above.
    NR_CONTENTS = CONTENT_MIXED
};

// Seeds the calling thread's stream with ZRAMSWAP_SEED, or else with a new seed, and prints
// it. Without this the stream is always the same.
void random_start(void);
void random_seed(uint64_t seed);

uint64_t random_u64(void);

// 0 <= result < limit.
uint64_t random_below(uint64_t limit);

// "Each page" above is each PAGE_BYTES from `to`, and what is left after them.
void content_fill(uint8_t *to, size_t length, enum content content);

#endif
