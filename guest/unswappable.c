// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "unswappable.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

// libnl takes 16 KiB for an answer, and frees it again.
enum { RESERVE_BYTES = 256 * 1024 };

static int never_kill(void)
{
    static const char lowest[] = "-1000";
    int file = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    int error = 0;

    if (file == -1 || write(file, lowest, strlen(lowest)) == -1) {
        error = -errno;
    }
    if (file != -1) {
        close(file);
    }
    return error;
}

int zr_become_unswappable(const char **what)
{
    void *volatile reserve;

    if (mlockall(MCL_CURRENT | MCL_FUTURE) == -1) {
        *what = "mlockall";
        return -errno;
    }
    // What malloc has once, it keeps.
    mallopt(M_MMAP_MAX, 0);
    mallopt(M_TRIM_THRESHOLD, INT_MAX);
    reserve = malloc(RESERVE_BYTES);
    if (!reserve) {
        *what = "malloc";
        return -ENOMEM;
    }
    free(reserve);
    // The kernel allocates for this process too (sockets).  To get the memory it may not swap out:
    // that would wait for the connection that is being made here.
    if (prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0) == -1) {
        *what = "prctl(PR_SET_IO_FLUSHER)";
        return -errno;
    }
    *what = "oom_score_adj";
    return never_kill();
}
