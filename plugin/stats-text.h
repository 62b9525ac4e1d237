// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Statistics as text: one JSON object for people and zramswapctl, or Prometheus' text format for
// its scrapers.  Both need statistics with each export's.  Export names have no character that
// would want escaping: the configuration sees to that.  Nothing here depends on the locale.
#ifndef ZR_STATS_TEXT_H
#define ZR_STATS_TEXT_H

#include "stats.h"

#include <stdio.h>

// Errors are those of out, which the caller asks it for.
void zr_stats_print_json(const struct zr_server_stats *stats, FILE *out);
void zr_stats_print_prometheus(const struct zr_server_stats *stats, FILE *out);

#endif
