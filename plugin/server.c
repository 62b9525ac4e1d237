// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "server.h"
#include "../store/checksum.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
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

// ---- The store

// Its record, made or changed as the command line says.
static int fit_export(struct zr_server *server, const struct zr_export_config *export, char *why)
{
    struct zr_store_file *store = &server->store;
    struct zr_export_record *record = zr_store_file_find(store, export->name);
    uint64_t nr_root_entries = zr_device_nr_root_entries(export->size_bytes);
    int rc = 0;

    if (!record) {
        rc = zr_store_file_add(store, export->name, export->size_bytes, nr_root_entries,
                               zr_device_checksum_seed(export->name), why);
        record = zr_store_file_find(store, export->name);
    } else if (export->size_bytes < record->size_bytes) {
        snprintf(why, ZR_STORE_WHY_BYTES,
                 "%s%.60s: size %llu is less than the %llu that it has in the store %.200s: QEMU "
                 "does not stand a disk that shrinks",
                 export->name[0] ? "export=" : "size=", export->name,
                 (unsigned long long)export->size_bytes, (unsigned long long)record->size_bytes,
                 store->path);
        return -EINVAL;
    } else if (export->size_bytes > record->size_bytes) {
        rc = zr_store_file_grow(store, record, export->size_bytes, nr_root_entries, why);
    }
    if (rc == 0 && record && record->limit_bytes != export->limit_bytes) {
        record->limit_bytes = export->limit_bytes;
        store->is_changed = true;
    }
    return rc;
}

static int fit_store(struct zr_server *server, const struct zr_server_config *config, char *why)
{
    size_t i;
    int rc = 0;

    for (i = 0; i < config->nr_drops; i++) {
        zr_store_file_drop(&server->store, config->drops[i]);
    }
    for (i = 0; i < config->nr_exports && rc == 0; i++) {
        rc = fit_export(server, &config->exports[i], why);
    }
    if (config->without_checksum && !(server->store.header.features & ZR_FEATURE_UNCHECKED)) {
        server->store.header.features |= ZR_FEATURE_UNCHECKED;
        server->store.is_changed = true;
    }
    if (config->cold.mode != ZR_COLD_OFF && !(server->store.header.features & ZR_FEATURE_GROUPS)) {
        server->store.header.features |= ZR_FEATURE_GROUPS;
        server->store.is_changed = true;
    }
    return rc;
}

// Claims what the exports hold, and fills in for each how many bytes of objects that is.
static int recover(struct zr_server *server, uint64_t *stored_bytes)
{
    struct zr_recovered *all = &server->recovered;
    uint64_t start_ns = zr_worker_now_ns();
    uint32_t i;
    int rc = zr_pool_begin_claims(&server->pool);

    if (rc < 0) {
        return rc;
    }
    for (i = 0; i < server->store.header.nr_exports && rc == 0; i++) {
        const struct zr_export_record *record = &server->store.records[i];
        uint64_t before = all->stored_bytes;

        rc = zr_recover(&server->pool, zr_store_file_root(&server->store, record),
                        (record->size_bytes + ZR_PAGE_BYTES - 1) / ZR_PAGE_BYTES,
                        1 + ZR_CHECKSUM_BYTES, all);
        stored_bytes[i] = all->stored_bytes - before;
    }
    server->recovery_ns = zr_worker_now_ns() - start_ns;
    return rc;
}

// ---- Devices

static int init_identity(struct zr_identity *identity, const struct zr_export_record *record)
{
    if (record) {
        memcpy(identity->uuid, record->uuid, sizeof identity->uuid);
        return 0;
    }
    return getrandom(identity->uuid, sizeof identity->uuid, 0) < 0 ? -errno : 0;
}

static int init_device(struct zr_server *server, const struct zr_export_config *export,
                       const uint64_t *stored_bytes)
{
    struct zr_device *device = &server->devices[server->nr_devices];
    struct zr_export_record *record =
        server->has_store ? zr_store_file_find(&server->store, export->name) : NULL;
    int rc = zr_request_stats_init(&server->requests[server->nr_devices]);

    if (rc < 0) {
        return rc;
    }
    rc = zr_device_init(device, export->name, export->size_bytes, export->limit_bytes,
                        &server->codec, &server->pool, server->deferred, &server->compactor,
                        record ? zr_store_file_root(&server->store, record) : NULL,
                        record ? stored_bytes[record - server->store.records] : 0);
    if (rc < 0) {
        zr_request_stats_fini(&server->requests[server->nr_devices]);
        return rc;
    }
    if (record) {
        device->checksum_seed = record->checksum_seed;
    }
    device->groups = &server->groups;
    device->demoter = &server->demoter;
    rc = init_identity(&server->identities[server->nr_devices], record);
    server->tables[server->nr_devices] = &device->table;
    zr_clients_init(&server->clients[server->nr_devices], export->max_connections);
    zr_lines_init(&server->lines[server->nr_devices]);
    server->nr_devices++;
    return rc;
}

