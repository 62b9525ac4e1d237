// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Line: a connection to an export, as far as its end is concerned.  A client that gives one up
// sends what was under way again on another one, and may then write newer data there.  What the
// server finds on the old one later must not be executed any more.  What is promised:
// docs/design.md.
//
// Before a request that may be stale is executed, the caller asks the system whether the client has
// hung up (zr_line_begin says when), and refuses it then.  May be stale: on a line that is older
// than another one, what comes after that was opened, until the client has shown that it is there
// (the line is *suspected*); and, while there are several, what may have waited for half a second:
// clients send again after a second at the earliest.
//
// What is being executed cannot be refused.  So a new line opens after it; and a request that may
// have waited for half a second waits for what has been executed for as long on other lines.
//
// Threads: a line belongs to the thread that opens it; calls on several lines may overlap.
// zr_lines_open blocks for others, and zr_line_begin where it says so; both, and zr_lines_close,
// take a lock under which files of /proc are read.  Nothing allocates.
#ifndef ZR_LINE_H
#define ZR_LINE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <urcu/list.h>

// Of an export.
struct zr_lines {
    pthread_mutex_t lock; // of the list, and of the fields that say so
    struct cds_list_head lines;
    _Atomic unsigned nr_lines;
};

struct zr_line {
    struct cds_list_head node;
    pid_t thread;
    _Atomic uint64_t begun_ns;     // of the request under way; 0: none; 1: just beginning
    _Atomic uint64_t nr_begun;     // requests
    _Atomic uint64_t suspected_ns; // since when; 0: it is not
    // Under the lock: since when it has been seen at rest, or 0; how many requests had begun by
    // then, and how often its thread had gone to sleep.
    uint64_t rest_ns, nr_seen;
    unsigned long long nr_sleeps;
    bool is_opening;
    // Its thread's:
    uint64_t marks_ns[2];  // when requests began, 128 to 255 and 0 to 127 ago
    uint64_t suspicion_ns; // suspected_ns, as it was at the last request
    uint64_t nr_suspected; // requests since then
    uint64_t answered_ns;  // when the first of them had been answered
};

void zr_lines_init(struct zr_lines *lines);
void zr_lines_fini(struct zr_lines *lines);

// In the thread that will execute its requests.  Returns after all that runs on older lines.  If
// data may be on the way that the client sent before it hung up (not so with a Unix socket), after
// each of the older lines has closed, has been at rest for a while, or is seen to be alive: waits
// 20 ms at least, and up to 3 s; -EBUSY if that was not enough.
int zr_lines_open(struct zr_lines *lines, struct zr_line *line, bool may_be_on_the_way);
void zr_lines_close(struct zr_lines *lines, struct zr_line *line);

// A request begins.  True: ask whether the client has hung up.  If so, and it changes something,
// refuse it; if not, call zr_line_trust.  Waits only if it changes something and another line has
// been executing a request for half a second.
bool zr_line_begin(struct zr_lines *lines, struct zr_line *line, bool changes, uint64_t *start_ns);
void zr_line_trust(struct zr_line *line, uint64_t start_ns);
void zr_line_end(struct zr_line *line);

#endif
