// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "packed-chunk.h"

void zr_packed_chunk_pack(struct zr_packed_chunk *packed, const uint64_t *chunk)
{
    uint16_t nr_words = 0;
    size_t group, i;

    for (group = 0; group < ZR_PACKED_GROUPS; group++) {
        packed->present[group] = 0;
        packed->before[group] = nr_words;
        for (i = 0; i < 64; i++) {
            uint64_t word = chunk[group * 64 + i];

            if (word != 0) {
                packed->present[group] |= UINT64_C(1) << i;
                packed->words[nr_words++] = word;
            }
        }
    }
}

void zr_packed_chunk_unpack(const struct zr_packed_chunk *packed, _Atomic uint64_t *chunk)
{
    const uint64_t *word = packed->words;
    size_t group;

    for (group = 0; group < ZR_PACKED_GROUPS; group++) {
        uint64_t present = packed->present[group];

        for (; present != 0; present &= present - 1) {
            atomic_store_explicit(&chunk[group * 64 + (size_t)__builtin_ctzll(present)], *word++,
                                  memory_order_relaxed);
        }
    }
}
