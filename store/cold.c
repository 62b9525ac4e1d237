// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "cold.h"

#include <time.h>

#define NS_PER_S UINT64_C(1000000000)
#define FIRST_AGE 3 // not written for 5 minutes
#define LEAST_AGE 2 // for one
#define JUDGEMENT_NS (60 * NS_PER_S)
#define READ_SHARE 500
#define CALM_MINUTES 5
#define SLICE_NS 250000 // a group takes longer
#define IDLE_PAUSE_NS 500000000
#define CACHE_NS NS_PER_S

void zr_cold_choose_ages(const struct zr_cold_config *config, uint64_t *interval_s,
                         unsigned *min_age)
{
    *interval_s = ZR_AGER_INTERVAL_S;
    *min_age = FIRST_AGE;
    if (config->mode == ZR_COLD_FIXED) {
        // The ager's interval such that an age begins after so many seconds, rounded up to whole
        // ones.
        for (*min_age = LEAST_AGE;
             *min_age < ZR_SLOT_AGE_MAX &&
             config->seconds / zr_ager_least_walks(*min_age) > ZR_AGER_INTERVAL_S;
             ++*min_age) {
        }
        *interval_s =
            (config->seconds + zr_ager_least_walks(*min_age) - 1) / zr_ager_least_walks(*min_age);
    }
}

void zr_cold_init(struct zr_cold *cold, const struct zr_cold_config *config,
                  struct zr_demoter *demoter, struct zr_group_cache *groups,
                  struct zr_compactor *compactor, struct zr_slot_table *const *tables,
                  size_t nr_tables)
{
    uint64_t interval_s;
    unsigned min_age;

    zr_cold_choose_ages(config, &interval_s, &min_age);
    *cold = (struct zr_cold){
        .demoter = demoter,
        .groups = groups,
        .compactor = compactor,
        .config = *config,
        .walk = {.tables = tables, .nr_tables = nr_tables},
        .interval_s = interval_s,
        .min_age = min_age,
    };
    cold->load.load = &compactor->load;
    if (cold->config.cpu_percent == 0) {
        cold->config.cpu_percent = ZR_COLD_DEFAULT_CPU_PERCENT;
    }
}

unsigned zr_cold_judge(struct zr_cold *cold, uint64_t nr_reads)
{
    unsigned min_age = atomic_load_explicit(&cold->min_age, memory_order_relaxed);
    uint64_t max_reads = cold->nr_stored / READ_SHARE;

    cold->nr_calm_minutes = nr_reads * 2 <= max_reads ? cold->nr_calm_minutes + 1 : 0;
    if (nr_reads > max_reads && min_age < ZR_SLOT_AGE_MAX) {
        min_age++;
    } else if (cold->nr_calm_minutes == CALM_MINUTES) {
        cold->nr_calm_minutes = 0;
        min_age -= min_age > LEAST_AGE;
    }
    atomic_store_explicit(&cold->min_age, min_age, memory_order_relaxed);
    return min_age;
}

static uint64_t nr_cold_reads(const struct zr_demoter *demoter)
{
    uint64_t nr = 0;
    size_t i;

    for (i = 0; i < demoter->nr_devices; i++) {
        nr += atomic_load_explicit(&demoter->devices[i].nr_cold_reads, memory_order_relaxed);
    }
    return nr;
}

static void judge_each_minute(struct zr_cold *cold, uint64_t now_ns)
{
    uint64_t nr_reads;

    // Without a whole walk it is not known how many pages there are.
    if (cold->config.mode != ZR_COLD_AUTO || now_ns < cold->next_judgement_ns ||
        cold->nr_stored == 0) {
        return;
    }
    nr_reads = nr_cold_reads(cold->demoter);
    if (cold->next_judgement_ns > 0) {
        zr_cold_judge(cold, nr_reads - cold->judged_reads);
    }
    cold->judged_reads = nr_reads;
    cold->next_judgement_ns = now_ns + JUDGEMENT_NS;
}

static uint64_t cpu_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static struct zr_device *device_of(const struct zr_cold *cold)
{
    return &cold->demoter->devices[cold->walk.table]; // each has one table, in the same order
}

// Goes on with the walk until the slice is over, or to its end.
static void walk_on(struct zr_cold *cold, uint64_t until_cpu_ns)
{
    unsigned min_age = atomic_load_explicit(&cold->min_age, memory_order_relaxed);

    do {
        if (!zr_walk_find_leaf(&cold->walk)) {
            cold->nr_stored = cold->nr_walk_stored;
            cold->is_walking = false;
        } else if (!zr_demoter_demote(cold->demoter, device_of(cold), &cold->walk.slot, min_age,
                                      &cold->nr_walk_stored)) {
            cold->is_walking = false; // no room: the next walk comes soon enough
        }
    } while (cold->is_walking && cpu_ns() < until_cpu_ns);
}

static void begin_walk(struct zr_cold *cold, uint64_t now_ns)
{
    zr_walk_begin(&cold->walk, cold->walk.tables, cold->walk.nr_tables);
    cold->is_walking = true;
    cold->nr_walk_stored = 0;
    cold->next_walk_ns = now_ns + cold->interval_s * NS_PER_S;
}

// True if there may be more to do at once.
static bool work_slice(struct zr_cold *cold, uint64_t now_ns)
{
    if (!cold->is_walking && !cold->must_clean && now_ns >= cold->next_walk_ns &&
        cold->config.mode != ZR_COLD_OFF) {
        begin_walk(cold, now_ns);
    }
    if (cold->is_walking) {
        walk_on(cold, cpu_ns() + SLICE_NS);
        atomic_store_explicit(&cold->compactor->must_wait, cold->is_walking, memory_order_relaxed);
        cold->must_clean = true; // before the next walk, however soon that is
        return true;
    }
    cold->must_clean = zr_demoter_clean(cold->demoter);
    return cold->must_clean;
}

static uint64_t work(void *opaque)
{
    struct zr_cold *cold = opaque;
    uint64_t now_ns = zr_worker_now_ns(), start_cpu_ns, used_ns;
    bool has_more;

    zr_group_cache_expire(cold->groups, now_ns - CACHE_NS);
    judge_each_minute(cold, now_ns);
    if (zr_load_meter_is_busy(&cold->load, now_ns)) {
        return IDLE_PAUSE_NS;
    }
    start_cpu_ns = cpu_ns();
    has_more = work_slice(cold, now_ns);
    used_ns = cpu_ns() - start_cpu_ns;
    atomic_fetch_add_explicit(&cold->cpu_ns, used_ns, memory_order_relaxed);
    return has_more ? used_ns * (100 - cold->config.cpu_percent) / cold->config.cpu_percent
                    : IDLE_PAUSE_NS;
}

int zr_cold_start(struct zr_cold *cold)
{
    return zr_worker_start(&cold->worker, work, cold);
}

void zr_cold_stop(struct zr_cold *cold)
{
    zr_worker_stop(&cold->worker);
    atomic_store_explicit(&cold->compactor->must_wait, false, memory_order_relaxed);
}
