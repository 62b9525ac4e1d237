// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// What was written to and read of one page, and whether some order of it explains every read: one
// in which a request that ended before another began comes first.
// Source of the idea: Wing and Gong, Testing and Verifying Concurrent Objects (1993), with the
// memory of what was tried that Lowe added (2017).
#ifndef ZS_HISTORY_H
#define ZS_HISTORY_H

#include "fake-codec.h"

#define ZS_MAX_EVENTS 48

// One request's part in the page.
struct zs_event {
    bool is_write;
    bool is_optional; // it failed: it may have been done or not
    uint8_t mask;     // of blocks
    uint32_t blocks[ZS_BLOCKS];
    unsigned begin, end;
};

struct zs_history {
    unsigned nr;
    struct zs_event events[ZS_MAX_EVENTS];
};

enum zs_explained { ZS_EXPLAINED, ZS_UNEXPLAINED, ZS_GAVE_UP };

enum zs_explained zs_history_explain(const struct zs_history *history);
void zs_history_print(const struct zs_history *history);

#endif
