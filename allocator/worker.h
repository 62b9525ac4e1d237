// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Worker: a background thread that does a piece of work, sleeps as long as that said, and begins
// again.  Nobody wakes it but stop: requests must not pay for wake-ups.
#ifndef ZR_WORKER_H
#define ZR_WORKER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

// Does a piece of work and returns for how many nanoseconds to sleep.
typedef uint64_t (*zr_work)(void *opaque);

struct zr_worker {
    pthread_t thread;
    pthread_mutex_t lock; // guards must_stop
    pthread_cond_t wake;
    bool is_running;
    bool must_stop;
    zr_work work;
    void *opaque;
};

// Starts the thread, with all signals blocked.  0 or -errno.
int zr_worker_start(struct zr_worker *worker, zr_work work, void *opaque);

// Waits for the piece of work under way and ends the thread; nothing if it does not run (the struct
// zeroed, or stopped before).
void zr_worker_stop(struct zr_worker *worker);

// Of the monotonic clock.
uint64_t zr_worker_now_ns(void);

#endif
