// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Fault injection into a real nbdkit: preloaded, it fails the nth call of one function that the
// plugin makes, itself or through a library (zstd's allocations are its own too).
//
//     ZRAMSWAP_FAULT         FUNCTION:N, or FUNCTION:N+ for the nth and all later ones
//     ZRAMSWAP_FAULT_REPORT  a file; gets a line for each call that was failed: the object that
//                            called, and the error
//
// A call is the plugin's if, going up the stack, the plugin comes before nbdkit.  So nbdkit's own
// calls neither count nor fail, and nothing does before the plugin is loaded.
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/vfs.h>
#include <unistd.h>
#include <unwind.h>

// Not declared by any header.
int __register_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void),
                      void *object);

static char function[32];
static unsigned nth;
static bool for_good;
static atomic_uint nr_calls;
static struct dl_find_object nbdkit, plugin;
static atomic_bool has_plugin;

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

__attribute__((constructor)) static void parse(void)
{
    const char *text = getenv("ZRAMSWAP_FAULT");
    char plus = 0;

    if (text && sscanf(text, "%31[a-z_]:%u%c", function, &nth, &plus) < 2) {
        fprintf(stderr, "ZRAMSWAP_FAULT=%s: not FUNCTION:N\n", text);
        abort();
    }
    for_good = plus == '+';
}

void *dlopen(const char *file, int flags)
{
    void *handle = NEXT(dlopen)(file, flags);

    if (handle && file && strstr(file, "zramswap")) {
        has_plugin = _dl_find_object((void *)getauxval(AT_ENTRY), &nbdkit) == 0 &&
                     _dl_find_object(dlsym(handle, "plugin_init"), &plugin) == 0;
    }
    return handle;
}

static bool is_within(const struct dl_find_object *object, uintptr_t address)
{
    return address >= (uintptr_t)object->dlfo_map_start &&
           address < (uintptr_t)object->dlfo_map_end;
}

static _Unwind_Reason_Code look_at_frame(struct _Unwind_Context *frame, void *is_plugin)
{
    uintptr_t ip = _Unwind_GetIP(frame);

    *(bool *)is_plugin = is_within(&plugin, ip);
    return *(bool *)is_plugin || is_within(&nbdkit, ip) ? _URC_END_OF_STACK : _URC_NO_REASON;
}

static bool is_plugins(void)
{
    bool is_plugin = false;

    _Unwind_Backtrace(look_at_frame, &is_plugin);
    return is_plugin;
}

static void report(void *caller, int error)
{
    Dl_info object;
    const char *name = dladdr(caller, &object) ? object.dli_fname : "?";
    // Not ours: they would fail, too.
    int fd = NEXT(open)(getenv("ZRAMSWAP_FAULT_REPORT"), O_WRONLY | O_APPEND | O_CREAT, 0600);
    char line[512];
    int bytes = snprintf(line, sizeof line, "%.400s: %s\n", name, strerrordesc_np(error));

    // One write each, so that threads do not mix.
    if (fd < 0 || NEXT(write)(fd, line, (size_t)bytes) < 0) {
        abort();
    }
    close(fd);
}

static bool must_fail(const char *name, int error, void *caller)
{
    unsigned call;

    if (!has_plugin || strcmp(name, function) != 0 || !is_plugins()) {
        return false;
    }
    call = ++nr_calls;
    if (call != nth && !(for_good && call > nth)) {
        return false;
    }
    report(caller, error);
    errno = error;
    return true;
}

