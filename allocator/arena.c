// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "arena.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
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

// Maps what the arena says, if making its file ready gave rc 0.  Undoes all if anything failed.
static int reserve(struct zr_arena *arena, int rc)
{
    int flags = MAP_NORESERVE | (arena->fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED);

    if (rc == 0) {
        arena->base = mmap(NULL, arena->reserved_bytes, PROT_NONE, flags, arena->fd,
                           (off_t)arena->file_offset);
        rc = arena->base == MAP_FAILED ||
                     madvise(arena->base, arena->reserved_bytes, MADV_DONTDUMP) < 0
                 ? -errno
                 : 0;
    }
    if (rc < 0) {
        zr_arena_fini(arena);
    }
    return rc;
}

int zr_arena_init(struct zr_arena *arena, enum zr_arena_kind kind, size_t reserve_bytes)
{
    int rc = 0;

    *arena = (struct zr_arena){
        .base = MAP_FAILED, .reserved_bytes = reserve_bytes, .fd = -1, .kind = kind};

    if (kind == ZR_ARENA_SHARED) {
        arena->fd = memfd_create("zramswap", MFD_CLOEXEC);
        if (arena->fd < 0 || set_size(arena->fd, reserve_bytes) < 0) {
            rc = -errno;
        }
    }
    return reserve(arena, rc);
}

int zr_arena_init_file(struct zr_arena *arena, int fd, uint64_t file_offset, size_t reserve_bytes)
{
    struct stat stat;
    int rc = 0;

    *arena = (struct zr_arena){.base = MAP_FAILED,
                               .reserved_bytes = reserve_bytes,
                               .fd = fd,
                               .kind = ZR_ARENA_FILE,
                               .file_offset = file_offset};
    if (fstat(fd, &stat) < 0 || ((uint64_t)stat.st_size < file_offset + reserve_bytes &&
                                 set_size(fd, file_offset + reserve_bytes) < 0)) {
        rc = -errno;
    }
    return reserve(arena, rc);
}

void zr_arena_fini(struct zr_arena *arena)
{
    if (arena->base != MAP_FAILED) {
        munmap(arena->base, arena->reserved_bytes);
    }
    if (arena->fd >= 0 && arena->kind != ZR_ARENA_FILE) {
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
    return fallocate(arena->fd, FALLOC_FL_KEEP_SIZE, (off_t)(arena->file_offset + offset_bytes),
                     (off_t)bytes) < 0
               ? -errno
               : 0;
}

int zr_arena_read(const struct zr_arena *arena, size_t offset_bytes, void *buffer, size_t bytes)
{
    ssize_t got = pread(arena->fd, buffer, bytes, (off_t)(arena->file_offset + offset_bytes));

    if (got < 0) {
        return -errno;
    }
    return (size_t)got == bytes ? 0 : -EIO;
}

int zr_arena_next_data(struct zr_arena *arena, size_t offset_bytes, size_t *start, size_t *end)
{
    const uint64_t file_end = arena->file_offset + arena->reserved_bytes;
    off_t data = lseek(arena->fd, (off_t)(arena->file_offset + offset_bytes), SEEK_DATA);
    off_t hole;

    *start = *end = arena->reserved_bytes;
    if (data < 0) {
        return errno == ENXIO ? 0 : -errno; // ENXIO: no more
    }
    if ((uint64_t)data >= file_end) {
        return 0;
    }
    hole = lseek(arena->fd, data, SEEK_HOLE);
    if (hole < 0) {
        return -errno;
    }
    *start = (size_t)((uint64_t)data - arena->file_offset);
    *end = (size_t)(((uint64_t)hole < file_end ? (uint64_t)hole : file_end) - arena->file_offset);
    return 0;
}

int zr_arena_release(struct zr_arena *arena, size_t offset_bytes, size_t bytes)
{
    // Punching, not MADV_DONTNEED: that one fails on locked memory.
    if (fallocate(arena->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                  (off_t)(arena->file_offset + offset_bytes), (off_t)bytes) < 0) {
        return -errno;
    }
    return 0;
}
