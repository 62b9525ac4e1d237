// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Config: parameters, as text, to what the server is made from.  On failure a function returns -1
// and writes one line that names the parameter and its value into why, ZR_CONFIG_WHY_BYTES long.
#ifndef ZR_CONFIG_H
#define ZR_CONFIG_H

#include "server.h"

#include <stdbool.h>

#define ZR_CONFIG_WHY_BYTES 512

struct zr_config { // zeroed before the first call
    struct zr_server_config server;
    const char *level_text; // checked when the codec is known, whatever the order given
    const char *stats_export;
    bool has_mlock, has_local_swap; // mlock=on, local-swap=on
};

// One parameter.  key and value must stay as long as config.
int zr_config_set(struct zr_config *config, const char *key, const char *value, char *why);

// After the last one: what is missing or does not go together; fills the defaults in.
int zr_config_complete(struct zr_config *config, char *why);

void zr_config_fini(struct zr_config *config);

#endif
