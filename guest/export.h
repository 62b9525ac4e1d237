// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// What a server says of an export when it is opened, and whether that is the one that a guest has
// its pages on.  Pure; any thread.
#ifndef ZR_GUEST_EXPORT_H
#define ZR_GUEST_EXPORT_H

#include <stddef.h>
#include <stdint.h>

enum {
    ZR_BLOCK_BYTES = 4096,
    ZR_IDENTITY_LENGTH = 36,
};

struct zr_export {
    uint64_t size_bytes;                   // whole blocks
    uint16_t flags;                        // NBD_FLAG_… of the transmission
    char identity[ZR_IDENTITY_LENGTH + 1]; // a uuid; empty: none
};

// Finds the identity in a description that ends in "uuid=" and 36 characters.  The description
// needs no final 0.
void zr_export_identify(struct zr_export *export, const char *description, size_t length);

// Why the pages that are on *known cannot be on *found, in a few words; NULL if they can.  An
// export without identity is never the same again.
const char *zr_export_why_not(const struct zr_export *known, const struct zr_export *found);

#endif
