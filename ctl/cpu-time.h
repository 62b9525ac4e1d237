// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// CPU time of the calling thread.
#ifndef ZR_CTL_CPU_TIME_H
#define ZR_CTL_CPU_TIME_H

#include <stdint.h>
#include <time.h>

static inline uint64_t zr_cpu_time_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

#endif
