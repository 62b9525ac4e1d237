// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "search.h"
#include "run.h"
#include "small-store.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define RUNS_PER_SEED 16
#define MAX_RUN_S 20 // longer: it hangs
// Steps or borders of a workload that is run in all schedules with two, or three change points.
#define MAX_COUNTED_BY_2 120
#define MAX_COUNTED_BY_3 30

// What failed, and can be replayed.
struct found {
    struct zs_workload work;
    struct zs_schedule schedule;
    unsigned nr_switches;
    struct zs_switch switches[ZS_MAX_SWITCHES];
};

// With the child.
static struct shared {
    uint64_t seed; // under way
    struct zs_totals totals;
    char message[512];
    struct found found;
} *shared;

static struct zs_workload work;
static struct zs_schedule schedule;

// Of CPU: on a busy machine as much is tried.
static double used_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static double seconds_of(struct timeval time)
{
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

struct zs_totals zs_search_totals(void)
{
    struct rusage usage;

    getrusage(RUSAGE_CHILDREN, &usage);
    shared->totals.cpu_s = seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime);
    return shared->totals;
}

const char *zs_search_message(void)
{
    return shared->message;
}

// ---- In the child

static _Noreturn void on_failure(const char *message)
{
    struct found *found = &shared->found;

    snprintf(shared->message, sizeof shared->message, "%s", message);
    found->work = work;
    found->schedule = schedule;
    memcpy(found->switches, zs_switches(&found->nr_switches), sizeof found->switches);
    if (zs_is_verbose) {
        printf("%s\n", message);
        zs_workload_print(&work);
        zs_print_switches();
        fflush(stdout);
    }
    _exit(1);
}

static void on_signal(int number)
{
    zs_fail("signal %d: %s", number, zs_last_message);
}

static void catch_signals(void)
{
    static char stack[65536];
    static const int numbers[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGALRM};
    unsigned i;

    sigaltstack(&(stack_t){.ss_sp = stack, .ss_size = sizeof stack}, NULL);
    for (i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        sigaction(numbers[i], &(struct sigaction){.sa_handler = on_signal, .sa_flags = SA_ONSTACK},
                  NULL);
    }
}

static void run_once(void)
{
    unsigned i;

    alarm(MAX_RUN_S);
    zs_run_workload(&work, &schedule);
    shared->totals.nr_runs++;
    shared->totals.nr_steps += zs_nr_steps();
    shared->totals.nr_gave_up += zs_nr_gave_up;
    shared->totals.nr_demoted += zs_store.demoter.nr_demoted_pages;
    shared->totals.nr_cleaned += zs_store.demoter.nr_cleaned_spans;
    for (i = 0; i < ZS_NR_DEVICES; i++) {
        shared->totals.nr_promoted += zs_store.devices[i].nr_promoted_pages;
    }
    zs_nr_gave_up = 0;
}

static void run_some(uint64_t seed)
{
    unsigned nth;

    zs_workload_make(&work, seed, false);
    zs_forget_pairs();
    for (nth = 0; nth < RUNS_PER_SEED; nth++) {
        schedule = zs_schedule_of(seed, nth);
        run_once();
    }
}

// The next change points, in ascending order, none beyond what the last run counted.
static bool next_changes(void)
{
    unsigned last = schedule.nr_changes - 1, i = last;

    while (schedule.change[i] >= zs_nr_counted()) {
        if (i-- == 0) {
            return false;
        }
    }
    schedule.change[i]++;
    for (; i < last; i++) {
        schedule.change[i + 1] = schedule.change[i];
    }
    return true;
}

static void run_all(uint64_t seed, double max_s)
{
    static const unsigned nr_orders[] = {1, 1, 2, 6};
    unsigned i;

    zs_workload_make(&work, seed, true);
    schedule = (struct zs_schedule){.seed = seed,
                                    .strategy = seed % 3 ? ZS_EXACT_BORDER : ZS_EXACT,
                                    .is_fine = seed / 3 % 2,
                                    .is_weak = seed / 6 % 2};
    run_once();
    if (zs_nr_counted() > MAX_COUNTED_BY_2) {
        return;
    }
    schedule.nr_changes = zs_nr_counted() > MAX_COUNTED_BY_3 ? 2 : 3;
    for (; schedule.order < nr_orders[work.nr_threads]; schedule.order++) {
        for (i = 0; i < schedule.nr_changes; i++) {
            schedule.change[i] = 1;
        }
        do {
            run_once();
            if (used_s() > max_s) {
                return;
            }
        } while (next_changes());
    }
    shared->totals.nr_complete++;
}

// ---- The parent

