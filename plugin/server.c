// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "server.h"

#include <errno.h>
#include <inttypes.h>
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

int zr_server_init(struct zr_server *server, const struct zr_server_config *config)
{
    int rc;

    *server = (struct zr_server){0};
    rc = zr_pool_init(&server->pool,
                      config->limit_bytes ? config->limit_bytes : machine_memory_bytes());
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
    rc = zr_device_init(&server->device, config->size_bytes, &server->codec, &server->pool,
                        server->deferred, &server->compactor);
    if (rc < 0) {
        goto error_codec;
    }
    server->tables[0] = &server->device.table;
    zr_compactor_init(&server->compactor, &server->pool, server->deferred, &server->codec,
                      server->tables, 1);
    return 0;

error_codec:
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

    if (rc == 0) {
        rc = zr_compactor_start(&server->compactor);
    }
    return rc;
}

void zr_server_fini(struct zr_server *server)
{
    zr_compactor_stop(&server->compactor);
    zr_compactor_fini(&server->compactor);
    zr_keeper_stop(&server->keeper);
    zr_device_fini(&server->device);
    zr_codec_fini(&server->codec);
    zr_deferred_free_destroy(server->deferred);
    zr_pool_fini(&server->pool);
}

static uint64_t difference(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

void zr_server_get_stats(struct zr_server *server, struct zr_server_stats *stats)
{
    struct zr_slot_counts counts;
    struct zr_pool_stats pool;
    struct zr_deferred_free_stats deferred;

    zr_slot_table_count(&server->device.table, &counts);
    zr_pool_get_stats(&server->pool, &pool);
    zr_deferred_free_get_stats(server->deferred, &deferred);

    *stats = (struct zr_server_stats){
        .disksize = server->device.size_bytes,
        .orig_data_size = (counts.nr_same + counts.nr_huge + counts.nr_compressed) * ZR_PAGE_BYTES,
        .compr_data_size = counts.stored_bytes,
        .mem_used_total = pool.used_bytes,
        .mem_limit = pool.limit_bytes,
        .mem_used_max = pool.peak_used_bytes,
        .same_pages = counts.nr_same,
        .huge_pages = counts.nr_huge,
        // Whatever the pool has and no slot refers to was extracted and waits.
        .pending_free_bytes = difference(pool.stored_bytes, counts.stored_bytes),
        .pending_free_objects = difference(pool.nr_objects, counts.nr_huge + counts.nr_compressed),
        .drained_batches = deferred.nr_drains,
        .pages_compacted = server->compactor.nr_moved_pages,
        .spans_compacted = server->compactor.nr_freed_spans,
        .cold_spans = pool.nr_taken_cold,
    };
}

void zr_server_print_stats(struct zr_server *server, FILE *out)
{
    struct zr_server_stats stats;

    zr_server_get_stats(server, &stats);

    const struct {
        const char *name;
        uint64_t value;
    } fields[] = {
        {"disksize", stats.disksize},
        {"orig_data_size", stats.orig_data_size},
        {"compr_data_size", stats.compr_data_size},
        {"mem_used_total", stats.mem_used_total},
        {"mem_limit", stats.mem_limit},
        {"mem_used_max", stats.mem_used_max},
        {"same_pages", stats.same_pages},
        {"huge_pages", stats.huge_pages},
        {"pages_compacted", stats.pages_compacted},
        {"spans_compacted", stats.spans_compacted},
        {"cold_spans", stats.cold_spans},
        {"pending_free_bytes", stats.pending_free_bytes},
        {"pending_free_objects", stats.pending_free_objects},
        {"drained_batches", stats.drained_batches},
    };
    const size_t nr_fields = sizeof fields / sizeof fields[0];
    size_t i;

    fprintf(out, "{\n");
    for (i = 0; i < nr_fields; i++) {
        fprintf(out, "  \"%s\": %" PRIu64 "%s\n", fields[i].name, fields[i].value,
                i + 1 < nr_fields ? "," : "");
    }
    fprintf(out, "}\n");
}
