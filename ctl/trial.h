// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Trial: pages through a codec as the server would put them, counted and timed but not kept.
#ifndef ZR_CTL_TRIAL_H
#define ZR_CTL_TRIAL_H

#include "cold-trial.h"

#include "../allocator/size-class.h"
#include "../store/codec.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct zr_trial {
    const struct zr_codec_ops *ops;
    int level;
    void *context;
    unsigned char *objects;     // what a batch compresses to
    struct zr_cold_trial *cold; // puts that into groups; NULL: it stays as it is

    // The results so far.  Times are of one CPU.
    uint64_t nr_huge;
    uint64_t stored_bytes; // compr_data_size, checksums included
    uint64_t nr_objects[ZR_NR_CLASSES_MAX];
    uint64_t nr_compressed, compress_ns; // huge ones included: compression shows which they are
    uint64_t nr_decompressed, decompress_ns;
};

#define ZR_TRIAL_BATCH 256 // pages at a time, at most

// ops and level as for zr_codec_init.  is_cold: as if none of it was written for long.  Dies of too
// little memory.
void zr_trial_init(struct zr_trial *trial, const struct zr_codec_ops *ops, int level, bool is_cold);
void zr_trial_fini(struct zr_trial *trial);

// Pages that are not same-filled, and their numbers on the disk, ascending.  Dies if one does not
// come back as it was.
void zr_trial_add(struct zr_trial *trial, const struct zr_size_classes *classes,
                  const unsigned char *const *pages, const uint64_t *numbers, size_t nr_pages);

// Memory that the server would need for them, the table of a device of nr_pages included.
uint64_t zr_trial_resident_bytes(const struct zr_trial *trial,
                                 const struct zr_size_classes *classes, uint64_t nr_pages);

#endif
