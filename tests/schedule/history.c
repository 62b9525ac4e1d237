// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "history.h"

#include <stdio.h>
#include <string.h>

#define NR_SEEN 8192
#define MAX_TRIES 200000

static struct {
    uint64_t key;
    unsigned generation;
} seen[NR_SEEN]; // dead ends: what was done, and what the page was then
static unsigned generation, nr_tries;

static uint64_t key_of(uint64_t done, const uint32_t *blocks)
{
    uint64_t key = done * UINT64_C(0x9e3779b97f4a7c15);
    unsigned i;

    for (i = 0; i < ZS_BLOCKS; i++) {
        key = (key ^ blocks[i]) * UINT64_C(0xff51afd7ed558ccd);
        key ^= key >> 29;
    }
    return key;
}

// The page after an event; false if it read something else.
static bool apply(const struct zs_event *event, uint32_t *blocks)
{
    unsigned i;

    for (i = 0; i < ZS_BLOCKS; i++) {
        if (event->mask >> i & 1) {
            if (!event->is_write && blocks[i] != event->blocks[i]) {
                return false;
            }
            blocks[i] = event->blocks[i];
        }
    }
    return true;
}

static bool explain(const struct zs_history *history, uint64_t done, const uint32_t *blocks)
{
    uint64_t key = key_of(done, blocks);
    unsigned first_end = UINT32_MAX, i;

    if (++nr_tries > MAX_TRIES) {
        return true;
    }
    if (seen[key % NR_SEEN].generation == generation && seen[key % NR_SEEN].key == key) {
        return false;
    }
    for (i = 0; i < history->nr; i++) {
        const struct zs_event *event = &history->events[i];

        if (!(done >> i & 1) && !event->is_optional && event->end < first_end) {
            first_end = event->end;
        }
    }
    if (first_end == UINT32_MAX) {
        return true; // all are done
    }
    for (i = 0; i < history->nr; i++) {
        uint32_t next[ZS_BLOCKS];

        if (done >> i & 1 || history->events[i].begin > first_end) {
            continue;
        }
        memcpy(next, blocks, sizeof next);
        if (apply(&history->events[i], next) && explain(history, done | UINT64_C(1) << i, next)) {
            return true;
        }
    }
    seen[key % NR_SEEN].key = key;
    seen[key % NR_SEEN].generation = generation;
    return false;
}

enum zs_explained zs_history_explain(const struct zs_history *history)
{
    static const uint32_t zeros[ZS_BLOCKS];

    generation++;
    nr_tries = 0;
    if (!explain(history, 0, zeros)) {
        return ZS_UNEXPLAINED;
    }
    return nr_tries > MAX_TRIES ? ZS_GAVE_UP : ZS_EXPLAINED;
}

void zs_history_print(const struct zs_history *history)
{
    unsigned i, j;

    for (i = 0; i < history->nr; i++) {
        const struct zs_event *event = &history->events[i];

        printf("    %3u..%3u %s%s", event->begin, event->end, event->is_write ? "write" : "read ",
               event->is_optional ? "?" : " ");
        for (j = 0; j < ZS_BLOCKS; j++) {
            if (event->mask >> j & 1) {
                printf(" %u:%u/%u", j, event->blocks[j] >> 3 & 0x1ffffff, event->blocks[j] & 7);
            }
        }
        printf("\n");
    }
}
