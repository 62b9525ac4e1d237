// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// What the files of the scheduler share: its threads, and the run under way.
#ifndef ZS_THREAD_H
#define ZS_THREAD_H

#include "scheduler.h"

#include "allocator/pool.h"

#include <setjmp.h>
#include <stddef.h>

#define ZS_MEMORY_BYTES (32u << 20) // of all arenas

enum zs_state { ZS_READY, ZS_ON_MUTEX, ZS_ON_COND, ZS_ON_GRACE_PERIOD, ZS_ENDED };

struct zs_clocks { // of each thread, as far as one knows them
    uint32_t of[ZS_MAX_THREADS];
};

struct zs_thread {
    const char *name;
    const char *where;
    enum zs_state state;
    const void *waits_for;
    int priority;
    unsigned op, op_steps;
    unsigned nesting; // of read-side sections
    uint64_t nr_sections;
    bool awaits[ZS_MAX_THREADS]; // whose section, and which, a grace period waits for
    uint64_t section[ZS_MAX_THREADS];
    uint64_t clock_ns; // ahead of the common clock
    struct zs_clocks clocks;
    bool has_begun; // from here on for more than one run
    jmp_buf at;
};

extern struct zs_thread zs_threads[ZS_MAX_THREADS];
extern unsigned zs_nr_threads;
extern struct zs_thread *zs_current;   // NULL: nothing is scheduled
extern struct zs_schedule zs_schedule; // of this run
extern uint64_t zs_rng;                // all that is random but switches: a replay draws the same
extern uint64_t zs_run_number;
extern struct zr_pool *zs_pool;

static inline unsigned zs_current_nr(void)
{
    return (unsigned)(zs_current - zs_threads);
}

static inline bool zs_is_within(const void *address, const void *base, size_t bytes)
{
    return (const char *)address >= (const char *)base &&
           (const char *)address < (const char *)base + bytes;
}

// ---- scheduler.c

bool zs_is_stack(const void *address); // of a coroutine

// The running thread waits, until zs_wake of the same.
void zs_block(enum zs_state state, const void *waits_for, const char *where);
void zs_wake(enum zs_state state, const void *waits_for);
void zs_make_ready(struct zs_thread *thread);

// ---- strategy.c

void zs_strategy_begin(void); // draws priorities and change points
bool zs_strategy_stops(const char *where, enum zs_step_kind kind);
struct zs_thread *zs_strategy_pick(void); // whoever goes on; NULL: nobody can

// ---- synchronization.c

void zs_synchronization_begin(void);
bool zs_holds(const pthread_mutex_t *mutex); // the running thread does
// The lock of a class in which nothing is, or a field of the class: to look at it is no step.
bool zs_is_idle_class(const void *address);

// ---- memory-order.c

void zs_memory_order_begin(void);
void zs_learn(struct zs_clocks *clocks, const struct zs_clocks *more);
void zs_publish(struct zs_clocks *clocks); // what the running thread knows goes in there
void zs_forget_hot(void);
// Of the running thread, in weak schedules.
void zs_note_made(uint64_t handle);
void zs_note_freed(uint64_t handle);
void zs_note_chunk_freed(uint64_t handle); // its words are others then

// ---- machine.c

void zs_check_backed(zr_handle handle);
bool zs_was_used(const struct zr_span *span); // ever, in this store

// ---- log-objects.c

void zs_forget_log_objects(void);
void zs_log_viewed(uint64_t handle);           // maybe of an object of a log
bool zs_log_is_used(size_t start, size_t end); // whether an object in there has owners
void zs_log_frees_owner(zr_handle handle);     // checks, and takes it off

// ---- plain-accesses.c

void zs_plain_accesses_begin(void);
void zs_plain_accesses_end(void);

#endif
