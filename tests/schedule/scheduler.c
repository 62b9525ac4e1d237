// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Coroutines (ucontext to begin, setjmp to go on, which needs no system call), steps, switches.
#include "thread.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <ucontext.h>

#define STACK_BYTES (256 * 1024)
#define MAX_STEPS 400000 // more: it never ends

void (*zs_on_failure)(const char *message);

struct zs_thread zs_threads[ZS_MAX_THREADS];
unsigned zs_nr_threads;
struct zs_thread *zs_current;
struct zs_schedule zs_schedule;
uint64_t zs_rng, zs_run_number;

static char stacks[ZS_MAX_THREADS][STACK_BYTES] __attribute__((aligned(64)));
static jmp_buf back;
static void (*run_thread)(unsigned);
static uint64_t nr_steps;
static bool must_pick; // somebody became ready
static struct zs_switch switches[ZS_MAX_SWITCHES];
static unsigned nr_switches, next_replay;

// ---- Reports

void zs_fail(const char *format, ...)
{
    char message[512];
    va_list args;
    int n = 0;

    va_start(args, format);
    n = vsnprintf(message, sizeof message, format, args);
    va_end(args);
    if (zs_current && n >= 0 && (size_t)n < sizeof message) {
        snprintf(message + n, sizeof message - (size_t)n, " [%s, %s, step %lu]", zs_current->name,
                 zs_current->where, (unsigned long)nr_steps);
    }
    zs_on_failure(message);
    __builtin_unreachable();
}

void zs_print_switches(void)
{
    static const char *const names[] = {"ready", "mutex", "condition", "grace period", "ended"};
    unsigned i;

    for (i = 0; i < nr_switches; i++) {
        const struct zs_switch *at = &switches[i];

        printf("  %-9s stops in its op %u, step %u, before %s; then %s\n",
               zs_threads[at->thread].name, at->op, at->step, at->where, zs_threads[at->next].name);
    }
    for (i = 0; i < zs_nr_threads; i++) {
        printf("  at the end: %-9s %s, %s%s\n", zs_threads[i].name, names[zs_threads[i].state],
               zs_threads[i].where, zs_threads[i].nesting ? ", in a read-side section" : "");
    }
}

uint64_t zs_nr_steps(void)
{
    return nr_steps;
}

const struct zs_switch *zs_switches(unsigned *nr)
{
    *nr = nr_switches;
    return switches;
}

bool zs_is_stack(const void *address)
{
    return zs_is_within(address, stacks, sizeof stacks);
}

// ---- Switches

// A coroutine lasts for many runs: to make one takes system calls.
static void enter(void)
{
    for (;;) {
        run_thread(zs_current_nr());
        if (zs_current->nesting) {
            zs_fail("thread ended inside a read-side section");
        }
        zs_current->state = ZS_ENDED;
        zs_step("end of thread", ZS_INNER);
    }
}

static void resume(struct zs_thread *thread)
{
    static ucontext_t contexts[ZS_MAX_THREADS];
    ucontext_t *context = &contexts[thread - zs_threads];

    zs_current = thread;
    if (thread->has_begun) {
        _longjmp(thread->at, 1);
    }
    thread->has_begun = true;
    getcontext(context);
    context->uc_stack.ss_sp = stacks[thread - zs_threads];
    context->uc_stack.ss_size = STACK_BYTES;
    makecontext(context, enter, 0);
    setcontext(context);
}

// Whether the next switch to be replayed is due.  Skips those that cannot come any more.
static bool is_at_switch(void)
{
    for (; next_replay < zs_schedule.nr_replay; next_replay++) {
        const struct zs_switch *at = &zs_schedule.replay[next_replay];
        const struct zs_thread *thread = &zs_threads[at->thread];

        if (at->thread < zs_nr_threads && at->next < zs_nr_threads && thread->state != ZS_ENDED &&
            (thread->op < at->op || (thread->op == at->op && thread->op_steps <= at->step))) {
            return thread == zs_current && thread->op == at->op && thread->op_steps == at->step;
        }
        if (thread == zs_current && at->op == thread->op && at->step == thread->op_steps) {
            return true; // its last
        }
    }
    return false;
}

