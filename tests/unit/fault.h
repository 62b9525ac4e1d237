// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Fault injection: fails the nth allocation, and sees what is not given back.
//
// A program linked with fault.c has its own malloc, calloc, realloc, aligned_alloc, free, mmap,
// munmap, mprotect, madvise, memfd_create, ftruncate, close and pthread_create.  Libraries use them
// as well, so what zstd allocates counts too.  Each passes on to the next definition, libc's or a
// sanitizer's.  Only what the calling thread does is counted or fails.
#ifndef ZR_TESTS_FAULT_H
#define ZR_TESTS_FAULT_H

#include <stdbool.h>

// From now on calls that allocate (all but free, munmap and close) are counted, and the nth fails:
// with ENOMEM, pthread_create with EAGAIN.  1 is the next one; 0: none fails.  Nothing but the code
// under test should run until fault_disarm: an assertion allocates too.
void fault_arm(unsigned nth);

// Ends that.  True if a call was made to fail.
bool fault_disarm(void);

// Calls that allocated since fault_arm.
unsigned fault_nr_calls(void);

// Of them those that were not madvise, which takes memory for the arena.
unsigned fault_nr_heap_calls(void);

// Pieces of memory, mappings and memfds that were taken and not given back while armed, over all
// such times of the thread.  0: nothing leaked.
long fault_nr_live(void);

#endif
