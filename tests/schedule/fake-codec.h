// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// A codec and a checksum that are cheap and have steps in them.  Pages are blocks of one number
// each, repeated, which says who wrote it: which write, which block, and of which sort the page is:
// how well it compresses.
#ifndef ZS_FAKE_CODEC_H
#define ZS_FAKE_CODEC_H

#include "store/codec.h"

#define ZS_BLOCK_BYTES 512u // the grain of what is written
#define ZS_BLOCKS (ZR_PAGE_BYTES / ZS_BLOCK_BYTES)
#define ZS_NR_SORTS 4  // 0 compresses best, 3 not at all
#define ZS_SORT_SAME 7 // all blocks of a page the same

extern const struct zr_codec_ops zs_codec_ops;

uint32_t zs_block_value(unsigned id, unsigned sort, unsigned block);
void zs_fill_block(void *block, uint32_t value);

// The number in a block of a buffer.  Fails if it is torn.
uint32_t zs_block_at(const void *buffer, size_t block);

#endif
