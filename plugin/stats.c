// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "stats.h"

#include <errno.h>
#include <stdlib.h>

#define OS_PAGE_BYTES 4096u

static uint64_t difference(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

static uint64_t read_counter(_Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static uint64_t sum_of_no_space(const struct zr_request_counts *requests)
{
    uint64_t nr = 0;
    unsigned kind;

    for (kind = 0; kind < ZR_NR_REQUEST_KINDS; kind++) {
        nr += requests[kind].nr_no_space;
    }
    return nr;
}

static uint64_t age_of_coldest_s(const struct zr_server *server,
                                 const struct zr_slot_counts *counts)
{
    unsigned age = ZR_SLOT_AGE_MAX;

    while (age > 0 && counts->nr_by_age[age] == 0) {
        age--;
    }
    return zr_ager_least_walks(age) * server->ager.interval_s;
}

static void get_device_stats(struct zr_server *server, struct zr_device *device,
                             struct zr_device_stats *stats)
{
    struct zr_slot_table *table = &device->table;
    struct zr_slot_counts counts;
    unsigned i;

    zr_slot_counts_get(table, &counts);
    *stats = (struct zr_device_stats){
        .name = device->name,
        .disksize = device->size_bytes,
        .orig_data_size = (counts.nr_same + counts.nr_huge + counts.nr_compressed) * ZR_PAGE_BYTES,
        .compr_data_size = counts.stored_bytes,
        .same_pages = counts.nr_same,
        .huge_pages = counts.nr_huge,
        .lost_pages = counts.nr_lost,
        .served = (size_t)(device - server->devices) < server->nr_served,
        .corrupt_pages = read_counter(&device->nr_corrupt),
        .mem_limit = table->account.limit_bytes == UINT64_MAX ? 0 : table->account.limit_bytes,
        .connections = zr_clients_nr_connections(zr_server_clients(server, device)),
        .coldest_age_s = age_of_coldest_s(server, &counts),
        .cold_pages = counts.nr_cold,
        .cold_data_size = counts.cold_bytes,
        .cold_reads = read_counter(&device->nr_cold_reads),
        .cold_promoted = read_counter(&device->nr_promoted_pages),
    };
    for (i = 0; i < ZR_NR_LENGTHS; i++) {
        stats->compr_length_pages[i] = counts.nr_by_length[i];
    }
    for (i = 0; i <= ZR_SLOT_AGE_MAX; i++) {
        stats->age_pages[i] = counts.nr_by_age[i];
    }
    zr_request_stats_read(zr_server_requests(server, device), stats->requests);
    stats->limit_hits = sum_of_no_space(stats->requests);
}

static void add_to_total(struct zr_device_stats *total, const struct zr_device_stats *device)
{
    unsigned i;

    total->disksize += device->disksize;
    total->orig_data_size += device->orig_data_size;
    total->compr_data_size += device->compr_data_size;
    total->same_pages += device->same_pages;
    total->huge_pages += device->huge_pages;
    total->lost_pages += device->lost_pages;
    total->served += device->served;
    total->corrupt_pages += device->corrupt_pages;
    total->limit_hits += device->limit_hits;
    total->connections += device->connections;
    if (device->coldest_age_s > total->coldest_age_s) {
        total->coldest_age_s = device->coldest_age_s;
    }
    total->cold_pages += device->cold_pages;
    total->cold_data_size += device->cold_data_size;
    total->cold_reads += device->cold_reads;
    total->cold_promoted += device->cold_promoted;
    for (i = 0; i < ZR_NR_LENGTHS; i++) {
        total->compr_length_pages[i] += device->compr_length_pages[i];
    }
    for (i = 0; i <= ZR_SLOT_AGE_MAX; i++) {
        total->age_pages[i] += device->age_pages[i];
    }
    for (i = 0; i < ZR_NR_REQUEST_KINDS; i++) {
        zr_request_counts_add(&total->requests[i], &device->requests[i]);
    }
}

static void get_cold_stats(struct zr_server *server, struct zr_server_stats *stats)
{
    struct zr_demoter *demoter = &server->demoter;
    unsigned min_age = atomic_load_explicit(&server->cold.min_age, memory_order_relaxed);
    int64_t saved_bytes;
    unsigned age;

    stats->cold_on = server->cold.config.mode != ZR_COLD_OFF;
    stats->cold_after_s = zr_ager_least_walks(min_age) * server->ager.interval_s;
    stats->cold_demoted_pages = read_counter(&demoter->nr_demoted_pages);
    stats->cold_groups = read_counter(&demoter->nr_groups);
    // Below zero where this server cleaned more than it demoted.
    saved_bytes = (int64_t)read_counter(&demoter->saved_bytes);
    stats->cold_saved_bytes = saved_bytes > 0 ? (uint64_t)saved_bytes : 0;
    stats->cold_cleaned_spans = read_counter(&demoter->nr_cleaned_spans);
    stats->cold_cpu_ns = read_counter(&server->cold.cpu_ns);
    stats->cold_cache_hits = read_counter(&server->groups.nr_hits);
    stats->cold_cache_misses = read_counter(&server->groups.nr_misses);
    for (age = 0; age <= ZR_SLOT_AGE_MAX; age++) {
        stats->age_least_s[age] = zr_ager_least_walks(age) * server->ager.interval_s;
    }
}

// Fills in the server-wide numbers; stats->total is complete already.
static void get_common_stats(struct zr_server *server, struct zr_server_stats *stats)
{
    struct zr_pool_stats pool;
    struct zr_deferred_free_stats deferred;
    const struct zr_device_stats *total = &stats->total;
    uint64_t nr_objects = total->orig_data_size / ZR_PAGE_BYTES - total->same_pages;

    zr_pool_get_stats(&server->pool, &pool);
    zr_deferred_free_get_stats(server->deferred, &deferred);
    stats->compression = server->codec.ops->name;
    stats->store = server->has_store ? server->store.path : NULL;
    stats->recovered_pages = server->recovered.nr_pages;
    stats->recovery_ns = server->recovery_ns;
    stats->mem_used_total = pool.used_bytes;
    stats->mem_limit = pool.limit_bytes;
    stats->mem_used_max = pool.peak_used_bytes;
    stats->pages_compacted = server->compactor.nr_moved_pages;
    stats->spans_compacted = server->compactor.nr_freed_spans;
    // Whatever the pool has and no slot refers to was extracted and waits.
    stats->pending_free_bytes = difference(pool.stored_bytes, total->compr_data_size);
    stats->pending_free_objects = difference(pool.nr_objects, nr_objects);
    stats->drained_batches = deferred.nr_drains;
    stats->cold_spans = pool.nr_taken_cold;
    stats->populated_pages = pool.populated_bytes / OS_PAGE_BYTES;
    get_cold_stats(server, stats);
    stats->uptime_ns = zr_worker_now_ns() - server->start_ns;
}

// devices is NULL, or has room for each.
static void get_stats(struct zr_server *server, struct zr_device_stats *devices,
                      struct zr_server_stats *stats)
{
    struct zr_device_stats device;
    size_t i;

    *stats = (struct zr_server_stats){.nr_devices = server->nr_devices, .devices = devices};
    for (i = 0; i < server->nr_devices; i++) {
        get_device_stats(server, &server->devices[i], &device);
        add_to_total(&stats->total, &device);
        if (devices) {
            devices[i] = device;
        }
    }
    get_common_stats(server, stats);
}

void zr_server_get_stats(struct zr_server *server, struct zr_server_stats *stats)
{
    get_stats(server, NULL, stats);
}

int zr_server_get_all_stats(struct zr_server *server, struct zr_server_stats *stats)
{
    struct zr_device_stats *devices = calloc(server->nr_devices, sizeof *devices);

    if (!devices) {
        return -ENOMEM;
    }
    get_stats(server, devices, stats);
    return 0;
}
