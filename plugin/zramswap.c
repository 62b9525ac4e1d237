// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// The nbdkit plugin: parameters, and callbacks that pass a request on to the device.
#include "server.h"
#include "parse.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL

// What one connection talks to: the device, or, if text is not NULL, a statistics document.
struct connection {
    struct zr_device *device;
    char *text;
    size_t text_bytes;
};

static struct zr_server_config config;
static const char *level_text; // checked when the codec is known, whatever the order given
static const char *stats_export;
static struct zr_server server;

// One line that names the parameter and its value; returns what a callback returns on failure.
static int bad_value(const char *key, const char *value, const char *why)
{
    nbdkit_error("%s=%s: %s", key, value, why);
    return -1;
}

static int config_size(const char *key, const char *value, uint64_t max_bytes, uint64_t *bytes)
{
    int rc;

    if (*bytes > 0) {
        return bad_value(key, value, "given twice");
    }
    rc = zr_parse_size(value, bytes);
    if (rc == -EINVAL) {
        return bad_value(key, value, "not a size (a number of bytes, or one with K, M, G, T or P)");
    }
    if (rc < 0 || *bytes == 0 || *bytes > max_bytes) {
        return bad_value(key, value,
                         max_bytes == ZR_DEVICE_MAX_BYTES
                             ? "out of range (1 byte to 1P)"
                             : "out of range (1 byte to the memory of the machine)");
    }
    return 0;
}

static int zramswap_config(const char *key, const char *value)
{
    if (strcmp(key, "size") == 0) {
        return config_size(key, value, ZR_DEVICE_MAX_BYTES, &config.size_bytes);
    }
    if (strcmp(key, "limit") == 0) {
        return config_size(key, value, INT64_MAX, &config.limit_bytes);
    }
    if (strcmp(key, "compression") == 0) {
        config.codec = zr_codec_find(value);
        return config.codec ? 0 : bad_value(key, value, "no such codec (lz4 or zstd)");
    }
    if (strcmp(key, "level") == 0) {
        level_text = value;
        return 0;
    }
    if (strcmp(key, "stats-export") == 0) {
        stats_export = value;
        return value[0] ? 0 : bad_value(key, value, "needs a name");
    }
    return bad_value(key, value, "unknown parameter");
}

static int config_level(void)
{
    const struct zr_codec_ops *codec = config.codec;
    char why[100];

    config.level = codec->default_level;
    if (!level_text) {
        return 0;
    }
    if (!codec->has_level) {
        snprintf(why, sizeof why, "compression=%s has no levels", codec->name);
        return bad_value("level", level_text, why);
    }
    if (zr_parse_int(level_text, &config.level) < 0 || config.level < codec->min_level() ||
        config.level > codec->max_level()) {
        snprintf(why, sizeof why, "compression=%s takes a whole number from %d to %d", codec->name,
                 codec->min_level(), codec->max_level());
        return bad_value("level", level_text, why);
    }
    return 0;
}

static int zramswap_config_complete(void)
{
    if (config.size_bytes == 0) {
        nbdkit_error("size= is missing: give the size of the swap device, for example size=4G");
        return -1;
    }
    if (!config.codec) {
        config.codec = zr_codecs[0];
    }
    return config_level();
}

#define zramswap_config_help                                                                       \
    "size=SIZE           (required) Size of the swap device, 1 byte to 1P.\n"                      \
    "compression=CODEC   lz4 or zstd; default lz4.\n"                                              \
    "level=N             Compression level, for zstd; default 1.\n"                                \
    "limit=SIZE          Most memory for what is stored; default all of the machine.\n"            \
    "stats-export=NAME   Serve statistics as JSON on the read-only export NAME."

static void zramswap_dump_plugin(void)
{
    const struct zr_codec_ops *const *codec;

    printf("zramswap_version=%s\n", PACKAGE_VERSION);
    for (codec = zr_codecs; *codec; codec++) {
        printf("zramswap_%s_version=%s\n", (*codec)->name, (*codec)->version());
        if ((*codec)->has_level) {
            printf("zramswap_%s_levels=%d..%d\n", (*codec)->name, (*codec)->min_level(),
                   (*codec)->max_level());
        }
    }
    printf("zramswap_compression_default=%s\n", zr_codecs[0]->name);
    printf("zramswap_features=trim fast-zero extents fua multi-conn stats-export limit\n");
}

// Before the fork, so that the user sees what fails; the threads come after it.
static int zramswap_get_ready(void)
{
    int rc = zr_server_init(&server, &config);

    if (rc < 0) {
        nbdkit_error("cannot set memory aside for the store: %s", strerrordesc_np(-rc));
        return -1;
    }
    return 0;
}

static int zramswap_after_fork(void)
{
    int rc = zr_server_start(&server);

    if (rc < 0) {
        nbdkit_error("cannot start the background thread: %s", strerrordesc_np(-rc));
        return -1;
    }
    return 0;
}

static void zramswap_cleanup(void)
{
    zr_server_fini(&server);
}

static void *zramswap_open(int readonly)
{
    struct connection *connection = calloc(1, sizeof *connection);
    const char *name = nbdkit_export_name();
    FILE *text;

    (void)readonly;
    if (!connection) {
        nbdkit_error("cannot open: %s", strerrordesc_np(errno));
        return NULL;
    }
    if (!stats_export || !name || strcmp(name, stats_export) != 0) {
        connection->device = &server.device;
        return connection;
    }
    // One document per connection, so that what a client reads is of one moment.
    text = open_memstream(&connection->text, &connection->text_bytes);
    if (text) {
        zr_server_print_stats(&server, text);
    }
    if (!text || fclose(text) != 0) {
        nbdkit_error("cannot make the statistics: %s", strerrordesc_np(errno));
        free(connection->text);
        free(connection);
        return NULL;
    }
    return connection;
}

