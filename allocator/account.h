// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Account: the bytes of objects that one owner (a tenant) has stored, against a limit of its own.
//
// An object is charged before its owner publishes it, and its length is taken off when it is
// extracted; for a detached leaf, whose objects nobody has counted, when it is drained.
// Threads: all calls may overlap; a relaxed counter, since nothing else is ordered by it.
#ifndef ZR_ACCOUNT_H
#define ZR_ACCOUNT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct zr_account {
    _Atomic uint64_t stored_bytes;
    uint64_t limit_bytes; // UINT64_MAX: none
};

// Charges bytes unless that would pass the limit.
static inline bool zr_account_try_charge(struct zr_account *account, uint64_t bytes)
{
    uint64_t before =
        atomic_fetch_add_explicit(&account->stored_bytes, bytes, memory_order_relaxed);

    if (bytes > 0 && before + bytes > account->limit_bytes) {
        atomic_fetch_sub_explicit(&account->stored_bytes, bytes, memory_order_relaxed);
        return false;
    }
    return true;
}

static inline void zr_account_uncharge(struct zr_account *account, uint64_t bytes)
{
    atomic_fetch_sub_explicit(&account->stored_bytes, bytes, memory_order_relaxed);
}

#endif
