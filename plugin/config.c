// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "config.h"
#include "parse.h"
#include "stats-document.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MIN_LIMIT_BYTES (1 << 20) // the batches set aside for freeing must fit
#define MAX_NAME_BYTES 255

static int bad_value(const char *key, const char *value, const char *reason, char *why)
{
    snprintf(why, ZR_CONFIG_WHY_BYTES, "%s=%.200s: %s", key, value, reason);
    return -1;
}

// text is the part of value that is a size.
static int set_size(const char *key, const char *value, const char *text, uint64_t min_bytes,
                    uint64_t *bytes, char *why)
{
    int rc = zr_parse_size(text, bytes);

    if (rc == -EINVAL) {
        return bad_value(key, value, "not a size (a number of bytes, or one with K, M, G, T or P)",
                         why);
    }
    if (rc < 0 || *bytes < min_bytes || *bytes > ZR_DEVICE_MAX_BYTES) {
        return bad_value(key, value,
                         min_bytes == MIN_LIMIT_BYTES ? "out of range (1M to 1P)"
                                                      : "out of range (1 byte to 1P)",
                         why);
    }
    return 0;
}

static bool has_export(const struct zr_config *config, const char *name)
{
    size_t i;

    for (i = 0; i < config->server.nr_exports; i++) {
        if (strcmp(config->server.exports[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

static int add_export(struct zr_config *config, const char *name, uint64_t size_bytes,
                      uint64_t limit_bytes, int max_connections, char *why)
{
    size_t nr = config->server.nr_exports;
    struct zr_export_config *exports = realloc(config->server.exports, (nr + 1) * sizeof *exports);
    char *own_name = strdup(name);

    if (exports) {
        config->server.exports = exports;
    }
    if (!exports || !own_name) {
        free(own_name);
        return bad_value(name[0] ? "export" : "size", name, "out of memory", why);
    }
    exports[nr] = (struct zr_export_config){.name = own_name,
                                            .size_bytes = size_bytes,
                                            .limit_bytes = limit_bytes,
                                            .max_connections = (uint64_t)max_connections};
    config->server.nr_exports++;
    return 0;
}

// size=SIZE: the default export.
static int set_default_export(struct zr_config *config, const char *key, const char *value,
                              char *why)
{
    uint64_t size_bytes;

    if (has_export(config, "")) {
        return bad_value(key, value, "given twice", why);
    }
    if (set_size(key, value, value, 1, &size_bytes, why) < 0) {
        return -1;
    }
    return add_export(config, "", size_bytes, UINT64_MAX, 0, why);
}

static bool is_name(const char *name)
{
    static const char characters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    size_t bytes = strspn(name, characters);

    return bytes > 0 && bytes <= MAX_NAME_BYTES && name[bytes] == '\0';
}

// fields is a copy of value, cut into its fields here; NULL where there is none.
static int set_export_fields(struct zr_config *config, const char *key, const char *value,
                             char *fields, char *why)
{
    const char *name = strsep(&fields, ":");
    const char *size = strsep(&fields, ":");
    const char *limit = strsep(&fields, ":");
    const char *connections = strsep(&fields, ":");
    uint64_t size_bytes, limit_bytes = UINT64_MAX;
    int max_connections = 0;

    if (!size || fields) {
        return bad_value(key, value, "not NAME:SIZE[:LIMIT[:CONNECTIONS]]", why);
    }
    if (!is_name(name)) {
        return bad_value(key, value,
                         "a name is 1 to 255 letters, digits, dots, dashes, underscores", why);
    }
    if (has_export(config, name)) {
        return bad_value(key, value, "there is an export of that name already", why);
    }
    if (connections && *limit == '\0') {
        limit = NULL; // NAME:SIZE::CONNECTIONS
    }
    if (set_size(key, value, size, 1, &size_bytes, why) < 0 ||
        (limit && set_size(key, value, limit, 1, &limit_bytes, why) < 0)) {
        return -1;
    }
    if (connections && (zr_parse_int(connections, &max_connections) < 0 || max_connections < 1)) {
        return bad_value(key, value, "CONNECTIONS is a whole number from 1 on", why);
    }
    return add_export(config, name, size_bytes, limit_bytes, max_connections, why);
}

// export=NAME:SIZE[:LIMIT[:CONNECTIONS]]
static int set_export(struct zr_config *config, const char *key, const char *value, char *why)
{
    char *fields = strdup(value);
    int rc = fields ? set_export_fields(config, key, value, fields, why)
                    : bad_value(key, value, "out of memory", why);

    free(fields);
    return rc;
}

// The path goes into messages and into statistics.
static int set_path(const char *key, const char *value, const char **path, char *why)
{
    const char *c;

    for (c = value; *c >= ' ' && *c <= '~'; c++) {
    }
    if (value[0] == '\0' || *c != '\0') {
        return bad_value(key, value, "not the path of a file, in printable ASCII", why);
    }
    *path = value;
    return 0;
}

static int add_drop(struct zr_config *config, const char *key, const char *value, char *why)
{
    size_t nr = config->server.nr_drops;
    const char **drops = realloc(config->server.drops, (nr + 1) * sizeof *drops);

    if (!drops) {
        return bad_value(key, value, "out of memory", why);
    }
    drops[nr] = value;
    config->server.drops = drops;
    config->server.nr_drops++;
    return 0;
}

static int set_switch(const char *key, const char *value, bool *is_on, char *why)
{
    return zr_parse_bool(value, is_on) == 0
               ? 0
               : bad_value(key, value, "not on or off (nor true, false, yes, no, 1, 0)", why);
}

// cold=auto, off, or the seconds after which a page is cold.
static int set_cold(const char *key, const char *value, struct zr_cold_config *cold, char *why)
{
    int seconds;

    if (strcmp(value, "auto") == 0) {
        cold->mode = ZR_COLD_AUTO;
    } else if (zr_parse_int(value, &seconds) == 0 && seconds > 0 &&
               (unsigned)seconds <= ZR_COLD_MAX_SECONDS) {
        cold->mode = ZR_COLD_FIXED;
        cold->seconds = (uint64_t)seconds;
    } else if (strcmp(value, "off") == 0) {
        cold->mode = ZR_COLD_OFF;
    } else {
        return bad_value(key, value, "not auto, off, or seconds from 1 to 31536000", why);
    }
    return 0;
}

static int set_percent(const char *key, const char *value, unsigned *percent, char *why)
{
    int number;

    if (zr_parse_int(value, &number) < 0 || number < 1 || number > 100) {
        return bad_value(key, value, "not per cent of one CPU, 1 to 100", why);
    }
    *percent = (unsigned)number;
    return 0;
}

int zr_config_set(struct zr_config *config, const char *key, const char *value, char *why)
{
    if (strcmp(key, "size") == 0) {
        return set_default_export(config, key, value, why);
    }
    if (strcmp(key, "export") == 0) {
        return set_export(config, key, value, why);
    }
    if (strcmp(key, "limit") == 0) {
        return set_size(key, value, value, MIN_LIMIT_BYTES, &config->server.limit_bytes, why);
    }
    if (strcmp(key, "compression") == 0) {
        config->server.codec = zr_codec_find(value);
        return config->server.codec ? 0 : bad_value(key, value, "no such codec (lz4 or zstd)", why);
    }
    if (strcmp(key, "level") == 0) {
        config->level_text = value;
        return 0;
    }
    if (strcmp(key, "checksum") == 0) {
        bool is_on;
        int rc = set_switch(key, value, &is_on, why);

        config->server.without_checksum = !is_on;
        return rc;
    }
    if (strcmp(key, "cold") == 0) {
        return set_cold(key, value, &config->server.cold, why);
    }
    if (strcmp(key, "cold-cpu") == 0) {
        return set_percent(key, value, &config->server.cold.cpu_percent, why);
    }
    if (strcmp(key, "mlock") == 0) {
        return set_switch(key, value, &config->has_mlock, why);
    }
    if (strcmp(key, "local-swap") == 0) {
        return set_switch(key, value, &config->has_local_swap, why);
    }
    if (strcmp(key, "store") == 0) {
        return set_path(key, value, &config->server.store, why);
    }
    if (strcmp(key, "state") == 0) {
        return set_path(key, value, &config->server.state, why);
    }
    if (strcmp(key, "drop") == 0) {
        return add_drop(config, key, value, why);
    }
    if (strcmp(key, "stats-export") == 0) {
        config->stats_export = value;
        return value[0] ? 0 : bad_value(key, value, "needs a name", why);
    }
    return bad_value(key, value, "unknown parameter", why);
}

static int complete_level(struct zr_config *config, char *why)
{
    const struct zr_codec_ops *codec = config->server.codec;
    int *level = &config->server.level;
    char reason[100];

    *level = codec->default_level;
    if (!config->level_text) {
        return 0;
    }
    if (!codec->has_level) {
        snprintf(reason, sizeof reason, "compression=%s has no levels", codec->name);
        return bad_value("level", config->level_text, reason, why);
    }
    if (zr_parse_int(config->level_text, level) < 0 || *level < codec->min_level() ||
        *level > codec->max_level()) {
        snprintf(reason, sizeof reason, "compression=%s takes a whole number from %d to %d",
                 codec->name, codec->min_level(), codec->max_level());
        return bad_value("level", config->level_text, reason, why);
    }
    return 0;
}

static int check_stats_export(const struct zr_config *config, char *why)
{
    char reason[MAX_NAME_BYTES + 40];
    size_t i;

    for (i = 0; i < config->server.nr_exports; i++) {
        const char *name = config->server.exports[i].name;

        if (zr_stats_document_find(config->stats_export, name)) {
            snprintf(reason, sizeof reason, "there is a disk of the name %s", name);
            return bad_value("stats-export", config->stats_export, reason, why);
        }
    }
    return 0;
}

static int check_drops(const struct zr_config *config, char *why)
{
    size_t i;

    for (i = 0; i < config->server.nr_drops; i++) {
        const char *name = config->server.drops[i];

        if (!config->server.store) {
            return bad_value("drop", name, "there is no store=FILE to drop it from", why);
        }
        if (has_export(config, name)) {
            return bad_value("drop", name, "an export of that name is to be served", why);
        }
    }
    return 0;
}

int zr_config_complete(struct zr_config *config, char *why)
{
    if (config->server.nr_exports == 0) {
        snprintf(why, ZR_CONFIG_WHY_BYTES,
                 "size= is missing: give the size of the swap device, for "
                 "example size=4G");
        return -1;
    }
    if (check_stats_export(config, why) < 0 || check_drops(config, why) < 0) {
        return -1;
    }
    if (!config->server.codec) {
        config->server.codec = zr_codecs[0];
    }
    return complete_level(config, why);
}

void zr_config_fini(struct zr_config *config)
{
    while (config->server.nr_exports > 0) {
        free(config->server.exports[--config->server.nr_exports].name);
    }
    free(config->server.exports);
    config->server.exports = NULL;
    free(config->server.drops);
    config->server.drops = NULL;
    config->server.nr_drops = 0;
}
