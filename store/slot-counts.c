// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "slot-counts.h"
#include "walk.h"

#include <string.h>

static size_t step_of(uint64_t length)
{
    size_t step = (length - 1) / ZR_LENGTH_BYTES;

    return step < ZR_NR_LENGTHS ? step : ZR_NR_LENGTHS - 1; // a raw page and its checksum
}

static uint64_t count(void *opaque, struct zr_slot_table *table, uint64_t slot, uint64_t word)
{
    struct zr_slot_counts *counts = opaque;
    uint64_t length = zr_slot_word_length_bytes(word);

    (void)table;
    (void)slot;
    if (word == ZR_SLOT_LOST_WORD) {
        counts->nr_lost++;
        return word;
    }
    counts->nr_by_age[zr_slot_word_age(word)]++;
    if (zr_slot_word_kind(word) == ZR_SLOT_SAME) {
        counts->nr_same++;
        return word;
    }
    if (zr_slot_word_kind(word) == ZR_SLOT_HUGE) {
        counts->nr_huge++;
    } else {
        counts->nr_compressed++;
    }
    if (zr_slot_word_kind(word) == ZR_SLOT_GROUP) {
        counts->nr_cold++;
        counts->cold_bytes += length;
    }
    counts->stored_bytes += length;
    counts->nr_by_length[step_of(length)]++;
    return word;
}

void zr_slot_counts_get(struct zr_slot_table *table, struct zr_slot_counts *counts)
{
    struct zr_walk walk;

    memset(counts, 0, sizeof *counts);
    zr_walk_begin(&walk, &table, 1);
    zr_walk_continue(&walk, UINT64_MAX, count, counts);
    counts->nr_lost += zr_slot_table_nr_below_lost(table);
}
