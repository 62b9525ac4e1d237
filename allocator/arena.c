// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "arena.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

// The size of the file, unless a limit forbids it: ftruncate would be SIGXFSZ then.
static int set_size(int fd, size_t bytes)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && bytes > limit.rlim_cur) {
        errno = EFBIG;
        return -1;
    }
    return ftruncate(fd, (off_t)bytes);
}

int zr_arena_init(struct zr_arena *arena, enum zr_arena_kind kind, size_t reserve_bytes)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    int rc;

    *arena = (struct zr_arena){.base = MAP_FAILED, .reserved_bytes = reserve_bytes, .fd = -1};

    if (kind == ZR_ARENA_SHARED) {
        flags = MAP_SHARED | MAP_NORESERVE;
        arena->fd = memfd_create("zramswap", MFD_CLOEXEC);
        if (arena->fd < 0 || set_size(arena->fd, reserve_bytes) < 0) {
            goto error;
        }
    }
    arena->base = mmap(NULL, reserve_bytes, PROT_NONE, flags, arena->fd, 0);
    if (arena->base == MAP_FAILED || madvise(arena->base, reserve_bytes, MADV_DONTDUMP) < 0) {
        goto error;
    }
    return 0;

error:
    rc = -errno;
    zr_arena_fini(arena);
    return rc;
}

void zr_arena_fini(struct zr_arena *arena)
{
    if (arena->base != MAP_FAILED) {
        munmap(arena->base, arena->reserved_bytes);
    }
    if (arena->fd >= 0) {
        close(arena->fd);
    }
    arena->base = MAP_FAILED;
    arena->fd = -1;
}

int zr_arena_open(struct zr_arena *arena, size_t end_bytes)
{
    // Always from the start, so that the kernel merges the pieces into one mapping.
    if (end_bytes <= arena->open_bytes) {
        return 0;
    }
    if (end_bytes > arena->reserved_bytes) {
        return -ENOSPC;
    }
    if (mprotect(arena->base, end_bytes, PROT_READ | PROT_WRITE) < 0) {
        return -errno;
    }
    arena->open_bytes = end_bytes;
    return 0;
}

int zr_arena_back(struct zr_arena *arena, size_t offset_bytes, size_t bytes)
{
    if (madvise(arena->base + offset_bytes, bytes, MADV_POPULATE_WRITE) == 0) {
        return 0;
    }
    if (errno != EINVAL) {
        return errno == EFAULT ? -ENOSPC : -errno; // EFAULT: the touch would have been SIGBUS
    }
    // Before Linux 5.14: the memory is taken as well, but not mapped.
    return fallocate(arena->fd, FALLOC_FL_KEEP_SIZE, (off_t)offset_bytes, (off_t)bytes) < 0 ? -errno
                                                                                            : 0;
}

int zr_arena_release(struct zr_arena *arena, size_t offset_bytes, size_t bytes)
{
    // Punching, not MADV_DONTNEED: that one fails on locked memory.
    if (fallocate(arena->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset_bytes,
                  (off_t)bytes) < 0) {
        return -errno;
    }
    return 0;
}
