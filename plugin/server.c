// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "server.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>

// More can never be stored, so more address space is not worth reserving.
static uint64_t machine_memory_bytes(void)
{
    struct sysinfo info;

    if (sysinfo(&info) < 0) {
        return UINT64_C(1) << 36;
    }
    return ((uint64_t)info.totalram + info.totalswap) * info.mem_unit;
}

static int init_devices(struct zr_server *server, const struct zr_server_config *config)
{
    size_t i;
    int rc;

    server->devices = calloc(config->nr_exports, sizeof *server->devices);
    server->tables = calloc(config->nr_exports, sizeof(struct zr_slot_table *));
    if (!server->devices || !server->tables) {
        return -ENOMEM;
    }
    for (i = 0; i < config->nr_exports; i++) {
        const struct zr_export_config *export = &config->exports[i];

        rc = zr_device_init(&server->devices[i], export->name, export->size_bytes,
                            export->limit_bytes, &server->codec, &server->pool, server->deferred,
                            &server->compactor);
        if (rc < 0) {
            return rc;
        }
        server->tables[i] = &server->devices[i].table;
        server->nr_devices++;
    }
    return 0;
}

static void fini_devices(struct zr_server *server)
{
    while (server->nr_devices > 0) {
        zr_device_fini(&server->devices[--server->nr_devices]);
    }
    free(server->devices);
    free(server->tables);
}

int zr_server_init(struct zr_server *server, const struct zr_server_config *config)
{
    uint64_t limit_bytes = machine_memory_bytes();
    int rc;

    *server = (struct zr_server){0};
    if (config->limit_bytes > 0 && config->limit_bytes < limit_bytes) {
        limit_bytes = config->limit_bytes;
    }
    rc = zr_pool_init(&server->pool, limit_bytes);
    if (rc < 0) {
        return rc;
    }
    rc = zr_deferred_free_create(&server->pool, &server->deferred);
    if (rc < 0) {
        goto error_pool;
    }
    rc = zr_codec_init(&server->codec, config->codec, config->level);
    if (rc < 0) {
        goto error_deferred;
    }
    if (config->without_checksum) {
        server->codec.checksum_bytes = 0;
    }
    rc = init_devices(server, config);
    if (rc < 0) {
        goto error_devices;
    }
    zr_compactor_init(&server->compactor, &server->pool, server->deferred, &server->codec,
                      server->tables, server->nr_devices);
    return 0;

error_devices:
    fini_devices(server);
    zr_codec_fini(&server->codec);
error_deferred:
    zr_deferred_free_destroy(server->deferred);
error_pool:
    zr_pool_fini(&server->pool);
    return rc;
}

int zr_server_start(struct zr_server *server)
{
    int rc = zr_keeper_start(&server->keeper, &server->pool, server->deferred);

    return rc < 0 ? rc : zr_compactor_start(&server->compactor);
}

void zr_server_fini(struct zr_server *server)
{
    zr_compactor_stop(&server->compactor);
    zr_compactor_fini(&server->compactor);
    zr_keeper_stop(&server->keeper);
    fini_devices(server);
    zr_codec_fini(&server->codec);
    zr_deferred_free_destroy(server->deferred);
    zr_pool_fini(&server->pool);
}

struct zr_device *zr_server_find(struct zr_server *server, const char *name)
{
    size_t i;

    for (i = 0; i < server->nr_devices; i++) {
        if (strcmp(server->devices[i].name, name) == 0) {
            return &server->devices[i];
        }
    }
    return NULL;
}

