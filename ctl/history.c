// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "history.h"

#include <string.h>

void zr_history_add(struct zr_history *history, double value)
{
    history->values[history->next] = value;
    history->next = (history->next + 1) % ZR_HISTORY_MAX;
    history->nr += history->nr < ZR_HISTORY_MAX;
}

// The value of so many values ago; 0: the newest.
static double value_at(const struct zr_history *history, size_t ago)
{
    return history->values[(history->next + ZR_HISTORY_MAX - 1 - ago) % ZR_HISTORY_MAX];
}

double zr_history_max(const struct zr_history *history, size_t nr)
{
    double max = 0;
    size_t ago;

    for (ago = 0; ago < nr && ago < history->nr; ago++) {
        max = value_at(history, ago) > max ? value_at(history, ago) : max;
    }
    return max;
}

const char *zr_history_block(double share, bool has_utf8)
{
    static const char *const blocks[][2] = {
        {" ", " "}, {".", "▁"}, {":", "▂"}, {"-", "▃"}, {"=", "▄"},
        {"+", "▅"}, {"*", "▆"}, {"%", "▇"}, {"#", "█"},
    };
    int height = (int)(share * 8 + 0.5);

    if (height < 1) {
        height = share > 0; // a small value stays visible
    }
    return blocks[height < 8 ? height : 8][has_utf8];
}

void zr_history_draw(const struct zr_history *history, char *graph, size_t width, double max,
                     bool has_utf8)
{
    size_t ago;

    *graph = '\0';
    for (ago = width; ago-- > 0;) {
        bool has_value = ago < history->nr && max > 0;

        graph =
            stpcpy(graph, zr_history_block(has_value ? value_at(history, ago) / max : 0, has_utf8));
    }
}
