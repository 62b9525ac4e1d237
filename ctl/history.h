// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// History: the last values of a number, and their graph, a character for each.
#ifndef ZR_CTL_HISTORY_H
#define ZR_CTL_HISTORY_H

#include <stdbool.h>
#include <stddef.h>

#define ZR_HISTORY_MAX 60
#define ZR_HISTORY_GRAPH_BYTES (ZR_HISTORY_MAX * 3 + 1)

struct zr_history { // zeroed before the first value
    double values[ZR_HISTORY_MAX];
    size_t nr, next;
};

void zr_history_add(struct zr_history *history, double value);

// The largest of the last nr values; 0 if there are none.
double zr_history_max(const struct zr_history *history, size_t nr);

// A character per value, the newest at the right end; width of them, ZR_HISTORY_MAX at most, and
// as high as max.  graph has ZR_HISTORY_GRAPH_BYTES.
void zr_history_draw(const struct zr_history *history, char *graph, size_t width, double max,
                     bool has_utf8);

// What stands for a share (0 to 1) of a character's height: "▁" to "█", or ASCII; " " for none.
const char *zr_history_block(double share, bool has_utf8);

#endif
