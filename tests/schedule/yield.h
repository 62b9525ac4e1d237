// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Forced into every file of the engine (-include): each atomic access, lock and RCU call becomes a
// step, at which the scheduler may let another thread run.  The files themselves are not changed.
#ifndef ZS_YIELD_H
#define ZS_YIELD_H

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>
#include <urcu/urcu-bp.h>

#include "scheduler.h"
#include "small.h"

#define ZS_STRING2(x) #x
#define ZS_STRING(x) ZS_STRING2(x)
#define ZS_HERE __FILE__ ":" ZS_STRING(__LINE__)

// ---- Atomics: the operand is evaluated, then the step, then the access

#ifdef __clang__
#define ZS_DO_LOAD __c11_atomic_load
#define ZS_DO_STORE __c11_atomic_store
#define ZS_DO_EXCHANGE __c11_atomic_exchange
#define ZS_DO_ADD __c11_atomic_fetch_add
#define ZS_DO_SUB __c11_atomic_fetch_sub
#define ZS_DO_OR __c11_atomic_fetch_or
#define ZS_DO_EXCHANGE_IF __c11_atomic_compare_exchange_strong
#else
#define ZS_DO_LOAD __atomic_load_n
#define ZS_DO_STORE __atomic_store_n
#define ZS_DO_EXCHANGE __atomic_exchange_n
#define ZS_DO_ADD __atomic_fetch_add
#define ZS_DO_SUB __atomic_fetch_sub
#define ZS_DO_OR __atomic_fetch_or
#define ZS_DO_EXCHANGE_IF(p, e, v, success, failure)                                               \
    __atomic_compare_exchange_n(p, e, v, 0, success, failure)
#endif

#undef atomic_load_explicit
#define atomic_load_explicit(pointer, order)                                                       \
    __extension__({                                                                                \
        __auto_type zs_p = (pointer);                                                              \
        bool zs_is_tracked = zs_access(ZS_LOAD, (const void *)zs_p, ZS_HERE);                      \
        uint64_t zs_v = ZS_DO_LOAD(zs_p, order);                                                   \
        (__typeof__((void)0, *zs_p))(zs_is_tracked ? zs_loaded((const void *)zs_p, zs_v, order)    \
                                                   : zs_v);                                        \
    })
#undef atomic_store_explicit
#define atomic_store_explicit(pointer, value, order)                                               \
    __extension__({                                                                                \
        __auto_type zs_p = (pointer);                                                              \
        __typeof__((void)0, *zs_p) zs_v = (value);                                                 \
        bool zs_is_tracked = zs_access(ZS_STORE, (const void *)zs_p, ZS_HERE);                     \
        uint64_t zs_old = ZS_DO_LOAD(zs_p, __ATOMIC_RELAXED);                                      \
        ZS_DO_STORE(zs_p, zs_v, order);                                                            \
        if (zs_is_tracked) {                                                                       \
            zs_stored((const void *)zs_p, zs_old, zs_v, order, false);                             \
        }                                                                                          \
    })
#define ZS_MODIFY(builtin, pointer, value, order)                                                  \
    __extension__({                                                                                \
        __auto_type zs_p = (pointer);                                                              \
        uint64_t zs_v = (value);                                                                   \
        bool zs_is_tracked = zs_access(ZS_STORE, (const void *)zs_p, ZS_HERE);                     \
        __auto_type zs_old = builtin(zs_p, zs_v, order);                                           \
        if (zs_is_tracked) {                                                                       \
            zs_stored((const void *)zs_p, zs_old, ZS_DO_LOAD(zs_p, __ATOMIC_RELAXED), order,       \
                      true);                                                                       \
        }                                                                                          \
        zs_old;                                                                                    \
    })