// Those of the store that are not served: compaction must find their objects.
static int init_kept_devices(struct zr_server *server, const uint64_t *stored_bytes)
{
    uint32_t i;
    int rc = 0;

    for (i = 0; i < server->store.header.nr_exports && rc == 0; i++) {
        struct zr_export_record *record = &server->store.records[i];
        struct zr_export_config kept = {
            .name = record->name,
            .size_bytes = record->size_bytes,
            .limit_bytes = record->limit_bytes,
        };

        if (!zr_server_find(server, record->name)) {
            rc = init_device(server, &kept, stored_bytes);
        }
    }
    return rc;
}

static int init_devices(struct zr_server *server, const struct zr_server_config *config,
                        const uint64_t *stored_bytes)
{
    size_t nr = config->nr_exports + server->store.header.nr_exports;
    size_t i;
    int rc = 0;

    server->devices = calloc(nr, sizeof *server->devices);
    server->tables = calloc(nr, sizeof(struct zr_slot_table *));
    server->requests = calloc(nr, sizeof *server->requests);
    server->clients = calloc(nr, sizeof *server->clients);
    server->lines = calloc(nr, sizeof *server->lines);
    server->identities = calloc(nr, sizeof *server->identities);
    if (!server->devices || !server->tables || !server->requests || !server->clients ||
        !server->lines || !server->identities) {
        return -ENOMEM;
    }
    for (i = 0; i < config->nr_exports && rc == 0; i++) {
        rc = init_device(server, &config->exports[i], stored_bytes);
    }
    if (rc < 0) {
        return rc;
    }
    server->nr_served = config->nr_exports;
    return init_kept_devices(server, stored_bytes);
}

static void fini_devices(struct zr_server *server)
{
    while (server->nr_devices > 0) {
        zr_device_fini(&server->devices[--server->nr_devices]);
        zr_request_stats_fini(&server->requests[server->nr_devices]);
        zr_clients_fini(&server->clients[server->nr_devices]);
        zr_lines_fini(&server->lines[server->nr_devices]);
    }
    free(server->devices);
    free(server->tables);
    free(server->requests);
    free(server->clients);
    free(server->lines);
    free(server->identities);
}

// ---- The state

static int refuse_state(const struct zr_server_config *config, int rc, char *why)
{
    snprintf(why, ZR_STORE_WHY_BYTES, "state=%.200s: cannot write: %s", config->state,
             strerrordesc_np(-rc));
    return rc;
}

// What was in use, and is not here any more, is lost: it reads as EIO, not as zeros.  What is here
// is in use, served or not, also if the store had no state=FILE until now.
static int lose_missing(struct zr_server *server, const struct zr_server_config *config, char *why)
{
    size_t i;
    int rc;

    for (i = 0; i < server->nr_devices; i++) {
        struct zr_device *device = &server->devices[i];
        struct zr_identity *identity = &server->identities[i];
        bool is_served = i < server->nr_served;
        enum zr_export_use use = zr_state_find(&server->state, device->name, identity->uuid);
        bool is_empty =
            atomic_load_explicit(&device->table.account.stored_bytes, memory_order_relaxed) == 0;

        if (use == ZR_EXPORT_IS_LOST && !is_empty && is_served) {
            snprintf(why, ZR_STORE_WHY_BYTES,
                     "state=%.200s: export '%.60s' in the store is not the one that is in use, and "
                     "holds something: drop it, or give the state that belongs to the store",
                     config->state, device->name);
            return -EINVAL;
        }
        if (use == ZR_EXPORT_IS_LOST && is_served) {
            zr_device_lose(device);
        }
        if (use == ZR_EXPORT_UNUSED && !is_empty) {
            rc = zr_state_note(&server->state, device->name, identity->uuid);
            if (rc < 0) {
                return refuse_state(config, rc, why);
            }
            use = ZR_EXPORT_IN_USE;
        }
        atomic_store_explicit(&identity->is_noted, use == ZR_EXPORT_IN_USE || !config->state,
                              memory_order_relaxed);
    }
    return 0;
}

