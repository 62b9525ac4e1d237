// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "ager.h"

#define NS_PER_S UINT64_C(1000000000)
#define SLICE_NS 500000
#define PAUSE_NS 5000000 // after a slice: a tenth of a CPU while it walks
#define STEP_SHIFT 2     // each age lasts four times as long as the one before

uint64_t zr_ager_least_walks(unsigned age)
{
    uint64_t nr_walks = 0;
    unsigned i;

    // Age 1 may have come at once.  Age i comes in walks whose number is divisible by 4^(i-1), and
    // i + 1 in a later one of them: it lasts so many walks at least.
    for (i = 1; i < age; i++) {
        nr_walks += UINT64_C(1) << (i - 1) * STEP_SHIFT;
    }
    return nr_walks;
}

// Whether pages of this age become older in this walk.
static bool is_due(const struct zr_ager *ager, unsigned age)
{
    uint64_t every = UINT64_C(1) << age * STEP_SHIFT;

    return age < ZR_SLOT_AGE_MAX && ager->nr_walks % every == 0;
}

static uint64_t age(void *opaque, struct zr_slot_table *table, uint64_t slot, uint64_t word)
{
    (void)table;
    (void)slot;
    return word != ZR_SLOT_LOST_WORD && is_due(opaque, zr_slot_word_age(word))
               ? zr_slot_word_older(word)
               : word;
}

static void begin_walk(struct zr_ager *ager)
{
    ager->nr_walks++;
    zr_walk_begin(&ager->walk, ager->tables, ager->nr_tables);
}

static uint64_t work(void *opaque)
{
    struct zr_ager *ager = opaque;
    uint64_t now_ns = zr_worker_now_ns();

    if (!ager->is_walking && now_ns >= ager->next_walk_ns) {
        begin_walk(ager);
        ager->is_walking = true;
        ager->next_walk_ns = now_ns + ager->interval_s * NS_PER_S;
    }
    if (ager->is_walking) {
        ager->is_walking = !zr_walk_continue(&ager->walk, now_ns + SLICE_NS, age, ager);
        return PAUSE_NS;
    }
    return ager->next_walk_ns - now_ns;
}

void zr_ager_init(struct zr_ager *ager, struct zr_slot_table **tables, size_t nr_tables)
{
    *ager = (struct zr_ager){
        .tables = tables,
        .nr_tables = nr_tables,
        .interval_s = ZR_AGER_INTERVAL_S,
    };
}

int zr_ager_start(struct zr_ager *ager)
{
    return zr_worker_start(&ager->worker, work, ager);
}

void zr_ager_stop(struct zr_ager *ager)
{
    zr_worker_stop(&ager->worker);
}

void zr_ager_walk(struct zr_ager *ager)
{
    begin_walk(ager);
    zr_walk_continue(&ager->walk, UINT64_MAX, age, ager);
}
