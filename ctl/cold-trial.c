// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "cold-trial.h"
#include "cpu-time.h"
#include "message.h"

#include "../allocator/log.h"
#include "../store/demoter.h"

#include <string.h>

#define LEAF 0
#define SEED 0

void zr_cold_trial_init(struct zr_cold_trial *trial)
{
    *trial = (struct zr_cold_trial){.nr = 0};
    if (zr_group_maker_init(&trial->maker) < 0 || zr_group_cache_init(&trial->cache) < 0) {
        zr_die("out of memory");
    }
}

void zr_cold_trial_fini(struct zr_cold_trial *trial)
{
    zr_group_cache_fini(&trial->cache);
    zr_group_maker_fini(&trial->maker);
}

static void read_back(struct zr_cold_trial *trial)
{
    static unsigned char copies[ZR_GROUP_PAGES][ZR_PAGE_BYTES];
    const struct zr_group *group = trial->maker.group;
    uint64_t start_ns = zr_cpu_time_ns();
    unsigned i;

    for (i = 0; i < trial->nr; i++) {
        if (zr_group_cache_read(&trial->cache, group, group->bytes, SEED, trial->slots[i],
                                copies[i]) < 0) {
            zr_die("cold: a page does not decompress");
        }
    }
    trial->read_ns += zr_cpu_time_ns() - start_ns;
    trial->nr_read += trial->nr;
    if (memcmp(copies, trial->maker.pages, trial->nr * sizeof copies[0]) != 0) {
        zr_die("cold: a page does not come back as it was");
    }
}

// Makes a group of what was gathered.
static void make(struct zr_cold_trial *trial, const unsigned char *const *pages,
                 uint32_t *object_bytes)
{
    uint64_t start_ns = zr_cpu_time_ns(), old_bytes = 0;
    uint32_t bytes;
    unsigned i;

    for (i = 0; i < trial->nr; i++) {
        memcpy(trial->maker.pages + i * (size_t)ZR_PAGE_BYTES, pages[trial->places[i]],
               ZR_PAGE_BYTES);
        old_bytes += object_bytes[trial->places[i]];
    }
    bytes = zr_group_make(&trial->maker, SEED, LEAF, trial->slots, trial->nr);
    trial->make_ns += zr_cpu_time_ns() - start_ns;
    trial->nr_made += trial->nr;
    if (bytes <= old_bytes - old_bytes / ZR_DEMOTER_MIN_GAIN_SHARE) {
        trial->log_bytes += zr_log_object_bytes(bytes);
        read_back(trial);
        for (i = 0; i < trial->nr; i++) {
            object_bytes[trial->places[i]] = 0;
        }
    }
    trial->nr = 0;
}

void zr_cold_trial_add(struct zr_cold_trial *trial, const unsigned char *const *pages,
                       const uint64_t *numbers, uint32_t *object_bytes, size_t nr_pages)
{
    uint64_t last = 0;
    size_t i;

    for (i = 0; i < nr_pages; i++) {
        if (object_bytes[i] == 0) {
            continue;
        }
        // Where the demoter ends a group.
        if (trial->nr == ZR_GROUP_PAGES || (trial->nr >= ZR_GROUP_PAGES / 2 &&
                                            numbers[i] / ZR_GROUP_PAGES != last / ZR_GROUP_PAGES)) {
            make(trial, pages, object_bytes);
        }
        last = numbers[i];
        trial->slots[trial->nr] = (uint16_t)(last % ZR_LEAF_SLOTS);
        trial->places[trial->nr++] = i;
    }
    if (trial->nr > 0) {
        make(trial, pages, object_bytes);
    }
}