static int init_state(struct zr_server *server, const struct zr_server_config *config, char *why)
{
    static const uint8_t any[ZR_STATE_UUID_BYTES];
    int rc = zr_state_init(&server->state, config->state, why);
    size_t i;

    if (rc < 0) {
        return rc;
    }
    for (i = 0; i < config->nr_drops && rc == 0; i++) {
        // Once: the next start may have the same command line.
        if (zr_state_find(&server->state, config->drops[i], any) != ZR_EXPORT_UNUSED) {
            rc = zr_state_drop(&server->state, config->drops[i]);
        }
    }
    rc = rc < 0 ? refuse_state(config, rc, why) : lose_missing(server, config, why);
    if (rc < 0) {
        zr_state_fini(&server->state);
    }
    return rc;
}

// ---- All together

static int init_codec(struct zr_server *server, const struct zr_server_config *config)
{
    const struct zr_codec_ops *const *ops;
    int rc = zr_codec_init(&server->codec, config->codec, config->level);

    if (rc < 0) {
        return rc;
    }
    if (!server->has_store) {
        server->codec.checksum_bytes = config->without_checksum ? 0 : ZR_CHECKSUM_BYTES;
        return 0;
    }
    server->codec.without_checksum = config->without_checksum;
    server->codec.may_lack_checksum = (server->store.header.features & ZR_FEATURE_UNCHECKED) != 0;
    // There are two: so one other at most.
    for (ops = zr_codecs; *ops; ops++) {
        if (*ops != config->codec && server->recovered.has_kind[(*ops)->kind]) {
            rc = zr_codec_init(&server->older, *ops, (*ops)->default_level);
            server->codec.older = rc == 0 ? &server->older : NULL;
        }
    }
    return rc;
}

static void fini_codec(struct zr_server *server)
{
    zr_codec_fini(&server->codec);
    zr_codec_fini(&server->older);
}

// Sets the batches aside, whatever the limit is now: what is stored may be above it already.
static int set_batches_aside(struct zr_server *server, uint64_t limit_bytes)
{
    int rc;

    zr_pool_set_limit(&server->pool, server->has_store ? ZR_POOL_MAX_BYTES : limit_bytes);
    rc = zr_deferred_free_set_batches_aside(server->deferred);
    if (rc == -ENOSPC && server->has_store) {
        // The tmpfs is full.  It had this much when the last server was killed.
        zr_pool_release_unclaimed(&server->pool);
        rc = zr_deferred_free_set_batches_aside(server->deferred);
    }
    zr_pool_set_limit(&server->pool, limit_bytes);
    return rc;
}

// Makes the store what the command line says.  Until then a start that fails must leave all as it
// was, also what was to be dropped: so only from here on is what nobody claimed free.
static int commit_store(struct zr_server *server, char *why)
{
    uint64_t start_ns;
    int rc = zr_store_file_commit(&server->store, why);

    if (rc == 0) {
        start_ns = zr_worker_now_ns();
        zr_pool_end_claims(&server->pool);
        server->recovery_ns += zr_worker_now_ns() - start_ns;
    }
    return rc;
}

// What stands on the pool.  Frees what it made if it fails.
static int init_above_pool(struct zr_server *server, const struct zr_server_config *config,
                           uint64_t limit_bytes, char *why)
{
    uint64_t *stored_bytes = calloc(server->store.header.nr_exports + 1, sizeof *stored_bytes);
    bool has_state = false;
    int rc = stored_bytes ? 0 : -ENOMEM;

    if (rc == 0 && server->has_store) {
        rc = recover(server, stored_bytes);
    }
    if (rc == 0) {
        rc = zr_deferred_free_create_bare(&server->pool, &server->deferred);
    }
    if (rc == 0) {
        rc = init_codec(server, config);
    }
    if (rc == 0) {
        rc = zr_group_cache_init(&server->groups);
    }
    if (rc == 0) {
        rc = init_devices(server, config, stored_bytes);
    }
    if (rc == 0) {
        rc = zr_demoter_init(&server->demoter, &server->pool, server->deferred, server->devices,
                             server->nr_devices);
    }
    if (rc == 0) {
        rc = init_state(server, config, why);
        has_state = rc == 0;
    }
    if (rc == 0 && server->has_store) {
        rc = commit_store(server, why);
    }
    if (rc == 0) {
        rc = set_batches_aside(server, limit_bytes);
    }
    free(stored_bytes);
    if (rc < 0) {
        if (has_state) {
            zr_state_fini(&server->state);
        }
        zr_demoter_fini(&server->demoter);
        fini_devices(server);
        zr_group_cache_fini(&server->groups);
        fini_codec(server);
        if (server->deferred) {
            zr_deferred_free_destroy(server->deferred);
        }
    }
    return rc;
}

static uint64_t limit_of(const struct zr_server_config *config)
{
    uint64_t limit_bytes = machine_memory_bytes();

    limit_bytes = limit_bytes < ZR_POOL_MAX_BYTES ? limit_bytes : ZR_POOL_MAX_BYTES;
    return config->limit_bytes > 0 && config->limit_bytes < limit_bytes ? config->limit_bytes
                                                                        : limit_bytes;
}

