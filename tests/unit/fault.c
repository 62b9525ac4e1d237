// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "fault.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static _Thread_local struct {
    bool is_armed, has_failed;
    unsigned nr_calls, nr_advice, nth;
    long nr_live;
} fault;

// These run before a sanitizer is ready: they must not be instrumented.
#define PLAIN __attribute__((no_sanitize("address", "thread", "undefined")))

// The definition that would be used without ours.
#define NEXT(name)                                                                                 \
    ({                                                                                             \
        static __typeof__(&name) next;                                                             \
                                                                                                   \
        if (!next) {                                                                               \
            next = (__typeof__(&name))dlsym(RTLD_NEXT, #name);                                     \
        }                                                                                          \
        next;                                                                                      \
    })

void fault_arm(unsigned nth)
{
    fault.nr_calls = 0;
    fault.nr_advice = 0;
    fault.nth = nth;
    fault.has_failed = false;
    fault.is_armed = true;
}

bool fault_disarm(void)
{
    fault.is_armed = false;
    return fault.has_failed;
}

unsigned fault_nr_calls(void)
{
    return fault.nr_calls;
}

unsigned fault_nr_heap_calls(void)
{
    return fault.nr_calls - fault.nr_advice;
}

long fault_nr_live(void)
{
    return fault.nr_live;
}

PLAIN static bool must_fail(void)
{
    if (!fault.is_armed || ++fault.nr_calls != fault.nth) {
        return false;
    }
    fault.has_failed = true;
    errno = ENOMEM;
    return true;
}

// dlsym frees its last error message: looked up by free, this would be looked up for ever.
PLAIN static void (*next_free(void))(void *)
{
    return NEXT(free);
}

PLAIN static void *taken(void *memory)
{
    next_free();
    fault.nr_live += fault.is_armed && memory;
    return memory;
}

// Libraries find what the program exports, in place of libc's.
#pragma GCC visibility push(default)

PLAIN void *malloc(size_t bytes)
{
    return must_fail() ? NULL : taken(NEXT(malloc)(bytes));
}

PLAIN void *calloc(size_t nr, size_t bytes)
{
    return must_fail() ? NULL : taken(NEXT(calloc)(nr, bytes));
}

PLAIN void *aligned_alloc(size_t alignment, size_t bytes)
{
    return must_fail() ? NULL : taken(NEXT(aligned_alloc)(alignment, bytes));
}

PLAIN void *realloc(void *old, size_t bytes)
{
    void *memory;

    if (must_fail()) {
        return NULL;
    }
    memory = NEXT(realloc)(old, bytes);
    fault.nr_live += fault.is_armed && memory && !old;
    return memory;
}

PLAIN void free(void *memory)
{
    fault.nr_live -= fault.is_armed && memory;
    next_free()(memory);
}

PLAIN void *mmap(void *address, size_t bytes, int protection, int flags, int fd, off_t offset)
{
    void *memory;

    if (must_fail()) {
        return MAP_FAILED;
    }
    memory = NEXT(mmap)(address, bytes, protection, flags, fd, offset);
    fault.nr_live += fault.is_armed && memory != MAP_FAILED;
    return memory;
}

PLAIN int munmap(void *address, size_t bytes)
{
    fault.nr_live -= fault.is_armed;
    return NEXT(munmap)(address, bytes);
}

PLAIN int mprotect(void *address, size_t bytes, int protection)
{
    return must_fail() ? -1 : NEXT(mprotect)(address, bytes, protection);
}

PLAIN int madvise(void *address, size_t bytes, int advice)
{
    fault.nr_advice += fault.is_armed;
    return must_fail() ? -1 : NEXT(madvise)(address, bytes, advice);
}

PLAIN int memfd_create(const char *name, unsigned flags)
{
    int fd;

    if (must_fail()) {
        return -1;
    }
    fd = NEXT(memfd_create)(name, flags);
    fault.nr_live += fault.is_armed && fd >= 0;
    return fd;
}

PLAIN int ftruncate(int fd, off_t bytes)
{
    return must_fail() ? -1 : NEXT(ftruncate)(fd, bytes);
}

PLAIN int close(int fd)
{
    fault.nr_live -= fault.is_armed;
    return NEXT(close)(fd);
}

PLAIN int pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                         void *(*function)(void *), void *argument)
{
    const bool was_armed = fault.is_armed;
    int rc;

    if (must_fail()) {
        return EAGAIN;
    }
    fault.is_armed = false; // the thread's stack and so on are not the caller's to give back
    rc = NEXT(pthread_create)(thread, attributes, function, argument);
    fault.is_armed = was_armed;
    return rc;
}

#pragma GCC visibility pop
