// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// A disk and a copy in memory of what it must hold. Each change goes to both; a comparison
// that finds a difference ends the test.
//
// The copy also tells which pages must be allocated: those with a byte that is not zero, and
// no others, however they came to be so.

#ifndef ZR_TESTS_SHADOW_H
#define ZR_TESTS_SHADOW_H

#include <stddef.h>
#include <stdint.h>

#include <libnbd.h>

#include "content.h"

struct shadow {
    struct nbd_handle *nbd; // Borrowed; may be exchanged for another connection.
    uint8_t *bytes;
    uint64_t size;
};

// The disk must be fresh: all zeros. Its size is taken from the connection.
void shadow_init(struct shadow *shadow, struct nbd_handle *nbd);
void shadow_fini(struct shadow *shadow);

// One request each (a write: one per 1 MiB). `flags` are libnbd's LIBNBD_CMD_FLAG_*.
void shadow_write(struct shadow *shadow, uint64_t offset, uint64_t length, enum content content,
                  uint32_t flags);
void shadow_trim(struct shadow *shadow, uint64_t offset, uint64_t length, uint32_t flags);
void shadow_zero(struct shadow *shadow, uint64_t offset, uint64_t length, uint32_t flags);

// Writes the copy's bytes of this range, as they are.
void shadow_put(struct shadow *shadow, uint64_t offset, uint64_t length, uint32_t flags);

void shadow_compare(struct shadow *shadow, uint64_t offset, uint64_t length);

// Block status of this range against the copy. Returns how many extents the server sent.
size_t shadow_compare_extents(struct shadow *shadow, uint64_t offset, uint64_t length);

// Data and extents of the whole disk.
void shadow_compare_all(struct shadow *shadow);

#endif