// Opens it, as the command line wants it.
static int open_store(struct zr_server *server, const struct zr_server_config *config, char *why)
{
    int rc = zr_store_file_open(&server->store, config->store, why);

    if (rc < 0) {
        return rc;
    }
    server->has_store = true;
    rc = fit_store(server, config, why);
    if (rc < 0) {
        zr_store_file_close(&server->store);
    }
    return rc;
}

int zr_server_init_why(struct zr_server *server, const struct zr_server_config *config, char *why)
{
    const uint64_t limit_bytes = limit_of(config);
    int rc;

    why[0] = '\0';
    *server = (struct zr_server){.start_ns = zr_worker_now_ns()};
    rc = config->store ? open_store(server, config, why) : 0;
    if (rc < 0) {
        return rc;
    }
    rc = zr_pool_init(&server->pool, limit_bytes, server->has_store ? &server->store : NULL);
    if (rc < 0) {
        goto error_store;
    }
    rc = init_above_pool(server, config, limit_bytes, why);
    if (rc < 0) {
        goto error_pool;
    }
    if (server->has_store) {
        zr_store_file_set_holder(&server->store);
    }
    zr_compactor_init(&server->compactor, &server->pool, server->deferred, server->tables,
                      server->nr_devices);
    zr_ager_init(&server->ager, server->tables, server->nr_devices);
    zr_cold_init(&server->cold, &config->cold, &server->demoter, &server->groups,
                 &server->compactor, server->tables, server->nr_devices);
    server->ager.interval_s = server->cold.interval_s;
    return 0;

error_pool:
    zr_pool_fini(&server->pool);
error_store:
    if (server->has_store) {
        if (why[0] == '\0') {
            snprintf(why, ZR_STORE_WHY_BYTES, "store=%.200s: cannot start with it: %s",
                     config->store, strerrordesc_np(-rc));
        }
        zr_store_file_close(&server->store);
    }
    return rc;
}

int zr_server_init(struct zr_server *server, const struct zr_server_config *config)
{
    char why[ZR_STORE_WHY_BYTES];

    return zr_server_init_why(server, config, why);
}

int zr_server_start(struct zr_server *server)
{
    int rc;

    if (server->has_store) {
        zr_store_file_set_holder(&server->store);
    }
    rc = zr_keeper_start(&server->keeper, &server->pool, server->deferred);

    if (rc == 0) {
        rc = zr_compactor_start(&server->compactor);
    }
    if (rc == 0) {
        rc = zr_ager_start(&server->ager);
    }
    return rc < 0 ? rc : zr_cold_start(&server->cold);
}

void zr_server_fini(struct zr_server *server)
{
    zr_cold_stop(&server->cold);
    zr_ager_stop(&server->ager);
    zr_compactor_stop(&server->compactor);
    zr_compactor_fini(&server->compactor);
    zr_keeper_stop(&server->keeper);
    zr_demoter_fini(&server->demoter);
    fini_devices(server);
    zr_group_cache_fini(&server->groups);
    fini_codec(server);
    zr_state_fini(&server->state);
    zr_deferred_free_destroy(server->deferred);
    zr_pool_fini(&server->pool);
    if (server->has_store) {
        zr_store_file_close(&server->store);
    }
}

void zr_server_abandon(struct zr_server *server)
{
    zr_state_fini(&server->state);
    if (server->has_store) {
        zr_arena_fini(&server->pool.arena);
        zr_store_file_close(&server->store);
    }
}

struct zr_device *zr_server_find(struct zr_server *server, const char *name)
{
    size_t i;

    for (i = 0; i < server->nr_served; i++) {
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

const struct zr_identity *zr_server_identity(const struct zr_server *server,
                                             const struct zr_device *device)
{
    return &server->identities[device - server->devices];
}

int zr_server_note_use(struct zr_server *server, const struct zr_device *device)
{
    struct zr_identity *identity = &server->identities[device - server->devices];
    int rc;

    if (atomic_load_explicit(&identity->is_noted, memory_order_relaxed)) {
        return 0;
    }
    rc = zr_state_note(&server->state, device->name, identity->uuid);
    if (rc == 0) {
        atomic_store_explicit(&identity->is_noted, true, memory_order_relaxed);
    }
    return rc;
}

struct zr_clients *zr_server_clients(struct zr_server *server, const struct zr_device *device)
{
    return &server->clients[device - server->devices];
}

struct zr_lines *zr_server_lines(struct zr_server *server, const struct zr_device *device)
{
    return &server->lines[device - server->devices];
}
