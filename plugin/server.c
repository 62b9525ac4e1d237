// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "server.h"

#include <errno.h>
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
    server->requests = calloc(config->nr_exports, sizeof *server->requests);
    server->clients = calloc(config->nr_exports, sizeof *server->clients);
    if (!server->devices || !server->tables || !server->requests || !server->clients) {
        return -ENOMEM;
    }
    for (i = 0; i < config->nr_exports; i++) {
        const struct zr_export_config *export = &config->exports[i];

        rc = zr_request_stats_init(&server->requests[i]);
        if (rc < 0) {
            return rc;
        }
        rc = zr_device_init(&server->devices[i], export->name, export->size_bytes,
                            export->limit_bytes, &server->codec, &server->pool, server->deferred,
                            &server->compactor, NULL, 0);
        if (rc < 0) {
            zr_request_stats_fini(&server->requests[i]);
            return rc;
        }
        server->tables[i] = &server->devices[i].table;
        zr_clients_init(&server->clients[i], export->max_connections);
        server->nr_devices++;
    }
    return 0;
}

static void fini_devices(struct zr_server *server)
{
    while (server->nr_devices > 0) {
        zr_device_fini(&server->devices[--server->nr_devices]);
        zr_request_stats_fini(&server->requests[server->nr_devices]);
        zr_clients_fini(&server->clients[server->nr_devices]);
    }
    free(server->devices);
    free(server->tables);
    free(server->requests);
    free(server->clients);
}

int zr_server_init(struct zr_server *server, const struct zr_server_config *config)
{
    uint64_t limit_bytes = machine_memory_bytes();
    int rc;

    *server = (struct zr_server){.start_ns = zr_worker_now_ns()};
    limit_bytes = limit_bytes < ZR_POOL_MAX_BYTES ? limit_bytes : ZR_POOL_MAX_BYTES;
    if (config->limit_bytes > 0 && config->limit_bytes < limit_bytes) {
        limit_bytes = config->limit_bytes;
    }
    rc = zr_pool_init(&server->pool, limit_bytes, NULL);
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
    zr_compactor_init(&server->compactor, &server->pool, server->deferred, server->tables,
                      server->nr_devices);
    zr_ager_init(&server->ager, server->tables, server->nr_devices);
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

    if (rc == 0) {
        rc = zr_compactor_start(&server->compactor);
    }
    return rc < 0 ? rc : zr_ager_start(&server->ager);
}

void zr_server_fini(struct zr_server *server)
{
    zr_ager_stop(&server->ager);
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

struct zr_request_stats *zr_server_requests(struct zr_server *server,
                                            const struct zr_device *device)
{
    return &server->requests[device - server->devices];
}

struct zr_clients *zr_server_clients(struct zr_server *server, const struct zr_device *device)
{
    return &server->clients[device - server->devices];
}
