// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Text → parameters, one a line, key=value.  What is refused is told in one line that names the
// parameter; what is accepted is a server that can be made.
#include "fuzz.h"

#include "plugin/config.h"

#include <limits.h>

#define MAX_LINES 64

static void check_why(const char *why, const char *key)
{
    size_t nr_bytes = strnlen(why, ZR_CONFIG_WHY_BYTES);

    FUZZ_CHECK(nr_bytes > 0 && nr_bytes < ZR_CONFIG_WHY_BYTES);
    FUZZ_CHECK(strncmp(why, key, strnlen(key, ZR_CONFIG_WHY_BYTES - 1)) == 0);
    FUZZ_CHECK(!strchr(why, '\n'));
}

static void check_export(const struct zr_config *config, size_t i)
{
    const struct zr_export_config *export = &config->server.exports[i];

    FUZZ_CHECK(export->size_bytes >= 1 && export->size_bytes <= ZR_DEVICE_MAX_BYTES);
    FUZZ_CHECK(export->limit_bytes >= 1);
    FUZZ_CHECK(export->max_connections <= INT_MAX);
    FUZZ_CHECK(strlen(export->name) < 256);
    FUZZ_CHECK(!config->stats_export || strcmp(export->name, config->stats_export) != 0);
    for (size_t other = 0; other < i; other++) {
        FUZZ_CHECK(strcmp(export->name, config->server.exports[other].name) != 0);
    }
}

static void check_complete(const struct zr_config *config)
{
    const struct zr_codec_ops *codec = config->server.codec;

    FUZZ_CHECK(config->server.nr_exports > 0);
    for (size_t i = 0; i < config->server.nr_exports; i++) {
        check_export(config, i);
    }
    FUZZ_CHECK(config->server.limit_bytes == 0 || config->server.limit_bytes >= 1 << 20);
    FUZZ_CHECK(codec && zr_codec_find(codec->name) == codec);
    FUZZ_CHECK(!codec->has_level || (config->server.level >= codec->min_level() &&
                                     config->server.level <= codec->max_level()));
}

// As the plugin does it: the first parameter that is refused is the end.
static void configure(struct zr_config *config, char *text)
{
    char why[ZR_CONFIG_WHY_BYTES];
    char *line, *rest = text;

    for (unsigned nr = 0; nr < MAX_LINES && (line = strsep(&rest, "\n")); nr++) {
        char *key = strsep(&line, "=");

        memset(why, '!', sizeof why);
        if (line && zr_config_set(config, key, line, why) < 0) {
            check_why(why, key);
            return;
        }
    }
    memset(why, '!', sizeof why);
    if (zr_config_complete(config, why) < 0) {
        check_why(why, "");
    } else {
        check_complete(config);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t nr_bytes)
{
    struct zr_config config = {0};
    char *text = malloc(nr_bytes + 1);

    memcpy(text, bytes, nr_bytes);
    text[nr_bytes] = '\0';
    configure(&config, text);
    zr_config_fini(&config);
    free(text);
    return 0;
}