// Runs body in a child; true if it failed.
static bool dies(void (*body)(void *), void *opaque)
{
    int status;
    pid_t pid;

    fflush(stdout);
    if (!shared) {
        shared =
            mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    }
    shared->message[0] = 0;
    pid = fork();
    if (pid == 0) {
        catch_signals();
        zs_on_failure = on_failure;
        body(opaque);
        exit(0);
    }
    waitpid(pid, &status, 0);
    if (status != 0 && shared->message[0] == 0) {
        snprintf(shared->message, sizeof shared->message, "died, status %x", (unsigned)status);
    }
    return status != 0;
}

struct range {
    uint64_t first, end;
    enum zs_depth depth;
    double max_s;
};

static void run_range(void *opaque)
{
    const struct range *range = opaque;

    for (shared->seed = range->first; shared->seed < range->end && used_s() < range->max_s;
         shared->seed++) {
        if (range->depth == ZS_ALL) {
            run_all(shared->seed, range->max_s);
        } else {
            run_some(shared->seed);
        }
    }
}

bool zs_search(uint64_t first, uint64_t end, enum zs_depth depth, double max_s, uint64_t *failed)
{
    bool has_failed = dies(run_range, &(struct range){first, end, depth, max_s});

    *failed = shared->seed;
    return has_failed;
}

static void run_found(void *opaque)
{
    static struct found found; // on_failure writes to the shared one

    found = *(const struct found *)opaque;
    work = found.work;
    schedule = found.schedule;
    schedule.replay = found.switches;
    schedule.nr_replay = found.nr_switches;
    run_once();
}

// ---- Shrinking

static void remove_op(struct found *found, unsigned t, unsigned op)
{
    struct zs_list *list =
        t < found->work.nr_threads ? &found->work.threads[t] : &found->work.before;
    unsigned i, nr = 0;

    memmove(&list->ops[op], &list->ops[op + 1], (--list->nr_ops - op) * sizeof *list->ops);
    for (i = 0; i < found->nr_switches; i++) {
        struct zs_switch at = found->switches[i];

        if (at.thread != t || at.op != op) {
            at.op -= at.thread == t && at.op > op;
            found->switches[nr++] = at;
        }
    }
    found->nr_switches = nr;
}

static void remove_thread(struct found *found, unsigned t)
{
    unsigned i, j, nr = 0;

    memmove(&found->work.threads[t], &found->work.threads[t + 1],
            (--found->work.nr_threads - t) * sizeof *found->work.threads);
    for (i = 0; i < found->nr_switches; i++) {
        struct zs_switch at = found->switches[i];

        for (j = i + 1; at.next == t && j < found->nr_switches; j++) { // whoever ran after it
            at.next = found->switches[j].thread == t ? found->switches[j].next : t;
        }
        if (at.thread != t && at.next != t && at.thread != at.next) {
            at.thread -= at.thread > t;
            at.next -= at.next > t;
            found->switches[nr++] = at;
        }
    }
    found->nr_switches = nr;
}

static void remove_switch(struct found *found, unsigned i)
{
    memmove(&found->switches[i], &found->switches[i + 1],
            (--found->nr_switches - i) * sizeof *found->switches);
}

// The same kind of failure: the words before the first detail.
static bool is_same(const char *a, const char *b)
{
    return strncmp(a, b, strcspn(a, ":[")) == 0;
}

// If less fails in the same way, *found becomes what ran then.
static bool try_less(struct found *found, struct found *less, const char *message)
{
    if (!dies(run_found, less) || !is_same(message, shared->message)) {
        return false;
    }
    *found = shared->found;
    return true;
}

static bool shrink_once(struct found *found, const char *message)
{
    static struct found less;
    bool has_shrunk = false;
    unsigned t, i, before;

    for (t = 0; t < found->work.nr_threads; t++) {
        less = *found;
        remove_thread(&less, t);
        has_shrunk |= try_less(found, &less, message);
    }
    for (t = 0; t <= found->work.nr_threads; t++) {
        const struct zs_list *list =
            t < found->work.nr_threads ? &found->work.threads[t] : &found->work.before;

        for (i = list->nr_ops; i-- > 0;) {
            less = *found;
            remove_op(&less, t, i);
            has_shrunk |= try_less(found, &less, message);
        }
    }
    for (i = found->nr_switches; i-- > 0;) {
        before = found->nr_switches;
        less = *found;
        remove_switch(&less, i);
        has_shrunk |= try_less(found, &less, message) && found->nr_switches < before;
        i = i < found->nr_switches ? i : found->nr_switches;
    }
    return has_shrunk;
}

void zs_search_shrink(void)
{
    static struct found found;
    char message[512];

    snprintf(message, sizeof message, "%s", shared->message);
    found = shared->found;
    while (shrink_once(&found, message)) {
    }
    printf("shrunk: ");
    zs_is_verbose = true;
    if (!dies(run_found, &found)) {
        printf("does not fail again\n");
    }
    zs_is_verbose = false;
}
