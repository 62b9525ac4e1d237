// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// At which steps the running thread stops, and who goes on.  But for the random walk it is always
// the ready thread of the highest priority; who stops at a change point falls below all others, so
// that they do all they can before it goes on.
#include "thread.h"

#include <string.h>

#define NR_PLACES 32   // groups of them, by hash
#define NR_PAIRS 65536 // of places, by hash

static uint64_t rng; // apart from zs_rng, so that a replay draws the same from that one
static uint64_t change[ZS_MAX_CHANGES]; // ascending
static unsigned place[ZS_MAX_CHANGES], place_count[ZS_MAX_CHANGES];
static unsigned next_change;
static uint64_t nr_counted;
static int lowest;
static uint32_t pair_seen[NR_PAIRS], pair_generation = 1;

struct zs_schedule zs_schedule_of(uint64_t seed, unsigned nth)
{
    uint64_t state = (seed ^ UINT64_C(0x5ced)) * UINT64_C(0x9e3779b97f4a7c15) + nth;
    struct zs_schedule result = {0};
    unsigned roll = zs_below(&state, 16);

    result.seed = zs_random(&state);
    result.is_fine = zs_below(&state, 3) == 0;
    result.is_weak = zs_below(&state, 2) == 0;
    result.checks_plain = zs_below(&state, 2) && result.is_weak;
    result.fault_permille = zs_below(&state, 8) == 0 ? 200 : 0;
    result.nr_changes = 1 + zs_below(&state, 4);
    result.length = 64u << zs_below(&state, result.is_fine ? 7 : 6);
    if (roll < 3) {
        result.strategy = ZS_WALK;
        result.permille = (const unsigned[]){5, 20, 80, 300}[zs_below(&state, 4)];
    } else if (roll < 6) {
        result.strategy = ZS_PCT;
    } else if (roll < 9) {
        result.strategy = ZS_PCT_PLACE;
    } else if (roll < 12) {
        result.strategy = ZS_PCT_BORDER;
        result.length /= 4;
    } else {
        result.strategy = ZS_NEW_PAIRS;
        result.permille = (const unsigned[]){10, 30, 100, 300}[zs_below(&state, 4)];
    }
    return result;
}

void zs_forget_pairs(void)
{
    pair_generation++;
}

uint64_t zs_nr_counted(void)
{
    return nr_counted;
}

// The priorities of a permutation: nr + 1 - i for the ith, swapped as they come.
static void set_priorities(unsigned order, bool is_exact)
{
    unsigned i, other;

    for (i = 0; i < zs_nr_threads; i++) {
        other = is_exact ? order % (i + 1) : zs_below(&zs_rng, i + 1);
        order /= i + 1;
        zs_threads[i].priority = zs_threads[other].priority;
        zs_threads[other].priority = (int)i + 1;
    }
}

void zs_strategy_begin(void)
{
    const struct zs_schedule *how = &zs_schedule;
    bool is_exact = how->strategy == ZS_EXACT || how->strategy == ZS_EXACT_BORDER;
    unsigned i, j;

    rng = ~how->seed;
    nr_counted = next_change = 0;
    lowest = 0;
    set_priorities(how->order, is_exact);
    for (i = 0; i < how->nr_changes && !is_exact; i++) {
        uint64_t at = 1 + zs_below(&rng, how->length);

        for (j = i; j > 0 && change[j - 1] > at; j--) {
            change[j] = change[j - 1];
        }
        change[j] = at;
        place[i] = zs_below(&rng, NR_PLACES);
        place_count[i] = 1 + zs_below(&rng, 1u << zs_below(&rng, 5));
    }
    if (is_exact) {
        memcpy(change, how->change, sizeof change);
    }
}

static unsigned hash_of(const char *where)
{
    const char *name = strrchr(where, '/');
    unsigned hash = 0;

    for (name = name ? name + 1 : where; *name; name++) {
        hash = hash * 31 + (unsigned char)*name;
    }
    return hash ^ hash >> 7;
}

static struct zs_thread *best_but(const struct zs_thread *without)
{
    struct zs_thread *best = NULL;
    unsigned i;

    for (i = 0; i < zs_nr_threads; i++) {
        struct zs_thread *thread = &zs_threads[i];

        if (thread != without && thread->state == ZS_READY &&
            (!best || thread->priority > best->priority)) {
            best = thread;
        }
    }
    return best;
}

// Whether it is new that a thread stops here while the next one goes on there.
static bool is_new_pair(const char *where)
{
    const struct zs_thread *next = best_but(zs_current);
    unsigned pair;

    if (!next) {
        return false;
    }
    pair = (hash_of(where) * 7919 ^ hash_of(next->where)) % NR_PAIRS;
    if (pair_seen[pair] == pair_generation || zs_below(&rng, 1000) >= zs_schedule.permille) {
        return false;
    }
    pair_seen[pair] = pair_generation;
    return true;
}

static bool is_change(const char *where, enum zs_step_kind kind)
{
    bool counts = kind == ZS_BORDER || (zs_schedule.strategy != ZS_PCT_BORDER &&
                                        zs_schedule.strategy != ZS_EXACT_BORDER);

    nr_counted += counts;
    if (next_change >= zs_schedule.nr_changes || !counts) {
        return false;
    }
    if (zs_schedule.strategy == ZS_PCT_PLACE
            ? hash_of(where) % NR_PLACES != place[next_change] || --place_count[next_change] > 0
            : nr_counted < change[next_change]) {
        return false;
    }
    next_change++;
    return true;
}

bool zs_strategy_stops(const char *where, enum zs_step_kind kind)
{
    if (zs_schedule.strategy == ZS_WALK) {
        return zs_below(&rng, 1000) < zs_schedule.permille;
    }
    if (zs_schedule.strategy == ZS_NEW_PAIRS ? is_new_pair(where) : is_change(where, kind)) {
        zs_current->priority = --lowest;
        return true;
    }
    return false;
}

struct zs_thread *zs_strategy_pick(void)
{
    unsigned nr_ready = 0, chosen, i;

    if (zs_schedule.replay || zs_schedule.strategy != ZS_WALK) {
        return best_but(NULL);
    }
    for (i = 0; i < zs_nr_threads; i++) {
        nr_ready += zs_threads[i].state == ZS_READY;
    }
    if (nr_ready == 0) {
        return NULL;
    }
    chosen = zs_below(&rng, nr_ready);
    for (i = 0; zs_threads[i].state != ZS_READY || chosen-- > 0; i++) {
    }
    return &zs_threads[i];
}