static struct zs_thread *pick(void)
{
    struct zs_thread *next = NULL;

    if (zs_schedule.replay) {
        bool is_now = is_at_switch();

        next = is_now ? &zs_threads[zs_schedule.replay[next_replay++].next] : zs_current;
        next = next->state == ZS_READY ? next : zs_current;
    }
    return next && next->state == ZS_READY ? next : zs_strategy_pick();
}

// To none: the run is over.  Apart, so that no local variable lives across setjmp.
static __attribute__((noinline)) void switch_to(struct zs_thread *next)
{
    if (_setjmp(zs_current->at)) {
        return;
    }
    if (!next) {
        _longjmp(back, 1);
    }
    resume(next);
}

static void reschedule(void)
{
    struct zs_thread *next = pick();
    unsigned i;

    must_pick = false;
    if (!next) {
        for (i = 0; i < zs_nr_threads; i++) {
            if (zs_threads[i].state != ZS_ENDED) {
                zs_fail("deadlock");
            }
        }
    }
    if (next == zs_current) {
        return;
    }
    if (next && nr_switches < ZS_MAX_SWITCHES) {
        switches[nr_switches++] =
            (struct zs_switch){zs_current_nr(), zs_current->op, zs_current->op_steps,
                               (unsigned)(next - zs_threads), zs_current->where};
    }
    switch_to(next);
}

void zs_step(const char *where, enum zs_step_kind kind)
{
    if (!zs_current) {
        return;
    }
    zs_current->where = where;
    zs_current->op_steps++;
    if (++nr_steps > MAX_STEPS) {
        zs_fail("no end after %u steps", MAX_STEPS);
    }
    if (zs_current->state != ZS_READY) {
        reschedule();
    } else if (zs_schedule.replay) {
        if (is_at_switch()) {
            reschedule();
        }
    } else if (zs_strategy_stops(where, kind) || must_pick) {
        reschedule();
    }
}

void zs_step_fine(const char *where)
{
    if (zs_schedule.is_fine) {
        zs_step(where, ZS_INNER);
    }
}

void zs_block(enum zs_state state, const void *waits_for, const char *where)
{
    zs_current->state = state;
    zs_current->waits_for = waits_for;
    zs_step(where, ZS_INNER);
}

void zs_make_ready(struct zs_thread *thread)
{
    thread->state = ZS_READY;
    must_pick = zs_schedule.strategy != ZS_WALK;
}

void zs_wake(enum zs_state state, const void *waits_for)
{
    unsigned i;

    for (i = 0; i < zs_nr_threads; i++) {
        if (zs_threads[i].state == state && zs_threads[i].waits_for == waits_for) {
            zs_make_ready(&zs_threads[i]);
        }
    }
}

void zs_run(const struct zs_schedule *how, unsigned nr, void (*run)(unsigned),
            const char *const *names)
{
    unsigned i;

    zs_schedule = *how;
    zs_rng = how->seed;
    zs_nr_threads = nr;
    run_thread = run;
    nr_steps = nr_switches = next_replay = 0;
    must_pick = true;
    zs_run_number++;
    for (i = 0; i < nr; i++) {
        struct zs_thread *thread = &zs_threads[i];

        memset(thread, 0, offsetof(struct zs_thread, has_begun));
        thread->name = names[i];
        thread->where = "its begin";
    }
    zs_strategy_begin();
    zs_synchronization_begin();
    zs_memory_order_begin();
    zs_plain_accesses_begin();
    if (!_setjmp(back)) {
        resume(&zs_threads[0]); // its first step hands over to whoever is first
    }
    zs_plain_accesses_end();
    zs_current = NULL;
}

void zs_begin_op(unsigned op)
{
    if (zs_current) {
        zs_current->op = op;
        zs_current->op_steps = 0;
    }
}