#undef atomic_exchange_explicit
#define atomic_exchange_explicit(p, v, order) ZS_MODIFY(ZS_DO_EXCHANGE, p, v, order)
#undef atomic_fetch_add_explicit
#define atomic_fetch_add_explicit(p, v, order) ZS_MODIFY(ZS_DO_ADD, p, v, order)
#undef atomic_fetch_sub_explicit
#define atomic_fetch_sub_explicit(p, v, order) ZS_MODIFY(ZS_DO_SUB, p, v, order)
#undef atomic_fetch_or_explicit
#define atomic_fetch_or_explicit(p, v, order) ZS_MODIFY(ZS_DO_OR, p, v, order)
// fails: as a weak one may, without a reason.
#define ZS_EXCHANGE_IF(pointer, expected, desired, success, failure, fails)                        \
    __extension__({                                                                                \
        __auto_type zs_p = (pointer);                                                              \
        __auto_type zs_e = (expected);                                                             \
        uint64_t zs_v = (desired);                                                                 \
        bool zs_is_tracked = zs_access(ZS_STORE, (const void *)zs_p, ZS_HERE);                     \
        uint64_t zs_old = ZS_DO_LOAD(zs_p, failure);                                               \
        zs_expects((const void *)zs_p, *zs_e);                                                     \
        bool zs_done = false;                                                                      \
        if (fails) {                                                                               \
            *zs_e = zs_old;                                                                        \
        } else {                                                                                   \
            zs_done = ZS_DO_EXCHANGE_IF(zs_p, zs_e, zs_v, success, failure);                       \
        }                                                                                          \
        if (zs_is_tracked && zs_done) {                                                            \
            zs_stored((const void *)zs_p, zs_old, zs_v, success, true);                            \
        } else if (zs_is_tracked) {                                                                \
            zs_saw_newest((const void *)zs_p, zs_old, failure);                                    \
        }                                                                                          \
        zs_done;                                                                                   \
    })
#undef atomic_compare_exchange_strong_explicit
#define atomic_compare_exchange_strong_explicit(p, e, v, success, failure)                         \
    ZS_EXCHANGE_IF(p, e, v, success, failure, false)
#undef atomic_compare_exchange_weak_explicit
#define atomic_compare_exchange_weak_explicit(p, e, v, success, failure)                           \
    ZS_EXCHANGE_IF(p, e, v, success, failure, zs_fails_weakly())

// ---- Locks, RCU, the machine

#define pthread_mutex_init(mutex, attr) zs_mutex_init(mutex)
#define pthread_mutex_destroy(mutex) ((void)(mutex))
#define pthread_mutex_lock(mutex) zs_mutex_lock(mutex, ZS_HERE)
#define pthread_mutex_trylock(mutex) zs_mutex_trylock(mutex, ZS_HERE)
#define pthread_mutex_unlock(mutex) zs_mutex_unlock(mutex, ZS_HERE)
#define pthread_cond_init(cond, attr) ((void)(cond))
#define pthread_cond_destroy(cond) ((void)(cond))
#define pthread_cond_wait(cond, mutex) zs_cond_wait(cond, mutex, ZS_HERE)
#define pthread_cond_broadcast(cond) zs_cond_broadcast(cond, ZS_HERE)

#undef urcu_bp_read_lock
#undef urcu_bp_read_unlock
#undef urcu_bp_synchronize_rcu
#define urcu_bp_read_lock() zs_rcu_read_lock(ZS_HERE)
#define urcu_bp_read_unlock() zs_rcu_read_unlock(ZS_HERE)
#define urcu_bp_synchronize_rcu() zs_rcu_synchronize(ZS_HERE)

#define fprintf(stream, ...) zs_message(__VA_ARGS__)
#define sched_yield() zs_step(ZS_HERE, ZS_BORDER)
#define sched_getcpu() zs_cpu()
#define sysconf(name) ((void)(name), (long)zs_nr_cpus)

// ---- Where memory is read that another thread may have freed: plain accesses

#include "allocator/pool.h"

#define ZS_VIEW(view, pool, handle)                                                                \
    __extension__({                                                                                \
        zr_handle zs_handle = (handle);                                                            \
        zs_viewed(zs_handle.bits);                                                                 \
        (view)(pool, zs_handle);                                                                   \
    })
#define zr_pool_view(pool, handle) (zs_step_fine(ZS_HERE), ZS_VIEW(zr_pool_view, pool, handle))
#define zr_pool_view_chunk(pool, handle) ZS_VIEW(zr_pool_view_chunk, pool, handle)

#endif
