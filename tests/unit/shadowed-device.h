// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// A device for the tests of it, as a server puts it together, and a shadow: a buffer that requests
// change too, and that the device must read as.
//
// The server's threads run only where a test starts them: without them nothing is freed behind a
// test's back.
#ifndef ZR_TESTS_SHADOWED_DEVICE_H
#define ZR_TESTS_SHADOWED_DEVICE_H

#include "unit.h"

#include "plugin/server.h"

#define LEAF_BYTES (ZR_LEAF_SLOTS * PAGE_BYTES)

extern struct zr_server server;
extern struct zr_device *device;
extern unsigned char *shadow; // of the whole device, to the end of its last page

void start_device(uint64_t size_bytes, uint64_t limit_bytes, const struct zr_codec_ops *codec);

// Empties the device and checks that nothing of it is left.
void end_device(void);

// Of the pool when all that was extracted is freed.
struct zr_pool_stats pool_stats(void);

bool reads_as(const void *expected, uint64_t bytes, uint64_t offset);
bool reads_as_zeros(uint64_t bytes, uint64_t offset);

// The word of a slot, now.
uint64_t load_word(uint64_t slot);

// Requests on both.
void write_both(uint64_t offset, uint64_t bytes, enum content content);
void zero_both(uint64_t offset, uint64_t bytes);

// Whether the extents of a range cover it without gaps, and are holes just where pages are zeros.
void check_extents(uint64_t offset, uint64_t bytes);

// All content and all extents.
void compare_both(void);

#endif
