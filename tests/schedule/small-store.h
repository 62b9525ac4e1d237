// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// The store under test: two devices in a pool of few spans, one with a limit of its own, and all
// background work, which the harness calls.
#ifndef ZS_SMALL_STORE_H
#define ZS_SMALL_STORE_H

#include "allocator/keeper.h"
#include "store/ager.h"
#include "store/compactor.h"
#include "store/demoter.h"
#include "store/device.h"
#include "store/slot-counts.h"

#define ZS_NR_DEVICES 2
#define ZS_GIB_SLOTS (UINT64_C(512) * 512)

struct zs_store {
    struct zr_pool pool;
    struct zr_deferred_free *deferred;
    struct zr_codec codec;
    struct zr_keeper keeper;
    struct zr_compactor compactor;
    struct zr_ager ager;
    struct zr_group_cache groups;
    struct zr_demoter demoter;
    struct zr_device devices[ZS_NR_DEVICES];
};

extern struct zs_store zs_store;
extern struct zr_slot_table *const zs_tables[ZS_NR_DEVICES];
extern const uint64_t zs_device_bytes[ZS_NR_DEVICES];

// limit_bytes: of the second device.
void zs_store_init(unsigned limit_spans, uint64_t limit_bytes);

// Nothing runs: what the pool holds is what the words refer to, in numbers and bytes.
void zs_store_check(void);

// Trims all.  Nothing may be left.
void zs_store_check_empties(void);
void zs_store_fini(void);

void zs_check(bool holds, const char *what);

#endif
