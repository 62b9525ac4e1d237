// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// The memory of the server, looked at and changed from outside, as root: what broken hardware does,
// and what nobody else should see. The store is its memfd, read without filling its holes.
//
// For a server that was started. Without root the test is skipped.

#ifndef ZR_TESTS_MEMORY_H
#define ZR_TESTS_MEMORY_H

#include <stddef.h>
#include <stdint.h>

// How often these bytes are in the store, and, unless first is NULL, where first. Pieces of an
// object that lie apart are not seen.
size_t memory_count_in_store(const void *bytes, size_t length, uint64_t *first);

// How often they are in the rest of the process: heap, stacks, buffers.
size_t memory_count_elsewhere(const void *bytes, size_t length);

void memory_flip_bit(uint64_t store_offset, unsigned bit);

#endif
