// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// A disk whose server is killed at any instant, and what it must hold after that: each page what
// was last acknowledged, or, while a request that changes it was under way, that or what the
// request makes of it, whole pages at a time.
//
// No two requests of one disk are under way on one page: like a kernel that swaps, a request waits
// until those that touch its pages are over.  So there are never more than two contents that a page
// may have, and each read says which of them it must be.
//
// Only the pages of some windows are ever written; trims may cover more.
//
// Threads: begin, end and refused by many threads at a time, each with a slot of its own, and
// beside them expect_kill and was_killed; all else when no request is under way.  What is found
// wrong ends the program.
#ifndef ZR_TESTS_DURABLE_DISK_H
#define ZR_TESTS_DURABLE_DISK_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libnbd.h>

#define DURABLE_WINDOWS_MAX 4
#define DURABLE_SLOTS 3 // requests under way at a time

enum durable_kind { DURABLE_READ, DURABLE_WRITE, DURABLE_ZERO, DURABLE_TRIM, NR_DURABLE_KINDS };

struct durable_request {
    enum durable_kind kind;
    uint64_t offset, bytes; // no bytes: the slot is free
    uint8_t *data;          // of a read or write; borrowed until the request is forgotten
};

struct durable_window {
    uint64_t start, end; // bytes of the disk; whole pages
};

struct durable_disk {
    const char *name; // of the export
    uint64_t size;    // may grow
    uint8_t *bytes;   // what the disk holds; where it is in no window, nothing is kept
    size_t nr_windows;
    struct durable_window windows[DURABLE_WINDOWS_MAX];

    pthread_mutex_t queue; // the first of those who wait has it
    pthread_mutex_t lock;
    pthread_cond_t is_changed;
    bool is_over;
    atomic_bool is_dying; // a request may get no answer
    struct durable_request under_way[DURABLE_SLOTS];

    uint64_t nr_pages_compared;
    uint64_t nr_old, nr_new; // pages of requests under way that were found so, and differ
};

// A fresh disk, all zeros.  max_size is the most that it may grow to.
void durable_init(struct durable_disk *disk, const char *name, uint64_t size, uint64_t max_size);
void durable_fini(struct durable_disk *disk);

// Waits until no other request is under way on these pages.  False once the disk is over: the
// request was not begun.
bool durable_begin(struct durable_disk *disk, unsigned slot, const struct durable_request *request);

// The request is acknowledged.  What was read is compared.
void durable_end(struct durable_disk *disk, unsigned slot);

// The request was refused for want of memory: some of its pages may have been changed.  Reads
// which; without an answer the request stays under way.
bool durable_refused(struct durable_disk *disk, unsigned slot, struct nbd_handle *nbd);

// The server is about to be killed.  It was killed: nobody waits any longer.
void durable_expect_kill(struct durable_disk *disk);
void durable_was_killed(struct durable_disk *disk);

// The server is there again.  Reads all pages of all windows; those of requests that were under way
// become what was read.
void durable_check(struct durable_disk *disk, struct nbd_handle *nbd);

// No request was under way at the last kill, or the disk was checked since: it is known what it
// holds.
bool durable_is_settled(const struct durable_disk *disk);

// Pages that are not all zeros; and of them, those that repeat one 32-bit value.
void durable_count(const struct durable_disk *disk, uint64_t *nr_stored, uint64_t *nr_same);

#endif
