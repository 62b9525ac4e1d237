// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// The argument.  Opening a line suspects the older ones (S), then looks whether a request is under
// way on each (L).  A request first says that it is (B), then looks whether it is suspected (A).
// All four are seq_cst.  If L does not see B, it comes before it, and so S before A: the request is
// asked about.  If it does, the opening waits for the end of the request (acquire, pairs with the
// release in zr_line_end): what it did comes before all of the new line.
//
// The same holds for age.  A request that may have waited looks at the other lines (L), and waits
// for what began half a second ago.  One that it does not see has its B later, and its clock is
// read after B: it knows its own age.
#include "line.h"
#include "../allocator/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MS UINT64_C(1000000)
// Clients count their patience in seconds.
#define OLD_NS (500 * MS)
// Requests that a client has under way on one connection, at most: the kernel's has.
#define NR_UNDER_WAY 128
// Above the round trip of a network on which one would swap.
#define REST_NS (20 * MS)
#define OPEN_NS (3000 * MS)
#define PAUSE_NS (1 * MS)

void zr_lines_init(struct zr_lines *lines)
{
    *lines = (struct zr_lines){0};
    CDS_INIT_LIST_HEAD(&lines->lines);
    pthread_mutex_init(&lines->lock, NULL);
}

void zr_lines_fini(struct zr_lines *lines)
{
    pthread_mutex_destroy(&lines->lock);
}

static void pause_a_moment(void)
{
    nanosleep(&(struct timespec){.tv_nsec = (long)PAUSE_NS}, NULL);
}

// ---- What is being executed

static bool has_begun_before(const struct zr_line *line, uint64_t time_ns)
{
    uint64_t begun_ns = atomic_load_explicit(&line->begun_ns, memory_order_seq_cst);

    return begun_ns > 0 && begun_ns <= time_ns;
}

// Until no other line executes a request that began before that.
static void wait_for_requests(struct zr_lines *lines, const struct zr_line *self, uint64_t time_ns)
{
    const struct zr_line *line;
    bool is_one;

    do {
        is_one = false;
        pthread_mutex_lock(&lines->lock);
        cds_list_for_each_entry(line, &lines->lines, node)
        {
            is_one |= line != self && has_begun_before(line, time_ns);
        }
        pthread_mutex_unlock(&lines->lock);
        if (is_one) {
            pause_a_moment();
        }
    } while (is_one);
}

// ---- A line at rest: nothing of it is unread

// False if it runs, or would if it had a CPU: a thread that waits for data does neither.  How often
// it has gone to sleep tells whether it has run between two looks: a request that comes in pieces
// is read before it begins.  Where the system does not tell, time alone counts.
static bool is_asleep(pid_t thread, unsigned long long *nr_sleeps)
{
    static const char state[] = "\nState:\tS", sleeps[] = "\nvoluntary_ctxt_switches:";
    char path[40], text[4096];
    const char *found;
    ssize_t bytes = -1;
    int fd;

    *nr_sleeps = 0;
    snprintf(path, sizeof path, "/proc/self/task/%d/status", thread);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        bytes = read(fd, text, sizeof text - 1); // NOLINT(*-unix.BlockInCriticalSection): of /proc
        close(fd);
    }
    if (bytes <= 0) {
        return true;
    }
    text[bytes] = '\0';
    found = strstr(text, sleeps);
    if (found) {
        *nr_sleeps = strtoull(found + strlen(sleeps), NULL, 10);
    }
    return strstr(text, state) != NULL;
}

// Looks at the thread at the beginning of a rest and at its end only.
static bool is_at_rest(struct zr_line *line, uint64_t opened_ns, uint64_t now_ns)
{
    uint64_t nr_begun = atomic_load_explicit(&line->nr_begun, memory_order_relaxed);
    bool has_rested = line->rest_ns > 0 && nr_begun == line->nr_seen;
    unsigned long long nr_sleeps;

    line->nr_seen = nr_begun;
    if (has_begun_before(line, UINT64_MAX)) {
        line->rest_ns = 0;
        return false;
    }
    if (has_rested && (now_ns < line->rest_ns + REST_NS || now_ns < opened_ns + REST_NS)) {
        return false; // not for long enough
    }
    if (!is_asleep(line->thread, &nr_sleeps)) {
        line->rest_ns = 0;
        return false;
    }
    has_rested = has_rested && nr_sleeps == line->nr_sleeps;
    if (!has_rested) {
        line->rest_ns = now_ns;
    }
    line->nr_sleeps = nr_sleeps;
    return has_rested;
}

static bool are_older_settled(struct zr_lines *lines, struct zr_line *self, uint64_t opened_ns)
{
    uint64_t now_ns = zr_worker_now_ns();
    struct zr_line *line;
    bool are_settled = true;

    pthread_mutex_lock(&lines->lock);
    cds_list_for_each_entry(line, &lines->lines, node)
    {
        if (line == self) {
            break; // what follows is newer
        }
        // What is being opened has got no request yet.
        are_settled &= line->is_opening ||
                       atomic_load_explicit(&line->suspected_ns, memory_order_relaxed) == 0 ||
                       is_at_rest(line, opened_ns, now_ns);
    }
    pthread_mutex_unlock(&lines->lock);
    return are_settled;
}