static void zramswap_close(void *handle)
{
    struct connection *connection = handle;

    free(connection->text);
    free(connection);
}

static const char *zramswap_export_description(void *handle)
{
    const struct connection *connection = handle;

    if (connection->text) {
        return "zramswap statistics (JSON)";
    }
    return nbdkit_printf_intern("compressed swap (%s)", connection->device->codec->ops->name);
}

static int64_t zramswap_get_size(void *handle)
{
    const struct connection *connection = handle;

    return (int64_t)(connection->text ? connection->text_bytes : connection->device->size_bytes);
}

static int zramswap_block_size(void *handle, uint32_t *minimum, uint32_t *preferred,
                               uint32_t *maximum)
{
    (void)handle;
    *minimum = 1;
    *preferred = ZR_PAGE_BYTES;
    *maximum = UINT32_MAX; // no limit but nbdkit's own
    return 0;
}

static int is_device(void *handle)
{
    return ((const struct connection *)handle)->text == NULL;
}

static int yes(void *handle)
{
    (void)handle;
    return 1;
}

static int can_native_fua(void *handle)
{
    return is_device(handle) ? NBDKIT_FUA_NATIVE : NBDKIT_FUA_NONE;
}

static int can_native_cache(void *handle)
{
    (void)handle;
    return NBDKIT_CACHE_NATIVE;
}

// Turns 0 or -errno into what nbdkit wants.  (strerror would take the locale's lock.)
static int finish(int rc, const char *what, uint32_t count, uint64_t offset)
{
    if (rc == 0) {
        return 0;
    }
    nbdkit_error("%s of %u bytes at offset %llu: %s", what, count, (unsigned long long)offset,
                 strerrordesc_np(-rc));
    nbdkit_set_error(-rc);
    return -1;
}

static int zramswap_pread(void *handle, void *buffer, uint32_t count, uint64_t offset,
                          uint32_t flags)
{
    struct connection *connection = handle;

    (void)flags;
    if (connection->text) {
        memcpy(buffer, connection->text + offset, count);
        return 0;
    }
    return finish(zr_device_read(connection->device, buffer, count, offset), "read", count, offset);
}

// FUA and flush: nothing is ever kept back, memory is as durable as it gets.
static int zramswap_pwrite(void *handle, const void *buffer, uint32_t count, uint64_t offset,
                           uint32_t flags)
{
    struct connection *connection = handle;

    (void)flags;
    return finish(zr_device_write(connection->device, buffer, count, offset), "write", count,
                  offset);
}

static int zramswap_flush(void *handle, uint32_t flags)
{
    (void)handle;
    (void)flags;
    return 0;
}

// A zero is always as fast as a trim, and frees as much: no memory is set aside for a range, so
// nothing would be gained by keeping it "allocated".
static int zramswap_zero(void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
    struct connection *connection = handle;

    (void)flags;
    return finish(zr_device_zero(connection->device, count, offset), "zero", count, offset);
}

static int zramswap_trim(void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
    struct connection *connection = handle;

    (void)flags;
    return finish(zr_device_zero(connection->device, count, offset), "trim", count, offset);
}

static int report_extent(void *opaque, uint64_t offset, uint64_t bytes, bool is_hole)
{
    return nbdkit_add_extent(opaque, offset, bytes,
                             is_hole ? NBDKIT_EXTENT_HOLE | NBDKIT_EXTENT_ZERO : 0);
}

static int zramswap_extents(void *handle, uint32_t count, uint64_t offset, uint32_t flags,
                            struct nbdkit_extents *extents)
{
    struct connection *connection = handle;

    (void)flags;
    return zr_device_extents(connection->device, count, offset, report_extent, extents);
}

// Everything is in memory already.
static int zramswap_cache(void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
    (void)handle;
    (void)count;
    (void)offset;
    (void)flags;
    return 0;
}

static struct nbdkit_plugin plugin = {
    .name = "zramswap",
    .longname = "compressed swap",
    .version = PACKAGE_VERSION,
    .description = "A swap device for thin VMs, compressed in the memory of this host.",
    .config = zramswap_config,
    .config_complete = zramswap_config_complete,
    .config_help = zramswap_config_help,
    .magic_config_key = "size",
    .dump_plugin = zramswap_dump_plugin,
    .get_ready = zramswap_get_ready,
    .after_fork = zramswap_after_fork,
    .cleanup = zramswap_cleanup,
    .open = zramswap_open,
    .close = zramswap_close,
    .export_description = zramswap_export_description,
    .get_size = zramswap_get_size,
    .block_size = zramswap_block_size,
    .can_write = is_device,
    .can_flush = is_device,
    .can_trim = is_device,
    .can_zero = is_device,
    .can_fast_zero = is_device,
    .can_extents = is_device,
    .can_fua = can_native_fua,
    .can_cache = can_native_cache,
    .can_multi_conn = yes,
    .pread = zramswap_pread,
    .pwrite = zramswap_pwrite,
    .flush = zramswap_flush,
    .trim = zramswap_trim,
    .zero = zramswap_zero,
    .extents = zramswap_extents,
    .cache = zramswap_cache,
};

NBDKIT_REGISTER_PLUGIN(plugin)
