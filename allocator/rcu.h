// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// The RCU read side and grace period, liburcu's "bulletproof" flavour: threads that we did not make
// (nbdkit's) need no registration.
//
// What is ordered: an object that was extracted before zr_rcu_synchronize is called is not looked
// at any more, by any reader, when it returns.  ThreadSanitizer does not know liburcu (0.13), so
// that edge, every unlock to every later return of synchronize, is annotated here.
#ifndef ZR_RCU_H
#define ZR_RCU_H

#include <urcu/urcu-bp.h>

#if defined(__SANITIZE_THREAD__)
void __tsan_acquire(void *address);
void __tsan_release(void *address);
extern char zr_rcu_tsan_edge;
#define ZR_RCU_TSAN_ACQUIRE() __tsan_acquire(&zr_rcu_tsan_edge)
#define ZR_RCU_TSAN_RELEASE() __tsan_release(&zr_rcu_tsan_edge)
#else
#define ZR_RCU_TSAN_ACQUIRE() ((void)0)
#define ZR_RCU_TSAN_RELEASE() ((void)0)
#endif

// Sections nest, never block and are short: what they protect cannot be freed meanwhile.
static inline void zr_rcu_read_lock(void)
{
    urcu_bp_read_lock();
}

static inline void zr_rcu_read_unlock(void)
{
    ZR_RCU_TSAN_RELEASE();
    urcu_bp_read_unlock();
}

// Waits until every section that is open now has ended.  Never inside a section.
static inline void zr_rcu_synchronize(void)
{
    urcu_bp_synchronize_rcu();
    ZR_RCU_TSAN_ACQUIRE();
}

#endif