// ---- Lines

int zr_lines_open(struct zr_lines *lines, struct zr_line *line, bool may_be_on_the_way)
{
    struct zr_line *older;
    uint64_t opened_ns;

    *line = (struct zr_line){.thread = gettid(), .is_opening = true};
    pthread_mutex_lock(&lines->lock);
    opened_ns = zr_worker_now_ns();
    // Relaxed: an older one that does not see this yet sees that it is suspected, or is waited for.
    atomic_fetch_add_explicit(&lines->nr_lines, 1, memory_order_relaxed);
    cds_list_for_each_entry(older, &lines->lines, node)
    {
        atomic_store_explicit(&older->suspected_ns, opened_ns, memory_order_seq_cst);
    }
    cds_list_add_tail(&line->node, &lines->lines);
    pthread_mutex_unlock(&lines->lock);
    opened_ns = zr_worker_now_ns();
    line->marks_ns[0] = line->marks_ns[1] = opened_ns;
    wait_for_requests(lines, line, opened_ns);
    opened_ns = zr_worker_now_ns();
    while (may_be_on_the_way && !are_older_settled(lines, line, opened_ns)) {
        if (zr_worker_now_ns() > opened_ns + OPEN_NS) {
            zr_lines_close(lines, line);
            return -EBUSY;
        }
        pause_a_moment();
    }
    pthread_mutex_lock(&lines->lock);
    line->is_opening = false;
    pthread_mutex_unlock(&lines->lock);
    return 0;
}

void zr_lines_close(struct zr_lines *lines, struct zr_line *line)
{
    pthread_mutex_lock(&lines->lock);
    cds_list_del(&line->node);
    atomic_fetch_sub_explicit(&lines->nr_lines, 1, memory_order_relaxed);
    pthread_mutex_unlock(&lines->lock);
}

// ---- Requests

static uint64_t say_that_one_begins(struct zr_line *line)
{
    uint64_t now_ns;

    atomic_store_explicit(&line->begun_ns, 1, memory_order_seq_cst);
    now_ns = zr_worker_now_ns();
    atomic_store_explicit(&line->begun_ns, now_ns, memory_order_relaxed);
    return now_ns;
}

// A client that has no more than 128 requests under way sent this one after the one 128 before it
// was answered, which was after that one began.
static bool may_be_old(const struct zr_line *line, uint64_t now_ns)
{
    return now_ns - line->marks_ns[0] >= OLD_NS;
}

static void count(struct zr_line *line, uint64_t now_ns)
{
    uint64_t nr = atomic_load_explicit(&line->nr_begun, memory_order_relaxed);

    atomic_store_explicit(&line->nr_begun, nr + 1, memory_order_relaxed);
    if (nr % NR_UNDER_WAY == 0) {
        line->marks_ns[0] = line->marks_ns[1];
        line->marks_ns[1] = now_ns;
    }
}

static bool is_suspected(struct zr_line *line, uint64_t now_ns)
{
    uint64_t suspected_ns = atomic_load_explicit(&line->suspected_ns, memory_order_seq_cst);

    if (suspected_ns == 0) {
        return false;
    }
    if (suspected_ns != line->suspicion_ns) {
        line->suspicion_ns = suspected_ns;
        line->nr_suspected = 0;
    }
    if (++line->nr_suspected == 2) {
        line->answered_ns = now_ns;
    }
    return true;
}

// Where nobody is left to take an answer, the system ends the connection a round trip later, also
// one that had more on the way, behind which its end could not be seen.
void zr_line_trust(struct zr_line *line, uint64_t start_ns)
{
    uint64_t suspicion_ns = line->suspicion_ns;

    if (line->nr_suspected > 2 && start_ns >= line->answered_ns + REST_NS) {
        // Unless a newer line has suspected it anew.  Relaxed: nothing is published by it.
        atomic_compare_exchange_strong_explicit(&line->suspected_ns, &suspicion_ns, 0,
                                                memory_order_relaxed, memory_order_relaxed);
    }
}

bool zr_line_begin(struct zr_lines *lines, struct zr_line *line, bool changes, uint64_t *start_ns)
{
    bool may_be_stale;

    *start_ns = say_that_one_begins(line);
    may_be_stale = changes && may_be_old(line, *start_ns) &&
                   atomic_load_explicit(&lines->nr_lines, memory_order_relaxed) > 1;
    if (may_be_stale) {
        // Not under way meanwhile, or two might wait for each other.
        zr_line_end(line);
        wait_for_requests(lines, line, *start_ns - OLD_NS);
        say_that_one_begins(line);
    }
    count(line, *start_ns);
    return is_suspected(line, *start_ns) || may_be_stale;
}

void zr_line_end(struct zr_line *line)
{
    atomic_store_explicit(&line->begun_ns, 0, memory_order_release);
}
