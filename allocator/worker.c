// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "worker.h"

#include <signal.h>
#include <time.h>

#define NS_PER_S 1000000000u

static void sleep_locked(struct zr_worker *worker, uint64_t ns)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    ns += (uint64_t)until.tv_nsec;
    until.tv_sec += (time_t)(ns / NS_PER_S);
    until.tv_nsec = (long)(ns % NS_PER_S);
    while (!worker->must_stop &&
           pthread_cond_timedwait(&worker->wake, &worker->lock, &until) == 0) {
    }
}

static void *run(void *arg)
{
    struct zr_worker *worker = arg;

    pthread_mutex_lock(&worker->lock);
    while (!worker->must_stop) {
        uint64_t sleep_ns;

        pthread_mutex_unlock(&worker->lock);
        sleep_ns = worker->work(worker->opaque);
        pthread_mutex_lock(&worker->lock);
        sleep_locked(worker, sleep_ns);
    }
    pthread_mutex_unlock(&worker->lock);
    return NULL;
}

int zr_worker_start(struct zr_worker *worker, zr_work work, void *opaque)
{
    pthread_condattr_t attr;
    sigset_t all, old;
    int rc;

    *worker = (struct zr_worker){.work = work, .opaque = opaque};
    pthread_mutex_init(&worker->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&worker->wake, &attr);
    pthread_condattr_destroy(&attr);

    // Signals are for the threads that know what they mean.
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    rc = pthread_create(&worker->thread, NULL, run, worker);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    worker->is_running = rc == 0;
    return -rc;
}

void zr_worker_stop(struct zr_worker *worker)
{
    if (!worker->is_running) {
        return;
    }
    pthread_mutex_lock(&worker->lock);
    worker->must_stop = true;
    pthread_cond_signal(&worker->wake);
    pthread_mutex_unlock(&worker->lock);
    pthread_join(worker->thread, NULL);
    pthread_cond_destroy(&worker->wake);
    pthread_mutex_destroy(&worker->lock);
    worker->is_running = false;
}

uint64_t zr_worker_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}
