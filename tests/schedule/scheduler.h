// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Controlled schedules of the real engine.  Threads are coroutines of one OS thread.  allocator/
// and store/ are compiled with yield.h, so that every atomic access, lock and RCU call is a step,
// and at every step a seed decides which thread goes on.  Locks, RCU, the clock and the arena are
// the scheduler's own: it knows who waits for whom, and the same seed gives the same run.
//
//   scheduler.c        coroutines, steps, the list of switches and its replay
//   strategy.c         at which steps the running thread stops
//   synchronization.c  mutexes, conditions, RCU
//   memory-order.c     what a load may see, and who may touch what
//   plain-accesses.c   all other accesses of the engine: they must be ordered
//   machine.c          CPUs, clock, workers, arena; freed memory is poisoned
//   log-objects.c     who owns the objects of the log, and who reads them
//   small-store.c      a store, and what must hold of it
//   history.c          is there an order of the requests that explains every read?
//   workload.c         requests and background work from a seed
//   search.c           runs seeds in a child, shrinks what fails
//
// Sources of the idea: CHESS (Musuvathi et al., OSDI 2008: few preemptions find most faults), PCT
// (Burckhardt et al., ASPLOS 2010: random priorities with few change points, a bound on the chance
// to find a fault of a given depth), Shuttle (AWS: the same for real code, seeds instead of
// proofs).
#ifndef ZS_SCHEDULER_H
#define ZS_SCHEDULER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define ZS_MAX_THREADS 8
#define ZS_MAX_CHANGES 5
#define ZS_MAX_SWITCHES 4096

enum zs_access { ZS_LOAD, ZS_STORE };
enum zs_step_kind {
    ZS_INNER,
    ZS_BORDER // before a lock, after an unlock, around RCU calls: where what was learned grows old
};

// ---- For the engine, by yield.h: "where" is file:line

void zs_step(const char *where, enum zs_step_kind kind);
void zs_step_fine(const char *where); // a step in fine schedules only

// Before an access; it may be a step.  True: what it reads or writes is to be told to these:
bool zs_access(enum zs_access access, const void *address, const char *where);
uint64_t zs_loaded(const void *address, uint64_t newest, int order); // returns what is seen
void zs_stored(const void *address, uint64_t old, uint64_t value, int order, bool is_rmw);
void zs_saw_newest(const void *address, uint64_t newest, int order);
void zs_expects(const void *address, uint64_t expected); // a compare-exchange does
bool zs_fails_weakly(void);
void zs_viewed(uint64_t handle); // an object is about to be read

int zs_mutex_init(pthread_mutex_t *mutex);
int zs_mutex_lock(pthread_mutex_t *mutex, const char *where);
int zs_mutex_trylock(pthread_mutex_t *mutex, const char *where);
int zs_mutex_unlock(pthread_mutex_t *mutex, const char *where);
int zs_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex, const char *where);
int zs_cond_broadcast(pthread_cond_t *cond, const char *where);
void zs_rcu_read_lock(const char *where);
void zs_rcu_read_unlock(const char *where);
void zs_rcu_synchronize(const char *where);
int zs_cpu(void);
void zs_message(const char *format, ...) __attribute__((format(printf, 1, 2)));
extern unsigned zs_nr_cpus;

// ---- For the harness

struct zr_pool;

// One thread stops there, another goes on.
struct zs_switch {
    unsigned thread, op, step, next;
    const char *where;
};

enum zs_strategy {
    ZS_WALK,       // random walk: each step may switch to any thread
    ZS_PCT,        // a change point is a step
    ZS_PCT_BORDER, // a change point is a border: collected under a lock, let go, acted later
    ZS_PCT_PLACE,  // a change point is the nth step at some places in the code
    ZS_NEW_PAIRS,  // stops where this pair of places has not been seen in a schedule of this seed
    ZS_EXACT,      // these priorities and change points, at steps
    ZS_EXACT_BORDER,
};

struct zs_schedule {
    uint64_t seed; // of all that is random in it
    enum zs_strategy strategy;
    unsigned nr_changes;
    unsigned length;         // steps, or borders, among which PCT chooses its change points
    unsigned permille;       // how often a step of a walk, or at a new pair, switches
    bool is_fine;            // steps also at hints and plain accesses
    bool is_weak;            // loads may see older values, as far as C11 lets them
    bool checks_plain;       // plain accesses must be ordered; in weak schedules
    unsigned fault_permille; // how often a system call fails
    unsigned order;          // exact: which permutation of priorities
    uint64_t change[ZS_MAX_CHANGES];
    const struct zs_switch *replay; // or just these switches, as far as they fit
    unsigned nr_replay;
};

// The schedule of a seed and its nth run.
struct zs_schedule zs_schedule_of(uint64_t seed, unsigned nth);

// No pair of places has been seen yet.
void zs_forget_pairs(void);

// Before a store is made: forgets all memory of the last one.
void zs_reset(struct zr_pool *pool);

// Runs nr threads, run(i) each, until all have ended.
void zs_run(const struct zs_schedule *schedule, unsigned nr, void (*run)(unsigned),
            const char *const *names);

// Words of chunks that are steps, by their index in the chunk; no test thread uses the others.
void zs_set_hot(unsigned index);

// The running thread begins its nth piece of work: steps are counted from there, for replay.
void zs_begin_op(unsigned op);

// What clients know of each other: a request that begins comes after those that have ended.
void zs_client_begins(void);
void zs_client_ends(void);

// Moves the clock of the running thread.
void zs_sleep(uint64_t ns);

// Of the last run.  counted: steps, or borders if the change points are borders.
uint64_t zs_nr_steps(void);
uint64_t zs_nr_counted(void);
const struct zs_switch *zs_switches(unsigned *nr);
bool zs_has_injected_faults(void);
extern char zs_last_message[256]; // of the engine
bool zs_is_backed(uint64_t page); // whether a page of the pool's arena has memory

// Reports what is wrong by zs_on_failure, which does not return.
_Noreturn void zs_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
extern void (*zs_on_failure)(const char *message);
void zs_print_switches(void);

static inline uint64_t zs_random(uint64_t *state) // splitmix64
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static inline unsigned zs_below(uint64_t *state, unsigned end)
{
    return (unsigned)(zs_random(state) % end);
}

#endif
