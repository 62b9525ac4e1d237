// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Arena: an address range that is reserved up front and opened in pieces.
//
// The only caller of mmap, mprotect, memfd_create and fallocate.  The whole range is mapped
// PROT_NONE at first: it costs nothing then, not even under mlockall(MCL_FUTURE), and never moves,
// so an offset is turned into a pointer by one addition.  A shared arena is an unnamed memfd, which
// another process can take over; a private one is anonymous memory for what can be rebuilt; one of
// a file maps a file of a tmpfs from some offset on. None is ever written to a core dump: it holds
// other people's memory.
//
// Threads: open and release may run beside any access to other parts of the range; two opens must
// not overlap (the pool calls it with its span lock held).
#ifndef ZR_ARENA_H
#define ZR_ARENA_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ZR_OS_PAGE_BYTES 4096u

enum zr_arena_kind { ZR_ARENA_SHARED, ZR_ARENA_PRIVATE, ZR_ARENA_FILE };

struct zr_arena {
    char *base;
    size_t reserved_bytes;
    _Atomic size_t open_bytes; // [0, open_bytes) may be accessed; only grows
    int fd;                    // -1 for a private arena; borrowed, if it is of a file
    enum zr_arena_kind kind;
    uint64_t file_offset; // where the range starts in the file
};

// Reserves the range.  Returns 0 or -errno (ENOMEM: no address space; EFBIG: RLIMIT_FSIZE; EMFILE,
// ENFILE).  Allocates.
int zr_arena_init(struct zr_arena *arena, enum zr_arena_kind kind, size_t reserve_bytes);

// The same, of an open file, from an offset of whole OS pages on.  A file that ends within the
// range is made as long as that; the memory of one that has some already stays.  fd is borrowed.
int zr_arena_init_file(struct zr_arena *arena, int fd, uint64_t file_offset, size_t reserve_bytes);

void zr_arena_fini(struct zr_arena *arena);

// Makes [0, end_bytes) accessible, as zeros where nothing was stored.  0 or -errno (ENOSPC: beyond
// the reservation; ENOMEM).  A system call unless that much is open already.
int zr_arena_open(struct zr_arena *arena, size_t end_bytes);

// Takes memory for a range of whole OS pages, and maps it, before anybody touches it: the touch of
// a page for which the system has no memory (vm.overcommit_memory=2, a full tmpfs) is SIGBUS.  0 or
// -errno (ENOSPC, ENOMEM).  A system call; 0.7 µs a page, against 12 µs for a page fault, were
// measured on a virtual machine with shadow page tables.
int zr_arena_back(struct zr_arena *arena, size_t offset_bytes, size_t bytes);

// Reads a range without touching the mapping: so it takes no page faults, and no memory where there
// was none.  0 or -errno.  A system call.  Not of a private arena.
int zr_arena_read(const struct zr_arena *arena, size_t offset_bytes, void *buffer, size_t bytes);

// The first stretch of memory from an offset on, in whole OS pages: [*start, *end), which is empty
// at the end of the reserved range if there is none.  What the system has swapped out counts as
// well.  0 or -errno.  Not of a private arena; one caller at a time.
int zr_arena_next_data(struct zr_arena *arena, size_t offset_bytes, size_t *start, size_t *end);

// Gives the memory of a range of whole OS pages back to the system; the range stays open and reads
// as zeros.  0 or -errno.  Blocks: tens of microseconds per call, more per call than per byte.
int zr_arena_release(struct zr_arena *arena, size_t offset_bytes, size_t bytes);

#endif