static uint64_t difference(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

static struct zr_device_stats get_device_stats(const struct zr_device *device)
{
    struct zr_slot_counts counts;

    zr_slot_table_count(&device->table, &counts);
    return (struct zr_device_stats){
        .disksize = device->size_bytes,
        .orig_data_size = (counts.nr_same + counts.nr_huge + counts.nr_compressed) * ZR_PAGE_BYTES,
        .compr_data_size = counts.stored_bytes,
        .same_pages = counts.nr_same,
        .huge_pages = counts.nr_huge,
        .nr_packed_leaves = counts.nr_packed_leaves,
        .packed_leaf_bytes = counts.packed_leaf_bytes,
        .corrupt_pages = device->nr_corrupt,
    };
}

static void get_stats(struct zr_server *server, struct zr_device_stats *devices,
                      struct zr_server_stats *stats)
{
    struct zr_pool_stats pool;
    struct zr_deferred_free_stats deferred;
    struct zr_device_stats total = {0};
    uint64_t nr_objects;
    size_t i;

    for (i = 0; i < server->nr_devices; i++) {
        struct zr_device_stats device = get_device_stats(&server->devices[i]);

        total.disksize += device.disksize;
        total.orig_data_size += device.orig_data_size;
        total.compr_data_size += device.compr_data_size;
        total.same_pages += device.same_pages;
        total.huge_pages += device.huge_pages;
        total.nr_packed_leaves += device.nr_packed_leaves;
        total.packed_leaf_bytes += device.packed_leaf_bytes;
        total.corrupt_pages += device.corrupt_pages;
        if (devices) {
            devices[i] = device;
        }
    }
    zr_pool_get_stats(&server->pool, &pool);
    zr_deferred_free_get_stats(server->deferred, &deferred);
    nr_objects = total.orig_data_size / ZR_PAGE_BYTES - total.same_pages + total.nr_packed_leaves;

    *stats = (struct zr_server_stats){
        .total = total,
        .mem_used_total = pool.used_bytes,
        .mem_limit = pool.limit_bytes,
        .mem_used_max = pool.peak_used_bytes,
        .pages_compacted = server->compactor.nr_moved_pages,
        .spans_compacted = server->compactor.nr_freed_spans,
        // Whatever the pool has and no slot refers to was extracted and waits.
        .pending_free_bytes =
            difference(pool.stored_bytes, total.compr_data_size + total.packed_leaf_bytes),
        .pending_free_objects = difference(pool.nr_objects, nr_objects),
        .drained_batches = deferred.nr_drains,
        .cold_spans = pool.nr_taken_cold,
    };
}

void zr_server_get_stats(struct zr_server *server, struct zr_server_stats *stats)
{
    get_stats(server, NULL, stats);
}

static void print_number(FILE *out, const char *name, uint64_t value)
{
    fprintf(out, "\"%s\": %" PRIu64, name, value);
}

static void print_device_stats(FILE *out, const struct zr_device_stats *stats, const char *between)
{
    print_number(out, "disksize", stats->disksize);
    fputs(between, out);
    print_number(out, "orig_data_size", stats->orig_data_size);
    fputs(between, out);
    print_number(out, "compr_data_size", stats->compr_data_size);
    fputs(between, out);
    print_number(out, "same_pages", stats->same_pages);
    fputs(between, out);
    print_number(out, "huge_pages", stats->huge_pages);
    fputs(between, out);
    print_number(out, "corrupt_pages", stats->corrupt_pages);
    fputs(between, out);
}

int zr_server_print_stats(struct zr_server *server, FILE *out)
{
    struct zr_device_stats *devices = calloc(server->nr_devices, sizeof *devices);
    struct zr_server_stats stats;
    size_t i;

    if (!devices) {
        return -ENOMEM;
    }
    get_stats(server, devices, &stats);

    const struct {
        const char *name;
        uint64_t value;
    } fields[] = {
        {"mem_used_total", stats.mem_used_total},
        {"mem_limit", stats.mem_limit},
        {"mem_used_max", stats.mem_used_max},
        {"pages_compacted", stats.pages_compacted},
        {"spans_compacted", stats.spans_compacted},
        {"pending_free_bytes", stats.pending_free_bytes},
        {"pending_free_objects", stats.pending_free_objects},
        {"drained_batches", stats.drained_batches},
        {"cold_spans", stats.cold_spans},
    };

    fprintf(out, "{\n  \"compression\": \"%s\",\n  ", server->codec.ops->name);
    print_device_stats(out, &stats.total, ",\n  ");
    for (i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        print_number(out, fields[i].name, fields[i].value);
        fputs(",\n  ", out);
    }
    fprintf(out, "\"exports\": [");
    for (i = 0; i < server->nr_devices; i++) {
        const struct zr_device *device = &server->devices[i];

        // Names have no character that JSON would want escaped: the configuration sees to that.
        fprintf(out, "%s\n    { \"name\": \"%s\", ", i > 0 ? "," : "", device->name);
        print_device_stats(out, &devices[i], ", ");
        print_number(out, "mem_limit",
                     device->table.account.limit_bytes == UINT64_MAX
                         ? 0
                         : device->table.account.limit_bytes);
        fputs(" }", out);
    }
    fprintf(out, "\n  ]\n}\n");
    free(devices);
    return ferror(out) ? -ENOMEM : 0; // a stream in memory that could not grow
}
