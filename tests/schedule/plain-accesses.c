// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Plain accesses of the engine: lists, links, counters, bitmaps.  The compiler reports them, since
// the engine is built with -fsanitize=thread, to these functions in place of ThreadSanitizer's own.
// In some schedules two accesses of one address by two threads, one of them a write, must be
// ordered.  That needs no run in which they do harm, only one in which both come.
// Source of the idea: FastTrack (Flanagan and Freund, PLDI 2009).
//
// Not seen: memset and memcpy, which gcc does not report.
#include "thread.h"

#include <string.h>

#define NR_CELLS 8192

static struct cell {
    const void *address;
    uint64_t run;
    unsigned writer; // ZS_MAX_THREADS: none
    uint32_t time;   // of the last write
    struct zs_clocks reads;
    const char *where; // the last step before the last access
} cells[NR_CELLS];     // by address; two that meet forget each other

static struct cell *cell_of(const void *address)
{
    uint64_t hash = (uintptr_t)address * UINT64_C(0x9e3779b97f4a7c15) >> 51;
    struct cell *cell = &cells[hash % NR_CELLS];

    if (cell->address != address || cell->run != zs_run_number) {
        *cell = (struct cell){.address = address, .run = zs_run_number, .writer = ZS_MAX_THREADS};
    }
    return cell;
}

// Objects are looked after elsewhere; a thread's stack is its own.
static bool is_shared(const void *address)
{
    return !zs_is_stack(address) &&
           !zs_is_within(address, zs_pool->arena.base, zs_pool->arena.reserved_bytes);
}

static void check_order(const struct cell *cell, unsigned other, uint32_t time, const char *what)
{
    if (time > zs_current->clocks.of[other]) {
        zs_fail("plain accesses without order: a %s by %s, after %s", what, zs_threads[other].name,
                cell->where);
    }
}

static bool is_on; // this run

void zs_plain_accesses_begin(void)
{
    is_on = zs_schedule.checks_plain;
}

void zs_plain_accesses_end(void)
{
    is_on = false;
}

static __attribute__((noinline)) void note(const void *address, bool is_write)
{
    struct cell *cell;
    unsigned me, i;

    if (!is_shared(address)) {
        return;
    }
    cell = cell_of(address);
    me = zs_current_nr();
    if (cell->writer < ZS_MAX_THREADS) {
        check_order(cell, cell->writer, cell->time, "write");
    }
    zs_current->clocks.of[me]++;
    if (is_write) {
        for (i = 0; i < zs_nr_threads; i++) {
            check_order(cell, i, cell->reads.of[i], "read");
        }
        cell->writer = me;
        cell->time = zs_current->clocks.of[me];
    } else {
        cell->reads.of[me] = zs_current->clocks.of[me];
    }
    cell->where = zs_current->where;
}

// ---- What the compiler calls

static inline void access(const void *address, bool is_write)
{
    if (__builtin_expect(is_on, false)) {
        note(address, is_write);
    }
}

#define PLAIN(name, is_write)                                                                      \
    void name(const void *address);                                                                \
    void name(const void *address)                                                                 \
    {                                                                                              \
        access(address, is_write);                                                                 \
    }
PLAIN(__tsan_read1, false)
PLAIN(__tsan_read2, false)
PLAIN(__tsan_read4, false)
PLAIN(__tsan_read8, false)
PLAIN(__tsan_read16, false)
PLAIN(__tsan_write1, true)
PLAIN(__tsan_write2, true)
PLAIN(__tsan_write4, true)
PLAIN(__tsan_write8, true)
PLAIN(__tsan_write16, true)
PLAIN(__tsan_unaligned_read2, false)
PLAIN(__tsan_unaligned_read4, false)
PLAIN(__tsan_unaligned_read8, false)
PLAIN(__tsan_unaligned_read16, false)
PLAIN(__tsan_unaligned_write2, true)
PLAIN(__tsan_unaligned_write4, true)
PLAIN(__tsan_unaligned_write8, true)
PLAIN(__tsan_unaligned_write16, true)

#define RANGE(name, is_write)                                                                      \
    void name(const void *address, unsigned long bytes);                                           \
    void name(const void *address, unsigned long bytes)                                            \
    {                                                                                              \
        unsigned long i;                                                                           \
                                                                                                   \
        for (i = 0; is_on && i < bytes; i += 8) {                                                  \
            access((const char *)address + i, is_write);                                           \
        }                                                                                          \
    }
RANGE(__tsan_read_range, false)
RANGE(__tsan_write_range, true)