// A function whose nth call returns failure, with error in errno.
#define WRAP(type, name, parameters, arguments, failure, error)                                    \
    type name parameters                                                                           \
    {                                                                                              \
        return must_fail(#name, error, __builtin_return_address(0)) ? failure                      \
                                                                    : NEXT(name) arguments;        \
    }

WRAP(void *, malloc, (size_t bytes), (bytes), NULL, ENOMEM)
WRAP(void *, calloc, (size_t nr, size_t bytes), (nr, bytes), NULL, ENOMEM)
WRAP(void *, realloc, (void *old, size_t bytes), (old, bytes), NULL, ENOMEM)
WRAP(void *, aligned_alloc, (size_t alignment, size_t bytes), (alignment, bytes), NULL, ENOMEM)
WRAP(int, memfd_create, (const char *name, unsigned flags), (name, flags), -1, EMFILE)
WRAP(int, ftruncate, (int fd, off_t bytes), (fd, bytes), -1, EFBIG)
WRAP(void *, mmap, (void *address, size_t bytes, int protection, int flags, int fd, off_t offset),
     (address, bytes, protection, flags, fd, offset), MAP_FAILED, ENOMEM)
WRAP(int, mprotect, (void *address, size_t bytes, int protection), (address, bytes, protection), -1,
     ENOMEM)
WRAP(int, madvise, (void *address, size_t bytes, int advice), (address, bytes, advice), -1, ENOMEM)
WRAP(int, fallocate, (int fd, int mode, off_t offset, off_t bytes), (fd, mode, offset, bytes), -1,
     ENOMEM)
WRAP(int, mlockall, (int flags), (flags), -1, EPERM)
WRAP(int, fstat, (int fd, struct stat *stat), (fd, stat), -1, ENOMEM)
WRAP(int, fstatfs, (int fd, struct statfs *stat), (fd, stat), -1, EINTR)
WRAP(ssize_t, pread, (int fd, void *to, size_t bytes, off_t at), (fd, to, bytes, at), -1, ENOMEM)
WRAP(ssize_t, pwrite, (int fd, const void *from, size_t bytes, off_t at), (fd, from, bytes, at), -1,
     ENOSPC)
WRAP(ssize_t, read, (int fd, void *to, size_t bytes), (fd, to, bytes), -1, EIO)
WRAP(ssize_t, write, (int fd, const void *from, size_t bytes), (fd, from, bytes), -1, EACCES)
WRAP(off_t, lseek, (int fd, off_t offset, int whence), (fd, offset, whence), -1, EIO)
WRAP(int, fsync, (int fd), (fd), -1, EIO)
WRAP(int, fdatasync, (int fd), (fd), -1, EIO)
WRAP(int, linkat, (int from_folder, const char *from, int folder, const char *to, int flags),
     (from_folder, from, folder, to, flags), -1, ENOSPC)
WRAP(ssize_t, getrandom, (void *to, size_t bytes, unsigned flags), (to, bytes, flags), -1, ENOSYS)
WRAP(int, sysinfo, (struct sysinfo * info), (info), -1, EPERM)
WRAP(int, getrlimit, (__rlimit_resource_t resource, struct rlimit *limit), (resource, limit), -1,
     EPERM)
WRAP(long, sysconf, (int name), (name), -1, EINVAL)

// With an argument more that is not always there: a number or a pointer.
#define WRAP_WITH_REST(name, last, parameters, arguments, error)                                   \
    int name parameters                                                                            \
    {                                                                                              \
        unsigned long a;                                                                           \
        va_list rest;                                                                              \
                                                                                                   \
        va_start(rest, last);                                                                      \
        a = va_arg(rest, unsigned long);                                                           \
        va_end(rest);                                                                              \
        return must_fail(#name, error, __builtin_return_address(0)) ? -1 : NEXT(name) arguments;   \
    }

WRAP_WITH_REST(open, flags, (const char *path, int flags, ...), (path, flags, a), EMFILE)
WRAP_WITH_REST(openat, flags, (int folder, const char *path, int flags, ...),
               (folder, path, flags, a), EMFILE)
WRAP_WITH_REST(fcntl, command, (int fd, int command, ...), (fd, command, a), ENOLCK)

int prctl(int option, ...)
{
    unsigned long a[4];
    va_list rest;

    va_start(rest, option);
    for (int i = 0; i < 4; i++) {
        a[i] = va_arg(rest, unsigned long);
    }
    va_end(rest);
    return must_fail("prctl", EPERM, __builtin_return_address(0))
               ? -1
               : NEXT(prctl)(option, a[0], a[1], a[2], a[3]);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                   void *argument)
{
    return must_fail("pthread_create", EAGAIN, __builtin_return_address(0))
               ? EAGAIN
               : NEXT(pthread_create)(thread, attributes, run, argument);
}

// pthread_atfork.
int __register_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void),
                      void *object)
{
    return must_fail("__register_atfork", ENOMEM, __builtin_return_address(0))
               ? ENOMEM
               : NEXT(__register_atfork)(prepare, parent, child, object);
}
