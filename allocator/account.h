// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Account: the bytes of objects that one owner (a tenant) has stored, against a limit of its own.
//
// An object is charged before its owner publishes it, and its length is taken off when it is
// extracted; for a detached leaf, whose objects nobody has counted, when it is drained.  So an
// owner at its limit may find room there: nr_detached says whether it is worth a drain.
//
// Threads: all calls may overlap.  stored_bytes is relaxed, since nothing else is ordered by it.
// nr_detached: less (release) ↔ has_detached (acquire): a thread that finds none left finds
// their bytes taken off.
#ifndef ZR_ACCOUNT_H
#define ZR_ACCOUNT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct zr_account {
    _Atomic uint64_t stored_bytes;
    uint64_t limit_bytes;         // UINT64_MAX: none
    _Atomic uint64_t nr_detached; // chunks not drained yet; counted where there is a limit
};

static inline bool zr_account_has_limit(const struct zr_account *account)
{
    return account->limit_bytes != UINT64_MAX;
}

// What may still be charged; more than the limit leaves nothing.
static inline uint64_t zr_account_room_bytes(const struct zr_account *account)
{
    uint64_t stored = atomic_load_explicit(&account->stored_bytes, memory_order_relaxed);

    return stored < account->limit_bytes ? account->limit_bytes - stored : 0;
}

// Charges bytes unless that would pass the limit.
static inline bool zr_account_try_charge(struct zr_account *account, uint64_t bytes)
{
    uint64_t stored = atomic_load_explicit(&account->stored_bytes, memory_order_relaxed);

    // Not an addition that may be taken back: meanwhile it would refuse others what fits.
    do {
        if (bytes > 0 && (stored > account->limit_bytes || bytes > account->limit_bytes - stored)) {
            return false;
        }
    } while (!atomic_compare_exchange_weak_explicit(&account->stored_bytes, &stored, stored + bytes,
                                                    memory_order_relaxed, memory_order_relaxed));
    return true;
}

static inline void zr_account_uncharge(struct zr_account *account, uint64_t bytes)
{
    atomic_fetch_sub_explicit(&account->stored_bytes, bytes, memory_order_relaxed);
}

static inline void zr_account_begin_detached(struct zr_account *account)
{
    if (zr_account_has_limit(account)) {
        atomic_fetch_add_explicit(&account->nr_detached, 1, memory_order_relaxed);
    }
}

static inline void zr_account_end_detached(struct zr_account *account)
{
    if (zr_account_has_limit(account)) {
        atomic_fetch_sub_explicit(&account->nr_detached, 1, memory_order_release);
    }
}

static inline bool zr_account_has_detached(const struct zr_account *account)
{
    return atomic_load_explicit(&account->nr_detached, memory_order_acquire) > 0;
}

#endif
