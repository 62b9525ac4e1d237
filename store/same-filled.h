// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Same-filled pages: those that repeat one 32-bit value (zram takes any machine word, but 64 bits
// do not fit a slot word beside the kind, and pages that need them are rare: see docs/design.md).
#ifndef ZR_SAME_FILLED_H
#define ZR_SAME_FILLED_H

#include <stdbool.h>
#include <stdint.h>

#define ZR_PAGE_SHIFT 12
#define ZR_PAGE_BYTES (1u << ZR_PAGE_SHIFT)

// True if the page repeats one value, which is then in *value.  Any alignment.
bool zr_is_same_filled(const void *page, uint32_t *value);

void zr_fill_page(void *page, uint32_t value);

#endif