// clang 19 calls these in place of the C library's.
void *__tsan_memcpy(void *to, const void *from, unsigned long bytes);
void *__tsan_memcpy(void *to, const void *from, unsigned long bytes)
{
    __tsan_read_range(from, bytes);
    __tsan_write_range(to, bytes);
    return memcpy(to, from, bytes);
}

void *__tsan_memmove(void *to, const void *from, unsigned long bytes);
void *__tsan_memmove(void *to, const void *from, unsigned long bytes)
{
    __tsan_read_range(from, bytes);
    __tsan_write_range(to, bytes);
    return memmove(to, from, bytes);
}

void *__tsan_memset(void *to, int value, unsigned long bytes);
void *__tsan_memset(void *to, int value, unsigned long bytes)
{
    __tsan_write_range(to, bytes);
    return memset(to, value, bytes);
}

#define NOTHING(name)                                                                              \
    void name(void);                                                                               \
    void name(void)                                                                                \
    {                                                                                              \
    }
NOTHING(__tsan_init)
NOTHING(__tsan_func_entry)
NOTHING(__tsan_func_exit)

// Atomics: yield.h has dealt with them.
#define ATOMIC(bits, type)                                                                         \
    type __tsan_atomic##bits##_load(const volatile type *p, int order);                            \
    type __tsan_atomic##bits##_load(const volatile type *p, int order)                             \
    {                                                                                              \
        (void)order;                                                                               \
        return __atomic_load_n(p, __ATOMIC_SEQ_CST);                                               \
    }                                                                                              \
    void __tsan_atomic##bits##_store(volatile type *p, type value, int order);                     \
    void __tsan_atomic##bits##_store(volatile type *p, type value, int order)                      \
    {                                                                                              \
        (void)order;                                                                               \
        __atomic_store_n(p, value, __ATOMIC_SEQ_CST);                                              \
    }                                                                                              \
    type __tsan_atomic##bits##_exchange(volatile type *p, type value, int order);                  \
    type __tsan_atomic##bits##_exchange(volatile type *p, type value, int order)                   \
    {                                                                                              \
        (void)order;                                                                               \
        return __atomic_exchange_n(p, value, __ATOMIC_SEQ_CST);                                    \
    }                                                                                              \
    type __tsan_atomic##bits##_fetch_add(volatile type *p, type value, int order);                 \
    type __tsan_atomic##bits##_fetch_add(volatile type *p, type value, int order)                  \
    {                                                                                              \
        (void)order;                                                                               \
        return __atomic_fetch_add(p, value, __ATOMIC_SEQ_CST);                                     \
    }                                                                                              \
    type __tsan_atomic##bits##_fetch_sub(volatile type *p, type value, int order);                 \
    type __tsan_atomic##bits##_fetch_sub(volatile type *p, type value, int order)                  \
    {                                                                                              \
        (void)order;                                                                               \
        return __atomic_fetch_sub(p, value, __ATOMIC_SEQ_CST);                                     \
    }                                                                                              \
    type __tsan_atomic##bits##_fetch_or(volatile type *p, type value, int order);                  \
    type __tsan_atomic##bits##_fetch_or(volatile type *p, type value, int order)                   \
    {                                                                                              \
        (void)order;                                                                               \
        return __atomic_fetch_or(p, value, __ATOMIC_SEQ_CST);                                      \
    }                                                                                              \
    int __tsan_atomic##bits##_compare_exchange_strong(volatile type *p, type *expected,            \
                                                      type value, int order, int failure);         \
    int __tsan_atomic##bits##_compare_exchange_strong(volatile type *p, type *expected,            \
                                                      type value, int order, int failure)          \
    {                                                                                              \
        (void)order, (void)failure;                                                                \
        return __atomic_compare_exchange_n(p, expected, value, 0, __ATOMIC_SEQ_CST,                \
                                           __ATOMIC_SEQ_CST);                                      \
    }                                                                                              \
    type __tsan_atomic##bits##_compare_exchange_val(volatile type *p, type expected, type value,   \
                                                    int order, int failure);                       \
    type __tsan_atomic##bits##_compare_exchange_val(volatile type *p, type expected, type value,   \
                                                    int order, int failure)                        \
    {                                                                                              \
        __tsan_atomic##bits##_compare_exchange_strong(p, &expected, value, order, failure);        \
        return expected;                                                                           \
    }
ATOMIC(8, uint8_t)
ATOMIC(16, uint16_t)
ATOMIC(32, uint32_t)
ATOMIC(64, uint64_t)
